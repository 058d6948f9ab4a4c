//! A room's log at one shard: the publications that some local member still has to be sent.
//!
//! New publications are encoded into the open chunk; sealing it at the end of a turn makes it
//! immutable and shared by the writes of all members. Knows no socket and no connection state: the
//! hub asks for the slices after a cursor. Each chunk counts the cursors that stand in it, and the
//! front goes when its count is zero; a cursor stands until its write is done, so what is held here
//! is all that the room's members hold.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{ConnectionKey, Position, Publication};
use crate::protocol::{Format, native};

/// The log of one room.
#[derive(Default)]
pub(super) struct Log {
    open: Open,
    chunks: VecDeque<Chunk>,
    /// The number of the front chunk.
    first: u64,
    /// Cursors that have every sealed chunk behind them.
    at_head: u32,
    /// Bytes ever sealed.
    sealed_bytes: u64,
    held_bytes: usize,
    members_by_format: [u32; Format::COUNT],
}

/// A place in the log: the number of the chunk that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor(u64);

impl Log {
    /// Appends a publication, encoded for every format in use. `skip` are the local connections that
    /// pass over it.
    pub(super) fn append(&mut self, room: &str, publication: &Publication, skip: &[ConnectionKey]) {
        let number = self.open.publications;
        for &connection in skip {
            self.open.skip(connection, number);
        }
        let event = publication.event.as_deref();
        self.encode(|format, out| match format {
            Format::Native => native::encode_message(out, room, event, &publication.payload),
        });
    }

    /// Appends the word that publications are missing here.
    pub(super) fn append_gap(&mut self, room: &str, position: Position) {
        let position = position.to_string();
        self.encode(|format, out| match format {
            Format::Native => native::encode_gap(out, room, &position),
        });
    }

    fn encode(&mut self, encode: impl Fn(Format, &mut BytesMut)) {
        self.open.publications += 1;
        for format in Format::ALL {
            if self.members_by_format[format as usize] > 0 {
                let encoded = &mut self.open.encoded[format as usize];
                let before = encoded.bytes.len();
                encode(format, &mut encoded.bytes);
                encoded.ends.push(encoded.bytes.len() as u32);
                self.held_bytes += encoded.bytes.len() - before;
            }
        }
    }

    /// Seals what was appended since the last time, and returns its size in bytes over all formats.
    pub(super) fn seal(&mut self) -> usize {
        if self.open.publications == 0 {
            return 0;
        }
        let chunk = self.open.seal(self.at_head, self.sealed_bytes);
        let size = chunk.size;
        self.at_head = 0;
        self.sealed_bytes += size as u64;
        self.chunks.push_back(chunk);
        self.trim();
        size
    }

    /// A cursor for a new member: it has what is appended from here on. The open chunk must have been
    /// sealed, for a cursor stands between chunks only.
    pub(super) fn attach(&mut self, format: Format) -> Cursor {
        assert!(self.open.publications == 0, "a cursor would stand inside the open chunk");
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

    /// Moves a cursor forward.
    pub(super) fn advance(&mut self, from: Cursor, to: Cursor) {
        if from != to {
            *self.standing(from) -= 1;
            *self.standing(to) += 1;
            self.trim();
        }
    }

    /// Where a cursor stands that has everything sealed.
    pub(super) fn head(&self) -> Cursor {
        Cursor(self.first + self.chunks.len() as u64)
    }

    /// Sealed bytes, over all formats, between two cursors.
    pub(super) fn distance(&self, from: Cursor, to: Cursor) -> usize {
        (self.start(to) - self.start(from)) as usize
    }

    /// Gathers what `connection` is to be sent from `from` on, until `slices` holds `slices_max`.
    /// Returns the cursor behind the last chunk gathered.
    pub(super) fn gather(
        &self,
        from: Cursor,
        who: Reader,
        slices: &mut Vec<Bytes>,
        slices_max: usize,
    ) -> Cursor {
        let mut at = from;
        for chunk in self.chunks.range((from.0 - self.first) as usize..) {
            if slices.len() >= slices_max {
                break;
            }
            chunk.gather(who, slices);
            at.0 += 1;
        }
        at
    }

    /// Bytes held, encoded, in all formats.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn start(&self, cursor: Cursor) -> u64 {
        self.chunks.get((cursor.0 - self.first) as usize).map_or(self.sealed_bytes, |chunk| chunk.start)
    }

    fn standing(&mut self, cursor: Cursor) -> &mut u32 {
        match self.chunks.get_mut((cursor.0 - self.first) as usize) {
            Some(chunk) => &mut chunk.standing,
            None => &mut self.at_head,
        }
    }

    fn trim(&mut self) {
        while self.chunks.front().is_some_and(|chunk| chunk.standing == 0) {
            if let Some(chunk) = self.chunks.pop_front() {
                self.held_bytes -= chunk.size;
                self.first += 1;
            }
        }
    }
}

/// Whom slices are gathered for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) connection: ConnectionKey,
    pub(super) format: Format,
}

/// The chunk that is still being written.
#[derive(Default)]
struct Open {
    publications: u32,
    encoded: [OpenEncoding; Format::COUNT],
    skips: Vec<Skip>,
}

#[derive(Default)]
struct OpenEncoding {
    bytes: BytesMut,
    ends: Vec<u32>,
}

impl Open {
    fn skip(&mut self, connection: ConnectionKey, number: u32) {
        // One sender's run of publications is one skip.
        if let Some(last) = self.skips.last_mut()
            && last.connection == connection
            && last.until == number
        {
            last.until += 1;
            return;
        }
        self.skips.push(Skip { connection, from: number, until: number + 1 });
    }

    fn seal(&mut self, standing: u32, start: u64) -> Chunk {
        self.skips.sort_unstable_by_key(|skip| (skip.connection, skip.from));
        let encoded = std::mem::take(&mut self.encoded);
        self.publications = 0;
        Chunk {
            size: encoded.iter().map(|encoding| encoding.bytes.len()).sum(),
            encoded: encoded.map(|open| Encoding { bytes: open.bytes.freeze(), ends: open.ends.into() }),
            skips: std::mem::take(&mut self.skips).into(),
            standing,
            start,
        }
    }
}

/// Publications sealed in one turn.
struct Chunk {
    encoded: [Encoding; Format::COUNT],
    /// By connection, then by place.
    skips: Box<[Skip]>,
    /// Cursors that stand before this chunk and behind the one in front of it.
    standing: u32,
    /// Bytes sealed before it.
    start: u64,
    size: usize,
}

struct Encoding {
    bytes: Bytes,
    /// Where each publication ends.
    ends: Box<[u32]>,
}

/// Publications `from..until` of a chunk, which one connection passes over.
#[derive(Debug, Clone, Copy)]
struct Skip {
    connection: ConnectionKey,
    from: u32,
    until: u32,
}

impl Chunk {
    fn gather(&self, who: Reader, slices: &mut Vec<Bytes>) {
        let encoding = &self.encoded[who.format as usize];
        let at = |number: u32| if number == 0 { 0 } else { encoding.ends[number as usize - 1] as usize };
        let first = self.skips.partition_point(|skip| skip.connection < who.connection);
        let mut from = 0;
        for skip in self.skips[first..].iter().take_while(|skip| skip.connection == who.connection) {
            if at(skip.from) > from {
                slices.push(encoding.bytes.slice(from..at(skip.from)));
            }
            from = at(skip.until);
        }
        if from == 0 && !encoding.bytes.is_empty() {
            slices.push(encoding.bytes.clone());
        } else if from < encoding.bytes.len() {
            slices.push(encoding.bytes.slice(from..));
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn publication(payload: &str) -> Publication {
        Publication { payload: payload.as_bytes().into(), ..Publication::default() }
    }

    fn text(log: &Log, cursor: Cursor, connection: ConnectionKey) -> String {
        let mut slices = Vec::new();
        log.gather(cursor, Reader { connection, format: Format::Native }, &mut slices, usize::MAX);
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
        log.append("r", &publication("1"), &[]);
        let sealed = log.seal();
        let late = log.attach(Format::Native);
        assert_eq!(sealed, 2 + r#"{"type":"message","room":"r","payload":1}"#.len());
        log.append("r", &publication("2"), &[]);
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
            log.append("r", &publication(&number.to_string()), &[keys[skip]]);
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
            log.append("r", &publication("0"), &[keys[0]]);
        }
        log.seal();
        assert_eq!(log.chunks[0].skips.len(), 1);
        assert_eq!(text(&log, Cursor(0), keys[0]), "");
    }

    #[test]
    fn the_front_goes_when_the_last_cursor_has_left_it() {
        let mut log = Log::default();
        let a = log.attach(Format::Native);
        let b = log.attach(Format::Native);
        log.append("r", &publication("1"), &[]);
        let one = log.seal();
        log.append("r", &publication("2"), &[]);
        let two = log.seal();
        assert_eq!((log.distance(a, log.head()), log.held_bytes()), (one + two, one + two));
        log.advance(a, log.head());
        assert_eq!(log.chunks.len(), 2);
        log.advance(b, Cursor(1));
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
            log.append("r", &publication("1"), &[]);
            log.seal();
        }
        let mut slices = Vec::new();
        let reader = Reader { connection: keys[0], format: Format::Native };
        let reached = log.gather(cursor, reader, &mut slices, 4);
        assert_eq!((slices.len(), reached), (4, Cursor(4)));
        assert_eq!(log.gather(reached, reader, &mut slices, 64), log.head());
        assert_eq!(slices.len(), 10);
    }
}
