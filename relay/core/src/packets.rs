//! Packets that do not last one slot: those of a phone into frames, and frames into those that a phone wants.
//!
//! Of codecs that may be cut at any octet ([`Codec::is_divisible`](crate::endtoend::Codec::is_divisible)), 10 to 60 ms. The timestamps are the measure: a frame is the 160 octets
//! from a multiple of 160 on, counted from the first packet; what a lost packet leaves of one is left out. Not here: RTP ([`crate::sound`]).
//!
//! Spec: PROTOCOL.md §9.4; RFC 3551 §4.2, §4.5.14.

use crate::endtoend::G711_OCTETS;
use crate::rtp::HEAD_ROOM;
use crate::sound::Frame;

/// Octets of 10 ms.
const STEP_OCTETS: usize = G711_OCTETS / 2;
/// Shortest and longest packet, in steps of 10 ms.
const STEPS: std::ops::RangeInclusive<usize> = 1..=6;
/// Frames that one packet may complete.
pub const MAX_FRAMES_OF_PACKET: usize = 3;

/// Return whether a packet may have this many octets.
#[must_use]
pub fn is_packet(octets: usize) -> bool {
    octets % STEP_OCTETS == 0 && STEPS.contains(&(octets / STEP_OCTETS))
}

/// Return how many octets a packet of so many milliseconds has, `None` where there are no such packets.
#[must_use]
pub fn octets_of(packet_ms: u8) -> Option<usize> {
    let octets = usize::from(packet_ms) * STEP_OCTETS / 10;
    is_packet(octets).then_some(octets)
}

/// Cuts a phone's packets into frames.
#[derive(Default)]
pub(crate) struct Unpacker {
    /// Octets since the first packet, counted from some frames up, and the RTP timestamp there.
    next: Option<(u64, u32)>,
    part: Vec<u8>,
}

impl Unpacker {
    /// Return whether a packet came since this began.
    pub(crate) fn is_in_use(&self) -> bool {
        self.next.is_some()
    }

    /// Take a packet in order, which [`is_packet`]; return the frames that it completes, each with its number, which rises by one a slot.
    pub(crate) fn take(&mut self, rtp_timestamp: u32, payload: &[u8]) -> Vec<(u64, Frame)> {
        let frame_octets = G711_OCTETS as u64;
        let (expected, timestamp) = self.next.unwrap_or((HEAD_ROOM * frame_octets, rtp_timestamp));
        let skipped = rtp_timestamp.wrapping_sub(timestamp);
        // A timestamp that went back is a new beginning of the phone's clock: frames go on where they were, so that none has the number of another.
        let begin = if skipped > u32::MAX / 2 { expected.next_multiple_of(frame_octets) } else { expected + u64::from(skipped) };
        if begin != expected {
            self.part.clear();
        }
        // Of a frame whose beginning did not come nothing is kept.
        let missing = if self.part.is_empty() { (begin.next_multiple_of(frame_octets) - begin) as usize } else { 0 }; // below 160
        self.part.extend_from_slice(payload.get(missing..).unwrap_or(&[]));
        let end = begin + payload.len() as u64;
        self.next = Some((end, rtp_timestamp.wrapping_add(payload.len() as u32))); // at most 480
        let first = (end - self.part.len() as u64) / frame_octets;
        let whole = self.part.len() / G711_OCTETS * G711_OCTETS;
        let frames = (first..).zip(self.part[..whole].chunks(G711_OCTETS).map(Frame::new)).collect();
        self.part.drain(..whole);
        frames
    }
}

/// Puts frames together into packets of another length.
#[derive(Default)]
pub(crate) struct Packer {
    octets: Vec<u8>,
    /// Of the first octet.
    rtp_timestamp: u32,
}

impl Packer {
    /// Forget what waits.
    pub(crate) fn clear(&mut self) {
        self.octets.clear();
    }

    /// Return what waits for more, where the frame of a timestamp is not what follows it: a packet that is too short, and its timestamp.
    pub(crate) fn take_before(&mut self, rtp_timestamp: u32) -> Option<(u32, Vec<u8>)> {
        let follows = self.rtp_timestamp.wrapping_add(self.octets.len() as u32); // at most 480
        (follows != rtp_timestamp && !self.octets.is_empty()).then(|| (self.rtp_timestamp, std::mem::take(&mut self.octets)))
    }

    /// Take a frame, and return the packets that it completes with their timestamps.
    pub(crate) fn take(&mut self, rtp_timestamp: u32, frame: &[u8], packet_octets: usize) -> Vec<(u32, Vec<u8>)> {
        if self.octets.is_empty() {
            self.rtp_timestamp = rtp_timestamp;
        }
        self.octets.extend_from_slice(frame);
        let whole = self.octets.len() / packet_octets * packet_octets;
        let rest = self.octets.split_off(whole);
        let packets = std::mem::replace(&mut self.octets, rest);
        let begin = self.rtp_timestamp;
        self.rtp_timestamp = begin.wrapping_add(whole as u32); // at most 480
        (0u32..).map(|number| begin.wrapping_add(number * packet_octets as u32)).zip(packets.chunks(packet_octets).map(<[u8]>::to_vec)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(octets: usize) -> Vec<u8> {
        (0..octets).map(|index| (index / 7) as u8).collect()
    }

    fn unpacked(lengths_ms: &[usize], lost: Option<usize>, first_timestamp: u32) -> Vec<(u64, Vec<u8>)> {
        let whole = sound(lengths_ms.iter().sum::<usize>() * 8);
        let (mut unpacker, mut at, mut frames) = (Unpacker::default(), 0, Vec::new());
        for (index, length_ms) in lengths_ms.iter().enumerate() {
            let payload = &whole[at..at + length_ms * 8];
            if lost != Some(index) {
                let taken = unpacker.take(first_timestamp.wrapping_add(at as u32), payload).into_iter();
                frames.extend(taken.map(|(number, frame)| (number - HEAD_ROOM, frame.as_slice().to_vec())));
            }
            at += payload.len();
        }
        frames
    }

    #[test]
    fn packets_of_any_length_become_the_same_frames() {
        for lengths in [&[10; 12][..], &[20; 6], &[30; 4], &[40; 3], &[60; 2], &[10, 50, 30, 20, 10]] {
            for first_timestamp in [0, 77, u32::MAX - 300] {
                let frames = unpacked(lengths, None, first_timestamp);
                let numbers: Vec<u64> = frames.iter().map(|(number, _)| *number).collect();
                assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{lengths:?}");
                assert_eq!(frames.into_iter().flat_map(|(_, frame)| frame).collect::<Vec<u8>>(), sound(960), "{lengths:?}");
            }
        }
    }

    #[test]
    fn a_lost_packet_costs_the_frames_it_had_a_part_of() {
        let whole: Vec<Vec<u8>> = sound(960).chunks(160).map(<[u8]>::to_vec).collect();
        for (lengths, lost, kept) in
            [(&[30; 4][..], 1, &[0, 3, 4, 5][..]), (&[10; 12], 3, &[0, 2, 3, 4, 5]), (&[60; 2], 0, &[3, 4, 5]), (&[30; 4], 0, &[2, 3, 4, 5])]
        {
            let frames = unpacked(lengths, Some(lost), 9);
            // Where the first packet is lost the count begins with the second.
            let shift = if lost == 0 { lengths[0] as u64 * 8 } else { 0 };
            if shift % 160 == 0 {
                let numbers: Vec<u64> = frames.iter().map(|(number, _)| number + shift / 160).collect();
                assert_eq!(numbers, kept, "{lengths:?}");
                assert!(frames.iter().all(|(number, frame)| *frame == whole[(number + shift / 160) as usize]), "{lengths:?}");
            } else {
                assert_eq!(frames.len(), 4, "{lengths:?}");
            }
        }
    }

    #[test]
    fn a_timestamp_that_goes_back_does_not_give_a_number_twice() {
        let mut unpacker = Unpacker::default();
        let mut numbers: Vec<u64> = Vec::new();
        for timestamp in [1_000, 1_240, 50, 290, 530] {
            numbers.extend(unpacker.take(timestamp, &sound(240)).into_iter().map(|(number, _)| number - HEAD_ROOM));
        }
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn frames_become_packets_of_the_length_that_is_wanted() {
        let whole = sound(960);
        for packet_ms in [10u8, 20, 30, 40, 60] {
            let packet_octets = octets_of(packet_ms).expect("such packets are");
            let (mut packer, mut said) = (Packer::default(), Vec::new());
            for (index, frame) in whole.chunks(160).enumerate() {
                let rtp_timestamp = 5u32.wrapping_sub(160).wrapping_add(160 * index as u32);
                assert_eq!(packer.take_before(rtp_timestamp), None);
                said.extend(packer.take(rtp_timestamp, frame, packet_octets));
            }
            let timestamps: Vec<u32> = said.iter().map(|(timestamp, _)| timestamp.wrapping_add(155)).collect();
            assert_eq!(timestamps, (0..960 / packet_octets as u32).map(|number| number * packet_octets as u32).collect::<Vec<u32>>());
            assert_eq!(said.into_iter().flat_map(|(_, octets)| octets).collect::<Vec<u8>>(), whole, "{packet_ms} ms");
        }
        assert_eq!([0, 5, 15, 70, 255].map(octets_of), [None; 5]);
    }

    #[test]
    fn what_a_gap_leaves_waiting_goes_out_as_it_is() {
        let mut packer = Packer::default();
        assert!(packer.take(0, &[1; 160], 240).is_empty());
        assert_eq!(packer.take_before(160), None);
        assert_eq!(packer.take_before(320), Some((0, vec![1; 160])));
        assert!(packer.take(320, &[2; 160], 240).is_empty());
        assert_eq!(packer.take(480, &[3; 160], 240), [(320, [vec![2; 160], vec![3; 80]].concat())]);
        packer.clear();
        assert_eq!(packer.take_before(9_999), None);
    }
}
