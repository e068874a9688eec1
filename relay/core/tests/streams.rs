//! Streams between two boxes (PROTOCOL.md §11): whatever the wire does, each stream's octets come once and in order; what an attacker's box says is taken or refused.

mod draws;

use std::collections::{BTreeMap, VecDeque};

use draws::Draws;
use proptest::prelude::*;
use voicebox_core::streams::frame::{serialise_frame, Frame};
use voicebox_core::streams::segment::{serialise_acknowledgement, Acknowledgement};
use voicebox_core::streams::{Broken, Bundle, StreamEvent, StreamId, Way as StreamWay, Why, MAX_STREAMS, STREAM_WINDOW_OCTETS, WINDOW_OCTETS};

const WHOLE_CELL: usize = 220;
/// The port of what echoes, and of what only reads.
const ECHO: u16 = 7;
const DISCARD: u16 = 9;

/// What the way between two boxes does to cells, each way.
#[derive(Debug, Clone)]
struct Wire {
    loss_percent: u32,
    repeat_percent: u32,
    slots: u64,
    more_slots: u32,
    rooms: Vec<usize>,
    /// A junction passes a metered box every second cell only.
    halves: bool,
    /// The splice ends after so many slots, with all that is under way, and another begins.
    splice_slots: u64,
}

fn wires() -> impl Strategy<Value = Wire> {
    let rooms = prop::collection::vec(prop_oneof![Just(WHOLE_CELL), Just(60usize), 12usize..220, 0usize..12], 0..6);
    (0u32..50, 0u32..30, 0u64..30, 0u32..12, rooms, any::<bool>(), prop_oneof![Just(u64::MAX), 20u64..300]).prop_map(
        |(loss_percent, repeat_percent, slots, more_slots, rooms, halves, splice_slots)| Wire {
            loss_percent,
            repeat_percent,
            slots,
            more_slots,
            rooms,
            halves,
            splice_slots,
        },
    )
}

/// One box: its bundle, and what its programs do. A reference as simple as can be: for each stream the octets that were written and those that were read.
#[derive(Default)]
struct Side {
    bundle: Bundle,
    written: BTreeMap<StreamId, (Vec<u8>, usize)>,
    read: BTreeMap<StreamId, Vec<u8>>,
    ended: BTreeMap<StreamId, bool>,
    echoes: BTreeMap<StreamId, VecDeque<u8>>,
}

impl Side {
    /// Open a stream on which these octets are to be written, and then no more.
    fn open(&mut self, port: u16, octets: Vec<u8>) -> StreamId {
        let stream = self.bundle.open(port).expect("fewer than 64");
        self.written.insert(stream, (octets, 0));
        self.read.insert(stream, Vec::new());
        stream
    }

    fn work(&mut self, draws: &mut Draws) {
        while let Some(event) = self.bundle.poll() {
            match event {
                StreamEvent::Asked { stream, port, .. } => {
                    assert!(self.bundle.take(stream) && !self.bundle.take(stream));
                    self.read.insert(stream, Vec::new());
                    if port == ECHO {
                        self.echoes.insert(stream, VecDeque::new());
                    }
                }
                StreamEvent::Ended(stream) => {
                    self.ended.insert(stream, false);
                }
                StreamEvent::Reset { .. } | StreamEvent::Broken => panic!("nobody resets, and nobody breaks the protocol"),
                StreamEvent::Taken(_) | StreamEvent::Readable(_) | StreamEvent::Writable(_) => {}
            }
        }
        for (stream, (octets, place)) in &mut self.written {
            let most = octets.len().min(*place + 1 + draws.next(3_000) as usize);
            *place += self.bundle.write(*stream, &octets[*place..most]);
            if *place == octets.len() {
                self.bundle.end(*stream);
            }
        }
        for (stream, read) in &mut self.read {
            let mut out = vec![0; draws.next(2_000) as usize];
            let octets = self.bundle.read(*stream, &mut out);
            read.extend(&out[..octets]);
            if let Some(echo) = self.echoes.get_mut(stream) {
                echo.extend(&out[..octets]);
                let waiting: Vec<u8> = echo.iter().copied().collect();
                let taken = self.bundle.write(*stream, &waiting);
                echo.drain(..taken);
            }
            if self.bundle.is_read(*stream) && self.ended.contains_key(stream) {
                self.ended.insert(*stream, true);
                if self.echoes.get(stream).is_none_or(VecDeque::is_empty) {
                    self.bundle.end(*stream);
                }
            }
        }
    }
}

#[derive(Default)]
struct Way {
    cells: Vec<(u64, u64, Vec<u8>)>,
}

impl Way {
    fn say(&mut self, side: &mut Side, wire: &Wire, (slot, counter): (u64, u64), draws: &mut Draws) {
        let room = if wire.rooms.is_empty() { WHOLE_CELL } else { wire.rooms[slot as usize % wire.rooms.len()] };
        let mut out = vec![0; room];
        let octets = side.bundle.segment_for_slot(counter, &mut out);
        assert!(octets <= room && (room < 7) == (octets == 0));
        let copies = 1 + u32::from(draws.next(100) < wire.repeat_percent);
        for _ in 0..copies {
            if octets > 0 && draws.next(100) >= wire.loss_percent && !(wire.halves && slot % 2 == 1) {
                self.cells.push((slot + 1 + wire.slots + u64::from(draws.next(wire.more_slots + 1)), counter, out[..octets].to_vec()));
            }
        }
    }

    fn hear(&mut self, side: &mut Side, slot: u64) -> Result<(), Broken> {
        let (due, later) = std::mem::take(&mut self.cells).into_iter().partition(|(at, ..)| *at <= slot);
        self.cells = later;
        let due: Vec<(u64, u64, Vec<u8>)> = due;
        due.into_iter().try_for_each(|(_, counter, segment)| side.bundle.take_segment(counter, &segment))
    }
}

/// Let slots pass until everything was read, at most `most`; returns how many passed.
fn run(a: &mut Side, b: &mut Side, wire: &Wire, draws: &mut Draws, most: u64) -> u64 {
    let (mut there, mut back) = (Way::default(), Way::default());
    let mut begun = 0;
    for slot in 0..most {
        if slot - begun >= wire.splice_slots {
            begun = slot;
            (there, back) = (Way::default(), Way::default());
            a.bundle.begin_anew();
            b.bundle.begin_anew();
        }
        a.work(draws);
        b.work(draws);
        let at = (slot, slot - begun + 1);
        there.say(a, wire, at, draws);
        back.say(b, wire, at, draws);
        there.hear(b, slot).expect("an honest peer's segments are taken");
        back.hear(a, slot).expect("an honest peer's segments are taken");
        let over = |side: &Side| side.bundle.streams() == 0 && !side.bundle.has_something_to_say();
        if over(a) && over(b) {
            a.work(draws);
            b.work(draws);
            return slot;
        }
    }
    panic!("not everything came in {most} slots");
}

fn some_octets(index: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|place| (index * 31 + place * 7 + place / 251) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_octet_comes_once_and_in_order(
        seed in any::<u64>(),
        mut wire in wires(),
        lengths in prop::collection::vec((prop_oneof![0usize..40, 0usize..5_000, Just(STREAM_WINDOW_OCTETS + 3_000)], any::<bool>(), any::<bool>()), 1..10),
    ) {
        // Rooms of one frame come round, else nothing could leave.
        if !wire.rooms.is_empty() {
            wire.rooms.extend([60, WHOLE_CELL, 61]);
        }
        // What reaches the other side must be able to come back before the splice ends.
        wire.splice_slots = wire.splice_slots.max(3 * (wire.slots + u64::from(wire.more_slots) + 4));
        let mut draws = Draws(seed);
        let (mut a, mut b) = (Side::default(), Side::default());
        let mut expected = Vec::new();
        for (index, (octets, of_a, echo)) in lengths.iter().enumerate() {
            let octets = some_octets(index, *octets);
            let side = if *of_a { &mut a } else { &mut b };
            expected.push((*of_a, *echo, side.open(if *echo { ECHO } else { DISCARD }, octets.clone()), octets));
        }
        run(&mut a, &mut b, &wire, &mut draws, 400_000);
        for (of_a, echo, stream, octets) in expected {
            let (opener, other) = if of_a { (&a, &b) } else { (&b, &a) };
            prop_assert_eq!(&other.read[&StreamId { ours: false, ..stream }], &octets);
            prop_assert_eq!(&opener.read[&stream][..], if echo { &octets[..] } else { &[] });
            prop_assert!(opener.ended[&stream]);
        }
    }

    #[test]
    fn anything_is_taken_or_refused(segments in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..221)), 1..40)) {
        let mut bundle = Bundle::new();
        let _ = bundle.open(80);
        for (counter, segment) in segments {
            if bundle.take_segment(counter, &segment).is_err() {
                break;
            }
            let _ = bundle.segment_for_slot(counter, &mut [0; WHOLE_CELL]);
            prop_assert!(bundle.streams() <= 2 * MAX_STREAMS);
        }
    }

    #[test]
    fn frames_of_any_kind_are_taken_or_refused(
        frames in prop::collection::vec((any::<bool>(), 0u16..4, 0u8..8, any::<u32>(), prop::collection::vec(any::<u8>(), 1..30)), 1..60),
        takes in any::<bool>(),
    ) {
        let mut bundle = Bundle::new();
        let ours = bundle.open(80).expect("the first");
        let _ = bundle.segment_for_slot(1, &mut [0; WHOLE_CELL]);
        let mut row = Vec::new();
        for (ours, number, kind, word, octets) in frames {
            let stream = StreamId { ours, number };
            let frame = match kind {
                0 => Frame::Open(word as u16),
                1 => Frame::Taken,
                2 => Frame::End,
                3 => Frame::Reset(Why::Gone),
                4 => Frame::Credit(word % 70_000),
                _ => Frame::Data(&octets),
            };
            serialise_frame(&mut row, stream, &frame);
        }
        let mut offset = 0;
        for piece in row.chunks(90) {
            if bundle.take_segment(1, &segment_of(offset, piece)).is_err() {
                return Ok(());
            }
            offset += piece.len() as u32;
            while let Some(event) = bundle.poll() {
                match event {
                    // The reset may have come right behind it.
                    StreamEvent::Asked { stream, .. } if takes => {
                        let _ = bundle.take(stream);
                    }
                    StreamEvent::Asked { stream, .. } => bundle.reset(stream, Why::Refused),
                    _ => {}
                }
            }
            let _ = bundle.segment_for_slot(2, &mut [0; WHOLE_CELL]);
        }
        prop_assert!(bundle.room(ours) <= STREAM_WINDOW_OCTETS);
    }
}

#[test]
fn the_last_pieces_come_over_a_circuit_of_which_every_second_cell_passes() {
    let wire = Wire { loss_percent: 0, repeat_percent: 0, slots: 13, more_slots: 0, rooms: vec![220, 220, 60, 220, 61], halves: true, splice_slots: u64::MAX };
    let (mut a, mut b, mut draws) = (Side::default(), Side::default(), Draws(0));
    b.open(DISCARD, some_octets(0, 35_768));
    a.open(DISCARD, some_octets(1, 787));
    let slots = run(&mut a, &mut b, &wire, &mut draws, 20_000);
    println!("{slots} slots");
}

fn segment_of(offset: u32, piece: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 7];
    serialise_acknowledgement(&mut out, &Acknowledgement::default());
    out.extend(offset.to_be_bytes());
    out.extend(piece);
    out
}

/// Octets a slot of one stream that has everything to say, for 20 000 slots (400 s), over a way of 0.3 s each way, read at once.
fn octets_a_slot(loss_per_thousand: u32) -> f64 {
    const SLOTS: u64 = 20_000;
    let mut draws = Draws(5);
    let (mut a, mut b) = (Bundle::new(), Bundle::new());
    let stream = a.open(DISCARD).expect("the first");
    let mut ways: [VecDeque<(u64, Vec<u8>)>; 2] = Default::default();
    let (mut read, mut wrote, mut out) = (0usize, 0usize, [0; 4_096]);
    for slot in 1..=SLOTS {
        let octets: Vec<u8> = (wrote..wrote + a.room(stream)).map(|place| (place % 251) as u8).collect();
        wrote += a.write(stream, &octets);
        while let Some(event) = b.poll() {
            if let StreamEvent::Asked { stream, .. } = event {
                assert!(b.take(stream));
            }
        }
        loop {
            let octets = b.read(StreamId { ours: false, ..stream }, &mut out);
            if octets == 0 {
                break;
            }
            assert!(out[..octets].iter().enumerate().all(|(place, octet)| *octet == ((read + place) % 251) as u8));
            read += octets;
        }
        for (from, way) in [&mut a, &mut b].into_iter().zip(&mut ways) {
            let mut cell = [0; WHOLE_CELL];
            let octets = from.segment_for_slot(slot, &mut cell);
            if draws.next(1_000) >= loss_per_thousand {
                way.push_back((slot, cell[..octets].to_vec()));
            }
        }
        for (to, way) in [&mut b, &mut a].into_iter().zip(&mut ways) {
            while way.front().is_some_and(|(said, _)| *said + 15 <= slot) {
                let (counter, segment) = way.pop_front().expect("looked at");
                to.take_segment(counter, &segment).expect("honest");
            }
        }
    }
    read as f64 / SLOTS as f64
}

#[test]
fn one_stream_has_most_of_what_a_circuit_has_room_for() {
    let without_loss = octets_a_slot(0) / 220.0;
    let with_loss = octets_a_slot(10) / 220.0;
    assert!(without_loss >= 0.85, "{without_loss:.3} of 220 octets a slot without loss");
    assert!(with_loss >= 0.60, "{with_loss:.3} of 220 octets a slot at 1 % loss");
    println!("{without_loss:.3} of 220 octets a slot without loss, {with_loss:.3} at 1 %");
}

/// Let two bundles speak with each other for some slots, over a way without delay.
fn talk(a: &mut Bundle, b: &mut Bundle, from: u64, slots: u64) {
    for counter in from..from + slots {
        let mut cell = [0; WHOLE_CELL];
        let octets = a.segment_for_slot(counter, &mut cell);
        b.take_segment(counter, &cell[..octets]).expect("honest");
        let octets = b.segment_for_slot(counter, &mut cell);
        a.take_segment(counter, &cell[..octets]).expect("honest");
    }
}

fn events(bundle: &mut Bundle) -> Vec<StreamEvent> {
    std::iter::from_fn(|| bundle.poll()).collect()
}

#[test]
fn a_stream_is_refused_and_forgotten() {
    let (mut a, mut b) = (Bundle::new(), Bundle::new());
    let ours = a.open(22).expect("the first");
    assert_eq!(a.write(ours, b"SSH-2.0"), 7);
    talk(&mut a, &mut b, 1, 2);
    let theirs = StreamId { ours: false, ..ours };
    assert_eq!(events(&mut b), [StreamEvent::Asked { stream: theirs, port: 22, way: StreamWay::Row }, StreamEvent::Readable(theirs)]);
    assert_eq!(b.write(theirs, b"too early"), 0, "nobody speaks on a stream that it has not taken");
    b.reset(theirs, Why::Refused);
    talk(&mut a, &mut b, 3, 2);
    assert_eq!(events(&mut a), [StreamEvent::Reset { stream: ours, why: Why::Refused }]);
    assert_eq!((a.streams(), b.streams(), a.write(ours, b"x"), a.read(ours, &mut [0; 9])), (0, 0, 0, 0));
    assert!(!a.has_something_to_say() && !b.has_something_to_say());
}

#[test]
fn a_reader_who_does_not_read_stops_the_writer_and_nobody_else() {
    let (mut a, mut b) = (Bundle::new(), Bundle::new());
    let (slow, quick) = (a.open(1).expect("the first"), a.open(2).expect("the second"));
    let (slow_there, quick_there) = (StreamId { ours: false, ..slow }, StreamId { ours: false, ..quick });
    let mut written = 0;
    for round in 0..2_000 {
        written += a.write(slow, &[1; 1_000]);
        if round == 1_000 {
            assert_eq!(a.write(quick, b"quick"), 5);
        }
        talk(&mut a, &mut b, 1 + round, 1);
        for event in events(&mut b) {
            if let StreamEvent::Asked { stream, .. } = event {
                assert!(b.take(stream));
            }
        }
    }
    assert_eq!(written, 2 * STREAM_WINDOW_OCTETS, "what the reader may have, and what waits here");
    let mut out = [0; STREAM_WINDOW_OCTETS + 1];
    assert!(!a.has_something_to_say(), "what waits for a reader is not under way");
    assert_eq!((b.read(quick_there, &mut out), &out[..5]), (5, &b"quick"[..]));
    assert_eq!(b.read(slow_there, &mut out), STREAM_WINDOW_OCTETS);
    assert!(events(&mut a).contains(&StreamEvent::Writable(slow)), "while the reader's window was filled");
    talk(&mut a, &mut b, 2_001, 400);
    assert!(events(&mut a).contains(&StreamEvent::Writable(slow)));
    assert_eq!(b.read(slow_there, &mut out), STREAM_WINDOW_OCTETS);
}

#[test]
fn a_side_opens_64_streams_and_is_told_where_it_wants_more() {
    let (mut a, mut b) = (Bundle::new(), Bundle::new());
    let streams: Vec<StreamId> = (0..MAX_STREAMS).map(|_| a.open(80).expect("64")).collect();
    assert!(a.open(80).is_err());
    assert!(b.open(80).is_ok(), "the other side has its own");
    talk(&mut a, &mut b, 1, 8);
    assert_eq!((a.streams(), b.streams()), (65, 65));
    a.reset(streams[3], Why::Gone);
    let again = a.open(80).expect("one is free");
    assert!(!streams.contains(&again), "a number is not used again while the other side may still speak of it");
    talk(&mut a, &mut b, 9, 2);
    assert_eq!((a.streams(), b.streams()), (65, 65));
}

/// A box that does what it likes: frames in order, with whatever in them.
struct Liar {
    bundle: Bundle,
    offset: u32,
}

impl Liar {
    fn new() -> Self {
        let mut bundle = Bundle::new();
        let _ = bundle.open(80);
        let _ = bundle.segment_for_slot(1, &mut [0; WHOLE_CELL]);
        Self { bundle, offset: 0 }
    }

    /// ours: as the bundle sees it that hears this.
    fn says(&mut self, ours: bool, number: u16, frame: &Frame<'_>) -> Result<(), Broken> {
        let mut row = Vec::new();
        serialise_frame(&mut row, StreamId { ours: !ours, number }, frame);
        let segment = segment_of(self.offset, &row);
        self.offset += row.len() as u32;
        self.bundle.take_segment(1, &segment)
    }
}

#[test]
fn a_peer_who_ignores_the_rules_is_broken() {
    type Said<'a> = (bool, u16, Frame<'a>);
    let lies: [(&str, &[Said<'_>]); 8] = [
        ("data on a stream that it has not taken", &[(true, 0, Frame::Data(b"x"))]),
        ("a stream taken twice", &[(true, 0, Frame::Taken), (true, 0, Frame::Taken)]),
        ("a stream opened twice", &[(false, 0, Frame::Open(1)), (false, 0, Frame::Open(1))]),
        ("data after the end", &[(false, 0, Frame::Open(1)), (false, 0, Frame::End), (false, 0, Frame::Data(b"x"))]),
        ("two ends", &[(false, 0, Frame::Open(1)), (false, 0, Frame::End), (false, 0, Frame::End)]),
        ("less credit than before", &[(true, 0, Frame::Taken), (true, 0, Frame::Credit(STREAM_WINDOW_OCTETS as u32 - 1))]),
        ("more credit than a window", &[(true, 0, Frame::Taken), (true, 0, Frame::Credit(STREAM_WINDOW_OCTETS as u32 + 1))]),
        ("a stream of ours that it opens", &[(true, 1, Frame::Open(1))]),
    ];
    for (what, frames) in lies {
        let mut liar = Liar::new();
        let (last, before) = frames.split_last().expect("one at least");
        for (ours, number, frame) in before {
            liar.says(*ours, *number, frame).expect(what);
        }
        assert_eq!(liar.says(last.0, last.1, &last.2), Err(Broken), "{what}");
        assert_eq!((liar.bundle.poll(), liar.bundle.poll(), liar.bundle.streams()), (Some(StreamEvent::Broken), None, 0));
        assert_eq!((liar.bundle.segment_for_slot(2, &mut [0; WHOLE_CELL]), liar.bundle.open(1).is_err()), (0, true));
        assert_eq!(liar.says(false, 9, &Frame::Open(1)), Err(Broken), "nothing is taken any more");
    }
}

#[test]
fn nobody_says_more_than_it_was_granted() {
    let mut liar = Liar::new();
    liar.says(false, 0, &Frame::Open(1)).expect("one is free");
    for _ in 0..STREAM_WINDOW_OCTETS / 128 {
        liar.says(false, 0, &Frame::Data(&[7; 128])).expect("within the window");
    }
    assert_eq!(liar.says(false, 0, &Frame::Data(b"x")), Err(Broken));
}

#[test]
fn who_opens_without_end_is_told_busy_256_times() {
    let mut liar = Liar::new();
    for number in 0..(MAX_STREAMS + 256) as u16 {
        liar.says(false, number, &Frame::Open(1)).expect("answered");
    }
    assert_eq!(liar.bundle.streams(), MAX_STREAMS + 1);
    assert_eq!(liar.says(false, 500, &Frame::Open(1)), Err(Broken));
}

#[test]
fn a_piece_beyond_the_window_is_refused_and_one_inside_waits() {
    let mut bundle = Bundle::new();
    let window = WINDOW_OCTETS as u32;
    assert_eq!(bundle.take_segment(1, &segment_of(window - 1, b"xy")), Err(Broken));
    let mut bundle = Bundle::new();
    // Every second octet: at most 128 ranges are kept, whatever comes.
    for place in 0..400 {
        bundle.take_segment(1, &segment_of(window - 2 - 2 * place, b"x")).expect("within the window");
    }
    let mut cell = [0; WHOLE_CELL];
    assert_eq!(bundle.segment_for_slot(1, &mut cell), 7 + 8 * 4);
    assert_eq!(cell[6], 0x88, "eight ranges, and there are more");
}

#[test]
fn what_was_not_said_is_not_acknowledged() {
    for told in [
        Acknowledgement { next: 1, ..Acknowledgement::default() },
        Acknowledgement { ranges: vec![(1, 1)], ..Acknowledgement::default() },
        Acknowledgement { next: 5, ranges: vec![(1, 1)], ..Acknowledgement::default() },
    ] {
        let mut bundle = Bundle::new();
        let mut segment = vec![0; 15];
        let octets = serialise_acknowledgement(&mut segment, &told);
        assert_eq!(bundle.take_segment(1, &segment[..octets]), Err(Broken));
    }
}
