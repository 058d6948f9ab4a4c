//! A client of the native protocol: one connection that joins, leaves, publishes and hears.

use super::{Closed, End, PATIENCE, Server, Socket};
use serde_json::Value;
use std::{collections::VecDeque, time::Duration};

/// A connection that was told its name. Messages that come while an answer is awaited are kept in order.
pub(crate) struct Member {
    pub(crate) socket: Socket,
    /// The name the server gave the connection.
    pub(crate) connection: String,
    /// The shard it sits on.
    pub(crate) shard: u64,
    heard: VecDeque<String>,
    asked: u64,
}

impl Member {
    /// Upgrades with a token for `user` and reads the greeting.
    pub(crate) fn enter(server: &Server, user: &str) -> Self {
        Self::greeted(Socket::connect(server.public), &server.token(user), user)
    }

    /// The same on a connection that takes in little while it is not read.
    pub(crate) fn enter_narrow(server: &Server, user: &str) -> Self {
        Self::greeted(Socket::connect_narrow(server.public), &server.token(user), user)
    }

    /// Upgrades a connection with this token, which is `user`'s, and reads the greeting.
    pub(crate) fn greeted(mut socket: Socket, token: &str, user: &str) -> Self {
        let response = socket.upgrade(&format!("/ws?token={token}"), "");
        assert_eq!(response.status, 101, "the upgrade: {response:?}");
        let greeting = socket.frame().expect("a greeting");
        let greeting: Value = serde_json::from_str(greeting.text()).expect("a greeting in JSON");
        assert_eq!(greeting["type"], "connected", "the first message");
        assert_eq!(greeting["userId"], user);
        let connection = greeting["connection"].as_str().expect("a connection's name is a string").to_owned();
        let shard = greeting["shard"].as_u64().expect("a shard is a number");
        Self { socket, connection, shard, heard: VecDeque::new(), asked: 0 }
    }

    /// Sends one text.
    pub(crate) fn say(&mut self, text: &str) {
        self.socket.send_text(text);
    }

    /// The next text, kept or fresh.
    pub(crate) fn hear(&mut self) -> String {
        self.hear_within(PATIENCE).expect("a text from the server")
    }

    /// The next text, if it comes in time.
    pub(crate) fn hear_within(&mut self, limit: Duration) -> Result<String, End> {
        match self.heard.pop_front() {
            Some(text) => Ok(text),
            None => self.next_within(limit),
        }
    }

    /// The next text on the wire; pings on the way are answered.
    fn next_within(&mut self, limit: Duration) -> Result<String, End> {
        loop {
            let frame = self.socket.frame_within(limit)?;
            if frame.first != 0x89 {
                return Ok(frame.text().to_owned());
            }
            self.socket.send(&super::client_frame(0x8a, &frame.payload));
        }
    }

    /// Everything kept so far: what came before the last answer.
    pub(crate) fn kept(&mut self) -> Vec<String> {
        self.heard.drain(..).collect()
    }

    /// Sends `{"type":KIND,"id":N,REST}` and returns the answer that bears the id.
    pub(crate) fn ask(&mut self, kind: &str, rest: &str) -> Value {
        self.asked += 1;
        let comma = if rest.is_empty() { "" } else { "," };
        self.say(&format!("{{\"type\":\"{kind}\",\"id\":{}{comma}{rest}}}", self.asked));
        loop {
            let text = self.next_within(PATIENCE).expect("an answer");
            let answer: Value = serde_json::from_str(&text).expect("an answer in JSON");
            if answer["id"] == self.asked {
                return answer;
            }
            self.heard.push_back(text);
        }
    }

    /// Joins, and has read the ack.
    pub(crate) fn join(&mut self, room: &str) {
        self.acknowledged("join", &format!("\"room\":\"{room}\""));
    }

    /// Leaves, and has read the ack.
    pub(crate) fn leave(&mut self, room: &str) {
        self.acknowledged("leave", &format!("\"room\":\"{room}\""));
    }

    /// Publishes a payload (any JSON), and has read the ack.
    pub(crate) fn broadcast(&mut self, room: &str, payload: &str) {
        self.acknowledged("broadcast", &format!("\"room\":\"{room}\",\"payload\":{payload}"));
    }

    /// Asks what must be refused, and returns the error's code.
    pub(crate) fn refused(&mut self, kind: &str, rest: &str) -> String {
        let answer = self.ask(kind, rest);
        assert_eq!(answer["type"], "error", "{kind} {rest} must be refused: {answer}");
        assert!(answer["message"].is_string(), "an error says why: {answer}");
        answer["code"].as_str().expect("an error has a code").to_owned()
    }

    /// A ping answered: the connection lives.
    pub(crate) fn lives(&mut self) {
        self.say("{\"type\":\"ping\"}");
        loop {
            let text = self.next_within(PATIENCE).expect("a pong");
            if text == "{\"type\":\"pong\"}" {
                return;
            }
            self.heard.push_back(text);
        }
    }

    /// Reads to the close frame and to the end of the stream.
    pub(crate) fn closed(&mut self) -> Closed {
        self.socket.closed()
    }

    fn acknowledged(&mut self, kind: &str, rest: &str) {
        let answer = self.ask(kind, rest);
        assert_eq!(answer["type"], "ack", "{kind} {rest} must be acknowledged: {answer}");
    }
}

/// The command that publishes a number, as a client's frame.
pub(crate) fn publication(room: &str, number: u32) -> Vec<u8> {
    let text = format!("{{\"type\":\"broadcast\",\"room\":\"{room}\",\"payload\":{number}}}");
    super::client_frame(0x81, text.as_bytes())
}

/// The number that a message bears as its payload; `None` for any other text.
pub(crate) fn number_of(text: &[u8]) -> Option<u32> {
    let text = text.strip_prefix(b"{\"type\":\"message\",")?.strip_suffix(b"}")?;
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (front, digits) = text.split_at(text.len() - digits);
    if !front.ends_with(b"\"payload\":") {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
