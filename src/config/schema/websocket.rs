//! The rows of `[websocket]`.

use super::super::key::{Key, Kind};
use super::super::value::is_path;
use super::{Keys, Section, store};

pub(super) const WEBSOCKET: Section = Section {
    name: "websocket",
    help: "The WebSocket endpoints.",
    keys: Keys::Table(&[
        Key {
            name: "path",
            kind: Kind::Text(PATH_FORM, |it, text| {
                let path = is_path(text).then(|| text.to_owned());
                store(&mut it.config.websocket.path, path)
            }),
            default: "\"/ws\"",
            help: "Where clients connect.",
            past: "",
        },
        Key {
            name: "echo",
            kind: Kind::Text(ECHO_FORM, |it, text| {
                let echo = (text.is_empty() || is_path(text)).then(|| text.to_owned());
                store(&mut it.config.websocket.echo, echo.map(|path| (!path.is_empty()).then_some(path)))
            }),
            default: "\"\"",
            help: "\"/echo\" serves an echo without token or rate limit, for conformance and load tools.",
            past: "",
        },
    ]),
    example: "",
};

const PATH_FORM: &str = "a path begins with / and is up to 256 bytes of visible ASCII without ? and #";
const ECHO_FORM: &str = "empty, or a path, which begins with / and is visible ASCII without ? and #";
