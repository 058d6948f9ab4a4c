//! Many hubs, their lanes and their members, without a socket, a clock or a thread.
//!
//! A seed decides everything: how many shards, how wide the lanes, who joins, leaves, publishes, stalls
//! and dies, and which shard takes its turn. Members check promises 1, 2 and 4 of the design against the
//! order in which homes accepted publications; at the end everything is delivered, everybody leaves, and
//! nothing may be left over. A failing seed is printed; once mended it is pinned in [`PINNED`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::*;

/// Seeds that failed once, and what they found.
const PINNED: &[u64] = &[];

#[test]
fn promises_hold_for_every_seed() {
    let seeds =
        std::env::var("VESTIBULE_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    let mut seen = Seen::default();
    for seed in PINNED.iter().copied().chain(0..seeds) {
        let _named = NameOnPanic(seed);
        let mut world = World::new(seed);
        world.run(600);
        world.come_to_rest();
        seen.add(&world);
    }
    println!("{} seeds: {seen:?}", PINNED.len() as u64 + seeds);
    // A simulation in which these never happen proves little.
    assert!(
        seen.delivered > 10_000 && seen.gaps > 0 && seen.too_slow > 0 && seen.waited > 0 && seen.fenced > 0
    );
}

struct NameOnPanic(u64);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation failed with seed {}", self.0);
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    delivered: u64,
    gaps: u64,
    too_slow: u64,
    waited: u64,
    fenced: u64,
}

impl Seen {
    fn add(&mut self, world: &World) {
        self.delivered += world.delivered;
        self.fenced += world.fenced;
        for hub in &world.hubs {
            self.gaps += hub.counts().gaps;
            self.too_slow += hub.counts().too_slow;
            self.waited += hub.counts().waited;
        }
    }
}

struct World {
    dice: Dice,
    hubs: Vec<Hub>,
    /// `lanes[from][to]`.
    lanes: Vec<Vec<VecDeque<Message>>>,
    lane_len_max: usize,
    lag_bytes: usize,
    clients: Vec<Client>,
    /// What the homes accepted, in order.
    order: HashMap<String, Vec<u64>>,
    excluded: HashMap<u64, Excluded>,
    next_id: u64,
    delivered: u64,
    fenced: u64,
}

/// Who must not get a publication, and whether its exclusion of a room's members makes it optional.
#[derive(Default)]
struct Excluded {
    connections: HashSet<ConnectionKey>,
    connection_shard: u16,
    user: Option<String>,
    optional: bool,
}

struct Client {
    shard: usize,
    key: ConnectionKey,
    user: String,
    flight: Vec<Bytes>,
    writing: bool,
    stalled: bool,
    bytes: Vec<u8>,
    views: HashMap<String, View>,
    asked: HashMap<u64, Asked>,
    blocked: Option<Command>,
    close: Option<u16>,
    fence: Option<(u64, HashMap<String, usize>)>,
    gone: bool,
}

/// What a client has seen of a room.
#[derive(Default)]
struct View {
    joined: bool,
    /// Everything accepted from here on has to come.
    from: usize,
    /// The order's index behind the last publication it got.
    next: Option<usize>,
    gap: bool,
}

#[derive(Clone)]
enum Command {
    Join(String),
    Leave(String),
    Publish(String, Arc<Publication>, u64),
}

enum Asked {
    Join(String),
    /// With what the room's home had accepted, if it is on the same shard: that much must come first.
    Leave(String, usize),
    Publish,
}

/// One shard's view of the lanes. The consumers run beside it: a lane that is full now may have space
/// a moment later, so that a push in between fails.
struct Outgoing<'a> {
    lanes: &'a mut [VecDeque<Message>],
    len_max: usize,
    dice: &'a mut Dice,
}

impl Lanes for Outgoing<'_> {
    fn push(&mut self, to: ShardId, message: Message) -> Result<(), Message> {
        let lane = &mut self.lanes[to.index()];
        if lane.len() >= self.len_max || self.dice.below(16) == 0 {
            return Err(message);
        }
        lane.push_back(message);
        Ok(())
    }
}

const ROOMS: usize = 4;

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
        let shards = 1 + dice.below(4) as u16;
        let lane_len_max = [1, 2, 3, 8, 64][dice.below(5)];
        let lag_bytes = [1000, 4000, 1 << 20][dice.below(3)];
        let options = |shard| Options { shard: ShardId(shard), shards, name_seed: seed, epoch_seed: seed };
        let limits = Limits { lag_bytes, rooms_per_connection: ROOMS };
        let mut hubs: Vec<Hub> = (0..shards).map(|shard| Hub::new(options(shard), limits)).collect();
        // Little credit, so that it runs out.
        let publications = [1, 4, CREDIT_PUBLICATIONS][dice.below(3)];
        for peer in hubs.iter_mut().flat_map(|hub| &mut hub.peers) {
            peer.credit.publications = publications;
        }
        let lanes = (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect();
        World {
            dice,
            hubs,
            lanes,
            lane_len_max,
            lag_bytes,
            clients: Vec::new(),
            order: HashMap::new(),
            excluded: HashMap::new(),
            next_id: 0,
            delivered: 0,
            fenced: 0,
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.dice.below(20) {
                0 => self.connect(),
                1 if self.dice.below(4) == 0 => self.disconnect(),
                1 => self.start_goodbye(),
                2..=4 => self.act(|room, _| Command::Join(room)),
                5 => self.act(|room, _| Command::Leave(room)),
                6..=10 => self.publish(),
                11 => {
                    if let Some(client) = self.pick() {
                        self.clients[client].stalled ^= true;
                    }
                }
                12..=14 => {
                    if let Some(client) = self.pick()
                        && !self.clients[client].stalled
                    {
                        self.complete_write(client);
                    }
                }
                _ => {
                    let shard = self.dice.below(self.hubs.len());
                    self.turn(shard);
                }
            }
            self.check_bounds();
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let alive: Vec<usize> =
            (0..self.clients.len()).filter(|&client| !self.clients[client].gone).collect();
        (!alive.is_empty()).then(|| alive[self.dice.below(alive.len())])
    }

    fn connect(&mut self) {
        if self.clients.iter().filter(|client| !client.gone).count() >= 12 {
            return;
        }
        let shard = self.dice.below(self.hubs.len());
        let user = format!("u{}", self.dice.below(6));
        let key = self.hubs[shard].connect(user.as_str().into(), Format::Native);
        self.clients.push(Client {
            shard,
            key,
            user,
            flight: Vec::new(),
            writing: false,
            stalled: false,
            bytes: Vec::new(),
            views: HashMap::new(),
            asked: HashMap::new(),
            blocked: None,
            close: None,
            fence: None,
            gone: false,
        });
    }

    fn disconnect(&mut self) {
        if let Some(client) = self.pick() {
            self.remove(client);
        }
    }

    fn remove(&mut self, client: usize) {
        let client = &mut self.clients[client];
        self.hubs[client.shard].disconnect(client.key);
        client.gone = true;
    }

    fn start_goodbye(&mut self) {
        let Some(client) = self.pick() else { return };
        if self.clients[client].fence.is_none() {
            let fence = self.hubs[self.clients[client].shard].raise_fence();
            let accepted = self.order.iter().map(|(room, order)| (room.clone(), order.len())).collect();
            self.clients[client].fence = Some((fence, accepted));
        }
    }

    fn act(&mut self, make: impl FnOnce(String, u64) -> Command) {
        let room = format!("room{}", self.dice.below(ROOMS));
        let Some(client) = self.pick() else { return };
        self.next_id += 1;
        if self.clients[client].blocked.is_none() {
            let command = make(room, self.next_id);
            self.command(client, command);
        }
    }

    fn publish(&mut self) {
        let kind = self.dice.below(8);
        let size = if self.dice.below(10) == 0 { 400 } else { 4 };
        let (other_user, other_room) =
            (format!("u{}", self.dice.below(6)), format!("room{}", self.dice.below(ROOMS)));
        let Some(client) = self.pick() else { return };
        if self.clients[client].blocked.is_some() {
            return;
        }
        let Client { shard, key, .. } = self.clients[client];
        self.next_id += 1;
        let id = self.next_id;
        let mut exclude = Exclude::default();
        let mut excluded = Excluded { connection_shard: shard as u16, ..Excluded::default() };
        match kind {
            0..=3 => {
                exclude = Exclude::connection(ConnectionId { shard: ShardId(shard as u16), key });
                excluded.connections.insert(key);
            }
            4 => {
                exclude.users = [other_user.clone().into()].into();
                excluded.user = Some(other_user);
            }
            5 => {
                exclude.rooms = [other_room.into()].into();
                excluded.optional = true;
            }
            _ => (),
        }
        self.excluded.insert(id, excluded);
        let payload = format!("[{id},\"{}\"]", "x".repeat(size));
        let publication =
            Arc::new(Publication { payload: payload.into_bytes().into(), exclude, event: None });
        let room = format!("room{}", self.dice.below(ROOMS));
        self.command(client, Command::Publish(room, publication, id));
    }

    fn command(&mut self, client: usize, command: Command) {
        let Client { shard, key, .. } = self.clients[client];
        if self.clients[client].fence.is_some() || self.clients[client].close.is_some() {
            return;
        }
        self.next_id += 1;
        let request = request_id(self.next_id);
        let hub = &mut self.hubs[shard];
        let (step, asked) = match &command {
            Command::Join(room) => match hub.join(key, room, Some(&request)) {
                Ok(step) => (step, Asked::Join(room.clone())),
                Err(refusal) => panic!("join refused: {refusal}"),
            },
            Command::Leave(room) => match hub.leave(key, room, Some(&request)) {
                Ok(()) => {
                    let local = hub.home_of(room) == hub.shard();
                    let accepted = self.order.get(room).filter(|_| local).map_or(0, Vec::len);
                    (Step::Done, Asked::Leave(room.clone(), accepted))
                }
                Err(_) => return,
            },
            Command::Publish(room, publication, id) => {
                let step = hub.publish(key, room, publication, Some(&request));
                if step == Step::Done && hub.home_of(room) == hub.shard() {
                    self.order.entry(room.clone()).or_default().push(*id);
                }
                (step, Asked::Publish)
            }
        };
        match step {
            Step::Done => drop(self.clients[client].asked.insert(self.next_id, asked)),
            Step::Wait(_) => self.clients[client].blocked = Some(command),
        }
    }

    fn turn(&mut self, shard: usize) {
        for from in 0..self.hubs.len() {
            for _ in 0..self.dice.below(self.lane_len_max + 1) {
                let Some(message) = self.lanes[from][shard].pop_front() else { break };
                if let Message::Publish { room, publication, .. } = &message {
                    self.order.entry(room.to_string()).or_default().push(id_of(&publication.payload));
                }
                self.hubs[shard].on_message(ShardId(from as u16), message);
            }
        }
        let len_max = self.lane_len_max;
        let (lanes, dice) = (&mut self.lanes[shard], &mut self.dice);
        self.hubs[shard].push(&mut Outgoing { lanes, len_max, dice });
        self.hubs[shard].end_turn();
        while self.hubs[shard].poll_too_slow().is_some() {}
        while let Some(key) = self.hubs[shard].poll_writable() {
            if let Some(client) = self.client_at(shard, key) {
                self.start_write(client);
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].shard == shard && !self.clients[client].gone {
                if let Some(command) = self.clients[client].blocked.take() {
                    self.command(client, command);
                }
                self.say_goodbye_if_fenced(client);
            }
        }
    }

    fn say_goodbye_if_fenced(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let hub = &mut self.hubs[client.shard];
        if client.fence.as_ref().is_some_and(|(fence, _)| hub.fence_passed() >= *fence) {
            hub.say_goodbye(client.key, CloseCode::GOING_AWAY, "");
        }
    }

    fn client_at(&self, shard: usize, key: ConnectionKey) -> Option<usize> {
        self.clients.iter().position(|client| !client.gone && client.shard == shard && client.key == key)
    }

    fn start_write(&mut self, client: usize) {
        let client = &mut self.clients[client];
        client.flight.clear();
        client.writing = self.hubs[client.shard].batch(client.key, &mut client.flight);
    }

    fn complete_write(&mut self, client: usize) {
        let one = &mut self.clients[client];
        if !one.writing {
            return;
        }
        let bytes = one.flight.concat();
        one.bytes.extend_from_slice(&bytes);
        self.hubs[one.shard].on_written(one.key);
        self.read(client);
        if self.clients[client].close.is_some() {
            self.remove(client);
        } else {
            self.start_write(client);
        }
    }

    /// The client reads what was written to it: whole frames only, and nothing behind a close.
    fn read(&mut self, client: usize) {
        let bytes = std::mem::take(&mut self.clients[client].bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            assert!(self.clients[client].close.is_none(), "bytes behind a close frame");
            let (opcode, payload, behind) = split_frame(rest);
            rest = behind;
            if opcode == 8 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                self.clients[client].close = Some(code);
                self.check_goodbye(client, code);
                continue;
            }
            let value: serde_json::Value = serde_json::from_slice(payload).expect("frames are whole");
            match value["type"].as_str() {
                Some("ack") => self.on_ack(client, value["id"].as_u64().expect("the id as sent")),
                Some("gap") => self.view(client, &value["room"]).gap = true,
                Some("message") => self.on_publication(client, &value),
                other => panic!("what is a {other:?}?"),
            }
        }
    }

    fn view(&mut self, client: usize, room: &serde_json::Value) -> &mut View {
        let room = room.as_str().expect("a room's name").to_owned();
        self.clients[client].views.entry(room).or_default()
    }

    fn on_ack(&mut self, client: usize, id: u64) {
        let lens: HashMap<String, usize> =
            self.order.iter().map(|(room, order)| (room.clone(), order.len())).collect();
        let number = client;
        let client = &mut self.clients[client];
        match client.asked.remove(&id).expect("every request is acknowledged once") {
            Asked::Join(room) => {
                let view = client.views.entry(room.clone()).or_default();
                if !view.joined {
                    *view =
                        View { joined: true, from: lens.get(&room).copied().unwrap_or(0), ..View::default() };
                }
            }
            Asked::Leave(room, until) => {
                if let Some(view) = client.views.remove(&room).filter(|view| view.joined && !view.gap) {
                    self.check_none_missed(number, &room, view.next.unwrap_or(view.from), until);
                }
            }
            Asked::Publish => (),
        }
    }

    fn on_publication(&mut self, client: usize, value: &serde_json::Value) {
        self.delivered += 1;
        let room = value["room"].as_str().expect("a room's name").to_owned();
        let id = value["payload"][0].as_u64().expect("an id");
        let order = &self.order[&room];
        let index = order.iter().position(|&one| one == id).expect("what is delivered was accepted");
        assert!(!self.is_excluded(client, id, false), "an excluded member got {id}");
        let view = self.clients[client].views.get(&room).filter(|view| view.joined);
        let view = view.expect("only members get a room's publications");
        let expected = view.next.unwrap_or(view.from);
        assert!(view.next.is_none_or(|next| index >= next), "{id} came twice or out of order");
        if !view.gap {
            self.check_none_missed(client, &room, expected, index);
        }
        let view = self.view(client, &value["room"]);
        (view.next, view.gap) = (Some(index + 1), false);
    }

    fn check_none_missed(&self, client: usize, room: &str, from: usize, until: usize) {
        let order = self.order.get(room).map_or(&[][..], |order| order);
        for id in order.iter().take(until).skip(from) {
            assert!(self.is_excluded(client, *id, true), "client {client} missed {id} in {room}");
        }
    }

    fn is_excluded(&self, client: usize, id: u64, may_be: bool) -> bool {
        let excluded = &self.excluded[&id];
        let client = &self.clients[client];
        excluded.connections.contains(&client.key) && usize::from(excluded.connection_shard) == client.shard
            || excluded.user.as_ref() == Some(&client.user)
            || (may_be && excluded.optional)
    }

    /// Whoever is told goodbye behind a fence has all that was accepted when the fence was raised.
    fn check_goodbye(&mut self, client: usize, code: u16) {
        match (code, self.clients[client].fence.take()) {
            (1001, Some((_, accepted))) => {
                self.fenced += 1;
                for (room, until) in accepted {
                    if let Some(view) =
                        self.clients[client].views.get(&room).filter(|view| view.joined && !view.gap)
                    {
                        self.check_none_missed(client, &room, view.next.unwrap_or(view.from), until);
                    }
                }
            }
            (4008, _) => (),
            other => panic!("closed with {other:?}"),
        }
    }

    fn check_bounds(&self) {
        for hub in &self.hubs {
            for connection in hub.connections.values().filter(|connection| !connection.leaving) {
                // One turn's worth may come on top before it is noticed.
                assert!(
                    connection.unsent_bytes() < self.lag_bytes + (1 << 20),
                    "a connection holds too much"
                );
            }
        }
        for (from, lanes) in self.lanes.iter().enumerate() {
            assert!(lanes[from].is_empty(), "a shard needs no lane to itself");
        }
    }

    /// Everybody reads, every shard takes turns, until nothing moves; then everybody goes.
    fn come_to_rest(&mut self) {
        for _ in 0..4000 {
            for shard in 0..self.hubs.len() {
                self.turn(shard);
            }
            for client in 0..self.clients.len() {
                if !self.clients[client].gone {
                    self.complete_write(client);
                }
            }
            let idle = self.lanes.iter().flatten().all(VecDeque::is_empty)
                && self.hubs.iter().all(|hub| !hub.owes() && hub.writable_count() == 0)
                && self
                    .clients
                    .iter()
                    .all(|client| client.gone || !client.writing && client.blocked.is_none());
            if idle {
                return self.check_rest();
            }
        }
        panic!("it does not come to rest");
    }

    fn check_rest(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].gone {
                continue;
            }
            assert!(self.clients[client].asked.is_empty(), "a request was never acknowledged");
            let rooms: Vec<String> = self.clients[client].views.keys().cloned().collect();
            for room in rooms {
                let view = &self.clients[client].views[&room];
                if view.joined && !view.gap {
                    let until = self.order.get(&room).map_or(0, Vec::len);
                    self.check_none_missed(client, &room, view.next.unwrap_or(view.from), until);
                }
            }
            self.remove(client);
        }
        for _ in 0..100 {
            for shard in 0..self.hubs.len() {
                self.turn(shard);
            }
        }
        for hub in &self.hubs {
            assert_eq!(hub.census(), Census::default(), "something is left over");
            assert!(hub.receipts.is_empty());
            for peer in &hub.peers {
                assert!(!peer.owes() && peer.joins_unanswered == 0);
                assert_eq!(peer.credit.bytes, CREDIT_BYTES / self.hubs.len() as u64, "credit was lost");
            }
        }
    }
}

fn split_frame(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (head, len) = match bytes[1] {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        len => (2, usize::from(len)),
    };
    (bytes[0] & 15, &bytes[head..head + len], &bytes[head + len..])
}

fn id_of(payload: &[u8]) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(payload).expect("what the simulation published");
    value[0].as_u64().expect("an id first")
}

/// xorshift64*: a seed in, the same throws out.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

fn request_id(number: u64) -> RequestId {
    let sent = format!(r#"{{"type":"ping","id":{number}}}"#);
    native::Request::decode(sent.as_bytes()).ok().and_then(|request| request.id).expect("a number is an id")
}
