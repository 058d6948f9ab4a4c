//! The rows of `[[room]]`: who may enter which rooms.

use super::super::key::{Key, Kind, REQUIRED};
use super::super::pattern::PATTERN_FORM;
use super::super::{Access, Pattern};
use super::{Keys, Section, store};

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
                lists the room; \"owner\": whose name stands in the place of {user}; \"nobody\".",
            past: "",
        },
        Key {
            name: "publish",
            kind: word!(Access, it => it.publish),
            default: "\"nobody\"",
            help: "Who may publish from a connection; the same words. Membership is not needed.",
            past: "",
        },
    ]),
    example: "[[room]]\npattern = \"chat:*\"\njoin = \"authenticated\"\npublish = \"authenticated\"\n\n[[room]]\n\
        pattern = \"user:{user}\"\njoin = \"owner\"\npublish = \"nobody\"\n",
};
