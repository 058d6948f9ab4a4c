//! The hot paths and their limits, in instructions per operation: one table. Knows no process and starts none.
//!
//! A count is of one compiler, of the flags in `Cargo.toml` for the plain x86-64 that cargo builds for, and of one C
//! library, whose allocator and copies are in it ([`SETTING`]). The CPU matters little: valgrind shows every program
//! the same one, with AVX2 and without AVX-512 and SHA. The same program counts the same to the instruction however busy
//! the machine is, and in another folder to a quarter of a per cent, for its path lies below the stack and moves it.
//!
//! A limit is mostly 5 % above what was counted when it was set: room for a choice that the compiler makes otherwise
//! when code far away changes, and for little that one would write. To allocate and free once costs some 200. What a
//! cache miss or a lock costs is not seen here: for that there are the other benches.
//!
//! When the toolchain changes, run `cargo bench --profile release --bench instructions` on the last commit with the old
//! one and with the new: if only the toolchain moved the counts, set all rows and `SETTING` anew in a commit that does nothing else.

use crate::paths;

/// Something done for every message, member or request, and what it may cost.
pub(crate) struct HotPath {
    pub(crate) name: &'static str,
    /// Does it many times inside `counted`, and returns how many.
    pub(crate) walk: fn() -> usize,
    /// What it cost when the limit was set.
    pub(crate) counted: u32,
    pub(crate) limit: u32,
    /// What it has to do for that, and what would be too much.
    pub(crate) why: &'static str,
}

impl HotPath {
    /// What is wrong with a count, if anything.
    pub(crate) fn judge(&self, count: f64) -> Option<String> {
        let limit = f64::from(self.limit);
        let proposal = format!("limit: {:.0}, counted: {count:.0}", (count * SLACK).ceil());
        if count > limit {
            let grown = (count / f64::from(self.counted) - 1.0) * 100.0;
            Some(format!(
                "{count:.1} instructions, limit {limit}: {grown:.1} % more than when it was set. Take out what came \
                 in, or set {proposal} in {HERE}, and say in the commit what that buys"
            ))
        } else if count < limit * FLOOR {
            Some(format!(
                "{count:.1} instructions, less than {:.0} % of its limit {limit}: lock the gain in, set {proposal} in {HERE}",
                FLOOR * 100.0
            ))
        } else {
            None
        }
    }
}

/// What the counts below were made with.
pub(crate) const SETTING: &str = "rustc 1.95.0, glibc 2.36";

pub(crate) const HOT_PATHS: &[HotPath] = &[
    HotPath {
        name: "text frame of 128 B",
        walk: paths::text_of_128,
        counted: 278,
        limit: 292,
        why: "A header judged, 128 bytes unmasked in place and seen to be ASCII, an event handed out. No \
              allocation and no copy: either would be over.",
    },
    HotPath {
        name: "binary frame of 16 KiB",
        walk: paths::binary_of_16384,
        counted: 5924,
        limit: 6221,
        why: "Six instructions for 16 bytes: loaded, unmasked, gathered for the question of ASCII, stored. \
              A second look at the payload would be over.",
    },
    HotPath {
        name: "broadcast request",
        walk: paths::broadcast,
        counted: 4612,
        limit: 4843,
        why: "172 bytes of JSON, each scanned once, which is 70 % of it; then three allocations for the \
              parts it owns. A fourth is let through, a second scan is not.",
    },
    HotPath {
        name: "publication appended",
        walk: paths::append,
        counted: 1264,
        limit: 1328,
        why: "The home is found by the room's name, the frame encoded once (600, growth of the chunk \
              included), the place behind it kept, and a sixteenth of sealing the chunk. One allocation would be over.",
    },
    HotPath {
        name: "delivery in a room of 1000",
        walk: paths::delivery_of_1000,
        counted: 476,
        limit: 500,
        why: "Listed, named, a slice of the shared chunk taken, the cursor moved. Done for each member, so \
              nothing may allocate.",
    },
    HotPath {
        name: "delivery in a room of 1",
        walk: paths::delivery_of_1,
        counted: 1481,
        limit: 1556,
        why: "As in a room of 1000, and the chunk's sealing and end, which no other member shares: three \
              buffers are freed. A fourth would be over.",
    },
    HotPath {
        name: "delivery from 8 rooms",
        walk: paths::delivery_of_8_rooms,
        counted: 10592,
        limit: 11122,
        why: "Eight chunks sealed, gathered into one batch, eight cursors moved: 1,324 a room, where a room of its \
              own costs 1,481. An allocation for the whole batch fits, one for each room does not.",
    },
    HotPath {
        name: "item from core to core",
        walk: paths::item,
        counted: 84,
        limit: 96,
        why: "Two words into a ring and out of it, and one bell for 64. Inlined into the bench in one way it costs 74, in \
              another 84, so the limit is 15 % above: a lock or an allocation would be over.",
    },
    HotPath {
        name: "request head",
        walk: paths::head,
        counted: 17_807,
        limit: 18_698,
        why: "A browser's 12 fields: split, names known, values copied, put into a map, judged for \
              framing, and all of it freed: 16 allocations. Four more fit, a second pass over the bytes \
              does not.",
    },
    HotPath {
        name: "handshake",
        walk: paths::switching,
        counted: 4711,
        limit: 4947,
        why: "The fields of an upgrade looked up, a key decoded, SHA-1 of two blocks (2,800: valgrind has \
              no SHA instructions), the 101 encoded into a buffer that is there. An allocation fits, a \
              third block does not.",
    },
    HotPath {
        name: "request handed on",
        walk: paths::forward,
        counted: 4114,
        limit: 4320,
        why: "A browser's eight fields: each looked at for an underscore and for whether it goes on, then written behind \
              the path, with six of ours. An allocation for the whole fits, one for each field does not.",
    },
    HotPath {
        name: "answer head",
        walk: paths::answer,
        counted: 8864,
        limit: 9308,
        why: "As a request's head, with eight fields: 10 allocations. Two more fit, a second pass over the bytes \
              does not.",
    },
    HotPath {
        name: "answer handed back",
        walk: paths::hand_back,
        counted: 2072,
        limit: 2176,
        why: "Eight fields looked at and six of them written, with three of ours, into a buffer that is there. An \
              allocation would be over.",
    },
    HotPath {
        name: "reply of 20 B",
        walk: paths::reply,
        counted: 1134,
        limit: 1191,
        why: "A pong or an ack: an idle connection's outbox holds no buffer, so three allocations come and \
              go, and the batch is its own. A fourth would be over.",
    },
];

/// How far above its count a limit is set.
const SLACK: f64 = 1.05;
/// Below this part of its limit a path has become so much cheaper that the limit no longer guards it.
const FLOOR: f64 = 0.8;
const HERE: &str = "benches/instructions/limits.rs";
