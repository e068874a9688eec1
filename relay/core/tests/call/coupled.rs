//! Calls over two coupled circuits: what a phone hears when a relay of either path stops, when cells are lost, and when one circuit leaves the call.
//!
//! Spec: PROTOCOL.md §9.5.

use voicebox_core::{Command, Event, LinkKind};

use super::*;

const GUARD_A2: usize = 5;
const JUNCTION_2: usize = 6;
const GUARD_B2: usize = 7;
const GUARD_A3: usize = 8;
const JUNCTION_3: usize = 9;
const GUARD_B3: usize = 10;
const FRAMES: u32 = 250;

pub fn spare_a() -> End {
    End::new(BOX_A, 5, JUNCTION_2, 0x0c0c, 30, ([3; 16], [4; 16]))
}

pub fn spare_b() -> End {
    End::new(BOX_B, 8, JUNCTION_2, 0x0d0d, 40, ([4; 16], [3; 16]))
}

fn third_a() -> End {
    End::new(BOX_A, 9, JUNCTION_3, 0x0e0e, 50, ([5; 16], [6; 16]))
}

fn third_b() -> End {
    End::new(BOX_B, 12, JUNCTION_3, 0x0f0f, 60, ([6; 16], [5; 16]))
}

pub fn couple(world: &mut World, first: End, spare: End) {
    let command = Command::Couple { link: first.name.0, circuit: first.name.1, spare_link: spare.name.0, spare_circuit: spare.name.1 };
    world.command(first.node, command);
}

fn couple_with_first(world: &mut World, spare: End) {
    couple(world, if spare.node == BOX_A { End::a() } else { End::b() }, spare);
}

/// Two boxes with two circuits each, in a call over both.
pub fn coupled_call(wire: Wire, drifts: (i64, i64), seed: u8) -> World {
    let mut world = call_beside_spares(wire, drifts, seed);
    meet_and(&mut world, spare_a(), spare_b(), [seed ^ 0xff; 16], couple_with_first);
    world.run_for(SECOND_US);
    world
}

/// Two boxes with two circuits each, in a call over the first.
fn call_beside_spares(wire: Wire, drifts: (i64, i64), seed: u8) -> World {
    call_beside(&[wire, wire], drifts, seed)
}

/// Two boxes and the relays of as many paths as there are kinds of wires. metered: which boxes are.
pub fn paths(wires: &[Wire], drifts: (i64, i64), seed: u8, metered: &[usize]) -> World {
    let paths = [(GUARD_A, JUNCTION, GUARD_B, 1), (GUARD_A2, JUNCTION_2, GUARD_B2, 5), (GUARD_A3, JUNCTION_3, GUARD_B3, 9)];
    let mut all_drifts = vec![0; 2 + 3 * wires.len()];
    (all_drifts[BOX_A], all_drifts[BOX_B]) = drifts;
    let mut world = World::with_metered(&all_drifts, seed, metered);
    for (&(guard_a, junction, guard_b, link), wire) in paths.iter().zip(wires) {
        world.connect(guard_a, junction, link + 1, (LinkKind::Relay, LinkKind::Relay), *wire);
        world.connect(guard_b, junction, link + 2, (LinkKind::Relay, LinkKind::Relay), *wire);
    }
    for (&(guard_a, _, guard_b, link), wire) in paths.iter().zip(wires) {
        world.connect(BOX_A, guard_a, link, (LinkKind::AccessOwner, LinkKind::AccessGuard), *wire);
        world.connect(BOX_B, guard_b, link + 3, (LinkKind::AccessOwner, LinkKind::AccessGuard), *wire);
    }
    world
}

/// Two boxes with as many circuits as there are kinds of wires, in a call over the first.
fn call_beside(wires: &[Wire], drifts: (i64, i64), seed: u8) -> World {
    let mut world = paths(wires, drifts, seed, &[]);
    for end in [End::a(), End::b(), spare_a(), spare_b(), third_a(), third_b()].into_iter().take(2 * wires.len()) {
        end.stand(&mut world);
    }
    End::a().open_port(&mut world, PCMA);
    End::b().open_port(&mut world, PCMA);
    call(&mut world, [seed; 16]);
    world
}

/// The longest time between two packets at a phone, and the frames that it never got.
fn longest_gap(world: &World, at_node: usize, frames: u32) -> (u64, u32) {
    let times: Vec<_> = world.heard.iter().filter(|heard| heard.node == at_node).map(|heard| heard.at).collect();
    let gap = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().expect("packets");
    (gap, frames - times.len() as u32)
}

fn messages(world: &mut World, node: usize) -> Vec<Vec<u8>> {
    let message = |event| if let Event::Message { message, .. } = event { Some(message) } else { None };
    world.events(node).into_iter().filter_map(message).collect()
}

#[test]
fn each_frame_is_heard_once_and_as_soon_as_over_one_circuit() {
    let mut world = coupled_call(LOCAL, (30, -30), 11);
    let from = world.now;
    let begin = talk(&mut world, 3_000);
    for (to, begin) in [(BOX_B, begin[0]), (BOX_A, begin[1])] {
        let report = report(&world, to, begin, 3_000);
        report.print("two circuits, wires of 50 us");
        assert_eq!(report.lost, left_out(&world, to), "both circuits have the same gaps");
        assert!((0..=6).contains(&report.lost));
        assert!(report.at(99) <= 60.0 && report.mean_jitter_us <= 2_000.0);
        assert_eq!(["sound_late", "sound_overflow", "channel_junk", "bad_command"].map(|name| world.count(to, name)), [0; 4]);
    }
    assert_steady(&world, from, 250);
}

#[test]
fn a_relay_that_stops_in_a_call_is_not_heard() {
    let wire = Wire { loss_per_million: 0, ..CONTINENT };
    let mut gaps = Vec::new();
    for relay in [GUARD_A, JUNCTION, GUARD_B, GUARD_A2, JUNCTION_2, GUARD_B2] {
        for round in 0..20u8 {
            let mut world = coupled_call(wire, (0, 0), 20 + round);
            begin_talk(&mut world, FRAMES, [0, 0]);
            world.run_for(2 * SECOND_US + 3_137 * u64::from(round));
            let from = world.now;
            world.stop(relay);
            world.run_for(SLOT_US * u64::from(FRAMES));
            for node in [BOX_A, BOX_B] {
                let (gap, lost) = longest_gap(&world, node, FRAMES);
                assert!(lost <= 2, "relay {relay}, round {round}: {lost} frames lost");
                gaps.push(gap);
            }
            for (node, link) in [(BOX_A, 1), (BOX_A, 5), (BOX_B, 4), (BOX_B, 8)] {
                let times: Vec<_> = world.sent[&(node, LinkId(link))].iter().filter(|at| **at >= from).collect();
                assert!(times.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(SLOT_US) <= 250), "the boxes' links show nothing");
            }
        }
    }
    gaps.sort_unstable();
    let (median, most) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!("time between two packets when a relay stops, {} kills: median {} ms, most {} ms", gaps.len() / 2, median / 1_000, most / 1_000);
    assert!(median <= 60_000 && most <= 120_000);
}

#[test]
fn what_one_path_loses_the_other_brings() {
    let wire = Wire { loss_per_million: 12_500, ..CONTINENT };
    let mut world = coupled_call(wire, (0, 0), 12);
    let begin = talk(&mut world, 3_000);
    for (to, begin) in [(BOX_B, begin[0]), (BOX_A, begin[1])] {
        let report = report(&world, to, begin, 3_000);
        report.print("two circuits, 5 % loss on each path");
        assert!(report.lost <= 3_000 * 2 / 100, "{} frames lost", report.lost);
    }
}

#[test]
fn messages_pass_over_whichever_path_lives_and_once_each() {
    let mut world = coupled_call(CONTINENT, (0, 0), 13);
    let message = |size: usize| (0..size).map(|index| (index * 13 + size) as u8).collect::<Vec<u8>>();
    let say = |world: &mut World, end: End, size: usize| {
        world.command(end.node, Command::ChannelSend { link: end.name.0, circuit: end.name.1, message: message(size) });
    };
    for relay in [JUNCTION_2, GUARD_A2] {
        let mut world = coupled_call(CONTINENT, (0, 0), 13);
        say(&mut world, End::a(), 5_000);
        begin_talk(&mut world, FRAMES, [0, 0]);
        world.run_for(SECOND_US / 4);
        world.stop(relay);
        say(&mut world, spare_a(), 700);
        say(&mut world, End::b(), 900);
        world.run_for(6 * SECOND_US);
        assert_eq!(messages(&mut world, BOX_B), [message(5_000), message(700)]);
        assert_eq!(messages(&mut world, BOX_A), [message(900)]);
    }
    world.stop(GUARD_B);
    say(&mut world, End::a(), 300);
    say(&mut world, End::b(), 301);
    world.run_for(3 * SECOND_US);
    assert_eq!((messages(&mut world, BOX_B), messages(&mut world, BOX_A)), (vec![message(300)], vec![message(301)]));
}

#[test]
fn a_spare_that_nobody_hears_costs_no_message_and_no_time() {
    let took_us = |speaks: [bool; 2]| {
        let mut world = call_beside_spares(LOCAL, (0, 0), 16);
        for (spare, _) in [spare_a(), spare_b()].into_iter().zip(speaks).filter(|(_, speaks)| *speaks) {
            spare.speak(&mut world);
            couple_with_first(&mut world, spare);
        }
        let from = world.now;
        for (end, other) in [(End::a(), BOX_B), (End::b(), BOX_A)] {
            world.command(end.node, Command::ChannelSend { link: end.name.0, circuit: end.name.1, message: vec![9; 5_000] });
            world.wait_for(other, "the message", |event| matches!(event, Event::Message { message, .. } if message.len() == 5_000).then_some(()));
        }
        world.now - from
    };
    assert!(took_us([true, true]).abs_diff(took_us([false, false])) <= 2 * SLOT_US);
}

#[test]
fn either_circuit_may_leave_and_the_call_goes_on_over_the_other() {
    for (stays, leaves) in [((spare_a(), spare_b()), (End::a(), End::b())), ((End::a(), End::b()), (spare_a(), spare_b()))] {
        let mut world = coupled_call(LOCAL, (0, 0), 14);
        world.events(BOX_B);
        leaves.0.hang_up(&mut world, [14; 16]);
        world.command(BOX_A, Command::ChannelSend { link: stays.0.name.0, circuit: stays.0.name.1, message: vec![7; 100] });
        begin_talk(&mut world, 100, [0, 0]);
        world.run_for(SECOND_US);
        leaves.1.hang_up(&mut world, [14; 16]);
        world.run_for(3 * SECOND_US);
        for node in [BOX_A, BOX_B] {
            let (gap, lost) = longest_gap(&world, node, 100);
            assert!(lost <= 1 && gap <= 60_000, "node {node}: {lost} lost, a gap of {gap} us");
            assert_eq!(world.count(node, "bad_command"), 0);
        }
        assert_eq!(messages(&mut world, BOX_B), [vec![7; 100]]);
        stays.0.hang_up(&mut world, [14; 16]);
        world.run_for(SECOND_US);
        talk(&mut world, 20);
        assert!(world.heard.is_empty(), "nothing is heard after the end");
    }
}

/// The boxes are quiet on one circuit each, not at the same time.
pub fn leave(world: &mut World, ends: (End, End), join_id: [u8; 16]) {
    ends.0.hang_up(world, join_id);
    world.run_for(SECOND_US / 7);
    ends.1.hang_up(world, join_id);
    world.run_for(SECOND_US);
}

#[test]
fn a_call_moves_to_a_quicker_or_a_slower_path_and_no_frame_is_lost() {
    let (near, far) = (LOCAL, Wire { loss_per_million: 0, ..CONTINENT });
    for wires in [[near, near], [near, far], [far, near]] {
        let mut world = call_beside(&wires, (30, -30), 17);
        begin_talk(&mut world, 400, [0, 0]);
        world.run_for(SECOND_US);
        meet_and(&mut world, spare_a(), spare_b(), [18; 16], couple_with_first);
        world.run_for(2 * SECOND_US);
        leave(&mut world, (End::a(), End::b()), [17; 16]);
        world.run_for(5 * SECOND_US);
        for node in [BOX_A, BOX_B] {
            let (gap, lost) = longest_gap(&world, node, 400);
            println!("from {} us a wire to {}: longest time between two packets {gap} us", wires[0].delay_us, wires[1].delay_us);
            assert_eq!((lost, world.count(node, "sound_late"), world.count(node, "bad_command")), (0, 0, 0));
            let later_us = 4 * wires[1].delay_us.saturating_sub(wires[0].delay_us);
            assert!(gap <= 2 * SLOT_US + later_us);
        }
    }
}

#[test]
fn a_call_over_two_circuits_changes_one_after_the_other_and_stays_over_two() {
    let wire = Wire { loss_per_million: 0, ..CONTINENT };
    for (leaves, stays, dies) in [((End::a(), End::b()), (spare_a(), spare_b()), GUARD_A2), ((spare_a(), spare_b()), (End::a(), End::b()), GUARD_A)] {
        let mut world = call_beside(&[wire; 3], (0, 0), 19);
        meet_and(&mut world, spare_a(), spare_b(), [20; 16], couple_with_first);
        begin_talk(&mut world, 500, [0, 0]);
        world.run_for(SECOND_US);
        meet_and(&mut world, third_a(), third_b(), [21; 16], couple_with_first);
        couple(&mut world, third_a(), third_a());
        world.command(BOX_A, Command::ChannelSend { link: third_a().name.0, circuit: third_a().name.1, message: vec![8; 3_000] });
        world.run_for(2 * SECOND_US);
        leave(&mut world, leaves, if leaves.0.name == End::a().name { [19; 16] } else { [20; 16] });
        for node in [BOX_A, BOX_B] {
            let (gap, _) = longest_gap(&world, node, 500);
            assert!(gap <= 2 * SLOT_US, "node {node}: {gap} us");
        }
        world.stop(dies);
        world.command(BOX_B, Command::ChannelSend { link: stays.1.name.0, circuit: stays.1.name.1, message: vec![9; 300] });
        world.run_for(8 * SECOND_US);
        for node in [BOX_A, BOX_B] {
            assert!(longest_gap(&world, node, 500).1 <= 2, "over the circuit that came last");
            assert_eq!(world.count(node, "bad_command"), u64::from(node == BOX_A));
        }
        assert_eq!((messages(&mut world, BOX_B), messages(&mut world, BOX_A)), (vec![vec![8; 3_000]], vec![vec![9; 300]]));
    }
}

#[test]
fn what_cannot_be_coupled_is_not() {
    let mut world = coupled_call(LOCAL, (0, 0), 15);
    let before = world.count(BOX_A, "bad_command");
    couple(&mut world, End::a(), spare_a());
    couple(&mut world, spare_a(), End::a());
    couple(&mut world, End::a(), End::a());
    couple(&mut world, End::a(), End::b());
    world.command(BOX_A, Command::Quiet { link: spare_a().name.0, circuit: spare_a().name.1 });
    couple(&mut world, End::a(), spare_a());
    assert_eq!(world.count(BOX_A, "bad_command") - before, 5);
}
