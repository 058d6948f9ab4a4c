//! Echoes that must go on whatever happens beside them, and how long each took.

use super::{Deadline, PATIENCE, Server, Socket, client_frame, socket::Inbox};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::VecDeque,
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// Connections of the echo path, each of which says something ten times a second.
pub(crate) struct Neighbours {
    houses: Vec<House>,
}

struct House {
    stream: TcpStream,
    inbox: Inbox,
    said: u64,
    heard: u64,
    /// When it says the next.
    due: Duration,
    /// When it said what is not yet echoed.
    open: VecDeque<Duration>,
}

/// How long each echo took, from the shortest to the longest.
pub(crate) struct Echoes(Vec<Duration>);

impl Neighbours {
    pub(crate) fn move_in(server: &Server, count: usize) -> Self {
        let house = |n: usize| {
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade("/echo", "").status, 101);
            let (stream, inbox) = socket.into_parts();
            stream.set_nonblocking(true).expect("a socket of ours");
            let due = EVERY * n as u32 / count as u32;
            House { stream, inbox, said: 0, heard: 0, due, open: VecDeque::new() }
        };
        Self { houses: (0..count).map(house).collect() }
    }

    /// Lets them talk while `event` happens. Every echo must come, whole and in order.
    pub(crate) fn beside<T>(&mut self, event: impl FnOnce() -> T) -> (T, Echoes) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let talk = scope.spawn(|| self.talk_until(&over));
            let happened = {
                let _over = Raised(&over);
                event()
            };
            (happened, talk.join().expect("the neighbours are unharmed"))
        })
    }

    fn talk_until(&mut self, over: &AtomicBool) -> Echoes {
        let clock = Deadline::within(PATIENCE);
        let mut echoes = Vec::new();
        self.houses.iter_mut().for_each(|house| house.due += EVERY);
        let mut last_words = None;
        loop {
            let now = clock.elapsed();
            if over.load(Relaxed) {
                let grace = *last_words.get_or_insert(now) + PATIENCE;
                assert!(now < grace, "a neighbour waits for its echo");
                if self.houses.iter().all(|house| house.open.is_empty()) {
                    self.houses.iter_mut().for_each(|house| house.due = Duration::ZERO);
                    echoes.sort();
                    return Echoes(echoes);
                }
            } else {
                self.houses.iter_mut().for_each(|house| house.talk(now));
            }
            self.listen(&clock, &mut echoes);
        }
    }

    /// Hears what comes until somebody has something to say.
    fn listen(&mut self, clock: &Deadline, echoes: &mut Vec<Duration>) {
        let next = self.houses.iter().map(|house| house.due).min().expect("there are neighbours");
        let wait = next.saturating_sub(clock.elapsed()).clamp(Duration::from_millis(1), EVERY);
        let mut fds: Vec<PollFd<'_>> =
            self.houses.iter().map(|house| PollFd::new(&house.stream, PollFlags::IN)).collect();
        let wait = Timespec::try_from(wait).expect("a short time");
        poll(&mut fds, Some(&wait)).unwrap_or(0);
        let awake: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (house, _) in self.houses.iter_mut().zip(awake).filter(|(_, awake)| *awake) {
            house.hear(clock.elapsed(), echoes);
        }
    }
}

impl House {
    fn talk(&mut self, now: Duration) {
        if self.due > now {
            return;
        }
        let frame = client_frame(0x81, self.said.to_string().as_bytes());
        let sent = self.stream.write(&frame).expect("a neighbour is not cut off");
        assert_eq!(sent, frame.len(), "a neighbour that is answered can say something short");
        self.said += 1;
        self.open.push_back(now);
        self.due = now + EVERY;
    }

    fn hear(&mut self, now: Duration, echoes: &mut Vec<Duration>) {
        let read = self.inbox.read_from(&mut self.stream).expect("a neighbour is not cut off");
        assert!(read > 0, "a neighbour is not closed");
        while let Some((first, payload)) = self.inbox.next_frame() {
            if first == 0x89 {
                let pong = client_frame(0x8a, &self.inbox.bytes[payload]);
                self.stream.write_all(&pong).expect("a neighbour is not cut off");
                continue;
            }
            assert_eq!(first, 0x81, "a neighbour hears its own words alone");
            assert_eq!(
                &self.inbox.bytes[payload],
                self.heard.to_string().as_bytes(),
                "an echo is not the next"
            );
            self.heard += 1;
            echoes.push(now.saturating_sub(self.open.pop_front().expect("an echo of something said")));
        }
    }
}

/// Raises a flag when it goes, by a panic too.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Echoes {
    /// The time that so many of a hundred did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(place).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Echoes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, most, all] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "{} echoes, p50 {half:?}, p99 {most:?}, the longest {all:?}", self.0.len())
    }
}

const EVERY: Duration = Duration::from_millis(100);
