#![no_main]
//! Frames in any order, against a plain model: the body is `protocol::websocket::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::websocket::fuzz::messages(input));
