//! A server behind us that does as the test says, byte by byte: well, badly, slowly, or not at all.

use super::{End, PATIENCE, Socket, until};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// A server that is a listener, and whatever the test does with who comes.
pub(crate) struct Origin {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// A request as it came to a server.
#[derive(Debug)]
pub(crate) struct Request {
    /// All of the head.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Origin {
    /// On any free port.
    pub(crate) fn new() -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// At an address that one had before.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("a socket of ours");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(128).expect("a bound socket");
        let listener: TcpListener = socket.into();
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket of ours");
        Self { listener, address }
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Socket {
        until("a connection comes", PATIENCE, || self.visitor())
    }

    /// A connection, if there is one now.
    pub(crate) fn visitor(&self) -> Option<Socket> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a socket of ours");
                Some(Socket::over(stream).expect("a connected socket"))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        }
    }

    /// The next connection, and the request that comes by it.
    pub(crate) fn visit(&self) -> (Socket, Request) {
        let mut socket = self.accept();
        let request = socket.request().expect("a request");
        (socket, request)
    }
}

impl Request {
    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().expect("a head has a first line")
    }

    /// The values of a field, in any case of letters.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of a field that is there once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} is there {} times: {}", all.len(), self.head);
        all.first().copied()
    }
}

impl Socket {
    /// The next request: its head, and its body as that is framed.
    pub(crate) fn request(&mut self) -> Result<Request, End> {
        let mut request = self.request_head()?;
        if let Some(len) = request.field("content-length") {
            request.body = self.exactly(len.parse().expect("a length in digits"))?;
        } else if request.field("transfer-encoding").is_some() {
            request.body = self.chunked_body()?;
        }
        Ok(request)
    }

    /// The head of the next request.
    pub(crate) fn request_head(&mut self) -> Result<Request, End> {
        let head = String::from_utf8(self.up_to(b"\r\n\r\n")?).expect("a head is ASCII");
        Ok(Request { head, body: Vec::new() })
    }

    /// Answers 200 with this body.
    pub(crate) fn answer(&mut self, body: &str) {
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }
}
