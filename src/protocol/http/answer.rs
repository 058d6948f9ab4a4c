//! Heads of a server's answers: found without looking at a byte twice, judged once they are whole.
//!
//! Owns the grammar of the status line, and where an answer's body ends (RFC 9112, section 6.3). As strict as the
//! reading of requests: an answer that two readers could end at different places is none. It must not read a body,
//! or wait.

use super::fields::{elements, length_of};
use super::lines::{LineSearch, LinesError, read_fields, split_first_line};
use crate::protocol::Decoded;
use http::{HeaderMap, StatusCode, Version, header};

/// Finds the end of an answer's head in a buffer that grows, and reads the head when it is there.
///
/// One is enough for a connection: it is ready for the next head after each whole one, interim ones (1xx) too. After
/// an error the connection has to be dropped, for nobody knows where the next answer would begin.
#[derive(Debug, Default)]
pub struct AnswerDecoder {
    search: LineSearch,
    /// Interim answers since the last final one.
    interim: usize,
}

impl AnswerDecoder {
    /// Looks for a head at the front of `buffer`, which holds what it held at the last call, and maybe more. What
    /// follows the head in `buffer` is left alone.
    ///
    /// # Errors
    /// The answer is malformed, see [`AnswerError`]: as soon as the byte that is wrong has come for what concerns lines
    /// and sizes, otherwise when the head is whole. The verdict does not depend on how the bytes were cut.
    pub fn decode(&mut self, buffer: &[u8], asked: Asked) -> Result<Decoded<AnswerHead>, AnswerError> {
        let Some(end) = self.search.find_end(buffer, ANSWER_HEAD_MAX)? else {
            return Ok(Decoded::Incomplete { needed: buffer.len() + 1 });
        };
        let item = AnswerHead::read(&buffer[..end], asked)?;
        self.interim = if item.is_interim() { self.interim + 1 } else { 0 };
        if self.interim > INTERIM_MAX {
            return Err(AnswerError::TooManyInterim);
        }
        Ok(Decoded::Complete { item, used: end })
    }
}

/// What an answer is an answer to, as far as its framing depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Any request but the following.
    Plain,
    /// HEAD: no body, whatever the fields say.
    Head,
    /// An upgrade to WebSocket: 101 is an answer.
    Upgrade,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// From 100 to 599; 101 only where an upgrade was asked for.
    pub status: StatusCode,
    /// 1.1 or 1.0.
    pub version: Version,
    /// The fields as sent, in order within a name; those of one hop too.
    pub headers: HeaderMap,
    /// How the body is framed.
    pub body: AnswerBody,
    /// Whether the connection may be used again once the answer is whole and nothing came behind it.
    pub keep_alive: bool,
}

/// Where the body of an answer ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerBody {
    /// There is none: 1xx, 204, 304, an answer to HEAD.
    None,
    /// After so many bytes, as Content-Length says.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// Where the connection ends.
    UntilClose,
}

impl AnswerHead {
    /// Whether another head follows, of the same request: 1xx, but for 101, behind which nothing is HTTP.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// What Content-Length says, of a body that is not sent too: in an answer to HEAD, or with 304.
    pub fn length(&self) -> Option<u64> {
        length_of(&self.headers).flatten()
    }

    /// Reads a whole head, every line of which ends in CRLF, the last of them blank.
    fn read(head: &[u8], asked: Asked) -> Result<Self, AnswerError> {
        let (line, fields) = split_first_line(head).ok_or(AnswerError::StatusLine)?;
        let (version, status) = read_status_line(line)?;
        if status == StatusCode::SWITCHING_PROTOCOLS
            && (asked != Asked::Upgrade || version == Version::HTTP_10)
        {
            return Err(AnswerError::Switching);
        }
        let headers = read_fields(fields)?;
        let (mut nominations, mut closes) = (0, false);
        for name in elements(&headers, &header::CONNECTION) {
            nominations += 1;
            closes |= name.eq_ignore_ascii_case(b"close");
            if nominations > NOMINATIONS_MAX {
                return Err(AnswerError::Connection);
            }
        }
        let framed = framing_of(&headers, version)?;
        let bodiless = status.is_informational() || has_no_body(status);
        if status.is_informational() && !matches!(framed, AnswerBody::UntilClose | AnswerBody::Length(0)) {
            return Err(AnswerError::InterimBody);
        }
        let body = if bodiless || asked == Asked::Head { AnswerBody::None } else { framed };
        // Who frames a body where there is none may send it all the same.
        let astray = status == StatusCode::NO_CONTENT
            && matches!(framed, AnswerBody::Chunked | AnswerBody::Length(1..));
        let keep_alive = version == Version::HTTP_11 && body != AnswerBody::UntilClose && !astray && !closes;
        Ok(Self { status, version, headers, body, keep_alive })
    }
}

/// Statuses that have no body in any answer (RFC 9110, sections 15.3.5 and 15.4.5).
pub(super) fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// `HTTP/1.1 200 OK`, or the same without a reason, with or without the space before it. What the reason says is nobody's
/// concern (RFC 9112, section 4).
fn read_status_line(line: &[u8]) -> Result<(Version, StatusCode), AnswerError> {
    let (version, rest) = match line.split_at_checked(b"HTTP/1.1 ".len()) {
        Some((b"HTTP/1.1 ", rest)) => (Version::HTTP_11, rest),
        Some((b"HTTP/1.0 ", rest)) => (Version::HTTP_10, rest),
        _ => return Err(AnswerError::StatusLine),
    };
    let (digits, reason) = rest.split_at_checked(3).ok_or(AnswerError::StatusLine)?;
    if !matches!(digits, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return Err(AnswerError::StatusLine);
    }
    let status = StatusCode::from_bytes(digits).map_err(|_| AnswerError::StatusLine)?;
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    match reason {
        [] => Ok((version, status)),
        [b' ', text @ ..] if text.iter().all(is_text) => Ok((version, status)),
        _ => Err(AnswerError::StatusLine),
    }
}

/// What the fields say of the body, whatever the status and the request say.
fn framing_of(headers: &HeaderMap, version: Version) -> Result<AnswerBody, AnswerError> {
    let length = length_of(headers).ok_or(AnswerError::ContentLength)?;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(length.map_or(AnswerBody::UntilClose, AnswerBody::Length));
    };
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(AnswerError::TransferEncoding);
    }
    match (version, length) {
        (Version::HTTP_11, None) => Ok(AnswerBody::Chunked),
        (Version::HTTP_11, Some(_)) => Err(AnswerError::Framing),
        _ => Err(AnswerError::OldTransferEncoding),
    }
}

/// What a server did to have its answer refused. The connection is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The head did not end within [`ANSWER_HEAD_MAX`], or cannot any more.
    #[error("its head is too large")]
    TooLarge,
    /// There are more than [`FIELDS_MAX`](super::FIELDS_MAX) fields.
    #[error("it has more than 100 header fields")]
    TooManyFields,
    /// A line ends otherwise than in CRLF.
    #[error("a line of its head does not end in CRLF")]
    LineEnd,
    /// The first line is not a version, three digits from 100 to 599 and maybe a reason.
    #[error("its status line is malformed")]
    StatusLine,
    /// A line is no field: no name, whitespace around the name, folding, a control character.
    #[error("one of its header fields is malformed")]
    Field,
    /// Connection names more than [`NOMINATIONS_MAX`] things.
    #[error("its Connection field is too long")]
    Connection,
    /// Content-Length stands twice, is a list, no number, or too large.
    #[error("its Content-Length is not one number")]
    ContentLength,
    /// Content-Length and Transfer-Encoding stand together.
    #[error("it has both Content-Length and Transfer-Encoding")]
    Framing,
    /// Transfer-Encoding is not the one word `chunked`.
    #[error("its Transfer-Encoding is not chunked")]
    TransferEncoding,
    /// HTTP/1.0 has no Transfer-Encoding.
    #[error("it has a Transfer-Encoding in HTTP/1.0")]
    OldTransferEncoding,
    /// 101 to a request for no upgrade.
    #[error("it switches protocols unasked")]
    Switching,
    /// A body is announced with 1xx, which has none.
    #[error("it announces a body with an interim status")]
    InterimBody,
    /// More than [`INTERIM_MAX`] interim answers, and no final one.
    #[error("it has too many interim answers")]
    TooManyInterim,
}

impl From<LinesError> for AnswerError {
    fn from(error: LinesError) -> Self {
        match error {
            LinesError::NoFirstLine => Self::StatusLine,
            LinesError::FirstLineTooLong | LinesError::TooLong => Self::TooLarge,
            LinesError::TooManyFields => Self::TooManyFields,
            LinesError::LineEnd => Self::LineEnd,
            LinesError::Field => Self::Field,
        }
    }
}

/// Most bytes of an answer's head, its blank line included.
pub const ANSWER_HEAD_MAX: usize = 64 * 1024;

/// Most interim answers before the final one; some servers send one every few seconds while they work.
pub const INTERIM_MAX: usize = 1000;

/// Most elements of a Connection field, of a request or an answer: each is looked for among the fields.
pub const NOMINATIONS_MAX: usize = 16;

#[cfg(test)]
mod tests;
