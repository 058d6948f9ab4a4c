//! A browser's request for a page and a server's answer to it, and their heads. Shared by the benches; nothing is
//! measured here.

use vestibule::protocol::Decoded;
use vestibule::protocol::http::{AnswerDecoder, AnswerHead, Asked};

pub(crate) fn decode_answer(bytes: &[u8]) -> AnswerHead {
    match AnswerDecoder::default().decode(bytes, Asked::Plain) {
        Ok(Decoded::Complete { item, .. }) => item,
        other => panic!("{other:?}"),
    }
}

/// As Chromium sends it.
pub(crate) const REQUEST: &[u8] = b"GET /shop/items/7?colour=blue HTTP/1.1\r\nHost: shop.example.com\r\n\
    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\
    Referer: https://shop.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";

/// As nginx sends a file.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 22:01:02 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 615\r\nLast-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6727f3a0-267\"\r\nAccept-Ranges: bytes\r\n\r\n";
