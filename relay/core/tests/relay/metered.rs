//! Metered circuits at a relay: a cell in each slot of an even number, also after a stall, and ticks to match (PROTOCOL.md §5.7).

use voicebox_core::ids::{METERED, SLOT_US};
use voicebox_core::speech::{Kind, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Input};

use crate::peer::{Left, Relay, BOX, FROM, TO};

const CIRCUIT: u32 = METERED | 77;

fn even(left: &[&Left]) -> bool {
    left.windows(2).all(|pair| pair[1].at - pair[0].at == 2 * SLOT_US && pair[1].slot == pair[0].slot + 2) && left.iter().all(|left| left.slot % 2 == 0)
}

#[test]
fn the_head_of_a_metered_circuit_has_every_second_slot_also_after_a_stall() {
    let mut relay = Relay::new(16);
    relay.open(FROM, CIRCUIT, true);
    relay.open(FROM, 1, true);
    let first = relay.left.len();
    relay.wait(40 * SLOT_US);
    let of = |relay: &Relay, circuit: u32| relay.on(FROM).iter().filter(|left| left.circuit == circuit).count();
    assert_eq!((of(&relay, CIRCUIT), of(&relay, 1)), (20, 40), "{first}");
    for stall in [3_000_000, 3_020_000, 100_000] {
        relay.now += stall;
        relay.give(Input::Timer);
        relay.left.clear();
        relay.wait(30 * SLOT_US);
        let left: Vec<_> = relay.on(FROM).into_iter().filter(|left| left.circuit == CIRCUIT).collect();
        assert!(left.len() >= 14 && even(&left), "after {stall} us");
        assert!(left.iter().all(|left| left.at / SLOT_US == u64::from(left.slot)), "the number is that of the slot");
    }
}

#[test]
fn a_guard_ticks_for_a_metered_box_in_every_second_slot_from_its_create_on() {
    let mut relay = Relay::new(16);
    relay.cell(BOX, 0, relay.slot(), &[7; 248]);
    relay.wait(10 * SLOT_US);
    assert!(relay.on(BOX).windows(2).all(|pair| pair[1].at - pair[0].at == SLOT_US), "nobody knows yet");
    relay.create(BOX, CIRCUIT);
    relay.wait(2 * SLOT_US);
    let first = relay.on(BOX).len();
    relay.wait(20 * SLOT_US);
    assert!(even(&relay.on(BOX)[first..]));
    relay.give(Input::Command(Command::Refuse { link: BOX, circuit: CircId(CIRCUIT), reason: 19 }));
    relay.cell(BOX, CIRCUIT, relay.slot_of(CIRCUIT), &[0; 248]);
    relay.create(BOX, CIRCUIT);
    relay.wait(10 * SLOT_US);
    let refused: Vec<_> = relay.on(BOX).into_iter().filter(|left| left.circuit == CIRCUIT).collect();
    assert!(!refused.is_empty() && refused.iter().all(|left| left.slot % 2 == 0), "what is said on its number is in its slots");
    assert!(even(&relay.on(BOX)[first..]));
}

#[test]
fn a_guard_ticks_for_a_metered_box_as_before_also_when_its_circuit_has_ended_and_when_its_create_is_forgotten() {
    let mut relay = Relay::new(16);
    relay.open(BOX, CIRCUIT, false);
    relay.wait(2 * SLOT_US);
    let first = relay.on(BOX).len();
    relay.say(BOX, CIRCUIT, Kind::Tokens as u8, vec![0; 2_048]); // not for a guard
    assert_eq!(relay.core.circuits(), 0);
    relay.wait(20 * SLOT_US);
    relay.create(BOX, METERED | 78);
    relay.wait(600 * SLOT_US);
    assert!(even(&relay.on(BOX)[first..]), "PROTOCOL.md §5.7: from then on");
}

#[test]
fn a_settled_guard_sends_both_ways_in_every_second_slot_and_takes_no_odd_number() {
    let mut relay = Relay::new(16);
    relay.open(BOX, CIRCUIT, false);
    relay.extend(BOX, CIRCUIT, METERED | 88);
    let first = relay.slot_of(CIRCUIT) + 2;
    relay.say(BOX, CIRCUIT, Kind::Settle as u8, first.to_be_bytes().to_vec());
    for slot in (first..first + 240).step_by(2) {
        relay.wait_until(u64::from(slot) * SLOT_US + 2_000);
        relay.cell(BOX, CIRCUIT, slot, &[slot as u8 | 1; 248]);
        relay.wait(1_000);
        relay.cell(TO, METERED | 88, slot, &[slot as u8 | 1; 248]);
        relay.cell(BOX, CIRCUIT, slot + 1, &[9; 248]);
        relay.cell(TO, METERED | 88, slot + 1, &[9; 248]);
    }
    assert_eq!((relay.count("slot_odd"), relay.count("slot_late"), relay.count("slot_ahead")), (240, 0, 0));
    assert!(relay.answers(BOX, CIRCUIT).iter().any(|(kind, _)| *kind == Kind::Settled as u8));
    for link in [BOX, TO] {
        let left = relay.on(link);
        let last = &left[left.len() - 40..];
        assert!(even(last), "link {link:?}");
    }
}

#[test]
fn a_circuit_is_not_extended_under_a_number_of_the_other_kind() {
    for (circuit, next_circuit) in [(CIRCUIT, 88), (77, METERED | 88)] {
        let mut relay = Relay::new(16);
        relay.open(BOX, circuit, false);
        relay.say(BOX, circuit, Kind::Extend as u8, vec![5; Kind::Extend.payload_octets()]);
        let (circuit_id, next_circuit) = (CircId(circuit), CircId(next_circuit));
        relay.give(Input::Command(Command::Extend { link: BOX, circuit: circuit_id, next_link: TO, next_circuit, handshake: vec![7; HANDSHAKE_OCTETS] }));
        relay.wait(10 * SLOT_US);
        assert_eq!(relay.answers(BOX, circuit).last(), Some(&(Kind::NotExtended as u8, vec![2])));
        assert!(relay.on(TO).is_empty());
    }
}
