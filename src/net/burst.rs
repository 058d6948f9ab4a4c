//! Sends to many sockets at once, none of which waits: one system call for all of them.
//!
//! A sweep over a big room is hundreds of sends that nearly all succeed at once. Here they cost neither a task nor a wake
//! each, on a ring of their own beside the runtime's, whose operations nobody may ask for from outside. What the kernel
//! does not take at once is handed back: to wait for room is [`Writer::write`]'s business.

use std::{io, mem, ops::Range, ptr};

use bytes::{Buf, Bytes};
use io_uring::{IoUring, opcode, types::Fd};
use rustix::{io::Errno, net::SendFlags};

use super::{
    driver::{self, Driver},
    socket::Socket,
    stream::Writer,
};

/// Sends that are gathered, and then made at once. `T` names each of them to its owner.
pub struct Burst<T> {
    /// None on epoll: a system call each.
    ring: Option<IoUring>,
    sends: Vec<Send<T>>,
    /// What they send, one behind the other.
    slices: Vec<Bytes>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
    /// What came of each, by its place: bytes, or an error number below zero.
    results: Vec<i32>,
}

struct Send<T> {
    name: T,
    socket: Socket,
    slices: Range<usize>,
}

/// What came of a send.
#[derive(Debug)]
pub enum Sent {
    /// All of it was taken: so many bytes.
    All(usize),
    /// The socket has no room for what is left, now.
    Short(usize, Vec<Bytes>),
    /// The connection is broken.
    Failed(io::Error),
}

impl<T> Burst<T> {
    /// For the runtime of the calling thread.
    ///
    /// # Errors
    ///
    /// No second ring can be had: where the runtime has one, that is for want of descriptors or locked memory.
    pub fn new() -> io::Result<Self> {
        let ring = match driver::current() {
            Driver::IoUring => Some(driver::ring_for_sends(BURST_MAX as u32)?),
            Driver::Epoll => None,
        };
        Ok(Self {
            ring,
            sends: Vec::with_capacity(BURST_MAX),
            slices: Vec::new(),
            iovecs: Vec::new(),
            headers: Vec::with_capacity(BURST_MAX),
            results: Vec::with_capacity(BURST_MAX),
        })
    }

    /// Whether it has to be sent before another is added.
    pub fn is_full(&self) -> bool {
        self.sends.len() == BURST_MAX
    }

    /// Adds a send to the socket of `writer`, of the slices that `gather` appends. It must leave alone those that are
    /// there; if it appends none, nothing is added.
    ///
    /// # Panics
    ///
    /// If the burst is full, or more slices are appended than one send gathers, 1024.
    pub fn add(&mut self, name: T, writer: &Writer, gather: impl FnOnce(&mut Vec<Bytes>)) {
        assert!(!self.is_full(), "a full burst is sent first");
        let from = self.slices.len();
        gather(&mut self.slices);
        let slices = from..self.slices.len();
        assert!(slices.len() <= SLICES_MAX, "{} slices do not go into one send", slices.len());
        if !slices.is_empty() {
            self.sends.push(Send { name, socket: writer.socket().clone(), slices });
        }
    }

    /// Makes all sends, and tells what came of each. None of them blocks.
    pub fn send(&mut self, mut tell: impl FnMut(T, Sent)) {
        if self.sends.is_empty() {
            return;
        }
        self.results.clear();
        match &mut self.ring {
            Some(ring) => {
                self.iovecs.clear();
                self.iovecs.extend(self.slices.iter().map(iovec));
                self.headers.clear();
                self.headers.extend(self.sends.iter().map(|send| header(&self.iovecs[send.slices.clone()])));
                self.results.resize(self.sends.len(), 0);
                submit(ring, &self.sends, &self.headers, &mut self.results);
            }
            None => self.results.extend(self.sends.iter().map(|send| one_by_one(send, &self.slices))),
        }
        for (send, result) in self.sends.drain(..).zip(&self.results) {
            let slices = &self.slices[send.slices];
            tell(send.name, judge(slices, *result));
        }
        self.slices.clear();
    }
}

/// What a result means for the send of these slices.
fn judge(slices: &[Bytes], result: i32) -> Sent {
    let len: usize = slices.iter().map(Bytes::len).sum();
    let sent = match usize::try_from(result) {
        Ok(sent) => sent,
        Err(_) if matches!(Errno::from_raw_os_error(-result), Errno::AGAIN | Errno::INTR) => 0,
        Err(_) => return Sent::Failed(io::Error::from_raw_os_error(-result)),
    };
    if sent == len { Sent::All(sent) } else { Sent::Short(sent, behind(slices, sent)) }
}

/// What is left of `slices` behind the first `sent` bytes.
fn behind(slices: &[Bytes], mut sent: usize) -> Vec<Bytes> {
    let mut rest = Vec::new();
    for slice in slices {
        let passed = sent.min(slice.len());
        sent -= passed;
        if passed < slice.len() {
            let mut slice = slice.clone();
            slice.advance(passed);
            rest.push(slice);
        }
    }
    rest
}

fn one_by_one<T>(send: &Send<T>, slices: &[Bytes]) -> i32 {
    let slices: Vec<io::IoSlice<'_>> =
        slices[send.slices.clone()].iter().map(|slice| io::IoSlice::new(slice)).collect();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = rustix::net::sendmsg(&send.socket, &slices, &mut Default::default(), flags);
    sent.map_or_else(|error| -error.raw_os_error(), |sent| sent as i32)
}

fn iovec(slice: &Bytes) -> libc::iovec {
    libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() }
}

fn header(iovecs: &[libc::iovec]) -> libc::msghdr {
    libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: iovecs.as_ptr().cast_mut(),
        msg_iovlen: iovecs.len(),
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

/// Makes the sends on the ring and waits for their results, which come with the call that submits them: a send that
/// may not wait ends where it is made.
fn submit<T>(ring: &mut IoUring, sends: &[Send<T>], headers: &[libc::msghdr], results: &mut [i32]) {
    for (place, (send, header)) in sends.iter().zip(headers).enumerate() {
        let (to, flags) = (Fd(send.socket.number()), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        // SAFETY: a header points at its iovecs, of which each send has at least one.
        let first = unsafe { &*header.msg_iov };
        let entry = if header.msg_iovlen == 1 {
            // 0.16 us less: no header and no iovecs to be copied in.
            opcode::Send::new(to, first.iov_base.cast(), first.iov_len as u32).flags(flags).build()
        } else {
            opcode::SendMsg::new(to, header).flags(flags as u32).build()
        };
        let entry = entry.user_data(place as u64);
        // SAFETY: the kernel reads the header, the iovecs that it points at and the bytes that these point at until it
        // has answered. We return only when it has answered all entries, and until then hold `&mut` to the burst that
        // owns headers, iovecs and slices (a `Bytes` keeps its storage where it is); the iovecs were complete before a
        // header pointed into them. Where it does not answer, we do not return: see `Unanswered`.
        unsafe { ring.submission().push(&entry) }
            .expect("the ring has an entry for each send of a full burst");
    }
    let unanswered = Unanswered;
    let mut waiting = sends.len();
    while waiting > 0 {
        match ring.submit_and_wait(waiting) {
            Err(error) if !is_passing(&error) => panic!("the ring for sends is of no use any more: {error}"),
            _ => (),
        }
        for completion in ring.completion() {
            results[completion.user_data() as usize] = completion.result();
            waiting -= 1;
        }
    }
    mem::forget(unanswered);
}

/// The kernel may still read what somebody would free: the process ends, even while a panic unwinds.
struct Unanswered;

impl Drop for Unanswered {
    fn drop(&mut self) {
        std::process::abort();
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INTR | Errno::AGAIN | Errno::BUSY))
}

/// Sends that one burst holds.
pub(super) const BURST_MAX: usize = 128;
/// IOV_MAX.
const SLICES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read},
        net::{Ipv4Addr, TcpListener, TcpStream},
    };

    use super::*;
    use crate::net::{Stream, trial::on_both};

    fn pair() -> ((Stream, Writer), TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Stream::from_fd(listener.accept().unwrap().0.into()).unwrap(), peer)
    }

    fn read(peer: &mut TcpStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        peer.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn everybody_is_sent_what_is_theirs_in_order() {
        on_both(|| async {
            let mut pairs: Vec<_> = (0..BURST_MAX).map(|_| pair()).collect();
            let mut burst = Burst::new().unwrap();
            for round in 0..3_u8 {
                for (at, ((_, writer), _)) in pairs.iter().enumerate() {
                    burst.add(at, writer, |slices| {
                        slices.extend((0..=at % 5).map(|n| Bytes::from(vec![round, at as u8, n as u8])));
                    });
                }
                assert!(burst.is_full());
                let mut told = Vec::new();
                burst.send(|at, sent| match sent {
                    Sent::All(len) => told.push((at, len)),
                    other => panic!("{other:?}"),
                });
                assert_eq!(told, (0..BURST_MAX).map(|at| (at, 3 * (at % 5 + 1))).collect::<Vec<_>>());
                for (at, (_, peer)) in pairs.iter_mut().enumerate() {
                    let wanted: Vec<u8> = (0..=at % 5).flat_map(|n| [round, at as u8, n as u8]).collect();
                    assert_eq!(read(peer, wanted.len()), wanted);
                }
            }
        });
    }

    #[test]
    fn who_has_no_room_hands_the_rest_back_and_holds_nobody_up() {
        on_both(|| async {
            let (((_stuck_stream, stuck), mut stuck_peer), ((_stream, writer), mut peer)) = (pair(), pair());
            let mut burst = Burst::new().unwrap();
            let big: Vec<u8> = (0..16 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
            let all = Bytes::from(big);
            let gathered = all.clone();
            burst.add("stuck", &stuck, |slices| {
                slices.extend([
                    gathered.slice(..5),
                    gathered.slice(5..9_000_001),
                    gathered.slice(9_000_001..),
                ]);
            });
            burst.add("free", &writer, |slices| slices.push(Bytes::from_static(b"news")));
            let mut told = Vec::new();
            burst.send(|name, sent| told.push((name, sent)));
            let [("stuck", Sent::Short(len, rest)), ("free", Sent::All(4))] = &told[..] else {
                panic!("{told:?}")
            };
            assert_eq!(read(&mut peer, 4), b"news");
            assert_eq!(read(&mut stuck_peer, *len), all[..*len]);
            assert_eq!(rest.concat(), all[*len..]);
        });
    }

    #[test]
    fn a_broken_connection_is_told_and_raises_no_signal() {
        on_both(|| async {
            let ((_stream, writer), peer) = pair();
            drop(peer);
            let mut burst = Burst::new().unwrap();
            let mut last = None;
            // The first may still be taken: the peer's answer to it tells that nobody is there.
            for _ in 0..1000 {
                burst.add((), &writer, |slices| slices.push(Bytes::from_static(b"lost")));
                burst.send(|(), sent| last = Some(sent));
                if let Some(Sent::Failed(error)) = &last {
                    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
                    return;
                }
            }
            panic!("{last:?}");
        });
    }

    #[test]
    fn what_is_left_begins_where_the_kernel_stopped() {
        let slices = [Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"de")];
        for sent in 0..5 {
            let Sent::Short(len, rest) = judge(&slices, sent) else { panic!("after {sent}") };
            assert_eq!((len, rest.concat()), (sent as usize, b"abcde"[sent as usize..].to_vec()));
        }
        assert!(matches!(judge(&slices, 5), Sent::All(5)));
        assert!(matches!(judge(&slices, -libc::EAGAIN), Sent::Short(0, rest) if rest.concat() == b"abcde"));
        assert!(matches!(judge(&slices, -libc::EPIPE), Sent::Failed(_)));
    }
}
