//! The stream against a peer on loopback, on both drivers: no byte is lost, repeated or out of order, whoever stops,
//! stalls, drops a reader or moves to another core. What a peer does is done by a thread that blocks, not by this floor.

use std::{
    io::{Read, Write},
    pin::pin,
    rc::Rc,
    sync::mpsc,
    thread,
};

use rustix::net::sockopt;

use super::*;
use crate::net::{
    Driver, Turn, run, spawn,
    trial::{connected, on, on_both, poll_once},
};

/// Reads until the end, by buffers of `size`.
async fn read_to_end(stream: &Stream, size: usize) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        stream.readable().await?;
        while let Some(read) = stream.try_read(&mut buffer)? {
            if read == 0 {
                return Ok(all);
            }
            all.extend_from_slice(&buffer[..read]);
        }
    }
}

/// `len` bytes of which no two neighbourhoods are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Cuts `bytes` into `count` slices of unequal length, some of them empty.
fn slices(bytes: &[u8], count: usize) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut batch = Vec::new();
    for left in (1..count).rev() {
        let len = (rest.len() / left) * (left % 5) / 4;
        batch.push(rest.split_to(len.min(rest.len())));
    }
    batch.push(rest);
    batch
}

#[test]
fn no_byte_is_lost_when_a_reader_is_dropped_400_times_between_one_byte_messages() {
    on_both(|| async {
        let (mut peer, socket) = connected();
        let (stream, _writer) = Stream::from_fd(socket).unwrap();
        let mut turn = Turn::new().unwrap();
        let mut byte = [0];
        for n in 0..400_u32 {
            assert!(poll_once(pin!(stream.readable())).await.is_pending());
            // The poll that was dropped is known to the kernel in half of the rounds.
            if n % 2 == 0 {
                turn.pass().await.unwrap();
            }
            peer.write_all(&[n as u8]).unwrap();
            if n % 3 == 0 {
                drop(poll_once(pin!(stream.readable())).await);
                turn.pass().await.unwrap();
            }
            stream.readable().await.unwrap();
            assert_eq!(stream.try_read(&mut byte).unwrap(), Some(1));
            assert_eq!(byte[0], n as u8);
        }
        drop(peer);
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut byte).unwrap(), Some(0));
    });
}

#[test]
fn what_a_partial_read_leaves_is_readable_at_once() {
    on_both(|| async {
        let (mut peer, socket) = connected();
        let (stream, _writer) = Stream::from_fd(socket).unwrap();
        peer.write_all(b"abcdef").unwrap();
        let mut buffer = [0; 2];
        for expected in [b"ab", b"cd", b"ef"] {
            stream.readable().await.unwrap();
            assert_eq!(stream.try_read(&mut buffer).unwrap(), Some(2));
            assert_eq!(&buffer, expected);
        }
        assert_eq!(stream.try_read(&mut buffer).unwrap(), None);
        assert!(poll_once(pin!(stream.readable())).await.is_pending(), "nothing is left");
        peer.write_all(b"gh").unwrap();
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut buffer).unwrap(), Some(2));
    });
}

#[test]
fn short_writes_to_a_slow_reader_deliver_every_slice_in_order() {
    on_both(|| async {
        for count in [1, 2, 64, 65, 200] {
            let (mut peer, socket) = connected();
            sockopt::set_socket_send_buffer_size(&socket, 4096).unwrap();
            let (stream, mut writer) = Stream::from_fd(socket).unwrap();
            let sent = pattern(60_000);
            let reader = thread::spawn(move || {
                let (mut all, mut buffer) = (Vec::new(), [0; 1001]);
                loop {
                    match peer.read(&mut buffer).unwrap() {
                        0 => return all,
                        read => all.extend_from_slice(&buffer[..read]),
                    }
                }
            });
            let batch = slices(&sent, count);
            assert_eq!(batch.len(), count);
            writer.write(batch).await.unwrap();
            stream.shutdown(Shutdown::Write);
            assert!(reader.join().unwrap() == sent, "{count} slices");
        }
    });
}

#[test]
fn an_empty_batch_writes_nothing() {
    on_both(|| async {
        let (mut peer, socket) = connected();
        let (stream, mut writer) = Stream::from_fd(socket).unwrap();
        for batch in [vec![], vec![Bytes::new()], vec![Bytes::new(); 3]] {
            writer.write(batch).await.unwrap();
        }
        stream.shutdown(Shutdown::Write);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn one_core_reads_and_writes_a_socket_at_the_same_time() {
    on_both(|| async {
        let ((near, near_writer), (far, far_writer)) = {
            let (peer, socket) = connected();
            (Stream::from_fd(peer.into()).unwrap(), Stream::from_fd(socket).unwrap())
        };
        let sent = Rc::new(pattern(1 << 20));
        let write_all = |stream: Stream, mut writer: Writer| {
            let sent = sent.clone();
            spawn(async move {
                for chunk in sent.chunks(100_000) {
                    writer.write(slices(chunk, 7)).await.unwrap();
                }
                stream.shutdown(Shutdown::Write);
            })
        };
        let there = write_all(near.clone(), near_writer);
        let back = write_all(far.clone(), far_writer);
        let echo = spawn(async move { read_to_end(&far, 3000).await.unwrap() });
        assert!(read_to_end(&near, 5000).await.unwrap() == *sent);
        assert!(echo.await == *sent);
        there.await;
        back.await;
    });
}

#[test]
fn shutdown_shows_a_waiting_reader_the_end() {
    on_both(|| async {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (_peer, socket) = connected();
            let (stream, _writer) = Stream::from_fd(socket).unwrap();
            let reads = stream.clone();
            let reader = spawn(async move { read_to_end(&reads, 10).await });
            Turn::new().unwrap().pass().await.unwrap();
            stream.shutdown(how);
            assert_eq!(reader.await.unwrap(), b"");
        }
    });
}

#[test]
fn shutdown_frees_a_blocked_writer() {
    on_both(|| async {
        for count in [1, 70] {
            let (_peer, socket) = connected();
            let (stream, mut writer) = Stream::from_fd(socket).unwrap();
            // More than both ends' buffers hold, so that it cannot end.
            let batch = slices(&pattern(16 << 20), count);
            let blocked = spawn(async move { writer.write(batch).await });
            let mut turn = Turn::new().unwrap();
            for _ in 0..20 {
                turn.pass().await.unwrap();
            }
            stream.shutdown(Shutdown::Both);
            assert!(blocked.await.is_err());
            stream.shutdown(Shutdown::Both);
        }
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    on_both(|| async {
        for count in [1, 2] {
            let (peer, socket) = connected();
            let (stream, mut writer) = Stream::from_fd(socket).unwrap();
            // With bytes unread, closing resets.
            writer.write(vec![Bytes::from_static(b"unread")]).await.unwrap();
            drop(peer);
            stream.readable().await.unwrap();
            assert!(stream.try_read(&mut [0]).is_err());
            let error = writer.write(slices(b"anybody there?", count)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(stream.peer_address().is_err());
        }
    });
}

#[test]
fn a_socket_moved_between_two_runtimes_keeps_its_bytes() {
    for driver in [Driver::IoUring, Driver::Epoll] {
        let (mut peer, socket) = connected();
        let (send, receive) = mpsc::channel::<OwnedFd>();
        let second = thread::spawn(move || {
            let socket = receive.recv().unwrap();
            run(driver, None, || async move {
                let (stream, mut writer) = Stream::from_fd(socket).unwrap();
                let rest = read_to_end(&stream, 100).await.unwrap();
                writer.write(vec![Bytes::from_static(b"good"), Bytes::from_static(b"bye")]).await.unwrap();
                stream.shutdown(Shutdown::Write);
                rest
            })
            .unwrap()
        });
        let mut first = peer.try_clone().unwrap();
        on(driver, move || async move {
            let (stream, writer) = Stream::from_fd(socket).unwrap();
            first.write_all(b"hello there").unwrap();
            stream.readable().await.unwrap();
            let mut buffer = [0; 5];
            assert_eq!(stream.try_read(&mut buffer).unwrap(), Some(5));
            assert_eq!(&buffer, b"hello");
            // A poll that was dropped is still in the ring, and must hold up nothing.
            drop(poll_once(pin!(stream.readable())).await);
            send.send(stream.into_fd(writer).unwrap()).unwrap();
            first.write_all(b", again").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(second.join().unwrap(), b" there, again");
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, "goodbye");
    }
}

#[test]
fn a_socket_that_comes_in_the_other_mode_works() {
    on_both(|| async {
        for nonblocking in [false, true] {
            let (mut peer, socket) = connected();
            rustix::io::ioctl_fionbio(&socket, nonblocking).unwrap();
            let (stream, mut writer) = Stream::from_fd(socket).unwrap();
            let drained = thread::spawn(move || {
                let mut all = Vec::new();
                peer.read_to_end(&mut all).unwrap();
                all.len()
            });
            writer.write(slices(&pattern(8 << 20), 3)).await.unwrap();
            stream.shutdown(Shutdown::Write);
            assert_eq!(drained.join().unwrap(), 8 << 20);
        }
    });
}

#[test]
fn an_idle_connection_costs_little() {
    on_both(|| async {
        let (_peer, socket) = connected();
        let (stream, mut writer) = Stream::from_fd(socket).unwrap();
        assert_eq!((size_of_val(&stream), size_of_val(&writer)), (8, 8));
        let (readable, write) = (size_of_val(&stream.readable()), size_of_val(&writer.write(Vec::new())));
        eprintln!("futures: readable {readable}, write {write}");
        assert!(readable <= 128 && write <= 512);
    });
}

#[test]
fn a_reset_frees_a_stuck_writer_and_the_peer_sees_no_end() {
    on_both(|| async {
        let (mut peer, socket) = connected();
        let (stream, mut writer) = Stream::from_fd(socket).unwrap();
        peer.write_all(b"x").unwrap();
        let written = {
            let writes = pin!(writer.write(vec![Bytes::from(vec![7; 64 << 20])]));
            let resets = pin!(async {
                stream.readable().await.unwrap();
                stream.reset();
            });
            crate::net::both(writes, resets).await.0
        };
        assert!(written.is_err());
        drop((stream, writer));
        let mut rest = Vec::new();
        let error = peer.read_to_end(&mut rest).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}
