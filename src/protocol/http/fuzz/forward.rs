//! What a server is sent of a request, read once more: the fuzz body of heads ends here.

use super::super::forward::{Forwarding, check_forward, encode_forward, is_websocket_upgrade};
use super::super::head::{Head, HeadDecoder};
use super::super::path::normal_path;
use super::super::{FIELDS_MAX, Response};
use crate::protocol::Decoded;
use bytes::BytesMut;
use http::{HeaderMap, Version, header};
use std::net::{IpAddr, Ipv4Addr};

/// A server reads what it is sent as the request that was meant: the same method, query, Host and body, the path in its
/// normal form, nothing of one hop and no word of a stranger's about whence it comes. Gives the refusal if there is one.
pub(super) fn check_handed_on(head: &Head) -> Option<Response> {
    if let Err(refused) = check_forward(head) {
        return Some(refused.response());
    }
    let path = match normal_path(&head.path) {
        Ok(path) => path,
        Err(bad) => return Some(bad.response()),
    };
    // Ours come on top, and no head is to have more.
    if head.headers.len() > FIELDS_MAX - OURS_MAX {
        return None;
    }
    let peer = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let upgrade = is_websocket_upgrade(head);
    for trusted in [false, true] {
        let by = Forwarding { peer, trusted, request_id: "a-0-1", upgrade, body: head.body };
        let mut out = BytesMut::new();
        encode_forward(&mut out, head, &path, &by);
        let read = HeadDecoder::default().decode(&out, out.len());
        let Ok(Decoded::Complete { item, used }) = read else { panic!("{read:?}: {out:?}") };
        assert_eq!((used, item.version, item.keep_alive), (out.len(), Version::HTTP_11, true));
        assert_eq!((&item.method, &*item.path, &item.query), (&head.method, &*path, &head.query));
        assert_eq!((item.body, &item.headers[header::HOST]), (head.body, &head.headers[header::HOST]));
        check_fields(&item.headers, trusted);
        assert_eq!(is_websocket_upgrade(&item), upgrade);
        assert_eq!(item.headers.contains_key(header::UPGRADE), upgrade);
        assert_eq!(item.headers.contains_key(header::CONNECTION), upgrade);
        check_forward(&item).expect("it may be handed on once more");
    }
    None
}

fn check_fields(fields: &HeaderMap, trusted: bool) {
    for name in ["keep-alive", "proxy-connection", "te", "trailer", "http2-settings", "proxy", "forwarded"] {
        assert!(!fields.contains_key(name), "{name}");
    }
    let all = |name| fields.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all("x-request-id"), ["a-0-1"]);
    assert_eq!(all("via").last().copied().map(|via| via.as_bytes().ends_with(b" vestibule")), Some(true));
    let [chain] = all("x-forwarded-for")[..] else { panic!("two chains") };
    assert!(chain.as_bytes().ends_with(b"203.0.113.9"));
    assert_eq!((all("x-forwarded-proto").len(), all("x-forwarded-host").len()), (1, 1));
    if !trusted {
        assert_eq!(
            (chain.as_bytes(), fields["x-forwarded-proto"].as_bytes()),
            (&b"203.0.113.9"[..], &b"http"[..])
        );
        assert_eq!(fields["x-forwarded-host"], fields[header::HOST]);
        let claims = fields.keys().filter(|name| name.as_str().starts_with("x-forwarded-"));
        assert_eq!((claims.count(), fields.contains_key("x-real-ip")), (3, false));
    }
}

/// Fields that are said anew, of a request.
const OURS_MAX: usize = 9;
