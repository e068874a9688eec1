//! Calls of metered boxes, which have a cell in every second slot, with each other and with boxes that are not: what is heard and when, and what an observer sees.
//!
//! Spec: PROTOCOL.md §5.7, §9.4.

use voicebox_core::ids::METERED;

use super::coupled::{couple, leave, paths, spare_a, spare_b};
use super::*;

const OPUS: u8 = 1;
/// Little enough jitter that no cell is late.
const NO_LOSS: Wire = Wire { jitter_us: 2_000, loss_per_million: 0, ..CONTINENT };
/// Whether the first box is, and the second.
const NOBODY: [bool; 2] = [false, false];
const SOMEBODY: [[bool; 2]; 3] = [[true, true], [true, false], [false, true]];

/// An end of a box that is metered, or is not.
fn of(end: End, metered: [bool; 2]) -> End {
    let bit = if metered[usize::from(end.node == BOX_B)] { METERED } else { 0 };
    End { name: (end.name.0, CircId(end.name.1 .0 | bit)), ..end }
}

fn standing_as(metered: [bool; 2], wires: &[Wire], drifts: (i64, i64), seed: u8, codec: u8) -> World {
    let nodes: Vec<_> = [BOX_A, BOX_B].into_iter().zip(metered).filter_map(|(node, metered)| metered.then_some(node)).collect();
    let mut world = paths(wires, drifts, seed, &nodes);
    for end in [End::a(), End::b(), spare_a(), spare_b()].into_iter().take(2 * wires.len()) {
        of(end, metered).stand(&mut world);
    }
    for end in [End::a(), End::b()] {
        of(end, metered).open_port(&mut world, codec);
    }
    world
}

fn call_as(world: &mut World, metered: [bool; 2], join_id: [u8; 16], codec: u8) {
    let (a, b) = (of(End::a(), metered), of(End::b(), metered));
    meet(world, a, b, join_id);
    a.bind(world, codec);
    b.bind(world, codec);
    world.run_for(SECOND_US);
}

/// Let both phones talk with Opus of 24 kbit/s; each frame says which it is. Returns when the first frames were sent, by node.
fn begin_opus(world: &mut World, frames: std::ops::Range<u32>) -> [u64; 2] {
    world.heard.clear();
    let begin = [world.now + 11_000, world.now + 4_000];
    for (node, begin) in [BOX_A, BOX_B].into_iter().zip(begin) {
        for frame in frames.clone() {
            let mut payload = [7; 60];
            payload[..4].copy_from_slice(&frame.to_be_bytes());
            let packet = RtpPacket {
                marker: frame == frames.start,
                payload_type: 8,
                sequence_number: frame as u16,
                rtp_timestamp: 960 * frame,
                ssrc: 5,
                payload: &payload,
            };
            world.rtp_at(begin + SLOT_US * u64::from(frame - frames.start), node, PORT, serialise_rtp(&packet));
        }
    }
    begin
}

/// What a phone heard: number of the frame, when it came after it was said, sequence number and timestamp of its packet.
fn heard(world: &World, at_node: usize, begin: u64) -> Vec<(u32, u64, u16, u32)> {
    let of_node = world.heard.iter().filter(|heard| heard.node == at_node);
    let mut found: Vec<_> = of_node
        .map(|heard| {
            let packet = parse_rtp(&heard.datagram).expect("RTP");
            let frame = u32::from_be_bytes(packet.payload[..4].try_into().expect("4 octets"));
            (frame, heard.at - begin - SLOT_US * u64::from(frame), packet.sequence_number, packet.rtp_timestamp)
        })
        .collect();
    found.sort_unstable_by_key(|one| one.1 + SLOT_US * u64::from(one.0));
    found
}

/// Each frame was heard, once and in order.
fn assert_all(heard: &[(u32, u64, u16, u32)], frames: u32) {
    let numbers: Vec<_> = heard.iter().map(|one| one.0).collect();
    let missing: Vec<_> = (0..frames).filter(|frame| !numbers.contains(frame)).collect();
    assert!(missing.is_empty() && numbers.windows(2).all(|pair| pair[0] < pair[1]), "missing: {missing:?}");
}

/// Every cell of a link leaves a tick after the one before it.
fn assert_even(world: &World, side: (usize, u32), from: u64, tick_us: u64) {
    let times: Vec<_> = world.sent[&(side.0, LinkId(side.1))].iter().filter(|at| **at >= from).collect();
    assert!(times.len() > 100);
    for pair in times.windows(2) {
        assert!((pair[1] - pair[0]).abs_diff(tick_us) <= 250, "node {}: {} us", side.0, pair[1] - pair[0]);
    }
}

#[test]
fn each_frame_of_opus_is_heard_once_and_evenly_and_a_slot_later() {
    let mut medians_us = Vec::new();
    for metered in [NOBODY, SOMEBODY[0], SOMEBODY[1], SOMEBODY[2]] {
        let mut world = standing_as(metered, &[NO_LOSS], (20, -30), 31, OPUS);
        call_as(&mut world, metered, [31; 16], OPUS);
        let begin = begin_opus(&mut world, 0..900);
        world.run_for(SLOT_US * 900 + SECOND_US);
        for (to, begin) in [(BOX_B, begin[0]), (BOX_A, begin[1])] {
            let heard = heard(&world, to, begin);
            let mut delays_us: Vec<_> = heard.iter().map(|one| one.1).collect();
            delays_us.sort_unstable();
            let (median_us, most_us) = (delays_us[450], delays_us[delays_us.len() - 1]);
            println!("metered {metered:?}, to node {to}: one way {median_us} us, most {most_us} us");
            assert_all(&heard, 900);
            for pair in heard.windows(2) {
                assert_eq!((pair[1].2.wrapping_sub(pair[0].2), pair[1].3.wrapping_sub(pair[0].3)), (1, 960));
            }
            assert!(most_us - delays_us[0] <= 2_000, "as even as between other boxes");
            medians_us.push((metered, median_us));
            assert_eq!(["sound_late", "sound_overflow", "channel_junk", "bad_command", "slot_odd"].map(|name| world.count(to, name)), [0; 5]);
        }
    }
    let most_of = |wanted: bool| medians_us.iter().filter(|(metered, _)| (*metered != NOBODY) == wanted).map(|(_, median_us)| *median_us).max().expect("some");
    // Where in a slot a phone speaks decides up to 20 ms more.
    assert!(most_of(true) <= most_of(false) + 2 * SLOT_US && most_of(true) <= 160_000, "{medians_us:?}");
}

#[test]
fn every_second_frame_of_g711_is_heard_from_its_coarse_copy() {
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[LOCAL], (0, 0), 32, PCMA);
        call_as(&mut world, metered, [32; 16], PCMA);
        let begin = talk(&mut world, 500);
        for (to, begin) in [(BOX_B, begin[0]), (BOX_A, begin[1])] {
            let report = report(&world, to, begin, 500);
            report.print(&format!("metered {metered:?}, to node {to}, G.711"));
            assert!(report.lost <= 1, "the first may have come alone");
            assert!((240..=260).contains(&world.count(to, "sound_repaired")), "{}", world.count(to, "sound_repaired"));
            assert!(report.at(99) <= 80.0 && report.mean_jitter_us <= 2_000.0);
        }
    }
}

#[test]
fn a_machine_plays_and_keeps_each_frame_as_in_other_calls() {
    const MACHINE: PortId = PortId(9);
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[NO_LOSS], (0, 0), 39, OPUS);
        let (a, b) = (of(End::a(), metered), of(End::b(), metered));
        meet(&mut world, a, b, [39; 16]);
        a.bind(&mut world, OPUS);
        world.command(BOX_B, Command::MediaOpen { port: MACHINE });
        world.command(BOX_B, Command::MediaBind { port: MACHINE, link: b.name.0, circuit: b.name.1, codec: OPUS });
        world.run_for(SECOND_US);
        world.heard.clear();
        let frames = (0..100u32).flat_map(|frame| [&frame.to_be_bytes()[..], &[7; 56]].concat()).collect();
        world.command(BOX_B, Command::MediaPlay { port: MACHINE, codec: OPUS, frame_octets: 60, frames });
        world.run_for(SLOT_US * 100 + SECOND_US);
        let played: Vec<_> = heard(&world, BOX_A, 0).iter().map(|one| one.0).collect();
        assert!(played.len() >= 97 && played.windows(2).all(|pair| pair[0] < pair[1]), "metered {metered:?}: {played:?}");
        world.events(BOX_B);
        world.command(BOX_B, Command::MediaTape { port: MACHINE, slots: 200 });
        begin_opus(&mut world, 0..300);
        world.run_for(SLOT_US * 300 + SECOND_US);
        let mut kept = Vec::new();
        for entries in world.events(BOX_B).into_iter().filter_map(|event| if let Event::Taped { entries, .. } = event { Some(entries) } else { None }) {
            let mut left = &entries[..];
            while let Some((&octets, rest)) = left.split_first() {
                kept.push((octets > 0).then(|| u32::from_be_bytes(rest[..4].try_into().expect("4 octets"))));
                left = &rest[usize::from(octets)..];
            }
        }
        let said: Vec<_> = kept.iter().flatten().copied().collect();
        assert_eq!(kept.len(), 200, "metered {metered:?}");
        assert!(said.len() >= 190 && said.windows(2).all(|pair| pair[0] < pair[1]), "metered {metered:?}: {} of 200, in order", said.len());
        assert_eq!(["sound_late", "sound_overflow", "bad_command"].map(|name| world.count(BOX_B, name)), [0; 3]);
    }
}

#[test]
fn an_observer_sees_a_cell_in_40_ms_of_a_metered_box_and_in_20_of_the_other_whatever_happens() {
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[LOCAL], (40, -40), 33, OPUS);
        let from = world.now;
        world.run_for(4 * SECOND_US);
        call_as(&mut world, metered, [33; 16], OPUS);
        begin_opus(&mut world, 0..250);
        world.run_for(6 * SECOND_US);
        of(End::a(), metered).hang_up(&mut world, [33; 16]);
        of(End::b(), metered).hang_up(&mut world, [33; 16]);
        world.run_for(4 * SECOND_US);
        for (links, metered) in [([(BOX_A, 1), (GUARD_A, 1)], metered[0]), ([(BOX_B, 4), (GUARD_B, 4)], metered[1])] {
            links.into_iter().for_each(|link| assert_even(&world, link, from, if metered { 2 * SLOT_US } else { SLOT_US }));
        }
        // Behind the guard, too, and back from the junction.
        for (links, metered) in [([(GUARD_A, 2), (JUNCTION, 2)], metered[0]), ([(GUARD_B, 3), (JUNCTION, 3)], metered[1])] {
            links.into_iter().for_each(|link| assert_even(&world, link, from, if metered { 2 * SLOT_US } else { SLOT_US }));
        }
    }
}

#[test]
fn messages_pass_in_spite_of_every_second_cell_left_out_and_of_loss() {
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[CONTINENT], (0, 0), 34, OPUS);
        call_as(&mut world, metered, [34; 16], OPUS);
        let message = |size: usize| (0..size).map(|index| (index * 13 + size) as u8).collect::<Vec<u8>>();
        // Two, four, eight segments at once: said in turn, each is in cells of one parity as long as all are under way.
        let sizes = [400, 800, 1_600, 1, 33, 8_192];
        for end in [of(End::a(), metered), of(End::b(), metered)] {
            for size in sizes {
                world.command(end.node, Command::ChannelSend { link: end.name.0, circuit: end.name.1, message: message(size) });
            }
        }
        begin_opus(&mut world, 0..500);
        world.run_for(12 * SECOND_US);
        for node in [BOX_A, BOX_B] {
            let found: Vec<_> =
                world.events(node).into_iter().filter_map(|event| if let Event::Message { message, .. } = event { Some(message) } else { None }).collect();
            assert!(found == sizes.map(message), "metered {metered:?}, at node {node}: {} of {} messages", found.len(), sizes.len());
        }
        // When all is said and acknowledged nobody says segments any more, which would cost every second frame: those of the last second came, but for what the wires
        // lost, two with each cell.
        for node in [BOX_A, BOX_B] {
            let numbers: Vec<_> = heard(&world, node, 0).iter().map(|one| one.0).filter(|frame| *frame >= 450).collect();
            assert!(numbers.len() >= 36, "{numbers:?}");
        }
    }
}

#[test]
fn a_short_message_costs_no_frame_of_opus() {
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[NO_LOSS], (0, 0), 35, OPUS);
        call_as(&mut world, metered, [35; 16], OPUS);
        let begin = begin_opus(&mut world, 0..200);
        world.run_for(SECOND_US);
        for end in [of(End::a(), metered), of(End::b(), metered)] {
            world.command(end.node, Command::ChannelSend { link: end.name.0, circuit: end.name.1, message: vec![9; 33] });
        }
        world.run_for(5 * SECOND_US);
        for (to, begin) in [(BOX_B, begin[0]), (BOX_A, begin[1])] {
            assert_all(&heard(&world, to, begin), 200);
            let told = world.events(to).iter().filter(|event| matches!(event, Event::Message { message, .. } if message.len() == 33)).count();
            assert_eq!(told, 1);
        }
    }
}

#[test]
fn a_call_with_a_metered_box_moves_to_other_circuits_and_no_frame_is_lost() {
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[LOCAL, NO_LOSS], (30, -30), 36, OPUS);
        call_as(&mut world, metered, [36; 16], OPUS);
        begin_opus(&mut world, 0..400);
        world.run_for(SECOND_US);
        let couple_first = |world: &mut World, spare: End| couple(world, of(if spare.node == BOX_A { End::a() } else { End::b() }, metered), spare);
        meet_and(&mut world, of(spare_a(), metered), of(spare_b(), metered), [37; 16], couple_first);
        world.run_for(2 * SECOND_US);
        leave(&mut world, (of(End::a(), metered), of(End::b(), metered)), [36; 16]);
        world.run_for(5 * SECOND_US);
        for node in [BOX_A, BOX_B] {
            assert_all(&heard(&world, node, 0), 400);
            assert_eq!(["sound_late", "bad_command"].map(|name| world.count(node, name)), [0; 2]);
        }
    }
}

#[test]
fn gaps_and_pauses_are_heard_as_between_other_boxes() {
    for metered in SOMEBODY {
        let mut world = standing_as(metered, &[LOCAL], (0, 0), 38, OPUS);
        call_as(&mut world, metered, [38; 16], OPUS);
        // Enough for a gap of the sound, which is drawn; then the phones pause for a second.
        begin_opus(&mut world, 0..2_100);
        world.run_for(SLOT_US * 2_150 + SECOND_US);
        for node in [BOX_A, BOX_B] {
            let found = heard(&world, node, 0);
            let other = if node == BOX_A { BOX_B } else { BOX_A };
            assert_eq!(2_100 - found.len() as u64, world.count(other, "sound_slip"), "what is missing was left out in a gap");
            let odd: Vec<_> = found
                .windows(2)
                .map(|pair| (pair[1].2.wrapping_sub(pair[0].2), pair[1].3.wrapping_sub(pair[0].3)))
                .filter(|moved| *moved != (1, 960))
                .collect();
            assert_eq!(odd, [(3, 3 * 960)], "one gap of two slots: metered {metered:?}, at node {node}");
        }
        let before = [BOX_A, BOX_B].map(|node| *heard(&world, node, 0).last().expect("sound"));
        begin_opus(&mut world, 2_100..2_150);
        world.run_for(2 * SECOND_US);
        for (node, before) in [BOX_A, BOX_B].into_iter().zip(before) {
            let found = heard(&world, node, 0);
            assert_eq!((found.len(), found[0].2.wrapping_sub(before.2)), (50, 1), "a pause leaves no gap in the numbers");
        }
    }
}
