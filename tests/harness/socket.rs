//! A peer of raw bytes: HTTP heads and WebSocket frames as they stand in the RFCs, nothing remembered.

use super::{Deadline, PATIENCE};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    ops::Range,
    time::Duration,
};

/// A blocking connection that reads under a deadline.
pub(crate) struct Socket {
    stream: TcpStream,
    inbox: Inbox,
}

/// Why there is nothing more to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer closed its side in order.
    Fin,
    /// The peer cut the connection.
    Reset,
    /// Nothing came before the deadline.
    Silence,
}

/// One WebSocket frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The first byte on the wire: FIN, RSV and opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

/// A close frame's content; `None` as the code of an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

/// An HTTP response, its body read to the announced length.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Socket {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the server accepts")
    }

    pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// A connection that takes in little while nobody reads it: a receive buffer of 4 KiB.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&address.into()).expect("the server accepts");
        Self::over(socket.into()).expect("a connected socket")
    }

    /// A connection from another address of this host.
    pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let source: std::net::IpAddr = source.parse().expect("an address");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
        socket.connect(&address.into()).expect("the server accepts");
        Self::over(socket.into()).expect("a connected socket")
    }

    /// The same over a connection that is there.
    pub(crate) fn over(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, inbox: Inbox::default() })
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server takes it");
    }

    /// Sends what the server still takes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends as much of it as fits right now, and says how much; `None` once the server has cut the connection.
    pub(crate) fn offer(&mut self, bytes: &[u8]) -> Option<usize> {
        self.stream.set_nonblocking(true).expect("a socket of ours");
        let sent = match self.stream.write(bytes) {
            Ok(sent) => Some(sent),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Some(0),
            Err(_) => None,
        };
        self.stream.set_nonblocking(false).expect("a socket of ours");
        sent
    }

    /// Sends the client's frame of an unfragmented text.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&client_frame(0x81, text.as_bytes()));
    }

    /// One GET and its answer.
    pub(crate) fn get(&mut self, path: &str) -> Result<Response, End> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: vestibule.test\r\n\r\n");
        self.try_send(request.as_bytes()).map_err(|_| End::Reset)?;
        self.response()
    }

    /// Asks for the upgrade, with `extra` header lines, and returns the answer.
    pub(crate) fn upgrade(&mut self, path: &str, extra: &str) -> Response {
        self.send(upgrade_request(path, extra).as_bytes());
        self.response().expect("an answer to the handshake")
    }

    /// The next HTTP response.
    pub(crate) fn response(&mut self) -> Result<Response, End> {
        self.response_within(PATIENCE)
    }

    /// The next HTTP response, if its head and body come in time.
    pub(crate) fn response_within(&mut self, limit: Duration) -> Result<Response, End> {
        let deadline = Deadline::within(limit);
        let mut response = self.response_head(&deadline)?;
        let length = match response.header("content-length") {
            Some(length) => length.parse().expect("a length in digits"),
            None => 0,
        };
        while self.inbox.unread().len() < length {
            self.fill(&deadline)?;
        }
        response.body = self.inbox.take(length);
        Ok(response)
    }

    /// The answer to HEAD: no body follows, whatever length it is said to have.
    pub(crate) fn bodiless(&mut self) -> Result<Response, End> {
        self.response_head(&Deadline::within(PATIENCE))
    }

    fn response_head(&mut self, deadline: &Deadline) -> Result<Response, End> {
        loop {
            if let Some(end) = self.inbox.unread().windows(4).position(|w| w == b"\r\n\r\n") {
                return Ok(Response::of_head(&self.inbox.take(end + 4)));
            }
            self.fill(deadline)?;
        }
    }

    /// The body of a message in chunks, to its last one.
    pub(crate) fn chunked_body(&mut self) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk_within(PATIENCE)?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    /// What comes up to `end`, and `end` itself.
    pub(crate) fn up_to(&mut self, end: &[u8]) -> Result<Vec<u8>, End> {
        let deadline = Deadline::within(PATIENCE);
        loop {
            if let Some(at) = self.inbox.unread().windows(end.len()).position(|bytes| bytes == end) {
                return Ok(self.inbox.take(at + end.len()));
            }
            self.fill(&deadline)?;
        }
    }

    /// The next so many bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> Result<Vec<u8>, End> {
        let deadline = Deadline::within(PATIENCE);
        while self.inbox.unread().len() < length {
            self.fill(&deadline)?;
        }
        Ok(self.inbox.take(length))
    }

    /// What the next chunk of a chunked body holds, if it comes in time; else what came of it stays.
    pub(crate) fn chunk_within(&mut self, limit: Duration) -> Result<Vec<u8>, End> {
        let deadline = Deadline::within(limit);
        loop {
            let unread = self.inbox.unread();
            if let Some(line) = unread.windows(2).position(|two| two == b"\r\n") {
                let digits = std::str::from_utf8(&unread[..line]).expect("a size in digits");
                let size = usize::from_str_radix(digits, 16).expect("a size in hexadecimal");
                let whole = line + 2 + size + 2;
                if unread.len() >= whole {
                    let chunk = self.inbox.take(whole);
                    assert_eq!(&chunk[whole - 2..], b"\r\n", "a chunk ends where it said");
                    return Ok(chunk[line + 2..whole - 2].to_vec());
                }
            }
            self.fill(&deadline)?;
        }
    }

    /// The next frame.
    pub(crate) fn frame(&mut self) -> Result<Frame, End> {
        self.frame_within(PATIENCE)
    }

    /// The next frame, if it comes in time.
    pub(crate) fn frame_within(&mut self, limit: Duration) -> Result<Frame, End> {
        let deadline = Deadline::within(limit);
        loop {
            if let Some((first, payload)) = self.inbox.next_frame() {
                return Ok(Frame { first, payload: self.inbox.bytes[payload].to_vec() });
            }
            self.fill(&deadline)?;
        }
    }

    /// Reads on to the close frame, past other frames, and on to the end of the stream.
    pub(crate) fn closed(&mut self) -> Closed {
        let closed = loop {
            let frame = self.frame().expect("a close frame");
            if let Some(closed) = frame.closed() {
                break closed;
            }
        };
        let end = self.end();
        assert!(end != End::Silence, "after its close frame ({closed:?}) the server closes the connection");
        closed
    }

    /// The answer to a handshake, and behind it the close.
    pub(crate) fn closed_behind_head(&mut self) -> Closed {
        assert_eq!(self.response().expect("an answer to the handshake").status, 101);
        self.closed()
    }

    /// How the stream ends; bytes after what was read are a fault.
    pub(crate) fn end(&mut self) -> End {
        let deadline = Deadline::within(PATIENCE);
        let end = loop {
            if let Err(end) = self.fill(&deadline) {
                break end;
            }
        };
        let left = self.inbox.unread();
        assert!(left.is_empty(), "bytes after the end: {:?}", String::from_utf8_lossy(left));
        end
    }

    /// Waits for the next bytes, and throws them away.
    pub(crate) fn hear(&mut self) -> Result<(), End> {
        self.fill(&Deadline::within(PATIENCE))?;
        self.inbox.take(self.inbox.unread().len());
        Ok(())
    }

    /// Whether something can be read, or the stream has ended, right now.
    pub(crate) fn has_answer(&mut self) -> bool {
        if !self.inbox.unread().is_empty() {
            return true;
        }
        self.stream.set_nonblocking(true).expect("a socket of ours");
        let seen = !matches!(self.stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).expect("a socket of ours");
        seen
    }

    /// FIN: nothing more will be sent, reading goes on.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// RST: the connection is cut.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket of ours");
    }

    /// The stream, and the bytes that were received and not yet looked at.
    pub(crate) fn into_parts(self) -> (TcpStream, Inbox) {
        (self.stream, self.inbox)
    }

    fn fill(&mut self, deadline: &Deadline) -> Result<(), End> {
        // A timeout of zero would mean none at all.
        let wait = deadline.left().max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(wait)).expect("a timeout");
        match self.inbox.read_from(&mut self.stream) {
            Ok(0) => Err(End::Fin),
            Ok(_) => Ok(()),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(End::Silence),
            Err(_) => Err(End::Reset),
        }
    }
}

impl Frame {
    /// The text of a whole text frame.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.first, 0x81, "an unfragmented text frame, not {self:?}");
        std::str::from_utf8(&self.payload).expect("a text frame is UTF-8")
    }

    /// What a close frame says; `None` of another frame.
    pub(crate) fn closed(&self) -> Option<Closed> {
        if self.first != 0x88 {
            return None;
        }
        assert!(
            self.payload.len() != 1 && self.payload.len() <= 125,
            "a close frame of the wrong length: {self:?}"
        );
        let code = self.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let reason = self.payload.get(2..).unwrap_or_default().to_vec();
        Some(Closed { code, reason: String::from_utf8(reason).expect("a close reason is UTF-8") })
    }
}

impl Response {
    fn of_head(head: &[u8]) -> Self {
        let head = std::str::from_utf8(head).expect("a head is ASCII");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().expect("a head has a first line");
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let headers = lines.take_while(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.unwrap_or_else(|| panic!("no status line: {status_line:?}")),
            headers: headers.collect(),
            body: Vec::new(),
        }
    }

    /// The value of a header; twice the same header is a fault.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "two headers {name}");
        value
    }

    /// Whether the server said that it would close.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

/// Received bytes, and how far they were looked at.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: Vec<u8>,
    start: usize,
}

impl Inbox {
    /// Reads once, behind what is there.
    pub(crate) fn read_from(&mut self, stream: &mut impl Read) -> std::io::Result<usize> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let length = self.bytes.len();
        // A copy: to fill byte by byte takes 300 us without optimisation.
        self.bytes.extend_from_slice(&[0; READ]);
        let result = stream.read(&mut self.bytes[length..]);
        self.bytes.truncate(length + *result.as_ref().unwrap_or(&0));
        result
    }

    /// What was received and not yet looked at.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The first byte of the next whole frame, and where in `bytes` its payload stands.
    pub(crate) fn next_frame(&mut self) -> Option<(u8, Range<usize>)> {
        let unread = &self.bytes[self.start..];
        let (first, second) = (*unread.first()?, *unread.get(1)?);
        assert!(second < 0x80, "a server's frame is not masked (RFC 6455 section 5.1)");
        let (header, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(*unread.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*unread.get(2..)?.first_chunk()?) as usize),
            short => (2, usize::from(short)),
        };
        if unread.len() - header < length {
            return None;
        }
        let payload = self.start + header..self.start + header + length;
        self.start = payload.end;
        Some((first, payload))
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.bytes[self.start..self.start + length].to_vec();
        self.start += length;
        taken
    }
}

/// The sample handshake of RFC 6455 section 1.3, to `path`.
pub(crate) fn upgrade_request(path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: vestibule.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

/// A client's frame: `first` is FIN, RSV and opcode; the key is the one of RFC 6455 section 5.7.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend_from_slice(&masked(payload));
    frame
}

/// A payload under the key of RFC 6455 section 5.7.
pub(crate) fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

/// The masking key of RFC 6455 section 5.7.
pub(crate) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const READ: usize = 64 * 1024;
