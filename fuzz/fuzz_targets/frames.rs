#![no_main]
//! Raw bytes after the handshake: the body is `protocol::websocket::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::websocket::fuzz::frames(input));
