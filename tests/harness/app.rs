//! An application behind the server: hears hooks, notes each call, and answers as it is told to.
//!
//! A thread a connection. It judges what every call has to be: a POST of JSON, signed, with a name of its own. It can be
//! killed, frozen (nothing is accepted or read, as if it were stopped), and come back at the same address.
#![allow(clippy::disallowed_types, reason = "its threads share what it noted")]

use super::{PATIENCE, until};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, mpsc::channel},
    thread,
    time::Duration,
};

/// What every test's hooks are signed with.
pub(crate) const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One call, as it was heard.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its name: the same for each try.
    pub(crate) id: String,
    /// What happened.
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) after: Duration,
}

/// How it answers.
type Answer = dyn Fn(&Call) -> Reply + Send + Sync;

/// The application. Dropped, it is gone.
pub(crate) struct App {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    thawed: Condvar,
}

struct World {
    calls: Vec<Call>,
    faults: Vec<String>,
    answer: Arc<Answer>,
    /// Those who are connected: to be cut when it is killed.
    streams: HashMap<u64, TcpStream>,
    /// How manyeth life it leads; threads of another one end.
    life: u64,
    is_alive: bool,
    is_frozen: bool,
    accepted: u64,
}

impl Reply {
    /// This verdict, at once.
    pub(crate) fn verdict(verdict: &Value) -> Self {
        Self { status: 200, body: verdict.to_string(), after: Duration::ZERO }
    }

    /// Everything is allowed.
    pub(crate) fn yes() -> Self {
        Self::verdict(&json!({ "allow": true }))
    }

    /// This text.
    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), after: Duration::ZERO }
    }

    /// The same, later.
    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

impl Call {
    /// A part of what it tells, as text.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.data[key].as_str().unwrap_or_else(|| panic!("{key} of {self:?}"))
    }
}

impl App {
    /// One that answers so.
    pub(crate) fn start(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let world = World {
            calls: Vec::new(),
            faults: Vec::new(),
            answer: Arc::new(answer),
            streams: HashMap::new(),
            life: 0,
            is_alive: true,
            is_frozen: false,
            accepted: 0,
        };
        let app =
            Self { address, shared: Arc::new(Shared { world: Mutex::new(world), thawed: Condvar::new() }) };
        app.shared.live(listener);
        app
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        self.shared.world().answer = Arc::new(answer);
    }

    /// What it heard so far of this kind, each try.
    pub(crate) fn calls(&self, kind: &str) -> Vec<Call> {
        self.shared.world().calls.iter().filter(|call| call.kind == kind).cloned().collect()
    }

    /// How often it heard of each of this kind, by name.
    pub(crate) fn ids(&self, kind: &str) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        for call in self.shared.world().calls.iter().filter(|call| call.kind == kind) {
            *ids.entry(call.id.clone()).or_default() += 1;
        }
        ids
    }

    /// Waits until it has heard so many of this kind.
    pub(crate) fn await_calls(&self, kind: &str, count: usize) -> Vec<Call> {
        until(&format!("{count} of {kind}"), PATIENCE, || {
            let calls = self.calls(kind);
            (calls.len() >= count).then_some(calls)
        })
    }

    /// The last of this kind.
    pub(crate) fn last(&self, kind: &str) -> Call {
        self.calls(kind).pop().unwrap_or_else(|| panic!("no {kind} was heard"))
    }

    /// It is gone, at once, and whoever comes is refused.
    pub(crate) fn kill(&self) {
        let streams = {
            let mut world = self.shared.world();
            (world.is_alive, world.is_frozen) = (false, false);
            world.life += 1;
            std::mem::take(&mut world.streams)
        };
        self.shared.thawed.notify_all();
        for stream in streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Whoever accepts looks up when somebody comes.
        let _ = TcpStream::connect(self.address);
        until("the application's port is free", PATIENCE, || self.bind());
    }

    /// It is back at its address.
    pub(crate) fn revive(&self) {
        let listener = until("the application's port is free", PATIENCE, || self.bind());
        self.shared.world().is_alive = true;
        self.shared.live(listener);
    }

    fn bind(&self) -> Option<TcpListener> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
        socket.set_reuse_address(true).ok()?;
        socket.bind(&self.address.into()).ok()?;
        socket.listen(1024).ok()?;
        Some(socket.into())
    }

    /// It stops where it is: the kernel takes connections and bytes for it, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.shared.world().is_frozen = true;
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.shared.world().is_frozen = false;
        self.shared.thawed.notify_all();
    }

    /// Nothing that it heard was other than it has to be.
    pub(crate) fn check(&self) {
        assert_eq!(self.shared.world().faults, [""; 0], "what the application heard");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check();
        }
        let mut world = self.shared.world();
        world.is_alive = false;
        world.life += 1;
        world.streams.drain().for_each(|(_, stream)| drop(stream.shutdown(Shutdown::Both)));
        drop(world);
        self.shared.thawed.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits while it is frozen; false if this life is over.
    fn goes_on(&self, life: u64) -> bool {
        let frozen = |world: &mut World| world.is_frozen && world.life == life;
        let world = self.thawed.wait_while(self.world(), frozen);
        let world = world.unwrap_or_else(std::sync::PoisonError::into_inner);
        world.is_alive && world.life == life
    }

    fn live(self: &Arc<Self>, listener: TcpListener) {
        let shared = self.clone();
        let life = shared.world().life;
        thread::spawn(move || {
            for stream in listener.incoming() {
                if !shared.goes_on(life) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = {
                    let mut world = shared.world();
                    world.accepted += 1;
                    let number = world.accepted;
                    world.streams.insert(number, stream.try_clone().expect("a second handle"));
                    number
                };
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.serve(stream, life);
                    shared.world().streams.remove(&number);
                });
            }
        });
    }

    /// One connection, call after call.
    fn serve(&self, stream: TcpStream, life: u64) {
        let _ = stream.set_nodelay(true);
        let Ok(mut writer) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = read_request(&mut reader) {
            if !self.goes_on(life) {
                return;
            }
            let reply = match judge(&head, &body) {
                Ok(call) => {
                    let answer = {
                        let mut world = self.world();
                        world.calls.push(call.clone());
                        world.answer.clone()
                    };
                    answer(&call)
                }
                Err(fault) => {
                    self.world().faults.push(format!("{fault}: {head:?}"));
                    Reply::text(400, "")
                }
            };
            if !reply.after.is_zero() {
                let (_ringer, bell) = channel::<()>();
                let _ = bell.recv_timeout(reply.after);
            }
            if !self.goes_on(life) {
                return;
            }
            let Reply { status, body, .. } = reply;
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n\r\n");
            if writer.write_all(&[head.as_bytes(), body.as_bytes()].concat()).is_err() {
                return;
            }
        }
    }
}

/// The lines of a head, and the body behind it.
fn read_request(reader: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.strip_suffix("\r\n")? {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut body = vec![0; field(&head, "content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn field<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().skip(1).find_map(|line| {
        let (named, value) = line.split_once(": ")?;
        named.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// What a call says, or what is wrong with it.
fn judge(head: &[String], body: &[u8]) -> Result<Call, &'static str> {
    if head[0] != "POST /hooks?v=1 HTTP/1.1" {
        return Err("another request than a call");
    }
    let id = field(head, "webhook-id").ok_or("no name")?;
    let timestamp = field(head, "webhook-timestamp").ok_or("no time")?;
    // As receivers do, who take what is older for a call that somebody recorded.
    let told_s: u64 = timestamp.parse().map_err(|_| "a time that is none")?;
    if told_s.abs_diff(super::now_s()) > RECENT_S {
        return Err("a time that is not now");
    }
    let signature = field(head, "webhook-signature").ok_or("no signature")?;
    let key = STANDARD.decode(&HOOK_SECRET["whsec_".len()..]).expect("a literal");
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed));
    if signature != format!("v1,{tag}") {
        return Err("a wrong signature");
    }
    let mut body: Value = serde_json::from_slice(body).map_err(|_| "no JSON")?;
    let kind = body["type"].as_str().ok_or("no type")?.to_owned();
    let data = body["data"].take();
    if !id.starts_with(&format!("{kind}_{}", data["request"].as_str().ok_or("no request")?)) {
        return Err("a name that is not its own");
    }
    Ok(Call { id: id.to_owned(), kind, data })
}

/// How far the time of a call may be from that of its receiver.
const RECENT_S: u64 = 60;
