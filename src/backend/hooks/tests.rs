//! Hooks against an application on a real socket.

#![allow(clippy::disallowed_types, reason = "the threads of the application share what they had")]

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;

use super::*;
use crate::config::{self, Secret};
use crate::metrics::Metric;
use crate::net::trial::on_both;
use crate::net::{sleep, spawn};

/// A request as the application had it.
#[derive(Debug, Clone)]
struct Had {
    head: String,
    body: String,
}

impl Had {
    fn field(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// What the application does with a request.
enum Does {
    Answer(u16, &'static str),
    /// Nothing, until the connection is closed.
    Hang,
    /// Closes the connection.
    Cut,
}

/// An application that does as `answer` says to the request of that number, from 0.
struct App {
    address: SocketAddr,
    had: Arc<Mutex<Vec<Had>>>,
    /// The most that were under way at a time.
    most: Arc<AtomicUsize>,
}

type Answer = dyn Fn(usize, &Had) -> Does + Send + Sync;

impl App {
    fn new(answer: impl Fn(usize, &Had) -> Does + Send + Sync + 'static) -> App {
        App::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), answer)
    }

    fn at(address: SocketAddr, answer: impl Fn(usize, &Had) -> Does + Send + Sync + 'static) -> App {
        let listener = TcpListener::bind(address).expect("a port");
        let app =
            App { address: listener.local_addr().expect("bound"), had: Arc::default(), most: Arc::default() };
        let (had, most, answer): (_, _, Arc<Answer>) = (app.had.clone(), app.most.clone(), Arc::new(answer));
        let now = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (had, most, now, answer) = (had.clone(), most.clone(), now.clone(), answer.clone());
                thread::spawn(move || serve(stream, &had, &most, &now, &*answer));
            }
        });
        app
    }

    fn had(&self) -> Vec<Had> {
        self.had.lock().expect("whole").clone()
    }
}

fn serve(
    stream: TcpStream,
    had: &Mutex<Vec<Had>>,
    most: &AtomicUsize,
    now: &AtomicUsize,
    answer: &Answer,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut request = Had { head, body: String::new() };
        let len = request.field("Content-Length").parse().ok()?;
        reader.by_ref().take(len).read_to_string(&mut request.body).ok()?;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        let nth = {
            let mut had = had.lock().ok()?;
            had.push(request.clone());
            had.len() - 1
        };
        let does = answer(nth, &request);
        now.fetch_sub(1, SeqCst);
        match does {
            Does::Answer(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                (&stream).write_all(head.as_bytes()).ok()?;
            }
            Does::Hang => drop(reader.read_until(0, &mut Vec::new())),
            Does::Cut => return None,
        }
    }
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).expect("a port")
}

fn config(app: SocketAddr, change: impl FnOnce(&mut config::Hooks)) -> Config {
    let mut hooks = config::Hooks {
        authority: Authority::parse(&app.to_string(), None).expect("an authority"),
        target: "/hooks".to_owned(),
        secret: Secret::new(&[7; 24]),
        events: vec![HookEvent::Join, HookEvent::Message, HookEvent::Leave],
        timeout: Duration::from_secs(10),
        headers: vec![],
        concurrency: 8,
        state: 64,
        retry_for: Duration::from_secs(60),
    };
    change(&mut hooks);
    Config { hooks: Some(hooks), ..Config::default() }
}

/// The hooks of a worker, the only one.
fn hooks(config: &Config) -> (Rc<Hooks>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let hooks = Hooks::new(1, &Station::new(metrics.clone()));
    hooks.configure(config, &Boards::new(config, None));
    (hooks, metrics)
}

fn event(number: u32, happening: Happening<'_>) -> Event<'_> {
    let subject =
        Subject { request: "r1", connection: None, user: Some("ann"), transport: "sse", state: None };
    Event { subject, number, happening }
}

async fn ask(hooks: &Hooks, number: u32) -> Result<Verdict, NoVerdict> {
    hooks.ask(&event(number, Happening::Join { room: "a" })).await
}

fn tell(hooks: &Rc<Hooks>, number: u32) {
    hooks.tell(&event(number, Happening::Leave { room: "a" }));
}

/// Polls until `is_so`.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = now();
    while !is_so() {
        assert!(now() - start < Duration::from_secs(30), "in vain: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn who_is_asked_answers_with_a_verdict() {
    on_both(|| async {
        let app = App::new(|nth, _| match nth {
            0 => Does::Answer(200, r#"{"allow":true,"reply":[1]}"#),
            1 => Does::Answer(403, "no"),
            2 => Does::Answer(404, "{}"),
            _ => Does::Answer(200, "{\"alow\":true}"),
        });
        let (hooks, metrics) = hooks(&config(app.address, |_| ()));
        assert!(hooks.wants(HookEvent::Join) && !hooks.wants(HookEvent::Connect));
        let verdict = ask(&hooks, 0).await.expect("a verdict");
        assert_eq!((verdict.allow, verdict.reply.as_deref()), (true, Some("[1]")));
        assert!(!ask(&hooks, 1).await.expect("a verdict").allow);
        assert_eq!(ask(&hooks, 2).await.unwrap_err(), NoVerdict::Unusable);
        assert_eq!(ask(&hooks, 3).await.unwrap_err(), NoVerdict::Unusable);
        let counted = [&metrics.hook_calls_total, &metrics.hook_refusals_total, &metrics.hook_failures_total];
        assert_eq!(counted.map(Metric::value), [4, 1, 2]);
        let had = app.had();
        let ids: Vec<_> = had.iter().map(|had| had.field("webhook-id")).collect();
        assert_eq!(ids, ["join_r1_0", "join_r1_1", "join_r1_2", "join_r1_3"]);
        assert!(had[0].head.starts_with("POST /hooks HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert!(had[0].body.contains(r#""user":"ann","transport":"sse","room":"a"}}"#), "{}", had[0].body);
    });
}

#[test]
fn without_hooks_nobody_is_asked_and_a_reload_may_bring_and_take_them() {
    on_both(|| async {
        let app = App::new(|_, _| Does::Answer(200, r#"{"allow":true}"#));
        let (none, some) = (Config::default(), config(app.address, |_| ()));
        let (hooks, _) = hooks(&none);
        assert!(!hooks.wants(HookEvent::Join));
        assert_eq!(ask(&hooks, 0).await.unwrap_err(), NoVerdict::Unreachable);
        hooks.configure(&some, &Boards::new(&some, None));
        assert!(hooks.wants(HookEvent::Join) && ask(&hooks, 1).await.is_ok());
        hooks.configure(&none, &Boards::new(&none, None));
        assert!(!hooks.wants(HookEvent::Join) && ask(&hooks, 2).await.is_err());
    });
}

#[test]
fn who_waits_in_line_is_late_when_its_time_is_over() {
    on_both(|| async {
        let app = App::new(|_, _| Does::Hang);
        let timeout = Duration::from_millis(400);
        let (hooks, metrics) =
            hooks(&config(app.address, |hooks| (hooks.timeout, hooks.concurrency) = (timeout, 1)));
        let (other, start) = (hooks.clone(), now());
        let first = spawn(async move { ask(&other, 0).await.unwrap_err() });
        until("the first call", || app.had().len() == 1).await;
        assert_eq!(metrics.hook_calls.value(), 1);
        assert!(ask(&hooks, 1).await.is_err());
        assert_eq!(first.await, NoVerdict::Late);
        assert!((timeout..timeout * 7 / 4).contains(&(now() - start)), "the wait for a place counts");
        assert_eq!(metrics.hook_calls.value(), 0);
    });
}

#[test]
fn it_is_told_apart_whether_the_application_may_have_heard() {
    on_both(|| async {
        let app = App::new(|_, _| Does::Cut);
        let (asked, _) = hooks(&config(app.address, |_| ()));
        assert_eq!(ask(&asked, 0).await.unwrap_err(), NoVerdict::Late, "it was there when it was asked");
        let (unheard, _) = hooks(&config(nobody(), |_| ()));
        assert_eq!(ask(&unheard, 0).await.unwrap_err(), NoVerdict::Unreachable);
        assert_eq!(app.had().len(), 1);
    });
}

#[test]
fn whoever_does_not_wait_any_more_leaves_its_place_to_others() {
    on_both(|| async {
        let app =
            App::new(|nth, _| if nth == 0 { Does::Hang } else { Does::Answer(200, r#"{"allow":true}"#) });
        let (hooks, metrics) = hooks(&config(app.address, |hooks| hooks.concurrency = 1));
        let gone = within(Duration::from_millis(50), ask(&hooks, 0)).await;
        assert!(gone.is_none());
        assert!(ask(&hooks, 1).await.expect("a verdict").allow);
        assert_eq!((metrics.hook_calls.value(), metrics.hook_failures_total.value()), (0, 0));
    });
}

#[test]
fn a_call_whose_connection_ends_under_it_is_made_once_more() {
    on_both(|| async {
        let app =
            App::new(|nth, _| if nth == 1 { Does::Cut } else { Does::Answer(200, r#"{"allow":true}"#) });
        let (hooks, _) = hooks(&config(app.address, |_| ()));
        ask(&hooks, 0).await.expect("a verdict");
        ask(&hooks, 1).await.expect("a verdict, though the connection that was kept is cut");
        let had = app.had();
        let ids: Vec<_> = had.iter().map(|had| had.field("webhook-id")).collect();
        assert_eq!(ids, ["join_r1_0", "join_r1_1", "join_r1_1"]);
    });
}

#[test]
fn an_application_that_is_not_there_is_left_alone_until_it_is_back() {
    on_both(|| async {
        let address = nobody();
        let (hooks, metrics) = hooks(&config(address, |_| ()));
        for number in 0..8 {
            assert_eq!(ask(&hooks, number).await.unwrap_err(), NoVerdict::Unreachable);
        }
        assert_eq!(metrics.hook_shed_total.value(), 0);
        let app = App::at(address, |_, _| Does::Answer(200, r#"{"allow":true}"#));
        assert_eq!(ask(&hooks, 8).await.unwrap_err(), NoVerdict::Unreachable);
        assert_eq!((metrics.hook_shed_total.value(), app.had().len()), (1, 0), "it is not asked");
        tell(&hooks, 9);
        until("the notification", || metrics.notifications_total.value() == 1).await;
        let mut number = 10;
        while ask(&hooks, number).await.is_err() {
            assert_eq!(app.had().len(), 1, "who asks while it is left alone is not heard");
            number += 1;
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(app.had().len(), 2, "then one is asked");
    });
}

#[test]
fn what_answers_is_never_left_alone_and_a_reload_to_another_server_forgets_the_first() {
    on_both(|| async {
        let ill = App::new(|nth, _| if nth < 20 { Does::Answer(503, "") } else { Does::Cut });
        let well = App::new(|_, _| Does::Answer(200, r#"{"allow":true}"#));
        let (hooks, metrics) = hooks(&config(ill.address, |_| ()));
        for number in 0..20 {
            assert_eq!(ask(&hooks, number).await.unwrap_err(), NoVerdict::Unusable);
        }
        assert_eq!(metrics.hook_shed_total.value(), 0, "somebody is there");
        for number in 20..28 {
            assert_eq!(ask(&hooks, number).await.unwrap_err(), NoVerdict::Late);
        }
        assert_eq!(ask(&hooks, 28).await.unwrap_err(), NoVerdict::Unreachable);
        assert_eq!(metrics.hook_shed_total.value(), 1);
        let other = config(well.address, |_| ());
        hooks.configure(&other, &Boards::new(&other, None));
        assert!(ask(&hooks, 29).await.expect("a verdict").allow);
    });
}

#[test]
fn what_the_application_cannot_do_of_one_kind_keeps_nobody_from_the_others() {
    on_both(|| async {
        let app = App::new(|_, had| {
            if had.body.contains("message") { Does::Cut } else { Does::Answer(200, r#"{"allow":true}"#) }
        });
        let (hooks, metrics) = hooks(&config(app.address, |_| ()));
        for number in 0..9 {
            let message = event(number, Happening::Message { event: "e", payload: "1" });
            assert!(hooks.ask(&message).await.is_err());
        }
        assert_eq!(metrics.hook_shed_total.value(), 1, "the ninth is not asked");
        assert!(ask(&hooks, 9).await.expect("a verdict").allow);
    });
}

#[test]
fn a_call_that_would_be_too_late_when_its_turn_comes_is_not_made() {
    on_both(|| async {
        let app = App::new(|_, _| Does::Hang);
        let timeout = Duration::from_millis(400);
        let (hooks, _) =
            hooks(&config(app.address, |hooks| (hooks.timeout, hooks.concurrency) = (timeout, 1)));
        let other = hooks.clone();
        let first = spawn(async move { within(timeout * 15 / 16, ask(&other, 0)).await.is_none() });
        until("the first call", || app.had().len() == 1).await;
        assert_eq!(ask(&hooks, 1).await.unwrap_err(), NoVerdict::Unreachable);
        assert!(first.await, "it gave its place up");
        assert_eq!(app.had().len(), 1, "with what was left of its time it could not be answered");
    });
}

#[test]
fn one_who_may_be_heard_still_ends_after_the_application_had_time() {
    on_both(|| async {
        let app = App::new(|_, _| Does::Answer(204, ""));
        let timeout = Duration::from_millis(300);
        let (hooks, metrics) = hooks(&config(app.address, |hooks| hooks.timeout = timeout));
        let start = now();
        hooks.tell_end_of_unanswered(&event(1, Happening::Leave { room: "a" }));
        until("the notification", || metrics.notifications_total.value() == 1).await;
        assert!(now() - start >= timeout);
        hooks.tell_end_of_unanswered(&event(2, Happening::Leave { room: "a" }));
        hooks.settled().await;
        assert_eq!(app.had().len(), 2, "and at once where the end is near");
    });
}

#[test]
fn who_was_heard_and_then_could_not_be_reached_may_have_been_heard() {
    on_both(|| async {
        // The application takes the call of a kept connection, and is gone: nobody listens any more.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let app = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a call");
            drop(listener);
            let had = Mutex::default();
            let answer = |nth: usize, _: &Had| {
                if nth == 0 { Does::Answer(200, r#"{"allow":true}"#) } else { Does::Cut }
            };
            serve(stream, &had, &AtomicUsize::new(0), &AtomicUsize::new(0), &answer);
            had.into_inner().expect("whole").len()
        });
        let (hooks, _) = hooks(&config(address, |_| ()));
        assert!(ask(&hooks, 0).await.expect("a verdict").allow);
        assert_eq!(ask(&hooks, 1).await.unwrap_err(), NoVerdict::Late);
        assert_eq!(app.join().expect("no panic"), 2);
    });
}

#[test]
fn what_is_told_is_told_until_it_is_heard_under_one_name() {
    on_both(|| async {
        let app = App::new(|nth, _| match nth {
            0 => Does::Answer(503, ""),
            1 => Does::Cut,
            2 => Does::Answer(302, ""),
            _ => Does::Answer(204, ""),
        });
        let (hooks, metrics) = hooks(&config(app.address, |_| ()));
        tell(&hooks, 7);
        assert_eq!(metrics.notifications_waiting.value(), 1);
        hooks.settled().await;
        let had = app.had();
        assert_eq!(had.len(), 4);
        assert!(had.iter().all(|had| had.field("webhook-id") == "leave_r1_7"));
        assert!(had.windows(2).all(|pair| pair[0].body == pair[1].body), "the event is the same");
        // A connection that had been used before and was cut is no failure yet: the call is made anew at once.
        let counted = [
            &metrics.notifications_total,
            &metrics.notifications_retried_total,
            &metrics.notifications_given_up_total,
            &metrics.notifications_waiting,
        ];
        assert_eq!(counted.map(Metric::value), [1, 2, 0, 0]);
    });
}

#[test]
fn a_try_has_its_own_time_and_signature() {
    on_both(|| async {
        let app = App::new(|nth, _| if nth == 0 { Does::Answer(500, "") } else { Does::Answer(200, "") });
        let (hooks, _) = hooks(&config(app.address, |_| ()));
        let start_s = unix_s();
        tell(&hooks, 0);
        until("the first try", || app.had().len() == 1).await;
        until("another second", || unix_s() > start_s + 1).await;
        hooks.settled().await;
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 24]);
        for had in app.had() {
            let (id, at) = (had.field("webhook-id"), had.field("webhook-timestamp"));
            let tag = aws_lc_rs::hmac::sign(&key, format!("{id}.{at}.{}", had.body).as_bytes());
            let expected = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
            assert_eq!(had.field("webhook-signature"), format!("v1,{expected}"));
            assert!(at.parse::<u64>().is_ok_and(|at| (start_s..start_s + 60).contains(&at)));
        }
    });
}

#[test]
fn what_nobody_hears_is_given_up_and_counted() {
    on_both(|| async {
        let (hooks, metrics) = hooks(&config(nobody(), |hooks| hooks.retry_for = Duration::from_secs(1)));
        let start = now();
        tell(&hooks, 0);
        hooks.settled().await;
        assert!(now() - start >= Duration::from_secs(1));
        assert_eq!(
            (metrics.notifications_given_up_total.value(), metrics.notifications_total.value()),
            (1, 0)
        );
        assert!(metrics.notifications_retried_total.value() >= 3);
        assert_eq!((hooks.unsettled(), metrics.notifications_waiting.value()), (0, 0));
    });
}

#[test]
fn a_status_410_and_the_end_of_hooks_settle_what_waits() {
    on_both(|| async {
        let app = App::new(|_, _| Does::Answer(410, ""));
        let (hooks, metrics) = hooks(&config(app.address, |_| ()));
        tell(&hooks, 0);
        until("410", || metrics.notifications_total.value() == 1).await;

        let away = config(nobody(), |_| ());
        hooks.configure(&away, &Boards::new(&away, None));
        tell(&hooks, 1);
        until("a try", || metrics.notifications_retried_total.value() > 0).await;
        hooks.configure(&Config::default(), &Boards::new(&Config::default(), None));
        hooks.settled().await;
        assert_eq!(metrics.notifications_given_up_total.value(), 1);
    });
}

#[test]
fn sixteen_are_told_at_a_time_and_all_in_the_end() {
    on_both(|| async {
        // Each is answered when sixteen are there, and never would be if there were fewer.
        let sixteen = Barrier::new(16);
        let app = App::new(move |_, _| {
            sixteen.wait();
            Does::Answer(200, "")
        });
        let (hooks, metrics) = hooks(&config(app.address, |_| ()));
        (0..160).for_each(|number| tell(&hooks, number));
        hooks.settled().await;
        assert_eq!((metrics.notifications_total.value(), app.had().len()), (160, 160));
        assert_eq!(app.most.load(SeqCst), 16, "at a time");
    });
}

#[test]
fn a_notifications_answer_publishes_and_a_bad_one_is_heard_all_the_same() {
    on_both(|| async {
        let app = App::new(|nth, _| match nth {
            0 => Does::Answer(200, r#"{"publish":[{"room":"x","payload":1},{"room":"y","payload":2}]}"#),
            _ => Does::Answer(200, "<html>"),
        });
        let (hooks, metrics) = hooks(&config(app.address, |_| ()));
        let posts = Rc::new(RefCell::new(Vec::new()));
        let carried = posts.clone();
        hooks.on_posts(move |posts| carried.borrow_mut().push(posts));
        tell(&hooks, 0);
        hooks.settled().await;
        tell(&hooks, 1);
        hooks.settled().await;
        let rooms: Vec<Vec<String>> = posts
            .borrow()
            .iter()
            .map(|posts| posts.iter().map(|post| post.room.to_string()).collect())
            .collect();
        assert_eq!(rooms, [["x", "y"]]);
        assert_eq!(metrics.notifications_total.value(), 2);
    });
}
