//! Two futures of one task, run at the same time.
//!
//! Each is polled where it lies, so hand in what is `pin!`ned: a copy would be as large as the future. Neither is ever
//! dropped by surprise: who may be dropped is said of each function, and a [`Writer::write`](super::Writer::write) may
//! not. A writer that has to end early is freed by a shutdown of its socket, and awaited.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

/// What the first of two futures to be ready gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The one did.
    One(A),
    /// The other did.
    Other(B),
}

/// Runs both to their ends.
pub async fn both<A, B>(mut one: A, mut other: B) -> (A::Output, B::Output)
where
    A: Future + Unpin,
    B: Future + Unpin,
{
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none() {
            first = output_of(&mut one, cx);
        }
        if second.is_none() {
            second = output_of(&mut other, cx);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs both until one is ready: the one, where both are. The caller drops the loser, which must be one that may be.
pub async fn either<A, B>(mut one: A, mut other: B) -> Either<A::Output, B::Output>
where
    A: Future + Unpin,
    B: Future + Unpin,
{
    poll_fn(|cx| {
        if let Some(output) = output_of(&mut one, cx) {
            return Poll::Ready(Either::One(output));
        }
        output_of(&mut other, cx).map_or(Poll::Pending, |output| Poll::Ready(Either::Other(output)))
    })
    .await
}

/// Runs `work` to its end, and `aside` beside it for as long as that takes: it may end before, and must be one that may
/// be dropped.
pub async fn beside<W, A>(mut work: W, mut aside: A) -> W::Output
where
    W: Future + Unpin,
    A: Future<Output = ()> + Unpin,
{
    let mut ended = false;
    poll_fn(|cx| {
        ended = ended || output_of(&mut aside, cx).is_some();
        Pin::new(&mut work).poll(cx)
    })
    .await
}

fn output_of<F: Future + Unpin>(future: &mut F, cx: &mut Context<'_>) -> Option<F::Output> {
    match Pin::new(future).poll(cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::{pending, ready},
        io::{Read, Write},
        net::Shutdown,
        pin::pin,
        time::Duration,
    };

    use bytes::Bytes;

    use super::*;
    use crate::net::{
        Notify, Stream, sleep,
        trial::{connected, on_both},
    };

    #[test]
    fn both_run_at_the_same_time_and_to_their_ends() {
        on_both(|| async {
            let (there, back) = (Notify::new(), Notify::new());
            let asks = pin!(async {
                for _ in 0..100 {
                    there.notify();
                    back.notified().await;
                }
                "asked"
            });
            let answers = pin!(async {
                for _ in 0..100 {
                    there.notified().await;
                    back.notify();
                }
                "answered"
            });
            assert_eq!(both(asks, answers).await, ("asked", "answered"));
        });
    }

    #[test]
    fn the_first_that_is_ready_wins_and_the_one_where_both_are() {
        on_both(|| async {
            let soon = pin!(sleep(Duration::from_millis(1)));
            assert_eq!(either(pin!(pending::<()>()), soon).await, Either::Other(()));
            assert_eq!(either(ready(1), ready(2)).await, Either::One(1));
        });
    }

    #[test]
    fn what_runs_beside_ends_with_the_work_or_before_it() {
        on_both(|| async {
            let told = Cell::new(0);
            let aside = pin!(async {
                told.set(1);
                pending::<()>().await;
            });
            beside(pin!(sleep(Duration::from_millis(1))), aside).await;
            assert_eq!(told.get(), 1);
            let ended_at_once = pin!(async { told.set(2) });
            beside(pin!(sleep(Duration::from_millis(1))), ended_at_once).await;
            assert_eq!(told.get(), 2);
        });
    }

    #[test]
    fn a_writer_that_is_stuck_is_freed_from_beside() {
        on_both(|| async {
            let (mut peer, socket) = connected();
            let (stream, mut writer) = Stream::from_fd(socket).unwrap();
            peer.write_all(b"x").unwrap();
            let (written, read) = {
                let writes = pin!(writer.write(vec![Bytes::from(vec![7; 64 << 20])]));
                let reads = pin!(async {
                    stream.readable().await.unwrap();
                    let mut byte = [0];
                    assert_eq!(stream.try_read(&mut byte).unwrap(), Some(1));
                    stream.shutdown(Shutdown::Both);
                    byte
                });
                both(writes, reads).await
            };
            assert!(written.is_err(), "nobody took 64 MiB");
            assert_eq!(read, *b"x");
            drop((stream, writer));
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest);
            assert!(rest.len() < 64 << 20 && rest.iter().all(|byte| *byte == 7));
        });
    }
}
