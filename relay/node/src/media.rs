//! Media ports: a pair of UDP sockets that face one phone. Only the phone's address is heard (PROTOCOL.md §9.4), and where the phone
//! asked for SRTP, only what has its key (`voicebox-srtp`); nothing in the clear passes either way then. The keys are given, or agreed on
//! here by handshakes (`handshakes.rs`).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use voicebox_dtls::{Identity, Keys};
use voicebox_srtp::{Receiver, Refused, Sender};

use crate::counters::Counter;
use crate::datagrams::bind;
use crate::handshakes::{Agreed, Handshakes};
use crate::Error;

/// Pairs are looked for among ports that the system hands out, so many times.
const PAIR_TRIES: u32 = 64;

/// Of RTP and RTCP, in the first two bits.
const RTP_VERSION: u8 = 2;
/// First octets of DTLS beside them. Spec: RFC 7983 §7.
const DTLS: std::ops::RangeInclusive<u8> = 20..=63;

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

/// SRTP both ways.
pub(crate) struct Protection {
    sender: Sender,
    receiver: Receiver,
}

impl Protection {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { sender: Sender::new(keys.send), receiver: Receiver::new(keys.receive) }
    }

    /// Change to other keys; one that is in use already goes on where it is: no number comes twice under it.
    fn changed(self, Keys { send, receive }: Keys) -> Self {
        Self {
            sender: if self.sender.has(&send) { self.sender } else { Sender::new(send) },
            receiver: if self.receiver.has(&receive) { self.receiver } else { Receiver::new(receive) },
        }
    }

    pub(crate) fn seal(&mut self, packet: &[u8]) -> Result<Vec<u8>, Counter> {
        self.sender.protect(packet).map_err(counter_of)
    }

    pub(crate) fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, Counter> {
        self.receiver.unprotect(datagram).map_err(counter_of)
    }
}

/// Datagrams of a handshake that are kept until the phone's SDP has come, which is answered by a program and so a little later.
const MAX_EARLY: usize = 4;
const MAX_EARLY_OCTETS: usize = 1_500;

/// What a port lets pass.
enum Guard {
    /// Everything.
    Clear,
    /// What has the keys of SDP.
    Keyed(Protection),
    /// What has the keys of its handshakes, and before those nothing.
    Shaken(Box<Handshakes>),
}

/// What a datagram of the phone is.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// The packet itself: in the clear, or none of RTP, which the core drops and counts.
    Plain,
    /// A protected packet; this was in it.
    Opened(Vec<u8>),
    /// Part of a handshake, which may have something to say now.
    Handshake,
}

/// A media port.
pub(crate) struct MediaPort {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    bound: SocketAddr,
    peers: [Peer; 2],
    /// RTP and RTCP on one port (RFC 5761).
    is_muxed: bool,
    guard: Guard,
    /// For handshakes, where there are any: of this port alone.
    identity: Option<Identity>,
    early: Vec<(Half, SocketAddr, Vec<u8>)>,
}

impl MediaPort {
    /// Bind RTP to an even port and RTCP to the next (RFC 3550 §11); the port of RTP.
    pub(crate) fn bind(address: IpAddr) -> Result<(Self, u16), Error> {
        let mut spoilt = Vec::new();
        for _ in 0..PAIR_TRIES {
            let rtp = bind(address, 0)?;
            let bound = rtp.local_addr().map_err(|_| Error::Host("a UDP socket has no address"))?;
            let port = bound.port();
            if port % 2 == 0 && port < u16::MAX {
                if let Ok(rtcp) = bind(address, port + 1) {
                    return Ok((
                        Self { rtp, rtcp, bound, peers: [Peer::default(); 2], is_muxed: false, guard: Guard::Clear, identity: None, early: Vec::new() },
                        port,
                    ));
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

    /// Set the phone's address from its SDP; `None`: nobody is sent anything, nor heard. RTCP goes to `rtcp_port`, which may be that of RTP too, else to the
    /// next one (RFC 3550 §11). A handshake of which nothing was heard yet begins anew: the phone may not have been ready for it.
    pub(crate) fn set_remote(&mut self, now: u64, address: Option<SocketAddr>, rtcp_port: Option<u16>) {
        self.peers = [Peer::default(); 2];
        let Some(address) = address else { return };
        self.is_muxed = rtcp_port == Some(address.port());
        let rtcp_port = rtcp_port.or(address.port().checked_add(1)).filter(|_| !self.is_muxed);
        let rtcp = rtcp_port.map(|port| SocketAddr::new(address.ip(), port));
        self.peers = [Peer { said: Some(address), latched: None }, Peer { said: rtcp, latched: None }];
        if let (Guard::Shaken(handshakes), Some(identity)) = (&mut self.guard, &self.identity) {
            handshakes.begin(now, identity, !self.is_muxed);
        }
        for (half, from, datagram) in std::mem::take(&mut self.early) {
            // A stranger's is dropped now.
            let _ = self.receive(now, half, Some(from), &datagram);
        }
    }

    /// Return where its RTP comes in.
    pub(crate) const fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Say whether an address is one of this port's own two.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        address.ip() == self.bound.ip() && (address.port() == self.bound.port() || address.port() == self.bound.port() + 1)
    }

    /// Return which socket carries RTP or RTCP.
    pub(crate) fn half(&self, rtcp: bool) -> Half {
        if rtcp && !self.is_muxed {
            Half::Rtcp
        } else {
            Half::Rtp
        }
    }

    /// Protect from now on, or no longer.
    pub(crate) fn protect(&mut self, keys: Option<Keys>) {
        self.guard = match (std::mem::replace(&mut self.guard, Guard::Clear), keys) {
            (_, None) => Guard::Clear,
            (Guard::Keyed(before), Some(keys)) => Guard::Keyed(before.changed(keys)),
            (_, Some(keys)) => Guard::Keyed(Protection::new(keys)),
        };
    }

    /// Take what the port shows of itself in handshakes.
    pub(crate) fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// Let nothing pass but under keys of handshakes, which begin with [`Self::set_remote`]; those of what was agreed before go on.
    pub(crate) fn agree(&mut self, agreed: Agreed) {
        if !matches!(&self.guard, Guard::Shaken(handshakes) if handshakes.are_of(&agreed)) {
            self.guard = Guard::Shaken(Box::new(Handshakes::new(agreed)));
        }
    }

    /// Return the port's handshakes, where it has some.
    pub(crate) fn handshakes(&mut self) -> Option<&mut Handshakes> {
        match &mut self.guard {
            Guard::Shaken(handshakes) => Some(handshakes),
            Guard::Clear | Guard::Keyed(_) => None,
        }
    }

    /// Return what is sent for a packet of ours.
    pub(crate) fn seal(&mut self, rtcp: bool, packet: Vec<u8>) -> Result<Vec<u8>, Counter> {
        let half = self.half(rtcp);
        match &mut self.guard {
            Guard::Clear => Ok(packet),
            Guard::Keyed(protection) => protection.seal(&packet),
            Guard::Shaken(handshakes) => handshakes.protection(half)?.seal(&packet),
        }
    }

    fn open(&mut self, now: u64, half: Half, datagram: &[u8]) -> Result<Taken, Counter> {
        let Some(&first) = datagram.first() else { return Ok(Taken::Plain) };
        match &mut self.guard {
            Guard::Keyed(protection) if first >> 6 == RTP_VERSION => protection.open(datagram).map(Taken::Opened),
            Guard::Shaken(handshakes) if first >> 6 == RTP_VERSION => handshakes.protection(half)?.open(datagram).map(Taken::Opened),
            Guard::Shaken(handshakes) if DTLS.contains(&first) => {
                handshakes.take(now, half, datagram);
                Ok(Taken::Handshake)
            }
            Guard::Clear | Guard::Keyed(_) | Guard::Shaken(_) => Ok(Taken::Plain),
        }
    }

    /// Take a datagram. Only what is genuine moves where this port sends to.
    pub(crate) fn receive(&mut self, now: u64, half: Half, from: Option<SocketAddr>, datagram: &[u8]) -> Result<Taken, Counter> {
        let from = from.ok_or(Counter::MediaStranger)?;
        if !self.peers[half as usize].hears(from) {
            return if self.is_early(half, datagram) {
                self.early.push((half, from, datagram.to_vec()));
                Ok(Taken::Handshake)
            } else {
                Err(Counter::MediaStranger)
            };
        }
        let taken = self.open(now, half, datagram)?;
        if taken != Taken::Handshake {
            self.peers[half as usize].latch(from);
        }
        Ok(taken)
    }

    /// Say whether a datagram may be a phone's that says hello before we know where it is.
    fn is_early(&self, half: Half, datagram: &[u8]) -> bool {
        let may_be = self.identity.is_some() && self.peers[half as usize].said.is_none() && datagram.first().is_some_and(|first| DTLS.contains(first));
        may_be && self.early.len() < MAX_EARLY && datagram.len() <= MAX_EARLY_OCTETS
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

    use voicebox_dtls::{Fingerprint, Identity, Keys};
    use voicebox_srtp::{Master, Receiver, Sender, Suite};

    use super::{Half, MediaPort, Taken};
    use crate::counters::Counter;
    use crate::handshakes::Agreed;

    #[test]
    fn only_the_phone_is_heard_and_a_first_other_port_is_latched() {
        let (mut port, number) = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports");
        assert_eq!(number % 2, 0);
        assert_eq!(port.socket(Half::Rtcp).local_addr().expect("bound").port(), number + 1);
        let phone = |number| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), number));
        let hears = |port: &mut MediaPort, half, from| port.receive(0, half, Some(from), &rtp(1)).is_ok();
        assert!(!hears(&mut port, Half::Rtp, phone(4_000)), "nothing is said yet");
        port.set_remote(0, Some(phone(4_000)), None);
        assert_eq!((port.half(true), port.to(Half::Rtcp)), (Half::Rtcp, Some(phone(4_001))));
        assert!(!hears(&mut port, Half::Rtp, SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000))));
        assert!(hears(&mut port, Half::Rtp, phone(5_000)), "symmetric RTP behind another port");
        assert_eq!(port.to(Half::Rtp), Some(phone(5_000)));
        assert!(!hears(&mut port, Half::Rtp, phone(5_001)), "only the first other port");
        assert!(hears(&mut port, Half::Rtp, phone(4_000)), "the said port always");
        assert_eq!(port.to(Half::Rtp), Some(phone(4_000)));
        assert!(!hears(&mut port, Half::Rtp, phone(5_000)), "the said port has spoken");
        port.set_remote(0, Some(phone(6_000)), None);
        assert_eq!(port.to(Half::Rtp), Some(phone(6_000)));
        port.set_remote(0, Some(phone(6_000)), Some(7_000));
        assert_eq!((port.half(true), port.to(Half::Rtcp)), (Half::Rtcp, Some(phone(7_000))));
        port.set_remote(0, Some(phone(6_000)), Some(6_000));
        assert_eq!((port.half(true), port.to(Half::Rtp), port.to(Half::Rtcp)), (Half::Rtp, Some(phone(6_000)), None));
        assert!(!hears(&mut port, Half::Rtcp, phone(6_001)), "nothing is awaited there");
    }

    #[test]
    fn only_a_genuine_packet_moves_where_sound_goes() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        let phone = |number| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), number));
        port.set_remote(0, Some(phone(4_000)), None);
        port.protect(Some(Keys { send: master(1), receive: master(2) }));
        assert_eq!(port.receive(0, Half::Rtp, Some(phone(5_000)), &rtp(1)), Err(Counter::SrtpForged));
        assert_eq!(port.to(Half::Rtp), Some(phone(4_000)));
        let genuine = Sender::new(master(2)).protect(&rtp(1)).expect("fresh");
        assert_eq!(port.receive(0, Half::Rtp, Some(phone(5_002)), &genuine), Ok(Taken::Opened(rtp(1))));
        assert_eq!(port.to(Half::Rtp), Some(phone(5_002)));
    }

    #[test]
    fn a_port_that_is_told_of_nobody_hears_and_sends_nothing() {
        let (mut port, number) = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports");
        let own = |number| SocketAddr::from((Ipv4Addr::LOCALHOST, number));
        assert!(port.is_at(own(number)) && port.is_at(own(number + 1)) && !port.is_at(own(number + 2)));
        assert!(!port.is_at(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), number))));
        port.set_remote(0, Some(own(4_000)), None);
        port.set_remote(0, None, None);
        assert_eq!((port.to(Half::Rtp), port.to(Half::Rtcp)), (None, None));
        assert_eq!(port.receive(0, Half::Rtp, Some(own(4_000)), &rtp(1)), Err(Counter::MediaStranger));
    }

    fn rtp(sequence_number: u8) -> Vec<u8> {
        let mut packet = vec![0x80, 8, 0, sequence_number, 0, 0, 0, 0, 0, 0, 0, 7];
        packet.extend_from_slice(&[0x55; 160]);
        packet
    }

    fn open(port: &mut MediaPort, datagram: &[u8]) -> Result<Taken, Counter> {
        port.open(0, Half::Rtp, datagram)
    }

    fn master(octet: u8) -> Master {
        Master::new(Suite::AesCm80, &[octet; 30]).expect("30 octets")
    }

    #[test]
    fn a_protected_port_takes_nothing_in_the_clear_and_sends_nothing_so() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        assert_eq!(port.seal(false, rtp(1)), Ok(rtp(1)));
        assert_eq!(open(&mut port, &rtp(1)), Ok(Taken::Plain));
        port.protect(Some(Keys { send: master(1), receive: master(2) }));
        assert_eq!(open(&mut port, &rtp(1)), Err(Counter::SrtpForged));
        assert_eq!(open(&mut port, b"\x00 no RTP"), Ok(Taken::Plain), "for the core to drop");
        let mut phone = Sender::new(master(2));
        let came = phone.protect(&rtp(1)).expect("fresh");
        assert_eq!(open(&mut port, &came), Ok(Taken::Opened(rtp(1))));
        assert_eq!(open(&mut port, &came), Err(Counter::SrtpReplayed));
        let sent = port.seal(false, rtp(9)).expect("fresh");
        assert_eq!(Receiver::new(master(1)).unprotect(&sent), Ok(rtp(9)));
    }

    #[test]
    fn a_key_that_is_said_again_goes_on_and_another_begins_anew() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        port.protect(Some(Keys { send: master(1), receive: master(2) }));
        let came = Sender::new(master(2)).protect(&rtp(1)).expect("fresh");
        assert!(open(&mut port, &came).is_ok() && port.seal(false, rtp(9)).is_ok());
        port.protect(Some(Keys { send: master(1), receive: master(2) }));
        assert_eq!(open(&mut port, &came), Err(Counter::SrtpReplayed));
        assert_eq!(port.seal(false, rtp(9)), Err(Counter::SrtpExhausted), "no key stream twice");
        port.protect(Some(Keys { send: master(3), receive: master(4) }));
        assert_eq!(open(&mut port, &came), Err(Counter::SrtpForged));
        assert!(port.seal(false, rtp(9)).is_ok());
        port.protect(None);
        assert_eq!(port.seal(false, rtp(9)), Ok(rtp(9)));
    }

    /// Two ports as box and phone: what the handshakes of one say reaches the other, until both are silent.
    fn shake(ports: &mut [MediaPort; 2], from: [SocketAddr; 2]) {
        loop {
            let mut said = false;
            for at in 0..2 {
                while let Some((half, datagram)) = ports[at].handshakes().and_then(|handshakes| handshakes.poll()) {
                    said = true;
                    assert_eq!(ports[1 - at].receive(0, half, Some(from[at]), &datagram), Ok(Taken::Handshake));
                }
            }
            if !said {
                return;
            }
        }
    }

    /// A box that says hello, and a phone; `wrong`: which of them is shown another certificate than SDP said.
    fn agreed_ports(wrong: Option<usize>, rtcp_port: Option<u16>) -> ([MediaPort; 2], [SocketAddr; 2]) {
        let addresses = [4_000, 6_000].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let identities = [(); 3].map(|()| Identity::fresh().expect("a key"));
        let said = |at: usize| Fingerprint::new("sha-256", &identities[at].fingerprint().expect("a digest")).expect("32 octets");
        let phones = [said(if wrong == Some(0) { 2 } else { 1 }), said(if wrong == Some(1) { 2 } else { 0 })];
        let mut ports = [(); 2].map(|()| MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0);
        for ((port, identity), (active, phone)) in ports.iter_mut().zip(identities).zip([true, false].into_iter().zip(phones)) {
            port.identify(identity);
            port.agree(Agreed { active, phone });
        }
        for (port, other) in ports.iter_mut().zip([1, 0]) {
            port.set_remote(0, Some(addresses[other]), rtcp_port.map(|_| addresses[other].port()));
        }
        (ports, addresses)
    }

    #[test]
    fn nothing_passes_before_the_handshake_and_afterwards_only_what_has_its_keys() {
        let (mut ports, from) = agreed_ports(None, Some(0));
        assert_eq!(ports[0].seal(false, rtp(1)), Err(Counter::NotShaken));
        assert_eq!(ports[0].receive(0, Half::Rtp, Some(from[1]), &rtp(1)), Err(Counter::NotShaken));
        shake(&mut ports, from);
        assert_eq!(ports[0].receive(0, Half::Rtp, Some(from[1]), &rtp(1)), Err(Counter::SrtpForged), "in the clear");
        for (one, other) in [(0, 1), (1, 0)] {
            let sealed = ports[one].seal(false, rtp(9)).expect("the keys are there");
            assert_eq!(ports[other].receive(0, Half::Rtp, Some(from[one]), &sealed), Ok(Taken::Opened(rtp(9))));
            assert_eq!(ports[other].receive(0, Half::Rtp, Some(from[one]), &sealed), Err(Counter::SrtpReplayed));
        }
        assert!(ports.iter_mut().all(|port| !port.handshakes().expect("agreed").take_failure()));
    }

    #[test]
    fn where_rtcp_has_a_port_of_its_own_it_has_a_handshake_of_its_own() {
        let report = vec![0x80, 200, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4];
        let (mut ports, from) = agreed_ports(None, None);
        shake(&mut ports, [SocketAddr::new(from[0].ip(), 4_000), SocketAddr::new(from[1].ip(), 6_000)]);
        let sealed = [ports[0].seal(false, rtp(1)).expect("keys"), ports[0].seal(true, report.clone()).expect("keys")];
        assert_eq!(ports[1].receive(0, Half::Rtcp, Some(from[0]), &sealed[1]), Ok(Taken::Opened(report)));
        assert_eq!(ports[1].receive(0, Half::Rtcp, Some(from[0]), &sealed[0]), Err(Counter::SrtpForged), "that is the other's key");
    }

    #[test]
    fn a_phone_with_another_certificate_is_told_once_and_never_heard() {
        let (mut ports, from) = agreed_ports(Some(0), Some(0));
        shake(&mut ports, from);
        assert!(ports[0].handshakes().expect("agreed").take_failure());
        assert!(!ports[0].handshakes().expect("agreed").take_failure(), "once");
        assert_eq!(ports[0].seal(false, rtp(1)), Err(Counter::NotShaken));
        assert_eq!(ports[0].receive(0, Half::Rtp, Some(from[1]), &rtp(1)), Err(Counter::NotShaken));
    }

    #[test]
    fn what_was_agreed_before_goes_on_and_anything_else_begins_anew() {
        let (mut ports, from) = agreed_ports(None, Some(0));
        shake(&mut ports, from);
        let sealed = ports[0].seal(false, rtp(1)).expect("keys");
        let phone = |octet| Fingerprint::new("sha-256", &[octet; 32]).expect("32 octets");
        ports[0].set_remote(0, Some(from[1]), Some(from[1].port()));
        assert_ne!(ports[0].seal(false, rtp(2)), Err(Counter::NotShaken), "a phone that has moved");
        assert_eq!(ports[1].receive(0, Half::Rtp, Some(from[0]), &sealed), Ok(Taken::Opened(rtp(1))));
        ports[0].agree(Agreed { active: true, phone: phone(1) });
        assert_eq!(ports[0].seal(false, rtp(3)), Err(Counter::NotShaken));
        ports[0].protect(None);
        assert_eq!(ports[0].seal(false, rtp(3)), Ok(rtp(3)));
    }

    #[test]
    fn a_hello_that_comes_before_the_answer_is_kept_and_a_strangers_is_dropped_with_it() {
        let (mut ports, from) = agreed_ports(None, Some(0));
        let hello = ports[0].handshakes().and_then(|handshakes| handshakes.poll()).expect("it says hello").1;
        let mut early = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        assert_eq!(early.receive(0, Half::Rtp, Some(from[0]), &hello), Err(Counter::MediaStranger), "no handshake is awaited");
        early.identify(Identity::fresh().expect("a key"));
        let stranger = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 4_000));
        for from in [stranger, from[0]] {
            assert_eq!(early.receive(0, Half::Rtp, Some(from), &hello), Ok(Taken::Handshake));
        }
        assert_eq!(early.receive(0, Half::Rtp, Some(from[0]), &rtp(1)), Err(Counter::MediaStranger));
        for _ in 2..4 {
            assert_eq!(early.receive(0, Half::Rtp, Some(stranger), &hello), Ok(Taken::Handshake));
        }
        assert_eq!(early.receive(0, Half::Rtp, Some(stranger), &hello), Err(Counter::MediaStranger), "few are kept");
        early.agree(Agreed { active: false, phone: Fingerprint::new("sha-256", &[1; 32]).expect("32 octets") });
        early.set_remote(0, Some(from[0]), Some(from[0].port()));
        assert!(early.handshakes().and_then(|handshakes| handshakes.poll()).is_some(), "it is answered at once");
    }

    #[test]
    fn without_something_to_show_nothing_passes() {
        let mut port = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports").0;
        port.agree(Agreed { active: true, phone: Fingerprint::new("sha-256", &[1; 32]).expect("32 octets") });
        port.set_remote(0, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000))), None);
        assert_eq!(port.seal(false, rtp(1)), Err(Counter::NotShaken));
        assert!(port.handshakes().expect("agreed").poll().is_none());
    }
}
