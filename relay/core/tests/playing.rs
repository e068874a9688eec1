//! What a phone hears of an announcement: one frame in each slot, under numbers of its own port, and nothing after the last.

use std::collections::VecDeque;

use voicebox_core::owner::{Owner, MAX_PLAYED_FRAMES};
use voicebox_core::random::SeededRandom;
use voicebox_core::rtp::{parse_rtp, serialise_rtp, RtpPacket};
use voicebox_core::{Command, Context, Counters, DropReason, Micros, Output, PortId};

const PORT: PortId = PortId(1);
const SLOT_US: Micros = 20_000;
const PCMA: u8 = 2;
const START: Micros = 7_000_000;

struct Made {
    owner: Owner,
    random: SeededRandom,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Made {
    /// A port with a phone that speaks PCMA.
    fn new() -> Self {
        let mut made = Self { owner: Owner::new(false), random: SeededRandom::new([4; 32]), outputs: VecDeque::new(), counters: Counters::new() };
        made.command(START, Command::MediaOpen { port: PORT });
        made.command(START, Command::MediaRemote { port: PORT, codec: PCMA, payload_type: 8, event_payload_type: None });
        made
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Owner, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context { random: &mut self.random, outputs: &mut self.outputs, counters: &mut self.counters };
        act(&mut self.owner, &mut ctx)
    }

    fn command(&mut self, now: Micros, command: Command) {
        self.with(|owner, ctx| owner.command(ctx, now, command)).expect("a command of a box");
    }

    fn play(&mut self, now: Micros, count: u8) {
        let frames = (0..count).flat_map(|number| [number; 160]).collect();
        self.command(now, Command::MediaPlay { port: PORT, codec: PCMA, frame_octets: 160, frames });
    }

    /// What the phone was sent until then: when, sequence number, timestamp, first octet of the frame, marker.
    fn hears(&mut self, until: Micros) -> Vec<(Micros, u16, u32, u8, bool)> {
        while let Some(timer) = self.owner.next_timer().filter(|timer| *timer <= until) {
            self.with(|owner, ctx| owner.run_next(ctx, timer));
        }
        self.take()
    }

    fn take(&mut self) -> Vec<(Micros, u16, u32, u8, bool)> {
        let sent = self.outputs.drain(..).filter_map(|output| match output {
            Output::SendRtp { rtcp: false, datagram, at, .. } => Some((datagram, at)),
            _ => None,
        });
        sent.map(|(datagram, at)| {
            let packet = parse_rtp(&datagram).expect("what a port makes is RTP");
            (at, packet.sequence_number, packet.rtp_timestamp, packet.payload[0], packet.marker)
        })
        .collect()
    }
}

#[test]
fn each_slot_has_a_frame_and_after_the_last_there_is_silence() {
    let mut made = Made::new();
    made.play(START, 50);
    let heard = made.hears(START + 3_000_000);
    assert_eq!(heard.iter().map(|one| one.3).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    for (count, one) in heard.iter().enumerate() {
        assert_eq!(one.0, START + SLOT_US * (count as Micros + 1));
        assert_eq!(one.1, heard[0].1.wrapping_add(count as u16));
        assert_eq!(one.2, heard[0].2.wrapping_add(160 * count as u32));
        assert_eq!(one.4, count == 0, "one talkspurt");
    }
    assert_eq!(made.counters.get(DropReason::SoundLate), 0);
    assert_eq!(made.counters.get(DropReason::BadCommand), 0);
    made.play(START + 4_000_000, 3);
    assert_eq!(made.hears(START + 5_000_000).len(), 3, "and again");
}

#[test]
fn what_the_phone_says_meanwhile_goes_nowhere_and_anything_else_ends_it() {
    let mut made = Made::new();
    made.play(START, 50);
    let packet = RtpPacket { marker: false, payload_type: 8, sequence_number: 1, rtp_timestamp: 160, ssrc: 55, payload: &[9; 160] };
    let datagram = serialise_rtp(&packet);
    made.with(|owner, ctx| owner.rtp(ctx, START + 1_000, PORT, &datagram));
    let heard = made.hears(START + 5 * SLOT_US);
    assert_eq!(heard.iter().map(|one| one.3).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    made.command(START + 5 * SLOT_US, Command::MediaJoin { port: PORT, other: PORT, codec: PCMA });
    assert_eq!(made.hears(START + 1_000_000), []);
    made.play(START + 1_000_000, 50);
    made.command(START + 1_100_000, Command::MediaClose { port: PORT });
    assert_eq!(made.hears(START + 3_000_000), []);
    assert_eq!(made.owner.next_timer(), None);
}

#[test]
fn a_phone_on_hold_misses_what_is_played_meanwhile() {
    let mut made = Made::new();
    made.play(START, 50);
    made.command(START, Command::MediaDirection { port: PORT, to_phone: false, from_phone: false });
    assert_eq!(made.hears(START + 25 * SLOT_US), []);
    made.command(START + 25 * SLOT_US, Command::MediaDirection { port: PORT, to_phone: true, from_phone: false });
    let heard = made.hears(START + 2_000_000);
    assert_eq!((heard.len(), heard[0].3, heard[0].4), (25, 25, true));
}

#[test]
fn after_a_stall_it_goes_on_without_a_burst() {
    let mut made = Made::new();
    made.play(START, 20);
    assert_eq!(made.hears(START + 5 * SLOT_US).len(), 5);
    let late = START + 2_000_000;
    made.with(|owner, ctx| owner.run_next(ctx, late));
    let first = made.hears(late + SLOT_US / 2);
    assert_eq!(first.len(), 1);
    let rest = made.hears(late + 2_000_000);
    assert_eq!(rest.len(), 14);
    assert!(rest.windows(2).all(|pair| pair[1].0 - pair[0].0 == SLOT_US));
}

#[test]
fn what_is_no_row_of_frames_is_refused() {
    let mut made = Made::new();
    let commands = [
        (PORT, PCMA, 160, 161),
        (PORT, PCMA, 80, 160),
        (PORT, 9, 160, 160),
        (PORT, PCMA, 0, 0),
        (PORT, 1, 121, 121),
        (PortId(7), PCMA, 160, 160),
        (PORT, PCMA, 160, 160 * (MAX_PLAYED_FRAMES + 1)),
    ];
    for (count, (port, codec, frame_octets, octets)) in commands.into_iter().enumerate() {
        made.command(START, Command::MediaPlay { port, codec, frame_octets, frames: vec![0; octets] });
        assert_eq!(made.counters.get(DropReason::BadCommand), count as u64 + 1);
    }
    assert_eq!(made.hears(START + 1_000_000), []);
}
