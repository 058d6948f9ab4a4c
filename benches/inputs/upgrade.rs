//! A browser's upgrade, and its head. Shared by the benches; nothing is measured here.

use vestibule::protocol::Decoded;
use vestibule::protocol::http::{Head, HeadDecoder};

pub(crate) fn decode(bytes: &[u8]) -> Head {
    match HeadDecoder::default().decode(bytes, 16_384) {
        Ok(Decoded::Complete { item, .. }) => item,
        other => panic!("{other:?}"),
    }
}

/// As Chromium sends it.
pub(crate) const BROWSER: &[u8] = b"GET /ws?token=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjIwMDAwMDAwMDB9.\
    0123456789012345678901234567890123456789012 HTTP/1.1\r\nHost: edge.example.com\r\nConnection: Upgrade\r\n\
    Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://app.example.com\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
