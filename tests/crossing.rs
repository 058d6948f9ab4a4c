//! Members on two cores, and the promises that hold across them: one order, each publication once,
//! and whoever has read a join's ack hears what is sent from then on.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Crowd, Deadline, Dice, Member, PATIENCE, Server, Setup, Sight, Socket};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

#[test]
fn of_1000_connections_each_of_two_shards_has_450_to_550() {
    let server = Setup::new(2).start();
    let mut members = Vec::new();
    for n in 0..1000 {
        members.push(Member::enter(&server, &format!("user-{n}")));
    }
    assert_even(&members);
    server.stop();
}

#[test]
fn connections_that_wait_together_are_spread_as_evenly() {
    let server = Setup::new(2).start();
    // All are accepted before one has sent a byte.
    let sockets: Vec<Socket> = (0..1000).map(|_| Socket::connect(server.public)).collect();
    let token = server.token("ann");
    let members: Vec<Member> = sockets.into_iter().map(|s| Member::greeted(s, &token, "ann")).collect();
    assert_even(&members);
    server.stop();
}

fn assert_even(members: &[Member]) {
    let first = members.iter().filter(|member| member.shard == 0).count();
    let second = members.iter().filter(|member| member.shard == 1).count();
    assert_eq!(first + second, 1000, "two workers are shards 0 and 1");
    assert!((450..=550).contains(&first), "{first} of 1000 sit on shard 0");
}

#[test]
fn ten_thousand_publications_of_20_reach_200_members_complete_once_in_one_order() {
    crosses(&Setup::new(2), Size { members: 200, publishers: 20, each: 500, wanderers: 24 });
}

#[test]
fn one_worker_keeps_one_order_too() {
    crosses(&Setup::new(1), Size { members: 40, publishers: 10, each: 100, wanderers: 8 });
}

#[test]
fn epoll_keeps_one_order_too() {
    crosses(&Setup::epoll(), Size { members: 40, publishers: 10, each: 100, wanderers: 8 });
}

/// How much goes on in a crossing.
#[derive(Clone, Copy)]
struct Size {
    members: usize,
    publishers: usize,
    each: u32,
    wanderers: usize,
}

/// What publishers and wanderers share: how far each publisher is, and whether all are through.
struct Course {
    /// Publications whose sending has begun, by publisher.
    begun: Vec<AtomicU32>,
    wandering: AtomicBool,
}

fn crosses(setup: &Setup, size: Size) {
    let server = setup.clone().set("limits.lag", "\"64MiB\"").start();
    let course = Course {
        begun: (0..size.publishers).map(|_| AtomicU32::new(0)).collect(),
        wandering: AtomicBool::new(true),
    };
    let crowds = seat_two_crowds(&server, size.members);
    let (orders, stays) = thread::scope(|scope| {
        let listeners: Vec<_> = crowds.into_iter().map(|crowd| scope.spawn(move || listen(crowd))).collect();
        let wanderer = scope.spawn(|| wander(&server, &course, size));
        publish(&server, &course, size);
        let stays = wanderer.join().unwrap();
        Member::enter(&server, "last").broadcast(ROOM, &END.to_string());
        let orders: Vec<_> = listeners.into_iter().flat_map(|l| l.join().unwrap()).collect();
        (orders, stays)
    });
    assert_one_order(&orders, &stays, size);
    server.stop();
}

/// Members in the room, half of them in each crowd.
fn seat_two_crowds(server: &Server, members: usize) -> [Crowd; 2] {
    let mut crowds = [Crowd::default(), Crowd::default()];
    for n in 0..members {
        let mut member = Member::enter(server, &format!("member-{n}"));
        member.join(ROOM);
        crowds[n % 2].seat(member);
    }
    crowds
}

/// Listens until every member has heard the end; returns what each heard before it.
fn listen(mut crowd: Crowd) -> Vec<Vec<u32>> {
    let mut heard = vec![Vec::new(); crowd.len()];
    let mut listening = crowd.len();
    let deadline = Deadline::within(LONGEST);
    while listening > 0 {
        assert!(!deadline.passed(), "{listening} members have not heard the end");
        crowd.turn(PATIENCE, |n, sight| match sight {
            Sight::Text(text) => match harness::number_of(text) {
                Some(END) => listening -= 1,
                Some(number) => heard[n].push(number),
                None => panic!("member {n} heard {:?}", String::from_utf8_lossy(text)),
            },
            other => panic!("member {n} saw {other:?}"),
        });
    }
    heard
}

/// All publishers send all they have, each a few at a time; returns when the last of each is acknowledged.
fn publish(server: &Server, course: &Course, size: Size) {
    let mut dice = Dice::new("publishers");
    let mut publishers: Vec<Member> =
        (0..size.publishers).map(|n| Member::enter(server, &format!("publisher-{n}"))).collect();
    let mut unfinished: Vec<usize> = (0..size.publishers).collect();
    while !unfinished.is_empty() {
        let pick = dice.below(unfinished.len());
        let n = unfinished[pick];
        let from = course.begun[n].load(Ordering::SeqCst);
        let to = (from + 1 + dice.below(8) as u32).min(size.each);
        // Counted before it is sent: who reads less than this knows that it was not sent yet.
        course.begun[n].store(to, Ordering::SeqCst);
        let last = size.each - 1;
        let batch: Vec<u8> =
            (from..to.min(last)).flat_map(|i| harness::publication(ROOM, number(n, i))).collect();
        publishers[n].socket.send(&batch);
        if to == size.each {
            // Commands of one connection take effect in the order sent: this ack vouches for them all.
            publishers[n].broadcast(ROOM, &number(n, last).to_string());
            unfinished.swap_remove(pick);
        } else if dice.below(4) == 0 {
            // Now and then in step with the server, so that the wanderers have time to wander.
            publishers[n].lives();
        }
    }
    course.wandering.store(false, Ordering::SeqCst);
}

/// What one wanderer heard between a join and the leave after it.
struct Stay {
    heard: Vec<u32>,
    /// By publisher: publications that were not begun when the join's ack had been read.
    unbegun: Vec<u32>,
}

/// Joins and leaves at random until the publishers are through. Each join is followed by a publication that
/// the fresh member must hear.
fn wander(server: &Server, course: &Course, size: Size) -> Vec<Stay> {
    let mut dice = Dice::new("wanderers");
    let mut callers: Vec<Member> = (0..2).map(|_| Member::enter(server, "caller")).collect();
    let mut inside: Vec<Option<Stay>> = (0..size.wanderers).map(|_| None).collect();
    let mut wanderers: Vec<Member> =
        (0..size.wanderers).map(|n| Member::enter(server, &format!("wanderer-{n}"))).collect();
    let mut stays = Vec::new();
    let mut called = 0;
    while course.wandering.load(Ordering::SeqCst) || stays.len() < size.wanderers {
        let n = dice.below(size.wanderers);
        if let Some(stay) = inside[n].take() {
            stays.push(leave(&mut wanderers[n], stay));
            continue;
        }
        wanderers[n].join(ROOM);
        assert!(wanderers[n].kept().is_empty(), "nothing of the room precedes the join's ack");
        let unbegun = course.begun.iter().map(|begun| begun.load(Ordering::SeqCst)).collect();
        let call = number(size.publishers, called);
        callers[called as usize % 2].socket.send(&harness::publication(ROOM, call));
        called += 1;
        let mut stay = Stay { heard: Vec::new(), unbegun };
        while stay.heard.last() != Some(&call) {
            stay.heard.extend(numbers(vec![wanderers[n].hear()]));
        }
        inside[n] = Some(stay);
    }
    for (wanderer, stay) in wanderers.iter_mut().zip(inside) {
        stays.extend(stay.map(|stay| leave(wanderer, stay)));
    }
    stays
}

/// Ends a stay: all that was heard precedes the leave's ack, and nothing follows it.
fn leave(wanderer: &mut Member, mut stay: Stay) -> Stay {
    wanderer.leave(ROOM);
    stay.heard.extend(numbers(wanderer.kept()));
    wanderer.lives();
    assert!(wanderer.kept().is_empty(), "nothing of the room follows the leave's ack");
    stay
}

fn numbers(texts: Vec<String>) -> impl Iterator<Item = u32> {
    texts
        .into_iter()
        .map(|text| harness::number_of(text.as_bytes()).unwrap_or_else(|| panic!("heard {text}")))
}

fn assert_one_order(orders: &[Vec<u32>], stays: &[Stay], size: Size) {
    let order = &orders[0];
    for (n, other) in orders.iter().enumerate() {
        assert!(other == order, "member {n} heard another order than member 0");
    }
    let place: HashMap<u32, usize> =
        order.iter().enumerate().map(|(place, number)| (*number, place)).collect();
    assert_eq!(place.len(), order.len(), "something was delivered twice");
    for n in 0..size.publishers {
        let mut places =
            (0..size.each).map(|i| place.get(&number(n, i)).expect("every publication is delivered"));
        let first = places.next().unwrap();
        places.fold(first, |before, after| {
            assert!(before < after, "publisher {n} was reordered");
            after
        });
    }
    println!("{} publications, {} stays", order.len(), stays.len());
    for stay in stays {
        let from = place[&stay.heard[0]];
        assert!(
            order[from..].starts_with(&stay.heard),
            "a stay is a stretch of the one order, without a hole"
        );
        for (n, &unbegun) in stay.unbegun.iter().enumerate().filter(|(_, unbegun)| **unbegun < size.each) {
            let due = place[&number(n, unbegun)];
            assert!(due >= from, "publication {unbegun} of {n} was sent after the ack and not heard");
        }
    }
}

/// One number for a publisher's publication.
fn number(publisher: usize, index: u32) -> u32 {
    publisher as u32 * 1_000_000 + index
}

const ROOM: &str = "crossing";
const END: u32 = u32::MAX;
const LONGEST: Duration = Duration::from_secs(50);
