//! Phones whose packets do not last one slot: what is taken of them, and what they hear (PROTOCOL.md §9.4).

use voicebox_core::drop_reason::DropReason;
use voicebox_core::endtoend::Codec;
use voicebox_core::random::SeededRandom;
use voicebox_core::rtp::{parse_rtp, serialise_rtp, RtpPacket};
use voicebox_core::sound::{Port, PortOutput, Remote};

const SLOT_US: u64 = 20_000;
const FIRST_DUE_US: u64 = 100_000;
const DIVISIBLE: [Codec; 3] = [Codec::Pcma, Codec::Pcmu, Codec::G722];

fn open_port(codec: Codec) -> Port {
    let mut port = Port::new(0, &mut SeededRandom::new([9; 32]));
    port.set_remote(0, Remote { codec, payload_type: 98, event_payload_type: None });
    port.bind(codec);
    port
}

fn from_phone(sequence_number: u16, rtp_timestamp: u32, payload: &[u8]) -> Vec<u8> {
    serialise_rtp(&RtpPacket { marker: false, payload_type: 98, sequence_number, rtp_timestamp, ssrc: 77, payload })
}

/// Sound in which each octet says where it is.
fn sound(octets: usize) -> Vec<u8> {
    (0..octets).map(|index| (index / 5) as u8).collect()
}

/// What a phone hears that is sent 30 frames, but for those in `lost`: time, sequence number, timestamp and payload.
fn heard(codec: Codec, packet_ms: u8, lost: &[u64]) -> Vec<(u64, u16, u32, Vec<u8>)> {
    let mut port = open_port(codec);
    assert!(port.set_packets(packet_ms));
    let (whole, mut sent) = (sound(30 * 160), Vec::new());
    for counter in (0..30).filter(|counter| !lost.contains(counter)) {
        let due = FIRST_DUE_US + counter * SLOT_US;
        let frame = &whole[counter as usize * 160..][..160];
        port.enqueue(due - 10_000, due, counter + 1, Some((codec, frame))).expect("in time");
        while let Some(timer) = port.next_timer().filter(|timer| *timer < due + SLOT_US - 10_000) {
            while let Some(output) = port.poll(timer) {
                if let PortOutput::Send { rtcp: false, datagram, at } = output {
                    let packet = parse_rtp(&datagram).expect("what a port makes is RTP");
                    sent.push((at, packet.sequence_number, packet.rtp_timestamp, packet.payload.to_vec()));
                }
            }
        }
    }
    let (number, timestamp) = (sent[0].1, sent[0].2);
    sent.into_iter().map(|(at, one, then, payload)| (at, one.wrapping_sub(number), then.wrapping_sub(timestamp), payload)).collect()
}

#[test]
fn packets_of_10_to_60_ms_are_taken_slot_by_slot() {
    for codec in DIVISIBLE {
        for packet_ms in [10u64, 30, 40, 60] {
            let (mut port, whole) = (open_port(codec), sound(60 * 160));
            let octets = packet_ms as usize * 8;
            let (mut taken, mut next) = (Vec::new(), 0);
            // A packet leaves the phone when its last sample is there.
            for slot in 0..66u64 {
                let at = slot * SLOT_US + 3_000;
                while (next + 1) * packet_ms * 1_000 <= at && (next as usize + 1) * octets <= whole.len() {
                    let payload = &whole[next as usize * octets..][..octets];
                    let came = (next + 1) * packet_ms * 1_000;
                    port.receive(came, &from_phone(next as u16, 7 + next as u32 * octets as u32, payload)).expect("a packet in order");
                    next += 1;
                }
                taken.extend(port.take_frame_of(at, slot + 1).map(|frame| frame.as_slice().to_vec()));
            }
            assert_eq!(taken.len(), 60, "{codec:?} {packet_ms}");
            assert_eq!(taken.concat(), whole, "{codec:?} {packet_ms}");
        }
    }
}

#[test]
fn what_is_no_packet_is_dropped_with_its_reason_and_the_late_too() {
    let mut port = open_port(Codec::Pcma);
    for octets in [0, 1, 79, 81, 159, 239, 481, 560, 1_400] {
        assert_eq!(port.receive(0, &from_phone(1, 0, &vec![1; octets])), Err(DropReason::RtpFrameSize), "{octets}");
    }
    assert_eq!(port.receive(0, &from_phone(1, 0, &[1; 240])), Ok(()));
    assert_eq!(port.receive(0, &from_phone(3, 480, &[3; 240])), Ok(()));
    assert_eq!(port.receive(0, &from_phone(2, 240, &[2; 240])), Err(DropReason::RtpLate));
    assert_eq!(port.receive(0, &from_phone(3, 480, &[3; 240])), Err(DropReason::RtpLate));
    for number in 4..9 {
        port.receive(0, &from_phone(number, u32::from(number - 1) * 240, &[9; 240])).ok();
    }
    let waiting = (1..9).map_while(|slot| port.take_frame_of(slot * SLOT_US, slot)).count();
    assert_eq!(waiting, 5, "no more than that waits, however much comes");
    let mut opus = open_port(Codec::Opus);
    assert_eq!(opus.receive(0, &from_phone(1, 0, &[1; 240])), Err(DropReason::RtpFrameSize), "it cannot be cut");
}

#[test]
fn a_phone_hears_packets_of_the_length_that_it_wants() {
    for codec in DIVISIBLE {
        for packet_ms in [10u8, 20, 30, 40, 50, 60] {
            let said = heard(codec, packet_ms, &[]);
            let octets = usize::from(packet_ms) * 8;
            assert_eq!(said.len(), 4_800 / octets, "{packet_ms}");
            for (place, (_, number, timestamp, payload)) in said.iter().enumerate() {
                assert_eq!((usize::from(*number), *timestamp as usize, payload.len()), (place, place * octets, octets));
            }
            assert_eq!(said.iter().flat_map(|(_, _, _, payload)| payload.clone()).collect::<Vec<u8>>(), sound(4_800), "{packet_ms}");
            // None goes out before its last frame is due, and none later than the slot after.
            for (place, (at, ..)) in said.iter().enumerate() {
                let last_octet = FIRST_DUE_US + ((place + 1) * octets - 1) as u64 / 160 * SLOT_US;
                assert!((last_octet..last_octet + SLOT_US).contains(at), "{packet_ms} {place}");
            }
        }
    }
}

#[test]
fn a_frame_that_did_not_come_leaves_one_gap_and_what_waited_goes_out_short() {
    let said = heard(Codec::Pcma, 30, &[4]);
    let lengths: Vec<usize> = said.iter().map(|(_, _, _, payload)| payload.len()).collect();
    assert_eq!(lengths[..5], [240, 240, 160, 240, 240]);
    let numbers: Vec<u16> = said.iter().map(|(_, number, ..)| *number).collect();
    assert_eq!(numbers[..5], [0, 1, 2, 4, 5]);
    assert_eq!((said[2].2, said[3].2), (480, 800), "the timestamp says how long it was");
}

#[test]
fn what_waited_when_a_talkspurt_ended_does_not_begin_the_next() {
    let mut port = open_port(Codec::Pcma);
    assert!(port.set_packets(30));
    let mut begun = Vec::new();
    for counter in 0..40u64 {
        let due = FIRST_DUE_US + counter * SLOT_US;
        let frame = [counter as u8; 160];
        // Four frames are two packets, and half a packet waits.
        let said = (!(4..24).contains(&counter)).then_some((Codec::Pcma, frame.as_slice()));
        port.enqueue(due - 10_000, due, counter + 1, said).expect("in time");
        while let Some(timer) = port.next_timer().filter(|timer| *timer < due + SLOT_US - 10_000) {
            while let Some(output) = port.poll(timer) {
                if let PortOutput::Send { rtcp: false, datagram, .. } = output {
                    let packet = parse_rtp(&datagram).expect("what a port makes is RTP");
                    begun.extend(packet.marker.then_some(packet.payload[0]));
                }
            }
        }
    }
    assert_eq!(begun, [0, 24]);
}

#[test]
fn opus_is_not_cut_and_a_length_that_no_packet_has_changes_nothing() {
    assert_eq!(heard(Codec::Opus, 60, &[]).len(), 30);
    let mut port = open_port(Codec::Pcma);
    assert!([0, 5, 15, 70, 255].into_iter().all(|packet_ms| !port.set_packets(packet_ms)));
}
