//! The listener against peers on loopback: what is accepted, lost, left to the next worker, and for want of descriptors
//! delayed. Counts the descriptors of this process; what changes the limit of them runs in a process alone.

use std::{
    fs,
    io::Read,
    net::{Shutdown, TcpStream as Peer},
    os::fd::AsRawFd,
    pin::pin,
    sync::mpsc,
    thread,
};

use bytes::Bytes;
use rustix::{
    io::fcntl_getfd,
    net::sockopt,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::*;
use crate::net::{
    Driver, EventBell, Stream, Turn, run, spawn,
    trial::{LOOPBACK, alone, on_both, poll_once},
};

fn listening() -> (StdTcpListener, SocketAddr) {
    let listener = bind(LOOPBACK, 1024).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sockets accepted at `port` that some descriptor of this process still holds: connections whose local end it is, and
/// whose inode is not that of a socket left to the kernel.
fn held_at(port: u16) -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let accepted = table.lines().skip(1).filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields[1], fields[3], fields[9]);
        local.ends_with(&format!(":{port:04X}")) && state != "0A" && inode != "0"
    });
    accepted.count()
}

/// Passes turns until `done`; the trial's deadline ends it if that never comes.
async fn until(turn: &mut Turn, mut done: impl FnMut() -> bool) {
    while !done() {
        turn.pass().await.unwrap();
    }
}

#[test]
fn an_accepted_socket_has_nodelay_closes_on_exec_and_knows_its_peer() {
    on_both(|| async {
        let (listening, address) = listening();
        let listener = Listener::from_std(listening).unwrap();
        let peer = Peer::connect(address).unwrap();
        let accepted = listener.accept().await.unwrap();
        assert!(sockopt::tcp_nodelay(&accepted.socket).unwrap());
        assert!(fcntl_getfd(&accepted.socket).unwrap().contains(FdFlags::CLOEXEC));
        assert_eq!(accepted.peer, peer.local_addr().unwrap());
        assert_eq!(Stream::from_fd(accepted.socket).unwrap().0.peer_address().unwrap(), accepted.peer);
    });
}

#[test]
fn no_descriptor_leaks_over_1000_connections() {
    on_both(|| async {
        let (listening, address) = listening();
        let listener = Listener::from_std(listening).unwrap();
        let mut turn = Turn::new().unwrap();
        for n in 0..1000 {
            let peer = Peer::connect(address).unwrap();
            let accepted = listener.accept().await.unwrap();
            if n % 500 == 0 {
                assert_ne!(held_at(address.port()), 0, "the count sees what is held");
            }
            if n % 2 == 0 {
                let (stream, writer) = Stream::from_fd(accepted.socket).unwrap();
                // A poll that is dropped with the socket must not keep it open.
                assert!(poll_once(pin!(stream.readable())).await.is_pending());
                drop((stream, writer));
            }
            drop(peer);
        }
        until(&mut turn, || held_at(address.port()) == 0).await;
    });
}

#[test]
fn an_accept_that_is_dropped_loses_no_connection() {
    on_both(|| async {
        let (listening, address) = listening();
        let listener = Listener::from_std(listening).unwrap();
        let mut turn = Turn::new().unwrap();
        for _ in 0..200 {
            assert!(poll_once(pin!(listener.accept())).await.is_pending());
            let peer = Peer::connect(address).unwrap();
            turn.pass().await.unwrap();
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.peer, peer.local_addr().unwrap());
        }
    });
}

#[test]
fn stopping_ends_the_wait_and_stays() {
    on_both(|| async {
        let (listening, _) = listening();
        let listener = Rc::new(Listener::from_std(listening).unwrap());
        let waits = listener.clone();
        let waiting = spawn(async move { waits.accept().await });
        Turn::new().unwrap().pass().await.unwrap();
        listener.stop();
        assert!(matches!(waiting.await, Err(NotAccepted::Stopped)));
        assert!(matches!(listener.accept().await, Err(NotAccepted::Stopped)));
    });
}

#[test]
fn a_connection_in_the_moment_of_stopping_is_answered_or_left_to_the_next_worker() {
    on_both(|| async {
        let (shared, address) = listening();
        let mut turn = Turn::new().unwrap();
        let mut answered = 0;
        for n in 0..200 {
            let listener = Listener::from_std(shared.try_clone().unwrap()).unwrap();
            assert!(poll_once(pin!(listener.accept())).await.is_pending());
            // The accept is in the ring in half of the rounds, and still queued for it in the others.
            if n % 2 == 0 {
                turn.pass().await.unwrap();
            }
            let mut peer = Peer::connect(address).unwrap();
            listener.stop();
            let accepted = match listener.accept().await {
                Ok(accepted) => {
                    answered += 1;
                    assert!(matches!(listener.accept().await, Err(NotAccepted::Stopped)));
                    accepted
                }
                Err(NotAccepted::Stopped) => {
                    Listener::from_std(shared.try_clone().unwrap()).unwrap().accept().await.unwrap()
                }
                Err(error) => panic!("{error}"),
            };
            let (stream, mut writer) = Stream::from_fd(accepted.socket).unwrap();
            writer.write(vec![Bytes::from_static(b"!")]).await.unwrap();
            stream.shutdown(Shutdown::Write);
            let mut said = Vec::new();
            peer.read_to_end(&mut said).unwrap();
            assert_eq!(said, b"!");
        }
        eprintln!("{answered} of 200 came in the moment of stopping");
        until(&mut turn, || held_at(address.port()) == 0).await;
    });
}

#[test]
fn a_listener_dropped_while_it_accepts_leaks_nothing() {
    on_both(|| async {
        let (shared, address) = listening();
        let mut turn = Turn::new().unwrap();
        for n in 0..200 {
            let listener = Listener::from_std(shared.try_clone().unwrap()).unwrap();
            assert!(poll_once(pin!(listener.accept())).await.is_pending());
            if n % 2 == 0 {
                turn.pass().await.unwrap();
            }
            let _peer = Peer::connect(address).unwrap();
            drop(listener);
            turn.pass().await.unwrap();
        }
        // What was not accepted waits in the queue: take it, so that only leaks are left to count.
        drop(shared);
        until(&mut turn, || held_at(address.port()) == 0).await;
    });
}

#[test]
fn running_out_is_told_from_losing_one() {
    on_both(|| async {
        let (listening, _) = listening();
        let listener = Listener::from_std(listening).unwrap();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            assert!(matches!(listener.judge(errno.into()), NotAccepted::Exhausted(_)), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::PERM, Errno::CANCELED] {
            assert!(matches!(listener.judge(errno.into()), NotAccepted::Lost(_)), "{errno}");
        }
    });
}

#[test]
fn two_workers_share_one_socket_and_each_connection_goes_to_one() {
    for driver in [Driver::IoUring, Driver::Epoll] {
        let (shared, address) = listening();
        let (accepted, came) = mpsc::channel();
        let workers = [0, 1].map(|_| {
            let (shared, accepted) = (shared.try_clone().unwrap(), accepted.clone());
            let bell = std::sync::Arc::new(EventBell::new().unwrap());
            let rung = bell.clone();
            let worker = thread::spawn(move || {
                run(driver, None, || async move {
                    let listener = Rc::new(Listener::from_std(shared).unwrap());
                    let (ear, stops) = (rung.listen().unwrap(), listener.clone());
                    spawn(async move {
                        ear.rang().await.unwrap();
                        stops.stop();
                    });
                    loop {
                        match listener.accept().await {
                            Ok(connection) => accepted.send(connection).unwrap(),
                            Err(NotAccepted::Stopped) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
                .unwrap();
            });
            (worker, bell)
        });
        for _ in 0..100 {
            let peers = [(); 8].map(|()| Peer::connect(address).unwrap());
            let mut called: Vec<_> = peers.iter().map(|peer| peer.local_addr().unwrap()).collect();
            let mut answered: Vec<_> = peers.iter().map(|_| came.recv().unwrap().peer).collect();
            called.sort();
            answered.sort();
            assert_eq!(called, answered);
        }
        for (worker, bell) in workers {
            bell.ring();
            worker.join().unwrap();
        }
        assert!(came.try_recv().is_err());
    }
}

#[test]
fn without_a_free_descriptor_the_connection_waits_until_there_is_one() {
    alone("net::listener::tests::without_a_free_descriptor_the_connection_waits_until_there_is_one", || {
        on_both(|| async {
            let (listening, address) = listening();
            let listener = Listener::from_std(listening).unwrap();
            let before = getrlimit(Resource::Nofile);
            // Connecting takes the lowest free descriptor, and leaves none below the limit set after it.
            let peer = Peer::connect(address).unwrap();
            setrlimit(Resource::Nofile, Rlimit { current: Some(peer.as_raw_fd() as u64 + 1), ..before })
                .unwrap();
            for _ in 0..3 {
                assert!(matches!(listener.accept().await, Err(NotAccepted::Exhausted(_))));
            }
            setrlimit(Resource::Nofile, before).unwrap();
            assert_eq!(listener.accept().await.unwrap().peer, peer.local_addr().unwrap());
        });
    });
}
