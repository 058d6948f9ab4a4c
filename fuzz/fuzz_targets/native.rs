#![no_main]
//! Messages of the native protocol, beside serde_json: the body is `protocol::native::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::protocol::native::fuzz::native(input));
