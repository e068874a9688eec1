//! Two phones of one box, joined without a circuit: what each hears of the other (PROTOCOL.md §9.4).

use std::collections::VecDeque;

use voicebox_core::owner::Owner;
use voicebox_core::random::SeededRandom;
use voicebox_core::rtp::{parse_rtp, serialise_rtp, RtpPacket};
use voicebox_core::{Command, Context, Counters, DropReason, Micros, Output, PortId};

const HERE: PortId = PortId(1);
const THERE: PortId = PortId(2);
const SLOT_US: Micros = 20_000;
const PCMA: u8 = 2;

struct Heard {
    at: Micros,
    marker: bool,
    payload_type: u8,
    sequence_number: u16,
    rtp_timestamp: u32,
    ssrc: u32,
    first_octet: u8,
}

struct House {
    owner: Owner,
    random: SeededRandom,
    outputs: VecDeque<Output>,
    counters: Counters,
    now: Micros,
}

impl House {
    /// Two phones, whose payload types differ.
    fn new() -> Self {
        let mut house =
            Self { owner: Owner::new(false), random: SeededRandom::new([3; 32]), outputs: VecDeque::new(), counters: Counters::new(), now: 7_000_000 };
        for (port, payload_type) in [(HERE, 8), (THERE, 98)] {
            house.command(Command::MediaOpen { port });
            house.command(Command::MediaRemote { port, codec: PCMA, payload_type, event_payload_type: None });
        }
        house.command(Command::MediaJoin { port: HERE, other: THERE, codec: PCMA });
        house
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Owner, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context { random: &mut self.random, outputs: &mut self.outputs, counters: &mut self.counters };
        act(&mut self.owner, &mut ctx)
    }

    fn command(&mut self, command: Command) {
        let now = self.now;
        self.with(|owner, ctx| owner.command(ctx, now, command)).expect("a command of a box");
    }

    /// Let a phone send a frame at `now`.
    fn says(&mut self, port: PortId, sequence_number: u16, first_octet: u8) {
        let payload_type = if port == HERE { 8 } else { 98 };
        let mut payload = [0; 160];
        payload[0] = first_octet;
        let packet = RtpPacket { marker: false, payload_type, sequence_number, rtp_timestamp: 160 * u32::from(sequence_number), ssrc: 55, payload: &payload };
        let (now, datagram) = (self.now, serialise_rtp(&packet));
        self.with(|owner, ctx| owner.rtp(ctx, now, port, &datagram));
    }

    /// Go on to `until`, and keep what is sent for later.
    fn goes_on(&mut self, until: Micros) {
        while let Some(timer) = self.owner.next_timer().filter(|timer| *timer <= until) {
            self.with(|owner, ctx| owner.run_next(ctx, timer));
        }
        self.now = until;
    }

    /// Go on to `until`, and return what the phones were sent until then.
    fn hear(&mut self, until: Micros) -> Vec<(PortId, Heard)> {
        self.goes_on(until);
        let sent = self.outputs.drain(..).filter_map(|output| match output {
            Output::SendRtp { port, rtcp: false, datagram, at } => Some((port, datagram, at)),
            _ => None,
        });
        sent.map(|(port, datagram, at)| {
            let packet = parse_rtp(&datagram).expect("what a port makes is RTP");
            let heard = Heard {
                at,
                marker: packet.marker,
                payload_type: packet.payload_type,
                sequence_number: packet.sequence_number,
                rtp_timestamp: packet.rtp_timestamp,
                ssrc: packet.ssrc,
                first_octet: packet.payload[0],
            };
            (port, heard)
        })
        .collect()
    }

    /// The same of one phone.
    fn hears(&mut self, until: Micros, phone: PortId) -> Vec<Heard> {
        self.hear(until).into_iter().filter(|(port, _)| *port == phone).map(|(_, heard)| heard).collect()
    }
}

#[test]
fn each_phone_hears_the_other_at_once_under_numbers_of_its_own_port() {
    let mut house = House::new();
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for count in 0..50u8 {
        let now = house.now;
        house.says(HERE, 65_530u16.wrapping_add(count.into()), count);
        there.extend(house.hears(now + 5_000, THERE));
        house.says(THERE, 900 + u16::from(count), 100 + count);
        here.extend(house.hears(now + SLOT_US, HERE));
    }
    assert_eq!(there.iter().map(|heard| heard.first_octet).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert_eq!(here.iter().map(|heard| heard.first_octet).collect::<Vec<_>>(), (100..150).collect::<Vec<_>>());
    assert!(there.iter().all(|heard| heard.payload_type == 98 && heard.ssrc == there[0].ssrc && heard.ssrc != 55));
    assert_ne!(here[0].ssrc, there[0].ssrc);
    assert_eq!((there[0].at, there[49].at), (7_001_000, 7_001_000 + 49 * SLOT_US), "a millisecond later");
    for (count, pair) in there.windows(2).enumerate() {
        assert_eq!(pair[1].sequence_number, pair[0].sequence_number.wrapping_add(1), "{count}");
        assert_eq!(pair[1].rtp_timestamp, pair[0].rtp_timestamp.wrapping_add(160));
    }
    assert!(there[0].marker && !there[1].marker);
    assert_eq!(house.counters.get(DropReason::SoundLate), 0);
}

#[test]
fn a_lost_packet_leaves_a_gap_and_a_pause_does_not() {
    let mut house = House::new();
    let start = house.now;
    for (number, at) in [(10, 0), (11, 20), (13, 60), (14, 5_080), (15, 5_100), (9, 5_120)] {
        house.goes_on(start + at * 1_000);
        house.says(HERE, number, number as u8);
    }
    let heard = house.hears(start + 6_000_000, THERE);
    assert_eq!(heard.iter().map(|heard| heard.first_octet).collect::<Vec<_>>(), [10, 11, 13, 14, 15], "9 is late");
    let numbers: Vec<_> = heard.iter().map(|one| one.sequence_number.wrapping_sub(heard[0].sequence_number)).collect();
    assert_eq!(numbers, [0, 1, 3, 4, 5]);
    let times: Vec<_> = heard.iter().map(|one| one.rtp_timestamp.wrapping_sub(heard[0].rtp_timestamp)).collect();
    assert_eq!(times, [0, 160, 480, 8 * 5_080, 8 * 5_100], "time goes on in a pause");
    assert_eq!(heard.iter().map(|one| one.marker).collect::<Vec<_>>(), [true, false, false, true, false]);
}

#[test]
fn a_phone_that_sends_unevenly_is_heard_more_evenly() {
    let mut house = House::new();
    let start = house.now;
    let mut heard = Vec::new();
    for count in 0..200u16 {
        let late_us = [0, 14_000, 3_000, 9_000, 0, 12_000][usize::from(count) % 6];
        heard.extend(house.hears(start + SLOT_US * u64::from(count) + late_us, THERE));
        house.says(HERE, count, count as u8);
    }
    heard.extend(house.hears(start + 5_000_000, THERE));
    assert_eq!(heard.len(), 200);
    let shortest = heard.windows(2).map(|pair| pair[1].at - pair[0].at).min();
    assert!(shortest >= Some(15_000), "{shortest:?}: it came after 6 ms");
    let longest = heard.iter().enumerate().map(|(count, one)| one.at - start - SLOT_US * count as u64).max();
    assert!(longest <= Some(16_000), "{longest:?}: nothing waits longer than what came latest");
}

#[test]
fn a_port_that_is_joined_with_itself_is_an_echo_and_either_end_parts_both() {
    let mut house = House::new();
    house.says(HERE, 1, 11);
    assert_eq!(house.hears(7_010_000, THERE).len(), 1);
    house.command(Command::MediaJoin { port: HERE, other: HERE, codec: PCMA });
    house.says(HERE, 2, 12);
    let heard = house.hears(7_030_000, HERE);
    assert_eq!((heard.len(), heard[0].first_octet, heard[0].payload_type), (1, 12, 8));
    let before = house.counters.get(DropReason::SoundCodec);
    house.says(THERE, 1, 13);
    assert_eq!(house.counters.get(DropReason::SoundCodec), before + 1, "nobody is there any more");
    house.command(Command::MediaJoin { port: THERE, other: HERE, codec: PCMA });
    house.says(HERE, 3, 14);
    assert_eq!(house.hears(7_050_000, THERE).len(), 1, "and joined again");
    house.command(Command::MediaClose { port: HERE });
    house.says(THERE, 2, 15);
    assert_eq!(house.counters.get(DropReason::SoundCodec), before + 2);
    assert_eq!(house.hears(7_100_000, THERE).len(), 0);
    assert_eq!(house.counters.get(DropReason::BadCommand), 0);
    house.command(Command::MediaJoin { port: THERE, other: HERE, codec: PCMA });
    house.command(Command::MediaJoin { port: THERE, other: THERE, codec: 5 });
    assert_eq!(house.counters.get(DropReason::BadCommand), 2, "nobody there, and no such codec");
}

#[test]
fn a_phone_on_hold_neither_hears_nor_is_heard() {
    let mut house = House::new();
    house.says(HERE, 1, 1);
    house.command(Command::MediaDirection { port: HERE, to_phone: false, from_phone: false });
    for count in 2..52u16 {
        let now = house.now;
        house.says(HERE, count, 2);
        house.says(THERE, count, 3);
        house.goes_on(now + SLOT_US);
    }
    let until = house.now;
    assert_eq!(house.hear(until).iter().map(|(port, heard)| (*port, heard.first_octet)).collect::<Vec<_>>(), [(THERE, 1)]);
    house.command(Command::MediaDirection { port: HERE, to_phone: true, from_phone: true });
    house.says(HERE, 52, 4);
    house.says(THERE, 52, 5);
    let until = house.now + SLOT_US;
    let outputs = house.hear(until);
    assert_eq!(outputs.iter().map(|(port, heard)| (*port, heard.first_octet, heard.marker)).collect::<Vec<_>>(), [(THERE, 4, true), (HERE, 5, true)]);
}
