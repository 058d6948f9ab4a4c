//! The way of an answer: from the server to the client, and no faster than the client takes it.
//!
//! Writes to the client alone. A body is handed on as it comes, in what frames the client knows; what was begun and does
//! not come to its end is never finished, so that nobody takes it for whole. Reads nothing of the client's.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};

use super::course::{Course, Pace};
use super::upload::STEP_BYTES;
use crate::backend::{Down, Failed};
use crate::net::{Either, Writer, either, sleep, unix_s};
use crate::protocol::http::{
    After, AnswerFraming, AnswerHead, Answering, CHUNK_END, CHUNKS_END, Head, HttpDate, encode_answer,
    encode_chunk_size, encode_interim,
};
use crate::shard::{Socket, UnderWay};

/// What became of an answer.
#[derive(Debug)]
pub(super) enum Downloaded {
    /// It is written, and this is to become of the client's connection.
    Whole(StatusCode, After),
    /// It is 101; nothing is written.
    Switching(Box<AnswerHead>),
    /// There is none; nothing is written.
    None(Failed),
    /// It was begun, and will not be whole: the server's fault.
    Cut(StatusCode, Failed),
    /// The client does not take it, or has gone.
    NotTaken,
    /// It was stopped; whether some of it is written.
    Halted(bool),
}

/// The client's side of an exchange, as far as it is written to.
pub(super) struct Download<'a> {
    pub(super) socket: &'a Socket,
    pub(super) writer: &'a mut Writer,
    pub(super) head: &'a Head,
    pub(super) request_id: &'a str,
    pub(super) course: &'a Course,
    /// How long the client may take nothing.
    pub(super) idle: Duration,
    pub(super) pace: Pace,
}

impl Download<'_> {
    /// Brings the answer to the client, and says when that is over.
    pub(super) async fn run(mut self, down: &mut Down) -> Downloaded {
        let downloaded = match self.begin(down).await {
            Ok(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => Downloaded::Switching(head),
            Ok(head) => self.bring(down, &head).await,
            Err(ended) => ended,
        };
        self.course.set_over();
        downloaded
    }

    /// The answer's head. What comes before it is handed on, and a client that waits to be told to send is told, if not
    /// by the server then by us.
    async fn begin(&mut self, down: &mut Down) -> Result<Box<AnswerHead>, Downloaded> {
        loop {
            let waits = !self.course.may_send();
            let event = {
                let aside = async { either(pin!(self.course.halted()), pin!(told_after(waits))).await };
                either(pin!(down.head()), pin!(aside)).await
            };
            let head = match event {
                Either::One(Ok(head)) => head,
                Either::One(Err(failed)) => return Err(Downloaded::None(failed)),
                Either::Other(Either::One(())) => return Err(Downloaded::Halted(false)),
                Either::Other(Either::Other(())) => {
                    if !self.course.may_send() {
                        self.write(vec![Bytes::from_static(CONTINUE)]).await?;
                        self.course.let_send();
                    }
                    continue;
                }
            };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Box::new(head));
            }
            let is_continue = head.status == StatusCode::CONTINUE;
            // Who did not ask for it, or has it from us, is not told.
            let is_wanted = !is_continue || !self.course.may_send();
            if is_wanted && self.head.version == Version::HTTP_11 {
                let mut out = BytesMut::new();
                encode_interim(&mut out, &head);
                self.write(vec![out.freeze()]).await?;
            }
            if is_continue {
                self.course.let_send();
            }
        }
    }

    async fn bring(&mut self, down: &mut Down, answer: &AnswerHead) -> Downloaded {
        match self.bring_whole(down, answer).await {
            Ok(after) => Downloaded::Whole(answer.status, after),
            Err(ended) => ended,
        }
    }

    async fn bring_whole(&mut self, down: &mut Down, answer: &AnswerHead) -> Result<After, Downloaded> {
        let framing = AnswerFraming::of(answer.body, self.head.version);
        let after = self.after(framing);
        let mut out = BytesMut::with_capacity(HEAD_BYTES_USUAL);
        let date = HttpDate::from_unix_s(unix_s());
        encode_answer(&mut out, answer, &Answering { request_id: self.request_id, framing, after, date });
        if framing == AnswerFraming::UntilClose {
            self.socket.set_under_way(UnderWay::Bare);
        }
        let mut batch = Batch { framing, out, slices: Vec::new(), bytes: 0 };
        loop {
            while batch.bytes < STEP_BYTES
                && let Some(bytes) = down.body_here()
            {
                batch.push(bytes);
            }
            let is_ended = down.is_ended();
            if is_ended {
                batch.end();
            }
            let bytes = batch.bytes;
            if !batch.is_empty() {
                self.write(batch.take()).await?;
            }
            if is_ended {
                return Ok(after);
            }
            self.pace.step(bytes).await;
            match either(pin!(down.body()), pin!(self.course.halted())).await {
                Either::One(Ok(Some(bytes))) => batch.push(bytes),
                Either::One(Ok(None)) => (),
                Either::One(Err(failed)) => return Err(Downloaded::Cut(answer.status, failed)),
                Either::Other(()) => return Err(Downloaded::Halted(true)),
            }
        }
    }

    /// What becomes of the client's connection, as far as that can be told with the answer's head.
    fn after(&self, framing: AnswerFraming) -> After {
        let is_stopping = self.socket.shard().node().quota.is_stopping();
        // Who was not told to send its body may send it or not: nobody knows what comes next.
        let is_plain = self.head.keep_alive && self.course.may_send() && framing != AnswerFraming::UntilClose;
        if is_plain && !is_stopping { After::KeepAlive } else { After::Close }
    }

    /// Writes what the client takes in its time.
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), Downloaded> {
        match self.writer.write_within(self.idle, batch).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(Downloaded::NotTaken),
        }
    }
}

/// Pieces of an answer that go out together.
struct Batch {
    framing: AnswerFraming,
    /// Framing and small pieces, behind the last of the slices.
    out: BytesMut,
    slices: Vec<Bytes>,
    /// Of the body's.
    bytes: usize,
}

impl Batch {
    fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        let is_chunked = self.framing == AnswerFraming::Chunked;
        if is_chunked {
            encode_chunk_size(&mut self.out, bytes.len());
        }
        if bytes.len() <= COPIED_BYTES_MAX {
            self.out.extend_from_slice(&bytes);
        } else {
            if !self.out.is_empty() {
                self.slices.push(self.out.split().freeze());
            }
            self.slices.push(bytes);
        }
        if is_chunked {
            self.out.extend_from_slice(CHUNK_END);
        }
    }

    fn end(&mut self) {
        if self.framing == AnswerFraming::Chunked {
            self.out.extend_from_slice(CHUNKS_END);
        }
    }

    fn is_empty(&self) -> bool {
        self.out.is_empty() && self.slices.is_empty()
    }

    fn take(&mut self) -> Vec<Bytes> {
        if !self.out.is_empty() {
            self.slices.push(self.out.split().freeze());
        }
        self.bytes = 0;
        std::mem::take(&mut self.slices)
    }
}

/// When a client that `waits` is told to send by us.
async fn told_after(waits: bool) {
    match waits {
        true => sleep(CONTINUE_AFTER).await,
        false => std::future::pending().await,
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How long a client that waits to be told to send its body waits for the server to say so.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
/// Most heads of answers fit into so much, with a small body.
const HEAD_BYTES_USUAL: usize = 1024;
/// Pieces up to this are copied behind one another: cheaper than a slice more.
const COPIED_BYTES_MAX: usize = 4 << 10;
