#![no_main]
//! Blocks of event streams, beside a reader of such: the body is `protocol::sse::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::sse::fuzz::sse(input));
