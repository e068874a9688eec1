//! Fast cells beside the slots of a call for streams (PROTOCOL.md §13): octets come whole, nobody's slots know of it, and nothing passes that was not asked for.

use voicebox_core::cell::Cell;
use voicebox_core::streams::{StreamEvent, StreamId, Way};
use voicebox_core::{BundleId, CircId, Command, Input, LinkId};

use super::world::{say, Wire};
use super::{meet, standing_with, End, World, BOX_A, BOX_B, GUARD_A, GUARD_B, JUNCTION, LOCAL, SECOND_US, SLOT_US};

const BUNDLE: BundleId = BundleId(70);
const EVEN: Wire = Wire { delay_us: 500, jitter_us: 0, loss_per_million: 0, repeats_percent: 0 };
/// 5 ms a link; 1 % of all cells lost on the way there.
const LOSSY: Wire = Wire { delay_us: 5_000, jitter_us: 0, loss_per_million: 2_500, repeats_percent: 0 };
const FAST: u8 = 34;

fn octets(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|place| (place % 251) as u8).collect()
}

/// A fast stream from A to B: opened and taken in the slots, both lanes open.
struct Flow {
    stream: StreamId,
    written: usize,
    read: usize,
}

impl Flow {
    fn begin(world: &mut World, join_id: u8) -> Self {
        for node in [BOX_A, BOX_B] {
            world.command(node, Command::BundleOpen { bundle: BUNDLE });
        }
        let stream = world.core(BOX_A).bundle(BUNDLE).expect("opened").open_fast(80).expect("the first");
        let mut flow = Self { stream, written: 0, read: 0 };
        flow.carry(world, join_id);
        flow.run_for(world, 3 * SECOND_US, 0);
        flow
    }

    fn carry(&self, world: &mut World, join_id: u8) {
        meet(world, End::a(), End::b(), [join_id; 16]);
        for end in [End::a(), End::b()] {
            world.command(end.node, Command::BundleBind { bundle: BUNDLE, link: end.name.0, circuit: end.name.1 });
        }
    }

    /// Work every 5 ms, and write up to `until` octets in all; what came since.
    fn run_for(&mut self, world: &mut World, us: u64, until: usize) -> usize {
        let before = self.read;
        let mut out = vec![0; 1 << 20];
        for _ in 0..us / 5_000 {
            world.run_for(5_000);
            let sender = world.core(BOX_A).bundle(BUNDLE).expect("opened");
            let room = sender.room(self.stream).min(until.saturating_sub(self.written));
            self.written += sender.write(self.stream, &octets(self.written, room));
            let receiver = world.core(BOX_B).bundle(BUNDLE).expect("opened");
            while let Some(event) = receiver.poll() {
                match event {
                    StreamEvent::Asked { stream, port: 80, way: Way::Fast } => assert!(receiver.take(stream)),
                    StreamEvent::Readable(_) | StreamEvent::Ended(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            loop {
                let length = receiver.read(StreamId { ours: false, ..self.stream }, &mut out);
                assert_eq!(out[..length], octets(self.read, length)[..]);
                self.read += length;
                if length == 0 {
                    break;
                }
            }
        }
        self.read - before
    }
}

fn drops(world: &World, name: &str) -> u64 {
    (BOX_A..=BOX_B).map(|node| world.count(node, name)).sum()
}

#[test]
fn octets_pass_beside_the_slots_and_the_slots_are_the_same_to_octet_and_microsecond() {
    let capture = |octets: usize| {
        let mut world = standing_with(EVEN, (40, -40), 61, 5_000);
        let mut flow = Flow::begin(&mut world, 7);
        world.capture = Some(Vec::new());
        assert_eq!(flow.run_for(&mut world, 3 * SECOND_US, octets), octets);
        (world.capture.take().expect("kept"), world)
    };
    let ((idle, quiet), (busy, world)) = (capture(0), capture(6_000_000));
    assert_eq!(quiet.fast_sent, 0);
    assert!(world.fast_sent > 4 * 6_000_000 / 212, "four links");
    // Each of four links, both ways, 50 a second.
    assert_eq!(idle.len(), 3 * 50 * 8);
    assert!(idle == busy, "{:?}", idle.iter().zip(&busy).position(|(one, other)| one != other));
    assert_eq!(drops(&world, "fast_unasked") + drops(&world, "fast_replayed") + drops(&world, "fast_not_opened"), 0);
}

#[test]
fn octets_come_whole_where_cells_are_lost_and_where_two_clocks_differ() {
    let mut world = standing_with(LOSSY, (200, -200), 62, 5_000);
    let mut flow = Flow::begin(&mut world, 7);
    // What a TCP with segments of seven packets has at that loss and a round trip of 40 ms (Mathis et al., 1997): 32 packets a round trip.
    let came = flow.run_for(&mut world, 5 * SECOND_US, 1 << 30);
    println!("{came} octets in 5 s");
    assert!(came > 400_000, "{came}");
    flow.run_for(&mut world, 20 * SECOND_US, flow.written);
    assert_eq!(flow.read, flow.written);
}

#[test]
fn nothing_passes_when_the_call_ends_and_all_goes_on_with_the_next() {
    let mut world = standing_with(EVEN, (0, 0), 63, 5_000);
    let mut flow = Flow::begin(&mut world, 7);
    assert!(flow.run_for(&mut world, SECOND_US / 10, 1 << 30) > 100_000);
    for end in [End::a(), End::b()] {
        end.hang_up(&mut world, [7; 16]);
    }
    flow.run_for(&mut world, SECOND_US / 10, 1 << 30);
    let sent = world.fast_sent;
    assert_eq!(flow.run_for(&mut world, SECOND_US, 1 << 30), 0);
    assert_eq!(world.fast_sent, sent, "not a cell more");
    assert_eq!(world.core(BOX_A).next_wanting(), Some(BUNDLE));
    flow.carry(&mut world, 8);
    assert!(flow.run_for(&mut world, SECOND_US, 1 << 30) > 1_000_000);
}

#[test]
fn where_one_box_does_not_ask_nothing_passes_the_junction() {
    let mut world = standing_with(EVEN, (0, 0), 64, 5_000);
    let mut flow = Flow::begin(&mut world, 7);
    // B's hops are told that it wants no more.
    for hop in [0, 1] {
        world.command(BOX_B, say(End::b().name, hop, FAST, vec![0], 1, 0));
        world.run_for(SECOND_US);
    }
    assert_eq!(flow.run_for(&mut world, SECOND_US, 100_000), 0);
    assert!(world.count(JUNCTION, "fast_unasked") > 0 && world.count(GUARD_B, "fast_unasked") == 0);
}

fn fast_cell(circuit: CircId, number: u32, octet: u8) -> Cell {
    voicebox_core::cell::serialise_cell(circuit.fast(), voicebox_core::Slot(number), &[octet; 248])
}

#[test]
fn unasked_fast_cells_are_counted_drops_and_end_nothing() {
    let mut world = standing_with(LOCAL, (0, 0), 65, 5_000);
    let (link, circuit) = End::a().name;
    let now = world.clock(GUARD_A);
    for (node, link, circuit) in
        [(GUARD_A, link, circuit), (GUARD_A, link, CircId(0)), (GUARD_A, LinkId(2), circuit), (BOX_A, link, circuit), (JUNCTION, LinkId(3), CircId(77))]
    {
        let before = world.count(node, "fast_unasked");
        world.core(node).handle(now, Input::Cell { link, cell: &fast_cell(circuit, 1, 5) });
        assert_eq!(world.count(node, "fast_unasked"), before + 1);
        assert_eq!(world.core(node).poll_fast(now), None);
    }
    assert_eq!(world.count(GUARD_A, "broke_protocol"), 0);
    meet(&mut world, End::a(), End::b(), [7; 16]);
}

#[test]
fn a_number_passes_a_hop_once_and_noise_passes_the_relays_and_is_dropped_by_the_box() {
    let mut world = standing_with(EVEN, (0, 0), 66, 5_000);
    let mut flow = Flow::begin(&mut world, 7);
    flow.run_for(&mut world, SECOND_US / 10, 50_000);
    let (link, circuit) = End::a().name;
    let now = world.clock(GUARD_A);
    let take = |world: &mut World, number| {
        world.core(GUARD_A).handle(now, Input::Cell { link, cell: &fast_cell(circuit, number, 5) });
        world.core(GUARD_A).poll_fast(now).is_some()
    };
    assert!(take(&mut world, 5_000) && !take(&mut world, 5_000) && !take(&mut world, 1) && take(&mut world, 4_999));
    assert_eq!(world.count(GUARD_A, "fast_replayed"), 2);
    let number = 6_000;
    world.core(GUARD_A).handle(now, Input::Cell { link, cell: &fast_cell(circuit, number, 6) });
    world.run_for(SECOND_US / 10);
    assert_eq!(world.count(BOX_B, "fast_not_opened"), 1);
    flow.run_for(&mut world, SLOT_US, 0);
}

#[test]
fn a_relay_keeps_no_more_than_its_bound() {
    let mut world = standing_with(EVEN, (0, 0), 67, 5_000);
    Flow::begin(&mut world, 7);
    let (link, circuit) = End::a().name;
    let now = world.clock(GUARD_A);
    for number in 1_000..7_000 {
        world.core(GUARD_A).handle(now, Input::Cell { link, cell: &fast_cell(circuit, number, 5) });
    }
    assert_eq!(world.count(GUARD_A, "fast_full"), 6_000 - 4_096);
    assert_eq!(std::iter::from_fn(|| world.core(GUARD_A).poll_fast(now)).count(), 4_096);
}

#[test]
fn fast_with_another_word_than_yes_or_no_ends_the_circuit() {
    let mut world = standing_with(LOCAL, (0, 0), 68, 5_000);
    world.command(BOX_A, say(End::a().name, 0, FAST, vec![2], 1, 0));
    world.run_for(SECOND_US);
    assert_eq!(world.count(GUARD_A, "broke_protocol"), 1);
}
