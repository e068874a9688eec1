//! Fast streams over a wire that loses, delays and reorders, in virtual time; peers that say nothing, or what they may not (PROTOCOL.md §13.4, §13.5).

use std::collections::BTreeMap;

use proptest::prelude::*;
use voicebox_core::cell::{Body, BODY_OCTETS};
use voicebox_core::fast::packet::{begin_packet, parse_packet, Acknowledgement, Frame, Frames, Writer, FRAMES_OCTETS};
use voicebox_core::fast::{Taken, FAST_WINDOW_OCTETS, MAX_FAST_STREAMS};
use voicebox_core::random::draw_u32;
use voicebox_core::streams::{Broken, Bundle, StreamEvent, StreamId, Way, Why};
use voicebox_core::SeededRandom;

const MS: u64 = 1_000;

/// What the way between two boxes does to packets.
#[derive(Clone, Copy)]
struct Path {
    delay_us: u64,
    loss_per_thousand: u32,
    /// So many of a thousand come 3 ms later than the others.
    late_per_thousand: u32,
    /// Packets that the narrowest place lets through in a millisecond, and that wait there at most.
    per_ms: u64,
    queue: u64,
}

const CLEAN: Path = Path { delay_us: 10 * MS, loss_per_thousand: 0, late_per_thousand: 0, per_ms: 40, queue: 400 };

struct Pair {
    sides: [Bundle; 2],
    path: Path,
    draws: SeededRandom,
    now: u64,
    under_way: BTreeMap<(u64, u64), (usize, Body)>,
    free_at: [u64; 2],
    serial: u64,
    sent: u64,
    counter: u64,
    asked: Vec<StreamId>,
    broken: bool,
    dead: bool,
}

impl Pair {
    fn new(path: Path, seed: u8) -> Self {
        Self {
            sides: [Bundle::new(), Bundle::new()],
            path,
            draws: SeededRandom::new([seed; 32]),
            now: 1_000_000,
            under_way: BTreeMap::new(),
            free_at: [0; 2],
            serial: 0,
            sent: 0,
            counter: 0,
            asked: Vec::new(),
            broken: false,
            dead: false,
        }
    }

    /// Open a stream from the first side, which the second one takes.
    fn stream(&mut self) -> StreamId {
        let stream = self.sides[0].open_fast(80).expect("a place");
        (0..4).for_each(|_| self.slot());
        stream
    }

    /// Let both sides say a slot's segment, which is never lost here.
    fn slot(&mut self) {
        self.counter += 1;
        for from in [0, 1] {
            let mut out = [0; 220];
            let length = self.sides[from].segment_for_slot(self.counter, &mut out);
            self.sides[1 - from].take_segment(self.counter, &out[..length]).expect("a segment of a bundle");
        }
        while let Some(event) = self.sides[1].poll() {
            if let StreamEvent::Asked { stream, way: Way::Fast, .. } = event {
                assert!(self.sides[1].take(stream));
                self.asked.push(stream);
            }
        }
    }

    fn run_until(&mut self, end: u64) {
        while self.now < end {
            for from in [0, 1] {
                let mut body = [0; BODY_OCTETS];
                while !self.dead && self.sides[from].fast_body(self.now, &mut body) {
                    self.send(from, body);
                }
            }
            let came = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let timers = self.sides.iter().filter_map(Bundle::next_fast_us).map(|at| at.max(self.now + 50)).filter(|_| !self.dead);
            self.now = timers.chain(came).min().unwrap_or(end).min(end);
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to, body) = entry.remove();
                self.broken |= self.sides[to].take_fast(self.now, &body).is_err();
            }
        }
    }

    fn send(&mut self, from: usize, body: Body) {
        self.sent += 1;
        let leaves = self.free_at[from].max(self.now);
        let mut draw = |per_thousand| draw_u32(&mut self.draws) % 1_000 < per_thousand;
        let (lost, late) = (draw(self.path.loss_per_thousand), draw(self.path.late_per_thousand));
        if lost || (leaves - self.now) * self.path.per_ms / MS > self.path.queue {
            return;
        }
        self.free_at[from] = leaves + MS / self.path.per_ms;
        self.serial += 1;
        self.under_way.insert((leaves + self.path.delay_us + if late { 3 * MS } else { 0 }, self.serial), (1 - from, body));
    }

    /// Send octets on a stream and read them at the other side for so long; how many came, each checked.
    fn transfer(&mut self, stream: StreamId, octets: usize, us: u64) -> usize {
        let (end, mut written, mut read) = (self.now + us, 0, 0);
        let mut out = vec![0; 1 << 16];
        while self.now < end && read < octets {
            let room = self.sides[0].room(stream).min(octets - written);
            let octets: Vec<u8> = (written..written + room).map(|place| (place % 251) as u8).collect();
            written += self.sides[0].write(stream, &octets);
            self.run_until(self.now + 2 * MS);
            loop {
                let length = self.sides[1].read(StreamId { ours: false, ..stream }, &mut out);
                assert!(out[..length].iter().enumerate().all(|(place, octet)| *octet == ((read + place) % 251) as u8));
                read += length;
                if length == 0 {
                    break;
                }
            }
        }
        read
    }
}

#[test]
fn octets_come_whole_and_in_order_whatever_the_way_does() {
    for (loss_per_thousand, late_per_thousand, wanted_s) in [(0, 0, 1.2), (10, 0, 12.0), (50, 0, 40.0), (0, 20, 12.0), (10, 20, 40.0)] {
        let mut pair = Pair::new(Path { loss_per_thousand, late_per_thousand, ..CLEAN }, 3);
        let stream = pair.stream();
        let (began, octets) = (pair.now, 3_000_000);
        assert_eq!(pair.transfer(stream, octets, 120_000 * MS), octets);
        let took_s = (pair.now - began) as f64 / 1e6;
        println!(
            "{loss_per_thousand} lost, {late_per_thousand} late of 1 000: {took_s:.2} s, {:.2} packets for each that was needed",
            pair.sent as f64 / (octets as f64 / 212.0)
        );
        assert!(took_s < wanted_s && !pair.broken);
    }
}

#[test]
fn a_narrow_place_is_filled_and_not_flooded() {
    // 8.5 MB/s of octets, 20 ms there and back, a queue of half that.
    let mut pair = Pair::new(CLEAN, 4);
    let stream = pair.stream();
    let came = pair.transfer(stream, 1 << 30, 10_000 * MS);
    let (share, said_again) = (came as f64 / (10_000.0 * 40.0 * 212.0), pair.sent as f64 / (came as f64 / 212.0));
    println!("{:.0} % of the narrow place used, {said_again:.3} packets said for each that came", share * 100.0);
    assert!(share > 0.8, "{share}");
    assert!(said_again < 1.2, "{said_again}"); // with acknowledgements, one for 16
}

#[test]
fn a_dead_peer_is_probed_ever_more_seldom_and_all_goes_on_over_another_way() {
    let mut pair = Pair::new(CLEAN, 5);
    let stream = pair.stream();
    assert!(pair.transfer(stream, 1 << 30, 500 * MS) > 0);
    pair.path.loss_per_thousand = 1_000;
    pair.run_until(pair.now + 2_000 * MS);
    let before = pair.sent;
    pair.run_until(pair.now + 60_000 * MS);
    assert!(pair.sent - before < 30, "{} in a minute", pair.sent - before);
    pair.path.loss_per_thousand = 0;
    pair.sides.iter_mut().for_each(Bundle::begin_anew);
    let mut out = vec![0; 1 << 22];
    let before = pair.sent;
    pair.run_until(pair.now + 500 * MS);
    assert!(pair.sides[1].read(StreamId { ours: false, ..stream }, &mut out) > 100_000);
    assert!(pair.sent > before && !pair.broken);
}

#[test]
fn a_stream_that_ended_both_ways_is_gone_at_both_sides() {
    let mut pair = Pair::new(Path { loss_per_thousand: 50, ..CLEAN }, 6);
    let stream = pair.stream();
    let theirs = StreamId { ours: false, ..stream };
    assert_eq!(pair.transfer(stream, 10_000, 10_000 * MS), 10_000);
    pair.sides[0].end(stream);
    pair.sides[1].end(theirs);
    pair.run_until(pair.now + 5_000 * MS);
    for side in &mut pair.sides {
        assert!(side.is_read(stream) && side.is_read(theirs));
        side.read(stream, &mut [0; 8]);
        side.read(theirs, &mut [0; 8]);
        assert_eq!((side.streams(), side.wants_fast(), side.has_something_to_say()), (0, false, false));
    }
}

#[test]
fn what_is_lost_at_the_end_comes_where_the_reader_had_ended_before() {
    for seed in 0..20 {
        let mut pair = Pair::new(Path { loss_per_thousand: 50, ..CLEAN }, seed);
        let stream = pair.stream();
        let theirs = StreamId { ours: false, ..stream };
        pair.sides[0].end(stream);
        pair.run_until(pair.now + 1_000 * MS);
        pair.sides[1].read(theirs, &mut [0; 8]);
        let (octets, mut out) = (vec![7; 20_000], vec![0; 1 << 16]);
        assert_eq!(pair.sides[1].write(theirs, &octets), octets.len());
        pair.sides[1].end(theirs);
        pair.run_until(pair.now + 5_000 * MS);
        assert_eq!(pair.sides[0].read(stream, &mut out), octets.len(), "seed {seed}");
        assert!(pair.sides[0].is_read(stream) && !pair.broken);
    }
}

#[test]
fn a_reader_who_does_not_read_stops_its_writer_at_the_window_and_no_other_stream() {
    let mut pair = Pair::new(CLEAN, 7);
    let (stuck, other) = (pair.stream(), pair.stream());
    let octets = vec![7; 3 * FAST_WINDOW_OCTETS];
    let mut written = 0;
    for _ in 0..1_000 {
        written += pair.sides[0].write(stuck, &octets[..pair.sides[0].room(stuck)]);
        pair.run_until(pair.now + 2 * MS);
    }
    assert_eq!(written, 2 * FAST_WINDOW_OCTETS, "a window there, and one that waits here");
    assert_eq!(pair.transfer(other, 500_000, 5_000 * MS), 500_000);
    let mut out = vec![0; 2 * FAST_WINDOW_OCTETS];
    assert_eq!(pair.sides[1].read(StreamId { ours: false, ..stuck }, &mut out), FAST_WINDOW_OCTETS);
    pair.run_until(pair.now + 1_000 * MS);
    assert_eq!(pair.sides[1].read(StreamId { ours: false, ..stuck }, &mut out), FAST_WINDOW_OCTETS);
}

#[test]
fn a_side_opens_sixteen_and_one_beyond_is_reset() {
    let mut pair = Pair::new(CLEAN, 8);
    for _ in 0..MAX_FAST_STREAMS {
        pair.stream();
    }
    assert!(pair.sides[0].open_fast(80).is_err());
    assert!(pair.sides[0].open(80).is_ok(), "those in slots are others");
    pair.sides[0].reset(StreamId { ours: true, number: 0 }, Why::Gone);
    pair.slot();
    assert!(pair.sides[0].open_fast(80).is_ok());
}

/// One packet of a peer's, whatever it says.
fn packet(number: u64, write: impl FnOnce(&mut Writer<'_>)) -> Body {
    let mut body = [0; BODY_OCTETS];
    begin_packet(&mut body, number);
    write(&mut Writer::new(&mut body));
    body
}

fn told(largest: u64, first: u32, further: Vec<(u32, u32)>) -> Acknowledgement {
    Acknowledgement { largest, delay_10_us: 0, first, further }
}

#[test]
fn whoever_says_what_may_not_be_said_breaks_the_bundle() {
    let window = FAST_WINDOW_OCTETS as u64;
    let data = |offset: u64, ends: bool| move |writer: &mut Writer<'_>| writer.data(StreamId { ours: true, number: 0 }, offset, 10, ends, |out| out.fill(1));
    let one = |body: Body| vec![body];
    let cases: Vec<(&str, Vec<Body>)> = vec![
        ("a number 0", one(packet(0, |writer| writer.ping()))),
        ("more than was granted", one(packet(1, data(window - 9, false)))),
        ("an offset without end", one(packet(1, data(u64::MAX - 3, false)))),
        ("octets behind the end", vec![packet(1, data(0, true)), packet(2, data(10, false))]),
        ("another end", vec![packet(1, data(0, true)), packet(2, data(20, true))]),
        ("an end before what came", vec![packet(1, data(20, false)), packet(2, data(0, true))]),
        ("what was not said", one(packet(1, |writer| assert!(writer.acknowledge(&told(1_000, 1, vec![])))))),
        ("numbers below 1", one(packet(1, |writer| assert!(writer.acknowledge(&told(1, 2, vec![])))))),
        ("ranges below 1", one(packet(1, |writer| assert!(writer.acknowledge(&told(1, 1, vec![(1, 1)])))))),
        ("a limit beyond a window", one(packet(1, |writer| assert!(writer.credit(StreamId { ours: true, number: 0 }, 2 * window + 1))))),
    ];
    for (what, packets) in cases {
        let mut pair = Pair::new(CLEAN, 9);
        pair.stream();
        let mut taken = Ok(Taken::New);
        // To the second side the first's stream is the other's, whose frames have no bit set: those here are about the stream as its owner says it.
        for body in packets {
            taken = taken.and_then(|_| pair.sides[1].take_fast(pair.now, &body));
        }
        assert_eq!(taken, Err(Broken), "{what}");
        assert_eq!((pair.sides[1].poll(), pair.sides[1].streams()), (Some(StreamEvent::Broken), 0));
        assert!(!pair.sides[1].fast_body(pair.now, &mut [0; BODY_OCTETS]));
    }
}

#[test]
fn what_would_need_too_many_ranges_is_not_acknowledged_and_a_packet_counts_once() {
    let mut pair = Pair::new(CLEAN, 10);
    pair.stream();
    let piece = |number: u64, offset: u64| packet(number, |writer| writer.data(StreamId { ours: true, number: 0 }, offset, 1, false, |out| out.fill(1)));
    for number in 1..=1_024 {
        assert_eq!(pair.sides[1].take_fast(pair.now, &piece(number, 2 * number)), Ok(Taken::New));
        assert_eq!(pair.sides[1].take_fast(pair.now, &piece(number, 2 * number)), Ok(Taken::Dropped));
    }
    assert_eq!(pair.sides[1].take_fast(pair.now, &piece(1_025, 100_000)), Ok(Taken::Dropped));
    assert_eq!(pair.sides[1].take_fast(pair.now, &piece(1_026, 2_049)), Ok(Taken::New), "it closes a gap");
}

proptest! {
    #[test]
    fn any_packet_is_taken_dropped_or_breaks_the_bundle_and_nothing_else(octets in proptest::collection::vec(any::<u8>(), FRAMES_OCTETS), kind in 0u8..8, number in 0u64..4) {
        let mut pair = Pair::new(CLEAN, 11);
        pair.stream();
        let mut body = [0; BODY_OCTETS];
        begin_packet(&mut body, number);
        body[24..].copy_from_slice(&octets);
        body[24] = kind;
        let taken = pair.sides[1].take_fast(pair.now, &body);
        prop_assert_eq!(taken.is_err(), pair.sides[1].streams() == 0);
    }

    #[test]
    fn frames_are_read_as_they_were_written(number in any::<u16>(), ours in any::<bool>(), offset in any::<u64>(), length in 0usize..=60, ends in any::<bool>(), ranges in proptest::collection::vec((1u32.., 1u32..), 0..=12)) {
        let (stream, ends) = (StreamId { ours, number }, ends || length == 0);
        let octets: Vec<u8> = (0..length).map(|place| place as u8).collect();
        let acknowledgement = Acknowledgement { largest: offset, delay_10_us: number, first: 1, further: ranges };
        let body = packet(offset, |writer| {
            assert!(writer.acknowledge(&acknowledgement) && writer.credit(stream, offset));
            writer.data(stream, offset, length, ends, |out| out.copy_from_slice(&octets));
            writer.ping();
        });
        let (read, frames) = parse_packet(&body);
        prop_assert_eq!(read, offset);
        let theirs = stream;
        let mut frames = Frames(frames);
        let mut next = || frames.next_frame();
        prop_assert_eq!(next(), Ok(Some(Frame::Acknowledgement(acknowledgement.clone()))));
        let mirrored = StreamId { ours: !theirs.ours, ..theirs };
        prop_assert_eq!(next(), Ok(Some(Frame::Credit { stream: mirrored, limit: offset })));
        prop_assert_eq!(next(), Ok(Some(Frame::Data { stream: mirrored, offset, octets: &octets, ends })));
        prop_assert_eq!(next(), Ok(Some(Frame::Ping)));
        prop_assert_eq!(next(), Ok(None));
    }
}
