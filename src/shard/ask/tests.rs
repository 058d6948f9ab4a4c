//! Shards that ask one another: two of them on one thread, one of which may be stuck.

use std::sync::Arc;

use super::*;
use crate::hub::{Options, Publication};
use crate::mesh;
use crate::net::EventBell;
use crate::net::{Driver, run};
use crate::quota::Quota;
use crate::shard::{Item, Limits, MESH_CAPACITY, Node, Outcome, Page, Whom};

/// Two shards, of which only the first runs before somebody runs the other.
fn shards() -> [Rc<Shard>; 2] {
    let bells: Vec<Arc<EventBell>> = (0..2).map(|_| Arc::new(EventBell::new().expect("a bell"))).collect();
    let node = Arc::new(Node {
        quota: Quota::new(2, 100, 1),
        metrics: vec![Arc::default(), Arc::default()],
        started: now(),
        started_unix_s: 0,
        run: 1,
        bells: bells.clone(),
    });
    let limits = Limits {
        connections: 100,
        buffered_bytes: 1 << 20,
        lag_bytes: 1 << 20,
        rooms_per_connection: 10,
        rooms: 10,
        drain: Duration::ZERO,
        heartbeat_interval: Duration::from_secs(60),
        heartbeat_timeout: Duration::from_secs(60),
        stream_heartbeat: Duration::from_secs(60),
    };
    let ports = mesh::build(bells, MESH_CAPACITY);
    let shards: Vec<Rc<Shard>> = ports
        .into_iter()
        .map(|port| {
            let shard = ShardId(port.index() as u16);
            let seeds = Options { shard, shards: 2, name_seed: 1, epoch_seed: 2 };
            Shard::new(node.clone(), limits, port, seeds, Box::new(|_, _| ()))
        })
        .collect();
    shards[0].run().expect("a shard that runs");
    shards.try_into().ok().expect("two of them")
}

fn on_epoll(test: impl AsyncFnOnce() + 'static) {
    run(Driver::Epoll, None, || async { test().await }).expect("a runtime");
}

fn users() -> Question {
    Question::Users(Page { after: None, limit: 1 })
}

#[test]
fn every_shard_answers_those_that_ask_all() {
    on_epoll(async || {
        let [one, other] = shards();
        other.run().expect("a shard that runs");
        let call = one.call().expect("a place");
        for _ in 0..100 {
            let answers = call.ask_all(users).await.expect("answers");
            assert!(
                matches!(&answers[..], [Answer::Names(a), Answer::Names(b)] if a.is_empty() && b.is_empty())
            );
        }
        assert!(one.asking.slots.borrow().is_empty());
    });
}

#[test]
fn a_shard_that_is_stuck_is_given_up_and_its_answer_is_thrown_away() {
    on_epoll(async || {
        let [one, other] = shards();
        let call = one.call().expect("a place");
        let asked = now();
        assert_eq!(call.ask(ShardId(1), users()).await.expect_err("it is stuck"), NoAnswer::Late);
        assert!((ANSWER_WITHIN..2 * ANSWER_WITHIN).contains(&(now() - asked)));
        assert!(one.asking.slots.borrow().is_empty());
        // Dropped before it is answered, a question leaves no slot either.
        drop(one.ask(ShardId(1), users()));
        assert!(one.asking.slots.borrow().is_empty());
        other.run().expect("it comes to itself");
        assert!(
            matches!(call.ask(ShardId(1), users()).await, Ok(Answer::Names(_))),
            "those before are ignored"
        );
    });
}

#[test]
fn what_a_full_lane_does_not_take_is_said_later_and_in_order() {
    on_epoll(async || {
        let [one, other] = shards();
        let call = one.call().expect("a place");
        // More than a lane holds, and than are answered at a time.
        const COUNT: usize = MESH_CAPACITY + 100;
        let room =
            (0..).map(|n| n.to_string()).find(|room| call.home_of(room) == ShardId(1)).expect("a room");
        let question = |n: usize| {
            let publication = Arc::new(Publication {
                payload: n.to_string().into_bytes().into(),
                ..Publication::default()
            });
            let item = Item { room: room.as_str().into(), publication, id: Some("the same".into()) };
            (ShardId(1), Question::Publish(vec![item]))
        };
        let running = other.clone();
        spawn(async move {
            crate::net::sleep(Duration::from_millis(50)).await;
            running.run().expect("a shard that runs");
        });
        let answers = call.ask_each((0..COUNT).map(question)).await;
        let done = |answer: &&Result<Answer, NoAnswer>| match answer {
            Ok(Answer::Published(outcomes)) => outcomes[..] == [Outcome::At(None)],
            Err(NoAnswer::Busy) => false,
            other => panic!("{other:?}"),
        };
        assert!(answers.iter().take(100).all(|answer| done(&answer)), "the first are answered");
        assert!(answers.iter().filter(done).count() >= ANSWERING_MAX);
        assert_eq!(other.metrics().api_published_total.value(), 1, "all had one id");
        assert_eq!(other.asking.answering.get(), 0);
    });
}

#[test]
fn calls_have_so_many_places() {
    on_epoll(async || {
        let [one, _] = shards();
        let mut calls: Vec<Call> = (0..CALLS_MAX).map(|_| one.call().expect("a place")).collect();
        assert!(one.call().is_none());
        calls.pop();
        assert!(one.call().is_some());
    });
}

#[test]
fn a_goodbye_to_nobody_is_known_as_such() {
    on_epoll(async || {
        let [one, _] = shards();
        let call = one.call().expect("a place");
        let key = crate::hub::ConnectionId::parse("00000000000100000001").expect("a name").key;
        let code = crate::protocol::websocket::CloseCode::FORBIDDEN;
        let answer = call.ask(ShardId(0), Question::Dismiss(Whom::Connection(key), code, "".into())).await;
        assert!(matches!(answer, Ok(Answer::Changed { known: false, count: 0 })), "{answer:?}");
    });
}
