//! The rows of `[heartbeat]`.

use super::super::key::{Key, Kind};
use super::{HOUR, Keys, SECOND, Section};

pub(super) const HEARTBEAT: Section = Section {
    name: "heartbeat",
    help: "How a dead connection is found. Whatever a peer sends shows that it lives.",
    keys: Keys::Table(&[
        Key {
            name: "interval",
            kind: Kind::Duration(SECOND, HOUR, |it, time| it.config.heartbeat.interval = time),
            default: "\"25s\"",
            help: "A peer of which nothing was heard for so long is sent a WebSocket ping.",
            past: "",
        },
        Key {
            name: "timeout",
            kind: Kind::Duration(SECOND, HOUR, |it, time| it.config.heartbeat.timeout = time),
            default: "\"20s\"",
            help: "How long it then has to send something, such as the pong.",
            past: "cut, without a close frame.",
        },
    ]),
    example: "",
};
