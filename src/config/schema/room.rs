//! The rows of `[[room]]`: who may enter which rooms.

use super::super::key::{Key, Kind, REQUIRED};
use super::super::pattern::PATTERN_FORM;
use super::super::{Access, Pattern, RoomRule};
use super::{HOUR, Keys, Section, fit, store};

pub(super) const ROOM: Section = Section {
    name: "room",
    help: "Who may enter which rooms. The first rule whose pattern covers the room decides; without any rule \
        nobody joins anything. The section may stand several times.",
    keys: Keys::Rooms(&[
        Key {
            name: "pattern",
            kind: Kind::Text(PATTERN_FORM, |it, text| store(&mut it.pattern, Pattern::parse(text).ok())),
            default: REQUIRED,
            help: "The rooms the rule is for. {user} stands for a user's name; * at the end matches the rest, \
                which may be empty.",
            past: "",
        },
        Key {
            name: "join",
            kind: word!(Access, it => it.join),
            default: "\"nobody\"",
            help: "Who may join. \"anyone\"; \"authenticated\": whoever has an identity; \"token\": whose token \
                lists the room; \"owner\": whose name stands in the place of {user}; \"hook\": whom the application \
                lets in (docs/hooks.md); \"nobody\".",
            past: "",
        },
        Key {
            name: "publish",
            kind: Kind::Word(&["anyone", "authenticated", "token", "owner", "nobody"], |it, word| {
                it.publish = Access::of(word).expect("these are words of the enum");
            }),
            default: "\"nobody\"",
            help: "Who may publish from a connection; the same words but \"hook\": what the application \
                shall judge, a client sends it as an event. Membership is not needed.",
            past: "",
        },
        Key {
            name: "history",
            kind: Kind::Fields("{ size = 100, ttl = \"5m\" }", &[SIZE, TTL]),
            default: "{ size = 0, ttl = \"0s\" }",
            help: "What a room keeps for those who come back: at most size publications, each for ttl. With \
                size 0 nothing is kept, and who was away learns only that something is missing.",
            past: "",
        },
    ]),
    example: "[[room]]\npattern = \"chat:*\"\njoin = \"authenticated\"\npublish = \"authenticated\"\n\
        history = { size = 100, ttl = \"5m\" }\n\n[[room]]\n\
        pattern = \"user:{user}\"\njoin = \"owner\"\npublish = \"nobody\"\n",
};

const SIZE: Key<RoomRule> = Key {
    name: "size",
    kind: Kind::Count(0, 1_000_000, |it, n| it.history.size = fit(n)),
    default: "0",
    help: "",
    past: "",
};

const TTL: Key<RoomRule> = Key {
    name: "ttl",
    kind: Kind::Duration(0, 7 * 24 * HOUR, |it, time| it.history.ttl = time),
    default: "\"0s\"",
    help: "",
    past: "",
};
