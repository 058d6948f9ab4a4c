#![no_main]
//! Tokens, sent and signed: the body is `auth::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::auth::fuzz::tokens(input));
