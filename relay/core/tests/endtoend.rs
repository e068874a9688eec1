//! The end-to-end layer (PROTOCOL.md §9.1): what opens is what was sealed, once; all else is filler, malformed or replayed.

use proptest::prelude::*;
use voicebox_core::cell::BODY_OCTETS;
use voicebox_core::endtoend::{parse_content, serialise_content, Codec, Content, CounterWindow, EndToEnd, NotOpened, MAX_RECEIVE_KEYS};
use voicebox_core::layer::Layer;
use voicebox_core::random::{RandomSource, SeededRandom};

/// Inputs of a test that takes anything: 10^5, or 10^7 where VOICEBOX_LONG is set.
fn rounds() -> u32 {
    if std::env::var_os("VOICEBOX_LONG").is_some() {
        10_000_000
    } else {
        100_000
    }
}

const IDLE: [u8; 16] = [0; 16];
const SILENCE: Content<'static> = Content { codec: None, frame: &[], segment: &[], ends_message: false, copy: &[], of_streams: false, metered: false };

fn ends(send: [u8; 16], receive: &[[u8; 16]]) -> (EndToEnd, EndToEnd) {
    let (mut from, mut to) = (EndToEnd::new(&IDLE), EndToEnd::new(&IDLE));
    from.set_keys(Some(&send), &[]);
    to.set_keys(None, receive);
    (from, to)
}

fn sealed(end: &EndToEnd, counter: u64, content: &Content<'_>) -> [u8; BODY_OCTETS] {
    let mut body = [0; BODY_OCTETS];
    serialise_content(&mut body, counter, content);
    end.seal(&mut body);
    body
}

#[test]
fn a_cell_opens_once_under_whichever_key_sealed_it() {
    for (index, key) in [[1; 16], [2; 16], [3; 16]].into_iter().enumerate() {
        let (from, mut to) = ends(key, &[[1; 16], [2; 16], [3; 16]]);
        let content = Content { codec: Some(Codec::Pcma), frame: &[7; 160], segment: &[9; 60], ends_message: true, ..SILENCE };
        let cell = sealed(&from, 41, &content);
        let mut body = cell;
        let opened = to.open(&mut body).expect("its key is there");
        assert_eq!((opened.key_index, opened.counter, opened.content), (index, 41, content));
        assert!(to.is_first_under(index) && !to.is_first_under(index));
        assert_eq!(to.open(&mut cell.clone()).err(), Some(NotOpened::Replayed));
        to.set_keys(None, &[key]);
        assert_eq!(to.open(&mut cell.clone()).err(), Some(NotOpened::Replayed), "new keys do not forget what was taken");
        assert!(to.is_first_under(0), "but each is heard anew");
    }
}

#[test]
fn without_its_key_a_cell_is_filler() {
    let (from, mut to) = ends([1; 16], &[[2; 16]]);
    assert_eq!(to.open(&mut sealed(&from, 1, &SILENCE)).err(), Some(NotOpened::Filler));
    to.set_keys(None, &[]);
    assert_eq!(to.open(&mut sealed(&from, 1, &SILENCE)).err(), Some(NotOpened::Filler));
    let idle = EndToEnd::new(&IDLE);
    assert_eq!(to.open(&mut sealed(&idle, 1, &SILENCE)).err(), Some(NotOpened::Filler), "the idle key opens nothing");
    assert!(!idle.speaks() && from.speaks());
}

#[test]
fn one_flipped_bit_anywhere_makes_a_cell_filler() {
    let (from, mut to) = ends([5; 16], &[[5; 16]]);
    let cell = sealed(&from, 1, &SILENCE);
    for bit in 0..BODY_OCTETS * 8 {
        let mut body = cell;
        body[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(to.open(&mut body).err(), Some(NotOpened::Filler), "bit {bit}");
    }
    assert!(to.open(&mut cell.clone()).is_ok());
}

#[test]
fn what_does_not_follow_the_layout_is_malformed_and_takes_no_counter() {
    let key = Layer::new(&[5; 16]);
    let (from, mut to) = ends([5; 16], &[[5; 16]]);
    let mut plain = [0; BODY_OCTETS];
    serialise_content(&mut plain, 9, &Content { codec: Some(Codec::Opus), frame: &[1; 40], segment: &[2; 10], ..SILENCE });
    for (what, changes) in [
        ("counter 0", vec![(23, 0)]),
        ("unknown codec", vec![(24, 5)]),
        ("no codec, but a frame", vec![(24, 0)]),
        ("a frame of another codec's length", vec![(24, 2)]),
        ("a codec without a frame", vec![(25, 0), (26, 50)]),
        ("an Opus frame that is too long", vec![(25, 121)]),
        ("more than 220 octets", vec![(26, 181)]),
        ("unknown flag", vec![(27, 16)]),
        ("the end of a message in a segment of streams", vec![(27, 9)]),
        ("streams without a segment", vec![(24, 0), (25, 0), (26, 0), (27, 8)]),
        ("a copy, and the end of a message without a segment", vec![(27, 3)]),
        ("a copy without a codec", vec![(24, 0), (25, 0), (27, 2)]),
        ("a copy without octets", vec![(26, 0), (27, 2)]),
        ("a coarse copy of another length", vec![(24, 2), (25, 160), (26, 58), (27, 2)]),
        ("rest that is not zero", vec![(247, 1)]),
        ("octets after the segment", vec![(26, 9)]),
        ("the end of a message without a segment", vec![(24, 0), (25, 0), (26, 0), (27, 1)]),
        ("a segment behind the copy that ends outside the cell", vec![(27, 2), (78, 170)]),
        ("octets behind the segment behind the copy", vec![(27, 2), (78, 3), (82, 1)]),
    ] {
        let mut body = plain;
        changes.into_iter().for_each(|(at, octet)| body[at] = octet);
        assert_eq!(parse_content(&body), None, "{what}");
        key.encipher(&[], &mut body);
        assert_eq!(to.open(&mut body).err(), Some(NotOpened::Malformed), "{what}");
    }
    assert!(to.open(&mut sealed(&from, 9, &SILENCE)).is_ok(), "counter 9 is still free");
}

#[test]
fn at_most_eight_keys_are_tried() {
    let keys: Vec<_> = (1..=9u8).map(|octet| [octet; 16]).collect();
    for (index, key) in keys.iter().enumerate() {
        let (from, mut to) = ends(*key, &keys);
        assert_eq!(to.open(&mut sealed(&from, 1, &SILENCE)).is_ok(), index < MAX_RECEIVE_KEYS);
    }
}

#[test]
fn any_body_is_dropped_with_a_reason_or_opened() {
    let mut random = SeededRandom::new([3; 32]);
    let key = Layer::new(&[5; 16]);
    let (_, mut to) = ends([5; 16], &[[5; 16]]);
    let (mut opened, mut filler, mut malformed, mut replayed) = (0u32, 0u32, 0u32, 0u32);
    for round in 0..rounds() {
        let mut body = [0; BODY_OCTETS];
        let mut drawn = [0; 48];
        random.fill(&mut drawn);
        // A plain body near the layout: counters around the present one, lengths at random, mostly zeros.
        let counter = (u64::from(round) + u64::from(drawn[0])).saturating_sub(u64::from(drawn[1]) * 8);
        body[16..24].copy_from_slice(&counter.to_be_bytes());
        body[24] = drawn[3] % 5;
        body[25] = if drawn[4] < 192 { [0, 1 + drawn[10] % 120, 160, 160, 0][usize::from(body[24])] } else { drawn[4] };
        body[26] = if drawn[5] < 192 { drawn[5] % 60 } else { drawn[5] };
        body[27] = if drawn[6] < 240 { drawn[6] % 8 } else { drawn[6] };
        if body[27] & 2 != 0 {
            body[26] = if body[24] > 1 && drawn[6] < 200 { 57 } else { body[26] };
            // A segment behind the copy.
            let behind = 28 + usize::from(body[25]) + usize::from(body[26]);
            if behind < BODY_OCTETS && drawn[11] < 128 {
                body[behind] = drawn[12] % 40;
            }
        }
        // Not in the counter: one that leaps would put all others out of the window.
        let at = usize::from(drawn[8]) % BODY_OCTETS;
        if drawn[7] < 16 && !(16..24).contains(&at) {
            body[at] = drawn[9];
        }
        let plain = body;
        key.encipher(&[], &mut body);
        match to.open(&mut body) {
            Ok(found) => {
                opened += 1;
                let mut again = [0; BODY_OCTETS];
                serialise_content(&mut again, found.counter, &found.content);
                assert_eq!(again, plain, "parse and serialise are inverses");
            }
            Err(NotOpened::Filler) => filler += 1,
            Err(NotOpened::Malformed) => malformed += 1,
            Err(NotOpened::Replayed) => replayed += 1,
        }
    }
    println!("bodies: {opened} opened, {filler} filler, {malformed} malformed, {replayed} replayed");
    assert!(opened > 1_000 && filler > 100 && malformed > 10_000 && replayed > 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_window_takes_exactly_what_a_set_of_counters_would(steps in prop::collection::vec((0u64..3_000, any::<bool>()), 1..400)) {
        let mut window = CounterWindow::default();
        let mut taken = std::collections::HashSet::new();
        let mut highest = 0u64;
        for (step, forward) in steps {
            let counter = if forward { highest + 1 + step % 40 } else { highest.saturating_sub(step % 1_100).max(1) };
            let expected = counter + 1_024 > highest && !taken.contains(&counter);
            prop_assert_eq!(window.take(counter), expected, "counter {} with highest {}", counter, highest);
            if expected {
                taken.insert(counter);
                highest = highest.max(counter);
            }
        }
    }

    #[test]
    fn content_is_parsed_as_it_was_built(
        counter in 1u64.., codec in 0u8..5, octets in prop::collection::vec(any::<u8>(), 220), opus in 1usize..=120, segment in 0usize..=220, flags in 0u8..16,
    ) {
        let [ends_message, copies, metered, frameless] = [1, 2, 4, 8].map(|flag| flags & flag != 0);
        let codec = Codec::from_code(codec);
        let frame = match codec { None => 0, Some(Codec::G722) => 160, Some(_) if copies && frameless => 0, Some(Codec::Opus) => opus, Some(Codec::Pcma | Codec::Pcmu) => 160 };
        let copy = match codec { Some(Codec::Opus) if copies => opus.min(220 - frame), Some(Codec::Pcma | Codec::Pcmu) if copies => 57, _ => 0 };
        let room = 220 - frame - copy;
        let segment = if copy > 0 { segment.min(room.saturating_sub(1)) } else { segment.min(room) };
        let (segment, copy) = (&octets[frame..frame + segment], &octets[frame..frame + copy]);
        let content = Content { codec, frame: &octets[..frame], segment, ends_message: ends_message && !segment.is_empty(), copy, of_streams: false, metered };
        let mut body = [0xff; BODY_OCTETS];
        serialise_content(&mut body, counter, &content);
        prop_assert_eq!(parse_content(&body), Some((counter, content)));
    }
}
