//! Phones' sound, and the handshakes of their ports: what leaves and what came.

use voicebox_core::{Input, PortId};

use super::Runner;
use crate::counters::Counter;
use crate::datagrams::{send_all, Parcel, RawAddress};
use crate::event::NodeEvent;
use crate::media::{Half, Taken};
use crate::schedule::Sound;

impl Runner {
    pub(super) fn send_sound(&mut self, sound: &Sound) {
        let Some((port, to)) = self.media.get(&sound.port).and_then(|port| Some((port, port.to(sound.half)?))) else {
            return self.counters.add(Counter::PortGone);
        };
        let to = RawAddress::new(to);
        let parcel = [Parcel { octets: &[&sound.octets], to: &to }];
        self.counters.add_many(Counter::SendRefused, send_all(port.socket(sound.half), &parcel, &mut false));
    }

    pub(super) fn next_handshake(&mut self, now: u64) -> Option<u64> {
        let media = &mut self.media;
        self.shaking.iter().filter_map(|port| media.get_mut(port)?.handshakes()?.next_timeout(now)).min()
    }

    /// Send what the handshakes of a port have to say, and note whether they are over.
    pub(super) fn follow_handshakes(&mut self, now: u64, port: u32) {
        self.shaking.retain(|other| *other != port);
        let Some(its) = self.media.get_mut(&port) else { return };
        while let Some((half, datagram)) = its.handshakes().and_then(|handshakes| handshakes.poll()) {
            let Some(to) = its.to(half) else { continue };
            let to = RawAddress::new(to);
            let refused = send_all(its.socket(half), &[Parcel { octets: &[&datagram], to: &to }], &mut false);
            self.counters.add_many(Counter::SendRefused, refused);
        }
        let Some(handshakes) = its.handshakes() else { return };
        if handshakes.next_timeout(now).is_some() {
            self.shaking.push(port);
        }
        if handshakes.take_failure() {
            self.counters.add(Counter::HandshakesFailed);
            self.tell(NodeEvent::MediaFailed { port });
        }
    }

    pub(super) fn take_media_datagram(&mut self, now: u64, port: u32, half: Half, place: usize) {
        let (datagram, from) = self.inbox.get(place);
        let Some(its) = self.media.get_mut(&port) else { return self.counters.add(Counter::MediaStranger) };
        match its.receive(now, half, from, datagram) {
            Ok(Taken::Plain) => self.core.handle(now, Input::Rtp { port: PortId(port), datagram }),
            Ok(Taken::Opened(packet)) => self.core.handle(now, Input::Rtp { port: PortId(port), datagram: &packet }),
            Ok(Taken::Handshake) => return self.follow_handshakes(now, port),
            Err(reason) => return self.counters.add(reason),
        }
        self.drain(now);
    }
}
