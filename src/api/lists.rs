//! What is there: rooms, users and connections, one page of what all shards have together.
//!
//! Every shard gives the first of its own; the first of all of these are the page. One more than is asked for tells
//! whether there is a next. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::refused::Refused;
use super::route::Query;
use crate::hub::{ConnectionId, Seen, Whose};
use crate::protocol::Format;
use crate::protocol::http::Response;
use crate::shard::{Answer, Call, Page, Question};

#[derive(Serialize)]
struct Rooms {
    rooms: Vec<RoomTold>,
    next: Option<Arc<str>>,
}

#[derive(Serialize)]
struct RoomTold {
    room: Arc<str>,
    members: usize,
}

#[derive(Serialize)]
struct Users {
    users: Vec<UserTold>,
    next: Option<Arc<str>>,
}

#[derive(Serialize)]
struct UserTold {
    user: Arc<str>,
    connections: usize,
}

#[derive(Serialize)]
struct Connections {
    connections: Vec<ConnectionTold>,
    next: Option<String>,
}

#[derive(Serialize)]
struct ConnectionTold {
    connection: String,
    user: Arc<str>,
    transport: &'static str,
    rooms: Vec<Arc<str>>,
}

#[derive(Serialize)]
struct OneRoom<'a> {
    room: &'a str,
    members: usize,
    position: Option<String>,
    connections: Vec<MemberTold>,
    next: Option<String>,
}

#[derive(Serialize)]
struct MemberTold {
    connection: String,
    user: Arc<str>,
}

/// Names, each with its number.
type Names = Vec<(Arc<str>, usize)>;

/// `GET /api/rooms`: a room is listed while its home knows it, also with nobody in it.
pub(super) async fn rooms(call: &Call, query: &Query) -> Result<Response, Refused> {
    let answers = call.ask_all(|| Question::Rooms(page_of_names(query))).await?;
    let (names, next) = cut(merge_names(answers), query.limit);
    let names: Vec<Arc<str>> = names.into_iter().map(|(name, _)| name).collect();
    let mut members = vec![0; names.len()];
    for answer in call.ask_all(|| Question::Members(names.clone())).await? {
        let Answer::Members(counts) = answer else { unreachable!("{answer:?} is no number of members") };
        members.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let rooms = names.into_iter().zip(members).map(|(room, members)| RoomTold { room, members });
    Ok(super::json(StatusCode::OK, &Rooms { rooms: rooms.collect(), next }))
}

/// `GET /api/users`. Shards look one beside the other: a user whose only connection ends on one while the next comes on
/// another may be found on neither, or on both.
pub(super) async fn users(call: &Call, query: &Query) -> Result<Response, Refused> {
    let answers = call.ask_all(|| Question::Users(page_of_names(query))).await?;
    let (users, next) = cut(merge_names(answers), query.limit);
    let users = users.into_iter().map(|(user, connections)| UserTold { user, connections });
    Ok(super::json(StatusCode::OK, &Users { users: users.collect(), next }))
}

/// `GET /api/connections`. Names go by shard, so one shard is asked after the other, until the page is full; it may be
/// shorter than asked for where the rooms of the connections have long names.
pub(super) async fn connections(call: &Call, query: &Query) -> Result<Response, Refused> {
    let after = query.after_connection()?;
    let whose = query.user.as_ref().map_or(Whose::All, |user| Whose::User(user.as_str().into()));
    let mut found = Vec::new();
    for shard in call.shards().filter(|&shard| after.is_none_or(|after| shard >= after.shard)) {
        let page = Page { after, limit: query.limit + 1 - found.len() };
        match call.ask(shard, Question::Connections(whose.clone(), page)).await? {
            Answer::Connections(more) => found.extend(more),
            other => unreachable!("{other:?} is no list of connections"),
        }
        if found.len() > query.limit {
            break;
        }
    }
    let mut bytes = 0;
    let fitting = found.iter().position(|(_, seen)| {
        bytes += seen.user.len() + seen.rooms.iter().map(|room| room.len()).sum::<usize>();
        bytes > PAGE_BYTES_MAX
    });
    let limit = fitting.map_or(query.limit, |fitting| fitting.clamp(1, query.limit));
    let (found, next) = cut_connections(found, limit);
    let connections = found.into_iter().map(|(id, seen)| ConnectionTold {
        connection: id.to_string(),
        transport: transport_of(seen.format),
        user: seen.user,
        rooms: seen.rooms,
    });
    Ok(super::json(StatusCode::OK, &Connections { connections: connections.collect(), next }))
}

/// `GET /api/rooms/R`: a room that nobody is in is one with no members.
pub(super) async fn room(call: &Call, room: &str, query: &Query) -> Result<Response, Refused> {
    let after = query.after_connection()?;
    let name: Arc<str> = room.into();
    let page = Page { after, limit: query.limit + 1 };
    let mut questions = vec![(call.home_of(room), Question::Position(room.into()))];
    for shard in call.shards() {
        questions.push((shard, Question::Members(vec![name.clone()])));
        questions.push((shard, Question::Connections(Whose::Room(room.into()), page.clone())));
    }
    let (mut members, mut found, mut position) = (0, Vec::new(), None);
    for answer in call.ask_each(questions).await {
        match answer? {
            Answer::Members(counts) => members += counts.into_iter().sum::<usize>(),
            // In the order of the shards, so in that of names.
            Answer::Connections(more) => found.extend(more),
            Answer::Position(told) => position = told,
            other => unreachable!("{other:?} tells nothing of a room"),
        }
    }
    let (found, next) = cut_connections(found, query.limit);
    let connections =
        found.into_iter().map(|(id, seen)| MemberTold { connection: id.to_string(), user: seen.user });
    let position = position.map(|position| position.to_string());
    let told = OneRoom { room, members, position, connections: connections.collect(), next };
    Ok(super::json(StatusCode::OK, &told))
}

fn page_of_names(query: &Query) -> Page<Box<str>> {
    Page { after: query.after.as_deref().map(Box::from), limit: query.limit + 1 }
}

/// One list of what shards have, in the order of names; what several have is added up. Whatever is among the first
/// of all is among the first of every shard that has it, so that nothing is missing from the sum.
fn merge_names(answers: Vec<Answer>) -> Names {
    let mut merged = BTreeMap::new();
    for answer in answers {
        let Answer::Names(names) = answer else { unreachable!("{answer:?} is no list of names") };
        for (name, count) in names {
            *merged.entry(name).or_insert(0) += count;
        }
    }
    merged.into_iter().collect()
}

/// The first `limit`, and the name behind which the next page begins, if there is more.
fn cut(mut found: Names, limit: usize) -> (Names, Option<Arc<str>>) {
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(name, _)| name.clone());
    (found, next)
}

fn cut_connections(
    mut found: Vec<(ConnectionId, Seen)>,
    limit: usize,
) -> (Vec<(ConnectionId, Seen)>, Option<String>) {
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(id, _)| id.to_string());
    (found, next)
}

/// What carries a connection that is spoken to in this format.
fn transport_of(format: Format) -> &'static str {
    match format {
        Format::Native => "websocket",
        Format::Stream | Format::Part => "sse",
    }
}

/// Bytes of names in a page of connections.
const PAGE_BYTES_MAX: usize = 1 << 20;
