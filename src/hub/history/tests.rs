//! What is kept, for how long, and who is sent it.

use super::*;
use crate::hub::{Accepted, ConnectionKey, Join, Limits, Options, ShardId, Step, Wire};

const SECOND: u64 = 1000;

fn hub(history_bytes: u64) -> Hub {
    let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 2 };
    let limits = Limits { lag_bytes: 8 << 10, rooms_per_connection: 10, history_bytes, connections: 10 };
    let mut hub = Hub::new(options, limits);
    hub.set_keeper(Box::new(|room| match room {
        "short" => Keep { publications: 3, ttl_ms: 60 * SECOND },
        "brief" => Keep { publications: 100, ttl_ms: 10 * SECOND },
        "none" => Keep::NONE,
        _ => Keep { publications: 100, ttl_ms: 60 * SECOND },
    }));
    hub
}

fn publish(hub: &mut Hub, room: &str, payload: &str) -> Option<Position> {
    let publication = Publication { payload: payload.as_bytes().into(), ..Publication::default() };
    match hub.publish_here(room, &Arc::new(publication)) {
        Accepted::At(position) => position,
        Accepted::Wait => panic!("nobody lags"),
    }
}

fn held(hub: &mut Hub, room: &str, since: Option<Since>) -> (Option<bool>, Vec<String>) {
    let read = hub.history(room, since, usize::MAX).expect("a history");
    let text = |publication: &Publication| String::from_utf8_lossy(&publication.payload).into_owned();
    (read.recovered, read.publications.iter().map(|(_, publication)| text(publication)).collect())
}

fn join(hub: &mut Hub, room: &str, since: Option<Since>) -> ConnectionKey {
    let key = hub.connect("ada".into(), Wire::Native);
    assert_eq!(hub.join(key, room, Join { since, ..Join::default() }), Ok(Step::Done));
    key
}

/// What a connection is sent, payload by payload.
fn sent(hub: &mut Hub, key: ConnectionKey) -> Vec<String> {
    hub.end_turn();
    let mut slices = Vec::new();
    if hub.batch(key, &mut slices) {
        hub.on_written(key);
    }
    let text = String::from_utf8_lossy(&slices.concat()).into_owned();
    let payloads = text.split("\"payload\":").skip(1);
    payloads.map(|rest| rest.split(",\"position\"").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_room_keeps_so_many_publications_and_names_the_place_behind_each() {
    let mut hub = hub(1 << 20);
    let places: Vec<_> = ["1", "2", "3", "4", "5"].map(|payload| publish(&mut hub, "short", payload)).into();
    assert_eq!(
        places.iter().map(|place| place.map(|at| at.offset)).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5].map(Some)
    );
    assert_eq!(held(&mut hub, "short", None), (None, ["3", "4", "5"].map(String::from).into()));
    let since = |index: usize| places[index].map(Since::After);
    assert_eq!(held(&mut hub, "short", since(3)), (Some(true), vec!["5".to_owned()]));
    assert_eq!(held(&mut hub, "short", since(1)).0, Some(true), "all that came behind it is held");
    assert_eq!(held(&mut hub, "short", since(0)).0, Some(false));
    assert_eq!(held(&mut hub, "short", Some(Since::Lost)).0, Some(false));
    assert_eq!(publish(&mut hub, "none", "1"), None);
    assert!(hub.history("none", None, 9).is_none());
}

#[test]
fn what_is_too_old_is_not_handed_out_and_goes_as_time_passes() {
    let mut hub = hub(1 << 20);
    publish(&mut hub, "brief", "1");
    hub.pass_time(6 * SECOND);
    publish(&mut hub, "brief", "2");
    hub.pass_time(9 * SECOND);
    assert_eq!(held(&mut hub, "brief", None).1, ["1", "2"]);
    hub.pass_time(11 * SECOND);
    assert_eq!(hub.census().history_bytes, hub.census().home_bytes);
    assert_eq!(held(&mut hub, "brief", None).1, ["2"]);
    hub.pass_time(17 * SECOND);
    assert_eq!(
        (hub.census().homes, hub.census().home_bytes),
        (0, 0),
        "nobody wants it, and its time is over"
    );
}

#[test]
fn a_room_that_everybody_left_knows_who_comes_back_in_time() {
    let mut hub = hub(1 << 20);
    let ada = join(&mut hub, "room", None);
    let before = publish(&mut hub, "room", "1").map(Since::After);
    hub.disconnect(ada);
    publish(&mut hub, "room", "2");
    hub.pass_time(59 * SECOND);
    let back = join(&mut hub, "room", before);
    assert_eq!(sent(&mut hub, back), ["2"]);
    hub.disconnect(back);
    hub.pass_time(58 * SECOND + 60 * SECOND);
    assert_eq!(hub.census().homes, 1, "it was left at 59 s");
    hub.pass_time(59 * SECOND + 60 * SECOND);
    assert_eq!(hub.census().homes, 0);
    let late = join(&mut hub, "room", before);
    assert_eq!((sent(&mut hub, late).len(), hub.counts().unrecovered), (0, 1), "another epoch");
}

#[test]
fn too_much_history_loses_what_would_expire_soonest() {
    let mut hub = hub(2000);
    publish(&mut hub, "room", &format!("\"{}\"", "a".repeat(598)));
    hub.pass_time(1);
    publish(&mut hub, "brief", &format!("\"{}\"", "b".repeat(598)));
    assert_eq!((hub.census().history_bytes, hub.counts().history_evicted), (1520, 0));
    publish(&mut hub, "room", &format!("\"{}\"", "c".repeat(598)));
    assert_eq!((hub.census().history_bytes, hub.counts().history_evicted), (1520, 1));
    assert_eq!(held(&mut hub, "brief", None).1.len(), 0, "its time is the shorter");
    publish(&mut hub, "room", &format!("\"{}\"", "d".repeat(598)));
    assert_eq!(held(&mut hub, "room", None).1.len(), 2);
}

#[test]
fn where_no_room_has_a_place_one_that_nobody_is_in_makes_it() {
    let mut hub = hub(1 << 20);
    hub.set_homes_max(2);
    publish(&mut hub, "first", "1");
    hub.pass_time(1);
    publish(&mut hub, "second", "2");
    let ada = join(&mut hub, "third", None);
    assert_eq!(hub.census().homes, 2);
    assert_eq!(held(&mut hub, "first", None).1.len(), 0);
    assert_eq!(held(&mut hub, "second", None).1, ["2"]);
    let other = hub.connect("bob".into(), Wire::Native);
    assert_eq!(hub.join(other, "fourth", Join::default()), Ok(Step::Done));
    assert_eq!(hub.join(ada, "fifth", Join::default()), Err(crate::hub::Refusal::NodeFull));
}

#[test]
fn another_rule_takes_hold_of_rooms_that_are_there() {
    let mut hub = hub(1 << 20);
    let ada = join(&mut hub, "room", None);
    for payload in ["1", "2", "3"] {
        publish(&mut hub, "room", payload);
    }
    hub.set_keeper(Box::new(|_| Keep { publications: 2, ttl_ms: SECOND }));
    hub.pass_time(0);
    assert_eq!(held(&mut hub, "room", None).1, ["2", "3"]);
    hub.set_keeper(Box::new(|_| Keep::NONE));
    hub.pass_time(0);
    assert!(hub.history("room", None, 9).is_none());
    assert_eq!((hub.census().home_bytes, hub.census().history_bytes), (0, 0));
    assert_eq!(publish(&mut hub, "room", "4"), None);
    hub.set_keeper(Box::new(|_| Keep { publications: 2, ttl_ms: SECOND }));
    hub.pass_time(0);
    assert_eq!(publish(&mut hub, "room", "5").map(|at| at.offset), Some(5), "the order went on");
    assert_eq!(sent(&mut hub, ada).len(), 5);
    hub.disconnect(ada);
    hub.set_keeper(Box::new(|_| Keep::NONE));
    hub.pass_time(0);
    assert_eq!(hub.census().homes, 0);
}

#[test]
fn more_than_half_of_the_lag_is_not_sent_again_but_told() {
    let mut hub = hub(1 << 20);
    let before = publish(&mut hub, "room", "0").map(Since::After);
    for _ in 0..4 {
        publish(&mut hub, "room", &format!("\"{}\"", "x".repeat(900)));
    }
    let fits = join(&mut hub, "room", before);
    assert_eq!((sent(&mut hub, fits).len(), hub.counts().recovered), (4, 1));
    publish(&mut hub, "room", &format!("\"{}\"", "x".repeat(900)));
    let much = join(&mut hub, "room", before);
    assert_eq!((sent(&mut hub, much).len(), hub.counts().unrecovered), (0, 1));
    let all = join(&mut hub, "room", Some(Since::Earliest));
    assert_eq!((sent(&mut hub, all).len(), hub.counts().recovered), (4, 2), "of all that is held what fits");
    for _ in 0..40 {
        publish(&mut hub, "room", "1");
    }
    let many = join(&mut hub, "room", before);
    assert_eq!((sent(&mut hub, many).len(), hub.counts().unrecovered), (0, 2), "more than is read at a time");
}

#[test]
fn who_is_excluded_by_name_passes_over_it_later_too() {
    let mut hub = hub(1 << 20);
    let mut publication = Publication { payload: b"1"[..].into(), ..Publication::default() };
    publication.exclude.users = [Box::from("ada")].into();
    assert!(matches!(hub.publish_here("room", &Arc::new(publication)), Accepted::At(Some(_))));
    publish(&mut hub, "room", "2");
    let ada = join(&mut hub, "room", Some(Since::Earliest));
    assert_eq!(sent(&mut hub, ada), ["2"]);
    let bob = hub.connect("bob".into(), Wire::Native);
    assert_eq!(
        hub.join(bob, "room", Join { since: Some(Since::Earliest), ..Join::default() }),
        Ok(Step::Done)
    );
    assert_eq!(sent(&mut hub, bob), ["1", "2"]);
}
