//! Answering: what a shard is asked is looked up, or done, in its hub.
//!
//! A turn at a time: between two there is a trip through the driver, so that nobody's connection waits for a long list.
//! What has to wait for a home waits here, and for less than whoever asked. Knows neither HTTP nor JSON.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::ask::ANSWER_WITHIN;
use super::question::{Answer, Item, Outcome, Page, Question, Whom};
use super::{GOODBYE_WITHIN, Shard};
use crate::hub::{
    Accepted, ConnectionId, ConnectionKey, Hub, Join, NameScan, Once, Relation, Seen, ShardId, Step, Whose,
};
use crate::net::{Instant, Turn, now, sleep, within};
use crate::protocol::websocket::CloseCode;

/// The answer to a question.
pub(super) async fn to(shard: &Rc<Shard>, question: Question) -> Answer {
    let mut pause = Pause::default();
    match question {
        Question::Rooms(Page { after, limit }) => {
            let scan = shard.hub.borrow().scan_rooms(after, limit);
            Answer::Names(names(shard, scan, &mut pause).await)
        }
        Question::Users(Page { after, limit }) => {
            let scan = shard.hub.borrow().scan_users(after, limit);
            Answer::Names(names(shard, scan, &mut pause).await)
        }
        Question::Connections(whose, page) => {
            Answer::Connections(connections(shard, whose, page, &mut pause).await)
        }
        Question::Members(rooms) => {
            let hub = shard.hub.borrow();
            Answer::Members(rooms.iter().map(|room| hub.members(room)).collect())
        }
        Question::Position(room) => Answer::Position(shard.hub.borrow().position_of(&room)),
        Question::History(room, since, limit) => {
            let read = shard.with_hub(|hub| hub.history(&room, since, limit));
            Answer::History(read.map(Box::new))
        }
        Question::Publish(items) => Answer::Published(publish(shard, items, &mut pause).await),
        Question::Join(whom, room) => join(shard, whom, &room, &mut pause).await,
        Question::Leave(whom, room) => {
            change_each(shard, whom, &mut pause, |key| {
                shard.with_hub(|hub| hub.leave(key, &room, None)).is_ok()
            })
            .await
        }
        Question::Dismiss(whom, code, reason) => {
            change_each(shard, whom, &mut pause, |key| dismiss(shard, key, code, &reason)).await
        }
    }
}

/// A way to let others in between two turns' worth of work.
#[derive(Default)]
pub struct Pause {
    turn: Option<Turn>,
}

impl Pause {
    /// Lets everybody else of the core in. May be dropped.
    pub async fn take(&mut self) {
        if self.turn.is_none() {
            self.turn = Turn::new().ok();
        }
        let passed = match &mut self.turn {
            Some(turn) => turn.pass().await.is_ok(),
            None => false,
        };
        if !passed {
            // Without a descriptor for it: the clock lets others in too.
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn names(shard: &Shard, mut scan: NameScan, pause: &mut Pause) -> Vec<(Arc<str>, usize)> {
    loop {
        let more = scan.look(&shard.hub.borrow(), LOOKS_A_TURN);
        if !more {
            return scan.into_page();
        }
        pause.take().await;
    }
}

async fn connections(
    shard: &Shard,
    whose: Whose,
    page: Page<ConnectionId>,
    pause: &mut Pause,
) -> Vec<(ConnectionId, Seen)> {
    let keys = keys_of(shard, whose, page, pause).await;
    let mut seen = Vec::with_capacity(keys.len());
    for keys in keys.chunks(SEEN_A_TURN) {
        {
            let hub = shard.hub.borrow();
            let here = keys.iter().filter_map(|&key| Some((key, hub.see(key, ROOMS_NAMED_MAX)?)));
            seen.extend(here.map(|(key, it)| (shard.connection_id(key), it)));
        }
        if keys.len() == SEEN_A_TURN {
            pause.take().await;
        }
    }
    seen
}

async fn keys_of(
    shard: &Shard,
    whose: Whose,
    page: Page<ConnectionId>,
    pause: &mut Pause,
) -> Vec<ConnectionKey> {
    let mut scan = shard.hub.borrow().scan_connections(whose, page.after, page.limit);
    loop {
        let more = scan.look(&shard.hub.borrow(), LOOKS_A_TURN);
        if !more {
            return scan.into_page();
        }
        pause.take().await;
    }
}

/// Those who are meant and here.
async fn keys_meant(shard: &Shard, whom: Whom, pause: &mut Pause) -> Vec<ConnectionKey> {
    match whom {
        Whom::Connection(key) => Vec::from_iter(shard.hub.borrow().is_here(key).then_some(key)),
        Whom::User(user) => {
            keys_of(shard, Whose::User(user), Page { after: None, limit: usize::MAX }, pause).await
        }
    }
}

/// Does something to each that is meant, and counts those for whom it made a difference.
async fn change_each(
    shard: &Shard,
    whom: Whom,
    pause: &mut Pause,
    mut change: impl FnMut(ConnectionKey) -> bool,
) -> Answer {
    let keys = keys_meant(shard, whom, pause).await;
    let mut count = 0;
    for keys in keys.chunks(CHANGES_A_TURN) {
        count += keys.iter().filter(|&&key| change(key)).count();
        if keys.len() == CHANGES_A_TURN {
            pause.take().await;
        }
    }
    Answer::Changed { known: !keys.is_empty(), count }
}

fn dismiss(shard: &Shard, key: ConnectionKey, code: CloseCode, reason: &str) -> bool {
    let stays = !shard.hub.borrow().is_leaving(key);
    if stays {
        shard.dismiss(key, code, reason, GOODBYE_WITHIN);
    }
    stays
}

/// Makes each that is meant a member. Whose room has its home elsewhere is one when that has answered, and is
/// counted if it has in time.
async fn join(shard: &Shard, whom: Whom, room: &str, pause: &mut Pause) -> Answer {
    let until = now() + WORK_WITHIN;
    let keys = keys_meant(shard, whom, pause).await;
    let mut asked = Vec::new();
    for keys in keys.chunks(CHANGES_A_TURN) {
        for &key in keys {
            if join_one(shard, key, room, until).await {
                asked.push(key);
            }
        }
        if keys.len() == CHANGES_A_TURN {
            pause.take().await;
        }
    }
    let home = shard.hub.borrow().home_of(room);
    let mut count = 0;
    for (nth, key) in asked.into_iter().enumerate() {
        let relation = || shard.hub.borrow().relation(key, room);
        while relation() == Relation::Waiting && now() < until {
            // Its answer wakes one who waits for the home, and that may be another.
            _ = within(LOOK_EVERY, shard.wait_for(home)).await;
        }
        count += usize::from(relation() == Relation::Member);
        if nth % LOOKS_A_TURN == LOOKS_A_TURN - 1 {
            pause.take().await;
        }
    }
    Answer::Changed { known: !keys.is_empty(), count }
}

/// True if the connection was a stranger to the room and is one no more, or has its join under way.
async fn join_one(shard: &Shard, key: ConnectionKey, room: &str, until: Instant) -> bool {
    {
        let hub = shard.hub.borrow();
        // A stream may still be asking for its own rooms: another between them would take the place of one.
        if hub.relation(key, room) != Relation::Stranger || hub.has_fixed_rooms(key) {
            return false;
        }
    }
    shard.share_rooms();
    loop {
        let step =
            shard.with_hub(|hub: &mut Hub| hub.join(key, room, Join { on_behalf: true, ..Join::default() }));
        match step {
            Ok(Step::Done) => return true,
            Ok(Step::Wait(home)) => {
                if within(until.saturating_duration_since(now()), shard.wait_for(home)).await.is_none() {
                    return false;
                }
            }
            Err(_) => {
                shard.metrics().api_limited_total.add(1);
                return false;
            }
        }
    }
}

/// Publishes in order. From the first that does not get its turn in time on, none is.
async fn publish(shard: &Shard, items: Vec<Item>, pause: &mut Pause) -> Vec<Outcome> {
    let until = now() + WORK_WITHIN;
    let mut outcomes = Vec::with_capacity(items.len());
    let mut bytes = 0;
    for item in &items {
        let Some(outcome) = publish_one(shard, item, until).await else { break };
        outcomes.push(outcome);
        bytes += item.publication.cost();
        let exclude = &item.publication.exclude;
        if bytes >= PUBLISHED_BYTES_A_TURN || !exclude.users.is_empty() || !exclude.rooms.is_empty() {
            bytes = 0;
            pause.take().await;
        }
    }
    let left = items.len() - outcomes.len();
    shard.metrics().api_limited_total.add(left as u64);
    outcomes.extend(std::iter::repeat_n(Outcome::Busy, left));
    outcomes
}

/// None if its time is over.
async fn publish_one(shard: &Shard, item: &Item, until: Instant) -> Option<Outcome> {
    let Item { room, publication, id } = item;
    let metrics = shard.metrics();
    if shard.keeps_history() {
        // A publication opens a room too, where its rule keeps a history.
        shard.share_rooms();
    }
    loop {
        let once = shard.with_hub(|hub| match id {
            Some(id) => hub.publish_once(room, id, publication, shard.node.elapsed()),
            None => match hub.publish_here(room, publication) {
                Accepted::At(position) => Once::At { position, again: false },
                Accepted::Wait => Once::Wait,
            },
        });
        match once {
            Once::At { position, again } => {
                let count = if again { &metrics.api_repeated_total } else { &metrics.api_published_total };
                count.add(1);
                return Some(Outcome::At(position));
            }
            Once::Full => {
                metrics.api_limited_total.add(1);
                return Some(Outcome::Busy);
            }
            Once::Wait => {
                let home = ShardId(shard.index as u16);
                within(until.saturating_duration_since(now()), shard.wait_for(home)).await?;
            }
        }
    }
}

/// Keys that are looked at between two pauses.
const LOOKS_A_TURN: usize = 4096;
/// Connections that are described between two pauses, each with its rooms.
const SEEN_A_TURN: usize = 64;
/// Connections that join, leave or are told goodbye between two pauses: who leaves far behind is sent much.
const CHANGES_A_TURN: usize = 64;
/// What is published between two pauses, in bytes: as much as one read of a connection can bring.
const PUBLISHED_BYTES_A_TURN: u64 = 128 << 10;
/// Rooms of a connection that are named.
const ROOMS_NAMED_MAX: usize = 100;
/// How long a change may take: less than whoever asked waits for the answer.
const WORK_WITHIN: Duration = ANSWER_WITHIN.saturating_sub(Duration::from_secs(1));
/// How often a join that waits is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
