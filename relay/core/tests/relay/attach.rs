//! A circuit that goes on over another access link to its guard, because its box has another address (PROTOCOL.md §6.5).

use crate::peer::{Relay, BOX, FROM, TO};
use crate::settled_run;
use voicebox_core::cell::Body;
use voicebox_core::ids::SLOT_US;
use voicebox_core::layer::Layer;
use voicebox_core::speech::{serialise_short, Kind};
use voicebox_core::{Input, LinkId, LinkKind};

const NEXT: LinkId = LinkId(4);
const ANOTHER: LinkId = LinkId(5);
const CIRCUIT: u32 = 77;

/// A guard with a settled circuit, whose box has two more links.
fn guard() -> Relay {
    let mut relay = settled_run(20, |_, _| vec![0]);
    for link in [NEXT, ANOTHER] {
        relay.give(Input::LinkUp { link, kind: LinkKind::AccessGuard });
    }
    relay.left.clear();
    relay
}

fn attach(relay: &Relay, slot: u32) -> Body {
    relay.inside(slot, &serialise_short(Kind::Attach, 50, &[]))
}

/// The circuits under which cells left on a link in the last `slots`.
fn circuits(relay: &Relay, link: LinkId, slots: u64) -> Vec<u32> {
    let since = relay.now - slots * SLOT_US;
    let mut found: Vec<u32> = relay.left.iter().filter(|left| left.link == link && left.at >= since).map(|left| left.circuit).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The wait and the step that `attached` tells on a link.
fn attached(relay: &Relay, link: LinkId) -> Option<(i32, u16)> {
    let (_, told) = relay.answers(link, CIRCUIT).into_iter().find(|(kind, _)| *kind == Kind::Attached as u8)?;
    let [w0, w1, w2, w3, s0, s1] = *told.first_chunk::<6>()?;
    Some((i32::from_be_bytes([w0, w1, w2, w3]), u16::from_be_bytes([s0, s1])))
}

#[test]
fn a_circuit_goes_on_over_another_link_and_nothing_is_seen_behind() {
    let mut relay = guard();
    let slot = relay.slot() + 1;
    relay.wait_until(u64::from(slot) * SLOT_US + 11_000);
    relay.cell(NEXT, CIRCUIT, slot, &attach(&relay, slot));
    relay.wait(10 * SLOT_US);
    assert_eq!((circuits(&relay, NEXT, 8), circuits(&relay, BOX, 8)), (vec![CIRCUIT], vec![0]), "the former link is filled");
    let (wait_us, step) = attached(&relay, NEXT).expect("an answer");
    // The earliest of 50 cells came about 2 000 us after its slot's time: due times are 5 000 us later, and a cell is put together 1 000 us before.
    let exact = 2_000 + 5_000 - 1_000 - 11_000;
    assert!((exact..=exact + 250).contains(&wait_us) && step == 500, "{wait_us}, on the grid");
    let ticks: Vec<u64> = relay.on(NEXT).iter().map(|left| left.at % SLOT_US).collect();
    assert!(ticks.iter().all(|phase| *phase == ticks[0]) && ticks[0] != relay.on(BOX)[0].at % SLOT_US);
    // With a number one ahead cells are in time, and go on in their slots.
    for ahead in 1..40 {
        let number = slot + 20 + ahead;
        relay.wait_until(u64::from(slot + 20 + ahead - 1) * SLOT_US + 11_000);
        let body = relay.inside(number, &[ahead as u8 | 1; 248]);
        relay.cell(NEXT, CIRCUIT, number, &body);
    }
    relay.wait(3 * SLOT_US);
    let behind = relay.on(TO);
    assert!(behind.windows(2).all(|pair| pair[1].at - pair[0].at == SLOT_US && pair[1].slot == pair[0].slot + 1), "a cell in each slot, whatever happens");
    let whole = behind.iter().filter(|left| left.body == [(left.slot - slot - 20) as u8 | 1; 248]).count();
    assert!(whole >= 37, "{whole}");
    // The link that it left may go.
    relay.give(Input::LinkDown { link: BOX });
    relay.wait(5 * SLOT_US);
    assert_eq!((circuits(&relay, NEXT, 4), relay.core.circuits()), (vec![CIRCUIT], 1));
    relay.give(Input::LinkDown { link: NEXT });
    assert_eq!(relay.core.circuits(), 0);
}

#[test]
fn a_copy_of_an_attach_and_one_without_the_key_do_nothing() {
    let mut relay = guard();
    let slot = relay.slot() + 1;
    let good = attach(&relay, slot);
    let mut other = serialise_short(Kind::Attach, 50, &[]);
    Layer::new(&[99; 16]).encipher(&slot.to_be_bytes(), &mut other);
    let noise = relay.inside(slot, &serialise_short(Kind::Phase, 50, &[]));
    let taken = slot - 30;
    let old = attach(&relay, taken);
    for (link, circuit, slot, body) in [
        (NEXT, CIRCUIT, slot, other),    // another key
        (NEXT, CIRCUIT, slot, noise),    // another message
        (NEXT, CIRCUIT, slot + 1, good), // under another slot
        (NEXT, CIRCUIT, taken, old),     // in a slot that is not above all that were taken
        (NEXT, CIRCUIT + 1, slot, good), // another number
        (NEXT, CIRCUIT, slot, [0; 248]), // outside the layer
        (FROM, CIRCUIT, slot, good),     // over a relay's link
    ] {
        relay.cell(link, circuit, slot, &body);
        relay.wait(2 * SLOT_US);
        assert_eq!(circuits(&relay, BOX, 1), vec![CIRCUIT]);
    }
    assert!(attached(&relay, NEXT).is_none());
    let slot = relay.slot() + 1;
    let good = attach(&relay, slot);
    relay.cell(NEXT, CIRCUIT, slot, &good);
    relay.wait(5 * SLOT_US);
    assert_eq!(circuits(&relay, NEXT, 3), vec![CIRCUIT]);
    relay.cell(ANOTHER, CIRCUIT, slot, &good);
    relay.wait(5 * SLOT_US);
    assert_eq!((circuits(&relay, NEXT, 3), circuits(&relay, ANOTHER, 3)), (vec![CIRCUIT], vec![0]), "a copy");
    // A fresh one moves it on.
    let slot = relay.slot() + 1;
    relay.cell(ANOTHER, CIRCUIT, slot, &attach(&relay, slot));
    relay.wait(5 * SLOT_US);
    assert_eq!((circuits(&relay, NEXT, 3), circuits(&relay, ANOTHER, 3)), (vec![0], vec![CIRCUIT]));
}

#[test]
fn a_circuit_that_is_not_settled_or_a_link_that_has_one_is_not_for_it() {
    let mut relay = Relay::new(16);
    relay.give(Input::LinkUp { link: NEXT, kind: LinkKind::AccessGuard });
    relay.open(BOX, CIRCUIT, false);
    relay.extend(BOX, CIRCUIT, 88);
    let slot = relay.slot() + 5;
    relay.cell(NEXT, CIRCUIT, slot, &attach(&relay, slot));
    relay.wait(5 * SLOT_US);
    assert_eq!(circuits(&relay, NEXT, 3), vec![0]);

    let mut relay = guard();
    relay.open(NEXT, 55, false);
    let slot = relay.slot() + 1;
    relay.cell(NEXT, CIRCUIT, slot, &attach(&relay, slot));
    relay.wait(5 * SLOT_US);
    assert_eq!((circuits(&relay, NEXT, 3), circuits(&relay, BOX, 3)), (vec![55], vec![CIRCUIT]));
}

#[test]
fn an_attach_whose_answer_was_lost_is_answered_again_late_as_it_is() {
    let mut relay = guard();
    for again in 0..6 {
        let slot = relay.slot() + 1;
        relay.wait_until(u64::from(slot) * SLOT_US + 15_000); // after its due time
        relay.cell(NEXT, CIRCUIT, slot, &attach(&relay, slot));
        relay.left.clear();
        relay.wait(6 * SLOT_US);
        assert!(attached(&relay, NEXT).is_some(), "{again}");
    }
}
