//! Request heads: found without looking at a byte twice, judged once they are whole.
//!
//! Owns the grammar of the request line and of the fields that frame a message. Reading is strict (RFC 9112):
//! HTTP/1.1 or 1.0, CRLF, origin-form, one Host, one way to tell where the body ends. It must not read a body, route,
//! or wait.

use super::fields::{body_of, check_expectation, check_host, has_token};
use super::lines::{LineSearch, LinesError, read_fields, split_first_line};
use super::response::Response;
use crate::protocol::Decoded;
use http::{HeaderMap, Method, StatusCode, Version, header};

/// Finds the end of a head in a buffer that grows, and reads the head when it is there.
///
/// One is enough for a connection: it is ready for the next head after each whole one. After an error the
/// connection has to be closed, for nobody knows where the next request would begin.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    search: LineSearch,
}

impl HeadDecoder {
    /// Looks for a head at the front of `buffer`, which holds what it held at the last call, and maybe more.
    ///
    /// The head may be `head_max` bytes long, its blank line included. What follows it in `buffer` is left alone.
    ///
    /// # Errors
    /// Each with its status in [`HeadError::status`], as soon as the byte that is wrong has come for what
    /// concerns lines and sizes, otherwise when the head is whole. The verdict does not depend on how the bytes
    /// were cut.
    pub fn decode(&mut self, buffer: &[u8], head_max: usize) -> Result<Decoded<Head>, HeadError> {
        let Some(end) = self.search.find_end(buffer, head_max)? else {
            return Ok(Decoded::Incomplete { needed: buffer.len() + 1 });
        };
        Ok(Decoded::Complete { item: Head::read(&buffer[..end])?, used: end })
    }
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// Any token; nothing is known of its meaning here.
    pub method: Method,
    /// 1.1 or 1.0; who speaks 1.0 knows no chunks.
    pub version: Version,
    /// The target up to the first `?`: as it was sent, not decoded, beginning with a slash, visible ASCII.
    pub path: String,
    /// The target after the first `?`, if there is one.
    pub query: Option<String>,
    /// The fields, in order within a name, without whitespace around the values.
    pub headers: HeaderMap,
    /// How the body is framed.
    pub body: Body,
    /// Whether the client would have another exchange on this connection after this one.
    pub keep_alive: bool,
}

/// Where the body of a request ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// After so many bytes, as Content-Length says.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// What a client did to have its head refused. The connection is closed after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The head did not end within the limit, or cannot any more.
    #[error("the head of the request is too large")]
    TooLarge,
    /// The request line alone reached the limit (RFC 9112, section 3).
    #[error("the request target is too long")]
    TargetTooLong,
    /// There are more than [`FIELDS_MAX`](super::FIELDS_MAX) fields.
    #[error("the request has more than 100 header fields")]
    TooManyFields,
    /// A line ends otherwise than in CRLF.
    #[error("a line of the head does not end in CRLF")]
    LineEnd,
    /// The first line is not a method, a target and a version with one space between them (RFC 9112, section 3).
    #[error("the request line is malformed")]
    RequestLine,
    /// The version is neither HTTP/1.1 nor HTTP/1.0.
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken here")]
    Version,
    /// The target is not an absolute path with an optional query in visible ASCII (RFC 9112, section 3.2.1).
    #[error("the request target is not a path")]
    Target,
    /// A line is no field: no name, whitespace around the name, folding, a control character (section 5).
    #[error("a header field is malformed")]
    Field,
    /// There is not exactly one Host field with a host in it (section 3.2).
    #[error("the request needs exactly one valid Host field")]
    Host,
    /// Content-Length stands twice, is a list, no number, or too large (RFC 9110, section 8.6).
    #[error("Content-Length is not one number")]
    ContentLength,
    /// Content-Length and Transfer-Encoding stand together: the mark of request smuggling (RFC 9112, section 6.1).
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    Framing,
    /// Transfer-Encoding does not end in its one `chunked` (section 6.3), so nobody knows where the body ends.
    #[error("Transfer-Encoding has to be chunked")]
    TransferEncoding,
    /// HTTP/1.0 has no Transfer-Encoding: whoever sends it there wants readers to differ (section 6.1).
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    OldTransferEncoding,
    /// Transfer-Encoding names a coding besides `chunked` (section 6.1).
    #[error("no transfer coding but chunked is known here")]
    TransferCoding,
    /// Expect asks for anything but `100-continue` (RFC 9110, section 10.1.1).
    #[error("the expectation of the request cannot be met")]
    Expectation,
}

impl HeadError {
    /// The status of the response that is due.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The short code of the response's JSON body.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge | Self::TooManyFields => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::Version => "http_version",
            Self::TransferCoding => "transfer_coding",
            Self::Expectation => "expectation",
            _ => "bad_request",
        }
    }

    /// The response that is due; the connection is to be closed after it.
    pub fn response(self) -> Response {
        Response::json_error(self.status(), self.code(), &self.to_string())
    }
}

impl From<LinesError> for HeadError {
    fn from(error: LinesError) -> Self {
        match error {
            LinesError::NoFirstLine => Self::RequestLine,
            LinesError::FirstLineTooLong => Self::TargetTooLong,
            LinesError::TooLong => Self::TooLarge,
            LinesError::TooManyFields => Self::TooManyFields,
            LinesError::LineEnd => Self::LineEnd,
            LinesError::Field => Self::Field,
        }
    }
}

impl Head {
    /// Reads a whole head, every line of which ends in CRLF, the last of them blank.
    fn read(head: &[u8]) -> Result<Self, HeadError> {
        let (line, fields) = split_first_line(head).ok_or(HeadError::RequestLine)?;
        let (method, (path, query), version) = read_request_line(line)?;
        let headers = read_fields(fields)?;
        check_host(&headers)?;
        if version == Version::HTTP_10 && headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(HeadError::OldTransferEncoding);
        }
        let body = body_of(&headers)?;
        check_expectation(&headers)?;
        // HTTP/1.0 closes unless it is agreed otherwise, and here it is not.
        let keep_alive = version == Version::HTTP_11 && !has_token(&headers, &header::CONNECTION, "close");
        Ok(Self { method, version, path, query, headers, body, keep_alive })
    }
}

fn read_request_line(line: &[u8]) -> Result<(Method, Target, Version), HeadError> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadError::RequestLine);
    };
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(HeadError::Version),
        _ => return Err(HeadError::RequestLine),
    };
    let method = Method::from_bytes(method).map_err(|_| HeadError::RequestLine)?;
    let visible = target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#');
    let target = str::from_utf8(target).ok().filter(|target| visible && target.starts_with('/'));
    let target = target.ok_or(HeadError::Target)?;
    let target = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target.to_owned(), None),
    };
    Ok((method, target, version))
}

/// A path and a query.
type Target = (String, Option<String>);

#[cfg(test)]
mod tests;
