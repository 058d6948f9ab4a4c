//! The lines of a head, of a request or an answer: where they end, and the fields they hold.
//!
//! Whoever reads a head begins here. It must not know what a first line says, nor what a field means.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Finds the blank line of a head in a buffer that grows. No byte is looked at twice.
#[derive(Debug, Default)]
pub(super) struct LineSearch {
    /// Bytes of the buffer that have been looked at.
    scanned: usize,
    /// Where the line that is being looked at began.
    line_start: usize,
    /// Lines that have ended.
    lines: usize,
    /// Every byte ever handed to the search.
    #[cfg(test)]
    pub(super) searched: usize,
}

impl LineSearch {
    /// The index just past the blank line, if that has come; the search is then ready for the next head. `buffer` holds
    /// what it held at the last call, and maybe more.
    pub(super) fn find_end(&mut self, buffer: &[u8], head_max: usize) -> Result<Option<usize>, LinesError> {
        let window = &buffer[..buffer.len().min(head_max)];
        while let Some(offset) = self.next_line_feed(window) {
            let line_feed = self.scanned + offset;
            let line = &window[self.line_start..line_feed];
            self.scanned = line_feed + 1;
            self.line_start = self.scanned;
            match line {
                [b'\r'] if self.lines == 0 => return Err(LinesError::NoFirstLine),
                [b'\r'] => {
                    let end = self.scanned;
                    (self.scanned, self.line_start, self.lines) = (0, 0, 0);
                    return Ok(Some(end));
                }
                [.., b'\r'] => self.lines += 1,
                _ => return Err(LinesError::LineEnd),
            }
            if self.lines > 1 + FIELDS_MAX {
                return Err(LinesError::TooManyFields);
            }
        }
        self.scanned = window.len();
        match self.lines {
            _ if buffer.len() < head_max => Ok(None),
            0 => Err(LinesError::FirstLineTooLong),
            _ => Err(LinesError::TooLong),
        }
    }

    fn next_line_feed(&mut self, window: &[u8]) -> Option<usize> {
        let unseen = window.get(self.scanned..).unwrap_or_default();
        let offset = memchr::memchr(b'\n', unseen);
        #[cfg(test)]
        {
            self.searched += offset.map_or(unseen.len(), |offset| offset + 1);
        }
        offset
    }
}

/// The first line of a head whose lines all end in CRLF, and what is behind its end. `None` if it has a CR of its own,
/// which is neither part of a line nor its end.
pub(super) fn split_first_line(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let line_end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let (line, rest) = head.split_at(line_end);
    Some((line, rest.strip_prefix(b"\r\n")?))
}

/// Reads the fields of a head, its blank line included.
pub(super) fn read_fields(fields: &[u8]) -> Result<HeaderMap, LinesError> {
    let mut parsed = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let parsed = match httparse::parse_headers(fields, &mut parsed) {
        Ok(httparse::Status::Complete((used, parsed))) if used == fields.len() => parsed,
        Err(httparse::Error::TooManyHeaders) => return Err(LinesError::TooManyFields),
        _ => return Err(LinesError::Field),
    };
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| LinesError::Field)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| LinesError::Field)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What is wrong with the lines of a head; whose head it is says what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinesError {
    /// The head begins with its end.
    NoFirstLine,
    /// The first line alone reaches the limit.
    FirstLineTooLong,
    /// The head does not end within the limit.
    TooLong,
    /// There are more than [`FIELDS_MAX`] fields.
    TooManyFields,
    /// A line ends otherwise than in CRLF.
    LineEnd,
    /// A line is no field.
    Field,
}

/// Most fields of a head. One more refuses it: a field dropped in silence may be the one that mattered.
pub const FIELDS_MAX: usize = 100;
