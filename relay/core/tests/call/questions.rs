//! Questions to the holders of records beside a call: none of its sound is missing (PROTOCOL.md §12.4).

use super::coupled::coupled_call;
use super::*;
use voicebox_core::speech::{Kind, QUESTION_OCTETS};

const FRAMES: u32 = 500;
/// As the boxes' control plane says them.
const EVERY: u32 = 5;

fn question(octet: u8) -> Vec<u8> {
    vec![octet; QUESTION_OCTETS]
}

/// Let both boxes ask while both phones talk, the second so much later than the first. Return how long each took, how many frames came from copies, and the reports.
fn talk_and_ask(world: &mut World, apart_us: u64) -> ([u64; 2], [u64; 2], [Report; 2]) {
    let repaired = [BOX_A, BOX_B].map(|node| world.count(node, "sound_repaired"));
    let begin = begin_talk(world, FRAMES, [0, 0]);
    world.run_for(2 * SECOND_US);
    world.events(BOX_A);
    world.events(BOX_B);
    let mut took = [0; 2];
    for (at, end) in [End::a(), End::b()].into_iter().enumerate() {
        world.command(end.node, say(end.name, 1, Kind::Ask as u8, question(end.node as u8 + 1), EVERY, 0));
        let asked_at = world.now;
        while took[at] == 0 && world.now < asked_at + apart_us {
            world.run_for(1_000);
            for event in world.events(end.node) {
                let Event::Answer { hop, kind, payload, .. } = event else { continue };
                assert_eq!((hop, kind, payload), (1, Kind::Answered as u8, question(end.node as u8 + 1)));
                took[at] = world.now - asked_at;
            }
        }
        world.run_for(asked_at + apart_us - world.now);
    }
    world.run_for(3 * SECOND_US);
    assert!(
        [BOX_A, BOX_B].map(|node| world.events(node).len()).iter().sum::<usize>() == took.iter().filter(|took| **took == 0).count(),
        "each is answered once"
    );
    world.run_for(begin[0] + SLOT_US * u64::from(FRAMES) + SECOND_US - world.now);
    let more = [(BOX_A, 0), (BOX_B, 1)].map(|(node, at)| world.count(node, "sound_repaired") - repaired[at]);
    let reports = [report(world, BOX_A, begin[1], FRAMES), report(world, BOX_B, begin[0], FRAMES)];
    (took, more, reports)
}

#[test]
fn over_one_circuit_a_question_takes_slots_and_no_sound() {
    let wire = Wire { loss_per_million: 0, ..CONTINENT };
    let mut world = standing(wire, (0, 0), 77);
    call(&mut world, [7; 16]);
    let (took, copies, reports) = talk_and_ask(&mut world, 2 * SECOND_US);
    println!("one circuit: answered after {took:?} us; of {FRAMES} frames {copies:?} from copies");
    assert!(took.iter().all(|us| (SECOND_US..2 * SECOND_US).contains(us)));
    for (at, node) in [BOX_A, BOX_B].into_iter().enumerate() {
        assert_eq!(reports[at].lost - left_out(&world, node), 0);
        // Nine fragments and a few that are said while the answer comes, at the asking box; as many of the answer on the way back: each takes one frame's cell.
        assert!((10..=40).contains(&copies[at]), "{copies:?}");
        assert!(reports[at].at(99) <= 140.0);
    }
}

#[test]
fn where_both_ask_at_once_a_frame_and_its_copy_may_be_taken_both() {
    let mut world = standing(Wire { loss_per_million: 0, ..CONTINENT }, (0, 0), 79);
    call(&mut world, [9; 16]);
    let (_, copies, reports) = talk_and_ask(&mut world, 0);
    let lost = [BOX_A, BOX_B].iter().zip(&reports).map(|(node, report)| report.lost - left_out(&world, *node)).collect::<Vec<_>>();
    println!("one circuit, both at once: of {FRAMES} frames {copies:?} from copies, {lost:?} missing");
    assert!(lost.iter().all(|lost| *lost <= 9), "{lost:?}");
}

#[test]
fn over_two_circuits_nothing_is_heard_of_it() {
    let mut world = coupled_call(Wire { loss_per_million: 0, ..CONTINENT }, (0, 0), 78);
    let (took, copies, reports) = talk_and_ask(&mut world, 2 * SECOND_US);
    println!("two circuits: answered after {took:?} us; of {FRAMES} frames {copies:?} from copies");
    for (at, node) in [BOX_A, BOX_B].into_iter().enumerate() {
        assert!(took[at] > 0);
        assert_eq!(reports[at].lost - left_out(&world, node), 0);
    }
}

#[test]
fn an_answer_that_nobody_waits_for_is_counted_and_is_nobodys_fault() {
    let mut world = standing(LOCAL, (0, 0), 79);
    let (link, circuit) = End::a().name;
    for (circuit, octets) in [(circuit, QUESTION_OCTETS), (CircId(77), QUESTION_OCTETS), (circuit, QUESTION_OCTETS - 1)] {
        world.command(GUARD_A, Command::AnswerAsk { link, circuit, number: 9, payload: vec![1; octets] });
    }
    assert_eq!((world.count(GUARD_A, "answer_late"), world.count(GUARD_A, "bad_command")), (2, 1), "one has no length that an answer has");
}
