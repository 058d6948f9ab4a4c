//! A room's log at one shard: the publications that some local member still has to be sent.
//!
//! New publications are encoded into the open chunk; sealing it at the end of a turn makes it
//! immutable and shared by the writes of all members. Knows no socket and no connection state: the
//! hub asks for the slices after a cursor. Each chunk counts the cursors that stand in it, and the
//! front goes when its count is zero; a cursor stands until its write is done, so what is held here
//! is all that the room's members hold.

use std::collections::VecDeque;

use bytes::Bytes;

use super::chunk::{Chunk, Open, Reader};
use super::{ConnectionKey, Position, Publication};
use crate::protocol::Format;

/// The log of one room.
#[derive(Default)]
pub(super) struct Log {
    open: Open,
    chunks: VecDeque<Standing>,
    /// The number of the front chunk.
    first: u64,
    /// Cursors that have every sealed chunk behind them.
    at_head: u32,
    /// Bytes ever sealed, by format.
    sealed_bytes: ByFormat<u64>,
    held_bytes: usize,
    members_by_format: [u32; Format::COUNT],
}

/// One of each format, at the index that `as usize` gives.
pub(super) type ByFormat<T> = [T; Format::COUNT];

/// A place in the log: the number of the chunk that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor(u64);

/// A chunk, and who has yet to be sent it.
struct Standing {
    chunk: Chunk,
    /// Cursors that stand before this chunk and behind the one in front of it.
    cursors: u32,
    /// Bytes sealed before it, by format.
    start: ByFormat<u64>,
}

impl Log {
    /// Appends a publication, encoded for every format in use, and the place behind it: told to members if the room
    /// is `kept`. `skip` are the local connections that pass over it. Returns in how many formats that was.
    pub(super) fn append(
        &mut self,
        room: &str,
        publication: &Publication,
        (position, kept): (Position, bool),
        skip: &[ConnectionKey],
    ) -> u64 {
        let formats = self.formats();
        self.held_bytes += self.open.append(formats, room, publication, (position, kept));
        self.open.skip_last(skip);
        formats.into_iter().map(u64::from).sum()
    }

    /// Appends the word that publications are missing here.
    pub(super) fn append_gap(&mut self, room: &str, position: Position) {
        let formats = self.formats();
        self.held_bytes += self.open.append_gap(formats, room, position);
    }

    fn formats(&self) -> [bool; Format::COUNT] {
        self.members_by_format.map(|members| members > 0)
    }

    /// Seals what was appended since the last time, and returns its size in bytes by format; `None` if that was nothing.
    pub(super) fn seal(&mut self) -> Option<ByFormat<usize>> {
        if self.open.is_empty() {
            return None;
        }
        let chunk = self.open.seal();
        let sizes = chunk.sizes();
        self.chunks.push_back(Standing { chunk, cursors: self.at_head, start: self.sealed_bytes });
        self.at_head = 0;
        for (sealed, size) in self.sealed_bytes.iter_mut().zip(sizes) {
            *sealed += size as u64;
        }
        self.trim();
        Some(sizes)
    }

    /// A cursor for a new member: it has what is appended from here on. The open chunk must have been
    /// sealed, for a cursor stands between chunks only.
    pub(super) fn attach(&mut self, format: Format) -> Cursor {
        assert!(self.open.is_empty(), "a cursor would stand inside the open chunk");
        self.members_by_format[format as usize] += 1;
        self.at_head += 1;
        self.head()
    }

    /// Takes a cursor out.
    pub(super) fn detach(&mut self, cursor: Cursor, format: Format) {
        self.members_by_format[format as usize] -= 1;
        *self.standing(cursor) -= 1;
        self.trim();
    }

    /// Moves a cursor forward, and returns how many bytes of its format that was.
    pub(super) fn advance(&mut self, from: Cursor, to: Cursor, format: Format) -> usize {
        if from == to {
            return 0;
        }
        let begin = self.chunks.get_mut((from.0 - self.first) as usize).expect("a cursor before another");
        begin.cursors -= 1;
        let start = begin.start[format as usize];
        let end = match self.chunks.get_mut((to.0 - self.first) as usize) {
            Some(chunk) => {
                chunk.cursors += 1;
                chunk.start[format as usize]
            }
            None => {
                self.at_head += 1;
                self.sealed_bytes[format as usize]
            }
        };
        self.trim();
        (end - start) as usize
    }

    /// Where a cursor stands that has everything sealed.
    pub(super) fn head(&self) -> Cursor {
        Cursor(self.first + self.chunks.len() as u64)
    }

    /// Sealed bytes of a format between two cursors: what whoever is told in it lacks.
    pub(super) fn distance(&self, from: Cursor, to: Cursor, format: Format) -> usize {
        (self.start(to, format) - self.start(from, format)) as usize
    }

    /// Gathers what `who` is to be sent from `from` on, until `slices` holds `slices_max`.
    /// Returns the cursor behind the last chunk gathered.
    pub(super) fn gather(
        &self,
        from: Cursor,
        mut who: Reader<'_>,
        slices: &mut Vec<Bytes>,
        slices_max: usize,
    ) -> Cursor {
        let mut at = from;
        for Standing { chunk, .. } in self.chunks.range((from.0 - self.first) as usize..) {
            if slices.len() >= slices_max {
                break;
            }
            chunk.gather_from(0, &mut who, slices);
            at.0 += 1;
        }
        at
    }

    /// Bytes held, encoded, in all formats.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn start(&self, cursor: Cursor, format: Format) -> u64 {
        let chunk = self.chunks.get((cursor.0 - self.first) as usize);
        chunk.map_or(&self.sealed_bytes, |chunk| &chunk.start)[format as usize]
    }

    fn standing(&mut self, cursor: Cursor) -> &mut u32 {
        match self.chunks.get_mut((cursor.0 - self.first) as usize) {
            Some(chunk) => &mut chunk.cursors,
            None => &mut self.at_head,
        }
    }

    fn trim(&mut self) {
        while let Some(front) = self.chunks.pop_front_if(|front| front.cursors == 0) {
            self.held_bytes -= front.chunk.size();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use slotmap::SlotMap;

    use super::*;
    use crate::hub::RoomKey;

    fn publication(payload: &str) -> Publication {
        Publication { payload: payload.as_bytes().into(), ..Publication::default() }
    }

    const NOWHERE: (Position, bool) = (Position { epoch: NonZero::<u32>::MIN, offset: 0 }, false);

    fn reader(connection: ConnectionKey) -> Reader<'static> {
        Reader::new(connection, Format::Native, None, RoomKey::default())
    }

    fn text(log: &Log, cursor: Cursor, connection: ConnectionKey) -> String {
        let mut slices = Vec::new();
        log.gather(cursor, reader(connection), &mut slices, usize::MAX);
        slices.iter().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect()
    }

    fn keys(count: usize) -> Vec<ConnectionKey> {
        let mut slots = SlotMap::with_key();
        (0..count).map(|_| slots.insert(())).collect()
    }

    #[test]
    fn a_member_gets_what_was_appended_after_it_was_attached() {
        let keys = keys(2);
        let mut log = Log::default();
        let early = log.attach(Format::Native);
        log.append("r", &publication("1"), NOWHERE, &[]);
        let sealed = log.seal().expect("something")[0];
        let late = log.attach(Format::Native);
        assert_eq!(sealed, 2 + r#"{"type":"message","room":"r","payload":1}"#.len());
        log.append("r", &publication("2"), NOWHERE, &[]);
        log.seal();
        assert!(text(&log, early, keys[0]).contains(r#""payload":1}"#));
        assert!(text(&log, early, keys[0]).contains(r#""payload":2}"#));
        assert!(!text(&log, late, keys[1]).contains(r#""payload":1}"#));
        assert!(text(&log, late, keys[1]).contains(r#""payload":2}"#));
    }

    #[test]
    fn the_excluded_are_served_slices_around_what_they_pass_over() {
        let keys = keys(3);
        let mut log = Log::default();
        let cursor = log.attach(Format::Native);
        for (number, skip) in [(1, 0), (2, 1), (3, 1), (4, 0), (5, 1)] {
            log.append("r", &publication(&number.to_string()), NOWHERE, &[keys[skip]]);
        }
        log.seal();
        let heard = |connection| {
            let text = text(&log, cursor, connection);
            (1..=5).filter(|number| text.contains(&format!("\"payload\":{number}}}"))).collect::<Vec<_>>()
        };
        assert_eq!(heard(keys[0]), [2, 3, 5]);
        assert_eq!(heard(keys[1]), [1, 4]);
        assert_eq!(heard(keys[2]), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_run_of_one_sender_is_one_skip() {
        let keys = keys(1);
        let mut log = Log::default();
        log.attach(Format::Native);
        for _ in 0..100 {
            log.append("r", &publication("0"), NOWHERE, &[keys[0]]);
        }
        log.seal();
        assert_eq!(log.chunks[0].chunk.skip_count(), 1);
        assert_eq!(text(&log, Cursor(0), keys[0]), "");
    }

    #[test]
    fn the_front_goes_when_the_last_cursor_has_left_it() {
        let mut log = Log::default();
        let a = log.attach(Format::Native);
        let b = log.attach(Format::Native);
        log.append("r", &publication("1"), NOWHERE, &[]);
        let one = log.seal().expect("something")[0];
        log.append("r", &publication("2"), NOWHERE, &[]);
        let two = log.seal().expect("something")[0];
        assert_eq!((log.distance(a, log.head(), Format::Native), log.held_bytes()), (one + two, one + two));
        log.advance(a, log.head(), Format::Native);
        assert_eq!(log.chunks.len(), 2);
        log.advance(b, Cursor(1), Format::Native);
        assert_eq!((log.chunks.len(), log.held_bytes()), (1, two));
        log.detach(Cursor(1), Format::Native);
        assert_eq!((log.chunks.len(), log.held_bytes()), (0, 0));
        assert_eq!(log.at_head, 1);
    }

    #[test]
    fn gathering_stops_between_chunks_at_the_most_slices() {
        let keys = keys(1);
        let mut log = Log::default();
        let cursor = log.attach(Format::Native);
        for _ in 0..10 {
            log.append("r", &publication("1"), NOWHERE, &[]);
            log.seal();
        }
        let mut slices = Vec::new();
        let reached = log.gather(cursor, reader(keys[0]), &mut slices, 4);
        assert_eq!((slices.len(), reached), (4, Cursor(4)));
        assert_eq!(log.gather(reached, reader(keys[0]), &mut slices, 64), log.head());
        assert_eq!(slices.len(), 10);
    }
}
