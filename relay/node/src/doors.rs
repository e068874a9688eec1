//! The programs' ends of associations: a connected UDP socket each, from which datagrams go into a bundle of the core and back, in the engine's thread.
//!
//! A socket has one association, or, where its datagrams have the header of SOCKS5, one for each header; what has an unknown one is told to the control plane. Nothing waits
//! for a program that does not read. Not here: the protocol (`voicebox_core::streams`), who may reach what, the words of a SOCKS header but for its length.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use voicebox_core::streams::{StreamId, MAX_DATAGRAM_OCTETS};
use voicebox_core::{BundleId, Core, Micros};

use crate::event::NodeEvent;
use crate::poller::Poller;

/// Of the numbers that the poller has; the door's is below.
pub(crate) const DOORS: u64 = 5 << 32;
/// An association on which nothing came or went for so long is given up.
const IDLE_US: Micros = 180_000_000;
const SWEEP_US: Micros = 5_000_000;
/// One on which nothing came or went for so long gives way to another: a program that asks from a new socket each time has its answer by then, or asks again.
const UNUSED_US: Micros = 5_000_000;
/// Datagrams of one door at one turn.
const AT_ONCE: usize = 32;
/// Datagrams with an unknown header that are told in a second.
const ASKS_A_SECOND: u32 = 16;
/// Longest header: RSV 2, FRAG, ATYP, 1 and 255 of a name, PORT 2.
const MAX_HEADER_OCTETS: usize = 262;

/// One association and what stands before its datagrams.
struct Flow {
    bundle: BundleId,
    stream: StreamId,
    door: u32,
    header: Vec<u8>,
    used_at: Micros,
}

struct Door {
    socket: UdpSocket,
    has_headers: bool,
    flows: HashMap<Vec<u8>, u32>,
    asks: (Micros, u32),
}

/// All of them.
#[derive(Default)]
pub(crate) struct Doors {
    doors: HashMap<u32, Door>,
    flows: HashMap<u32, Flow>,
    next_sweep: Micros,
    dropped: u64,
}

impl Doors {
    pub(crate) fn open(&mut self, poller: &Poller, number: u32, socket: UdpSocket, has_headers: bool) {
        poller.add(socket.as_raw_fd(), DOORS | u64::from(number));
        self.doors.insert(number, Door { socket, has_headers, flows: HashMap::new(), asks: (0, 0) });
    }

    /// Let the datagrams of a stream's association go through a door; false where there is no such door, or the header has one.
    pub(crate) fn attach(&mut self, now: Micros, number: u32, (bundle, stream): (BundleId, StreamId), door: u32, header: Vec<u8>) -> bool {
        let Some(its) = self.doors.get_mut(&door).filter(|its| !its.flows.contains_key(&header)) else { return false };
        its.flows.insert(header.clone(), number);
        self.flows.insert(number, Flow { bundle, stream, door, header, used_at: now });
        true
    }

    /// Close a door; the streams of its associations.
    pub(crate) fn close(&mut self, poller: &Poller, number: u32) -> Vec<u32> {
        let Some(door) = self.doors.remove(&number) else { return Vec::new() };
        poller.remove(door.socket.as_raw_fd());
        door.flows.into_values().inspect(|stream| drop(self.flows.remove(stream))).collect()
    }

    /// Forget a stream, and its door where it was the only one of it.
    pub(crate) fn forget(&mut self, poller: &Poller, number: u32) {
        let Some(flow) = self.flows.remove(&number) else { return };
        if let Some(door) = self.doors.get_mut(&flow.door) {
            door.flows.remove(&flow.header);
        }
        self.close_unused(poller, flow.door);
    }

    /// Close a door whose only association is over.
    pub(crate) fn close_unused(&mut self, poller: &Poller, number: u32) {
        if self.doors.get(&number).is_some_and(|door| door.flows.is_empty() && !door.has_headers) {
            self.close(poller, number);
        }
    }

    /// Return whether a stream has a door.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.flows.contains_key(&number)
    }

    /// Take what came from a program.
    pub(crate) fn receive(&mut self, core: &mut Core, now: Micros, number: u32, told: &mut Vec<NodeEvent>) {
        let Some(door) = self.doors.get_mut(&number) else { return };
        let mut datagram = [0; MAX_HEADER_OCTETS + MAX_DATAGRAM_OCTETS + 1];
        for _ in 0..AT_ONCE {
            // An error is an answer of the network to what was sent before, or says that there is no more.
            let Ok(octets) = door.socket.recv(&mut datagram) else { return };
            let datagram = &datagram[..octets];
            let Some(header) = door.header(datagram) else { continue };
            match door.flows.get(header).and_then(|stream| self.flows.get_mut(stream)) {
                Some(flow) => {
                    flow.used_at = now;
                    if let Some(bundle) = core.bundle(flow.bundle) {
                        bundle.send(now, flow.stream, &datagram[header.len()..]);
                        self.dropped += bundle.take_dropped();
                    }
                }
                None if door.may_ask(now) => told.push(NodeEvent::DatagramAsked { door: number, datagram: datagram.to_vec() }),
                None => {}
            }
        }
    }

    /// Give a program what came for it; what its socket does not take is dropped.
    pub(crate) fn deliver(&mut self, core: &mut Core, now: Micros, number: u32) {
        let Some(flow) = self.flows.get_mut(&number) else { return };
        let Some(door) = self.doors.get(&flow.door) else { return };
        flow.used_at = now;
        while let Some(octets) = core.bundle(flow.bundle).and_then(|bundle| bundle.receive(flow.stream)) {
            let _ = door.socket.send(&[&flow.header[..], &octets].concat());
        }
        self.dropped += core.bundle(flow.bundle).map_or(0, voicebox_core::streams::Bundle::take_dropped);
    }

    /// Return how many datagrams were dropped for want of room or time, or were too long.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Return the association of a bundle that this side opened and was unused longest, where that is long enough for it to give way.
    pub(crate) fn unused_longest(&self, now: Micros, bundle: BundleId) -> Option<u32> {
        let unused = self.flows.iter().filter(|(_, flow)| flow.bundle == bundle && flow.stream.ours && flow.used_at + UNUSED_US <= now);
        unused.min_by_key(|(number, flow)| (flow.used_at, **number)).map(|(number, _)| *number)
    }

    /// Return the streams that nobody has used for long, at most once in some seconds.
    pub(crate) fn idle(&mut self, now: Micros) -> Vec<u32> {
        if now < self.next_sweep {
            return Vec::new();
        }
        self.next_sweep = now + SWEEP_US;
        self.flows.iter().filter(|(_, flow)| flow.used_at + IDLE_US <= now).map(|(number, _)| *number).collect()
    }
}

impl Door {
    /// Return what stands before a datagram's own octets; `None` where it is no such datagram.
    fn header<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        if !self.has_headers {
            return Some(&datagram[..0]);
        }
        let address = match (datagram.get(2)?, datagram.get(3)?) {
            (0, 1) => 4,
            (0, 3) => 1 + usize::from(*datagram.get(4)?),
            (0, 4) => 16,
            _ => return None, // a fragment (RFC 1928 §7: may be dropped), or no address
        };
        datagram.get(..4 + address + 2)
    }

    fn may_ask(&mut self, now: Micros) -> bool {
        let (since, asks) = &mut self.asks;
        if now >= *since + 1_000_000 {
            (*since, *asks) = (now, 0);
        }
        *asks += 1;
        *asks <= ASKS_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::{Door, HashMap, ASKS_A_SECOND};

    fn door(has_headers: bool) -> Door {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Door { socket, has_headers, flows: HashMap::new(), asks: (0, 0) }
    }

    #[test]
    fn a_header_is_as_long_as_it_says_and_a_datagram_cut_in_it_or_a_fragment_has_none() {
        let named = b"\0\0\0\x03\x03bob\0\x35hello";
        for (datagram, header) in
            [(&named[..], 10), (b"\0\0\0\x01\x7f\0\0\x01\0\x35", 10), (b"\0\0\0\x04aaaaaaaaaaaaaaaa\0\x35x", 22), (b"\x01\x02\0\x03\0\0\x35", 7)]
        {
            assert_eq!(door(true).header(datagram).map(<[u8]>::len), Some(header));
            for cut in 0..header {
                assert_eq!(door(true).header(&datagram[..cut]), None);
            }
        }
        assert_eq!((door(true).header(b"\0\0\x01\x01\x7f\0\0\x01\0\x35"), door(true).header(b"\0\0\0\x02\x7f\0\0\x01\0\x35")), (None, None));
        assert_eq!(door(false).header(named), Some(&b""[..]));
    }

    #[test]
    fn who_sends_to_nobody_without_end_is_told_of_16_times_a_second() {
        let mut door = door(true);
        assert_eq!((0..1_000).filter(|_| door.may_ask(5)).count(), ASKS_A_SECOND as usize);
        assert!(door.may_ask(1_000_005));
    }
}
