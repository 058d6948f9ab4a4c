//! The rows of `[sse]`.

use super::super::key::{Key, Kind};
use super::super::value::is_path;
use super::{Keys, SECOND, Section, store};

pub(super) const SSE: Section = Section {
    name: "sse",
    help: "Server-Sent Events: rooms to listen to over plain HTTP.",
    keys: Keys::Table(&[
        Key {
            name: "path",
            kind: Kind::Text(PATH_FORM, |it, text| {
                // A user's name follows behind a slash.
                let path =
                    (text.is_empty() || is_path(text) && !text.ends_with('/')).then(|| text.to_owned());
                store(&mut it.config.sse.path, path.map(|path| (!path.is_empty()).then_some(path)))
            }),
            default: "\"/events\"",
            help: "Where streams are: /events/USER is that of the room user:USER, /events?room=A&room=B that of \
                up to 16 rooms. Empty: there are none.",
            past: "",
        },
        Key {
            name: "heartbeat",
            kind: Kind::Duration(SECOND, 600 * SECOND, |it, time| it.config.sse.heartbeat = time),
            default: "\"30s\"",
            help: "How often each stream is sent a comment, so that nothing in between takes it for dead.",
            past: "",
        },
    ]),
    example: "",
};

const PATH_FORM: &str = "empty, or a path, which begins with / and does not end with it, and is visible ASCII \
    without ? and #";
