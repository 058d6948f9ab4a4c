//! What the kernel alone costs: a process that hands whatever one connection writes to all others, by a loop of `write`.
//!
//! Knows no protocol, holds nothing back and coalesces nothing: what a delivery costs here, no server of one thread and
//! one plain system call a delivery goes below.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::cpus;

/// That process, on the server's CPU. It ends with its publisher's connection, and at the latest when this is dropped.
pub(crate) struct Floor {
    child: Child,
    port: u16,
}

impl Floor {
    /// For so many listeners, and publications of so many bytes.
    pub(crate) fn start(listeners: usize, bytes: usize) -> Self {
        let ourselves = std::env::current_exe().expect("this program");
        let mut command = Command::new(ourselves);
        command
            .args(["--bench", "--floor", &listeners.to_string(), &bytes.to_string()])
            .stdout(Stdio::piped());
        let mut child = cpus::apart(1, || command.spawn()).expect("this program starts again");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Self { child, port: line.trim().parse().expect("a port") }
    }

    /// The next connection; the first one is the publisher's.
    pub(crate) fn enter(&self) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it listens");
        stream.set_nodelay(true).expect("a socket of ours");
        stream.read_exact(&mut WELCOME.clone()).expect("a welcome");
        stream
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Failure to kill means it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What that process does.
pub(crate) fn relay(listeners: usize, bytes: usize) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    println!("{}", listener.local_addr().expect("bound").port());
    let accept = || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("a socket of ours");
        stream.write_all(&WELCOME).expect("a byte");
        stream
    };
    let mut publisher = accept();
    let mut listeners: Vec<TcpStream> = (0..listeners).map(|_| accept()).collect();
    let mut publication = vec![0; bytes];
    while publisher.read_exact(&mut publication).is_ok() {
        for stream in &mut listeners {
            if stream.write_all(&publication).is_err() {
                return;
            }
        }
    }
}

/// Says that a connection was accepted, so that none waits in a queue.
const WELCOME: [u8; 1] = [0];
