//! A relay among neighbours who delay, repeat, flip, flood and break the protocol (PROTOCOL.md §5, §6).

mod attach;
mod junction;
mod metered;
mod peer;

use peer::{Left, Relay, BOX, FROM, TO};
use voicebox_core::cell::Body;
use voicebox_core::ids::SLOT_US;
use voicebox_core::speech::{hear_created, parse_speech, serialise_short, Carousel, Collector, Kind, CREATED_OCTETS, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Event, Input, LinkId};

/// Run a settled circuit from a box to TO for `slots`; `bend` says when and how often the cell of a slot arrives, and may change it.
fn settled_run(slots: u32, bend: impl Fn(u32, &mut Body) -> Vec<u64>) -> Relay {
    settled_run_with((5_000, 5_000), slots, bend)
}

fn settled_run_with(steps_us: (u32, u32), slots: u32, bend: impl Fn(u32, &mut Body) -> Vec<u64>) -> Relay {
    let mut relay = Relay::new(16);
    relay.steps_us = steps_us;
    relay.open(BOX, 77, false);
    relay.extend(BOX, 77, 88);
    let first = relay.slot() + 1;
    relay.say(BOX, 77, Kind::Settle as u8, first.to_be_bytes().to_vec());
    let mut arrivals: Vec<(u64, LinkId, u32, Body)> = Vec::new();
    for slot in first..first + 60 + slots {
        let own = u64::from(slot) * SLOT_US;
        let jitter = u64::from(slot.wrapping_mul(2_654_435_761) % 3_000);
        let mut body = [slot as u8 | 1; 248];
        let delays = if slot < first + 60 { vec![0] } else { bend(slot - first - 60, &mut body) };
        arrivals.extend(delays.into_iter().map(|delay| (own + 2_000 + jitter + delay, BOX, slot, body)));
        arrivals.push((own + 7_000 + jitter, TO, slot, [slot as u8 | 1; 248]));
    }
    arrivals.sort_by_key(|arrival| arrival.0);
    for (at, link, slot, body) in arrivals {
        relay.wait_until(at);
        relay.cell(link, if link == BOX { 77 } else { 88 }, slot, &body);
    }
    relay.wait_until(u64::from(first + 60 + slots + 15) * SLOT_US);
    relay
}

fn shape(relay: &Relay, link: LinkId) -> Vec<(u64, u32, u32)> {
    relay.on(link).into_iter().map(|left| (left.at, left.circuit, left.slot)).collect()
}

#[test]
fn delay_loss_replay_and_flips_upstream_leave_no_mark_downstream() {
    let quiet = settled_run(200, |_, _| vec![0]);
    let marked = settled_run(200, |slot, body| match slot % 8 {
        0 => vec![],
        1 => vec![2_500],
        2 => vec![9_000],
        3 => vec![0, 100, 30_000, 200_000],
        4 => {
            body[100] ^= 1;
            vec![0]
        }
        5 => vec![60_000],
        _ => vec![0],
    });
    // Until the circuit is settled cells go on when they come; the runs are the same there.
    assert!(shape(&quiet, TO) == shape(&marked, TO), "times or numbers differ");
    let settled: Vec<Left> = marked.on(TO).into_iter().rev().take(200).cloned().collect();
    assert!(settled.windows(2).all(|pair| pair[0].at - pair[1].at == SLOT_US && pair[0].slot - pair[1].slot == 1));
    assert!(marked.count("slot_late") > 50 && marked.count("slot_twice") > 20 && marked.count("filled") > 50);
    assert_eq!(quiet.count("slot_late") + quiet.count("slot_twice") + quiet.count("slot_ahead"), 0);
}

#[test]
fn a_circuit_keeps_the_steps_it_was_accepted_with() {
    let late = |slot: u32, _: &mut Body| vec![if slot % 9 == 0 { 30_000 } else { 0 }];
    for (steps_us, filled) in [((40_000, 5_000), false), ((30_000, 5_000), true)] {
        let relay = settled_run_with(steps_us, 180, late);
        let told: Vec<_> = relay.answers(BOX, 77).into_iter().filter(|(kind, _)| *kind == Kind::Settled as u8).map(|(_, payload)| payload).collect();
        assert_eq!(told.first().map(|payload| payload[..].to_vec()), Some(((steps_us.0 / 10) as u16).to_be_bytes().to_vec()));
        assert_eq!(relay.count("slot_late"), if filled { 20 } else { 0 });
        assert_eq!(relay.count("slot_ahead"), 0, "the ring holds what comes long before it is due");
        let settled: Vec<Left> = relay.on(TO).into_iter().rev().take(180).cloned().collect();
        assert!(settled.windows(2).all(|pair| pair[0].at - pair[1].at == SLOT_US && pair[0].slot - pair[1].slot == 1));
    }
}

#[test]
fn a_step_that_is_not_of_the_grid_is_a_bad_command() {
    for steps_us in [(0, 5_000), (5_000, 6_000), (45_000, 5_000)] {
        let mut relay = Relay::new(16);
        relay.steps_us = steps_us;
        relay.open(BOX, 77, false);
        assert_eq!((relay.core.circuits(), relay.count("bad_command")), (0, 1));
    }
}

#[test]
fn a_box_gets_one_cell_at_every_tick_from_the_first_cell_on() {
    let relay = settled_run(300, |slot, _| if slot > 100 { vec![] } else { vec![0] });
    let times: Vec<u64> = relay.on(BOX).into_iter().map(|left| left.at).collect();
    assert!(times.len() > 350);
    let odd: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap != SLOT_US).collect();
    assert!(odd.len() <= 1, "only settling moves the tick: {odd:?}");
    assert!(odd.iter().all(|gap| *gap < 2 * SLOT_US), "{odd:?}");
}

#[test]
fn every_cell_of_a_schedule_is_handed_out_a_millisecond_before_it_is_due() {
    let mut relay = Relay::new(16);
    relay.open(FROM, 5, true);
    for _ in 0..20 {
        let asked = relay.core.next_timer().expect("a junction sends in every slot");
        let before = relay.left.len();
        relay.wait_until(asked);
        for left in &relay.left[before..] {
            assert_eq!(left.at, asked + 1_000);
        }
    }
    assert!(relay.on(FROM).len() >= 10);
}

#[test]
fn creates_and_circuits_are_bounded() {
    let mut relay = Relay::new(400);
    for circuit in 1..=12 {
        relay.create(BOX, circuit);
    }
    assert_eq!((relay.events.len(), relay.count("creates_full")), (8, 4 * 6));
    for circuit in 1..=300 {
        relay.create(FROM, circuit);
    }
    assert_eq!((relay.events.len(), relay.count("creates_full")), (8 + 256, (4 + 44) * 6));
    for circuit in 1..=300 {
        relay.create(TO, circuit);
    }
    assert_eq!((relay.events.len(), relay.count("circuits_full")), (400, (300 - 136) * 6));
    // What nobody finishes or answers is forgotten after 512 slots.
    relay.wait(12_000_000);
    relay.create(TO, 1_000);
    assert_eq!(relay.events.len(), 401);
    assert_eq!(relay.core.circuits(), 0);
}

#[test]
fn what_an_owner_must_not_say_ends_its_circuit_and_only_that() {
    let knock = Kind::Knock as u8;
    let wrong: [(bool, u8, Vec<u8>); 12] = [
        (false, 0, vec![]),
        (false, 19, vec![]),
        (false, 255, vec![]),
        (false, Kind::Create as u8, vec![0; HANDSHAKE_OCTETS]),
        (false, Kind::Extended as u8, vec![0; CREATED_OCTETS]),
        (false, knock, vec![0; 216]),
        (false, Kind::Tokens as u8, vec![0; 2_048]),
        (false, Kind::Phase as u8, vec![0]),
        (false, Kind::Extend as u8, vec![0; Kind::Extend.payload_octets() - 1]),
        (true, Kind::Extend as u8, vec![0; Kind::Extend.payload_octets()]),
        (true, Kind::Tokens as u8, vec![0; 2_047]),
        (true, Kind::Join as u8, vec![0; 16]),
    ];
    for (junction, kind, payload) in wrong {
        let mut relay = Relay::new(16);
        relay.open(FROM, 1, junction);
        relay.open(FROM, 2, junction);
        relay.events.clear();
        relay.say(FROM, 1, kind, payload);
        assert_eq!(relay.events, [Event::CircuitEnded { link: FROM, circuit: CircId(1) }], "kind {kind}");
        assert_eq!((relay.core.circuits(), relay.count("broke_protocol")), (1, 1));
        relay.left.clear();
        relay.wait(10 * SLOT_US);
        assert!(relay.left.len() >= 9 && relay.left.iter().all(|left| left.circuit == 2), "nothing is said about it");
    }
}

#[test]
fn a_next_hop_that_never_answers_is_given_up_and_another_may_be_asked() {
    let mut relay = Relay::new(16);
    relay.open(FROM, 1, false);
    for (next_circuit, handshake) in [(0u32, vec![7; HANDSHAKE_OCTETS]), (9, vec![7; HANDSHAKE_OCTETS])] {
        relay.say(FROM, 1, Kind::Extend as u8, vec![5; Kind::Extend.payload_octets()]);
        relay.give(Input::Command(Command::Extend { link: FROM, circuit: CircId(1), next_link: TO, next_circuit: CircId(next_circuit), handshake }));
        relay.wait(513 * SLOT_US);
    }
    assert_eq!(relay.answers(FROM, 1), [(Kind::NotExtended as u8, vec![2]), (Kind::NotExtended as u8, vec![4])]);
    let said = relay.on(TO);
    assert_eq!(said.len(), 512);
    assert!(said.iter().all(|left| left.circuit == 9 && parse_speech(&left.body).is_some_and(|speech| speech.kind == Kind::Create as u8)));
    relay.extend(FROM, 1, 10);
    relay.wait(8 * SLOT_US);
    assert_eq!(relay.answers(FROM, 1).last(), Some(&(Kind::NotExtended as u8, vec![4])), "it is no head any more: what it says waits for cells");
    for slot in relay.slot()..relay.slot() + 9 {
        relay.cell(TO, 10, slot, &[0x33; 248]);
    }
    let extended = relay.answers(FROM, 1).into_iter().filter(|(kind, _)| *kind == Kind::Extended as u8).flat_map(|(_, fragment)| fragment);
    assert_eq!(extended.collect::<Vec<u8>>(), [8; CREATED_OCTETS], "three others, and six fragments one after the other");
}

#[test]
fn created_is_said_once_and_a_fragment_more_for_each_create_that_still_comes() {
    let mut relay = Relay::new(16);
    relay.create(FROM, 1);
    relay.accept(FROM, 1, true);
    relay.wait(10 * SLOT_US);
    let spoken = |relay: &Relay| relay.on(FROM).iter().filter_map(|left| parse_speech(&left.body).map(|speech| speech.index)).collect::<Vec<u8>>();
    assert_eq!(spoken(&relay), [0, 1, 2, 3, 4, 5]);
    let mut answer = Collector::default();
    let heard: Vec<_> = relay.on(FROM)[..6].iter().map(|left| hear_created(&mut answer, &left.body).expect("fits")).collect();
    assert_eq!(heard[5], Some((Kind::Created, vec![9; CREATED_OCTETS])));
    let mut create = Carousel::new(Kind::Create as u8, 1, vec![7; HANDSHAKE_OCTETS]).expect("short enough");
    for round in 1..=8u8 {
        relay.cell(FROM, 1, relay.slot(), &create.next_body());
        relay.wait(2 * SLOT_US);
        assert_eq!(spoken(&relay).len(), 6 + usize::from(round));
        assert_eq!(spoken(&relay).last(), Some(&((round - 1) % 6)), "round and round");
    }
}

#[test]
fn a_relay_steals_at_most_one_slot_in_four() {
    let mut relay = Relay::new(16);
    relay.open(FROM, 1, true);
    let mut times = Vec::new();
    for _ in 0..40 {
        relay.say(FROM, 1, Kind::Phase as u8, vec![]);
        let before = relay.left.len();
        relay.wait(SLOT_US);
        times.extend(relay.left[before..].iter().map(|left| left.at));
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == SLOT_US));
    let answers = relay.answers(FROM, 1).len();
    assert!((8..=11).contains(&answers), "{answers} of 40");
}

#[test]
fn a_circuit_that_nobody_feeds_ends_after_3000_slots_and_one_that_is_fed_does_not() {
    let mut relay = Relay::new(16);
    relay.open(FROM, 1, false);
    relay.open(FROM, 2, false);
    relay.events.clear();
    for _ in 0..62 {
        relay.wait(1_000_000);
        relay.cell(FROM, 2, relay.slot(), &[0x77; 248]);
        let ended = relay.events.len();
        assert!(ended == 0 || relay.now > 60_000_000);
    }
    assert_eq!(relay.events, [Event::CircuitEnded { link: FROM, circuit: CircId(1) }]);
    assert_eq!(relay.core.circuits(), 1);
}

#[test]
fn when_a_link_goes_its_circuits_end_and_those_that_went_on_over_it_are_filled() {
    let mut relay = settled_run(20, |_, _| vec![0]);
    relay.events.clear();
    relay.give(Input::LinkDown { link: TO });
    let (before, ticks) = (relay.on(TO).len(), relay.on(BOX).len());
    for _ in 0..20 {
        relay.wait(SLOT_US);
        relay.cell(BOX, 77, relay.slot(), &[0x77; 248]);
    }
    assert_eq!(relay.on(TO).len(), before);
    let after: Vec<u32> = relay.on(BOX)[ticks..].iter().map(|left| left.circuit).collect();
    assert!(after.len() >= 19 && after.iter().all(|circuit| *circuit == 77), "the guard goes on under the circuit's number");
    relay.give(Input::LinkDown { link: BOX });
    assert_eq!(relay.events, [Event::CircuitEnded { link: BOX, circuit: CircId(77) }]);
    assert_eq!(relay.core.circuits(), 0);
    let silent = relay.left.len();
    relay.wait(20 * SLOT_US);
    assert_eq!(relay.left.len(), silent);
}

#[test]
fn after_a_stall_there_is_no_burst_and_the_phase_is_kept() {
    let mut relay = settled_run(20, |_, _| vec![0]);
    let last = relay.on(BOX).last().map(|left| left.at).expect("ticks");
    let before = relay.left.len();
    relay.now += 3_000_000;
    relay.give(Input::Timer);
    let burst = relay.left.len() - before;
    assert!(burst <= 2 * 9, "{burst} cells at once after 3 s");
    assert_eq!(relay.count("slots_skipped"), 1);
    relay.wait(10 * SLOT_US);
    assert!(relay.on(BOX).iter().rev().take(10).all(|left| (left.at - last) % SLOT_US == 0));
    let slots: Vec<u32> = relay.on(BOX).iter().rev().take(10).map(|left| left.slot).collect();
    assert!(slots.windows(2).all(|pair| pair[0] == pair[1] + 1), "{slots:?}");
}

#[test]
fn refused_is_said_again_to_whoever_still_asks() {
    let mut relay = Relay::new(16);
    relay.create(FROM, 1);
    relay.give(Input::Command(Command::Refuse { link: FROM, circuit: CircId(1), reason: 3 }));
    assert!(relay.left.is_empty(), "nothing is said unasked");
    relay.create(FROM, 1);
    let said = relay.on(FROM);
    assert_eq!(said.len(), 6);
    assert!(said.iter().all(|left| left.body == serialise_short(Kind::Refused, 1, &[3]) && left.circuit == 1));
    relay.create(BOX, 4);
    relay.give(Input::Command(Command::Refuse { link: BOX, circuit: CircId(4), reason: 5 }));
    relay.create(BOX, 4);
    relay.wait(5 * SLOT_US);
    let ticks = relay.on(BOX);
    assert_eq!(ticks.iter().filter(|left| left.body == serialise_short(Kind::Refused, 1, &[5])).count(), 1, "one tick, one cell");
    assert!(ticks.len() >= 4);
}
