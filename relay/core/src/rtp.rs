//! RTP, RTCP and telephone-event packets: parse and build.
//!
//! Not here: jitter buffers, clocks, which frame goes where ([`crate::sound`]); sockets and addresses.
//! Spec: RFC 3550 §5.1, §6.4, §6.5, A.1, A.2; RFC 4733 §2.3; RFC 7022 §4.2. Departures: a source is taken from its first packet on
//! (A.1 waits for two), because a port takes packets of one address only and a waiting phone would lose its first syllable.

use crate::random::RandomSource;
use crate::reception::ReportBlock;

/// Octets of an RTP header without contributing sources and extension.
pub const RTP_HEADER_OCTETS: usize = 12;
/// Octets of a telephone-event payload (RFC 4733 §2.3).
pub const EVENT_OCTETS: usize = 4;
/// Octets of a canonical name: 96 random bits in base64 (RFC 7022 §4.2).
pub const CNAME_OCTETS: usize = 16;

const VERSION: u8 = 2;
/// Fullest jump ahead that is not taken as a restart, and oldest packet that is not (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3_000;
const MAX_MISORDER: u16 = 100;
const RTCP_SENDER_REPORT: u8 = 200;
const RTCP_RECEIVER_REPORT: u8 = 201;
const RTCP_SOURCE_DESCRIPTION: u8 = 202;
const RTCP_CNAME_ITEM: u8 = 1;

/// Why a datagram is not an RTP or RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtpMalformed {
    /// First octet outside 128..191: neither RTP nor RTCP (RFC 7983 §7).
    NotRtp,
    /// ZRTP (RFC 6189 §5): who gets no answer goes on without.
    Zrtp,
    /// Shorter than its header, its contributing sources or its extension say.
    Truncated,
    /// The padding count is zero or longer than the packet.
    Padding,
}

/// A parsed RTP packet; the payload is what lies between header and padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// The marker bit.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Rises by one per packet, modulo 2^16.
    pub sequence_number: u16,
    /// In units of the payload type's clock.
    pub rtp_timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Without header, extension and padding.
    pub payload: &'a [u8],
}

/// What a datagram on a media port is, told by its second octet (RFC 5761 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaDatagram<'a> {
    /// RTP.
    Rtp(RtpPacket<'a>),
    /// RTCP: it ends at the box (PROTOCOL.md §9.4); of it a sender report is read, no name and no goodbye.
    Rtcp(Option<SenderReport>),
}

/// What is read of a phone's sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Whose.
    pub ssrc: u32,
    /// The middle 32 bits of its NTP timestamp, which a report block repeats.
    pub ntp_middle: u32,
}

const ZRTP_FIRST: u8 = 1;
const ZRTP_COOKIE: &[u8] = b"ZRTP";

/// Parse a datagram from a phone.
///
/// # Errors
/// [`RtpMalformed`], for the validity checks of RFC 3550 A.1 that need no state.
pub fn parse_media(datagram: &[u8]) -> Result<MediaDatagram<'_>, RtpMalformed> {
    let (Some(first), Some(second)) = (datagram.first(), datagram.get(1)) else { return Err(RtpMalformed::Truncated) };
    if first >> 4 == ZRTP_FIRST && datagram.get(4..8) == Some(ZRTP_COOKIE) {
        return Err(RtpMalformed::Zrtp);
    }
    if first >> 6 != VERSION {
        return Err(RtpMalformed::NotRtp);
    }
    if (192..=223).contains(second) {
        return if datagram.len() < 8 { Err(RtpMalformed::Truncated) } else { Ok(MediaDatagram::Rtcp(parse_sender_report(datagram))) };
    }
    parse_rtp(datagram).map(MediaDatagram::Rtp)
}

/// Read the sender report that a compound packet begins with, where it is one. Spec: RFC 3550 §6.4.1.
fn parse_sender_report(datagram: &[u8]) -> Option<SenderReport> {
    let word = |at: usize| datagram.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    if datagram.len() < 28 || datagram[1] != RTCP_SENDER_REPORT {
        return None;
    }
    Some(SenderReport { ssrc: word(4)?, ntp_middle: word(10)? })
}

/// Parse an RTP packet. Spec: RFC 3550 §5.1.
///
/// # Errors
/// [`RtpMalformed`].
pub fn parse_rtp(datagram: &[u8]) -> Result<RtpPacket<'_>, RtpMalformed> {
    let header = datagram.get(..RTP_HEADER_OCTETS).ok_or(RtpMalformed::Truncated)?;
    if header[0] >> 6 != VERSION {
        return Err(RtpMalformed::NotRtp);
    }
    let mut start = RTP_HEADER_OCTETS + 4 * usize::from(header[0] & 0x0f);
    if header[0] & 0x10 != 0 {
        let extension = datagram.get(start..start + 4).ok_or(RtpMalformed::Truncated)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let mut payload = datagram.get(start..).ok_or(RtpMalformed::Truncated)?;
    if header[0] & 0x20 != 0 {
        let padding = usize::from(*payload.last().ok_or(RtpMalformed::Padding)?);
        let kept = payload.len().checked_sub(padding).filter(|_| padding > 0).ok_or(RtpMalformed::Padding)?;
        payload = &payload[..kept];
    }
    Ok(RtpPacket {
        marker: header[1] & 0x80 != 0,
        payload_type: header[1] & 0x7f,
        sequence_number: u16::from_be_bytes([header[2], header[3]]),
        rtp_timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        payload,
    })
}

/// Serialise an RTP packet without contributing sources, extension or padding.
#[must_use]
pub fn serialise_rtp(packet: &RtpPacket<'_>) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(RTP_HEADER_OCTETS + packet.payload.len());
    datagram.push(VERSION << 6);
    datagram.push(u8::from(packet.marker) << 7 | packet.payload_type & 0x7f);
    datagram.extend_from_slice(&packet.sequence_number.to_be_bytes());
    datagram.extend_from_slice(&packet.rtp_timestamp.to_be_bytes());
    datagram.extend_from_slice(&packet.ssrc.to_be_bytes());
    datagram.extend_from_slice(packet.payload);
    datagram
}

/// Extended numbers begin one cycle up, so that a late packet never goes below zero.
pub(crate) const HEAD_ROOM: u64 = 1 << 16;

/// Where a packet stands in the sequence of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequencePlace {
    /// In order, or after a gap: the extended sequence number, which only grows.
    Ahead(u64),
    /// Late by at most 100: its extended sequence number.
    Late(u64),
    /// Far away, and no other packet says the same as yet: to be dropped (RFC 3550 A.1).
    Astray,
    /// The source began anew: earlier extended numbers mean nothing any more.
    Restarted(u64),
}

/// The sequence numbers of one source, extended to 64 bits. Spec: RFC 3550 A.1.
#[derive(Debug, Clone, Default)]
pub struct SequenceTracker {
    /// Source, highest extended sequence number.
    highest: Option<(u32, u64)>,
    /// The number that would confirm a restart.
    bad_sequence_number: Option<u16>,
}

impl SequenceTracker {
    /// Place a packet. A new source begins anew at once.
    pub fn place(&mut self, ssrc: u32, sequence_number: u16) -> SequencePlace {
        let Some((_, highest)) = self.highest.filter(|(known, _)| *known == ssrc) else { return self.restart(ssrc, sequence_number) };
        let low = (highest & 0xffff) as u16; // the mask keeps 16 bits
        let ahead = sequence_number.wrapping_sub(low);
        let behind = low.wrapping_sub(sequence_number);
        if ahead != 0 && ahead < MAX_DROPOUT {
            let extended = highest + u64::from(ahead);
            self.highest = Some((ssrc, extended));
            self.bad_sequence_number = None;
            return SequencePlace::Ahead(extended);
        }
        if behind <= MAX_MISORDER {
            return SequencePlace::Late(highest - u64::from(behind));
        }
        if self.bad_sequence_number == Some(sequence_number) {
            // Two in a row of the new numbers: the source restarted without saying so.
            return self.restart(ssrc, sequence_number);
        }
        self.bad_sequence_number = Some(sequence_number.wrapping_add(1));
        SequencePlace::Astray
    }

    fn restart(&mut self, ssrc: u32, sequence_number: u16) -> SequencePlace {
        let extended = HEAD_ROOM | u64::from(sequence_number);
        self.highest = Some((ssrc, extended));
        self.bad_sequence_number = None;
        SequencePlace::Restarted(extended)
    }
}

/// A telephone-event payload. Spec: RFC 4733 §2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// 0 to 9 the digits, 10 star, 11 pound, 12 to 15 A to D.
    pub code: u8,
    /// The event is over.
    pub ends: bool,
    /// Power level in -dBm0, 0 to 63.
    pub volume: u8,
    /// In units of the RTP timestamp, from the event's start.
    pub duration: u16,
}

/// Parse a telephone-event payload; octets after the first four are other events and are left out, as RFC 4733 §2.5.1.5 allows.
#[must_use]
pub fn parse_event(payload: &[u8]) -> Option<TelephoneEvent> {
    let event = payload.get(..EVENT_OCTETS)?;
    Some(TelephoneEvent { code: event[0], ends: event[1] & 0x80 != 0, volume: event[1] & 0x3f, duration: u16::from_be_bytes([event[2], event[3]]) })
}

/// Serialise a telephone-event payload.
#[must_use]
pub fn serialise_event(event: &TelephoneEvent) -> [u8; EVENT_OCTETS] {
    let [high, low] = event.duration.to_be_bytes();
    [event.code, u8::from(event.ends) << 7 | event.volume & 0x3f, high, low]
}

/// A canonical name that lives as long as its port: 96 random bits. Spec: RFC 7022 §4.2.
#[must_use]
pub fn fresh_cname(random: &mut dyn RandomSource) -> [u8; CNAME_OCTETS] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = [0u8; 12];
    random.fill(&mut bits);
    let mut name = [0u8; CNAME_OCTETS];
    for (three, four) in bits.chunks_exact(3).zip(name.chunks_exact_mut(4)) {
        let word = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for (place, out) in four.iter_mut().enumerate() {
            *out = ALPHABET[(word >> (18 - 6 * place) & 0x3f) as usize];
        }
    }
    name
}

/// What a sender has sent so far. Spec: RFC 3550 §6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Seconds and 2^-32 fractions; only differences between the reports of one source mean anything.
    pub ntp_timestamp: u64,
    /// The RTP timestamp of the same instant.
    pub rtp_timestamp: u32,
    /// RTP packets sent, modulo 2^32.
    pub packets: u32,
    /// Payload octets sent, modulo 2^32.
    pub payload_octets: u32,
}

/// Serialise a compound packet: sender report, or a receiver report where nothing was sent, with the block about what came, where something did, and
/// source description. Spec: RFC 3550 §6.1, §6.4, §6.5.
#[must_use]
pub fn serialise_report(ssrc: u32, sent: Option<&SenderInfo>, heard: Option<&ReportBlock>, cname: &[u8; CNAME_OCTETS]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(96);
    let (kind, words) = if sent.is_some() { (RTCP_SENDER_REPORT, 6u16) } else { (RTCP_RECEIVER_REPORT, 1) };
    let words = words + if heard.is_some() { 6 } else { 0 };
    datagram.extend_from_slice(&[VERSION << 6 | u8::from(heard.is_some()), kind]);
    datagram.extend_from_slice(&words.to_be_bytes());
    datagram.extend_from_slice(&ssrc.to_be_bytes());
    if let Some(info) = sent {
        datagram.extend_from_slice(&info.ntp_timestamp.to_be_bytes());
        datagram.extend_from_slice(&info.rtp_timestamp.to_be_bytes());
        datagram.extend_from_slice(&info.packets.to_be_bytes());
        datagram.extend_from_slice(&info.payload_octets.to_be_bytes());
    }
    if let Some(block) = heard {
        datagram.extend_from_slice(&block.ssrc.to_be_bytes());
        datagram.push(block.fraction_lost);
        datagram.extend_from_slice(&block.lost.to_be_bytes()[1..]);
        for word in [block.highest, block.jitter, block.last_report, block.delay] {
            datagram.extend_from_slice(&word.to_be_bytes());
        }
    }
    // One chunk: source, item type and length, name, and zeros to the next word (at least one ends the list): 4 + 2 + 16 + 2.
    datagram.extend_from_slice(&[VERSION << 6 | 1, RTCP_SOURCE_DESCRIPTION, 0, 6]);
    datagram.extend_from_slice(&ssrc.to_be_bytes());
    datagram.extend_from_slice(&[RTCP_CNAME_ITEM, CNAME_OCTETS as u8]); // 16
    datagram.extend_from_slice(cname);
    datagram.extend_from_slice(&[0, 0]);
    datagram
}
