//! Publications of one room, encoded once for every wire format in use and shared by all who are sent them.
//!
//! What is appended goes into an [`Open`] chunk; sealed it is a [`Chunk`], from which each connection is given slices
//! around what it passes over. Knows no member and no cursor.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::connection::Connection;
use super::stream::Stream;
use super::{ConnectionKey, Position, Publication, RoomKey};
use crate::protocol::{Format, native, sse};

/// Whom slices are gathered for.
pub(super) struct Reader<'a> {
    connection: ConnectionKey,
    format: Format,
    /// Of a stream, whose ids may be its own: with the room that is read.
    stream: Option<(&'a mut Stream, RoomKey)>,
    /// What is copied is a batch's, and counted as such; else it goes where it is counted anyway.
    is_batch: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        connection: ConnectionKey,
        format: Format,
        stream: Option<&'a mut Stream>,
        room: RoomKey,
    ) -> Reader<'a> {
        Reader { connection, format, stream: stream.map(|stream| (stream, room)), is_batch: true }
    }

    pub(super) fn of(key: ConnectionKey, room: RoomKey, connection: &'a mut Connection) -> Reader<'a> {
        let reader = Reader::new(key, connection.format, connection.stream.as_deref_mut(), room);
        Reader { is_batch: false, ..reader }
    }
}

/// A chunk that is still being written.
#[derive(Default)]
pub(super) struct Open {
    publications: u32,
    /// In the formats that are in use, mostly one. Idle rooms are many, so that every byte counts here.
    encoded: SmallVec<[OpenEncoding; 1]>,
    skips: Vec<Skip>,
    /// For streams whose ids are their own.
    places: Vec<Place>,
}

struct OpenEncoding {
    format: Format,
    bytes: BytesMut,
    ends: Vec<u32>,
}

/// Where a publication leads, and whether whoever is sent it is told.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: Position,
    told: bool,
}

impl Open {
    pub(super) fn is_empty(&self) -> bool {
        self.publications == 0
    }

    /// Appends a publication in these formats, and returns how many bytes that were.
    pub(super) fn append(
        &mut self,
        formats: [bool; Format::COUNT],
        room: &str,
        publication: &Publication,
        (position, kept): (Position, bool),
    ) -> usize {
        let (event, payload) = (publication.event.as_deref(), &publication.payload);
        let text = kept.then(|| position.text());
        let told = text.as_deref();
        self.encode(formats, Place { position, told: kept }, |format, out| match format {
            Format::Native => native::encode_message(out, room, event, payload, told),
            Format::Stream => sse::encode_message(out, event, payload, told),
            Format::Part => sse::encode_part(out, room, event, payload),
        })
    }

    /// Appends the word that publications are missing here.
    pub(super) fn append_gap(
        &mut self,
        formats: [bool; Format::COUNT],
        room: &str,
        position: Position,
    ) -> usize {
        let text = position.text();
        self.encode(formats, Place { position, told: true }, |format, out| match format {
            Format::Native => native::encode_gap(out, room, &text),
            Format::Stream => sse::encode_gap(out, sse::Framing::Chunked, room, &text, Some(&text)),
            Format::Part => sse::encode_gap_part(out, room, &text),
        })
    }

    fn encode(
        &mut self,
        formats: [bool; Format::COUNT],
        place: Place,
        encode: impl Fn(Format, &mut BytesMut),
    ) -> usize {
        self.publications += 1;
        let mut size = 0;
        for format in Format::ALL {
            if formats[format as usize] {
                let encoded = self.encoding_of(format);
                let before = encoded.bytes.len();
                encode(format, &mut encoded.bytes);
                encoded.ends.push(encoded.bytes.len() as u32);
                size += encoded.bytes.len() - before;
            }
        }
        if formats[Format::Part as usize] {
            self.places.push(place);
        }
        size
    }

    fn encoding_of(&mut self, format: Format) -> &mut OpenEncoding {
        let known = self.encoded.iter().position(|encoding| encoding.format == format);
        let at = known.unwrap_or_else(|| {
            self.encoded.push(OpenEncoding { format, bytes: BytesMut::new(), ends: Vec::new() });
            self.encoded.len() - 1
        });
        &mut self.encoded[at]
    }

    /// These connections pass over what was appended last.
    pub(super) fn skip_last(&mut self, connections: &[ConnectionKey]) {
        let number = self.publications - 1;
        for &connection in connections {
            // One sender's run of publications is one skip.
            match self.skips.last_mut() {
                Some(last) if last.connection == connection && last.until == number => last.until += 1,
                _ => self.skips.push(Skip { connection, from: number, until: number + 1 }),
            }
        }
    }

    /// What was appended so far becomes a chunk; this one is empty again.
    pub(super) fn seal(&mut self) -> Chunk {
        self.skips.sort_unstable_by_key(|skip| (skip.connection, skip.from));
        self.publications = 0;
        let mut chunk = Chunk {
            encoded: SmallVec::new(),
            skips: std::mem::take(&mut self.skips).into(),
            places: std::mem::take(&mut self.places).into(),
            size: 0,
        };
        while let Some(OpenEncoding { format, bytes, ends }) = self.encoded.pop() {
            chunk.size += bytes.len();
            chunk.encoded.push(Encoding { format, bytes: bytes.freeze(), ends: ends.into() });
        }
        chunk
    }
}

/// Publications sealed together.
pub(super) struct Chunk {
    /// In the formats that were in use, mostly one.
    encoded: SmallVec<[Encoding; 1]>,
    /// By connection, then by place.
    skips: Box<[Skip]>,
    /// Of each publication, where there are streams whose ids are their own.
    places: Box<[Place]>,
    size: usize,
}

struct Encoding {
    format: Format,
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

impl Encoding {
    /// Where a publication begins.
    fn start(&self, number: u32) -> usize {
        if number == 0 { 0 } else { self.ends[number as usize - 1] as usize }
    }
}

impl Chunk {
    /// Bytes over all formats.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of each format.
    pub(super) fn sizes(&self) -> [usize; Format::COUNT] {
        let mut sizes = [0; Format::COUNT];
        for encoding in &self.encoded {
            sizes[encoding.format as usize] = encoding.bytes.len();
        }
        sizes
    }

    /// How many publications have to be left out at the front for the rest, each with so many bytes of its own, to have
    /// at most so many.
    pub(super) fn fits(&self, format: Format, own_each: usize, bytes_max: usize) -> u64 {
        let Some(encoding) = self.of(format) else { return 0 };
        let count = encoding.ends.len();
        let is_too_much = |number: &usize| {
            let shared = encoding.bytes.len() - encoding.start(*number as u32);
            shared + (count - number) * own_each > bytes_max
        };
        (0..count).take_while(is_too_much).count() as u64
    }

    /// Runs of connections that pass over something.
    #[cfg(test)]
    pub(super) fn skip_count(&self) -> usize {
        self.skips.len()
    }

    /// Gathers what `who` is to be sent of it, from the publication with this number on.
    #[inline]
    pub(super) fn gather_from(&self, number: u32, who: &mut Reader<'_>, slices: &mut Vec<Bytes>) {
        let Some(encoding) = self.of(who.format) else { return };
        // Mostly all of it, as it is shared by all.
        if number == 0 && self.skips.is_empty() && who.format != Format::Part {
            return slices.push(encoding.bytes.clone());
        }
        self.gather_some((encoding, number), who, slices);
    }

    fn gather_some(
        &self,
        (encoding, number): (&Encoding, u32),
        who: &mut Reader<'_>,
        slices: &mut Vec<Bytes>,
    ) {
        let first = self.skips.partition_point(|skip| skip.connection < who.connection);
        let skips = self.skips[first..].iter().take_while(|skip| skip.connection == who.connection);
        match (who.format, &mut who.stream) {
            (Format::Part, Some((stream, room))) => {
                let copied = self.gather_parts((encoding, number), skips, (stream, *room), slices);
                stream.copied_bytes += if who.is_batch { copied } else { 0 };
            }
            _ => encoding.gather_shared(number, skips, slices),
        }
    }

    #[inline]
    fn of(&self, format: Format) -> Option<&Encoding> {
        self.encoded.iter().find(|encoding| encoding.format == format)
    }

    /// Around every publication stands what is this stream's own: the frame and the id. Returns how many bytes were copied.
    fn gather_parts<'a>(
        &self,
        (encoding, number): (&Encoding, u32),
        skips: impl Iterator<Item = &'a Skip>,
        (stream, room): (&mut Stream, RoomKey),
        slices: &mut Vec<Bytes>,
    ) -> usize {
        let mut skips = skips.peekable();
        let mut own = BytesMut::new();
        let mut copied = 0;
        for number in number..encoding.ends.len() as u32 {
            let place = self.places[number as usize];
            stream.set(room, place.position);
            while skips.next_if(|skip| skip.until <= number).is_some() {}
            if skips.peek().is_some_and(|skip| skip.from <= number) {
                continue;
            }
            let (start, end) = (encoding.start(number), encoding.start(number + 1));
            let token = place.told.then(|| stream.token());
            sse::encode_part_head(&mut own, stream.framing, end - start, token.as_deref());
            // What is small is rather copied than made a slice of its own.
            if end - start <= COPIED_BYTES_MAX {
                own.extend_from_slice(&encoding.bytes[start..end]);
                copied += end - start;
            } else {
                slices.push(own.split().freeze());
                slices.push(encoding.bytes.slice(start..end));
            }
            sse::encode_part_tail(&mut own, stream.framing, token.as_deref());
        }
        if !own.is_empty() {
            slices.push(own.freeze());
        }
        copied
    }
}

impl Encoding {
    fn gather_shared<'a>(&self, number: u32, skips: impl Iterator<Item = &'a Skip>, slices: &mut Vec<Bytes>) {
        let begin = self.start(number);
        let mut from = begin;
        for skip in skips.filter(|skip| skip.until > number) {
            if self.start(skip.from) > from {
                slices.push(self.bytes.slice(from..self.start(skip.from)));
            }
            from = self.start(skip.until);
        }
        if from == 0 && !self.bytes.is_empty() {
            slices.push(self.bytes.clone());
        } else if from < self.bytes.len() {
            slices.push(self.bytes.slice(from..));
        }
    }
}

/// A part of so many bytes at most is copied between what is the stream's own.
const COPIED_BYTES_MAX: usize = 256;
