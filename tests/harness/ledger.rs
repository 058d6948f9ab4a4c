//! The ledger: what publishers say they published against what members say they heard (RELIABILITY, part B, row 12).
//!
//! A publisher notes each publication before it sends it, and what was answered; a member keeps a journal of what it
//! heard and of what it was told is missing. The checker believes neither the server nor its positions: what was
//! acknowledged was heard or told to be missing, nothing was heard twice or out of order, and nothing that nobody
//! published. Every room has one publisher, which numbers its publications upwards from 1.
#![allow(clippy::disallowed_types, reason = "the threads of a test share it")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

/// What a publisher knows of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has its place in the order.
    Acknowledged,
    /// It was refused.
    Rejected,
    /// The answer never came.
    Unknown,
}

/// What all publishers of a run have done.
#[derive(Default)]
pub(crate) struct Ledger {
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// Counts whatever is noted: what is noted later has a higher number.
    clock: u64,
    rooms: HashMap<String, BTreeMap<u64, Publication>>,
}

#[derive(Debug, Clone, Copy)]
struct Publication {
    sent: u64,
    outcome: Outcome,
}

/// What one member heard in one room, over all its connections.
pub(crate) struct Journal {
    member: String,
    room: String,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
enum Line {
    /// It is a member: what is sent from this moment on it has to hear.
    Joined(u64),
    Heard(u64),
    /// It was told that something is missing here.
    Gap,
}

/// How a run went.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) acknowledged: usize,
    pub(crate) rejected: usize,
    pub(crate) unknown: usize,
    pub(crate) heard: usize,
    pub(crate) gaps: usize,
    /// What is wrong, each in words: silent loss, a duplicate, disorder, a phantom.
    pub(crate) faults: Vec<String>,
}

impl Ledger {
    /// About to publish `number` in a room: until something else is said nobody knows what became of it.
    pub(crate) fn sends(&self, room: &str, number: u64) {
        let mut written = self.written.lock().expect("nobody panics over it");
        written.clock += 1;
        let publication = Publication { sent: written.clock, outcome: Outcome::Unknown };
        let before = written.rooms.entry(room.to_owned()).or_default().insert(number, publication);
        assert!(before.is_none(), "{number} was published in {room} before");
    }

    /// What became of it.
    pub(crate) fn tells(&self, room: &str, number: u64, outcome: Outcome) {
        let mut written = self.written.lock().expect("nobody panics over it");
        let known = written.rooms.get_mut(room).and_then(|room| room.get_mut(&number));
        known.expect("it was sent").outcome = outcome;
    }

    fn now(&self) -> u64 {
        let mut written = self.written.lock().expect("nobody panics over it");
        written.clock += 1;
        written.clock
    }

    /// Holds all journals against it, once everybody has heard the last that was published.
    pub(crate) fn account(&self, journals: &[Journal]) -> Account {
        let written = self.written.lock().expect("nobody panics over it");
        let mut account = Account::default();
        for publication in written.rooms.values().flat_map(BTreeMap::values) {
            match publication.outcome {
                Outcome::Acknowledged => account.acknowledged += 1,
                Outcome::Rejected => account.rejected += 1,
                Outcome::Unknown => account.unknown += 1,
            }
        }
        let nothing = BTreeMap::new();
        for journal in journals {
            journal.check(written.rooms.get(&journal.room).unwrap_or(&nothing), &mut account);
        }
        account
    }
}

impl Journal {
    pub(crate) fn new(member: impl Into<String>, room: impl Into<String>) -> Self {
        Self { member: member.into(), room: room.into(), lines: Vec::new() }
    }

    pub(crate) fn member(&self) -> &str {
        &self.member
    }

    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    /// It has seen that it is a member now.
    pub(crate) fn joined(&mut self, ledger: &Ledger) {
        self.lines.push(Line::Joined(ledger.now()));
    }

    pub(crate) fn heard(&mut self, number: u64) {
        self.lines.push(Line::Heard(number));
    }

    /// It was told that something is missing.
    pub(crate) fn gap(&mut self) {
        self.lines.push(Line::Gap);
    }

    /// The last that it heard.
    pub(crate) fn last(&self) -> Option<u64> {
        self.lines
            .iter()
            .rev()
            .find_map(|line| if let Line::Heard(number) = line { Some(*number) } else { None })
    }

    fn check(&self, published: &BTreeMap<u64, Publication>, account: &mut Account) {
        let mut heard = HashSet::new();
        let (mut since, mut last, mut told) = (u64::MAX, 0, false);
        for line in &self.lines {
            match *line {
                Line::Joined(moment) => since = since.min(moment),
                Line::Gap => (told, account.gaps) = (true, account.gaps + 1),
                Line::Heard(number) => {
                    account.heard += 1;
                    if published.get(&number).is_none_or(|it| it.outcome == Outcome::Rejected) {
                        self.complain(account, format!("phantom {number}"));
                    }
                    if !heard.insert(number) {
                        self.complain(account, format!("{number} came twice"));
                    } else if number <= last {
                        self.complain(account, format!("{number} came behind {last}"));
                    }
                    if !told {
                        self.check_loss(published, (since, last, number), account);
                    }
                    (last, told) = (last.max(number), false);
                }
            }
        }
        if !told {
            self.check_loss(published, (since, last, u64::MAX), account);
        }
    }

    /// Between two that were heard nothing may be missing that was acknowledged, and sent since it was a member.
    fn check_loss(
        &self,
        published: &BTreeMap<u64, Publication>,
        (since, last, next): (u64, u64, u64),
        account: &mut Account,
    ) {
        for (number, publication) in published.range(last + 1..next.max(last + 1)) {
            let due = last > 0 || publication.sent > since;
            if publication.outcome == Outcome::Acknowledged && due {
                self.complain(account, format!("{number} was lost in silence"));
            }
        }
    }

    fn complain(&self, account: &mut Account, what: String) {
        account.faults.push(format!("{} in {}: {what}", self.member, self.room));
    }
}
