//! How a connection ends: the close codes, what a peer can do to earn one, and the close frame.
//!
//! Every [`Violation`] is the peer's doing and knows the code to close with; its text is the reason
//! and fits into a close frame. Never closes anything itself.

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::frame::{CONTROL_LEN_MAX, Opcode, encode_header};

/// A close code that may stand in a close frame (RFC 6455 section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server drains, or the peer navigates away.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the frames are not RFC 6455.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that is not taken here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: a text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: against a policy of this server.
    pub const POLICY: Self = Self(1008);
    /// 1009: a frame or a message longer than its limit.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: our fault.
    pub const INTERNAL: Self = Self(1011);
    /// 1013: overloaded, try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 4001: no identity, or one that was refused; the client stops.
    pub const UNAUTHORIZED: Self = Self(4001);
    /// 4003: an identity that may not be here; the client stops.
    pub const FORBIDDEN: Self = Self(4003);
    /// 4008: the member was too slow; the client reconnects and resumes.
    pub const TOO_SLOW: Self = Self(4008);
    /// 4010: the token expired; the client reconnects with a fresh one.
    pub const TOKEN_EXPIRED: Self = Self(4010);
    /// 4029: too many messages; the client reconnects with a long back-off.
    pub const TOO_MANY_MESSAGES: Self = Self(4029);

    /// The code of a received close frame, or `None` for one that must not be sent: below 1000,
    /// 1004, 1005, 1006, 1015 to 2999 (reserved, or for use inside an endpoint), 5000 and above.
    ///
    /// 1012 to 1014 came after the RFC, by IANA's registry, and are taken.
    #[must_use]
    pub fn from_wire(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u16 {
        self.0
    }
}

/// What a peer did against RFC 6455 or a limit. The connection is to be closed with
/// [`close_code`](Self::close_code), and the `Display` form, at most 123 bytes, as the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// RSV1 to RSV3 set without an extension that gives them a meaning (section 5.2).
    #[error("reserved bits are set and no extension was negotiated")]
    ReservedBits,
    /// Opcodes 3 to 7 and 11 to 15 (section 5.2).
    #[error("opcode {opcode} is reserved")]
    ReservedOpcode {
        /// The opcode as sent.
        opcode: u8,
    },
    /// A client masks every frame (section 5.1).
    #[error("a client's frame must be masked")]
    Unmasked,
    /// A length in more bytes than it needs (section 5.2).
    #[error("length {len} is not in its shortest encoding")]
    LengthNotMinimal {
        /// The length as sent, in bytes.
        len: u64,
    },
    /// A 64-bit length whose top bit is set (section 5.2).
    #[error("the top bit of a 64-bit length is set")]
    LengthTopBit,
    /// A control frame whose length does not fit into seven bits (section 5.5).
    #[error("a control frame carries at most 125 bytes")]
    ControlTooLong,
    /// A control frame without FIN (section 5.5).
    #[error("a control frame must not be fragmented")]
    ControlFragmented,
    /// A continuation frame with no message to continue (section 5.4).
    #[error("a continuation frame continues no message")]
    ContinuationAlone,
    /// A new text or binary frame before the last message was finished (section 5.4).
    #[error("a new message began before the last one was finished")]
    MessageInterrupted,
    /// A close frame with a payload of one byte: neither empty nor a code (section 5.5.1).
    #[error("a close frame carries nothing, or a code of two bytes")]
    CloseTruncated,
    /// A close code that must not be sent (section 7.4).
    #[error("close code {code} must not be sent")]
    CloseCodeInvalid {
        /// The code as sent.
        code: u16,
    },
    /// A text message or a close reason that is not UTF-8 (section 8.1).
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A data frame announces more than `limits.frame`.
    #[error("frame of {len} bytes, limit {max}")]
    FrameTooLong {
        /// The length announced, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },
    /// The frames of a message announce more than `limits.message` together.
    #[error("message of {len} bytes or more, limit {max}")]
    MessageTooLong {
        /// What the message's frames so far announced, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },
    /// A message comes in more frames than `limits.fragments`.
    #[error("message of more than {max} frames")]
    TooManyFragments {
        /// The limit, in frames.
        max: u32,
    },
}

impl Violation {
    /// The code to close with.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode { .. }
            | Self::Unmasked
            | Self::LengthNotMinimal { .. }
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationAlone
            | Self::MessageInterrupted
            | Self::CloseTruncated
            | Self::CloseCodeInvalid { .. } => CloseCode::PROTOCOL_ERROR,
            Self::NotUtf8 => CloseCode::INVALID_DATA,
            Self::FrameTooLong { .. } | Self::MessageTooLong { .. } => CloseCode::TOO_BIG,
            // Not 1009: a client that hears "too big" may answer with smaller fragments, of which
            // there are then more. The bytes were fine; sending them in crumbs is against policy.
            Self::TooManyFragments { .. } => CloseCode::POLICY,
        }
    }
}

/// Appends an unmasked close frame. Of `reason`, what fits is sent: at most 123 bytes, cut between
/// two characters.
pub fn encode_close(out: &mut BytesMut, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(REASON_LEN_MAX)];
    encode_header(out, Opcode::Close, CODE_LEN + reason.len());
    out.put_u16(code.to_wire());
    out.put_slice(reason.as_bytes());
}

/// The unmasked payload of a close frame, of any length but one (section 5.5.1).
///
/// # Errors
/// A code that must not be sent; a reason that is not UTF-8.
pub(super) fn decode(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<CODE_LEN>() else { return Ok(None) };
    let code = u16::from_be_bytes(*code);
    let code = CloseCode::from_wire(code).ok_or(Violation::CloseCodeInvalid { code })?;
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some((code, reason)))
}

const CODE_LEN: usize = 2;
const REASON_LEN_MAX: usize = CONTROL_LEN_MAX - CODE_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: CloseCode, reason: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode_close(&mut out, code, reason);
        out.to_vec()
    }

    #[test]
    fn a_close_frame_is_code_and_reason() {
        assert_eq!(closed(CloseCode::NORMAL, ""), [0x88, 0x02, 0x03, 0xE8]);
        assert_eq!(closed(CloseCode::UNAUTHORIZED, "no"), [0x88, 0x04, 0x0F, 0xA1, b'n', b'o']);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let fits = "x".repeat(123);
        assert_eq!(closed(CloseCode::POLICY, &fits)[..2], [0x88, 125]);
        assert_eq!(closed(CloseCode::POLICY, &format!("{fits}y"))[4..], *fits.as_bytes());
        // The euro sign's three bytes would end at 124: it goes whole.
        let euro = format!("{}\u{20AC}", "x".repeat(121));
        assert_eq!(closed(CloseCode::POLICY, &euro)[..2], [0x88, 123]);
        assert_eq!(closed(CloseCode::POLICY, &euro)[4..], *"x".repeat(121).as_bytes());
    }

    #[test]
    fn only_codes_that_may_be_sent_are_taken() {
        for code in 0..=u16::MAX {
            let may = match code {
                1004..=1006 | 1015 => false,
                1000..=1014 | 3000..=4999 => true,
                _ => false,
            };
            assert_eq!(CloseCode::from_wire(code).is_some(), may, "{code}");
        }
    }

    #[test]
    fn our_own_codes_may_be_sent() {
        use CloseCode as C;
        let ours = [
            (C::NORMAL, 1000),
            (C::GOING_AWAY, 1001),
            (C::PROTOCOL_ERROR, 1002),
            (C::UNSUPPORTED, 1003),
            (C::INVALID_DATA, 1007),
            (C::POLICY, 1008),
            (C::TOO_BIG, 1009),
            (C::INTERNAL, 1011),
            (C::TRY_AGAIN_LATER, 1013),
            (C::UNAUTHORIZED, 4001),
            (C::FORBIDDEN, 4003),
            (C::TOO_SLOW, 4008),
            (C::TOKEN_EXPIRED, 4010),
            (C::TOO_MANY_MESSAGES, 4029),
        ];
        for (code, number) in ours {
            assert_eq!(code.to_wire(), number);
            assert_eq!(C::from_wire(number), Some(code));
        }
    }

    #[test]
    fn a_payload_is_nothing_or_code_and_text() {
        assert_eq!(decode(b""), Ok(None));
        assert_eq!(decode(b"\x03\xE8"), Ok(Some((CloseCode::NORMAL, ""))));
        assert_eq!(decode(b"\x0F\xA0caf\xC3\xA9"), Ok(Some((CloseCode(4000), "caf\u{e9}"))));
        assert_eq!(decode(b"\x03\xEE"), Err(Violation::CloseCodeInvalid { code: 1006 }));
        assert_eq!(decode(b"\x03\xE8caf\xC3"), Err(Violation::NotUtf8));
    }

    #[test]
    fn every_reason_fits_into_a_close_frame_and_every_code_may_be_sent() {
        let all = [
            (Violation::ReservedBits, 1002),
            (Violation::ReservedOpcode { opcode: 15 }, 1002),
            (Violation::Unmasked, 1002),
            (Violation::LengthNotMinimal { len: 65_535 }, 1002),
            (Violation::LengthTopBit, 1002),
            (Violation::ControlTooLong, 1002),
            (Violation::ControlFragmented, 1002),
            (Violation::ContinuationAlone, 1002),
            (Violation::MessageInterrupted, 1002),
            (Violation::CloseTruncated, 1002),
            (Violation::CloseCodeInvalid { code: u16::MAX }, 1002),
            (Violation::NotUtf8, 1007),
            (Violation::FrameTooLong { len: u64::MAX, max: u64::MAX }, 1009),
            (Violation::MessageTooLong { len: u64::MAX, max: u64::MAX }, 1009),
            (Violation::TooManyFragments { max: u32::MAX }, 1008),
        ];
        for (violation, code) in all {
            assert!(violation.to_string().len() <= REASON_LEN_MAX, "{violation}");
            assert_eq!(violation.close_code().to_wire(), code, "{violation}");
        }
    }
}
