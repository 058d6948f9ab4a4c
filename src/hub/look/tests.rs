//! What a page holds, whoever comes and goes while it is made.

use std::collections::BTreeSet;

use super::*;
use crate::hub::{CloseCode, Join, Limits, Options, Step, Wire};

fn hub() -> Hub {
    let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 2 };
    Hub::new(
        options,
        Limits { lag_bytes: 1 << 20, history_bytes: 1 << 20, rooms_per_connection: 9, connections: 2 },
    )
}

fn enter(hub: &mut Hub, user: &str, room: &str) -> ConnectionKey {
    let key = hub.connect(user.into(), Wire::Native);
    assert_eq!(hub.join(key, room, Join::default()), Ok(Step::Done));
    key
}

fn id(key: ConnectionKey) -> ConnectionId {
    ConnectionId { shard: ShardId(0), key }
}

/// All pages of a list, by `page`, which is told behind what; between two looks `meanwhile` happens.
fn names(
    hub: &mut Hub,
    limit: usize,
    begin: impl Fn(&Hub, Option<Box<str>>, usize) -> NameScan,
    mut meanwhile: impl FnMut(&mut Hub),
) -> Vec<(String, usize)> {
    let mut listed: Vec<(String, usize)> = Vec::new();
    loop {
        let after = listed.last().map(|(name, _)| name.as_str().into());
        let mut scan = begin(hub, after, limit);
        while scan.look(hub, 3) {
            meanwhile(hub);
        }
        let page = scan.into_page();
        assert!(page.len() <= limit && page.is_sorted());
        if page.is_empty() {
            return listed;
        }
        listed.extend(page.into_iter().map(|(name, count)| (name.to_string(), count)));
    }
}

#[test]
fn whoever_is_there_throughout_is_listed_once_while_others_come_and_go() {
    let mut hub = hub();
    let stay: BTreeSet<String> = (0..40).map(|n| format!("stay{n}")).collect();
    for name in &stay {
        enter(&mut hub, name, name);
    }
    let mut number = 0;
    let mut guests = Vec::new();
    let mut churn = |hub: &mut Hub| {
        number += 1;
        let name = format!("guest{}", number % 50);
        guests.push(enter(hub, &name, &name));
        if number % 3 == 0 {
            hub.disconnect(guests.swap_remove(number % guests.len()));
        }
    };
    for begin in [Hub::scan_rooms, Hub::scan_users] {
        let listed = names(&mut hub, 7, begin, &mut churn);
        let once: BTreeSet<&String> = listed.iter().map(|(name, _)| name).collect();
        assert_eq!(once.len(), listed.len(), "somebody is listed twice");
        assert!(stay.iter().all(|name| once.contains(name)), "{listed:?}");
    }
}

#[test]
fn a_user_stays_while_its_connections_change() {
    let mut hub = hub();
    for n in 0..20 {
        enter(&mut hub, &format!("u{n}"), "r");
    }
    let mut latest = enter(&mut hub, "changing", "r");
    let change = |hub: &mut Hub| {
        let next = enter(hub, "changing", "r");
        hub.disconnect(std::mem::replace(&mut latest, next));
    };
    let listed = names(&mut hub, 4, Hub::scan_users, change);
    assert_eq!(listed.len(), 21);
    assert!(listed.contains(&("changing".to_owned(), 1)), "{listed:?}");
}

#[test]
fn connections_are_listed_by_name_by_user_and_by_room() {
    let mut hub = hub();
    let ann: Vec<_> = (0..5).map(|_| enter(&mut hub, "ann", "r")).collect();
    let bob: Vec<_> = (0..5).map(|_| enter(&mut hub, "bob", "s")).collect();
    assert_eq!(hub.join(bob[0], "r", Join::default()), Ok(Step::Done));
    let page = |whose: &Whose, after: Option<ConnectionId>, limit: usize| {
        let mut scan = hub.scan_connections(whose.clone(), after, limit);
        while scan.look(&hub, 2) {}
        scan.into_page()
    };
    let all: Vec<ConnectionKey> = ann.iter().chain(&bob).copied().collect();
    assert_eq!(page(&Whose::All, None, 99), all);
    assert_eq!(page(&Whose::All, Some(id(all[3])), 4), all[4..8]);
    assert_eq!(page(&Whose::User("bob".into()), None, 3), bob[..3]);
    assert_eq!(page(&Whose::User("bob".into()), Some(id(bob[2])), 3), bob[3..]);
    let members: Vec<ConnectionKey> = ann.iter().chain(&bob[..1]).copied().collect();
    assert_eq!(page(&Whose::Room("r".into()), None, 99), members);
    assert_eq!(page(&Whose::Room("nobody's".into()), None, 99), []);
    let elsewhere = |shard| Some(ConnectionId { shard: ShardId(shard), key: all[9] });
    assert_eq!(page(&Whose::All, elsewhere(1), 99), [], "another shard's names come behind");
    let options = Options { shard: ShardId(1), shards: 2, name_seed: 1, epoch_seed: 2 };
    let mut other = Hub::new(options, hub.limits);
    let key = other.connect("eve".into(), Wire::Native);
    let mut scan = other.scan_connections(Whose::All, elsewhere(0), 99);
    scan.look(&other, 9);
    assert_eq!(scan.into_page(), [key]);
}

#[test]
fn a_connection_is_seen_with_its_user_and_some_of_its_rooms() {
    let mut hub = hub();
    let key = enter(&mut hub, "ann", "a");
    assert_eq!(hub.join(key, "b", Join::default()), Ok(Step::Done));
    let seen = hub.see(key, 99).expect("it is there");
    assert_eq!(
        (&*seen.user, seen.rooms.iter().map(|room| &**room).collect::<Vec<_>>()),
        ("ann", vec!["a", "b"])
    );
    assert_eq!(hub.see(key, 1).expect("it is there").rooms.len(), 1);
    assert_eq!((hub.members("a"), hub.relation(key, "a")), (1, Relation::Member));
    assert_eq!((hub.members("c"), hub.relation(key, "c")), (0, Relation::Stranger));
    hub.disconnect(key);
    assert!(hub.see(key, 1).is_none() && !hub.is_here(key));
    assert_eq!(hub.relation(key, "a"), Relation::Stranger);
}

#[test]
fn a_name_is_parsed_if_it_is_one_that_is_displayed() {
    let mut hub = hub();
    let name = id(enter(&mut hub, "ann", "a"));
    assert_eq!(ConnectionId::parse(&name.to_string()), Some(name));
    assert_eq!(name.to_string(), "00000000000100000001");
    for bad in [
        "",
        "0000000000010000000",
        "000000000001000000010",
        "0000000000010000000x",
        "+0000000000100000001",
        "0000000000010000000A",
        // An even version is nobody's: as a key it would be the odd one's.
        "00000000000000000001",
        "0000000000010000000\u{e9}",
    ] {
        assert_eq!(ConnectionId::parse(bad), None, "{bad}");
    }
}

#[test]
fn of_a_connection_that_is_watched_the_last_rooms_are_known_until_it_is_gone() {
    for (watched, ended) in [(true, ["a", "b"].as_slice()), (false, &[])] {
        let mut hub = hub();
        let key = enter(&mut hub, "ada", "a");
        if watched {
            hub.watch(key);
        }
        assert_eq!(hub.join(key, "b", Join::default()), Ok(Step::Done));
        let rooms = |hub: &Hub| {
            let mut names: Vec<String> = hub.rooms_of(key).iter().map(|name| name.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(rooms(&hub), ["a", "b"]);
        hub.say_goodbye(key, CloseCode::GOING_AWAY, "");
        assert_eq!((hub.members("a"), hub.members("b")), (0, 0));
        assert_eq!(rooms(&hub), *ended);
        hub.say_goodbye(key, CloseCode::GOING_AWAY, "again");
        assert_eq!(rooms(&hub), *ended, "a second goodbye changes nothing");
        hub.disconnect(key);
        assert_eq!(rooms(&hub), [""; 0]);
        assert!(hub.last_rooms.is_empty(), "nothing is kept of who is gone");
    }
}

#[test]
fn as_many_last_rooms_are_remembered_as_are_told() {
    let limits = Limits { rooms_per_connection: 200, ..hub().limits };
    let mut hub = hub();
    hub.set_limits(limits);
    let key = hub.connect("ada".into(), Wire::Native);
    hub.watch(key);
    for n in 0..150 {
        assert_eq!(hub.join(key, &format!("r{n}"), Join::default()), Ok(Step::Done));
    }
    hub.say_goodbye(key, CloseCode::GOING_AWAY, "");
    assert_eq!(hub.rooms_of(key).len(), ROOMS_REMEMBERED_MAX);
}
