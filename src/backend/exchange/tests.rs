//! Requests and answers against servers that say what stands here, on both drivers.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::{Arc, Barrier};

use http::{HeaderValue, Version};

use super::super::trial::{Peer, backend, get, nobody, request, with};
use super::*;
use crate::backend::Backend;
use crate::net::trial::{on_both, poll_once};
use crate::net::{Turn, spawn};
use crate::protocol::http::INTERIM_MAX;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// The body to its end.
async fn rest(down: &mut Down) -> Result<String, Failed> {
    let mut all = Vec::new();
    while let Some(more) = down.body().await? {
        all.extend_from_slice(&more);
    }
    Ok(String::from_utf8(all).unwrap())
}

/// What a server's answer comes to: its body, or what is wrong.
async fn ask(backend: &Rc<Backend>, outgoing: Outgoing) -> Result<String, String> {
    let mut exchange = backend.begin(outgoing).await.map_err(|failed| failed.to_string())?;
    let head = exchange.down.head().await.map_err(|failed| failed.to_string())?;
    let body = rest(&mut exchange.down).await.map_err(|failed| failed.to_string())?;
    exchange.finish();
    Ok(format!("{} {body}", head.status.as_u16()))
}

#[test]
fn a_small_answer_is_there_with_its_head_and_the_connection_is_used_again() {
    on_both(|| async {
        let peer = Peer::saying(OK);
        let (backend, metrics) = backend(&[peer.address]);
        for _ in 0..3 {
            let mut exchange = backend.begin(get()).await.unwrap();
            let head = exchange.down.head().await.unwrap();
            assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_11));
            assert_eq!(head.headers["content-length"], HeaderValue::from_static("5"));
            assert_eq!(exchange.down.body_here().unwrap(), "hello");
            assert!(exchange.down.is_ended());
            exchange.finish();
            assert_eq!(peer.heard(), "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        assert_eq!(metrics.backend_connects_total.value(), 1);
        assert_eq!(metrics.backend_connections.value(), 1);
        drop(backend);
        assert_eq!(metrics.backend_connections.value(), 0);
    });
}

#[test]
fn a_body_is_read_as_it_is_framed() {
    on_both(|| async {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 "),
            ("HTTP/1.1 204 No Content\r\n\r\n", "204 "),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n",
                "200 abcde",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200 "),
        ] {
            let (backend, metrics) = backend(&[Peer::saying(answer).address]);
            assert_eq!(ask(&backend, get()).await.as_deref(), Ok(expected), "{answer}");
            assert_eq!(ask(&backend, get()).await.as_deref(), Ok(expected), "{answer}");
            assert_eq!(metrics.backend_connects_total.value(), 1, "{answer}");
        }
        for answer in
            ["HTTP/1.1 200 OK\r\n\r\nto the end", "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nto the end"]
        {
            let peer = Peer::start(move |_, mut line| {
                line.request();
                line.say(answer);
            });
            let (backend, metrics) = backend(&[peer.address]);
            assert_eq!(ask(&backend, get()).await.as_deref(), Ok("200 to the end"));
            assert_eq!(metrics.backend_connections.value(), 0);
        }
    });
}

#[test]
fn an_answer_to_head_has_no_body_whatever_its_length() {
    on_both(|| async {
        let peer = Peer::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let (backend, metrics) = backend(&[peer.address]);
        assert_eq!(ask(&backend, request(Method::HEAD)).await.as_deref(), Ok("200 "));
        assert_eq!(ask(&backend, request(Method::HEAD)).await.as_deref(), Ok("200 "));
        assert_eq!(metrics.backend_connects_total.value(), 1);
    });
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_the_same() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.socket.set_nodelay(true).unwrap();
            line.request();
            let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
            for byte in answer.chars() {
                line.say(byte.encode_utf8(&mut [0]));
                thread_yield();
            }
            line.await_end();
        });
        let (backend, metrics) = backend(&[peer.address]);
        let mut exchange = backend.begin(get()).await.unwrap();
        assert_eq!(exchange.down.head().await.unwrap().status, 103);
        assert_eq!(exchange.down.head().await.unwrap().status, 200);
        assert_eq!(rest(&mut exchange.down).await.unwrap(), "abc0123456789");
        exchange.finish();
        assert_eq!(metrics.backend_connections.value(), 1);
    });
}

/// So that bytes are not sent together.
fn thread_yield() {
    std::thread::yield_now();
}

#[test]
fn what_came_behind_an_answer_costs_the_connection_and_not_the_answer() {
    on_both(|| async {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            let (backend, metrics) = backend(&[Peer::saying(answer).address]);
            assert_eq!(ask(&backend, get()).await.as_deref(), Ok("200 hello"));
            assert_eq!(metrics.backend_connections.value(), 0, "{answer}");
        }
    });
}

#[test]
fn what_comes_while_a_connection_waits_is_nobodys_answer() {
    on_both(|| async {
        let is_kept = Arc::new(Barrier::new(2));
        let kept = is_kept.clone();
        let peer = Peer::start(move |number, mut line| {
            line.request();
            line.say(OK);
            if number == 0 {
                kept.wait();
                line.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
            }
            line.await_end();
        });
        let (backend, metrics) = backend(&[peer.address]);
        let mut exchange = backend.begin(get()).await.unwrap();
        exchange.down.head().await.unwrap();
        assert_eq!(exchange.down.body().await.unwrap().unwrap(), "hello");
        exchange.finish();
        is_kept.wait();
        // It may be on its way for a while: until it is there, the connection is as good as any.
        let start = now();
        let mut turn = Turn::new().unwrap();
        while let Some(line) = backend.servers[0].reuse() {
            assert!(now() - start < Duration::from_secs(20), "nobody looks");
            backend.servers[0].keep(line);
            turn.pass().await.unwrap();
        }
        assert_eq!(ask(&backend, get()).await.as_deref(), Ok("200 hello"));
        assert_eq!(metrics.backend_connects_total.value(), 2);
    });
}

#[test]
fn a_malformed_answer_is_told_and_its_connection_closed() {
    on_both(|| async {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "malformed"),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", "malformed"),
        ] {
            let (backend, metrics) = backend(&[Peer::saying(answer).address]);
            let told = ask(&backend, get()).await.unwrap_err();
            assert!(told.contains(expected), "{answer}: {told}");
            assert_eq!(metrics.backend_connections.value(), 0);
        }
    });
}

#[test]
fn an_answer_that_ends_too_early_is_told() {
    on_both(|| async {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            let peer = Peer::start(move |_, mut line| {
                line.request();
                line.say(answer);
            });
            let (backend, metrics) = backend(&[peer.address]);
            let told = ask(&backend, get()).await.unwrap_err();
            assert!(told.contains("closed the connection"), "{answer:?}: {told}");
            assert_eq!(
                peer.heard().len() + peer.unheard(),
                "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".len(),
                "once"
            );
            assert_eq!(metrics.backend_connections.value(), 0);
        }
    });
}

#[test]
fn a_server_that_is_silent_is_given_up_in_time() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstand");
            line.await_end();
        });
        let (standing, _) = with(&[peer.address], |it| it.idle_timeout = Duration::from_millis(200));
        let mut exchange = standing.begin(get()).await.unwrap();
        exchange.down.head().await.unwrap();
        assert_eq!(exchange.down.body().await.unwrap().unwrap(), "stand");
        let start = now();
        assert!(matches!(exchange.down.body().await, Err(Failed::Idle)));
        assert!(now() - start >= Duration::from_millis(200));
        let silent = Peer::start(|_, mut line| line.await_end());
        let (silent, _) = with(&[silent.address], |it| it.answer_timeout = Duration::from_millis(200));
        let start = now();
        let mut exchange = silent.begin(get()).await.unwrap();
        let failed = exchange.down.head().await.unwrap_err();
        assert!(matches!(failed, Failed::AnswerTimeout) && failed.status() == StatusCode::GATEWAY_TIMEOUT);
        assert!((200..4000).contains(&(now() - start).as_millis()));
    });
}

#[test]
fn an_answer_is_due_from_the_end_of_the_request_on() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.bytes(4);
            line.say(OK);
            line.await_end();
        });
        let (backend, _) = with(&[peer.address], |it| it.answer_timeout = Duration::from_millis(500));
        let first = Bytes::from_static(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
        let outgoing =
            || Outgoing { method: Method::POST, first: first.clone(), whole: false, upgrade: false };
        let Exchange { mut up, mut down } = backend.begin(outgoing()).await.unwrap();
        // Longer than the answer may take, once the request is sent.
        assert!(within(Duration::from_millis(800), down.head()).await.is_none());
        up.send(vec![Bytes::from_static(b"bo"), Bytes::new(), Bytes::from_static(b"dy")]).await.unwrap();
        up.end();
        assert_eq!(down.head().await.unwrap().status, 200);
        assert_eq!(down.body().await.unwrap().unwrap(), "hello");
        Exchange { up, down }.finish();
        let mut late = backend.begin(outgoing()).await.unwrap();
        late.up.end();
        assert!(matches!(late.down.head().await, Err(Failed::AnswerTimeout)));
    });
}

#[test]
fn a_request_that_is_not_at_its_end_leaves_no_connection_behind() {
    on_both(|| async {
        let peer = Peer::saying("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
        let (backend, metrics) = backend(&[peer.address]);
        let first = Bytes::from_static(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
        let outgoing = Outgoing { method: Method::POST, first, whole: false, upgrade: false };
        let mut exchange = backend.begin(outgoing).await.unwrap();
        assert_eq!(exchange.down.head().await.unwrap().status, 413);
        assert!(exchange.down.is_ended());
        exchange.finish();
        assert_eq!(metrics.backend_connections.value(), 0);
    });
}

#[test]
fn after_101_the_connection_is_bare() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nearly",
            );
            let read = line.bytes(4).unwrap();
            line.say(&String::from_utf8(read).unwrap());
            line.await_end();
        });
        let (backend, metrics) = backend(&[peer.address]);
        let mut exchange = backend.begin(Outgoing { upgrade: true, ..get() }).await.unwrap();
        assert_eq!(exchange.down.head().await.unwrap().status, 101);
        let (stream, mut writer, early) = exchange.into_tunnel();
        let mut all = early.to_vec();
        writer.write(vec![Bytes::from_static(b"ping")]).await.unwrap();
        while all.len() < 9 {
            stream.readable().await.unwrap();
            let mut buffer = [0; 16];
            let read = stream.try_read(&mut buffer).unwrap().unwrap();
            all.extend_from_slice(&buffer[..read]);
        }
        assert_eq!(all, b"earlyping");
        assert_eq!(metrics.backend_connections.value(), 0);
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_a_request_nothing() {
    on_both(|| async {
        // The first connection ends with the second request, unanswered: nobody can see it before.
        let peer = Peer::start(|number, mut line| {
            line.request();
            line.say(OK);
            line.request();
            if number > 0 {
                line.say(OK);
                line.await_end();
            }
        });
        let (idempotent, metrics) = backend(&[peer.address]);
        assert_eq!(ask(&idempotent, get()).await.as_deref(), Ok("200 hello"));
        assert_eq!(ask(&idempotent, request(Method::PUT)).await.as_deref(), Ok("200 hello"));
        assert_eq!(metrics.proxied_retries_total.value(), 1);
        assert_eq!(metrics.backend_connects_total.value(), 2);
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say(OK);
            line.request();
        });
        let (once, metrics) = backend(&[peer.address]);
        assert_eq!(ask(&once, get()).await.as_deref(), Ok("200 hello"));
        let told = ask(&once, request(Method::POST)).await.unwrap_err();
        assert!(told.contains("closed the connection"), "{told}");
        assert_eq!((peer.heard(), peer.heard()).1, "POST /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((peer.unheard(), metrics.proxied_retries_total.value()), (0, 0));
    });
}

#[test]
fn a_request_is_sent_again_once_and_not_after_a_byte_of_an_answer() {
    on_both(|| async {
        // Answers one request a connection, and of the next one nothing but `half`.
        for (half, requests) in [("", 3), ("H", 2)] {
            let peer = Peer::start(move |number, mut line| {
                if number == 0 {
                    line.request();
                    line.say(OK);
                }
                line.request();
                line.say(half);
            });
            let (backend, _) = backend(&[peer.address]);
            assert_eq!(ask(&backend, get()).await.as_deref(), Ok("200 hello"));
            let told = ask(&backend, get()).await.unwrap_err();
            assert!(told.contains("closed the connection"), "{told}");
            let heard: Vec<_> = (0..requests).map(|_| peer.heard()).collect();
            assert_eq!((heard.len(), peer.unheard()), (requests, 0), "{half:?}");
        }
    });
}

#[test]
fn a_thousand_interim_answers_are_handed_on_and_no_more() {
    on_both(|| async {
        for (count, expected) in [(INTERIM_MAX, true), (INTERIM_MAX + 1, false)] {
            let peer = Peer::start(move |_, mut line| {
                line.request();
                line.say(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(count));
                line.say(OK);
                line.await_end();
            });
            let (backend, _) = backend(&[peer.address]);
            let mut exchange = backend.begin(get()).await.unwrap();
            for _ in 0..INTERIM_MAX {
                assert_eq!(exchange.down.head().await.unwrap().status, 102);
            }
            let last = exchange.down.head().await;
            assert_eq!(last.is_ok_and(|head| head.status == 200), expected);
        }
    });
}

#[test]
fn whoever_waits_may_be_given_up_and_asked_again() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.bytes(1);
            line.say(OK);
            line.await_end();
        });
        let (backend, _) = backend(&[peer.address]);
        let first = Bytes::from_static(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
        let outgoing = Outgoing { method: Method::POST, first, whole: false, upgrade: false };
        let Exchange { mut up, mut down } = backend.begin(outgoing).await.unwrap();
        for _ in 0..20 {
            assert!(poll_once(pin!(down.head())).await.is_pending());
            assert!(within(Duration::from_millis(1), down.head()).await.is_none());
        }
        up.send(vec![Bytes::from_static(b"x")]).await.unwrap();
        up.end();
        assert_eq!(down.head().await.unwrap().status, 200);
        assert_eq!(rest(&mut down).await.unwrap(), "hello");
    });
}

#[test]
fn stop_frees_a_sender_and_a_reader_that_are_stuck() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            std::thread::park_timeout(Duration::from_secs(20));
        });
        let (backend, _) = with(&[peer.address], |it| {
            (it.idle_timeout, it.answer_timeout) = (Duration::from_secs(30), Duration::from_secs(30));
        });
        let first = Bytes::from_static(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
        let outgoing = Outgoing { method: Method::POST, first, whole: false, upgrade: false };
        let Exchange { mut up, mut down } = backend.begin(outgoing).await.unwrap();
        let sender = spawn(async move { up.send(vec![Bytes::from(vec![7; 64 << 20])]).await });
        assert!(within(Duration::from_millis(20), down.head()).await.is_none());
        down.stop();
        assert!(matches!(sender.await, Err(Failed::Broken(_))));
        assert!(matches!(down.head().await, Err(Failed::Closed | Failed::Broken(_))));
    });
}

#[test]
fn who_is_stopped_sends_nothing_again() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say(OK);
            line.await_end();
        });
        let (backend, metrics) = backend(&[peer.address]);
        assert_eq!(ask(&backend, get()).await.as_deref(), Ok("200 hello"));
        let mut exchange = backend.begin(get()).await.unwrap();
        assert!(within(Duration::from_millis(5), exchange.down.head()).await.is_none());
        exchange.down.stop();
        assert!(matches!(exchange.down.head().await, Err(Failed::Closed)));
        assert_eq!(metrics.backend_connects_total.value(), 1);
    });
}

#[test]
fn what_is_held_of_a_request_under_way_is_little() {
    on_both(|| async {
        let (backend, _) = backend(&[nobody()]);
        let begin = size_of_val(&backend.begin(get()));
        let peer = Peer::saying(OK);
        let (backend, _) = with(&[peer.address], |_| ());
        let mut exchange = backend.begin(get()).await.unwrap();
        let head = size_of_val(&exchange.down.head());
        let body = size_of_val(&exchange.down.body());
        eprintln!(
            "an exchange {}, its beginning {begin}, a head {head}, a body {body}",
            size_of::<Exchange>()
        );
        // Most of it is the runtime's timers.
        assert!(size_of::<Exchange>() <= 384 && begin <= 2560 && head <= 1536 && body <= 1536);
    });
}

#[test]
fn a_server_that_takes_nothing_is_given_up_in_time() {
    on_both(|| async {
        let peer = Peer::start(|_, mut line| {
            line.request();
            std::thread::park_timeout(Duration::from_secs(20));
        });
        let (backend, _) = with(&[peer.address], |it| it.idle_timeout = Duration::from_millis(200));
        let first = Bytes::from_static(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
        let outgoing = Outgoing { method: Method::POST, first, whole: false, upgrade: false };
        let mut exchange = backend.begin(outgoing).await.unwrap();
        let sent = exchange.up.send(vec![Bytes::from(vec![7; 64 << 20])]).await;
        assert!(matches!(sent, Err(Failed::Idle)), "{sent:?}");
    });
}

#[test]
fn a_large_body_comes_whole_and_in_order_under_back_pressure() {
    on_both(|| async {
        const LEN: usize = 8 << 20;
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n"));
            let bytes: Vec<u8> =
                (0..LEN as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            std::io::Write::write_all(&mut line.socket, &bytes).unwrap();
            line.await_end();
        });
        let (backend, _) = backend(&[peer.address]);
        let mut exchange = backend.begin(get()).await.unwrap();
        exchange.down.head().await.unwrap();
        let mut at = 0_u32;
        while let Some(more) = exchange.down.body().await.unwrap() {
            assert!(more.len() <= 64 << 10);
            for byte in more {
                assert_eq!(byte, (at.wrapping_mul(2_654_435_761) >> 24) as u8);
                at += 1;
            }
        }
        assert_eq!(at as usize, LEN);
        exchange.finish();
    });
}

#[test]
fn nobody_there_is_told_as_502_and_what_is_fetched_is_bounded() {
    on_both(|| async {
        let (gone, _) = backend(&[nobody()]);
        let failed = gone.begin(get()).await.err().unwrap();
        assert_eq!((failed.status(), failed.code()), (StatusCode::BAD_GATEWAY, "bad_gateway"));
        let peer = Peer::saying(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        );
        let (backend, _) = backend(&[peer.address]);
        let (status, body) = backend.fetch(get(), 5).await.unwrap();
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"abcde"[..]));
        assert!(matches!(backend.fetch(get(), 4).await, Err(Failed::Malformed(_))));
    });
}

#[test]
fn many_at_once_have_each_their_own_answer() {
    on_both(|| async {
        let peer = Peer::start(|number, mut line| {
            for turn in 0.. {
                if line.request().is_none() {
                    return;
                }
                let body = format!("{number}.{turn}");
                line.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            }
        });
        let (backend, metrics) = backend(&[peer.address]);
        let seen = Rc::new(RefCell::new(std::collections::BTreeSet::new()));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (backend, seen) = (backend.clone(), seen.clone());
                spawn(async move {
                    for _ in 0..20 {
                        let answer = ask(&backend, get()).await.unwrap();
                        assert!(seen.borrow_mut().insert(answer), "an answer that another had");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(seen.borrow().len(), 400);
        assert!(metrics.backend_connects_total.value() <= 20);
    });
}
