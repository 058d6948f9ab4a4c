//! The rows of `[limits]`: what a peer may cost.

use super::super::key::{Key, Kind};
use super::{GIB, HOUR, KIB, Keys, MIB, Section, fit};

pub(super) const LIMITS: Section = Section {
    name: "limits",
    help: "What a peer may cost.",
    keys: Keys::Table(&[
        Key {
            name: "frame",
            kind: Kind::Size(125, GIB, |it, n| it.config.limits.frame = n),
            default: "\"64KiB\"",
            help: "Payload of one WebSocket frame; at most message.",
            past: "closed with 1009 as soon as the frame's header is read.",
        },
        Key {
            name: "message",
            kind: Kind::Size(125, GIB, |it, n| it.config.limits.message = n),
            default: "\"64KiB\"",
            help: "A message, assembled from its frames.",
            past: "closed with 1009 at the header of the frame that would go beyond.",
        },
        Key {
            name: "fragments",
            kind: Kind::Count(1, 1 << 20, |it, n| it.config.limits.fragments = fit(n)),
            default: "1024",
            help: "Frames one message may come in.",
            past: "closed with 1008 at the header of the frame too many.",
        },
        Key {
            name: "connections",
            kind: Kind::Count(1, 100_000_000, |it, n| it.config.limits.connections = fit(n)),
            default: "100000",
            help: "Connections of the process, from the moment they are accepted; lowered, with one warning, to \
                what NOFILE leaves room for.",
            past: "a new connection is answered 503 and closed.",
        },
        Key {
            name: "connections_per_address",
            kind: Kind::Count(1, 100_000_000, |it, n| it.config.limits.connections_per_address = fit(n)),
            default: "1000",
            help: "Connections of one address; an IPv6 /64 counts as one.",
            past: "a new connection is answered 429 and closed; behind a trusted proxy, the request is.",
        },
        Key {
            name: "rooms",
            kind: Kind::Count(1, 1_000_000_000, |it, n| it.config.limits.rooms = fit(n)),
            default: "1000000",
            help: "Rooms of the process.",
            past: "the join is answered with the error too_many_rooms.",
        },
        Key {
            name: "rooms_per_connection",
            kind: Kind::Count(1, 1_000_000, |it, n| it.config.limits.rooms_per_connection = fit(n)),
            default: "100",
            help: "Rooms one connection is in at a time.",
            past: "the join is answered with the error too_many_rooms.",
        },
        Key {
            name: "room_name",
            kind: Kind::Size(1, 4 * KIB, |it, n| it.config.limits.room_name = fit(n)),
            default: "\"256B\"",
            help: "A room's name, in UTF-8.",
            past: "the command is answered with the error room_name.",
        },
        Key {
            name: "messages_per_second",
            kind: Kind::Count(1, 4_000_000_000, |it, n| it.config.limits.messages_per_second = fit(n)),
            default: "50",
            help: "Messages of one connection: what a second adds to its token bucket.",
            past: "closed with 4029 at the first message too many.",
        },
        Key {
            name: "burst",
            kind: Kind::Count(1, 4_000_000_000, |it, n| it.config.limits.burst = fit(n)),
            default: "100",
            help: "Messages of one connection at once: what its token bucket holds.",
            past: "closed with 4029 at the first message too many.",
        },
        Key {
            name: "messages_per_second_per_user",
            kind: Kind::Count(0, 1_000_000, |it, n| it.config.limits.messages_per_second_per_user = fit(n)),
            default: "0",
            help: "Messages of one user over all connections of the node, a second's worth at once. 0: no limit.",
            past: "the connection that sends the message too many is closed with 4029.",
        },
        Key {
            name: "messages_per_second_per_address",
            kind: Kind::Count(0, 1_000_000, |it, n| {
                it.config.limits.messages_per_second_per_address = fit(n)
            }),
            default: "0",
            help: "Messages of one address over all connections of the node, a second's worth at once. 0: no limit.",
            past: "the connection that sends the message too many is closed with 4029.",
        },
        Key {
            name: "lag",
            kind: Kind::Size(KIB, GIB, |it, n| it.config.limits.lag = fit(n)),
            default: "\"1MiB\"",
            help: "How far a connection may be behind, outbox and all its rooms together; at least message.",
            past: "closed with 4008, after whole frames; cut 10 s later if that is not read.",
        },
        Key {
            name: "buffered",
            kind: Kind::Size(MIB, 1024 * GIB, |it, n| it.config.limits.buffered = fit(n)),
            default: "\"256MiB\"",
            help: "Logs, chunks and outboxes of the process, a sixteenth of it left for what an allocator rounds up to; at \
            least lag.",
            past: "the connections furthest behind are cut first, mostly without a close frame.",
        },
        Key {
            name: "head",
            kind: Kind::Size(KIB, MIB, |it, n| it.config.limits.head = fit(n)),
            default: "\"16KiB\"",
            help: "A request's line and headers.",
            past: "answered with HTTP 431, or 414 if its first line alone is too long, and closed.",
        },
        Key {
            name: "head_deadline",
            kind: Kind::Duration(10, HOUR, |it, time| it.config.limits.head_deadline = time),
            default: "\"10s\"",
            help: "From a connection's first moment, or the answer before, until a request's head is whole; \
                bytes do not extend it.",
            past: "answered with HTTP 408 and closed; closed without a word if no head has begun.",
        },
    ]),
    example: "",
};
