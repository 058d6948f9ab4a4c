//! The hubs, the lanes between them and those who use them: what happens next, and in which order.
//!
//! Drives each hub as a shard would, and tells the ledger what a home takes. Judges nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Dice;
use super::client::{Asked, Client, View};
use super::ledger::{Excluded, Ledger};
use super::stream::Listening;
use crate::hub::{
    CREDIT_PUBLICATIONS, ConnectionId, Exclude, Hub, Join, Keep, Lanes, Limits, Message, Options,
    Publication, Refusal, ShardId, Step, Wire,
};
use crate::protocol::native::{Request, RequestId};
use crate::protocol::sse::Framing;
use crate::protocol::websocket::CloseCode;

/// All there is.
pub(in crate::hub) struct World {
    pub(super) hubs: Vec<Hub>,
    /// `lanes[from][to]`.
    pub(super) lanes: Vec<Vec<VecDeque<Message>>>,
    pub(super) clients: Vec<Client>,
    pub(super) ledger: Ledger,
    pub(super) lag_bytes: usize,
    /// Rooms that all hubs together may have.
    pub(super) rooms_max: usize,
    /// Of each hub.
    pub(super) paces: Vec<Pace>,
    /// What all histories of a hub may cost.
    pub(super) history_bytes: u64,
    dice: Dice,
    /// For what was added later, so that `dice` throws what it threw before.
    fate: Dice,
    /// What those who are gone had seen, by their users.
    away: Vec<(String, HashMap<String, View>)>,
    now_ms: u64,
    /// Some rooms have a history.
    has_history: bool,
    /// Some clients are streams.
    has_streams: bool,
    lane_len_max: usize,
    next_id: u64,
}

/// How much a hub's rooms are told between two of its turns.
#[derive(Clone, Default)]
pub(super) struct Pace {
    at_last_turn: u64,
    pub(super) most: u64,
}

impl Pace {
    fn note(&mut self, hub: &Hub) -> u64 {
        let told = hub.counts().appended + hub.counts().gaps;
        self.most = self.most.max(told - self.at_last_turn);
        told
    }
}

/// What a client asks of its hub.
pub(super) enum Command {
    Join(String, Option<View>),
    Leave(String),
    Publish(String, Arc<Publication>, u64),
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

impl World {
    /// A world in which a seed decides what happens.
    #[cfg(test)]
    pub(super) fn new(seed: u64) -> World {
        World::with(Dice { script: Vec::new(), seed: spread(seed) }, seed)
    }

    /// A world in which `script` decides, as far as it goes.
    pub(in crate::hub) fn scripted(script: &[u8]) -> World {
        World::with(Dice { script: script.iter().rev().copied().collect(), seed: spread(0) }, 0)
    }

    fn with(mut dice: Dice, seed: u64) -> World {
        let shards = 1 + dice.below(4) as u16;
        let lane_len_max = [1, 2, 3, 8, 64][dice.below(5)];
        let lag_bytes = [1000, 4000, 1 << 20][dice.below(3)];
        let options = |shard| Options { shard: ShardId(shard), shards, name_seed: seed, epoch_seed: seed };
        let history_bytes = if (seed / 64).is_multiple_of(4) { 2000 } else { 1 << 20 };
        let limits = Limits { lag_bytes, rooms_per_connection: ROOMS, history_bytes, connections: 16 };
        let mut hubs: Vec<Hub> = (0..shards).map(|shard| Hub::new(options(shard), limits)).collect();
        // Little credit, so that it runs out.
        let publications = [1, 4, CREDIT_PUBLICATIONS][dice.below(3)];
        for peer in hubs.iter_mut().flat_map(|hub| &mut hub.peers) {
            peer.credit.publications = publications;
        }
        let fate = Dice { script: Vec::new(), seed: spread(!seed) };
        if seed / 8 % 2 == 1 {
            for hub in &mut hubs {
                hub.set_keeper(Box::new(move |room| keep_of(room, seed)));
            }
        }
        let lanes = (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect();
        World {
            hubs,
            lanes,
            clients: Vec::new(),
            ledger: Ledger::default(),
            lag_bytes,
            // Fewer than there are names, in one world of four. Of the seed itself, so that what it threw
            // before, it throws still.
            rooms_max: if seed % 4 == 3 { 1 + (seed / 4) as usize % (ROOMS - 1) } else { ROOMS },
            paces: vec![Pace::default(); shards.into()],
            history_bytes,
            dice,
            fate,
            away: Vec::new(),
            now_ms: 0,
            has_history: seed / 8 % 2 == 1,
            has_streams: seed / 8 % 4 == 1,
            lane_len_max,
            next_id: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Goes on while the script does.
    pub(in crate::hub) fn run_script(&mut self, steps_max: usize) {
        for _ in 0..steps_max {
            if self.dice.script.is_empty() {
                break;
            }
            self.step();
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => self.connect(),
            1 if self.dice.below(4) == 0 => self.disconnect(),
            1 => self.raise_fence(),
            2..=4 => self.act(|room| Command::Join(room, None)),
            5 => self.act(Command::Leave),
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
        self.now_ms += self.fate.below(20) as u64;
        if self.has_history && self.fate.below(200) == 0 {
            self.change_rules();
        }
        for (pace, hub) in self.paces.iter_mut().zip(&self.hubs) {
            pace.note(hub);
        }
        self.check_bounds();
    }

    /// A reload: other rooms have a history, and another one.
    fn change_rules(&mut self) {
        let seed = 16 * self.fate.below(5) as u64;
        for hub in &mut self.hubs {
            hub.set_keeper(Box::new(move |room| keep_of(room, seed)));
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let alive: Vec<usize> =
            (0..self.clients.len()).filter(|&client| !self.clients[client].gone).collect();
        (!alive.is_empty()).then(|| alive[self.dice.below(alive.len())])
    }

    fn connect(&mut self) {
        if self.clients.iter().filter(|client| !client.gone).count() >= CLIENTS {
            return;
        }
        let shard = self.dice.below(self.hubs.len());
        let user = self.any_user();
        let came_back = !self.away.is_empty() && self.fate.below(3) > 0;
        let (user, seen) = match came_back {
            true => self.away.swap_remove(self.fate.below(self.away.len())),
            false => (user, HashMap::new()),
        };
        // In an order that does not depend on the process.
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if self.has_streams && self.fate.below(2) == 0 {
            return self.connect_stream(shard, user, seen);
        }
        let key = self.hubs[shard].connect(user.as_str().into(), Wire::Native);
        self.clients.push(Client::new(shard, key, user));
        for (room, view) in seen {
            self.command(self.clients.len() - 1, Command::Join(room, Some(view)));
        }
    }

    /// A stream of what its user was in, or of a few rooms. What has to wait for a home does so in turn.
    fn connect_stream(&mut self, shard: usize, user: String, seen: Vec<(String, View)>) {
        let mut rooms: Vec<String> = seen.iter().map(|(room, _)| room.clone()).collect();
        for _ in 0..=self.fate.below(2) {
            let room = format!("room{}", self.fate.below(ROOMS));
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
        let framing = if self.fate.below(3) == 0 { Framing::Bare } else { Framing::Chunked };
        let views: HashMap<_, _> = seen.into_iter().filter(|(_, view)| view.since().is_some()).collect();
        let since = rooms.iter().map(|room| views.get(room).and_then(View::since)).collect();
        let listening = Listening::new(framing, rooms.clone(), since);
        let key = self.hubs[shard].connect(user.as_str().into(), listening.wire());
        let mut client = Client::new(shard, key, user);
        client.to_ask =
            rooms.into_iter().rev().map(|room| (room.clone(), views.get(&room).cloned())).collect();
        client.listen(listening, views);
        self.clients.push(client);
        self.ask_next(self.clients.len() - 1);
    }

    /// A stream asks for its rooms, one after the other.
    fn ask_next(&mut self, client: usize) {
        while self.clients[client].blocked.is_none()
            && let Some((room, view)) = self.clients[client].to_ask.pop()
        {
            self.command(client, Command::Join(room, view));
        }
    }

    fn any_user(&mut self) -> String {
        format!("u{}", self.dice.below(USERS))
    }

    fn any_room(&mut self) -> String {
        format!("room{}", self.dice.below(ROOMS))
    }

    fn disconnect(&mut self) {
        if let Some(client) = self.pick() {
            self.remove(client);
        }
    }

    pub(super) fn remove(&mut self, client: usize) {
        let client = &mut self.clients[client];
        self.hubs[client.shard].disconnect(client.key);
        client.gone = true;
        let seen = client.take_views();
        if !seen.is_empty() && self.away.len() < CLIENTS {
            self.away.push((client.user.clone(), seen));
        }
    }

    /// The first half of a goodbye.
    fn raise_fence(&mut self) {
        let Some(client) = self.pick() else { return };
        let client = &mut self.clients[client];
        if client.fence.is_none() {
            let fence = self.hubs[client.shard].raise_fence();
            client.fence = Some((fence, self.ledger.accepted_by_room()));
        }
    }

    fn act(&mut self, make: impl FnOnce(String) -> Command) {
        let room = self.any_room();
        if let Some(client) = self.pick()
            && self.clients[client].blocked.is_none()
            && self.clients[client].listening.is_none()
        {
            self.command(client, make(room));
        }
    }

    fn publish(&mut self) {
        let kind = self.dice.below(8);
        let size = if self.dice.below(10) == 0 { 400 } else { 4 };
        let (other_user, other_room) = (self.any_user(), self.any_room());
        let Some(client) = self.pick() else { return };
        if self.clients[client].blocked.is_some() || self.clients[client].listening.is_some() {
            return;
        }
        let Client { shard, key, .. } = self.clients[client];
        self.next_id += 1;
        let id = self.next_id;
        let mut exclude = Exclude::default();
        let mut excluded = Excluded { connection_shard: shard, ..Excluded::default() };
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
        self.ledger.exclude(id, excluded);
        let payload = format!("[{id},\"{}\"]", "x".repeat(size)).into_bytes().into();
        let publication = Arc::new(Publication { payload, exclude, event: None });
        let room = self.any_room();
        self.command(client, Command::Publish(room, publication, id));
    }

    fn command(&mut self, client: usize, command: Command) {
        let Client { shard, key, .. } = self.clients[client];
        if !self.clients[client].is_staying() {
            return;
        }
        self.next_id += 1;
        let request = request_id(self.next_id);
        let request = self.clients[client].listening.is_none().then_some(&request);
        self.share_rooms(shard);
        let hub = &mut self.hubs[shard];
        let (step, asked) = match &command {
            Command::Join(room, view) => {
                let since = view.as_ref().and_then(View::since);
                match hub.join(key, room, Join { request, since, on_behalf: false }) {
                    Ok(step) => (step, Asked::Join(room.clone(), view.clone())),
                    Err(Refusal::NodeFull) if request.is_none() => {
                        return hub.say_goodbye(key, CloseCode::TRY_AGAIN_LATER, "");
                    }
                    Err(Refusal::NodeFull) => return,
                    Err(refusal) => panic!("join refused: {refusal}"),
                }
            }
            Command::Leave(room) => match hub.leave(key, room, request) {
                Ok(()) => {
                    let local = hub.home_of(room) == hub.shard();
                    let accepted = if local { self.ledger.accepted(room) } else { 0 };
                    (Step::Done, Asked::Leave(room.clone(), accepted))
                }
                Err(_) => return,
            },
            Command::Publish(room, publication, id) => {
                let is_leaving = hub.is_leaving(key);
                let step = hub.publish(key, room, publication, request);
                if is_leaving {
                    assert_eq!(step, Step::Done, "nothing waits of whoever is leaving");
                    return;
                }
                if step == Step::Done && hub.home_of(room) == hub.shard() {
                    self.ledger.accept(room, *id);
                }
                (step, Asked::Publish)
            }
        };
        match step {
            Step::Done if request.is_none() => (),
            Step::Done => self.clients[client].ask(self.next_id, asked),
            Step::Wait(_) => self.clients[client].blocked = Some(command),
        }
    }

    /// The hub may have the rooms that the others leave.
    fn share_rooms(&mut self, shard: usize) {
        let others = (0..self.hubs.len()).filter(|&other| other != shard);
        let taken: usize = others.map(|other| self.hubs[other].census().homes).sum();
        self.hubs[shard].set_homes_max(self.rooms_max.saturating_sub(taken));
    }

    /// One shard's turn, as its flusher would take it.
    pub(super) fn turn(&mut self, shard: usize) {
        self.share_rooms(shard);
        self.hubs[shard].pass_time(self.now_ms);
        for from in 0..self.hubs.len() {
            for _ in 0..self.dice.below(self.lane_len_max + 1) {
                let Some(message) = self.lanes[from][shard].pop_front() else { break };
                self.ledger.on_message(&message);
                self.hubs[shard].on_message(ShardId(from as u16), message);
            }
        }
        let len_max = self.lane_len_max;
        let (lanes, dice) = (&mut self.lanes[shard], &mut self.dice);
        self.hubs[shard].push(&mut Outgoing { lanes, len_max, dice });
        self.check_history(shard);
        self.hubs[shard].end_turn();
        self.paces[shard].at_last_turn = self.paces[shard].note(&self.hubs[shard]);
        while self.hubs[shard].poll_dismissed().is_some() {}
        while let Some(key) = self.hubs[shard].poll_writable() {
            let listed = |client: &&mut Client| !client.gone && client.shard == shard && client.key == key;
            if let Some(client) = self.clients.iter_mut().find(listed) {
                client.start_write(&mut self.hubs[shard]);
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].shard == shard && !self.clients[client].gone {
                if let Some(command) = self.clients[client].blocked.take() {
                    self.command(client, command);
                    self.ask_next(client);
                }
                self.say_goodbye_if_fenced(client);
            }
        }
    }

    fn say_goodbye_if_fenced(&mut self, client: usize) {
        let client = &self.clients[client];
        let hub = &mut self.hubs[client.shard];
        if client.fence.as_ref().is_some_and(|(fence, _)| hub.fence_passed() >= *fence) {
            hub.say_goodbye(client.key, CloseCode::GOING_AWAY, "retry=1000");
        }
    }

    pub(super) fn complete_write(&mut self, client: usize) {
        let one = &mut self.clients[client];
        one.complete_write(&mut self.hubs[one.shard], &self.ledger);
        if one.is_closed() {
            self.remove(client);
        }
    }
}

/// Half of the rooms have a history, in some worlds a short one.
fn keep_of(room: &str, seed: u64) -> Keep {
    match (room, seed / 16 % 5) {
        (_, 4) => Keep::NONE,
        ("room0" | "room1", 0) => Keep { publications: 3, ttl_ms: 3_600_000 },
        ("room0" | "room1", 1) => Keep { publications: 1000, ttl_ms: 500 },
        ("room0" | "room1", _) => Keep { publications: 1000, ttl_ms: 3_600_000 },
        _ => Keep::NONE,
    }
}

/// A seed that small numbers do not make alike.
fn spread(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995
}

fn request_id(number: u64) -> RequestId {
    let sent = format!(r#"{{"type":"ping","id":{number}}}"#);
    Request::decode(sent.as_bytes()).ok().and_then(|request| request.id).expect("a number is an id")
}

const ROOMS: usize = 4;
const USERS: usize = 6;
/// Clients at a time.
const CLIENTS: usize = 12;
