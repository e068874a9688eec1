//! A phone's port: what is taken from the phone, what it hears, digits and reports (PROTOCOL.md §9.4, RFC 3550, RFC 4733).

use proptest::prelude::*;
use voicebox_core::drop_reason::DropReason;
use voicebox_core::endtoend::Codec;
use voicebox_core::random::{RandomSource, SeededRandom};
use voicebox_core::rtp::{parse_event, parse_rtp, serialise_event, serialise_rtp, RtpPacket, SenderReport, TelephoneEvent};
use voicebox_core::sound::{Port, PortOutput, Remote, MAX_PENDING_FRAMES};

const SECOND_US: u64 = 1_000_000;
const SLOT_US: u64 = 20_000;
const PCMA: Remote = Remote { codec: Codec::Pcma, payload_type: 8, event_payload_type: Some(101) };
const OPUS: Remote = Remote { codec: Codec::Opus, payload_type: 107, event_payload_type: None };

/// Inputs of a test that takes anything: 10^5, or 10^7 where VOICEBOX_LONG is set.
fn rounds() -> u32 {
    if std::env::var_os("VOICEBOX_LONG").is_some() {
        10_000_000
    } else {
        100_000
    }
}

/// The seed of a test: its name.
fn seed(name: &[u8]) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name);
    seed
}

fn open_port(remote: Remote) -> Port {
    let mut port = Port::new(0, &mut SeededRandom::new(seed(b"sound")));
    port.set_remote(0, remote);
    port.bind(remote.codec);
    port
}

fn from_phone(sequence_number: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let rtp_timestamp = 160 * u32::from(sequence_number);
    serialise_rtp(&RtpPacket { marker: false, payload_type, sequence_number, rtp_timestamp, ssrc: 77, payload })
}

fn drain(port: &mut Port, now: u64) -> Vec<PortOutput> {
    std::iter::from_fn(|| port.poll(now)).take(1_000).collect()
}

/// Run the port's timers up to `until` and return the RTP (not RTCP) it sent, parsed, with the time of sending.
fn sent_until(port: &mut Port, until: u64) -> Vec<(u64, RtpOwned)> {
    let mut sent = Vec::new();
    while let Some(timer) = port.next_timer().filter(|timer| *timer <= until) {
        for output in drain(port, timer) {
            if let PortOutput::Send { rtcp: false, datagram, at } = output {
                sent.push((at, RtpOwned::from_datagram(&datagram)));
            }
        }
    }
    sent
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RtpOwned {
    marker: bool,
    payload_type: u8,
    sequence_number: u16,
    rtp_timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

impl RtpOwned {
    fn from_datagram(datagram: &[u8]) -> Self {
        let packet = parse_rtp(datagram).expect("what the port makes is RTP");
        Self {
            marker: packet.marker,
            payload_type: packet.payload_type,
            sequence_number: packet.sequence_number,
            rtp_timestamp: packet.rtp_timestamp,
            ssrc: packet.ssrc,
            payload: packet.payload.to_vec(),
        }
    }
}

#[test]
fn frames_of_the_phone_come_out_one_per_slot_in_order() {
    let mut port = open_port(PCMA);
    for number in [65_534u16, 65_535, 1, 0] {
        assert_eq!(port.receive(0, &from_phone(number, 8, &[number as u8; 160])), if number == 0 { Err(DropReason::SoundOverflow) } else { Ok(()) });
    }
    let taken: Vec<_> = (1..).map_while(|slot| port.take_frame_of(slot * SLOT_US, slot)).map(|frame| frame.as_slice()[0]).collect();
    assert_eq!(taken, [255, 0, 1], "the oldest of four gave way, and the late one found its place across the wrap");
    assert_eq!(port.receive(0, &from_phone(0, 8, &[0; 160])), Err(DropReason::RtpLate));
}

#[test]
fn what_is_no_frame_of_the_codec_is_dropped_with_its_reason() {
    let mut port = open_port(PCMA);
    let good = from_phone(5, 8, &[1; 160]);
    let with = |index: usize, octet: u8| {
        let mut datagram = good.clone();
        datagram[index] = octet;
        datagram
    };
    for (datagram, reason) in [
        (vec![], DropReason::RtpMalformed),
        (good[..11].to_vec(), DropReason::RtpMalformed),
        (with(0, 0x40), DropReason::RtpMalformed),
        (with(0, 0xc0), DropReason::RtpMalformed),
        (with(0, 0x8f), DropReason::RtpFrameSize),
        (with(0, 0xa0), DropReason::RtpFrameSize),
        (with(0, 0x90), DropReason::RtpMalformed),
        (with(1, 0), DropReason::RtpPayloadType),
        (with(1, 13), DropReason::RtpPayloadType),
        (from_phone(5, 8, &[1; 159]), DropReason::RtpFrameSize),
        (from_phone(5, 8, &[1; 560]), DropReason::RtpFrameSize),
        (from_phone(5, 101, &[1, 0, 0]), DropReason::RtpEvent),
        (from_phone(5, 101, &[16, 0, 0, 160]), DropReason::RtpEvent),
    ] {
        assert_eq!(port.receive(0, &datagram), Err(reason), "{:02x?}", &datagram[..datagram.len().min(14)]);
    }
    assert_eq!(port.receive(0, &good), Ok(()));
    assert_eq!(port.receive(0, &good), Err(DropReason::RtpDuplicate));
    assert_eq!(port.receive(0, &from_phone(5_000, 8, &[1; 160])), Err(DropReason::RtpAstray));
    assert_eq!(port.receive(0, &from_phone(5_001, 8, &[2; 160])), Ok(()), "the second of a new run is a restart");
    port.set_direction(true, false);
    assert_eq!(port.receive(0, &from_phone(5_002, 8, &[2; 160])), Err(DropReason::RtpUnbound));
    let mut unpromised = Port::new(0, &mut SeededRandom::new(seed(b"sound")));
    assert_eq!(unpromised.receive(0, &good), Err(DropReason::RtpUnbound));
}

/// Let a phone speak whose frames come so often; return the slots that had none, and what was counted.
fn speak(frame_every_ns: u64, slots: u64, first_us: u64) -> (Vec<u64>, Vec<DropReason>) {
    let mut port = open_port(PCMA);
    let (mut number, mut empty, mut counted) = (0u64, Vec::new(), Vec::new());
    for slot in 1..slots {
        while first_us * 1_000 + number * frame_every_ns <= slot * 20_000_000 {
            let at = first_us + number * frame_every_ns / 1_000;
            counted.extend(port.receive(at, &from_phone(number as u16, 8, &[1; 160])).err());
            number += 1;
        }
        if port.take_frame_of(slot * SLOT_US, slot).is_none() {
            empty.push(slot);
        }
        counted.extend(port.take_drops());
    }
    (empty, counted)
}

#[test]
fn fast_and_slow_phones_have_gaps_at_the_same_times() {
    // 50 ppm: in 1 000 s two frames and a half too many, or too few.
    let (at_rest, counted) = speak(20_000_000, 50_000, 7_000);
    assert!((2 * 12..=2 * 25).contains(&at_rest.len()), "two slots in 40 to 80 s");
    assert_eq!(counted, vec![DropReason::SoundSlip; at_rest.len()]);
    for (ppm, more) in [(-50, 1..=4), (50, -4..=-1)] {
        let (empty, counted) = speak(20_000_000u64.saturating_add_signed(ppm * 20), 50_000, 7_000);
        assert_eq!(empty, at_rest, "{ppm} ppm");
        assert!(counted.iter().all(|reason| *reason == DropReason::SoundSlip));
        assert!(more.contains(&(counted.len() as i64 - at_rest.len() as i64)), "{ppm} ppm: {}", counted.len());
    }
}

#[test]
fn sound_that_would_not_last_begins_a_slot_later() {
    // In 20 to 40 s a phone may fall behind by 1 to 2 ms.
    for (first_us, later) in [(19_500, 1), (17_900, 0)] {
        let (empty, _) = speak(20_000_000, 500, first_us);
        assert_eq!(empty.len(), later, "{empty:?}");
    }
}

#[test]
fn a_phone_that_sends_in_bursts_or_unevenly_loses_nothing() {
    let mut random = SeededRandom::new(seed(b"bursts"));
    for (what, frames_at_once, jitter_us) in [("two frames each 40 ms", 2u64, 0u64), ("up to 15 ms late", 1, 15_000)] {
        let mut port = open_port(PCMA);
        let mut arrivals = Vec::new();
        for number in 0..3_000u64 {
            let mut drawn = [0; 2];
            random.fill(&mut drawn);
            let late = u64::from(u16::from_be_bytes(drawn)) * jitter_us / 65_536;
            arrivals.push(((number / frames_at_once * frames_at_once) * SLOT_US + 7_000 + late, number));
        }
        arrivals.sort_unstable();
        let (mut arrivals, mut taken, mut empty_after_start) = (arrivals.into_iter().peekable(), Vec::new(), 0);
        for slot in 0..1_000u64 {
            while let Some((at, number)) = arrivals.next_if(|(at, _)| *at <= slot * SLOT_US) {
                let fits = port.receive(at, &from_phone(number as u16, 8, &[number as u8; 160]));
                assert_eq!(fits, Ok(()), "{what}, frame {number}");
            }
            match port.take_frame_of(slot * SLOT_US, slot) {
                Some(frame) => taken.push(frame.as_slice()[0]),
                None if slot > 100 => empty_after_start += 1,
                None => {}
            }
        }
        assert_eq!((port.take_drops(), empty_after_start), (vec![], 0), "{what}");
        assert!(taken.len() >= 990 && taken.iter().enumerate().all(|(index, octet)| *octet == index as u8), "{what}: {} in order", taken.len());
    }
}

#[test]
fn the_phone_hears_frames_at_their_due_times_with_fresh_numbers() {
    let mut port = open_port(PCMA);
    let due = |slot: u64| 500_000 + slot * SLOT_US;
    for (slot, frame) in [(1, Some(1u8)), (3, Some(3)), (2, Some(2)), (4, None), (5, Some(5)), (8, Some(8)), (9, None), (10, None), (11, None), (12, Some(12))]
    {
        let octets = frame.map(|octet| [octet; 160]);
        assert_eq!(port.enqueue(480_000, due(slot), 100 + slot, octets.as_ref().map(|octets| (Codec::Pcma, &octets[..]))), Ok(()));
    }
    let sent = sent_until(&mut port, 2 * SECOND_US);
    let (_, first) = sent[0].clone();
    let seen: Vec<_> = sent
        .iter()
        .map(|(at, rtp)| {
            let sequence = rtp.sequence_number.wrapping_sub(first.sequence_number);
            (*at, rtp.payload[0], sequence, rtp.rtp_timestamp.wrapping_sub(first.rtp_timestamp), rtp.marker)
        })
        .collect();
    // Cell 4 had no frame: a gap, as where cells 6 and 7 never came. Three without a frame are a pause: the timestamp goes on, the sequence does not.
    assert_eq!(
        seen,
        [
            (due(1), 1, 0, 0, true),
            (due(2), 2, 1, 160, false),
            (due(3), 3, 2, 320, false),
            (due(5), 5, 4, 640, false),
            (due(8), 8, 7, 1_120, false),
            (due(12), 12, 8, 1_760, true)
        ]
    );
    assert!(sent.iter().all(|(_, rtp)| rtp.ssrc == first.ssrc && rtp.payload_type == 8));
}

#[test]
fn what_a_quicker_path_brings_waits_for_what_a_slower_one_still_brings_and_then_comes_sooner() {
    let mut port = open_port(OPUS);
    let (slow, quick) = (|counter: u64| 600_000 + counter * SLOT_US, |counter: u64| 530_000 + counter * SLOT_US);
    // The slow path brings all; from 11 on the quick one does too, 5 ms before it plays them, each with a copy of the frame before.
    let mut cells: Vec<_> = (1..=40).map(|counter| (slow(counter) - 5_000, slow(counter), counter)).collect();
    cells.extend((11..=60).map(|counter| (quick(counter) - 5_000, quick(counter), counter)));
    cells.sort_unstable();
    let mut heard = Vec::new();
    for (now, due, counter) in cells {
        heard.extend(sent_until(&mut port, now));
        assert_eq!(port.repair(now, due, counter, (Codec::Opus, &[100 + counter as u8; 60])), Ok(()));
        assert_eq!(port.enqueue(now, due, counter, Some((Codec::Opus, &[counter as u8; 60]))), Ok(()));
    }
    heard.extend(sent_until(&mut port, 3 * SECOND_US));
    assert!(heard.iter().map(|(_, rtp)| u64::from(rtp.payload[0])).eq(1..=60), "each once, none repaired");
    let at = |counter: usize| heard[counter - 1].0;
    assert!((1..11).all(|counter| at(counter) == slow(counter as u64)) && (30..=60).all(|counter| at(counter) == quick(counter as u64)));
    assert!(heard.windows(2).all(|pair| (15_000..=SLOT_US).contains(&(pair[1].0 - pair[0].0))), "5 ms sooner each");
    assert_eq!(port.take_drops(), []);
}

#[test]
fn a_copy_stands_in_for_a_frame_that_did_not_come_and_for_no_other() {
    let mut port = open_port(OPUS);
    let (due, arrival) = (|counter: u64| 500_000 + counter * SLOT_US, |counter: u64| 496_000 + counter * SLOT_US);
    let mut heard = Vec::new();
    // Cells 3, 6 and 7 do not come; 9 comes just in time, after the copy of it.
    for (counter, now) in [(1, arrival(1)), (2, arrival(2)), (4, arrival(4)), (5, arrival(5)), (8, arrival(8)), (10, due(9) - 2_000), (9, due(9) - 1_500)] {
        heard.extend(sent_until(&mut port, now));
        assert_eq!(port.repair(now, due(counter), counter, (Codec::Opus, &[100 + counter as u8 - 1; 60])), Ok(()));
        assert_eq!(port.enqueue(now, due(counter), counter, Some((Codec::Opus, &[counter as u8; 60]))), Ok(()));
    }
    heard.extend(sent_until(&mut port, SECOND_US));
    let first = heard[0].1.clone();
    let seen: Vec<_> = heard
        .iter()
        .map(|(at, rtp)| {
            (rtp.payload[0], *at, rtp.sequence_number.wrapping_sub(first.sequence_number), rtp.rtp_timestamp.wrapping_sub(first.rtp_timestamp) / 960)
        })
        .collect();
    // A copy leaves when it is there, its own time being over, under the number and the timestamp of what it stands for. 6 stays a gap.
    let expected = [(1, 0), (2, 1), (103, 2), (4, 3), (5, 4), (107, 6), (8, 7), (9, 8), (10, 9)];
    assert_eq!(seen, expected.map(|(octet, place)| (octet, due(place + 1), place as u16, place as u32)));
    assert_eq!(port.take_drops(), [DropReason::SoundRepaired; 2]);
}

#[test]
fn a_copy_that_is_of_no_use_is_not_played() {
    let coarse = voicebox_core::coarse::coarse_copy(Codec::Pcma, &[0x55; 160]);
    let mut port = open_port(PCMA);
    assert_eq!(port.repair(100_000, 105_000, 9, (Codec::Pcma, &coarse)), Ok(()));
    assert_eq!(sent_until(&mut port, 200_000), [], "what came before the first cell is not missed");
    assert_eq!(port.enqueue(200_000, 205_000, 12, Some((Codec::Pcma, &[1; 160]))), Ok(()));
    assert_eq!(sent_until(&mut port, 220_000).len(), 1);
    assert_eq!(port.repair(240_000, 245_000, 14, (Codec::Opus, &[1; 60])), Err(DropReason::SoundCodec));
    assert_eq!(port.repair(244_500, 245_000, 14, (Codec::Pcma, &coarse)), Err(DropReason::SoundLate), "as late as the cell that brings it");
    assert_eq!(port.repair(240_000, 245_000, 14, (Codec::Pcma, &[9; 57])), Err(DropReason::EndToEndMalformed));
    assert_eq!(port.repair(240_000, 245_000, 14, (Codec::Pcma, &coarse)), Ok(()));
    assert_eq!(port.repair(241_000, 245_000, 14, (Codec::Pcma, &coarse)), Ok(()), "once");
    let sent = sent_until(&mut port, 240_000);
    assert_eq!(sent.iter().map(|(_, rtp)| rtp.payload[0]).collect::<Vec<_>>(), [0x55]);
    port.unbind();
    assert_eq!(port.repair(240_000, 245_000, 14, (Codec::Pcma, &coarse)), Ok(()));
    assert_eq!(sent_until(&mut port, 300_000), []);
}

#[test]
fn sound_that_cannot_be_played_is_counted() {
    let mut port = open_port(PCMA);
    let frame = Some((Codec::Pcma, &[1u8; 160][..]));
    assert_eq!(port.enqueue(10_000, 10_999, 1, frame), Err(DropReason::SoundLate));
    assert_eq!(port.enqueue(10_000, 11_000, 1, Some((Codec::Opus, &[1; 40]))), Err(DropReason::SoundCodec));
    for counter in 1..=MAX_PENDING_FRAMES as u64 {
        assert_eq!(port.enqueue(10_000, 11_000 + counter * SLOT_US, counter, frame), Ok(()));
    }
    assert_eq!(port.enqueue(10_000, 11_000 + SLOT_US, MAX_PENDING_FRAMES as u64 + 1, frame), Err(DropReason::SoundOverflow));
    port.unbind();
    assert_eq!(port.enqueue(10_000, 500_000, 10, frame), Err(DropReason::SoundCodec));
    assert_eq!(sent_until(&mut port, SECOND_US), []);
}

#[test]
fn nothing_reaches_the_phone_before_its_address_is_known_or_while_it_does_not_listen() {
    let mut port = Port::new(0, &mut SeededRandom::new(seed(b"sound")));
    port.bind(Codec::Opus);
    assert_eq!(port.enqueue(0, 100_000, 1, Some((Codec::Opus, &[1; 40]))), Ok(()));
    assert_eq!(drain(&mut port, 200_000), []);
    port.set_remote(200_000, OPUS);
    port.set_direction(false, true);
    assert_eq!(port.enqueue(200_000, 300_000, 2, Some((Codec::Opus, &[1; 40]))), Ok(()));
    assert_eq!(sent_until(&mut port, 400_000), []);
    port.set_direction(true, true);
    for counter in 3..5 {
        assert_eq!(port.enqueue(400_000, 400_000 + counter * SLOT_US, counter, Some((Codec::Opus, &[9; 40]))), Ok(()));
    }
    let sent = sent_until(&mut port, 600_000);
    assert_eq!(sent.len(), 2);
    assert!(sent[0].1.marker && !sent[1].1.marker);
    assert_eq!(sent[1].1.rtp_timestamp.wrapping_sub(sent[0].1.rtp_timestamp), 960);
    assert!(!port.digit(600_000, 5, 100), "this phone has no telephone-event");
}

#[test]
fn the_clock_of_the_phone_goes_on_over_two_splices() {
    let mut port = open_port(PCMA);
    let frame = Some((Codec::Pcma, &[1u8; 160][..]));
    assert_eq!(port.enqueue(0, 100_000, 1, frame), Ok(()));
    let first = sent_until(&mut port, 150_000);
    port.unbind();
    port.bind(Codec::Pcma);
    assert_eq!(port.enqueue(150_000, 300_000, 1, frame), Ok(()));
    let second = sent_until(&mut port, 350_000);
    assert_eq!(second[0].1.rtp_timestamp.wrapping_sub(first[0].1.rtp_timestamp), 1_600);
    assert_eq!(second[0].1.sequence_number, first[0].1.sequence_number.wrapping_add(1));
}

#[test]
fn a_digit_is_played_as_start_updates_and_three_ends_and_the_sound_waits() {
    let mut port = open_port(PCMA);
    assert!(port.digit(0, 7, 100));
    assert!(port.digit(0, 11, 0));
    for slot in 1..8 {
        assert_eq!(port.enqueue(0, slot * SLOT_US + 10_000, slot, Some((Codec::Pcma, &[1; 160]))), Ok(()));
    }
    let sent = sent_until(&mut port, SECOND_US);
    let events: Vec<_> = sent
        .iter()
        .filter(|(_, rtp)| rtp.payload_type == 101)
        .map(|(at, rtp)| (*at, rtp.marker, parse_event(&rtp.payload).expect("an event"), rtp.rtp_timestamp))
        .collect();
    let of_first: Vec<_> = events.iter().filter(|(_, _, event, _)| event.code == 7).collect();
    let durations: Vec<_> = of_first.iter().map(|(at, marker, event, _)| (*at, *marker, event.ends, event.duration)).collect();
    assert_eq!(
        durations,
        [
            (0, true, false, 160),
            (20_000, false, false, 320),
            (40_000, false, false, 480),
            (60_000, false, false, 640),
            (80_000, false, true, 800),
            (100_000, false, true, 800),
            (120_000, false, true, 800)
        ]
    );
    assert!(of_first.iter().all(|(_, _, _, timestamp)| *timestamp == of_first[0].3), "one timestamp for all packets of an event");
    let second = &events[of_first.len()];
    assert_eq!((second.0, second.1, second.2.code), (180_000, true, 11), "after a pause");
    let sound: Vec<_> = sent.iter().filter(|(_, rtp)| rtp.payload_type == 8).map(|(at, _)| *at).collect();
    assert_eq!(sound, [130_000, 150_000], "no sound within the event");
    let numbers: Vec<_> = sent.iter().map(|(_, rtp)| rtp.sequence_number.wrapping_sub(sent[0].1.sequence_number)).collect();
    assert_eq!(numbers, (0..sent.len() as u16).collect::<Vec<_>>(), "no gap that would make the phone conceal");
}

#[test]
fn a_pressed_key_is_one_digit_even_if_its_ends_are_lost() {
    let mut port = open_port(PCMA);
    let press = |port: &mut Port, now: u64, number: u16, rtp_timestamp: u32, code: u8, ends: bool, duration: u16| {
        let payload = serialise_event(&TelephoneEvent { code, ends, volume: 10, duration });
        let packet = RtpPacket { marker: false, payload_type: 101, sequence_number: number, rtp_timestamp, ssrc: 77, payload: &payload };
        port.receive(now, &serialise_rtp(&packet))
    };
    for (number, ends) in [(0u16, false), (1, false), (2, true), (3, true), (4, true)] {
        let now = u64::from(number) * SLOT_US;
        assert_eq!(press(&mut port, now, number, 1_000, 5, ends, 160 * (number + 1).min(3)), Ok(()));
    }
    assert_eq!(drain(&mut port, 80_000), [PortOutput::Digit { code: 5, duration_ms: 60 }]);
    assert_eq!(press(&mut port, 200_000, 5, 3_000, 6, false, 800), Ok(()));
    assert_eq!(drain(&mut port, 290_000), []);
    assert_eq!(port.next_timer(), Some(300_000));
    assert_eq!(drain(&mut port, 300_000), [PortOutput::Digit { code: 6, duration_ms: 100 }]);
    assert_eq!(press(&mut port, 400_000, 6, 4_000, 1, false, 160), Ok(()));
    assert_eq!(press(&mut port, 420_000, 7, 5_000, 2, false, 160), Ok(()));
    assert_eq!(drain(&mut port, 420_000), [PortOutput::Digit { code: 1, duration_ms: 20 }], "the next key ends the one before");
    assert_eq!(press(&mut port, 430_000, 8, 4_000, 1, true, 160), Err(DropReason::RtpLate));
}

#[test]
fn a_report_comes_every_five_seconds_under_one_random_name() {
    let mut port = open_port(PCMA);
    assert_eq!(port.enqueue(0, 100_000, 1, Some((Codec::Pcma, &[1; 160]))), Ok(()));
    let (mut reports, mut times) = (Vec::new(), Vec::new());
    while let Some(timer) = port.next_timer().filter(|timer| *timer <= 20 * SECOND_US) {
        for output in drain(&mut port, timer) {
            if let PortOutput::Send { rtcp: true, datagram, at } = output {
                times.push(at);
                reports.push(datagram);
            }
        }
    }
    assert_eq!(times, [2_500_000, 7_500_000, 12_500_000, 17_500_000]);
    for report in &reports {
        assert_eq!((report.len(), report[0], report[1], &report[2..4]), (28 + 28, 0x80, 200, &[0u8, 6][..]), "a sender report");
        assert_eq!(&report[20..28], [0, 0, 0, 1, 0, 0, 0, 160], "one packet of 160 octets so far");
        assert_eq!((report[28], report[29], &report[30..32], report[36], report[37]), (0x81, 202, &[0u8, 6][..], 1, 16), "a source description");
        assert_eq!((&report[4..8], &report[38..54]), (&report[32..36], &reports[0][38..54]), "of the same source and name");
        assert_eq!(report[54..], [0, 0]);
    }
    let ticks = |report: &[u8]| u32::from_be_bytes([report[16], report[17], report[18], report[19]]);
    assert_eq!(ticks(&reports[1]).wrapping_sub(ticks(&reports[0])), 40_000, "5 s of an 8 kHz clock");
    let mut other = Port::new(0, &mut SeededRandom::new(seed(b"another")));
    other.set_remote(0, OPUS);
    let Some(PortOutput::Send { rtcp: true, datagram, .. }) = other.poll(2_500_000) else { panic!("no report") };
    assert_eq!((datagram.len(), datagram[1]), (8 + 28, 201), "nothing sent: a receiver report");
    assert_ne!(datagram[18..34], reports[0][38..54]);
}

#[test]
fn zrtp_is_dropped_and_counted_apart() {
    let mut port = open_port(PCMA);
    assert_eq!(port.receive(0, b"\x10\0\0\x01ZRTP hello"), Err(DropReason::ZrtpIn));
    assert_eq!(port.receive(0, b"\x10\0\0\x01ZRTq hello"), Err(DropReason::RtpMalformed));
    assert_eq!(port.receive(0, b"\x10\0\0\x01ZR"), Err(DropReason::RtpMalformed));
}

#[test]
fn a_report_says_how_the_phones_packets_came_and_names_the_box_only() {
    let mut port = open_port(PCMA);
    for number in [5, 6, 8] {
        assert_eq!(port.receive(u64::from(number) * 20_000, &from_phone(number, 8, &[1; 160])), Ok(()));
    }
    port.receive_report(500_000, SenderReport { ssrc: 77, ntp_middle: 0x0102_0304 });
    let Some(PortOutput::Send { rtcp: true, datagram, .. }) = port.poll(2_500_000) else { panic!("no report") };
    assert_eq!((datagram.len(), datagram[0], datagram[1], &datagram[2..4]), (32 + 28, 0x81, 201, &[0u8, 7][..]));
    assert_eq!(datagram[8..12], 77u32.to_be_bytes());
    assert_eq!(datagram[12..16], [64, 0, 0, 1], "one of four was lost");
    assert_eq!(datagram[16..20], 8u32.to_be_bytes());
    assert_eq!(datagram[24..32], [1, 2, 3, 4, 0, 2, 0, 0], "two seconds ago");
    assert_ne!(datagram[4..8], 77u32.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rtp_is_parsed_as_it_was_built(
        marker in any::<bool>(), payload_type in 0u8..128, sequence_number in any::<u16>(), rtp_timestamp in any::<u32>(), ssrc in any::<u32>(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let packet = RtpPacket { marker, payload_type, sequence_number, rtp_timestamp, ssrc, payload: &payload };
        let datagram = serialise_rtp(&packet);
        prop_assert_eq!(parse_rtp(&datagram), Ok(packet));
    }
}

#[test]
fn any_datagram_is_dropped_with_a_reason_or_taken() {
    let mut random = SeededRandom::new(seed(b"any datagram"));
    let mut port = open_port(PCMA);
    let (mut taken, mut dropped) = (0u32, 0u32);
    for round in 0..u64::from(rounds()) {
        let mut drawn = [0u8; 256];
        random.fill(&mut drawn);
        let mut datagram = from_phone(u16::from(drawn[0]), if drawn[1] < 128 { 8 } else { 101 }, &[drawn[2]; 160]);
        // Some octets at random, most of them in the header, and a random end.
        for change in 0..usize::from(drawn[3] % 4) {
            let index = usize::from(drawn[4 + change] % 20);
            datagram[index] = drawn[8 + change];
        }
        if drawn[12] < 64 {
            datagram.truncate(usize::from(drawn[13]) % 172);
        }
        match port.receive(round * 100, &datagram) {
            Ok(()) => taken += 1,
            Err(_) => dropped += 1,
        }
        if round % 50 == 0 {
            port.take_frame_of(round * 100, round);
            port.take_drops();
            drain(&mut port, round * 100);
        }
    }
    println!("datagrams: {taken} taken, {dropped} dropped");
    assert!(taken > 1_000 && dropped > 1_000);
}
