#![no_main]
//! Bodies in chunks, however they are cut: the body is `protocol::http::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::http::fuzz::chunked(input));
