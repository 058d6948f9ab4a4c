#![no_main]
//! Operations on the hubs of a node: the body is `hub::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::hub::fuzz::operations(input));
