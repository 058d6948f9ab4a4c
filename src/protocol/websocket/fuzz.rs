//! Fuzz bodies: what a client sends after the handshake, as raw bytes and as frames in any order.
//!
//! Take any bytes, and panic where the decoder breaks a promise: that its verdict does not depend on how the
//! bytes were cut, that it holds no more than has arrived, and that messages are what RFC 6455 has them be.

use bytes::BytesMut;

use super::frame::{self, Header, Opcode};
use super::{CloseCode, Decoder, Event, Limits, Violation, encode_close, encode_header};
use crate::protocol::{Decoded, fuzz::cuts};

/// A stream of raw bytes: its front as a header, and all of it as frames, in every cut.
pub fn frames(input: &[u8]) {
    check_header(input);
    let mut runs = cuts(input).map(|pieces| run(&pieces, &TIGHT));
    let whole = runs.next().expect("the whole is the first way");
    for run in runs {
        assert_eq!(run, whole, "another cut, another verdict");
    }
    check_wide(input, &whole);
}

/// Frames in due form, in any order and of any size: the input says which. A plain model says what comes of them.
///
/// The first byte chooses limits and masking key; then each frame is a byte of FIN and opcode, a length, and that
/// many bytes or as many as there are.
pub fn messages(input: &[u8]) {
    let Some((&choice, mut rest)) = input.split_first() else { return };
    let limits = [TIGHT, WIDE, Limits { frame: 8, message: 20, fragments: 3 }][usize::from(choice % 3)];
    let key = [0, 0x3D21_FA37, 0x0000_00FF, 0x8040_2010][usize::from(choice / 3 % 4)];
    let mut bytes = Vec::new();
    let mut model = Model::new(limits);
    while let [first, len, payload @ ..] = rest {
        let (payload, behind) = payload.split_at(usize::from(*len).min(payload.len()));
        rest = behind;
        // A header that is refused by itself is for the raw bytes.
        let opcode = OPCODES[usize::from(first & 0x7F) % OPCODES.len()];
        let fin = first & 0x80 != 0 || opcode.is_control();
        let payload = if opcode.is_control() { &payload[..payload.len().min(125)] } else { payload };
        let payload = if opcode == Opcode::Close && payload.len() == 1 { &[] } else { payload };
        put_masked(&mut bytes, (fin, opcode), key, payload);
        model.take(fin, opcode, payload);
    }
    for pieces in cuts(&bytes) {
        assert_eq!(run(&pieces, &limits), (model.events.clone(), model.verdict), "otherwise than the model");
    }
}

/// An event with bytes of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

type Outcome = (Vec<Seen>, Result<(), Violation>);

/// All that a fresh decoder says of these pieces.
fn run(pieces: &[&[u8]], limits: &Limits) -> Outcome {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        arrived += piece.len();
        let mut piece = piece.to_vec();
        let mut at = 0;
        loop {
            let step = match decoder.decode(&mut piece[at..], limits) {
                Ok(step) => step,
                Err(violation) => return (seen, Err(violation)),
            };
            at += step.used;
            seen.push(match step.event {
                Some(Event::Text(text)) => {
                    assert!(std::str::from_utf8(text).is_ok(), "a text that is none");
                    Seen::Text(text.to_vec())
                }
                Some(Event::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
                Some(Event::Ping(bytes)) => Seen::Ping(bytes.to_vec()),
                Some(Event::Pong(bytes)) => Seen::Pong(bytes.to_vec()),
                Some(Event::Close(close)) => {
                    Seen::Close(close.map(|(code, reason)| (code.to_wire(), reason.to_owned())))
                }
                None => break,
            });
        }
        assert_eq!(at, piece.len(), "no event, and not all was used");
        assert!(decoder.buffered() <= 1024.max(2 * arrived) + 125, "{} held", decoder.buffered());
    }
    (seen, Ok(()))
}

/// The front of `input` as a header: alike by every prefix, never asking for too much, and written as it was read.
fn check_header(input: &[u8]) {
    let whole = frame::decode(input);
    let decided = match &whole {
        Ok(Decoded::Complete { item, used }) => {
            assert_eq!(&header_of(item)[..], &input[..*used], "written otherwise than it was read");
            *used
        }
        Ok(Decoded::Incomplete { needed }) => {
            assert!(*needed > input.len() && *needed <= 14);
            input.len() + 1
        }
        Err(violation) => {
            check_close(*violation);
            input.len().min(10) + 1
        }
    };
    for end in 0..input.len().min(decided) {
        match frame::decode(&input[..end]) {
            Ok(Decoded::Incomplete { needed }) => assert!(needed > end && needed <= 14),
            // What is refused early is refused for the same.
            early => assert_eq!(early, whole),
        }
    }
}

/// A header as a client writes it.
fn header_of(header: &Header) -> BytesMut {
    let mut out = BytesMut::new();
    // Ours has FIN and no mask, and knows no length beyond memory: on this machine they are all within it.
    encode_header(&mut out, header.opcode, header.len as usize);
    out[0] = u8::from(header.fin) << 7 | header.opcode as u8;
    out[1] |= 0x80;
    out.extend_from_slice(&header.key.to_le_bytes());
    out
}

/// A violation can be said in a close frame.
fn check_close(violation: Violation) {
    let mut out = BytesMut::new();
    encode_close(&mut out, violation.close_code(), &violation.to_string());
    assert_eq!(out.len(), 4 + violation.to_string().len(), "cut off");
}

/// With no limit in its way, a stream comes at least as far, and the events are the same until then.
fn check_wide(input: &[u8], tight: &Outcome) {
    let (wide, verdict) = run(&[input], &WIDE);
    assert_eq!(wide.get(..tight.0.len()), Some(&tight.0[..]));
    match tight.1 {
        Err(
            Violation::FrameTooLong { .. }
            | Violation::MessageTooLong { .. }
            | Violation::TooManyFragments { .. },
        ) => {}
        same => assert_eq!((wide.len(), verdict), (tight.0.len(), same)),
    }
}

fn put_masked(bytes: &mut Vec<u8>, (fin, opcode): (bool, Opcode), key: u32, payload: &[u8]) {
    let header = Header { fin, opcode, len: payload.len() as u64, key };
    bytes.extend_from_slice(&header_of(&header));
    bytes.extend(payload.iter().zip(key.to_le_bytes().iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// RFC 6455, sections 5.4 to 5.6, 7.1 and 8.1, over whole frames and as plainly as can be.
struct Model {
    limits: Limits,
    message: Option<(Opcode, Vec<u8>, u32)>,
    events: Vec<Seen>,
    verdict: Result<(), Violation>,
    over: bool,
}

impl Model {
    fn new(limits: Limits) -> Self {
        Self { limits, message: None, events: Vec::new(), verdict: Ok(()), over: false }
    }

    fn take(&mut self, fin: bool, opcode: Opcode, payload: &[u8]) {
        if self.over {
            return;
        }
        let taken = match opcode {
            Opcode::Ping => self.tell(Seen::Ping(payload.to_vec())),
            Opcode::Pong => self.tell(Seen::Pong(payload.to_vec())),
            Opcode::Close => self.close(payload),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => self.data(fin, opcode, payload),
        };
        if let Err(violation) = taken {
            self.verdict = Err(violation);
            self.over = true;
        }
    }

    fn tell(&mut self, seen: Seen) -> Result<(), Violation> {
        self.events.push(seen);
        Ok(())
    }

    fn close(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.over = true;
        let [high, low, reason @ ..] = payload else { return self.tell(Seen::Close(None)) };
        let code = u16::from_be_bytes([*high, *low]);
        CloseCode::from_wire(code).ok_or(Violation::CloseCodeInvalid { code })?;
        let reason = String::from_utf8(reason.to_vec()).map_err(|_| Violation::NotUtf8)?;
        self.tell(Seen::Close(Some((code, reason))))
    }

    fn data(&mut self, fin: bool, opcode: Opcode, payload: &[u8]) -> Result<(), Violation> {
        let begins = opcode != Opcode::Continuation;
        let (kind, mut bytes, frames) = match (self.message.take(), begins) {
            (Some(_), true) => return Err(Violation::MessageInterrupted),
            (None, false) => return Err(Violation::ContinuationAlone),
            (None, true) => (opcode, Vec::new(), 1),
            (Some((kind, bytes, frames)), false) => (kind, bytes, frames + 1),
        };
        let Limits { frame, message, fragments } = self.limits;
        let (len, total) = (payload.len() as u64, (bytes.len() + payload.len()) as u64);
        if len > frame {
            return Err(Violation::FrameTooLong { len, max: frame });
        }
        if total > message {
            return Err(Violation::MessageTooLong { len: total, max: message });
        }
        if frames > fragments {
            return Err(Violation::TooManyFragments { max: fragments });
        }
        bytes.extend_from_slice(payload);
        if kind == Opcode::Text {
            match std::str::from_utf8(&bytes) {
                Err(error) if fin || error.error_len().is_some() => return Err(Violation::NotUtf8),
                _ => {}
            }
        }
        if !fin {
            self.message = Some((kind, bytes, frames));
            return Ok(());
        }
        self.tell(if kind == Opcode::Text { Seen::Text(bytes) } else { Seen::Binary(bytes) })
    }
}

const OPCODES: [Opcode; 6] =
    [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];

/// Small, so that inputs reach them.
const TIGHT: Limits = Limits { frame: 200, message: 300, fragments: 6 };
const WIDE: Limits = Limits { frame: u64::MAX, message: u64::MAX, fragments: u32::MAX };
