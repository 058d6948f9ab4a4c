#![no_main]
//! Paths, and their normal form: the body is `protocol::http::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::http::fuzz::path(input));
