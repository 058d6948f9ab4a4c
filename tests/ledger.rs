//! The ledger, over members that come and go: WebSockets and streams, cut at random, in rooms with history.
//!
//! A run is short unless VESTIBULE_LEDGER_SECONDS says otherwise. The ledger itself is tried first: it has to find
//! each fault that it is there for.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, reason = "the threads of a test share their journals")]

mod harness;

use harness::{Api, Deadline, Dice, End, Events, Journal, Ledger, Member, Outcome, PATIENCE, Server, Setup};
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Publications 1 to 5 in one room, of which 3 was refused and 4 never answered.
fn write_five(ledger: &Ledger) {
    for (number, outcome) in [
        (1, Outcome::Acknowledged),
        (2, Outcome::Acknowledged),
        (3, Outcome::Rejected),
        (4, Outcome::Unknown),
        (5, Outcome::Acknowledged),
    ] {
        ledger.sends("r", number);
        if outcome != Outcome::Unknown {
            ledger.tells("r", number, outcome);
        }
    }
}

/// What is wrong with a member that joined before all of them; 0 stands for a gap.
fn faults(heard: &[u64]) -> Vec<String> {
    let (ledger, mut journal) = (Ledger::default(), Journal::new("ada", "r"));
    journal.joined(&ledger);
    write_five(&ledger);
    for &number in heard {
        if number == 0 { journal.gap() } else { journal.heard(number) }
    }
    ledger.account(&[journal]).faults
}

#[test]
fn the_ledger_finds_each_fault_that_it_is_there_for() {
    for heard in [&[1, 2, 5][..], &[1, 2, 4, 5], &[1, 0, 5], &[0, 5], &[1, 2, 0], &[0]] {
        assert_eq!(faults(heard), [""; 0], "{heard:?}");
    }
    for (heard, fault) in [
        (&[1, 5][..], "2 was lost in silence"),
        (&[2, 5], "1 was lost in silence"),
        (&[1, 2], "5 was lost in silence"),
        (&[0, 1, 5], "2 was lost in silence"),
        (&[1, 2, 2, 5], "2 came twice"),
        (&[1, 2, 5, 4], "4 came behind 5"),
        (&[1, 2, 3, 5], "phantom 3"),
        (&[1, 2, 5, 6], "phantom 6"),
    ] {
        assert_eq!(faults(heard), [format!("ada in r: {fault}")], "{heard:?}");
    }
    assert_eq!(faults(&[]).len(), 3);
}

#[test]
fn the_ledger_asks_of_nobody_what_was_sent_before_it_was_a_member() {
    let (ledger, mut journal) = (Ledger::default(), Journal::new("ada", "r"));
    write_five(&ledger);
    journal.joined(&ledger);
    ledger.sends("r", 6);
    ledger.tells("r", 6, Outcome::Acknowledged);
    journal.heard(6);
    assert_eq!(ledger.account(&[journal]).faults, [""; 0]);
}

/// What all threads of a run share.
struct Run {
    server: Server,
    ledger: Ledger,
    journals: Mutex<Vec<Journal>>,
    /// The last number of each room, once its publisher is done.
    last: [AtomicU64; ROOMS],
    is_over: AtomicBool,
    cuts: AtomicUsize,
    recovered: AtomicUsize,
}

/// Waits, unless the run ends first.
fn pause(bell: &Receiver<()>, length: Duration) {
    assert_ne!(bell.recv_timeout(length), Ok(()), "nobody sends here");
}

impl Run {
    /// Publishes into a room until the run is over: by the API, and by a WebSocket that is a member of nothing.
    fn publish(&self, room: usize) {
        let name = room_name(room);
        let mut api = Api::of(&self.server);
        let mut speaker = Member::enter(&self.server, "speaker");
        let (_ringer, bell) = channel();
        let mut number = 0;
        while !self.is_over.load(SeqCst) {
            number += 1;
            self.ledger.sends(&name, number);
            if number.is_multiple_of(2) {
                let body = format!("{{\"room\":\"{name}\",\"payload\":{number}}}");
                assert!(api.post("/api/publish", &body)["position"].is_string());
            } else {
                speaker.broadcast(&name, &number.to_string());
            }
            self.ledger.tells(&name, number, Outcome::Acknowledged);
            pause(&bell, PACE);
        }
        self.last[room].store(number, SeqCst);
    }

    /// Comes and goes until the run is over, then stays until it has heard everything.
    fn listen(&self, index: usize, mut dice: Dice) {
        let room = index % ROOMS;
        let user = format!("u{index}");
        let mut journal = Journal::new(user.clone(), room_name(room));
        let mut place = None;
        let (_ringer, bell) = channel();
        loop {
            let stays = Duration::from_millis(50 + dice.below(700) as u64);
            let mut line = if dice.below(2) == 0 {
                Line::Socket(Member::enter(&self.server, &user))
            } else {
                Line::Stream(None)
            };
            line.join(self, &mut journal, &mut place);
            let (leaves, gives_up) = (Deadline::within(stays), Deadline::within(stays + PATIENCE));
            while !leaves.passed() || self.is_over.load(SeqCst) {
                if self.has_all(room, &journal) {
                    self.journals.lock().unwrap().push(journal);
                    return;
                }
                line.hear(LOOK_EVERY.min(gives_up.left()), &mut journal, &mut place);
                assert!(!gives_up.passed(), "{user} is never sent the last");
            }
            self.cuts.fetch_add(1, SeqCst);
            line.cut(&mut dice);
            pause(&bell, Duration::from_millis(dice.below(400) as u64));
        }
    }

    fn has_all(&self, room: usize, journal: &Journal) -> bool {
        let last = self.last[room].load(SeqCst);
        last > 0 && journal.last() == Some(last)
    }
}

/// One connection of a member.
enum Line {
    Socket(Member),
    Stream(Option<Events>),
}

impl Line {
    /// Becomes a member where it was before.
    fn join(&mut self, run: &Run, journal: &mut Journal, place: &mut Option<String>) {
        let room = journal.room().to_owned();
        match self {
            Line::Socket(member) => {
                let since = place.as_ref().map_or(String::new(), |place| format!(",\"since\":\"{place}\""));
                let ack = member.ask("join", &format!("\"room\":\"{room}\"{since}"));
                assert_eq!(ack["type"], "ack", "{ack}");
                match ack["recovered"].as_bool() {
                    Some(true) => _ = run.recovered.fetch_add(1, SeqCst),
                    Some(false) => journal.gap(),
                    None => journal.joined(&run.ledger),
                }
                *place = ack["position"].as_str().map(str::to_owned);
            }
            Line::Stream(events) => {
                let token = run.server.token(journal.member());
                let back = place.as_ref().map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
                let target = format!("/events?room={room}&token={token}");
                let mut opened = Events::open(&run.server, &target, &back);
                let told = opened.begins(1).remove(0);
                match told.strip_prefix("id: ") {
                    Some(_) if place.is_none() => journal.joined(&run.ledger),
                    Some(_) => _ = run.recovered.fetch_add(1, SeqCst),
                    None => journal.gap(),
                }
                *place = Some(field(&told, "id").expect("a place").to_owned());
                *events = Some(opened);
            }
        }
    }

    /// Hears the next, if it comes in this time.
    fn hear(&mut self, limit: Duration, journal: &mut Journal, place: &mut Option<String>) {
        match self {
            Line::Socket(member) => match member.hear_within(limit) {
                Ok(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    match message["type"].as_str() {
                        Some("message") => journal.heard(message["payload"].as_u64().unwrap()),
                        Some("gap") => journal.gap(),
                        other => panic!("{other:?}: {text}"),
                    }
                    *place = Some(message["position"].as_str().expect("a place").to_owned());
                }
                Err(End::Silence) => (),
                Err(end) => panic!("a member was cut: {end:?}"),
            },
            Line::Stream(events) => match events.as_mut().unwrap().block_within(limit) {
                Ok(block) if block.starts_with(':') => (),
                Ok(block) => {
                    match field(&block, "event") {
                        None => journal.heard(field(&block, "data").unwrap().parse().unwrap()),
                        Some("gap") => journal.gap(),
                        Some(other) => panic!("{other}: {block}"),
                    }
                    *place = Some(field(&block, "id").expect("a place").to_owned());
                }
                Err(End::Silence) => (),
                Err(end) => panic!("a listener was cut: {end:?}"),
            },
        }
    }

    /// Hangs up, politely or not, whatever is still unread.
    fn cut(self, dice: &mut Dice) {
        let socket = match self {
            Line::Socket(member) => member.socket,
            Line::Stream(events) => events.unwrap().socket,
        };
        if dice.below(2) == 0 {
            socket.reset();
        }
    }
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn room_name(room: usize) -> String {
    format!("room{room}")
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the length of a run is the operator's of the test")]
fn members_who_are_cut_at_random_hear_everything_once_and_in_order() {
    let seconds = std::env::var("VESTIBULE_LEDGER_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("VESTIBULE_LEDGER_SECONDS is a number"));
    let setup = Setup::new(2).history("room*", 10_000, "5m").variable("RUST_LOG", "info");
    let run = Run {
        server: setup.start(),
        ledger: Ledger::default(),
        journals: Mutex::default(),
        last: Default::default(),
        is_over: AtomicBool::new(false),
        cuts: AtomicUsize::new(0),
        recovered: AtomicUsize::new(0),
    };
    let mut dice = Dice::new("cuts");
    std::thread::scope(|threads| {
        let run = &run;
        for index in 0..MEMBERS {
            let dice = dice.fork();
            threads.spawn(move || run.listen(index, dice));
        }
        for room in 0..ROOMS {
            threads.spawn(move || run.publish(room));
        }
        let (_ringer, bell) = channel::<()>();
        assert_eq!(bell.recv_timeout(Duration::from_secs(seconds)), Err(RecvTimeoutError::Timeout));
        run.is_over.store(true, SeqCst);
    });
    let Run { server, ledger, journals, cuts, recovered, .. } = run;
    let journals = journals.into_inner().unwrap();
    let account = ledger.account(&journals);
    let (cuts, recovered) = (cuts.into_inner(), recovered.into_inner());
    println!(
        "{seconds} s, {} members, {cuts} cuts, {recovered} of them recovered: {} acknowledged, {} heard, {} gaps",
        journals.len(),
        account.acknowledged,
        account.heard,
        account.gaps
    );
    assert_eq!(account.faults, [""; 0]);
    assert_eq!((account.gaps, recovered), (0, cuts), "all of it was held");
    assert!(cuts > 2 * MEMBERS && account.acknowledged > 100, "a run in which little happens proves little");
    server.stop();
}

/// Of a run, unless somebody wants it longer.
const SECONDS: u64 = 6;
const MEMBERS: usize = 300;
const ROOMS: usize = 4;
/// Between two publications of a room.
const PACE: Duration = Duration::from_millis(40);
/// How often a member looks whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
