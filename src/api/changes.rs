//! What is done to connections from outside: goodbyes, and memberships on behalf of a user.
//!
//! The connections themselves do it, each at its shard; here it is said which, and counted. Asks no room rule: whoever
//! has a key is trusted.

use http::StatusCode;
use serde::Serialize;

use super::refused::Refused;
use super::sent::{self, Who};
use crate::config::Limits;
use crate::hub::ConnectionId;
use crate::protocol::http::Response;
use crate::shard::{Answer, Call, NoAnswer, Question, Whom};

/// How many connections it made a difference to.
#[derive(Serialize)]
struct Disconnected {
    disconnected: usize,
}

#[derive(Serialize)]
struct Joined {
    joined: usize,
}

#[derive(Serialize)]
struct Left {
    left: usize,
}

/// `POST /api/users/U/disconnect`, `POST /api/connections/C/disconnect`.
pub(super) async fn disconnect(call: &Call, who: Who, body: &[u8]) -> Result<Response, Refused> {
    let (code, reason) = sent::goodbye(body)?;
    let dismiss = |whom| Question::Dismiss(whom, code, reason.clone());
    let disconnected = change(call, who, dismiss).await?;
    Ok(super::json(StatusCode::OK, &Disconnected { disconnected }))
}

/// `POST /api/rooms/R/join`. The client is told nothing: what is published in the room simply comes.
pub(super) async fn join(call: &Call, room: &str, body: &[u8], limits: &Limits) -> Result<Response, Refused> {
    sent::check_room(room, limits)?;
    let joined = change(call, sent::who(body)?, |whom| Question::Join(whom, room.into())).await?;
    Ok(super::json(StatusCode::OK, &Joined { joined }))
}

/// `POST /api/rooms/R/leave`. The client is told nothing: nothing more comes from the room.
pub(super) async fn leave(
    call: &Call,
    room: &str,
    body: &[u8],
    limits: &Limits,
) -> Result<Response, Refused> {
    sent::check_room(room, limits)?;
    let left = change(call, sent::who(body)?, |whom| Question::Leave(whom, room.into())).await?;
    Ok(super::json(StatusCode::OK, &Left { left }))
}

/// Asks whoever has those that are meant, and adds up for how many it made a difference.
async fn change(call: &Call, who: Who, question: impl Fn(Whom) -> Question) -> Result<usize, Refused> {
    match who {
        Who::User(user) => change_all(call, || question(Whom::User(user.clone()))).await,
        Who::Connection(name) => {
            let id = ConnectionId::parse(&name).filter(|id| call.shards().any(|shard| shard == id.shard));
            let ConnectionId { shard, key } = id.ok_or_else(Refused::no_connection)?;
            match call.ask(shard, question(Whom::Connection(key))).await? {
                Answer::Changed { known: false, .. } => Err(Refused::no_connection()),
                answer => Ok(count_of(&answer)),
            }
        }
    }
}

/// Asks every shard. What one has done is not taken back where another does not answer: that is said, and whoever asks
/// again has the rest done.
async fn change_all(call: &Call, question: impl Fn() -> Question) -> Result<usize, Refused> {
    let (mut count, mut missing) = (0, None);
    for answer in call.ask_each(call.shards().map(|shard| (shard, question()))).await {
        match answer {
            Ok(answer) => count += count_of(&answer),
            // One that is late may do it yet: that is more to know than that one is busy.
            Err(no_answer) if missing != Some(NoAnswer::Late) => missing = Some(no_answer),
            Err(_) => (),
        }
    }
    missing.map_or(Ok(count), |no_answer| Err(Refused::partly_done(count, no_answer)))
}

fn count_of(answer: &Answer) -> usize {
    match answer {
        Answer::Changed { count, .. } => *count,
        other => unreachable!("{other:?} is no change"),
    }
}
