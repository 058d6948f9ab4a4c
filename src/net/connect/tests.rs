//! Connections to listeners of a test's own, on both drivers: those that come about, those that are refused, and those
//! that are given up.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    pin::pin,
    time::Duration,
};

use super::*;
use crate::net::{
    Turn, bind,
    trial::{LOOPBACK, on_both, poll_once},
    within,
};
use bytes::Bytes;

/// A listener whose line is full: the next SYN is dropped.
fn full() -> (TcpListener, Vec<std::net::TcpStream>) {
    let listener = bind(LOOPBACK, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..2).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)));
    let waiting = waiting.filter_map(Result::ok).collect();
    (listener, waiting)
}

#[test]
fn a_connection_carries_bytes_both_ways_and_closes_for_both() {
    on_both(|| async {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = bind(address.parse().unwrap(), 8) else { continue };
            let (stream, mut writer) = connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut peer, from) = listener.accept().unwrap();
            assert_eq!(stream.peer_address().unwrap(), listener.local_addr().unwrap());
            assert_eq!(writer.try_write(&[Bytes::from_static(b"h"), Bytes::from_static(b"el")]).unwrap(), 3);
            writer.write(vec![Bytes::from_static(b"lo")]).await.unwrap();
            let mut read = [0; 5];
            peer.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"hello");
            peer.write_all(b"world").unwrap();
            stream.readable().await.unwrap();
            assert_eq!(stream.try_read(&mut [0; 9]).unwrap(), Some(5));
            drop((stream, writer));
            Turn::new().unwrap().pass().await.unwrap();
            assert_eq!(peer.read(&mut read).unwrap(), 0, "{from}");
        }
    });
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    on_both(|| async {
        let closed = bind(LOOPBACK, 1).unwrap().local_addr().unwrap();
        assert_eq!(connect(closed).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_connection_that_is_given_up_holds_no_descriptor() {
    on_both(|| async {
        let (listener, _waiting) = full();
        let address = listener.local_addr().unwrap();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut turn = Turn::new().unwrap();
        // Other tests of this process open and close their own: the least that was seen counts.
        let (mut before, mut after) = (usize::MAX, usize::MAX);
        for _ in 0..20 {
            before = before.min(descriptors());
            for _ in 0..50 {
                let mut connecting = pin!(connect(address));
                assert!(poll_once(connecting.as_mut()).await.is_pending());
                turn.pass().await.unwrap();
            }
            turn.pass().await.unwrap();
            turn.pass().await.unwrap();
            after = after.min(descriptors());
        }
        assert!(after < before + 40, "{before} descriptors before, {after} after");
        assert!(within(Duration::from_millis(20), connect(address)).await.is_none());
    });
}

#[test]
fn what_has_no_room_is_not_taken_and_what_is_broken_says_so() {
    on_both(|| async {
        let listener = bind(LOOPBACK, 1).unwrap();
        let (_stream, mut writer) = connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let bytes = [Bytes::from(vec![7; 1 << 20])];
        let mut taken = 0;
        loop {
            match writer.try_write(&bytes).unwrap() {
                0 => break,
                more => taken += more,
            }
        }
        assert!(taken > 0);
        assert!(poll_once(pin!(writer.writable())).await.is_pending());
        let mut read = vec![0; taken];
        peer.read_exact(&mut read).unwrap();
        writer.writable().await.unwrap();
        assert!(writer.try_write(&bytes).unwrap() > 0);
        drop(peer);
        let mut last = Ok(0);
        for _ in 0..1000 {
            last = writer.try_write(&[Bytes::from_static(b"lost")]);
            if last.is_err() {
                break;
            }
            Turn::new().unwrap().pass().await.unwrap();
        }
        let kind = last.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
    });
}
