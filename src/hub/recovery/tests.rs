//! Two shards and a lane between them that may be full: what is told when the rules change or too much is asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::hub::{Accepted, Join, Keep, Lanes, Limits, Message, Options, Publication, ShardId, Step, Wire};
use crate::protocol::sse::Framing;

const FEW: Keep = Keep { publications: 3, ttl_ms: 60_000 };
const MANY: Keep = Keep { publications: 10_000, ttl_ms: 60_000 };
const LAG_BYTES: usize = 8 << 10;

struct Lane {
    is_open: bool,
    queue: VecDeque<Message>,
}

impl Lanes for Lane {
    fn push(&mut self, _to: ShardId, message: Message) -> Result<(), Message> {
        if !self.is_open {
            return Err(message);
        }
        self.queue.push_back(message);
        Ok(())
    }
}

fn hub(shard: u16, shards: u16, keep: Keep) -> Hub {
    let options = Options { shard: ShardId(shard), shards, name_seed: 1, epoch_seed: 2 };
    let limits =
        Limits { lag_bytes: LAG_BYTES, rooms_per_connection: 10, history_bytes: 64 << 20, connections: 10 };
    let mut hub = Hub::new(options, limits);
    hub.set_keeper(Box::new(move |_| keep));
    hub
}

/// A home, and another shard with one member of its room.
struct Pair {
    home: Hub,
    other: Hub,
    room: String,
    member: ConnectionKey,
    lane: Lane,
}

impl Pair {
    fn new(keep: Keep) -> Pair {
        let [home, mut other] = [0, 1].map(|shard| hub(shard, 2, keep));
        let names = (0..).map(|n| format!("r{n}"));
        let room = names.into_iter().find(|room| home.home_of(room) == ShardId(0)).expect("one in two");
        let member = other.connect("ada".into(), Wire::Native);
        assert_eq!(other.join(member, &room, Join::default()), Ok(Step::Done));
        let mut pair =
            Pair { home, other, room, member, lane: Lane { is_open: true, queue: VecDeque::new() } };
        pair.other.push(&mut pair.lane);
        while let Some(message) = pair.lane.queue.pop_front() {
            pair.home.on_message(ShardId(1), message);
        }
        pair.carry();
        pair
    }

    fn publish(&mut self, payload: &str) {
        let publication = Publication { payload: payload.as_bytes().into(), ..Publication::default() };
        assert!(matches!(self.home.publish_here(&self.room, &Arc::new(publication)), Accepted::At(_)));
        self.home.push(&mut self.lane);
    }

    /// More than the lag, with the lane full.
    fn fall_behind(&mut self) {
        self.lane.is_open = false;
        for _ in 0..20 {
            self.publish(&format!("\"{}\"", "x".repeat(1000)));
        }
    }

    fn change(&mut self, keep: Keep) {
        self.home.set_keeper(Box::new(move |_| keep));
        self.home.pass_time(0);
        self.home.push(&mut self.lane);
    }

    fn carry(&mut self) {
        self.lane.is_open = true;
        self.home.push(&mut self.lane);
        while let Some(message) = self.lane.queue.pop_front() {
            self.other.on_message(ShardId(0), message);
        }
    }

    fn told(&mut self) -> String {
        self.carry();
        text(&mut self.other, self.member)
    }
}

fn text(hub: &mut Hub, key: ConnectionKey) -> String {
    hub.end_turn();
    let mut slices = Vec::new();
    if hub.batch(key, &mut slices) {
        hub.on_written(key);
    }
    String::from_utf8_lossy(&slices.concat()).into_owned()
}

#[test]
fn a_rule_that_changes_before_a_shard_falls_behind_hides_no_gap() {
    let mut pair = Pair::new(FEW);
    pair.lane.is_open = false;
    pair.change(Keep { publications: 4, ..FEW });
    pair.fall_behind();
    let told = pair.told();
    assert_eq!(told.matches("\"type\":\"gap\"").count(), 1, "{told}");
}

#[test]
fn a_rule_that_goes_while_a_shard_lags_hides_no_gap() {
    let mut pair = Pair::new(Keep { publications: 100, ..FEW });
    pair.fall_behind();
    pair.change(Keep::NONE);
    pair.publish("\"last\"");
    let told = pair.told();
    assert!(told.contains("\"type\":\"gap\"") && told.contains("\"last\""), "{told}");
}

#[test]
fn a_shard_that_is_told_of_a_gap_hears_of_the_new_rule_too() {
    let mut pair = Pair::new(Keep::NONE);
    pair.fall_behind();
    pair.change(FEW);
    pair.publish("\"last\"");
    let told = pair.told();
    assert!(told.contains("\"type\":\"gap\""), "{told}");
    assert!(told.contains("\"payload\":\"last\",\"position\":"), "{told}");
}

#[test]
fn a_shard_that_lags_in_a_room_with_history_is_sent_all_of_it_later() {
    let mut pair = Pair::new(MANY);
    pair.fall_behind();
    let told = pair.told();
    assert_eq!((told.matches("\"type\":\"message\"").count(), pair.other.counts().gaps), (20, 0));
}

#[test]
fn whoever_wants_the_earliest_is_sent_as_much_as_there_is_room_for() {
    let wires = [
        Wire::Native,
        Wire::Stream { framing: Framing::Chunked, since: vec![Some(Since::Earliest)] },
        Wire::Stream { framing: Framing::Bare, since: vec![Some(Since::Earliest)] },
        Wire::Stream { framing: Framing::Chunked, since: vec![Some(Since::Earliest); 2] },
    ];
    for wire in wires {
        let mut hub = hub(0, 1, MANY);
        for n in 0..500 {
            let publication = Publication {
                payload: format!("[{n},\"{}\"]", "x".repeat(200)).into_bytes().into(),
                ..Publication::default()
            };
            assert!(matches!(hub.publish_here("r", &Arc::new(publication)), Accepted::At(Some(_))));
        }
        let key = hub.connect("ada".into(), wire.clone());
        assert!(hub.reply(key, |out| out.extend_from_slice(&[b'x'; 300])));
        for room in ["r", "s"]
            .iter()
            .take(1 + usize::from(matches!(&wire, Wire::Stream { since, .. } if since.len() == 2)))
        {
            let join = Join { since: Some(Since::Earliest), ..Join::default() };
            assert_eq!(hub.join(key, room, join), Ok(Step::Done));
        }
        assert_eq!(hub.counts().unrecovered, 0, "{wire:?}");
        let sent = text(&mut hub, key);
        assert!(
            (LAG_BYTES / 4..=LAG_BYTES / 2 + 600).contains(&sent.len()),
            "{wire:?}: {} bytes",
            sent.len()
        );
        assert!(sent.contains("499"), "{wire:?}: the latest of them");
    }
}

#[test]
fn how_far_a_member_may_fall_behind_does_not_depend_on_who_else_is_there() {
    let until_too_slow = |streams: &[Framing]| {
        let mut hub = hub(0, 1, Keep::NONE);
        let member = hub.connect("ada".into(), Wire::Native);
        assert_eq!(hub.join(member, "r", Join::default()), Ok(Step::Done));
        for &framing in streams {
            let stream = hub.connect("bob".into(), Wire::Stream { framing, since: vec![None] });
            assert_eq!(hub.join(stream, "r", Join::default()), Ok(Step::Done));
        }
        for published in 1.. {
            let publication = Publication {
                payload: format!("\"{}\"", "x".repeat(98)).into_bytes().into(),
                ..Publication::default()
            };
            assert!(matches!(hub.publish_here("r", &Arc::new(publication)), Accepted::At(None)));
            hub.end_turn();
            while let Some(key) = hub.poll_writable() {
                if hub.batch(key, &mut Vec::new()) && key != member {
                    hub.on_written(key);
                }
            }
            if hub.poll_dismissed().is_some() {
                return published;
            }
        }
        0
    };
    assert_eq!(until_too_slow(&[]), until_too_slow(&[Framing::Chunked, Framing::Bare]));
}

#[test]
fn a_place_that_is_taken_by_others_is_refused_to_a_client_alone() {
    for (on_behalf, told) in [(false, 1), (true, 0)] {
        let mut pair = Pair::new(Keep::NONE);
        pair.home.set_homes_max(1);
        let names = (0..).map(|n| format!("other{n}"));
        let room = names.into_iter().find(|room| pair.home.home_of(room) == ShardId(0)).expect("one in two");
        let join = Join { on_behalf, ..Join::default() };
        assert_eq!(pair.other.join(pair.member, &room, join), Ok(Step::Done));
        pair.other.push(&mut pair.lane);
        while let Some(message) = pair.lane.queue.pop_front() {
            pair.home.on_message(ShardId(1), message);
        }
        assert_eq!(pair.told().matches("too_many_rooms").count(), told);
    }
}
