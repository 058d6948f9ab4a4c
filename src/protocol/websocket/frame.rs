//! The header of a frame (RFC 6455 section 5.2), and the frames we send.
//!
//! Judges a header by itself, byte after byte, so that its verdict does not depend on how it was cut
//! on the way. What needs to know the message or a limit is `message`'s business.

use bytes::{BufMut, BytesMut};

use super::close::Violation;
use crate::protocol::Decoded;

/// The header of a frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the frame is its message's last.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Bytes of payload announced; below 2^63.
    pub len: u64,
    /// The masking key, its first byte on the wire lowest.
    pub key: u32,
}

/// What a frame is (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation = 0x0,
    /// The first frame of a text message.
    Text = 0x1,
    /// The first frame of a binary message.
    Binary = 0x2,
    /// The sender's last frame.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or says unasked that the sender lives.
    Pong = 0xA,
}

impl Opcode {
    /// Whether it may come between the fragments of a message, is never one itself, and has at most
    /// 125 bytes (section 5.5).
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn from_wire(opcode: u8) -> Option<Self> {
        Some(match opcode {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }
}

/// Decodes the header at the front of `buffer`, without its payload.
///
/// # Errors
/// Whatever is against the RFC in the bytes that are there, the first of them first.
#[inline]
pub fn decode(buffer: &[u8]) -> Result<Decoded<Header>, Violation> {
    let Some(&first) = buffer.first() else { return incomplete(HEADER_LEN_MIN) };
    if first & RSV != 0 {
        return Err(Violation::ReservedBits);
    }
    let fin = first & FIN != 0;
    let opcode = first & OPCODE;
    let opcode = Opcode::from_wire(opcode).ok_or(Violation::ReservedOpcode { opcode })?;
    if opcode.is_control() && !fin {
        return Err(Violation::ControlFragmented);
    }

    let Some(&second) = buffer.get(1) else { return incomplete(HEADER_LEN_MIN) };
    if second & MASK == 0 {
        return Err(Violation::Unmasked);
    }
    let short = second & !MASK;
    if opcode.is_control() {
        if usize::from(short) > CONTROL_LEN_MAX {
            return Err(Violation::ControlTooLong);
        }
        if opcode == Opcode::Close && short == 1 {
            return Err(Violation::CloseTruncated);
        }
    }

    let (len, key_at) = match short {
        LEN_16 => {
            let Some(bytes) = array_at(buffer, 2) else { return incomplete(HEADER_LEN_MIN + 2) };
            (minimal(u16::from_be_bytes(bytes).into(), 126)?, 4)
        }
        LEN_64 => {
            let Some(bytes) = array_at(buffer, 2) else { return incomplete(HEADER_LEN_MAX) };
            let len = u64::from_be_bytes(bytes);
            if len >> 63 != 0 {
                return Err(Violation::LengthTopBit);
            }
            (minimal(len, 0x1_0000)?, 10)
        }
        _ => (short.into(), 2),
    };
    let Some(key) = array_at(buffer, key_at) else { return incomplete(key_at + KEY_LEN) };
    let item = Header { fin, opcode, len, key: u32::from_le_bytes(key) };
    Ok(Decoded::Complete { item, used: key_at + KEY_LEN })
}

/// Appends the header of an unmasked, unfragmented frame whose payload of `len` bytes follows.
///
/// # Panics
/// If a control frame is given more than 125 bytes, which is the caller's mistake.
#[inline]
pub fn encode_header(out: &mut BytesMut, opcode: Opcode, len: usize) {
    assert!(!opcode.is_control() || len <= CONTROL_LEN_MAX, "a control frame of {len} bytes");
    let first = FIN | opcode as u8;
    if len < usize::from(LEN_16) {
        out.put_slice(&[first, len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.put_slice(&[first, LEN_16, high, low]);
    } else {
        out.put_slice(&[first, LEN_64]);
        out.put_u64(len as u64);
    }
}

/// Appends an unmasked, unfragmented frame.
///
/// # Panics
/// If a control frame is given more than 125 bytes, which is the caller's mistake.
#[inline]
pub fn encode_frame(out: &mut BytesMut, opcode: Opcode, payload: &[u8]) {
    out.reserve(HEADER_LEN_MAX + payload.len());
    encode_header(out, opcode, payload.len());
    out.put_slice(payload);
}

fn incomplete<T>(needed: usize) -> Result<Decoded<T>, Violation> {
    Ok(Decoded::Incomplete { needed })
}

fn array_at<const N: usize>(buffer: &[u8], at: usize) -> Option<[u8; N]> {
    buffer.get(at..)?.first_chunk().copied()
}

fn minimal(len: u64, least: u64) -> Result<u64, Violation> {
    if len < least { Err(Violation::LengthNotMinimal { len }) } else { Ok(len) }
}

/// The longest payload of a control frame, in bytes.
pub(super) const CONTROL_LEN_MAX: usize = 125;
/// The longest header of a masked frame, in bytes.
pub const HEADER_LEN_MAX: usize = 14;
const HEADER_LEN_MIN: usize = 6;
const KEY_LEN: usize = 4;
const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASK: u8 = 0x80;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(bytes: &[u8]) -> Header {
        match decode(bytes) {
            Ok(Decoded::Complete { item, used }) if used == bytes.len() => item,
            other => panic!("{other:?}"),
        }
    }

    const SHORT: [u8; 6] = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D];
    const MEDIUM: [u8; 8] = [0x02, 0xFE, 0x01, 0x00, 1, 2, 3, 4];
    const LONG: [u8; 14] = [0x80, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];

    #[test]
    fn a_header_has_six_eight_or_fourteen_bytes() {
        assert_eq!(complete(&SHORT), Header { fin: true, opcode: Opcode::Text, len: 5, key: 0x3D21_FA37 });
        assert_eq!(
            complete(&MEDIUM),
            Header { fin: false, opcode: Opcode::Binary, len: 256, key: 0x0403_0201 }
        );
        assert_eq!(
            complete(&LONG),
            Header { fin: true, opcode: Opcode::Continuation, len: 65_536, key: 0x0403_0201 }
        );
    }

    #[test]
    fn every_prefix_of_a_header_asks_for_more_and_never_for_too_much() {
        for whole in [&SHORT[..], &MEDIUM, &LONG] {
            for end in 0..whole.len() {
                match decode(&whole[..end]) {
                    Ok(Decoded::Incomplete { needed }) => assert!(end < needed && needed <= whole.len()),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn every_first_byte_is_taken_or_refused_by_itself() {
        for first in 0..=u8::MAX {
            let verdict = decode(&[first]).err();
            let opcode = first & 0x0F;
            let expected = match first {
                _ if first & 0x70 != 0 => Some(Violation::ReservedBits),
                _ if matches!(opcode, 3..=7 | 11..=15) => Some(Violation::ReservedOpcode { opcode }),
                0x08..=0x0A => Some(Violation::ControlFragmented),
                _ => None,
            };
            assert_eq!(verdict, expected, "{first:#04x}");
        }
    }

    #[test]
    fn every_second_byte_is_taken_or_refused_by_itself() {
        for second in 0..=u8::MAX {
            let masked = second >= 0x80;
            let expected = if masked { None } else { Some(Violation::Unmasked) };
            assert_eq!(decode(&[0x82, second]).err(), expected, "{second:#04x}");
            let expected = if masked && second > 0xFD { Some(Violation::ControlTooLong) } else { expected };
            assert_eq!(decode(&[0x89, second]).err(), expected, "{second:#04x}");
            let expected = if second == 0x81 { Some(Violation::CloseTruncated) } else { expected };
            assert_eq!(decode(&[0x88, second]).err(), expected, "{second:#04x}");
        }
    }

    #[test]
    fn a_length_is_in_its_shortest_encoding() {
        let refused = |bytes: &[u8], len| {
            assert_eq!(decode(bytes), Err(Violation::LengthNotMinimal { len }));
        };
        refused(&[0x82, 0xFE, 0, 0], 0);
        refused(&[0x82, 0xFE, 0, 125], 125);
        assert_eq!(complete(&[0x82, 0xFE, 0, 126, 0, 0, 0, 0]).len, 126);
        assert_eq!(complete(&[0x82, 0xFE, 0xFF, 0xFF, 0, 0, 0, 0]).len, 65_535);
        refused(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1], 1);
        refused(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], 65_535);
        assert_eq!(complete(&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]).len, 65_536);
    }

    #[test]
    fn the_top_bit_of_a_long_length_is_clear() {
        let most = [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
        assert_eq!(complete(&most).len, u64::MAX >> 1);
        assert_eq!(decode(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::LengthTopBit));
    }

    #[test]
    fn our_headers_use_the_shortest_length_and_no_mask() {
        let header = |len| {
            let mut out = BytesMut::new();
            encode_header(&mut out, Opcode::Text, len);
            out.to_vec()
        };
        assert_eq!(header(0), [0x81, 0]);
        assert_eq!(header(125), [0x81, 125]);
        assert_eq!(header(126), [0x81, 126, 0, 126]);
        assert_eq!(header(65_535), [0x81, 126, 0xFF, 0xFF]);
        assert_eq!(header(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn our_frames_are_header_and_payload() {
        let mut out = BytesMut::new();
        encode_frame(&mut out, Opcode::Pong, b"Hello");
        encode_frame(&mut out, Opcode::Binary, b"");
        assert_eq!(out[..], [0x8A, 5, b'H', b'e', b'l', b'l', b'o', 0x82, 0]);
    }

    #[test]
    #[should_panic(expected = "a control frame of 126 bytes")]
    fn a_long_ping_of_ours_is_our_mistake() {
        encode_header(&mut BytesMut::new(), Opcode::Ping, 126);
    }
}
