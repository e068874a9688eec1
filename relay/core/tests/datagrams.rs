//! Datagrams beside streams (PROTOCOL.md §11.6): whole or not at all, whatever the wire does; bounded; and what an attacker's box says is refused.

use proptest::prelude::*;
use voicebox_core::streams::fragment::{parse_fragment, serialise_fragment, Fragment, FRAGMENT_HEAD_OCTETS};
use voicebox_core::streams::frame::{serialise_frame, Frame};
use voicebox_core::streams::segment::{parse_segment, FRAGMENTS};
use voicebox_core::streams::{Broken, Bundle, StreamEvent, StreamId, Way, Why, MAX_DATAGRAM_OCTETS};

const WHOLE_CELL: usize = 220;
const SECOND_US: u64 = 1_000_000;
const PORT: u16 = 53;

fn datagram(seed: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|place| (place * 7 + seed * 31) as u8).collect()
}

/// Say one cell from one bundle to the other.
fn pass(from: &mut Bundle, to: &mut Bundle, counter: u64, room: usize) {
    let mut cell = [0; WHOLE_CELL];
    let octets = from.segment_for_slot(counter, &mut cell[..room]);
    if octets > 0 {
        to.take_segment(counter, &cell[..octets]).expect("an honest peer");
    }
}

/// Two bundles with an association that the first opened and the second took: its name at both.
fn associated() -> (Bundle, Bundle, StreamId, StreamId) {
    let (mut a, mut b) = (Bundle::new(), Bundle::new());
    let ours = a.associate(PORT).expect("the first");
    pass(&mut a, &mut b, 1, WHOLE_CELL);
    let theirs = StreamId { ours: false, ..ours };
    assert_eq!(b.poll(), Some(StreamEvent::Asked { stream: theirs, port: PORT, way: Way::Datagrams }));
    assert!(b.take(theirs));
    pass(&mut b, &mut a, 1, WHOLE_CELL);
    assert_eq!(a.poll(), Some(StreamEvent::Taken(ours)));
    (a, b, ours, theirs)
}

fn received(bundle: &mut Bundle, stream: StreamId) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| bundle.receive(stream)).collect()
}

proptest! {
    #[test]
    fn what_comes_is_a_datagram_that_was_sent_whatever_is_lost_or_late(
        sizes in prop::collection::vec(prop_oneof![0usize..4, 20usize..400, 1_000usize..1_500, Just(MAX_DATAGRAM_OCTETS)], 1..12),
        rooms in prop::collection::vec(prop_oneof![Just(WHOLE_CELL), 40usize..WHOLE_CELL], 1..5),
        lost in prop::collection::vec(any::<bool>(), 1..30),
        swaps in any::<bool>(),
    ) {
        let (mut a, mut b, ours, theirs) = associated();
        let sent: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(seed, octets)| datagram(seed, *octets)).collect();
        let mut late: Option<(u64, Vec<u8>)> = None;
        let mut came = Vec::new();
        let mut any_lost = false;
        for counter in 2..2_000 {
            if let Some(octets) = sent.get(counter as usize - 2) {
                prop_assert!(a.send(0, ours, octets));
            }
            let mut cell = [0; WHOLE_CELL];
            let room = rooms[counter as usize % rooms.len()];
            let octets = a.segment_for_slot(counter, &mut cell[..room]);
            let is_lost = lost[counter as usize % lost.len()] && lost.contains(&false);
            any_lost |= is_lost;
            if octets > 0 && !is_lost {
                if swaps && late.is_none() {
                    late = Some((counter, cell[..octets].to_vec()));
                } else {
                    b.take_segment(counter, &cell[..octets]).expect("an honest peer");
                    late.take().into_iter().for_each(|(counter, cell)| b.take_segment(counter, &cell).expect("an honest peer"));
                }
            }
            came.extend(received(&mut b, theirs));
        }
        for each in &came {
            prop_assert!(sent.contains(each));
        }
        let fits: usize = sizes.iter().sum();
        if !any_lost && !swaps && fits <= 32_768 {
            prop_assert_eq!(came, sent, "all of them, in their order, where nothing is lost");
        }
    }

    #[test]
    fn any_octets_in_the_place_of_fragments_are_taken_or_break_the_bundle(octets in prop::collection::vec(any::<u8>(), 1..200), flips in prop::collection::vec((0usize..60, any::<u8>()), 0..4)) {
        let (_, mut b, _, theirs) = associated();
        let mut fragments = Vec::new();
        serialise_fragment(&mut fragments, &Fragment { stream: StreamId { ours: true, ..theirs }, number: 1, place: 0, last: false, octets: &octets[..octets.len().min(40)] });
        flips.iter().for_each(|(place, octet)| if let Some(at) = fragments.get_mut(*place) { *at = *octet });
        fragments.extend(&octets);
        let segment = [&[0, 0, 0, 0, 0, 0, FRAGMENTS][..], &fragments].concat();
        let is_broken = b.take_segment(2, &segment).is_err();
        prop_assert_eq!(is_broken, b.streams() == 0);
    }
}

#[test]
fn datagrams_and_streams_share_the_slots_by_turns() {
    let (mut a, mut b, ours, theirs) = associated();
    let stream = a.open(80).expect("one is free");
    a.write(stream, &[7; 20_000]);
    for number in 0..20 {
        assert!(a.send(0, ours, &datagram(number, 200)));
    }
    let mut cell = [0; WHOLE_CELL];
    let kinds: Vec<bool> = (2..22)
        .map(|counter| {
            let octets = a.segment_for_slot(counter, &mut cell);
            b.take_segment(counter, &cell[..octets]).expect("an honest peer");
            !parse_segment(&cell[..octets]).expect("valid").fragments.is_empty()
        })
        .collect();
    assert_eq!(kinds.iter().filter(|is_fragments| **is_fragments).count(), 10);
    assert!(kinds.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(received(&mut b, theirs), (0..10).map(|number| datagram(number, 200)).collect::<Vec<_>>());
}

#[test]
fn an_opening_is_said_before_its_datagrams_and_a_short_one_lies_beside_others() {
    let (mut a, mut b) = (Bundle::new(), Bundle::new());
    let ours = a.associate(PORT).expect("the first");
    for number in 0..5 {
        assert!(a.send(0, ours, &datagram(number, 20)));
    }
    assert!(a.has_something_to_say());
    pass(&mut a, &mut b, 1, WHOLE_CELL);
    pass(&mut a, &mut b, 2, WHOLE_CELL);
    assert_eq!(received(&mut b, StreamId { ours: false, ..ours }).len(), 5, "all in one cell");
}

#[test]
fn what_waits_too_long_or_is_too_much_is_dropped_the_oldest_first() {
    let (mut a, mut b, ours, theirs) = associated();
    assert!(!a.send(0, ours, &vec![0; MAX_DATAGRAM_OCTETS + 1]));
    assert_eq!(a.take_dropped(), 1);
    for number in 0..300 {
        assert!(a.send(number, ours, &datagram(number as usize, 150)));
    }
    assert_eq!(a.take_dropped(), 300 - 32_768 / 150, "no more than 32 768 octets wait");
    a.forget_old(5 * SECOND_US + 289);
    assert!(a.has_something_to_say());
    (2..30).for_each(|counter| pass(&mut a, &mut b, counter, WHOLE_CELL));
    assert_eq!(received(&mut b, theirs), (290..300).map(|number| datagram(number, 150)).collect::<Vec<_>>());
    a.send(0, ours, b"old");
    a.forget_old(5 * SECOND_US);
    assert_eq!(a.take_dropped(), 290 - (300 - 32_768 / 150) + 1);
}

#[test]
fn what_is_not_read_is_bounded_and_readable_is_told_once() {
    let (mut a, mut b, ours, theirs) = associated();
    for counter in 2..200 {
        a.send(0, ours, &datagram(counter as usize, 100));
        pass(&mut a, &mut b, counter, WHOLE_CELL);
    }
    assert_eq!((b.poll(), b.poll()), (Some(StreamEvent::Readable(theirs)), None));
    assert_eq!(received(&mut b, theirs).len(), 64);
    assert!(b.take_dropped() > 100);
}

#[test]
fn fragments_that_never_complete_are_kept_within_bounds_and_not_over_a_splice() {
    let (_, mut b, _, theirs) = associated();
    let mut say = |counter: u64, number: u16, place: u16, last: bool, octets: &[u8]| {
        let mut segment = vec![0, 0, 0, 0, 0, 0, FRAGMENTS];
        serialise_fragment(&mut segment, &Fragment { stream: StreamId { ours: true, ..theirs }, number, place, last, octets });
        b.take_segment(counter, &segment).expect("valid");
        received(&mut b, theirs)
    };
    for number in 0..100 {
        assert!(say(2, number, 0, false, b"half").is_empty());
    }
    assert!(say(2, 83, 4, true, b"!").is_empty(), "only 16 are kept");
    assert_eq!(say(2, 99, 4, true, b"!"), [b"half!"]);
    assert!(say(3, 200, 0, false, b"half").is_empty());
    assert!(say(3 + 256, 200, 4, true, b"!").is_empty(), "too late");
    // Two of one number, or a liar: neither becomes whole.
    assert!(say(300, 300, 0, false, b"half").is_empty());
    assert!(say(300, 300, 2, true, b"lf!").is_empty());
    assert!(say(300, 300, 4, true, b"!").is_empty());
    assert_eq!(say(300, 400, 0, true, b""), [b""], "a datagram without octets is one");
}

#[test]
fn after_a_reset_nothing_is_said_or_taken() {
    let (mut a, mut b, ours, theirs) = associated();
    a.send(0, ours, b"hello");
    a.reset(ours, Why::Gone);
    pass(&mut a, &mut b, 2, WHOLE_CELL);
    assert_eq!(b.poll(), Some(StreamEvent::Reset { stream: theirs, why: Why::Gone }));
    assert!(!a.send(0, ours, b"x"));
    assert!(!b.send(0, theirs, b"x"));
    assert_eq!((a.streams(), b.streams()), (0, 0));
}

#[test]
fn frames_of_streams_about_an_association_break_the_protocol() {
    for frame in [Frame::Data(b"x"), Frame::End, Frame::Credit(32_768)] {
        let mut bundle = Bundle::new();
        let stream = StreamId { ours: true, number: 5 }; // as its opener names it
        let mut row = Vec::new();
        serialise_frame(&mut row, stream, &Frame::Associate(PORT));
        serialise_frame(&mut row, stream, &frame);
        let segment = [&[0; 11][..], &row].concat();
        assert_eq!(bundle.take_segment(1, &segment), Err(Broken));
    }
}

#[test]
fn a_fragment_that_is_none_is_refused() {
    let mut good = Vec::new();
    serialise_fragment(&mut good, &Fragment { stream: StreamId { ours: true, number: 1 }, number: 2, place: 3, last: true, octets: b"abc" });
    assert_eq!(parse_fragment(&good).map(|(_, octets)| octets), Ok(FRAGMENT_HEAD_OCTETS + 3));
    let changed = |place: usize, octet: u8| {
        let mut octets = good.clone();
        octets[place] = octet;
        octets
    };
    for bad in [good[..7].to_vec(), good[..10].to_vec(), changed(0, 2), changed(0, 0x41), changed(5, 0x20), changed(7, 0), changed(7, 4)] {
        assert_eq!(parse_fragment(&bad), Err(Broken));
    }
}
