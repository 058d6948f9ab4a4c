//! The way of a request's body: from the client to the server, and no faster than the server takes it.
//!
//! Reads from the client alone. When the body is whole it goes on to watch the client, so that nobody works for one who
//! has gone; what comes ahead of its turn, a next request, is kept in the exchange's buffer up to a bound. Writes nothing
//! to the client, and reads nothing of the server's.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::course::{Course, Pace};
use crate::backend::{Failed, Up};
use crate::net::{Either, either, now, sleep};
use crate::protocol::http::{
    Body, CHUNK_END, CHUNK_SIZE_LEN_MAX, CHUNKS_END, ChunkedDecoder, ChunkedError, Piece, encode_chunk_size,
};
use crate::shard::Socket;

/// What is still to come of a request's body.
pub(super) struct Incoming {
    framing: Framing,
    /// Bytes that came.
    received: u64,
    /// How long the client was waited for, and nothing else.
    waited: Duration,
}

enum Framing {
    Ended,
    Length(u64),
    Chunked(ChunkedDecoder),
}

/// How far the way of a request's body was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// To its end.
    Whole,
    /// The answer was there before the rest had come.
    Over,
    /// The server takes no more of it; there may be an answer.
    Refused,
    /// The server took nothing for too long.
    Stuck,
    /// The client took too long.
    Late,
    /// Its chunks are none.
    Malformed(ChunkedError),
    /// The client has gone.
    Gone,
}

impl Incoming {
    /// Of a request that is framed so, before any of it.
    pub(super) fn new(body: Body) -> Incoming {
        let framing = match body {
            Body::None | Body::Length(0) => Framing::Ended,
            Body::Length(len) => Framing::Length(len),
            Body::Chunked => Framing::Chunked(ChunkedDecoder::default()),
        };
        Incoming { framing, received: 0, waited: Duration::ZERO }
    }

    /// Whether nothing more of it is to come.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.framing, Framing::Ended)
    }

    /// Appends to `out`, framed anew, what is the body's of `bytes`: how many those were.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<usize, ChunkedError> {
        let used = match &mut self.framing {
            Framing::Ended => 0,
            Framing::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                out.put_slice(&bytes[..used]);
                *left -= used as u64;
                if *left == 0 {
                    self.framing = Framing::Ended;
                }
                used
            }
            Framing::Chunked(decoder) => {
                let mut rest = bytes;
                loop {
                    if rest.is_empty() {
                        break bytes.len();
                    }
                    match decoder.decode(rest)? {
                        Piece::Data { skip, len } => {
                            encode_chunk_size(out, len);
                            out.put_slice(&rest[skip..skip + len]);
                            out.put_slice(CHUNK_END);
                            rest = &rest[skip + len..];
                        }
                        Piece::More => break bytes.len(),
                        Piece::End { used } => {
                            out.put_slice(CHUNKS_END);
                            let used = bytes.len() - rest.len() + used;
                            self.framing = Framing::Ended;
                            break used;
                        }
                    }
                }
            }
        };
        self.received += used as u64;
        Ok(used)
    }

    /// What of the body stands at the front of `buffer`, up to [`STEP_BYTES`], framed anew into `out`.
    pub(super) fn take_from(&mut self, buffer: &mut Vec<u8>, out: &mut BytesMut) -> Result<(), ChunkedError> {
        let here = buffer.len().min(STEP_BYTES);
        let used = self.take(&buffer[..here], out)?;
        buffer.drain(..used);
        Ok(())
    }

    /// How long the client may still be waited for: some time, and more for all that came.
    fn patience(&self) -> Duration {
        let more = Duration::from_secs(self.received >> 10);
        (BODY_WITHIN + more).saturating_sub(self.waited)
    }
}

/// The client's side of an exchange, as far as it is read from.
pub(super) struct Upload<'a> {
    pub(super) socket: &'a Socket,
    /// What was read and is not looked at yet.
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) incoming: &'a mut Incoming,
    pub(super) course: &'a Course,
    /// How long the client may say nothing, once.
    pub(super) idle: Duration,
    pub(super) pace: Pace,
}

/// Waits until the client has gone, or was cut, where it is not read. May be dropped.
pub(super) async fn until_gone(socket: &Socket) {
    loop {
        sleep(LOOK_EVERY).await;
        if socket.is_gone() {
            return;
        }
    }
}

impl Upload<'_> {
    /// Brings the body to the server, then watches the client until the answer is written. Stops the answer where it is
    /// not to be.
    pub(super) async fn run(mut self, up: &mut Up) -> Uploaded {
        let mut uploaded = self.bring(up).await;
        if uploaded == Uploaded::Whole {
            uploaded = self.watch().await;
        } else if uploaded == Uploaded::Refused {
            // From now on the answer's time counts.
            up.end();
            uploaded = self.until_over(Uploaded::Refused).await;
        }
        match uploaded {
            Uploaded::Gone => {
                self.course.halt();
                // The answer's writer may be stuck.
                self.socket.stop();
            }
            Uploaded::Stuck | Uploaded::Late | Uploaded::Malformed(_) => self.course.halt(),
            Uploaded::Whole | Uploaded::Over | Uploaded::Refused => (),
        }
        uploaded
    }

    async fn bring(&mut self, up: &mut Up) -> Uploaded {
        if let Some(ended) = self.wait_for_leave().await {
            return ended;
        }
        while !self.incoming.is_ended() {
            let mut out = BytesMut::new();
            // What was read ahead goes first.
            let taken = if self.buffer.is_empty() {
                if let Some(ended) = self.wait().await {
                    return ended;
                }
                match self.read_body(&mut out) {
                    Ok(Some(taken)) => taken,
                    Ok(None) => continue,
                    Err(_) => return Uploaded::Gone,
                }
            } else {
                self.incoming.take_from(self.buffer, &mut out)
            };
            if let Err(error) = taken {
                return Uploaded::Malformed(error);
            }
            if out.is_empty() {
                continue;
            }
            let bytes = out.len();
            let sent = {
                let over = pin!(self.until_over(Uploaded::Over));
                either(pin!(up.send(vec![out.freeze()])), over).await
            };
            match sent {
                Either::One(Ok(())) => self.pace.step(bytes).await,
                Either::One(Err(Failed::Idle)) => return Uploaded::Stuck,
                Either::One(Err(_)) => return Uploaded::Refused,
                Either::Other(ended) => return ended,
            }
        }
        up.end();
        Uploaded::Whole
    }

    /// A client that asked whether to send its body is not read before it was told, unless it does not wait for that.
    async fn wait_for_leave(&mut self) -> Option<Uploaded> {
        while !self.course.may_send() && self.buffer.is_empty() {
            let event = {
                let told = async { either(pin!(self.course.told_to_send()), pin!(self.course.over())).await };
                either(pin!(told), pin!(self.socket.readable())).await
            };
            match event {
                Either::One(Either::One(())) => break,
                Either::One(Either::Other(())) => return Some(Uploaded::Over),
                Either::Other(_) => match self.read() {
                    Ok(Some(0)) | Err(_) => return Some(Uploaded::Gone),
                    Ok(Some(_) | None) => (),
                },
            }
        }
        self.course.let_send();
        None
    }

    /// Waits until the client has sent something, which may take its time but not for ever; what ended the wait else.
    async fn wait(&mut self) -> Option<Uploaded> {
        let began = now();
        let patience = self.incoming.patience().min(self.idle);
        let event = {
            let aside = async { either(pin!(self.course.over()), pin!(sleep(patience))).await };
            either(pin!(self.socket.readable()), pin!(aside)).await
        };
        self.incoming.waited += now() - began;
        match event {
            Either::One(Ok(())) => None,
            Either::One(Err(_)) => Some(Uploaded::Gone),
            Either::Other(Either::One(())) => Some(Uploaded::Over),
            Either::Other(Either::Other(())) => Some(Uploaded::Late),
        }
    }

    /// Reads what there is of the body into `out`, framed anew; none if there was nothing, an error at the end.
    fn read_body(&mut self, out: &mut BytesMut) -> io::Result<Option<Result<(), ChunkedError>>> {
        let (incoming, buffer) = (&mut *self.incoming, &mut *self.buffer);
        let taken = self.socket.read_at_most(STEP_BYTES, |bytes| {
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof);
            }
            out.reserve(bytes.len() + CHUNK_SIZE_LEN_MAX + CHUNK_END.len() + CHUNKS_END.len());
            Ok(incoming.take(bytes, out).map(|used| buffer.extend_from_slice(&bytes[used..])))
        })?;
        Ok(taken.transpose()?)
    }

    /// Reads what there is behind what there was: how much; 0 at the end, none if there was nothing.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let buffer = &mut *self.buffer;
        self.socket.read_at_most(STEP_BYTES, |bytes| {
            buffer.extend_from_slice(bytes);
            bytes.len()
        })
    }

    /// Whether the client is still there: looked at until the answer is written, but not in the first moment, for most
    /// answers come at once.
    async fn watch(&mut self) -> Uploaded {
        let soon = either(pin!(self.course.over()), pin!(sleep(UNWATCHED))).await;
        if soon == Either::One(()) {
            return Uploaded::Whole;
        }
        // One who sends ahead is not read without end.
        while self.buffer.len() < AHEAD_BYTES_MAX {
            match either(pin!(self.course.over()), pin!(self.socket.readable())).await {
                Either::One(()) => return Uploaded::Whole,
                Either::Other(_) => match self.read() {
                    Ok(Some(0)) | Err(_) => return Uploaded::Gone,
                    Ok(Some(_) | None) => (),
                },
            }
        }
        self.until_over(Uploaded::Whole).await
    }

    /// Waits until the answer is written, which makes it `over`, or the client has gone. May be dropped.
    async fn until_over(&self, over: Uploaded) -> Uploaded {
        match either(pin!(self.course.over()), pin!(until_gone(self.socket))).await {
            Either::One(()) => over,
            Either::Other(()) => Uploaded::Gone,
        }
    }

    /// Reads on to where the next request begins, if that is near, once the answer is written; true if it was.
    pub(super) async fn pass_over(mut self) -> bool {
        let mut left = PASSED_OVER_BYTES_MAX;
        let mut within = pin!(sleep(PASSED_OVER_WITHIN));
        let mut out = BytesMut::new();
        loop {
            let before = self.buffer.len();
            if self.incoming.take_from(self.buffer, &mut out).is_err() {
                return false;
            }
            out.clear();
            if self.incoming.is_ended() {
                return true;
            }
            left = left.saturating_sub(before - self.buffer.len());
            if left == 0 {
                return false;
            }
            if !self.buffer.is_empty() {
                continue;
            }
            if let Either::Other(()) = either(pin!(self.socket.readable()), within.as_mut()).await {
                return false;
            }
            match self.read() {
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(_) | None) => (),
            }
        }
    }
}

/// Bytes of a body that are taken up at a time, each way: what an exchange holds.
pub(super) const STEP_BYTES: usize = 64 << 10;
/// How long the client is waited for, over all of its body; and a second more for each KiB that came.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a client is there that is not read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most answers are there before, and need not be raced against a client that goes away.
const UNWATCHED: Duration = Duration::from_millis(20);
/// Bytes of next requests that are read while an answer is under way.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// A body that nobody wants is read up to so many bytes, for the sake of the connection, and for so long.
const PASSED_OVER_BYTES_MAX: usize = 64 << 10;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_framed_anew_and_ends_where_it_ends_however_it_is_cut() {
        let sent: &[u8] = b"3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\nGET";
        for cut in 0..sent.len() {
            let mut incoming = Incoming::new(Body::Chunked);
            let (mut out, mut buffer) = (BytesMut::new(), Vec::new());
            for piece in [&sent[..cut], &sent[cut..]] {
                let used = incoming.take(piece, &mut out).expect("chunks");
                buffer.extend_from_slice(&piece[used..]);
            }
            assert!(incoming.is_ended());
            assert_eq!(buffer, b"GET", "cut at {cut}");
            let framing = String::from_utf8(out.to_vec()).expect("text");
            let data: String = framing.split("\r\n").skip(1).step_by(2).collect();
            assert_eq!(data, "abcde", "cut at {cut}: {framing:?}");
            assert!(framing.ends_with("\r\n0\r\n\r\n"));
        }
        let mut incoming = Incoming::new(Body::Length(5));
        let mut out = BytesMut::new();
        assert_eq!(incoming.take(b"abc", &mut out), Ok(3));
        assert_eq!(incoming.take(b"deGET", &mut out), Ok(2));
        assert_eq!(incoming.take(b"GET", &mut out), Ok(0));
        assert_eq!((&*out, incoming.is_ended()), (&b"abcde"[..], true));
        assert!(Incoming::new(Body::None).is_ended() && Incoming::new(Body::Length(0)).is_ended());
    }

    #[test]
    fn each_kib_earns_a_client_a_second() {
        let mut incoming = Incoming::new(Body::Length(1 << 20));
        assert_eq!(incoming.patience(), Duration::from_secs(10));
        incoming.take(&[0; 4096], &mut BytesMut::new()).expect("a length");
        incoming.waited = Duration::from_secs(13);
        assert_eq!(incoming.patience(), Duration::from_secs(1));
        incoming.waited = Duration::from_secs(60);
        assert_eq!(incoming.patience(), Duration::ZERO);
    }
}
