//! The stream that a phone hears: its source, numbers, timestamps and the packets that are put together.

use std::collections::VecDeque;

use super::{Remote, SLOT_US};
use crate::endtoend::{Codec, G711_OCTETS};
use crate::ids::Micros;
use crate::packets::{octets_of, Packer};
use crate::random::RandomSource;
use crate::rtp::{fresh_cname, serialise_rtp, RtpPacket, CNAME_OCTETS};

pub(super) struct Outgoing {
    pub(super) ssrc: u32,
    pub(super) sequence_number: u16,
    /// An instant and the RTP timestamp of it.
    pub(super) anchor: (Micros, u32),
    /// The timestamp of counter 0 of the present splice.
    pub(super) counter_base: Option<u32>,
    pub(super) last_counter: u64,
    /// Bit i: the cell of `last_counter - i` was played, or had no frame.
    pub(super) played: u64,
    /// Cells without a frame since the last one that had one. So many as a gap has are one, which the phone conceals; after more of them a talkspurt begins.
    pub(super) frameless: u8,
    /// The next packet begins a talkspurt (RFC 3551 §4.1).
    pub(super) marker: bool,
    pub(super) packets: u32,
    pub(super) payload_octets: u32,
    pub(super) cname: [u8; CNAME_OCTETS],
    /// For a phone that wants packets of another length, and how many octets those have.
    packer: Packer,
    packet_octets: usize,
    /// What was put together, with the time of sending: of one frame at most three packets.
    ready: VecDeque<(Micros, Vec<u8>)>,
}

impl Outgoing {
    /// Draws source 4, sequence number 2, timestamp 4 and canonical name 12 octets.
    pub(super) fn new(now: Micros, random: &mut dyn RandomSource) -> Self {
        let mut drawn = [0u8; 10];
        random.fill(&mut drawn);
        Self {
            ssrc: u32::from_be_bytes([drawn[0], drawn[1], drawn[2], drawn[3]]),
            // Below 2^15, so that a phone that loses the first packets of SRTP still finds the roll-over counter (RFC 3711 §3.3.1).
            sequence_number: u16::from_be_bytes([drawn[4] & 0x7f, drawn[5]]),
            anchor: (now, u32::from_be_bytes([drawn[6], drawn[7], drawn[8], drawn[9]])),
            counter_base: None,
            last_counter: 0,
            played: 0,
            frameless: u8::MAX,
            marker: true,
            packets: 0,
            payload_octets: 0,
            cname: fresh_cname(random),
            packer: Packer::default(),
            packet_octets: G711_OCTETS,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn has_played(&self, counter: u64) -> bool {
        let behind = self.last_counter.checked_sub(counter).filter(|behind| *behind < 64);
        self.counter_base.is_some() && behind.is_some_and(|behind| self.played & 1 << behind != 0)
    }

    pub(super) fn set_packets(&mut self, packet_ms: u8) -> bool {
        let Some(octets) = octets_of(packet_ms) else { return false };
        if octets != self.packet_octets {
            self.packer.clear();
            self.packet_octets = octets;
        }
        true
    }

    /// Say nothing of what waits.
    pub(super) fn forget_packets(&mut self) {
        self.packer.clear();
        self.ready.clear();
    }

    /// Return when the next packet that is put together is to be sent.
    pub(super) fn next_packet(&self) -> Option<Micros> {
        self.ready.front().map(|(at, _)| *at)
    }

    /// Take it, where it is due by then.
    pub(super) fn take_packet(&mut self, by: Micros) -> Option<(Micros, Vec<u8>)> {
        self.next_packet().filter(|at| *at <= by).and_then(|_| self.ready.pop_front())
    }

    /// Put together what the phone gets of a frame. gap: how many frames before it the phone is to conceal; between packets of another length it is one number, however long.
    pub(super) fn say(&mut self, due: Micros, remote: Remote, rtp_timestamp: u32, frame: &[u8], gap: u16) {
        if !remote.codec.is_divisible() || self.packet_octets == G711_OCTETS {
            self.sequence_number = self.sequence_number.wrapping_add(gap);
            self.put(due, remote.payload_type, rtp_timestamp, frame);
            return;
        }
        if let Some((timestamp, octets)) = self.packer.take_before(rtp_timestamp) {
            self.put(due, remote.payload_type, timestamp, &octets);
        }
        self.sequence_number = self.sequence_number.wrapping_add(gap.min(1));
        let mut at = due;
        for (timestamp, octets) in self.packer.take(rtp_timestamp, frame, self.packet_octets) {
            self.put(at, remote.payload_type, timestamp, &octets);
            at += SLOT_US * octets.len() as Micros / G711_OCTETS as Micros;
        }
    }

    fn put(&mut self, at: Micros, payload_type: u8, rtp_timestamp: u32, payload: &[u8]) {
        let datagram = self.serialise(payload_type, rtp_timestamp, payload);
        self.ready.push_back((at, datagram));
    }

    /// Return the next packet of the stream.
    pub(super) fn serialise(&mut self, payload_type: u8, rtp_timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let marker = std::mem::take(&mut self.marker);
        let packet = RtpPacket { marker, payload_type, sequence_number: self.sequence_number, rtp_timestamp, ssrc: self.ssrc, payload };
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.payload_octets = self.payload_octets.wrapping_add(payload.len() as u32); // at most 480
        serialise_rtp(&packet)
    }
}

/// Return the RTP timestamp of an instant, from one whose timestamp is known; instants before it count back.
pub(super) fn timestamp_at(anchor: (Micros, u32), at: Micros, codec: Codec) -> u32 {
    let rate = i128::from(codec.clock_rate_hz());
    let samples = (i128::from(at) - i128::from(anchor.0)) * rate / 1_000_000;
    anchor.1.wrapping_add(samples as u32) // modulo 2^32, as the timestamp is
}
