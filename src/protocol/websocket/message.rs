//! Frames to messages (RFC 6455 sections 5.4 and 5.5): the state of one connection's input.
//!
//! Owns what must outlive a read: the beginning of a header, the frame being received, the message
//! under assembly. Never allocates for what a peer only announced, and holds no heap between messages.

use super::close::{self, CloseCode, Violation};
use super::frame::{self, HEADER_LEN_MAX, Header, Opcode};
use super::mask;
use super::utf8::{self, Pending};
use crate::protocol::Decoded;

/// What a peer's messages may cost. Each is judged on the header that breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of a data frame. A control frame has its 125 by the RFC.
    pub frame: u64,
    /// Payload bytes of a message, over all its frames.
    pub message: u64,
    /// Frames of a message; at least 1, or no message passes.
    pub fragments: u32,
}

/// Decodes what a client sends, from the first byte after the handshake on.
///
/// Give it every byte once, in order, however they were cut:
///
/// ```
/// # use vestibule::protocol::websocket::{Decoder, Event, Limits};
/// # let limits = Limits { frame: 1 << 16, message: 1 << 16, fragments: 1024 };
/// # let mut decoder = Decoder::default();
/// # let mut received = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x82\x80\0\0\0\0";
/// # let mut texts = 0;
/// let mut at = 0;
/// loop {
///     let step = decoder.decode(&mut received[at..], &limits)?;
///     at += step.used;
///     match step.event {
///         Some(Event::Text(text)) => {
///             assert_eq!(text, b"Hello");
/// #           texts += 1;
///         }
///         Some(_) => {}
///         None => break,
///     }
/// }
/// # assert_eq!((at, texts), (received.len(), 1));
/// # Ok::<(), vestibule::protocol::websocket::Violation>(())
/// ```
///
/// After a close frame or a [`Violation`] the input is over: what is given still is discarded, as
/// RFC 6455 sections 1.4 and 7.1.7 ask for, and no event comes any more. A decoder is of no use after an
/// error: close the connection with the violation's code and drop it.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    message: Option<Message>,
    /// Of a text message, a code point that its next piece must finish.
    pending: Pending,
    /// The message's payload so far, and behind it that of a control frame that came in between.
    buffer: Vec<u8>,
    /// How much of `buffer`'s end belongs to a control frame, in bytes.
    control_len: u8,
    lent: Lent,
}

/// What a call of [`Decoder::decode`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes consumed from the front of the input; all of them, if no event came.
    pub used: usize,
    /// The event that ended the call.
    pub event: Option<Event<'a>>,
}

/// A whole message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message: UTF-8, checked. Mutable so that JSON can be parsed in place.
    Text(&'a mut [u8]),
    /// A binary message.
    Binary(&'a mut [u8]),
    /// A ping, to be answered by a pong with the same payload (at most 125 bytes).
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer's last frame: its code and reason, if it gave one.
    Close(Option<(CloseCode, &'a str)>),
}

impl Decoder {
    /// Takes bytes from the front of `input` until an event is complete or all are used.
    ///
    /// A message in one frame that lies in `input` whole is unmasked there and returned from there;
    /// what comes in pieces is gathered in one buffer, which grows with what has arrived. That buffer
    /// goes with the next call: call until no event comes, and an idle decoder holds no heap.
    ///
    /// # Errors
    /// What is against RFC 6455 or `limits`, as soon as the bytes that prove it are there: a header at its
    /// end or before, a text at the byte that is not UTF-8. The events before it have all been returned.
    pub fn decode<'a>(&'a mut self, input: &'a mut [u8], limits: &Limits) -> Result<Step<'a>, Violation> {
        self.reclaim();
        let mut used = 0;
        while used < input.len() {
            let (taken, ready) = self.advance(&mut input[used..], limits)?;
            used += taken;
            if let Some(Ready { kind, place }) = ready {
                let payload = match place {
                    Place::Input { len } => &mut input[used - len..used],
                    Place::Buffer { start } => &mut self.buffer[start..],
                };
                let event = match kind {
                    Kind::Text => Event::Text(payload),
                    Kind::Binary => Event::Binary(payload),
                    Kind::Ping => Event::Ping(payload),
                    Kind::Pong => Event::Pong(payload),
                    Kind::Close => Event::Close(close::decode(payload)?),
                };
                return Ok(Step { used, event: Some(event) });
            }
        }
        Ok(Step { used, event: None })
    }

    /// Heap bytes held: for a message under assembly at most 1 KiB or twice what has arrived of it,
    /// and the 125 of a control frame.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.capacity()
    }

    /// Lets go of what the last call lent.
    #[inline]
    fn reclaim(&mut self) {
        match self.lent {
            Lent::Nothing => return,
            Lent::Control => self.buffer.truncate(self.buffer.len() - usize::from(self.control_len)),
            Lent::All => self.buffer.clear(),
        }
        self.lent = Lent::Nothing;
        self.control_len = 0;
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }

    /// Takes a header, or what there is of one, and what there is of its payload.
    #[inline]
    fn advance(&mut self, input: &mut [u8], limits: &Limits) -> Result<(usize, Option<Ready>), Violation> {
        // `Over` stays where anything below refuses what came.
        let (mut frame, header_len) = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Ok((input.len(), None)),
            State::Payload(frame) => (frame, 0),
            State::Header(mut begun) => match begun.complete(input)? {
                Decoded::Complete { item, used } => (self.begin_frame(item, limits)?, used),
                Decoded::Incomplete { .. } => {
                    self.state = State::Header(begun);
                    return Ok((input.len(), None));
                }
            },
        };
        let rest = &mut input[header_len..];
        let len = usize::try_from(frame.remaining).map_or(rest.len(), |remaining| remaining.min(rest.len()));
        let piece = &mut rest[..len];
        let ascii = mask::unmask(piece, frame.key);
        frame.remaining -= len as u64;
        if frame.kind == Kind::Text && !(ascii && self.pending.is_empty()) {
            self.judge_text(piece, frame.ends_message())?;
        }
        let ready = match frame.kind {
            Kind::Text | Kind::Binary => self.take_data(&frame, piece, limits),
            Kind::Ping | Kind::Pong | Kind::Close => self.take_control(&frame, piece),
        };
        if frame.remaining > 0 {
            frame.key = mask::advance(frame.key, len);
            self.state = State::Payload(frame);
        } else if frame.kind == Kind::Close {
            self.lent = Lent::All;
        } else {
            self.state = State::default();
        }
        Ok((header_len + len, ready))
    }

    /// Judges a header by the message it belongs to and by the limits.
    #[inline]
    fn begin_frame(&mut self, header: Header, limits: &Limits) -> Result<Frame, Violation> {
        let Header { fin, opcode, len, key } = header;
        let kind = match (opcode, &mut self.message) {
            (Opcode::Ping, _) => Kind::Ping,
            (Opcode::Pong, _) => Kind::Pong,
            (Opcode::Close, _) => Kind::Close,
            (Opcode::Continuation, None) => return Err(Violation::ContinuationAlone),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::MessageInterrupted),
            (Opcode::Continuation, Some(message)) => {
                message.frames = message.frames.saturating_add(1);
                message.kind
            }
            (Opcode::Text | Opcode::Binary, message) => {
                let kind = if opcode == Opcode::Text { Kind::Text } else { Kind::Binary };
                *message = Some(Message { kind, frames: 1 });
                kind
            }
        };
        if !opcode.is_control() {
            let frames = self.message.as_ref().map_or(0, |message| message.frames);
            // What was announced before has arrived: a frame begins where the last one ended.
            self.judge_size(len, frames, limits)?;
        }
        Ok(Frame { remaining: len, key, fin, kind })
    }

    #[inline]
    fn judge_size(&self, len: u64, frames: u32, limits: &Limits) -> Result<(), Violation> {
        if len > limits.frame {
            return Err(Violation::FrameTooLong { len, max: limits.frame });
        }
        let len = len.saturating_add(self.buffer.len() as u64);
        if len > limits.message {
            return Err(Violation::MessageTooLong { len, max: limits.message });
        }
        if frames > limits.fragments {
            return Err(Violation::TooManyFragments { max: limits.fragments });
        }
        Ok(())
    }

    /// Judges an unmasked piece of a text.
    fn judge_text(&mut self, piece: &[u8], last: bool) -> Result<(), Violation> {
        if last && self.pending.is_empty() {
            return if utf8::is_valid(piece) { Ok(()) } else { Err(Violation::NotUtf8) };
        }
        self.pending.push(piece).map_err(|_| Violation::NotUtf8)?;
        if last && !self.pending.is_empty() { Err(Violation::NotUtf8) } else { Ok(()) }
    }

    /// Takes an unmasked piece of a data frame.
    #[inline]
    fn take_data(&mut self, frame: &Frame, piece: &[u8], limits: &Limits) -> Option<Ready> {
        let last = frame.ends_message();
        let place = if last && self.buffer.is_empty() {
            Place::Input { len: piece.len() }
        } else {
            self.gather(frame, piece, limits);
            Place::Buffer { start: 0 }
        };
        if !last {
            return None;
        }
        self.message = None;
        Some(Ready { kind: frame.kind, place })
    }

    /// Appends a piece to the message under assembly.
    fn gather(&mut self, frame: &Frame, piece: &[u8], limits: &Limits) {
        let len = self.buffer.len() + piece.len();
        // A last frame tells how long the message will be, any other one nothing. Both are within the
        // limit; what is reserved follows what has come.
        let most = if frame.fin { len as u64 + frame.remaining } else { limits.message };
        self.reserve(len, usize::try_from(most).unwrap_or(usize::MAX));
        self.buffer.extend_from_slice(piece);
        if frame.ends_message() {
            self.lent = Lent::All;
        }
    }

    /// Takes an unmasked piece of a control frame.
    fn take_control(&mut self, frame: &Frame, piece: &[u8]) -> Option<Ready> {
        let last = frame.remaining == 0;
        if last && self.control_len == 0 {
            return Some(Ready { kind: frame.kind, place: Place::Input { len: piece.len() } });
        }
        if !piece.is_empty() {
            // Exactly: it must not double what a long message holds.
            self.buffer.reserve_exact(piece.len() + frame.remaining as usize);
            self.buffer.extend_from_slice(piece);
        }
        self.control_len += piece.len() as u8;
        last.then(|| {
            self.lent = Lent::Control;
            Ready {
                kind: frame.kind,
                place: Place::Buffer { start: self.buffer.len() - usize::from(self.control_len) },
            }
        })
    }

    /// Makes room for `len` bytes in all: twice that, to copy each byte but a few times, though no
    /// more than `most`.
    fn reserve(&mut self, len: usize, most: usize) {
        if len > self.buffer.capacity() {
            let capacity = (2 * len).max(CAPACITY_FIRST).min(most).max(len);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }
}

/// Where in the stream the next byte stands.
#[derive(Debug)]
enum State {
    Header(HeaderBegun),
    Payload(Frame),
    /// Behind a close frame or a violation.
    Over,
}

impl Default for State {
    fn default() -> Self {
        Self::Header(HeaderBegun::default())
    }
}

/// The beginning of a header that was cut.
#[derive(Debug, Default)]
struct HeaderBegun {
    bytes: [u8; HEADER_LEN_MAX],
    len: u8,
}

impl HeaderBegun {
    /// Completes the header from the front of `input`, or keeps all of `input`. `used` counts bytes
    /// of `input`.
    #[inline]
    fn complete(&mut self, input: &[u8]) -> Result<Decoded<Header>, Violation> {
        if self.len == 0
            && let complete @ Decoded::Complete { .. } = frame::decode(input)?
        {
            return Ok(complete);
        }
        self.complete_cut(input)
    }

    fn complete_cut(&mut self, input: &[u8]) -> Result<Decoded<Header>, Violation> {
        let mut used = 0;
        loop {
            let held = usize::from(self.len);
            let needed = match frame::decode(&self.bytes[..held])? {
                Decoded::Complete { item, .. } => return Ok(Decoded::Complete { item, used }),
                Decoded::Incomplete { needed } => needed,
            };
            let take = (needed - held).min(input.len() - used);
            if take == 0 {
                return Ok(Decoded::Incomplete { needed });
            }
            self.bytes[held..held + take].copy_from_slice(&input[used..used + take]);
            self.len += take as u8;
            used += take;
        }
    }
}

/// The frame being received.
#[derive(Debug)]
struct Frame {
    /// Payload bytes still to come.
    remaining: u64,
    /// The masking key, turned to the next byte.
    key: u32,
    fin: bool,
    kind: Kind,
}

impl Frame {
    /// Whether the last byte of its message has come. Says nothing of a control frame's.
    fn ends_message(&self) -> bool {
        self.fin && self.remaining == 0
    }
}

/// The message being received.
#[derive(Debug)]
struct Message {
    kind: Kind,
    frames: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
    Close,
}

/// An event whose payload is complete, and where that lies.
struct Ready {
    kind: Kind,
    place: Place,
}

enum Place {
    /// The last bytes taken from the input.
    Input { len: usize },
    /// The buffer, from `start` on.
    Buffer { start: usize },
}

/// What of the buffer the last call returned.
#[derive(Debug, Default)]
enum Lent {
    #[default]
    Nothing,
    /// The control frame at its end.
    Control,
    /// The message, or what nobody will want any more behind a close frame.
    All,
}

/// The least that is reserved for a message that comes in pieces, in bytes.
const CAPACITY_FIRST: usize = 1024;

#[cfg(test)]
mod tests;
