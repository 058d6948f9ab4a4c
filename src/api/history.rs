//! `GET /api/rooms/R/history`: what is held of a room, each with the place behind it.
//!
//! A page begins at a place and ends by number or by size; whoever wants more asks again from the last place on.
//! Payloads are copied as they are, and nothing is taken apart.

use bytes::{BufMut, BytesMut};
use http::StatusCode;

use super::refused::Refused;
use super::route::Query;
use crate::hub::{Position, Publication, Read, Since};
use crate::protocol::http::Response;
use crate::protocol::json;
use crate::shard::{Answer, Call, Question};

pub(super) async fn read(call: &Call, room: &str, query: &Query) -> Result<Response, Refused> {
    let since = query.since.as_deref().map(|since| {
        let bad = || Refused::bad_request("since has to be earliest, or a position such as 0123abcd-42");
        Since::parse(since).ok_or_else(bad)
    });
    let question = Question::History(room.into(), since.transpose()?, query.limit);
    match call.ask(call.home_of(room), question).await? {
        Answer::History(Some(read)) => Ok(Response::json(StatusCode::OK, encode(room, &read))),
        Answer::History(None) => {
            let message = "no rule keeps a history of this room";
            Err(Refused::new(StatusCode::NOT_FOUND, "no_history", message))
        }
        other => unreachable!("{other:?} is no history"),
    }
}

fn encode(room: &str, read: &Read) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_slice(b"{\"room\":\"");
    json::escape(&mut out, room);
    out.put_slice(b"\",\"position\":");
    match read.position {
        Some(position) => put_position(&mut out, position),
        None => out.put_slice(b"null"),
    }
    match read.recovered {
        Some(true) => out.put_slice(b",\"recovered\":true"),
        Some(false) => out.put_slice(b",\"recovered\":false"),
        None => (),
    }
    out.put_slice(b",\"publications\":[");
    let mut bytes = 0;
    for (nth, (position, publication)) in read.publications.iter().enumerate() {
        bytes += publication.payload.len();
        if nth > 0 {
            if bytes > PAGE_BYTES_MAX {
                break;
            }
            out.put_u8(b',');
        }
        put_publication(&mut out, *position, publication);
    }
    out.put_slice(b"]}");
    out
}

fn put_publication(out: &mut BytesMut, position: Position, publication: &Publication) {
    out.put_slice(b"{\"position\":");
    put_position(out, position);
    if let Some(event) = &publication.event {
        out.put_slice(b",\"event\":\"");
        json::escape(out, event);
        out.put_u8(b'"');
    }
    out.put_slice(b",\"payload\":");
    out.put_slice(&publication.payload);
    out.put_u8(b'}');
}

fn put_position(out: &mut BytesMut, position: Position) {
    out.put_slice(format!("\"{position}\"").as_bytes());
}

/// Bytes of payloads in a page, unless its one publication is longer.
const PAGE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::sync::Arc;

    use super::*;

    fn read(payloads: &[&str], recovered: Option<bool>) -> Read {
        let position = |offset| Position { epoch: NonZero::new(0xab).expect("not zero"), offset };
        let publication = |payload: &str| {
            let event = payload.starts_with('"').then(|| "e\"".into());
            Arc::new(Publication { payload: payload.as_bytes().into(), event, ..Publication::default() })
        };
        let publications = payloads.iter().zip(1..).map(|(payload, n)| (position(n), publication(payload)));
        Read { position: Some(position(9)), recovered, publications: publications.collect() }
    }

    #[test]
    fn a_history_is_told_as_it_was_published() {
        assert_eq!(
            encode("r\n", &read(&["{ }", "\"x\""], Some(true))),
            r#"{"room":"r\n","position":"000000ab-9","recovered":true,"publications":[{"position":"000000ab-1","payload":{ }},{"position":"000000ab-2","event":"e\"","payload":"x"}]}"#
        );
        let none = Read { position: None, recovered: None, publications: Vec::new() };
        assert_eq!(encode("r", &none), r#"{"room":"r","position":null,"publications":[]}"#);
    }

    #[test]
    fn a_page_ends_before_it_is_too_long_but_not_before_its_first() {
        let told = |payloads: &[&str]| {
            let told: serde_json::Value =
                serde_json::from_slice(&encode("r", &read(payloads, None))).expect("JSON");
            told["publications"].as_array().map(Vec::len)
        };
        let of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let (half, longest) = (of(PAGE_BYTES_MAX / 2), of(PAGE_BYTES_MAX + 1));
        assert_eq!(told(&[&half, &half, "1"]), Some(2));
        assert_eq!(told(&["1", &half, &half]), Some(2));
        assert_eq!(told(&[&longest, "1"]), Some(1));
        assert_eq!(told(&["1", &longest]), Some(1));
    }
}
