//! A machine answers a call: it plays into the circuit, and keeps what comes out of it. The other box and its phone see a call like any other.

use voicebox_core::rtp::parse_rtp;
use voicebox_core::{Command, Event, PortId};

use super::{begin_talk, meet, standing, End, BOX_A, BOX_B, LOCAL, PCMA, PORT, SECOND_US, SLOT_US};

const MACHINE: PortId = PortId(9);
const GREETING_FRAMES: u32 = 100;

/// A port without a phone is bound in the place of B's phone, and plays a greeting.
fn answered_by_a_machine(seed: u8) -> super::World {
    let mut world = standing(LOCAL, (40, -40), seed);
    meet(&mut world, End::a(), End::b(), [7; 16]);
    End::a().bind(&mut world, PCMA);
    world.command(BOX_B, Command::MediaOpen { port: MACHINE });
    let (link, circuit) = End::b().name;
    world.command(BOX_B, Command::MediaBind { port: MACHINE, link, circuit, codec: PCMA });
    world.run_for(SECOND_US);
    world.heard.clear();
    let mut frames = vec![0xd5; 160 * GREETING_FRAMES as usize];
    for number in 0..GREETING_FRAMES {
        frames[160 * number as usize..][..4].copy_from_slice(&number.to_be_bytes());
    }
    world.command(BOX_B, Command::MediaPlay { port: MACHINE, codec: PCMA, frame_octets: 160, frames });
    world
}

fn number_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[..4].try_into().expect("4 octets"))
}

#[test]
fn the_caller_hears_what_is_played_and_the_machine_keeps_what_the_caller_says() {
    let mut world = answered_by_a_machine(41);
    world.run_for(SLOT_US * u64::from(GREETING_FRAMES) + SECOND_US);
    let played: Vec<u32> =
        world.heard.iter().filter(|heard| heard.node == BOX_A).map(|heard| number_of(parse_rtp(&heard.datagram).expect("RTP").payload)).collect();
    assert_eq!((played.first(), played.last()), (Some(&0), Some(&(GREETING_FRAMES - 1))));
    assert!(played.len() as u32 >= GREETING_FRAMES - 3 && played.windows(2).all(|pair| pair[0] < pair[1]), "{played:?}");
    world.events(BOX_B);
    world.command(BOX_B, Command::MediaTape { port: MACHINE, slots: 200 });
    begin_talk(&mut world, 300, [0, 0]);
    world.run_for(SLOT_US * 300 + SECOND_US);
    let mut kept = Vec::new();
    for event in world.events(BOX_B) {
        let Event::Taped { port, entries } = event else { continue };
        assert_eq!(port, MACHINE);
        let mut left = &entries[..];
        while let Some((&octets, rest)) = left.split_first() {
            let (frame, rest) = rest.split_at(usize::from(octets));
            kept.push(frame.to_vec());
            left = rest;
        }
    }
    assert_eq!(kept.len(), 200, "it ends by itself");
    let said: Vec<u32> = kept.iter().filter(|frame| !frame.is_empty()).map(|frame| number_of(frame)).collect();
    assert!(said.len() >= 190 && said.windows(2).all(|pair| pair[0] < pair[1]), "{} of 200, in order", said.len());
    assert!(world.heard.iter().all(|heard| heard.node == BOX_A || heard.node == BOX_B));
    assert_eq!(world.count(BOX_B, "bad_command"), 0);
}

#[test]
fn what_it_may_not_do() {
    let mut world = answered_by_a_machine(42);
    let refused = |world: &mut super::World, why: &str, command: Command| {
        let before = world.count(BOX_B, "bad_command");
        world.command(BOX_B, command);
        assert_eq!(world.count(BOX_B, "bad_command"), before + 1, "{why}");
    };
    refused(&mut world, "a phone's sound is not kept", Command::MediaTape { port: PORT, slots: 10 });
    refused(&mut world, "too long", Command::MediaTape { port: MACHINE, slots: 10_001 });
    refused(&mut world, "nobody there", Command::MediaTape { port: PortId(77), slots: 10 });
    refused(&mut world, "another codec than the circuit's", Command::MediaPlay { port: MACHINE, codec: 3, frame_octets: 160, frames: vec![0; 160] });
    world.command(BOX_B, Command::MediaTape { port: MACHINE, slots: 100 });
    world.command(BOX_B, Command::MediaTape { port: MACHINE, slots: 0 });
    world.events(BOX_B);
    begin_talk(&mut world, 100, [0, 0]);
    world.run_for(3 * SECOND_US);
    assert!(!world.events(BOX_B).iter().any(|event| matches!(event, Event::Taped { .. })), "it was switched off");
}
