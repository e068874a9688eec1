//! Resets of streams in each of their states, whatever the wire does, and a thousand streams over one bundle (PROTOCOL.md §11.3, §11.4).

mod draws;

use std::collections::BTreeMap;

use draws::Draws;
use voicebox_core::streams::frame::{parse_frame, serialise_frame, Frame};
use voicebox_core::streams::segment::{parse_segment, serialise_acknowledgement, Acknowledgement};
use voicebox_core::streams::{Broken, Bundle, StreamEvent, StreamId, Why, MAX_STREAMS, STREAM_WINDOW_OCTETS};

const WHOLE_CELL: usize = 220;
const PORT: u16 = 80;
/// Whoever opened the stream, and the other side.
const OPENER: usize = 0;
const OTHER: usize = 1;

/// Two bundles and a way between them on which cells take a slot, or, where there is a seed, are lost, overtake each other, and end with their splice.
struct Pair {
    bundles: [Bundle; 2],
    told: [Vec<StreamEvent>; 2],
    ways: [Vec<(u64, u64, Vec<u8>)>; 2],
    slot: u64,
    counter: u64,
    draws: Option<Draws>,
}

impl Pair {
    /// seed: 0 for a way that loses nothing.
    fn new(seed: u64) -> Self {
        let draws = (seed > 0).then_some(Draws(seed));
        Self { bundles: [Bundle::new(), Bundle::new()], told: [Vec::new(), Vec::new()], ways: [Vec::new(), Vec::new()], slot: 0, counter: 0, draws }
    }

    fn draw(&mut self, below: u32) -> u32 {
        self.draws.as_mut().map_or(below - 1, |draws| draws.next(below))
    }

    fn slots(&mut self, slots: u64) {
        for _ in 0..slots {
            (self.slot, self.counter) = (self.slot + 1, self.counter + 1);
            if self.counter > 40 && self.draw(100) == 0 {
                self.counter = 1;
                self.ways.iter_mut().for_each(Vec::clear);
                self.bundles.iter_mut().for_each(Bundle::begin_anew);
            }
            for from in [OPENER, OTHER] {
                let mut cell = [0; WHOLE_CELL];
                let octets = self.bundles[from].segment_for_slot(self.counter, &mut cell);
                let late = if self.draws.is_some() { u64::from(self.draw(6)) } else { 0 };
                if self.draw(100) >= 15 {
                    self.ways[from].push((self.slot + 1 + late, self.counter, cell[..octets].to_vec()));
                }
            }
            for (from, to) in [(OPENER, OTHER), (OTHER, OPENER)] {
                let (due, later) = std::mem::take(&mut self.ways[from]).into_iter().partition(|(at, ..)| *at <= self.slot);
                self.ways[from] = later;
                let due: Vec<(u64, u64, Vec<u8>)> = due;
                due.iter().for_each(|(_, counter, segment)| self.bundles[to].take_segment(*counter, segment).expect("an honest peer"));
            }
            self.listen();
        }
    }

    fn listen(&mut self) {
        for (bundle, told) in self.bundles.iter_mut().zip(&mut self.told) {
            told.extend(std::iter::from_fn(|| bundle.poll()));
        }
    }

    /// Let slots pass until nothing is under way.
    fn settle(&mut self) {
        for _ in 0..5_000 {
            if !self.bundles.iter().any(Bundle::has_something_to_say) {
                return self.slots(10);
            }
            self.slots(1);
        }
        panic!("something is under way for ever");
    }

    /// Return the names of the first stream at both sides.
    fn open(&mut self) -> [StreamId; 2] {
        let ours = self.bundles[OPENER].open(PORT).expect("one is free");
        [ours, StreamId { ours: false, ..ours }]
    }

    fn opened(&mut self) -> [StreamId; 2] {
        let ids = self.open();
        self.settle();
        ids
    }

    fn taken(&mut self) -> [StreamId; 2] {
        let ids = self.opened();
        assert!(self.bundles[OTHER].take(ids[OTHER]));
        self.settle();
        ids
    }

    /// Let both sides write, or as many of them as may.
    fn write(&mut self, ids: [StreamId; 2], octets: usize) {
        self.bundles.iter_mut().zip(ids).for_each(|(bundle, id)| assert_eq!(bundle.write(id, &vec![7; octets]), octets));
    }

    fn read(&mut self, side: usize, id: StreamId) -> Vec<u8> {
        let mut out = vec![0; STREAM_WINDOW_OCTETS];
        let octets = self.bundles[side].read(id, &mut out);
        out.truncate(octets);
        out
    }

    fn end(&mut self, sides: &[usize], ids: [StreamId; 2]) {
        sides.iter().for_each(|side| self.bundles[*side].end(ids[*side]));
    }
}

/// A state: how it comes about, which sides know the stream in it, and whether the other side is about to.
struct State {
    name: &'static str,
    reach: fn(&mut Pair) -> [StreamId; 2],
    known: [bool; 2],
    comes: bool,
}

const fn state(name: &'static str, reach: fn(&mut Pair) -> [StreamId; 2]) -> State {
    State { name, reach, known: [true, true], comes: false }
}

fn states() -> Vec<State> {
    let unknown = |name, reach, known| State { known, ..state(name, reach) };
    vec![
        unknown("opening, and nothing of it was said", Pair::open, [true, false]),
        State {
            comes: true,
            known: [true, false],
            ..state("opening, and that is under way", |pair| {
                let ids = pair.open();
                assert_eq!(pair.bundles[OPENER].write(ids[OPENER], &[7; 900]), 900);
                let mut lost = [0; WHOLE_CELL];
                pair.counter += 1;
                assert!(pair.bundles[OPENER].segment_for_slot(pair.counter, &mut lost) > 7);
                ids
            })
        },
        state("asked for", Pair::opened),
        state("taken, and nothing of that was said", |pair| {
            let ids = pair.opened();
            assert!(pair.bundles[OTHER].take(ids[OTHER]));
            ids
        }),
        state("taken", Pair::taken),
        state("data under way", |pair| {
            let ids = pair.taken();
            pair.write(ids, 5_000);
            pair.slots(3);
            ids
        }),
        state("data there and not read", |pair| {
            let ids = pair.taken();
            pair.write(ids, 5_000);
            pair.settle();
            ids
        }),
        state("credit exhausted, and more waits", |pair| {
            let ids = pair.taken();
            for _ in 0..2 {
                pair.write(ids, STREAM_WINDOW_OCTETS);
                pair.settle();
            }
            assert_eq!(pair.bundles[OPENER].write(ids[OPENER], b"x"), 0);
            ids
        }),
        state("credit under way", |pair| {
            let ids = pair.taken();
            pair.write(ids, STREAM_WINDOW_OCTETS);
            pair.settle();
            for side in [OPENER, OTHER] {
                assert_eq!(pair.read(side, ids[side]).len(), STREAM_WINDOW_OCTETS);
            }
            pair.slots(1);
            ids
        }),
        state("the opener's end said", |pair| {
            let ids = pair.taken();
            pair.end(&[OPENER], ids);
            pair.settle();
            ids
        }),
        state("the other's end said", |pair| {
            let ids = pair.taken();
            pair.end(&[OTHER], ids);
            pair.settle();
            ids
        }),
        state("both ends wait behind data", |pair| {
            let ids = pair.taken();
            pair.write(ids, 5_000);
            pair.end(&[OPENER, OTHER], ids);
            pair.slots(2);
            ids
        }),
        state("both ends said, and nothing read", |pair| {
            let ids = pair.taken();
            pair.write(ids, 5_000);
            pair.end(&[OPENER, OTHER], ids);
            pair.settle();
            ids
        }),
        unknown(
            "over at the other side, and not read at the opener's",
            |pair| {
                let ids = pair.taken();
                pair.write(ids, 5_000);
                pair.end(&[OPENER, OTHER], ids);
                pair.settle();
                assert_eq!(pair.read(OTHER, ids[OTHER]).len(), 5_000);
                ids
            },
            [true, false],
        ),
        unknown(
            "refused",
            |pair| {
                let ids = pair.opened();
                pair.bundles[OTHER].reset(ids[OTHER], Why::Refused);
                pair.settle();
                ids
            },
            [false, false],
        ),
        unknown(
            "over",
            |pair| {
                let ids = pair.taken();
                pair.end(&[OPENER, OTHER], ids);
                pair.settle();
                ids
            },
            [false, false],
        ),
        state("an association with datagrams both ways", |pair| {
            let ours = pair.bundles[OPENER].associate(PORT).expect("one is free");
            let ids = [ours, StreamId { ours: false, ..ours }];
            pair.settle();
            assert!(pair.bundles[OTHER].take(ids[OTHER]));
            pair.settle();
            for _ in 0..10 {
                pair.bundles.iter_mut().zip(ids).for_each(|(bundle, id)| assert!(bundle.send(0, id, &[7; 700])));
            }
            pair.slots(6);
            ids
        }),
    ]
}

/// Return which stream an event is of, and whether it is its reset.
fn of(event: StreamEvent) -> (StreamId, bool) {
    match event {
        StreamEvent::Reset { stream, why } => {
            assert_eq!(why, Why::Gone);
            (stream, true)
        }
        StreamEvent::Asked { stream, .. }
        | StreamEvent::Taken(stream)
        | StreamEvent::Readable(stream)
        | StreamEvent::Writable(stream)
        | StreamEvent::Ended(stream) => (stream, false),
        StreamEvent::Broken => panic!("nobody breaks the protocol"),
    }
}

/// Open and give up until the first stream's number is next, use it again, and see that nothing of the former is left.
fn reuse(pair: &mut Pair, first: [StreamId; 2], what: &str) {
    let again = loop {
        let ids = pair.open();
        if ids == first {
            break ids;
        }
        pair.bundles[OPENER].reset(ids[OPENER], Why::Gone);
    };
    pair.settle();
    assert!(pair.bundles[OTHER].take(again[OTHER]), "{what}");
    pair.bundles.iter_mut().zip(again).for_each(|(bundle, id)| assert_eq!(bundle.write(id, b"again"), 5, "{what}"));
    pair.end(&[OPENER, OTHER], again);
    pair.settle();
    for side in [OPENER, OTHER] {
        assert_eq!(pair.read(side, again[side]), b"again", "{what}");
    }
    assert_eq!(pair.bundles.each_ref().map(Bundle::streams), [0, 0], "{what}");
}

#[test]
fn a_reset_in_any_state_ends_a_stream_at_both_sides_once_and_nothing_of_it_comes_afterwards() {
    for seed in 0..24 {
        for State { name, reach, known, comes } in states() {
            for who in [&[OPENER][..], &[OTHER], &[OPENER, OTHER]] {
                let what = format!("{name}, reset by {who:?}, seed {seed}");
                let mut pair = Pair::new(seed);
                let ids = reach(&mut pair);
                pair.listen();
                let counts = [OPENER, OTHER].map(|side| usize::from(known[side]));
                assert_eq!(pair.bundles.each_ref().map(Bundle::streams), counts, "{what}");
                if who == [OTHER] && known == [true, false] {
                    continue; // it knows nothing of the stream
                }
                pair.told = [Vec::new(), Vec::new()];
                who.iter().for_each(|side| pair.bundles[*side].reset(ids[*side], Why::Gone));
                pair.settle();

                for side in [OPENER, OTHER] {
                    let told: Vec<bool> = pair.told[side]
                        .iter()
                        .map(|event| of(*event))
                        .inspect(|(id, _)| assert_eq!(*id, ids[side], "{what}"))
                        .map(|(_, is_reset)| is_reset)
                        .collect();
                    let resets_itself = who.contains(&side) && known[side];
                    let hears = !resets_itself && who.contains(&(1 - side)) && known[1 - side] && (known[side] || comes);
                    assert_eq!(told.iter().filter(|is_reset| **is_reset).count(), usize::from(hears), "{what}: {:?}", pair.told[side]);
                    assert_eq!(told.last().copied(), hears.then_some(true), "{what}: nothing behind it: {:?}", pair.told[side]);
                    let bundle = &mut pair.bundles[side];
                    let left = (
                        bundle.streams(),
                        bundle.room(ids[side]),
                        bundle.write(ids[side], b"x"),
                        bundle.read(ids[side], &mut [0; 9]),
                        bundle.is_read(ids[side]),
                    );
                    assert_eq!(left, (0, 0, 0, 0, true), "{what}");
                    assert!(!bundle.take(ids[side]) && bundle.receive(ids[side]).is_none() && !bundle.send(0, ids[side], b"x"), "{what}");
                }
                if seed < 2 {
                    reuse(&mut pair, ids, &what);
                }
            }
        }
    }
}

fn some_octets(index: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|place| (index * 31 + place * 7 + place / 251) as u8).collect()
}

#[test]
fn a_thousand_streams_with_data_and_end_both_ways_are_whole_and_nothing_is_left() {
    const STREAMS: usize = 1_000;
    let question = |index: usize| some_octets(index, index * 37 % 600);
    let answer = |index: usize| some_octets(index + 5, index * 53 % 900);
    let mut pair = Pair::new(7);
    let (mut begun, mut most) = (0, 0);
    let mut came: [BTreeMap<StreamId, Vec<u8>>; 2] = Default::default();
    let mut numbered: BTreeMap<StreamId, usize> = BTreeMap::new();
    for _ in 0..20_000 {
        while begun < STREAMS {
            let Ok(id) = pair.bundles[OPENER].open(PORT) else { break };
            let octets = question(begun);
            assert_eq!(pair.bundles[OPENER].write(id, &octets), octets.len());
            pair.bundles[OPENER].end(id);
            assert!(numbered.insert(id, begun).is_none());
            came[OPENER].insert(id, Vec::new());
            begun += 1;
        }
        pair.slots(1);
        most = most.max(pair.bundles[OTHER].streams());
        for side in [OPENER, OTHER] {
            for event in std::mem::take(&mut pair.told[side]) {
                match event {
                    StreamEvent::Asked { stream, .. } => {
                        assert!(pair.bundles[OTHER].take(stream));
                        let octets = answer(numbered[&StreamId { ours: true, ..stream }]);
                        assert_eq!(pair.bundles[OTHER].write(stream, &octets), octets.len());
                        pair.bundles[OTHER].end(stream);
                        assert!(came[OTHER].insert(stream, Vec::new()).is_none());
                    }
                    StreamEvent::Readable(stream) => {
                        let octets = pair.read(side, stream);
                        came[side].get_mut(&stream).expect("one of those").extend(octets);
                    }
                    StreamEvent::Taken(_) | StreamEvent::Ended(_) | StreamEvent::Writable(_) => {}
                    StreamEvent::Reset { .. } | StreamEvent::Broken => panic!("nobody resets, and nobody breaks the protocol"),
                }
            }
        }
        if begun == STREAMS && pair.bundles.iter().all(|bundle| bundle.streams() == 0) {
            break;
        }
    }
    pair.settle();
    assert_eq!(pair.bundles.each_ref().map(Bundle::streams), [0, 0]);
    assert_eq!((came[OPENER].len(), came[OTHER].len(), most), (STREAMS, STREAMS, MAX_STREAMS));
    for (id, index) in numbered {
        assert_eq!(came[OTHER][&StreamId { ours: false, ..id }], question(index));
        assert_eq!(came[OPENER][&id], answer(index));
    }
}

/// Return opens of a thousand streams, so many to a segment, from one who counts none.
fn opens(to_a_segment: usize) -> Vec<Vec<u8>> {
    const OPEN_OCTETS: usize = 5;
    let mut row = Vec::new();
    (0..1_000).for_each(|number| serialise_frame(&mut row, StreamId { ours: true, number }, &Frame::Open(PORT)));
    let mut head = vec![0; 7];
    serialise_acknowledgement(&mut head, &Acknowledgement::default());
    let octets = to_a_segment * OPEN_OCTETS;
    row.chunks(octets).enumerate().map(|(place, piece)| [&head[..], &((octets * place) as u32).to_be_bytes(), piece].concat()).collect()
}

#[test]
fn of_a_thousand_streams_that_a_peer_opens_at_once_64_are_asked_for_and_each_other_one_is_told_busy() {
    let mut bundle = Bundle::new();
    let mut said: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut asked = 0;
    for (place, segment) in opens(40).into_iter().enumerate() {
        bundle.take_segment(1, &segment).expect("answered");
        asked += std::iter::from_fn(|| bundle.poll()).filter(|event| matches!(event, StreamEvent::Asked { .. })).count();
        let mut cell = [0; WHOLE_CELL];
        let octets = bundle.segment_for_slot(1 + place as u64, &mut cell);
        if let Some((offset, piece)) = parse_segment(&cell[..octets]).expect("valid").piece {
            said.insert(offset, piece.to_vec());
        }
    }
    assert_eq!((asked, bundle.streams()), (MAX_STREAMS, MAX_STREAMS));
    let row: Vec<u8> = said.into_values().flatten().collect();
    let mut rest = &row[..];
    let mut refused = Vec::new();
    while let Some((stream, frame, octets)) = parse_frame(rest).expect("frames") {
        assert_eq!((frame, stream.ours), (Frame::Reset(Why::Busy), true), "{stream:?}"); // as its opener reads it
        refused.push(stream.number);
        rest = &rest[octets..];
    }
    assert_eq!(refused, (MAX_STREAMS as u16..1_000).collect::<Vec<_>>());
}

#[test]
fn who_opens_without_end_and_hears_no_refusal_is_broken_where_256_wait() {
    let mut bundle = Bundle::new();
    let mut refused = 0;
    for segment in opens(1) {
        if bundle.take_segment(1, &segment).is_err() {
            assert_eq!(bundle.poll(), Some(StreamEvent::Broken));
            assert_eq!(refused, 256);
            return assert_eq!(bundle.take_segment(1, &segment), Err(Broken));
        }
        // Here each of them is refused as soon as it comes, so that there are never many streams.
        while let Some(event) = bundle.poll() {
            if let StreamEvent::Asked { stream, .. } = event {
                bundle.reset(stream, Why::Refused);
                refused += 1;
            }
        }
    }
    panic!("{refused} refusals wait to be said");
}
