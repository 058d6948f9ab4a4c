//! Masking and unmasking (RFC 6455 section 5.3), which are the same.

/// Unmasks `payload` in place with `key`, whose lowest byte belongs to the first byte of `payload`.
#[inline]
pub fn unmask(payload: &mut [u8], key: u32) {
    let wide = u64::from(key) << 32 | u64::from(key);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= key;
    }
}

/// The key for what follows after `passed` bytes.
#[inline]
#[must_use]
pub fn advance(key: u32, passed: usize) -> u32 {
    key.rotate_right(8 * (passed % 4) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_unmasked() {
        let mut payload = [0x7F, 0x9F, 0x4D, 0x51, 0x58];
        unmask(&mut payload, u32::from_le_bytes([0x37, 0xFA, 0x21, 0x3D]));
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn every_length_at_every_alignment_is_unmasked_and_nothing_beside_it() {
        let key = [0x11, 0x22, 0x44, 0x88];
        let before: Vec<u8> = (0..300u16).map(|n| n as u8).collect();
        for start in 0..16 {
            for len in 0..=before.len() - start {
                let mut bytes = before.clone();
                unmask(&mut bytes[start..start + len], u32::from_le_bytes(key));
                let mut expected = before.clone();
                for at in 0..len {
                    expected[start + at] ^= key[at % 4];
                }
                assert_eq!(bytes, expected, "{start} {len}");
            }
        }
    }

    #[test]
    fn a_payload_cut_anywhere_is_unmasked_alike() {
        let key = u32::from_le_bytes([1, 2, 4, 8]);
        let mut whole = [0; 41];
        unmask(&mut whole, key);
        for cut in 0..whole.len() {
            let mut pieces = [0; 41];
            unmask(&mut pieces[..cut], key);
            unmask(&mut pieces[cut..], advance(key, cut));
            assert_eq!(pieces, whole, "{cut}");
        }
    }
}
