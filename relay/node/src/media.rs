//! Media ports: a pair of UDP sockets that face one phone. Only the phone's address is heard (PROTOCOL.md §9.4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::datagrams::bind;
use crate::Error;

/// Pairs are looked for among ports that the system hands out, so many times.
const PAIR_TRIES: u32 = 64;

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
    fn hears(&mut self, from: SocketAddr) -> bool {
        let Some(said) = self.said else { return false };
        if from == said {
            self.latched = Some(said);
            return true;
        }
        from.ip() == said.ip() && *self.latched.get_or_insert(from) == from
    }

    fn to(&self) -> Option<SocketAddr> {
        self.latched.or(self.said)
    }
}

/// A media port.
pub(crate) struct MediaPort {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    peers: [Peer; 2],
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
                    return Ok((Self { rtp, rtcp, peers: [Peer::default(); 2] }, port));
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

    /// Set the phone's address from its SDP; RTCP goes to the next port (RFC 3550 §11).
    pub(crate) fn set_remote(&mut self, address: SocketAddr) {
        let rtcp = address.port().checked_add(1).map(|port| SocketAddr::new(address.ip(), port));
        self.peers = [Peer { said: Some(address), latched: None }, Peer { said: rtcp, latched: None }];
    }

    pub(crate) fn hears(&mut self, half: Half, from: SocketAddr) -> bool {
        self.peers[half as usize].hears(from)
    }

    pub(crate) fn to(&self, half: Half) -> Option<SocketAddr> {
        self.peers[half as usize].to()
    }
}

/// All media ports of a node.
pub(crate) type MediaPorts = HashMap<u32, MediaPort>;

#[cfg(test)]
mod tests {
    use super::{Half, MediaPort};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    #[test]
    fn only_the_phone_is_heard_and_a_first_other_port_is_latched() {
        let (mut port, number) = MediaPort::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("loopback has ports");
        assert_eq!(number % 2, 0);
        assert_eq!(port.socket(Half::Rtcp).local_addr().expect("bound").port(), number + 1);
        let phone = |number| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), number));
        assert!(!port.hears(Half::Rtp, phone(4_000)), "nothing is said yet");
        port.set_remote(phone(4_000));
        assert_eq!(port.to(Half::Rtcp), Some(phone(4_001)));
        assert!(!port.hears(Half::Rtp, SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000))));
        assert!(port.hears(Half::Rtp, phone(5_000)), "symmetric RTP behind another port");
        assert_eq!(port.to(Half::Rtp), Some(phone(5_000)));
        assert!(!port.hears(Half::Rtp, phone(5_001)), "only the first other port");
        assert!(port.hears(Half::Rtp, phone(4_000)), "the said port always");
        assert_eq!(port.to(Half::Rtp), Some(phone(4_000)));
        assert!(!port.hears(Half::Rtp, phone(5_000)), "the said port has spoken");
        port.set_remote(phone(6_000));
        assert_eq!(port.to(Half::Rtp), Some(phone(6_000)));
    }
}
