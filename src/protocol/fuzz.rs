//! What the fuzz bodies of this floor share: the ways in which an input may be cut on its way here.

/// Every way in which `input` is tried: whole, one byte at a time, and in two.
///
/// A test cuts in two at each place. A fuzzer, which tries millions, cuts short inputs so, and longer ones at a
/// few places that depend on their bytes.
pub(super) fn cuts(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let everywhere = cfg!(test) || input.len() <= CUT_EVERYWHERE_LEN_MAX;
    let places = if everywhere { input.len() } else { CUTS };
    let mut hash = 0xCBF2_9CE4_8422_2325;
    if !everywhere {
        hash = input.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    }
    let in_two = (0..places).map(move |place| {
        let turned = hash.rotate_left(16 * place as u32);
        let at = if everywhere { place } else { (turned % input.len() as u64) as usize };
        vec![&input[..at], &input[at..]]
    });
    [vec![input], input.chunks(1).collect()].into_iter().chain(in_two)
}

/// Up to this length, in bytes, every cut is tried.
const CUT_EVERYWHERE_LEN_MAX: usize = 16;
/// Cuts in two of a longer one.
const CUTS: usize = 4;
