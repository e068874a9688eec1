//! What leaves to a phone and what came from it: whole packets, their indices and what came before.

use crate::cipher::{Cipher, Kind, Place};
use crate::suite::Master;
use crate::window::Window;

/// Sources that a receiver keeps under one key. A phone has one, and may take another one when it goes on after a hold.
pub const MAX_SOURCES: usize = 16;

const RTP_HEADER_OCTETS: usize = 12;
const RTCP_HEADER_OCTETS: usize = 8;
const INDEX_OCTETS: usize = 4;
/// The bit of the index word of RTCP that says that the packet is enciphered (RFC 3711 §3.4).
const ENCRYPTED: u32 = 1 << 31;
/// The highest index of RTCP.
const MAX_RTCP_INDEX: u32 = ENCRYPTED - 1;

/// Why a packet is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Too short for what its header says, or RTCP that is not enciphered.
    Malformed,
    /// Its number came before, or is too old to tell.
    Replayed,
    /// Its tag is not that of the key.
    Forged,
    /// One source too many; or of a sender another source than its first, or a number that it has used: the key stream would come twice.
    Exhausted,
}

struct Ciphers {
    master: Master,
    rtp: Cipher,
    rtcp: Cipher,
}

impl Ciphers {
    fn new(master: Master) -> Self {
        let (rtp, rtcp) = (Cipher::new(&master, Kind::Rtp), Cipher::new(&master, Kind::Rtcp));
        Self { master, rtp, rtcp }
    }
}

/// Tell RTCP from RTP. Spec: RFC 5761 §4.
fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| (192..=223).contains(second))
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Return the source, the sequence number and where the payload begins. Spec: RFC 3550 §5.1.
fn read_rtp(packet: &[u8]) -> Option<(u32, u16, usize)> {
    let sequence_number = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
    let mut payload = RTP_HEADER_OCTETS + 4 * usize::from(packet[0] & 0x0f);
    if packet[0] & 0x10 != 0 {
        payload += 4 + 4 * (word(packet, payload)? & 0xffff) as usize; // 16 bits
    }
    (payload <= packet.len()).then_some((word(packet, 8)?, sequence_number, payload))
}

/// Return the roll-over counter of an index, as it is authenticated.
fn roll_over(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes() // 32 bits of the 48
}

/// Protects what leaves, of one source.
pub struct Sender {
    ciphers: Ciphers,
    source: Option<u32>,
    sent: Window,
    next_rtcp: u32,
}

impl Sender {
    /// Begin with a key under which nothing was sent.
    #[must_use]
    pub fn new(master: Master) -> Self {
        Self { ciphers: Ciphers::new(master), source: None, sent: Window::default(), next_rtcp: 0 }
    }

    /// Say whether this is the key in use.
    #[must_use]
    pub fn has(&self, master: &Master) -> bool {
        self.ciphers.master == *master
    }

    /// Return the protected form of an RTP or RTCP packet.
    ///
    /// # Errors
    /// [`Refused::Malformed`] or [`Refused::Exhausted`], then nothing may be sent.
    pub fn protect(&mut self, packet: &[u8]) -> Result<Vec<u8>, Refused> {
        if is_rtcp(packet) {
            return self.protect_rtcp(packet);
        }
        let (ssrc, sequence_number, payload) = read_rtp(packet).ok_or(Refused::Malformed)?;
        let index = self.sent.index_of(sequence_number).ok_or(Refused::Exhausted)?;
        if self.sent.highest().is_some_and(|highest| index <= highest) || *self.source.get_or_insert(ssrc) != ssrc {
            return Err(Refused::Exhausted);
        }
        self.sent.note(index);
        let mut out = Vec::with_capacity(packet.len() + self.ciphers.rtp.tag_octets());
        out.extend_from_slice(packet);
        let (head, text) = out.split_at_mut(payload);
        let place = Place { ssrc, index, head, tail: roll_over(index) };
        let tag = self.ciphers.rtp.seal(&place, text).ok_or(Refused::Malformed)?;
        out.extend_from_slice(&tag[..self.ciphers.rtp.tag_octets()]);
        Ok(out)
    }

    fn protect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Refused> {
        let ssrc = word(packet, 4).ok_or(Refused::Malformed)?;
        if self.next_rtcp > MAX_RTCP_INDEX || *self.source.get_or_insert(ssrc) != ssrc {
            return Err(Refused::Exhausted);
        }
        let index = self.next_rtcp;
        self.next_rtcp += 1;
        let cipher = &self.ciphers.rtcp;
        let mut out = Vec::with_capacity(packet.len() + INDEX_OCTETS + cipher.tag_octets());
        out.extend_from_slice(packet);
        let (head, text) = out.split_at_mut(RTCP_HEADER_OCTETS);
        let place = Place { ssrc, index: u64::from(index), head, tail: (ENCRYPTED | index).to_be_bytes() };
        let tail = place.tail;
        let tag = cipher.seal(&place, text).ok_or(Refused::Malformed)?;
        let tag = &tag[..cipher.tag_octets()];
        let (first, second) = if cipher.tag_is_before_the_index() { (tag, &tail[..]) } else { (&tail[..], tag) };
        out.extend_from_slice(first);
        out.extend_from_slice(second);
        Ok(out)
    }
}

#[derive(Default)]
struct Source {
    ssrc: u32,
    rtp: Window,
    rtcp: Window,
}

/// Opens what came, of at most [`MAX_SOURCES`] sources.
pub struct Receiver {
    ciphers: Ciphers,
    sources: Vec<Source>,
}

impl Receiver {
    /// Begin with a key under which nothing came.
    #[must_use]
    pub fn new(master: Master) -> Self {
        Self { ciphers: Ciphers::new(master), sources: Vec::with_capacity(1) }
    }

    /// Say whether this is the key in use.
    #[must_use]
    pub fn has(&self, master: &Master) -> bool {
        self.ciphers.master == *master
    }

    /// Return the RTP or RTCP packet in a protected one. Only one whose tag is good changes anything.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn unprotect(&mut self, packet: &[u8]) -> Result<Vec<u8>, Refused> {
        let kind = if is_rtcp(packet) { Kind::Rtcp } else { Kind::Rtp };
        let (ssrc, number, payload) = match kind {
            Kind::Rtp => read_rtp(packet).ok_or(Refused::Malformed)?,
            Kind::Rtcp => (word(packet, 4).ok_or(Refused::Malformed)?, 0, RTCP_HEADER_OCTETS),
        };
        let cipher = if kind == Kind::Rtp { &self.ciphers.rtp } else { &self.ciphers.rtcp };
        let index_octets = if kind == Kind::Rtp { 0 } else { INDEX_OCTETS };
        let text_end = packet.len().checked_sub(cipher.tag_octets() + index_octets).filter(|end| *end >= payload).ok_or(Refused::Malformed)?;
        let (tag_at, index_at) =
            if cipher.tag_is_before_the_index() { (text_end, text_end + cipher.tag_octets()) } else { (text_end + index_octets, text_end) };
        let known = self.sources.iter().position(|source| source.ssrc == ssrc);
        let window = known.map_or_else(Window::default, |at| if kind == Kind::Rtp { self.sources[at].rtp } else { self.sources[at].rtcp });
        let (index, tail) = match kind {
            Kind::Rtp => {
                let index = window.index_of(number).ok_or(Refused::Replayed)?;
                (index, roll_over(index))
            }
            Kind::Rtcp => {
                let told = word(packet, index_at).filter(|told| told & ENCRYPTED != 0).ok_or(Refused::Malformed)?;
                (u64::from(told & MAX_RTCP_INDEX), told.to_be_bytes())
            }
        };
        if !window.is_fresh(index) {
            return Err(Refused::Replayed);
        }
        let mut out = packet[..text_end].to_vec();
        let (head, text) = out.split_at_mut(payload);
        if !cipher.open(&Place { ssrc, index, head, tail }, text, &packet[tag_at..tag_at + cipher.tag_octets()]) {
            return Err(Refused::Forged);
        }
        let source = self.source(known, ssrc)?;
        if kind == Kind::Rtp {
            source.rtp.note(index);
        } else {
            source.rtcp.note(index);
        }
        Ok(out)
    }

    fn source(&mut self, known: Option<usize>, ssrc: u32) -> Result<&mut Source, Refused> {
        let at = match known {
            Some(at) => at,
            None if self.sources.len() >= MAX_SOURCES => return Err(Refused::Exhausted),
            None => {
                self.sources.push(Source { ssrc, ..Source::default() });
                self.sources.len() - 1
            }
        };
        Ok(&mut self.sources[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Suite;

    fn octets(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    fn pair(suite: Suite, length: usize) -> (Sender, Receiver) {
        let master = Master::new(suite, &vec![7; length]).expect("its length");
        (Sender::new(master.clone()), Receiver::new(master))
    }

    fn rtp(ssrc: u32, sequence_number: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&sequence_number.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 1, 2]);
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&[0x55; 160]);
        packet
    }

    const SUITES: [(Suite, usize, usize, usize); 4] =
        [(Suite::AesCm80, 30, 10, 14), (Suite::AesCm32, 30, 4, 14), (Suite::Gcm128, 28, 16, 20), (Suite::Gcm256, 44, 16, 20)];

    /// RFC 7714 §16.1.1, §17.1: packets under session keys, which are given.
    #[test]
    fn packets_of_aes_gcm_are_those_of_the_standard() {
        let salt: [u8; 12] = octets("517569642070726f2071756f").try_into().expect("12");
        let ciphers = |kind| Cipher::of_gcm_session(&octets("000102030405060708090a0b0c0d0e0f"), salt, kind);
        let mut sender = pair(Suite::Gcm128, 28).0;
        (sender.ciphers.rtp, sender.ciphers.rtcp) = (ciphers(Kind::Rtp), ciphers(Kind::Rtcp));
        let plain = octets("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573");
        let sealed = octets(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf
             765ee439 0cce",
        );
        assert_eq!(sender.protect(&plain), Ok(sealed));
        let plain = octets("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef");
        let sealed = octets(
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f
             c5abf872 45d9eade 800005d4",
        );
        (sender.source, sender.next_rtcp) = (None, 0x5d4);
        assert_eq!(sender.protect(&plain), Ok(sealed));
    }

    #[test]
    fn what_is_protected_comes_out_once_and_unchanged() {
        for (suite, length, rtp_longer, rtcp_longer) in SUITES {
            let (mut sender, mut receiver) = pair(suite, length);
            for (packet, longer) in [(rtp(9, 1), rtp_longer), (rtp(9, 2), rtp_longer), (vec![0x80, 200, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4], rtcp_longer)] {
                let sealed = sender.protect(&packet).expect("fresh");
                assert_eq!(sealed.len(), packet.len() + longer);
                assert_ne!(sealed[packet.len() - 4..packet.len()], packet[packet.len() - 4..]);
                assert_eq!(receiver.unprotect(&sealed), Ok(packet));
                assert_eq!(receiver.unprotect(&sealed), Err(Refused::Replayed));
            }
        }
    }

    #[test]
    fn any_flipped_bit_is_found_and_costs_nothing() {
        for (suite, length, ..) in SUITES {
            let (mut sender, mut receiver) = pair(suite, length);
            let sealed = [sender.protect(&rtp(9, 1)).expect("fresh"), sender.protect(&[0x80, 200, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4]).expect("fresh")];
            for packet in &sealed {
                for bit in 0..packet.len() * 8 {
                    let mut flipped = packet.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(receiver.unprotect(&flipped).is_err(), "{suite:?}, bit {bit}");
                }
            }
            assert!(receiver.sources.is_empty());
            assert!(sealed.iter().all(|packet| receiver.unprotect(packet).is_ok()));
        }
    }

    #[test]
    fn packets_cut_anywhere_are_refused() {
        for (suite, length, ..) in SUITES {
            let (mut sender, mut receiver) = pair(suite, length);
            for packet in [rtp(9, 1), vec![0x80, 200, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4]] {
                let sealed = sender.protect(&packet).expect("fresh");
                assert!((0..sealed.len()).all(|end| receiver.unprotect(&sealed[..end]).is_err()));
                assert!((0..8).all(|end| sender.protect(&packet[..end]).is_err()));
            }
        }
    }

    #[test]
    fn no_number_is_sent_twice_under_a_key() {
        let (mut sender, _) = pair(Suite::AesCm80, 30);
        assert!(sender.protect(&rtp(9, 10)).is_ok());
        assert_eq!(sender.protect(&rtp(9, 10)), Err(Refused::Exhausted));
        assert_eq!(sender.protect(&rtp(9, 9)), Err(Refused::Exhausted));
        assert_eq!(sender.protect(&rtp(8, 11)), Err(Refused::Exhausted), "another source");
        sender.next_rtcp = MAX_RTCP_INDEX;
        let report = [0x80, 200, 0, 0, 0, 0, 0, 9];
        assert!(sender.protect(&report).is_ok());
        assert_eq!(sender.protect(&report), Err(Refused::Exhausted));
    }

    #[test]
    fn sources_are_bounded() {
        let mut receiver = pair(Suite::AesCm80, 30).1;
        for ssrc in 0..=16 {
            let sealed = pair(Suite::AesCm80, 30).0.protect(&rtp(ssrc, 1)).expect("fresh");
            assert_eq!(receiver.unprotect(&sealed).err(), (ssrc == 16).then_some(Refused::Exhausted));
        }
    }
}
