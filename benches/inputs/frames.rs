//! What a client sends, frame behind frame, and a reader of it all. Shared by the benches; nothing is measured here.

use std::hint::black_box;

use vestibule::protocol::websocket::{Decoder, Limits};

/// Decodes one event after another until all is used.
pub(crate) fn decode_all(input: &mut [u8]) -> usize {
    let mut decoder = Decoder::default();
    let mut at = 0;
    loop {
        let step = decoder.decode(black_box(&mut input[at..]), &LIMITS).expect("valid");
        at += step.used;
        if black_box(step.event).is_none() {
            return at;
        }
    }
}

/// A frame with this first byte under a key of zeros.
pub(crate) fn frame_of(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut frame = vec![first];
    match u8::try_from(len) {
        Ok(len) if len < 126 => frame.push(0x80 | len),
        _ => {
            frame.push(0xFE);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// `len` bytes of `unit` over and over.
pub(crate) fn text(unit: &str, len: usize) -> Vec<u8> {
    let whole = unit.repeat(len / unit.len() + 1);
    let mut bytes = whole.as_bytes()[..whole.floor_char_boundary(len)].to_vec();
    bytes.resize(len, b'.');
    bytes
}

pub(crate) const ASCII: &str = "The quick brown fox jumps over the lazy dog. ";
const LIMITS: Limits = Limits { frame: 1 << 16, message: 1 << 16, fragments: 1024 };
