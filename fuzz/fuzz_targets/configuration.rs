#![no_main]
//! Configuration files and variables: the body is `config::fuzz`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| vestibule::config::fuzz::configuration(input));
