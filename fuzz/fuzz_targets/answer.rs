#![no_main]
//! Heads of answers, however they are cut, and what a client is then sent: the body is `protocol::http::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::http::fuzz::answer(input));
