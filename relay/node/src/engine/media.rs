//! Ports for phones' sound: opened, told where the phone is, protected, closed.

use std::net::SocketAddr;

use voicebox_core::{Command, PortId};
use voicebox_dtls::{Fingerprint, Identity, Keys};
use voicebox_srtp::{Master, Suite};

use super::{parse_address, Engine};
use crate::handshakes::Agreed;
use crate::media::MediaPort;
use crate::order::Order;
use crate::Error;

impl Engine {
    /// Bind a pair of media ports: the reference and the port of RTP.
    pub fn media_open(&self, address: &str) -> Result<(u32, u16), Error> {
        let (with, rtp_port) = MediaPort::bind(parse_address(address)?)?;
        let port = self.next_number();
        self.order(Order::MediaOpen { port, with: Box::new(with) })?;
        Ok((port, rtp_port))
    }

    /// Open a media port that faces no phone, but the box itself: its reference.
    pub fn media_machine(&self) -> Result<u32, Error> {
        let port = self.next_number();
        self.order(Order::Core(Command::MediaOpen { port: PortId(port) }))?;
        Ok(port)
    }

    /// Say where the phone is and what it speaks, and where its RTCP goes, if not to the next port.
    pub fn media_remote(
        &self,
        port: u32,
        (address, remote_port, rtcp_port): (&str, u16, Option<u16>),
        codec: u8,
        payload_type: u8,
        event: Option<u8>,
    ) -> Result<(), Error> {
        if payload_type > 127 || event.is_some_and(|event| event > 127) {
            return Err(Error::Local("an RTP payload type is 0 to 127"));
        }
        let address = SocketAddr::new(parse_address(address)?, remote_port);
        let command = Command::MediaRemote { port: PortId(port), codec, payload_type, event_payload_type: event };
        self.order(Order::MediaRemote { port, address, rtcp_port, command })
    }

    /// Let a port be its own phone: what it sends comes back into its circuit.
    pub fn media_echo(&self, port: u32, codec: u8, payload_type: u8) -> Result<(), Error> {
        if payload_type > 127 {
            return Err(Error::Local("an RTP payload type is 0 to 127"));
        }
        let command = Command::MediaRemote { port: PortId(port), codec, payload_type, event_payload_type: None };
        self.order(Order::MediaEcho { port, command })
    }

    /// Protect what passes a port with a suite and the master keys of both directions, or no longer.
    pub fn media_protect(&self, port: u32, keys: Option<(&str, &[u8], &[u8])>) -> Result<(), Error> {
        const WRONG: Error = Error::Local("no such suite of SRTP, or a key that has not its length");
        let keys = match keys {
            None => None,
            Some((suite, send, receive)) => {
                let suite = Suite::from_name(suite).ok_or(WRONG)?;
                Some(Keys { send: Master::new(suite, send).ok_or(WRONG)?, receive: Master::new(suite, receive).ok_or(WRONG)? })
            }
        };
        self.order(Order::MediaProtect { port, keys })
    }

    /// Make what a port shows of itself in handshakes, which nothing else has; the SHA-256 of its certificate.
    pub fn media_identify(&self, port: u32) -> Result<[u8; 32], Error> {
        let identity = Identity::fresh()?;
        let fingerprint = identity.fingerprint()?;
        self.order(Order::MediaIdentify { port, identity })?;
        Ok(fingerprint)
    }

    /// Let nothing pass a port but under the keys of a handshake with the phone whose certificate has this digest; `active`: the port says hello.
    pub fn media_agree(&self, port: u32, active: bool, hash: &str, fingerprint: &[u8]) -> Result<(), Error> {
        let phone = Fingerprint::new(hash, fingerprint).ok_or(Error::Local("no such hash of a fingerprint, or a length that is not its own"))?;
        self.order(Order::MediaAgree { port, agreed: Agreed { active, phone } })
    }

    /// Give a pair of media ports back.
    pub fn media_close(&self, port: u32) -> Result<(), Error> {
        self.order(Order::MediaClose { port })
    }
}
