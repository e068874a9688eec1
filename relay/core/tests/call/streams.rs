//! Streams over a splice (PROTOCOL.md §11): a circuit's worth of octets where nobody talks, what the sound leaves where somebody does, and nothing lost when the
//! splice is given up and another one comes.

use voicebox_core::rtp::{serialise_rtp, RtpPacket};
use voicebox_core::streams::{StreamEvent, StreamId};
use voicebox_core::{BundleId, Command, LinkId, LinkKind};

use super::world::Wire;
use super::{begin_talk, call, coupled, meet, standing_with, End, World, BOX_A, BOX_B, CONTINENT, GUARD_A, LOCAL, PORT, SECOND_US, SLOT_US};

const BUNDLE: BundleId = BundleId(70);
const OPUS: u8 = 1;
/// Of 50 cells a second.
const OCTETS_A_SECOND: usize = 50 * 220;

fn octets(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|place| (place % 251) as u8).collect()
}

/// One stream from A to B, written as fast as it takes octets and read at once.
struct Flow {
    stream: StreamId,
    written: usize,
    read: usize,
}

impl Flow {
    /// Let both boxes have a bundle, not carried yet.
    fn begin(world: &mut World) -> Self {
        for node in [BOX_A, BOX_B] {
            world.command(node, Command::BundleOpen { bundle: BUNDLE });
        }
        let stream = world.core(BOX_A).bundle(BUNDLE).expect("opened").open(80).expect("the first");
        Self { stream, written: 0, read: 0 }
    }

    fn bind(world: &mut World) {
        [End::a(), End::b()].into_iter().for_each(|end| Self::bind_at(world, end));
    }

    fn bind_at(world: &mut World, end: End) {
        world.command(end.node, Command::BundleBind { bundle: BUNDLE, link: end.name.0, circuit: end.name.1 });
    }

    /// Work in each slot of a time; returns the octets that came.
    fn run_for(&mut self, world: &mut World, us: u64) -> usize {
        let before = self.read;
        for _ in 0..us / SLOT_US {
            world.run_for(SLOT_US);
            let sender = world.core(BOX_A).bundle(BUNDLE).expect("opened");
            self.written += sender.write(self.stream, &octets(self.written, sender.room(self.stream)));
            let receiver = world.core(BOX_B).bundle(BUNDLE).expect("opened");
            while let Some(event) = receiver.poll() {
                match event {
                    StreamEvent::Asked { stream, port: 80, way: voicebox_core::streams::Way::Row } => assert!(receiver.take(stream)),
                    StreamEvent::Readable(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            let mut out = [0; 40_000];
            let length = receiver.read(StreamId { ours: false, ..self.stream }, &mut out);
            assert_eq!(out[..length], octets(self.read, length)[..]);
            self.read += length;
        }
        self.read - before
    }
}

fn octets_a_second(wire: Wire, step_us: u32) -> f64 {
    let mut world = standing_with(wire, (40, -40), 51, step_us);
    let mut flow = Flow::begin(&mut world);
    meet(&mut world, End::a(), End::b(), [7; 16]);
    Flow::bind(&mut world);
    flow.run_for(&mut world, 3 * SECOND_US);
    let came = flow.run_for(&mut world, 60 * SECOND_US);
    assert_eq!(world.count(BOX_A, "streams_broken") + world.count(BOX_B, "streams_broken"), 0);
    came as f64 / 60.0
}

#[test]
fn a_stream_has_most_of_a_circuit_where_nobody_talks() {
    let (near, far) = (octets_a_second(LOCAL, 5_000), octets_a_second(CONTINENT, 5_000));
    println!("{near:.0} octets/s without loss, {far:.0} over a continent with 1 % lost");
    assert!(near >= 0.85 * OCTETS_A_SECOND as f64, "{near} octets/s");
    assert!(far >= 0.60 * OCTETS_A_SECOND as f64, "{far} octets/s");
}

#[test]
fn a_stream_goes_on_over_the_next_splice() {
    let mut world = standing_with(CONTINENT, (40, -40), 52, 5_000);
    let mut flow = Flow::begin(&mut world);
    assert_eq!((world.core(BOX_A).next_wanting(), world.core(BOX_A).next_wanting()), (Some(BUNDLE), None), "told once");
    for splice in 1..4 {
        meet(&mut world, End::a(), End::b(), [splice; 16]);
        Flow::bind(&mut world);
        assert!(flow.run_for(&mut world, 2 * SECOND_US) > OCTETS_A_SECOND, "in splice {splice}");
        for end in [End::a(), End::b()] {
            end.hang_up(&mut world, [splice; 16]);
        }
        flow.run_for(&mut world, SECOND_US);
        assert_eq!(flow.run_for(&mut world, SECOND_US), 0, "nothing carries it");
        assert_eq!(world.core(BOX_A).next_wanting(), Some(BUNDLE));
    }
    assert!(flow.written > flow.read);
}

#[test]
fn a_bundle_goes_on_with_a_circuit_over_another_link_and_is_not_carried_in_its_next_call() {
    let mut world = standing_with(LOCAL, (0, 0), 55, 5_000);
    let mut flow = Flow::begin(&mut world);
    meet(&mut world, End::a(), End::b(), [7; 16]);
    Flow::bind(&mut world);
    assert!(flow.run_for(&mut world, 2 * SECOND_US) > OCTETS_A_SECOND);
    let (link, circuit) = End::a().name;
    let moved = End { name: (LinkId(9), circuit), ..End::a() };
    world.connect(BOX_A, GUARD_A, moved.name.0 .0, (LinkKind::AccessOwner, LinkKind::AccessGuard), LOCAL);
    world.run_for(SECOND_US);
    world.command(BOX_A, Command::Attach { link, circuit, next_link: moved.name.0 });
    moved.answer(&mut world, 31);
    assert!(flow.run_for(&mut world, 2 * SECOND_US) > OCTETS_A_SECOND);
    for end in [moved, End::b()] {
        end.hang_up(&mut world, [7; 16]);
    }
    flow.run_for(&mut world, SECOND_US);
    assert_eq!(world.core(BOX_A).next_wanting(), Some(BUNDLE));
    meet(&mut world, moved, End::b(), [8; 16]);
    Flow::bind_at(&mut world, End::b());
    assert_eq!(flow.run_for(&mut world, 2 * SECOND_US), 0, "the call is another contact's");
}

#[test]
fn beside_sound_streams_have_what_it_leaves_and_take_nothing_from_it() {
    let (mut alone, mut beside) = (standing_with(LOCAL, (40, -40), 53, 5_000), standing_with(LOCAL, (40, -40), 53, 5_000));
    let mut flow = Flow::begin(&mut beside);
    call(&mut alone, [7; 16]);
    call(&mut beside, [7; 16]);
    Flow::bind(&mut beside);
    begin_talk(&mut alone, 400, [0, 0]);
    begin_talk(&mut beside, 400, [0, 0]);
    alone.run_for(9 * SECOND_US);
    // G.711 and its coarse copy leave 2 octets, so that only slots without either carry something: before the sound, in its gaps, and behind it.
    flow.run_for(&mut beside, 9 * SECOND_US);
    let heard = |world: &World| world.heard.iter().map(|heard| (heard.node, heard.datagram.len())).collect::<Vec<_>>();
    assert_eq!(heard(&alone).len(), 800);
    assert_eq!(heard(&beside), heard(&alone));
    assert!(flow.read > 0);
}

/// A call of Opus over two circuits of a continent that loses cells, in which both phones speak frames of so many octets for 10 s. Returns all that the phones heard, and
/// when; and the octets a second of a stream beside it, where there is one.
fn opus_call(frame_octets: usize, streams: bool) -> (Vec<(usize, u64, Vec<u8>)>, usize) {
    let mut world = coupled::coupled_call(CONTINENT, (40, -40), 56);
    for end in [End::a(), End::b()] {
        world.command(end.node, Command::MediaRemote { port: PORT, codec: OPUS, payload_type: 96, event_payload_type: Some(101) });
        end.bind(&mut world, OPUS);
    }
    let mut flow = Flow::begin(&mut world);
    if streams {
        Flow::bind(&mut world);
    }
    world.heard.clear();
    let begin = world.now + 7_000;
    for node in [BOX_A, BOX_B] {
        for frame in 0..600u32 {
            let payload = [&frame.to_be_bytes()[..], &vec![0x5a; frame_octets - 4]].concat();
            let packet = RtpPacket { marker: false, payload_type: 96, sequence_number: frame as u16, rtp_timestamp: 960 * frame, ssrc: 5, payload: &payload };
            world.rtp_at(begin + u64::from(frame) * SLOT_US, node, PORT, serialise_rtp(&packet));
        }
    }
    flow.run_for(&mut world, SECOND_US);
    let came = flow.run_for(&mut world, 10 * SECOND_US);
    world.run_for(2 * SECOND_US);
    for node in [BOX_A, BOX_B] {
        assert_eq!(world.count(node, "streams_broken") + world.count(node, "bad_command"), 0);
    }
    (world.heard.iter().map(|heard| (heard.node, heard.at, heard.datagram.clone())).collect(), came / 10)
}

#[test]
fn every_packet_that_the_phones_hear_is_the_same_at_the_same_microsecond_with_streams_and_without() {
    // 80 octets a frame and as many of its copy leave 59 of 220, 60 leave 99, over each of two circuits.
    for (frame_octets, at_least) in [(60, 6_000), (80, 2_000)] {
        let (alone, none) = opus_call(frame_octets, false);
        let (beside, came) = opus_call(frame_octets, true);
        println!("Opus of {frame_octets} octets a frame, 1 % lost: {came} octets of streams a second beside it, over two circuits");
        assert!(alone.len() > 1_100, "{}", alone.len());
        assert_eq!(none, 0, "nothing carries it");
        assert!(alone == beside, "the sound is another");
        assert!(came > at_least, "{came}");
    }
}

#[test]
fn a_bundle_is_carried_by_one_circuit_that_speaks_and_is_unbound_with_it() {
    let mut world = standing_with(LOCAL, (0, 0), 54, 5_000);
    let bind = |bundle| Command::BundleBind { bundle, link: End::a().name.0, circuit: End::a().name.1 };
    world.command(BOX_A, Command::BundleOpen { bundle: BUNDLE });
    world.command(BOX_A, bind(BUNDLE));
    assert_eq!(world.count(BOX_A, "bad_command"), 1, "the circuit does not speak yet");
    world.command(BOX_A, Command::BundleOpen { bundle: BUNDLE });
    assert_eq!(world.count(BOX_A, "bad_command"), 2, "there is one of this number");
    meet(&mut world, End::a(), End::b(), [7; 16]);
    world.command(BOX_A, bind(BUNDLE));
    world.command(BOX_A, bind(BundleId(71)));
    assert_eq!(world.count(BOX_A, "bad_command"), 3, "there is none of that number");
    assert!(world.core(BOX_A).bundle(BUNDLE).expect("there").open(80).is_ok());
    assert_eq!(world.core(BOX_A).next_wanting(), None, "a circuit carries it");
    End::a().hang_up(&mut world, [7; 16]);
    assert_eq!(world.core(BOX_A).next_wanting(), Some(BUNDLE));
    world.command(BOX_A, Command::BundleClose { bundle: BUNDLE });
    world.command(BOX_A, Command::BundleClose { bundle: BUNDLE });
    assert_eq!(world.count(BOX_A, "bad_command"), 4);
}
