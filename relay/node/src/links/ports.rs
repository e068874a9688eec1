//! A box's link whose router has given it another port (PROTOCOL.md §2.2).

use std::net::SocketAddr;

use voicebox_core::LinkKind;
use voicebox_dtls::{Received, RECORD_OCTETS};

use super::{Link, Links, SocketNumber};
use crate::counters::{Counter, Counters};
use crate::datagrams::RawAddress;

/// A box's link that was silent for so long may have got another port by a router on its way. So many such links of one address are tried for a datagram, and so many
/// datagrams a second.
const PORT_SILENT_US: u64 = 60_000;
const PORT_TRIES: usize = 8;
pub(super) const PORT_TRIES_PER_S: u64 = 50;

impl Links {
    /// Take a cell of a box's link whose router has given it another port: the address is the same, and only who has the link's keys can make it (PROTOCOL.md §2.2).
    pub(super) fn take_from_another_port(
        &mut self,
        now: u64,
        socket: SocketNumber,
        from: SocketAddr,
        datagram: &[u8],
        cell: &mut [u8; 256],
        counters: &mut Counters,
    ) -> Option<u32> {
        if datagram.len() == RECORD_OCTETS && self.port_tries.take(now) {
            let may_be = |link: &Link| {
                let is_box = link.stands && link.incoming && link.kind == LinkKind::AccessGuard;
                is_box && link.socket == socket && link.peer.ip() == from.ip() && now >= link.last_valid_at + PORT_SILENT_US
            };
            let silent: Vec<u32> = self.links.iter().filter(|(_, link)| may_be(link)).map(|(&number, _)| number).take(PORT_TRIES).collect();
            for number in silent {
                if self.feed(now, number, datagram, cell, counters) == Received::Cell {
                    counters.add(Counter::PortsChanged);
                    self.change_port(number, from);
                    return self.within_rate(now, number, cell, counters);
                }
            }
        }
        counters.add(Counter::UnknownAddress);
        None
    }

    fn change_port(&mut self, number: u32, to: SocketAddr) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let former = (link.socket, std::mem::replace(&mut link.peer, to));
        link.raw_peer = RawAddress::new(to);
        self.places.entry((link.socket, to)).or_default().standing = Some(number);
        self.leave_place(former, number);
    }
}
