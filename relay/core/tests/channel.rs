//! The channel between two boxes (PROTOCOL.md §9.2): whatever the wire does, each message comes once and in order; junk changes nothing.

mod draws;

use std::collections::VecDeque;

use draws::Draws;
use proptest::prelude::*;
use voicebox_core::channel::{Channel, PushError, MAX_MESSAGE_OCTETS, MAX_SEGMENT_OCTETS, MAX_WAITING_MESSAGES};

/// What one direction of the wire does to the cells of a run.
#[derive(Debug, Clone)]
struct Wire {
    loss_percent: u32,
    repeat_percent: u32,
    longest_delay_slots: u32,
    rooms: Vec<usize>,
}

fn wires() -> impl Strategy<Value = Wire> {
    let rooms = prop::collection::vec(prop_oneof![Just(220usize), Just(60), Just(140), 7usize..220, 0usize..7], 1..6);
    // A room of at least 60 comes round, as beside every codec: else a segment could never leave.
    let rooms = rooms.prop_map(|mut rooms| {
        rooms.push(60);
        rooms
    });
    (0u32..60, 0u32..30, 0u32..20, rooms).prop_map(|(loss_percent, repeat_percent, longest_delay_slots, rooms)| Wire {
        loss_percent,
        repeat_percent,
        longest_delay_slots,
        rooms,
    })
}

fn message(index: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|place| (index * 31 + place * 7 + place / 251) as u8).collect()
}

type OnTheWay = VecDeque<(u64, Vec<u8>, bool)>;

fn say(channel: &mut Channel, wire: &Wire, slot: u64, draws: &mut Draws, on_the_way: &mut OnTheWay) {
    let room = wire.rooms[slot as usize % wire.rooms.len()];
    // As the owner does: a segment that cannot get past the sound takes a whole cell.
    let room = if channel.wants_whole_cell(room) { 220 } else { room };
    let mut out = vec![0u8; room];
    let said = channel.segment_for_slot(&mut out);
    assert!(said.octets <= room && said.octets <= MAX_SEGMENT_OCTETS);
    if said.octets == 0 {
        return;
    }
    let copies = 1 + u32::from(draws.next(100) < wire.repeat_percent);
    for _ in 0..copies {
        if draws.next(100) >= wire.loss_percent {
            let delay = u64::from(draws.next(wire.longest_delay_slots + 1));
            on_the_way.push_back((slot + 1 + delay, out[..said.octets].to_vec(), said.ends_message));
        }
    }
}

fn hear(channel: &mut Channel, slot: u64, on_the_way: &mut OnTheWay, heard: &mut Vec<Vec<u8>>) {
    let (due, later): (Vec<_>, Vec<_>) = on_the_way.drain(..).partition(|(at, _, _)| *at <= slot);
    on_the_way.extend(later);
    for (_, segment, ends_message) in due {
        heard.extend(channel.take_segment(&segment, ends_message).expect("an honest peer's segment is never junk"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_once_and_in_order(
        seed in any::<u64>(),
        there in wires(),
        back in wires(),
        lengths in prop::collection::vec(prop_oneof![1usize..40, 1usize..1_500, Just(MAX_MESSAGE_OCTETS)], 1..12),
        lengths_back in prop::collection::vec(1usize..600, 0..6),
    ) {
        let mut draws = Draws(seed);
        let (mut a, mut b) = (Channel::new(), Channel::new());
        let sent: Vec<_> = lengths.iter().enumerate().map(|(index, octets)| message(index, *octets)).collect();
        let sent_back: Vec<_> = lengths_back.iter().enumerate().map(|(index, octets)| message(index + 100, *octets)).collect();
        sent.iter().for_each(|message| a.push(message).expect("below the bound"));
        sent_back.iter().for_each(|message| b.push(message).expect("below the bound"));
        let (mut to_b, mut to_a) = (VecDeque::new(), VecDeque::new());
        let (mut at_b, mut at_a) = (Vec::new(), Vec::new());
        let mut slot = 0;
        while !(a.is_idle() && b.is_idle()) {
            slot += 1;
            prop_assert!(slot < 200_000, "the channel stalled: {} of {} and {} of {} messages", at_b.len(), sent.len(), at_a.len(), sent_back.len());
            say(&mut a, &there, slot, &mut draws, &mut to_b);
            say(&mut b, &back, slot, &mut draws, &mut to_a);
            hear(&mut b, slot, &mut to_b, &mut at_b);
            hear(&mut a, slot, &mut to_a, &mut at_a);
        }
        prop_assert_eq!(at_b, sent);
        prop_assert_eq!(at_a, sent_back);
    }

    #[test]
    fn junk_never_harms_a_channel(segments in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..260), any::<bool>()), 0..40)) {
        let mut channel = Channel::new();
        channel.push(&message(1, 300)).expect("below the bound");
        for (segment, ends_message) in &segments {
            if let Ok(messages) = channel.take_segment(segment, *ends_message) {
                prop_assert!(segment.len() >= 4 && segment.len() <= MAX_SEGMENT_OCTETS);
                prop_assert!(messages.iter().all(|message| !message.is_empty() && message.len() <= MAX_MESSAGE_OCTETS));
            }
            let mut out = [0u8; 220];
            prop_assert!(channel.segment_for_slot(&mut out).octets >= 4);
        }
    }
}

fn segment_of(next: u16, map: u16, data: Option<(u16, &[u8])>) -> Vec<u8> {
    let mut segment = [next.to_be_bytes(), map.to_be_bytes()].concat();
    if let Some((sequence, octets)) = data {
        segment.extend_from_slice(&sequence.to_be_bytes());
        segment.extend_from_slice(octets);
    }
    segment
}

/// Inputs of a test that takes anything: 10^5, or 10^7 where VOICEBOX_LONG is set.
fn rounds() -> u32 {
    if std::env::var_os("VOICEBOX_LONG").is_some() {
        10_000_000
    } else {
        100_000
    }
}

#[test]
fn any_segment_is_junk_or_taken() {
    let mut draws = Draws(11);
    let mut channel = Channel::new();
    let (mut junk, mut taken, mut messages) = (0u32, 0u32, 0usize);
    for round in 0..rounds() {
        if round % 100 == 0 {
            // At the bound nothing is queued, which is fine here.
            let _full = channel.push(&message(round as usize, 1 + round as usize % 700)).is_err();
        }
        let mut out = [0; 220];
        let said = channel.segment_for_slot(&mut out);
        assert!(said.octets >= 4);
        // Near what an honest peer might say: numbers around those in use, any map, any length.
        let near = |draws: &mut Draws, number: u16| if draws.next(8) == 0 { draws.next(65_536) as u16 } else { number.wrapping_add(draws.next(70) as u16) };
        let (expected, in_flight) = (u16::from_be_bytes([out[0], out[1]]), u16::from_be_bytes([out[4], out[5]]));
        let map = if draws.next(4) == 0 { draws.next(65_536) as u16 } else { 0 };
        let mut segment = [near(&mut draws, in_flight.wrapping_sub(35)).to_be_bytes(), map.to_be_bytes()].concat();
        if draws.next(8) > 0 {
            let octets = draws.next(214) as usize;
            segment.extend_from_slice(&near(&mut draws, expected.wrapping_sub(3)).to_be_bytes());
            segment.extend(std::iter::repeat_n(round as u8, octets));
        }
        segment.truncate(if draws.next(16) == 0 { draws.next(10) as usize } else { segment.len() });
        match channel.take_segment(&segment, draws.next(3) == 0) {
            Ok(whole) => {
                taken += 1;
                messages += whole.len();
            }
            Err(_) => junk += 1,
        }
    }
    println!("segments: {taken} taken, {junk} junk, {messages} messages");
    assert!(taken > 1_000 && junk > 1_000 && messages > 100);
}

#[test]
fn what_does_not_follow_the_format_is_junk() {
    let mut channel = Channel::new();
    for (what, segment, ends_message) in [
        ("empty", vec![], false),
        ("shorter than an acknowledgement", vec![0; 3], false),
        ("acknowledges what was never said", segment_of(1, 0, None), false),
        ("acknowledges early what was never said", segment_of(0, 1, None), false),
        ("half a sequence number", vec![0; 5], false),
        ("no data after the sequence number", segment_of(0, 0, Some((0, &[]))), false),
        ("ends a message of nothing", segment_of(0, 0, None), true),
        ("beyond the window", segment_of(0, 0, Some((64, b"x"))), false),
        ("longer than a segment", segment_of(0, 0, Some((0, &[1; 213]))), false),
        ("far behind", segment_of(0, 0, Some((0u16.wrapping_sub(2_000), b"x"))), false),
    ] {
        assert!(channel.take_segment(&segment, ends_message).is_err(), "{what}");
    }
    assert_eq!(channel.take_segment(&segment_of(0, 0, Some((0, b"hello"))), true), Ok(vec![b"hello".to_vec()]));
    assert_eq!(channel.take_segment(&segment_of(0, 0, Some((0, b"hello"))), true), Ok(vec![]), "a repetition is taken for what it is");
}

#[test]
fn a_message_without_end_stops_the_channel_and_takes_no_more_memory() {
    let mut channel = Channel::new();
    let whole = MAX_MESSAGE_OCTETS / 212;
    for sequence in 0..whole as u16 {
        assert_eq!(channel.take_segment(&segment_of(0, 0, Some((sequence, &[7; 212]))), false), Ok(vec![]));
    }
    for _ in 0..100 {
        assert!(channel.take_segment(&segment_of(0, 0, Some((whole as u16, &[7; 212]))), false).is_err());
    }
}

#[test]
fn at_most_64_messages_wait() {
    let mut channel = Channel::new();
    assert_eq!(channel.push(&[]), Err(PushError::Length));
    assert_eq!(channel.push(&[0; MAX_MESSAGE_OCTETS + 1]), Err(PushError::Length));
    for _ in 0..MAX_WAITING_MESSAGES {
        assert_eq!(channel.push(&[1; MAX_MESSAGE_OCTETS]), Ok(()));
    }
    assert_eq!(channel.push(&[1]), Err(PushError::Full));
}

#[test]
fn a_long_segment_asks_for_a_cell_when_sound_leaves_no_room() {
    let mut channel = Channel::new();
    channel.push(&[9; 212]).expect("below the bound");
    assert_eq!(channel.segment_for_slot(&mut [0; 220]).octets, 218);
    let mut slots = 0;
    while !channel.wants_whole_cell(60) {
        assert_eq!(channel.segment_for_slot(&mut [0; 60]).octets, 4);
        slots += 1;
        assert!(slots < 20, "never asked");
    }
    assert_eq!(channel.segment_for_slot(&mut [0; 220]).octets, 218);
    assert!(!channel.wants_whole_cell(60));
}
