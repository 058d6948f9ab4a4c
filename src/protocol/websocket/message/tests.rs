//! The decoder against literal bytes, every cut, and random input cut at random.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const WIDE: Limits = Limits { frame: 1 << 20, message: 1 << 20, fragments: 1024 };
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// An event with bytes of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

fn text(text: &str) -> Seen {
    Seen::Text(text.as_bytes().to_vec())
}

/// A frame with `first` as its first byte, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0xFE);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0xFF);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Gives one piece, until no event comes.
fn feed(decoder: &mut Decoder, piece: &[u8], limits: &Limits, seen: &mut Vec<Seen>) -> Result<(), Violation> {
    let mut piece = piece.to_vec();
    let mut at = 0;
    loop {
        let step = decoder.decode(&mut piece[at..], limits)?;
        at += step.used;
        let Some(event) = step.event else { break };
        seen.push(match event {
            Event::Text(text) => {
                assert!(std::str::from_utf8(text).is_ok());
                Seen::Text(text.to_vec())
            }
            Event::Binary(bytes) => Seen::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Seen::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Seen::Pong(bytes.to_vec()),
            Event::Close(close) => {
                Seen::Close(close.map(|(code, reason)| (code.to_wire(), reason.to_owned())))
            }
        });
    }
    assert_eq!(at, piece.len(), "no event, and not all was used");
    Ok(())
}

/// All that a fresh decoder says of `pieces`.
fn run<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Vec<Seen>, Result<(), Violation>) {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        arrived += piece.len();
        if let Err(violation) = feed(&mut decoder, piece, limits, &mut seen) {
            return (seen, Err(violation));
        }
        assert!(decoder.buffered() <= CAPACITY_FIRST.max(2 * arrived) + 125, "{}", decoder.buffered());
        if decoder.message.is_none() && matches!(decoder.state, State::Header(_)) {
            assert_eq!(decoder.buffered(), 0, "an idle decoder holds heap");
        }
    }
    (seen, Ok(()))
}

/// The verdict on `bytes`, which must be the same whole, byte by byte and cut in two anywhere.
fn decode(bytes: &[u8], limits: &Limits) -> (Vec<Seen>, Result<(), Violation>) {
    let whole = run([bytes], limits);
    assert_eq!(run(bytes.chunks(1), limits), whole);
    for cut in 0..bytes.len().min(400) {
        assert_eq!(run([&bytes[..cut], &bytes[cut..]], limits), whole, "cut at {cut}");
    }
    whole
}

/// What the decoder says of `bytes`, and the position of the byte that it refuses.
fn refused(bytes: &[u8], limits: &Limits) -> (Violation, usize) {
    let violation = decode(bytes, limits).1.expect_err("refused");
    let mut decoder = Decoder::default();
    let at = bytes
        .iter()
        .position(|byte| feed(&mut decoder, &[*byte], limits, &mut Vec::new()).is_err())
        .expect("refused byte by byte too");
    (violation, at)
}

#[test]
fn an_idle_decoder_is_small_and_holds_no_heap() {
    assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    assert_eq!(Decoder::default().buffered(), 0);
}

#[test]
fn the_examples_of_the_rfc_decode() {
    let hello = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(decode(&hello, &WIDE), (vec![text("Hello")], Ok(())));
    let pong = [0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(decode(&pong, &WIDE), (vec![Seen::Pong(b"Hello".to_vec())], Ok(())));
    // "Hel" and "lo", under a key of zeros.
    let parts = [0x01, 0x83, 0, 0, 0, 0, b'H', b'e', b'l', 0x80, 0x82, 0, 0, 0, 0, b'l', b'o'];
    assert_eq!(decode(&parts, &WIDE), (vec![text("Hello")], Ok(())));
}

#[test]
fn every_prefix_of_a_frame_asks_for_more() {
    let hello = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    for end in 0..hello.len() {
        assert_eq!(run([&hello[..end]], &WIDE), (vec![], Ok(())));
    }
}

#[test]
fn a_whole_frame_is_unmasked_in_the_input_and_not_copied() {
    let mut input = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2, 0x82, 0x80, 9, 9, 9, 9];
    let payload = input.as_ptr_range().start.wrapping_add(6);
    let mut decoder = Decoder::default();
    let step = decoder.decode(&mut input, &WIDE).expect("valid");
    assert_eq!(step.used, 8);
    match step.event {
        Some(Event::Text(text)) => assert_eq!((text.as_ptr(), &text[..]), (payload, &b"hi"[..])),
        other => panic!("{other:?}"),
    }
    let step = decoder.decode(&mut input[8..], &WIDE).expect("valid");
    assert_eq!(step, Step { used: 6, event: Some(Event::Binary(&mut [])) });
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_payload_may_be_empty() {
    let bytes = [frame(0x81, b""), frame(0x82, b""), frame(0x89, b""), frame(0x8A, b""), frame(0x88, b"")];
    let expected =
        vec![text(""), Seen::Binary(vec![]), Seen::Ping(vec![]), Seen::Pong(vec![]), Seen::Close(None)];
    assert_eq!(decode(&bytes.concat(), &WIDE), (expected, Ok(())));
    let parts = [frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")];
    assert_eq!(decode(&parts.concat(), &WIDE), (vec![text("")], Ok(())));
    let parts = [frame(0x01, b""), frame(0x00, b"x"), frame(0x00, b""), frame(0x80, b"")];
    assert_eq!(decode(&parts.concat(), &WIDE), (vec![text("x")], Ok(())));
}

#[test]
fn control_frames_come_between_the_fragments() {
    let longest = [7; 125];
    let bytes = [
        frame(0x01, b"one "),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x89, &longest),
        frame(0x8A, b""),
        frame(0x00, b"two "),
        frame(0x8A, b"pong"),
        frame(0x80, b"three"),
        frame(0x89, b"after"),
    ];
    let expected = vec![
        Seen::Ping(b"ping".to_vec()),
        Seen::Ping(longest.to_vec()),
        Seen::Pong(vec![]),
        Seen::Pong(b"pong".to_vec()),
        text("one two three"),
        Seen::Ping(b"after".to_vec()),
    ];
    assert_eq!(decode(&bytes.concat(), &WIDE), (expected, Ok(())));
}

#[test]
fn a_control_frame_does_not_double_a_long_message() {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    let message = frame(0x82, &vec![1; 60_000]);
    // Held in full but for a byte, exactly as announced.
    let fragment = [frame(0x02, &vec![1; 30_000]), frame(0x89, &[2; 125])].concat();
    feed(&mut decoder, &message[..message.len() - 1], &WIDE, &mut seen).expect("valid");
    assert_eq!(decoder.buffered(), 60_000);
    feed(&mut decoder, &message[message.len() - 1..], &WIDE, &mut seen).expect("valid");
    for byte in fragment.chunks(1) {
        feed(&mut decoder, byte, &WIDE, &mut seen).expect("valid");
    }
    assert!(decoder.buffered() <= 60_125);
    assert_eq!(seen[1], Seen::Ping(vec![2; 125]));
}

#[test]
fn what_follows_a_close_is_discarded() {
    let bytes = [frame(0x01, b"half"), frame(0x88, b"\x03\xE8bye"), frame(0x80, b"x"), vec![0xFF; 9]];
    let expected = vec![Seen::Close(Some((1000, "bye".to_owned())))];
    assert_eq!(decode(&bytes.concat(), &WIDE), (expected, Ok(())));
}

#[test]
fn a_close_lets_go_of_the_message_it_cut() {
    let mut decoder = Decoder::default();
    let bytes = [frame(0x02, &[1; 5000]), frame(0x88, b"")].concat();
    feed(&mut decoder, &bytes, &WIDE, &mut Vec::new()).expect("valid");
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn what_follows_a_violation_is_discarded() {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    assert_eq!(feed(&mut decoder, &[0xF1], &WIDE, &mut seen), Err(Violation::ReservedBits));
    assert_eq!(feed(&mut decoder, &frame(0x81, b"x"), &WIDE, &mut seen), Ok(()));
    let bad_close = frame(0x88, b"\x03\xEE");
    let mut decoder = Decoder::default();
    assert!(feed(&mut decoder, &bad_close, &WIDE, &mut seen).is_err());
    assert_eq!(feed(&mut decoder, &frame(0x81, b"x"), &WIDE, &mut seen), Ok(()));
    assert_eq!(seen, []);
}

#[test]
fn each_violation_is_refused_at_the_byte_that_makes_it_one() {
    let hello = frame(0x81, b"Hello");
    let ahead = hello.len();
    let cases: [(&[u8], Violation, usize); 17] = [
        (b"\xC1", Violation::ReservedBits, 0),
        (b"\xA1", Violation::ReservedBits, 0),
        (b"\x91", Violation::ReservedBits, 0),
        (b"\x83", Violation::ReservedOpcode { opcode: 3 }, 0),
        (b"\x8F", Violation::ReservedOpcode { opcode: 15 }, 0),
        (b"\x81\x05Hello", Violation::Unmasked, 1),
        (b"\x09\x80", Violation::ControlFragmented, 0),
        (b"\x89\xFE\x00\x7E", Violation::ControlTooLong, 1),
        (b"\x8A\xFF", Violation::ControlTooLong, 1),
        (b"\x88\x81\0\0\0\0\x03", Violation::CloseTruncated, 1),
        (b"\x88\x82\0\0\0\0\x03\xED", Violation::CloseCodeInvalid { code: 1005 }, 7),
        (b"\x88\x83\0\0\0\0\x03\xE8\xFF", Violation::NotUtf8, 8),
        (b"\x82\xFE\x00\x7D", Violation::LengthNotMinimal { len: 125 }, 3),
        (b"\x82\xFF\0\0\0\0\0\0\xFF\xFF", Violation::LengthNotMinimal { len: 65_535 }, 9),
        (b"\x82\xFF\x80\0\0\0\0\0\0\0", Violation::LengthTopBit, 9),
        (b"\x80\x80\0\0\0\0", Violation::ContinuationAlone, 5),
        (b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0", Violation::MessageInterrupted, 11),
    ];
    for (bytes, violation, at) in cases {
        assert_eq!(refused(bytes, &WIDE), (violation, at), "{bytes:x?}");
        let second = [&hello[..], bytes].concat();
        assert_eq!(refused(&second, &WIDE), (violation, ahead + at), "{bytes:x?}");
        assert_eq!(decode(&second, &WIDE).0, [text("Hello")], "what came before is not lost");
    }
    // A continuation after a whole message continues nothing either.
    assert_eq!(
        refused(&[frame(0x01, b"a"), frame(0x80, b"b"), frame(0x80, b"c")].concat(), &WIDE).0,
        Violation::ContinuationAlone
    );
}

#[test]
fn a_tebibyte_costs_fourteen_bytes() {
    let header = [0x82, 0xFF, 0, 0, 0x01, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    feed(&mut decoder, &header[..13], &WIDE, &mut seen).expect("not yet a header");
    let violation = Violation::FrameTooLong { len: 1 << 40, max: 1 << 20 };
    assert_eq!(feed(&mut decoder, &header[13..], &WIDE, &mut seen), Err(violation));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn an_announcement_alone_reserves_nothing() {
    let limits = Limits { frame: u64::MAX, message: u64::MAX, fragments: 1 };
    let mut decoder = Decoder::default();
    let header = [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    feed(&mut decoder, &header, &limits, &mut Vec::new()).expect("within the limits");
    assert_eq!(decoder.buffered(), 0);
    feed(&mut decoder, &[0], &limits, &mut Vec::new()).expect("within the limits");
    assert_eq!(decoder.buffered(), CAPACITY_FIRST);
    feed(&mut decoder, &[0; 4095], &limits, &mut Vec::new()).expect("within the limits");
    assert_eq!(decoder.buffered(), 2 * 4096);
    let mut decoder = Decoder::default();
    feed(&mut decoder, &[0x89, 0xFD, 0, 0, 0, 0], &limits, &mut Vec::new()).expect("a ping's header");
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_frame_may_be_as_long_as_its_limit_and_no_longer() {
    let limits = Limits { frame: 130, ..WIDE };
    assert_eq!(decode(&frame(0x82, &[5; 130]), &limits), (vec![Seen::Binary(vec![5; 130])], Ok(())));
    assert_eq!(
        refused(&frame(0x82, &[5; 131]), &limits),
        (Violation::FrameTooLong { len: 131, max: 130 }, 7)
    );
    // The limit is for data: a control frame has its 125 whatever it says.
    let narrow = Limits { frame: 1, message: 1, fragments: 1 };
    assert_eq!(decode(&frame(0x89, &[5; 125]), &narrow), (vec![Seen::Ping(vec![5; 125])], Ok(())));
}

#[test]
fn a_message_may_be_as_long_as_its_limit_and_no_longer() {
    let limits = Limits { message: 10, ..WIDE };
    assert_eq!(decode(&frame(0x81, b"0123456789"), &limits), (vec![text("0123456789")], Ok(())));
    let fits = [frame(0x01, b"01234"), frame(0x00, b""), frame(0x80, b"56789"), frame(0x81, b"0123456789")];
    assert_eq!(decode(&fits.concat(), &limits), (vec![text("0123456789"); 2], Ok(())));
    let over = Violation::MessageTooLong { len: 11, max: 10 };
    assert_eq!(refused(&frame(0x81, b"0123456789a"), &limits), (over, 5));
    let parts = [frame(0x01, b"01234"), frame(0x89, b"?"), frame(0x00, b"56789"), frame(0x80, b"a")];
    assert_eq!(refused(&parts.concat(), &limits), (over, 11 + 7 + 11 + 5));
    let much = [&frame(0x01, b"0")[..], b"\x80\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0"].concat();
    let unlimited = Limits { frame: u64::MAX, ..limits };
    assert_eq!(refused(&much, &unlimited), (Violation::MessageTooLong { len: 1 << 63, max: 10 }, 20));
}

#[test]
fn a_message_may_have_as_many_frames_as_its_limit_and_no_more() {
    let limits = Limits { fragments: 3, ..WIDE };
    let fits = [frame(0x01, b"a"), frame(0x00, b"b"), frame(0x89, b""), frame(0x80, b"c")].concat();
    let twice = [&fits[..], &fits].concat();
    assert_eq!(
        decode(&twice, &limits),
        (vec![Seen::Ping(vec![]), text("abc"), Seen::Ping(vec![]), text("abc")], Ok(()))
    );
    let over = [frame(0x01, b"a"), frame(0x00, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    assert_eq!(refused(&over, &limits), (Violation::TooManyFragments { max: 3 }, 7 + 6 + 6 + 5));
    assert_eq!(refused(&over, &limits).0.close_code(), CloseCode::POLICY);
}

#[test]
fn an_invalid_byte_of_a_text_is_refused_at_the_byte() {
    // Above U+10FFFF: known at the second byte of the four.
    let poem = b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80edited";
    assert_eq!(refused(&frame(0x81, poem), &WIDE), (Violation::NotUtf8, 6 + 12));
    for cut in 0..=12 {
        let bytes = [frame(0x01, &poem[..cut]), frame(0x00, &poem[cut..])].concat();
        assert_eq!(refused(&bytes, &WIDE), (Violation::NotUtf8, 12 + 12), "{cut}");
        assert_eq!(refused(&bytes, &WIDE).0.close_code(), CloseCode::INVALID_DATA);
    }
    let limits = Limits { frame: 1 << 40, message: 1 << 40, fragments: 1 };
    // And 4 GiB before the message would end.
    let endless = [&[0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], poem].concat();
    assert_eq!(refused(&endless, &limits), (Violation::NotUtf8, 14 + 12));
}

#[test]
fn a_text_may_be_cut_inside_a_code_point_but_not_end_there() {
    let poem = "\u{E9}\u{20AC}\u{1F600}";
    let bytes = poem.as_bytes();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let parts = [
                frame(0x01, &bytes[..first]),
                frame(0x00, &bytes[first..second]),
                frame(0x89, b"\xFF"),
                frame(0x80, &bytes[second..]),
            ];
            let expected = vec![Seen::Ping(vec![0xFF]), text(poem)];
            assert_eq!(decode(&parts.concat(), &WIDE), (expected, Ok(())), "{first} {second}");
        }
    }
    for end in [1, 3, 4, 6, 7, 8] {
        assert_eq!(refused(&frame(0x81, &bytes[..end]), &WIDE), (Violation::NotUtf8, 6 + end - 1));
        let parts = [frame(0x01, &bytes[..end]), frame(0x80, b"")].concat();
        assert_eq!(refused(&parts, &WIDE), (Violation::NotUtf8, 6 + end + 5));
    }
    // A new text begins anew.
    let whole = [frame(0x01, &bytes[..2]), frame(0x80, &bytes[2..5]), frame(0x81, "\u{E9}".as_bytes())];
    assert_eq!(decode(&whole.concat(), &WIDE).0, [text("\u{E9}\u{20AC}"), text("\u{E9}")]);
}

#[test]
fn a_binary_message_may_hold_anything() {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let parts = [frame(0x02, &bytes[..200]), frame(0x80, &bytes[200..]), frame(0x82, &bytes)].concat();
    assert_eq!(decode(&parts, &WIDE), (vec![Seen::Binary(bytes); 2], Ok(())));
}

/// A message or a control frame, as bytes and as what must be seen of it. `cuts` fragment a message.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
    let payload = prop_oneof![
        3 => "[a-z\u{e9}\u{20ac}\u{1f600}]{0,40}".prop_map(|text| (0x01, text.into_bytes())),
        1 => proptest::collection::vec(any::<u8>(), 0..2500).prop_map(|bytes| (0x02, bytes)),
        1 => "[a-z\u{e9}\u{20ac}]{300,400}".prop_map(|text| (0x01, text.into_bytes())),
        1 => (0x09..=0x0A_u8, proptest::collection::vec(any::<u8>(), 0..=125)),
    ];
    let item = (payload, proptest::collection::vec(any::<Index>(), 0..4), any::<bool>());
    proptest::collection::vec(item, 1..6).prop_map(|items| {
        let (mut bytes, mut seen) = (Vec::new(), Vec::new());
        for ((opcode, payload), cuts, interleave) in items {
            if opcode >= 0x08 {
                bytes.extend(frame(0x80 | opcode, &payload));
                seen.push(if opcode == 0x09 { Seen::Ping(payload) } else { Seen::Pong(payload) });
                continue;
            }
            let mut first = opcode;
            let mut from = 0;
            for to in sorted(&cuts, payload.len()) {
                bytes.extend(frame(first, &payload[from..to]));
                if interleave {
                    bytes.extend(frame(0x89, b"?"));
                    seen.push(Seen::Ping(b"?".to_vec()));
                }
                (first, from) = (0x00, to);
            }
            bytes.extend(frame(0x80 | first, &payload[from..]));
            seen.push(if opcode == 0x01 { Seen::Text(payload) } else { Seen::Binary(payload) });
        }
        (bytes, seen)
    })
}

fn sorted(cuts: &[Index], len: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends = sorted(cuts, bytes.len());
    ends.push(bytes.len());
    let mut from = 0;
    ends.iter().map(|&to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

const NARROW: Limits = Limits { frame: 1500, message: 2000, fragments: 3 };

proptest! {
    #[test]
    fn what_is_valid_is_seen_as_sent_however_it_is_cut(
        (bytes, expected) in conversation(),
        cuts in proptest::collection::vec(any::<Index>(), 0..12),
    ) {
        prop_assert_eq!(run(pieces(&bytes, &cuts), &WIDE), (expected, Ok(())));
    }

    #[test]
    fn what_is_mutated_gets_one_verdict_however_it_is_cut(
        (mut bytes, _) in conversation(),
        faults in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cuts in proptest::collection::vec(any::<Index>(), 0..12),
        limits in prop_oneof![Just(WIDE), Just(NARROW)],
    ) {
        for (at, byte) in faults {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = run([&bytes[..]], &limits);
        prop_assert_eq!(&run(pieces(&bytes, &cuts), &limits), &whole);
        prop_assert_eq!(&run(bytes.chunks(1), &limits), &whole);
    }

    #[test]
    fn noise_gets_one_verdict_however_it_is_cut(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0x80), Just(0x81), Just(0x01), Just(0x00), Just(0x82)], 0..60),
        cuts in proptest::collection::vec(any::<Index>(), 0..8),
    ) {
        let whole = run([&bytes[..]], &NARROW);
        prop_assert_eq!(&run(pieces(&bytes, &cuts), &NARROW), &whole);
        prop_assert_eq!(&run(bytes.chunks(1), &NARROW), &whole);
    }
}
