#![no_main]
//! The fields of a request for a WebSocket: the body is `protocol::http::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::http::fuzz::handshake(input));
