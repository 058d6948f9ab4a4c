//! The wall between a connection and its neighbours.
//!
//! Without it a panic in one task unwinds the whole core, and with it every other connection (monoio 0.2, rule 3). It
//! stands around protocol and transport; a panic in hub, mesh or shard is not to be caught, for their state may be torn.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use thiserror::Error;

/// A future panicked: what it held was dropped on the way out, and the panic hook has said where.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("panicked: {message}")]
pub struct Panicked {
    /// What `panic!` was given, if it was text.
    pub message: Box<str>,
}

/// Drives `future` to its end, or to its panic. Give it a `pin!`ned future: it is polled where it lies.
///
/// What the future shares with others must be whole at each of its awaits and panics, or not be looked at again.
pub async fn catch<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panicked> {
    poll_fn(|cx| {
        // `AssertUnwindSafe`: the future is never polled again, so nobody sees what it left half done inside.
        match catch_unwind(AssertUnwindSafe(|| std::pin::Pin::new(&mut future).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(Panicked { message: text_of(&*payload) })),
        }
    })
    .await
}

fn text_of(payload: &(dyn Any + Send)) -> Box<str> {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).into()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.as_str().into()
    } else {
        "no message".into()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, pin::pin, rc::Rc};

    use super::*;
    use crate::net::{
        Notify, Stream, Turn, spawn,
        trial::{connected, on_both},
    };

    #[test]
    fn what_does_not_panic_passes_through() {
        on_both(|| async {
            let mut turn = Turn::new().unwrap();
            assert_eq!(catch(pin!(turn.pass())).await.unwrap().map(|()| 5).unwrap(), 5);
        });
    }

    #[test]
    fn a_panicking_task_leaves_its_neighbours_running_and_its_socket_closed() {
        on_both(|| async {
            let (start, ended) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
            let survived = Rc::new(Cell::new(0));
            for n in 0..10 {
                let (survived, ended) = (survived.clone(), ended.clone());
                spawn(async move {
                    let mut turn = Turn::new().unwrap();
                    for _ in 0..20 + n {
                        turn.pass().await.unwrap();
                    }
                    survived.set(survived.get() + 1);
                    if survived.get() == 10 {
                        ended.notify();
                    }
                });
            }
            let (mut peer, socket) = connected();
            let go = start.clone();
            let panicked = spawn(async move {
                let connection = pin!(async move {
                    let (stream, _writer) = Stream::from_fd(socket).unwrap();
                    go.notified().await;
                    stream.readable().await.unwrap();
                    panic!("byte {}", stream.try_read(&mut [0]).unwrap().unwrap());
                });
                catch(connection).await.map(|()| unreachable!())
            });
            start.notify();
            std::io::Write::write_all(&mut peer, b"x").unwrap();
            let panicked: Result<(), _> = panicked.await;
            assert_eq!(panicked.unwrap_err().to_string(), "panicked: byte 1");
            ended.notified().await;
            assert_eq!(survived.get(), 10);
            assert_eq!(std::io::Read::read(&mut peer, &mut [0]).unwrap(), 0, "what it held was dropped");
        });
    }

    #[test]
    fn every_kind_of_panic_has_a_message() {
        on_both(|| async {
            async fn said(panic: fn()) -> String {
                catch(pin!(async move { panic() })).await.unwrap_err().message.into()
            }
            assert_eq!(said(|| panic!("plain")).await, "plain");
            assert_eq!(said(|| panic!("number {}", std::hint::black_box(7))).await, "number 7");
            assert_eq!(said(|| std::panic::panic_any(7)).await, "no message");
        });
    }

    #[test]
    fn the_wall_costs_a_task_no_second_copy_of_its_future() {
        let big = async {
            let held = std::hint::black_box([0_u8; 1000]);
            std::future::pending::<()>().await;
            std::hint::black_box(&held);
        };
        let alone = size_of_val(&big);
        let walled = async move { catch(pin!(big)).await.is_ok() };
        assert!(size_of_val(&walled) <= 2 * alone + 64, "{} and {alone}", size_of_val(&walled));
        let made_inside = async {
            catch(pin!(async {
                let held = std::hint::black_box([0_u8; 1000]);
                std::future::pending::<()>().await;
                std::hint::black_box(&held);
            }))
            .await
            .is_ok()
        };
        assert!(size_of_val(&made_inside) <= alone + 64, "{} and {alone}", size_of_val(&made_inside));
    }
}
