//! A connection to a server.
//!
//! The socket is made and connected by system calls that do not wait, and the runtime only polls until the kernel has
//! an answer: so a connection may be given up at any moment, and the ring needs no right to make sockets or to connect
//! them. Resolves no name, and sets no limit to the time: who connects does.

use std::{io, net::SocketAddr, os::unix::net::UnixStream as StdUnixStream};

use monoio::net::UnixStream;
use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, sockopt},
};

use super::{
    driver::{self, Driver},
    socket::Socket,
    stream::{Stream, Writer},
};

/// Connects to `address`. May be dropped, and is given up then.
///
/// The socket has TCP_NODELAY; its buffers are the kernel's to size, for what is on its way to a server is bounded by
/// who sends it.
pub async fn connect(address: SocketAddr) -> io::Result<(Stream, Writer)> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => (),
        Err(error) => return Err(error.into()),
    }
    let socket = UnixStream::from_std(StdUnixStream::from(socket))?;
    socket.writable(false).await?;
    let socket = Socket::of(socket);
    sockopt::socket_error(&socket)??;
    if driver::current() == Driver::IoUring {
        // As in `Stream::from_fd`: the ring waits for a socket that blocks only.
        rustix::io::ioctl_fionbio(&socket, false)?;
    }
    Ok(Stream::pair(socket))
}

#[cfg(test)]
mod tests;
