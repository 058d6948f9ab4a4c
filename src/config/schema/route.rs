//! The rows of `[[route]]`: which request goes to which backend.

use super::super::key::{Key, Kind, REQUIRED};
use super::super::value::{is_backend_name, is_normal_path, is_route_host};
use super::{Keys, Section, store};

pub(super) const ROUTE: Section = Section {
    name: "route",
    help: "Which requests go to which backend, of those that no path of this node's own takes. A route with the \
        request's host goes before one for any host, and then the longest path decides. The section may stand \
        several times.",
    keys: Keys::Routes(&[
        Key {
            name: "host",
            kind: Kind::Text(HOST_FORM, |it, text| {
                let host = (text.is_empty() || is_route_host(text)).then(|| text.to_owned());
                store(&mut it.host, host.map(|host| (!host.is_empty()).then_some(host)))
            }),
            default: "\"\"",
            help: "The host that requests are for, compared without a port. Empty: any.",
            past: "",
        },
        Key {
            name: "path",
            kind: Kind::Text(PATH_FORM, |it, text| {
                store(&mut it.path, is_normal_path(text).then(|| text.to_owned()))
            }),
            default: "\"/\"",
            help: "The path itself and everything below it: /api covers /api and /api/users, and not /apis.",
            past: "",
        },
        Key {
            name: "backend",
            kind: Kind::Text(BACKEND_FORM, |it, text| {
                store(&mut it.backend, is_backend_name(text).then(|| text.to_owned()))
            }),
            default: REQUIRED,
            help: "The name of the backend.",
            past: "",
        },
    ]),
    example: "[[route]]\nhost = \"\"\npath = \"/\"\nbackend = \"app\"\n",
};

const HOST_FORM: &str = "empty, or a host in lower case without a port, such as app.example.com or [::1]";
const PATH_FORM: &str = "a path begins with / and does not end with it (but for / itself), is up to 256 bytes of visible \
    ASCII, and stands in its plainest form: without ? # \\ ;, without // and segments . or .., escaped only where it \
    must be";
const BACKEND_FORM: &str = "the name of a [[backend]]";
