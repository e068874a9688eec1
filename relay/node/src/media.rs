//! Media ports: a pair of UDP sockets that face one phone. Only the phone's address is heard (PROTOCOL.md §9.4), and where the phone
//! asked for SRTP, only what has its key (`voicebox-srtp`); nothing in the clear passes either way then.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use voicebox_srtp::{Master, Receiver, Refused, Sender};

use crate::counters::Counter;
use crate::datagrams::bind;
use crate::Error;

/// Pairs are looked for among ports that the system hands out, so many times.
const PAIR_TRIES: u32 = 64;

/// Of RTP and RTCP, in the first two bits.
const RTP_VERSION: u8 = 2;

/// Which of the two sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    Rtp,
    Rtcp,
}

/// Where one half sends to, and from whom it hears.
#[derive(Clone, Copy, Default)]
struct Peer {
    /// From the phone's SDP.
    said: Option<SocketAddr>,
    /// Where it really sends from, if from another port (symmetric RTP, RFC 4961): the first other port, until the said one speaks.
    latched: Option<SocketAddr>,
}

impl Peer {
    fn hears(&self, from: SocketAddr) -> bool {
        self.said.is_some_and(|said| from == said || (from.ip() == said.ip() && self.latched.is_none_or(|latched| latched == from)))
    }

    /// Send to where something genuine came from.
    fn latch(&mut self, from: SocketAddr) {
        self.latched = Some(from);
    }

    fn to(&self) -> Option<SocketAddr> {
        self.latched.or(self.said)
    }
}

/// The keys of both directions.
pub(crate) struct MediaKeys {
    pub(crate) send: Master,
    pub(crate) receive: Master,
}

struct Protection {
    sender: Sender,
    receiver: Receiver,
}

/// A media port.
pub(crate) struct MediaPort {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    peers: [Peer; 2],
    /// RTP and RTCP on one port (RFC 5761).
    is_muxed: bool,
    protection: Option<Protection>,
}

impl MediaPort {
    /// Bind RTP to an even port and RTCP to the next (RFC 3550 §11); the port of RTP.
    pub(crate) fn bind(address: IpAddr) -> Result<(Self, u16), Error> {
        let mut spoilt = Vec::new();
        for _ in 0..PAIR_TRIES {
            let rtp = bind(address, 0)?;
            let port = rtp.local_addr().map_err(|_| Error::Host("a UDP socket has no address"))?.port();
            if port % 2 == 0 && port < u16::MAX {
                if let Ok(rtcp) = bind(address, port + 1) {
                    return Ok((Self { rtp, rtcp, peers: [Peer::default(); 2], is_muxed: false, protection: None }, port));
                }
            }
            // Kept until the end, so that the system hands out another one.
            spoilt.push(rtp);
        }
        Err(Error::Host("no pair of free UDP ports for media was found"))
    }

    pub(crate) fn socket(&self, half: Half) -> &UdpSocket {
        match half {
            Half::Rtp => &self.rtp,
            Half::Rtcp => &self.rtcp,
        }
    }

    /// Set the phone's address from its SDP. RTCP goes to `rtcp_port`, which may be that of RTP too, else to the next one (RFC 3550 §11).
    pub(crate) fn set_remote(&mut self, address: SocketAddr, rtcp_port: Option<u16>) {
        self.is_muxed = rtcp_port == Some(address.port());
        let rtcp_port = rtcp_port.or(address.port().checked_add(1)).filter(|_| !self.is_muxed);
        let rtcp = rtcp_port.map(|port| SocketAddr::new(address.ip(), port));
        self.peers = [Peer { said: Some(address), latched: None }, Peer { said: rtcp, latched: None }];
    }

    /// Return which socket carries RTP or RTCP.
    pub(crate) fn half(&self, rtcp: bool) -> Half {
        if rtcp && !self.is_muxed {
            Half::Rtcp
        } else {
            Half::Rtp
        }
    }

    /// Protect from now on, or no longer. A key that is in use already goes on where it is: no number comes twice under it.
    pub(crate) fn protect(&mut self, keys: Option<MediaKeys>) {
        let before = self.protection.take();
        self.protection = keys.map(|MediaKeys { send, receive }| {
            let (sender, receiver) = before.map_or((None, None), |before| (Some(before.sender), Some(before.receiver)));
            Protection {
                sender: sender.filter(|sender| sender.has(&send)).unwrap_or_else(|| Sender::new(send)),
                receiver: receiver.filter(|receiver| receiver.has(&receive)).unwrap_or_else(|| Receiver::new(receive)),
            }
        });
    }

    /// Return what is sent for a packet of ours.
    pub(crate) fn seal(&mut self, packet: Vec<u8>) -> Result<Vec<u8>, Counter> {
        match &mut self.protection {
            None => Ok(packet),
            Some(protection) => protection.sender.protect(&packet).map_err(counter_of),
        }
    }

    fn open(&mut self, datagram: &[u8]) -> Result<Option<Vec<u8>>, Counter> {
        match &mut self.protection {
            Some(protection) if datagram.first().is_some_and(|first| first >> 6 == RTP_VERSION) => {
                protection.receiver.unprotect(datagram).map(Some).map_err(counter_of)
            }
            _ => Ok(None),
        }
    }

    /// Return the packet in a datagram of the phone, `None` where it is the datagram itself: in the clear, or none of RTP, which the core drops and counts.
    /// Only what is genuine moves where this port sends to.
    pub(crate) fn receive(&mut self, half: Half, from: Option<SocketAddr>, datagram: &[u8]) -> Result<Option<Vec<u8>>, Counter> {
        let from = from.filter(|from| self.peers[half as usize].hears(*from)).ok_or(Counter::MediaStranger)?;
        let opened = self.open(datagram)?;
        self.peers[half as usize].latch(from);
        Ok(opened)
    }

    pub(crate) fn to(&self, half: Half) -> Option<SocketAddr> {
        self.peers[half as usize].to()
    }
}

const fn counter_of(refused: Refused) -> Counter {
    match refused {
        Refused::Malformed => Counter::SrtpMalformed,
        Refused::Replayed => Counter::SrtpReplayed,
        Refused::Forged => Counter::SrtpForged,
        Refused::Exhausted => Counter::SrtpExhausted,
    }
}

/// All media ports of a node.
pub(crate) type MediaPorts = HashMap<u32, MediaPort>;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use voicebox_srtp::{Master, Receiver, Sender, Suite};

    use super::{Half, MediaKeys, MediaPort};
    use crate::counters::Counter;

    #[test]
    fn only_the_phone_is_heard_and_a_first_other_port_is_latched() {
        let (mut port, number) = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports");
        assert_eq!(number % 2, 0);
        assert_eq!(port.socket(Half::Rtcp).local_addr().expect("bound").port(), number + 1);
        let phone = |number| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), number));
        let hears = |port: &mut MediaPort, half, from| port.receive(half, Some(from), &rtp(1)).is_ok();
        assert!(!hears(&mut port, Half::Rtp, phone(4_000)), "nothing is said yet");
        port.set_remote(phone(4_000), None);
        assert_eq!((port.half(true), port.to(Half::Rtcp)), (Half::Rtcp, Some(phone(4_001))));
        assert!(!hears(&mut port, Half::Rtp, SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000))));
        assert!(hears(&mut port, Half::Rtp, phone(5_000)), "symmetric RTP behind another port");
        assert_eq!(port.to(Half::Rtp), Some(phone(5_000)));
        assert!(!hears(&mut port, Half::Rtp, phone(5_001)), "only the first other port");
        assert!(hears(&mut port, Half::Rtp, phone(4_000)), "the said port always");
        assert_eq!(port.to(Half::Rtp), Some(phone(4_000)));
        assert!(!hears(&mut port, Half::Rtp, phone(5_000)), "the said port has spoken");
        port.set_remote(phone(6_000), None);
        assert_eq!(port.to(Half::Rtp), Some(phone(6_000)));
        port.set_remote(phone(6_000), Some(7_000));
        assert_eq!((port.half(true), port.to(Half::Rtcp)), (Half::Rtcp, Some(phone(7_000))));
        port.set_remote(phone(6_000), Some(6_000));
        assert_eq!((port.half(true), port.to(Half::Rtp), port.to(Half::Rtcp)), (Half::Rtp, Some(phone(6_000)), None));
        assert!(!hears(&mut port, Half::Rtcp, phone(6_001)), "nothing is awaited there");
    }

    #[test]
    fn only_a_genuine_packet_moves_where_sound_goes() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        let phone = |number| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), number));
        port.set_remote(phone(4_000), None);
        port.protect(Some(MediaKeys { send: master(1), receive: master(2) }));
        assert_eq!(port.receive(Half::Rtp, Some(phone(5_000)), &rtp(1)), Err(Counter::SrtpForged));
        assert_eq!(port.to(Half::Rtp), Some(phone(4_000)));
        let genuine = Sender::new(master(2)).protect(&rtp(1)).expect("fresh");
        assert_eq!(port.receive(Half::Rtp, Some(phone(5_002)), &genuine), Ok(Some(rtp(1))));
        assert_eq!(port.to(Half::Rtp), Some(phone(5_002)));
    }

    fn rtp(sequence_number: u8) -> Vec<u8> {
        let mut packet = vec![0x80, 8, 0, sequence_number, 0, 0, 0, 0, 0, 0, 0, 7];
        packet.extend_from_slice(&[0x55; 160]);
        packet
    }

    fn master(octet: u8) -> Master {
        Master::new(Suite::AesCm80, &[octet; 30]).expect("30 octets")
    }

    #[test]
    fn a_protected_port_takes_nothing_in_the_clear_and_sends_nothing_so() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        assert_eq!(port.seal(rtp(1)), Ok(rtp(1)));
        assert_eq!(port.open(&rtp(1)), Ok(None));
        port.protect(Some(MediaKeys { send: master(1), receive: master(2) }));
        assert_eq!(port.open(&rtp(1)), Err(Counter::SrtpForged));
        assert_eq!(port.open(b"\x00 no RTP"), Ok(None), "for the core to drop");
        let mut phone = Sender::new(master(2));
        let came = phone.protect(&rtp(1)).expect("fresh");
        assert_eq!(port.open(&came), Ok(Some(rtp(1))));
        assert_eq!(port.open(&came), Err(Counter::SrtpReplayed));
        let sent = port.seal(rtp(9)).expect("fresh");
        assert_eq!(Receiver::new(master(1)).unprotect(&sent), Ok(rtp(9)));
    }

    #[test]
    fn a_key_that_is_said_again_goes_on_and_another_begins_anew() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        port.protect(Some(MediaKeys { send: master(1), receive: master(2) }));
        let came = Sender::new(master(2)).protect(&rtp(1)).expect("fresh");
        assert!(port.open(&came).is_ok() && port.seal(rtp(9)).is_ok());
        port.protect(Some(MediaKeys { send: master(1), receive: master(2) }));
        assert_eq!(port.open(&came), Err(Counter::SrtpReplayed));
        assert_eq!(port.seal(rtp(9)), Err(Counter::SrtpExhausted), "no key stream twice");
        port.protect(Some(MediaKeys { send: master(3), receive: master(4) }));
        assert_eq!(port.open(&came), Err(Counter::SrtpForged));
        assert!(port.seal(rtp(9)).is_ok());
        port.protect(None);
        assert_eq!(port.seal(rtp(9)), Ok(rtp(9)));
    }
}
