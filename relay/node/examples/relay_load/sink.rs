//! The sinks: listeners that answer every create, count marked cells, and send marked cells back, one per slot and circuit.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use voicebox_core::cell::{parse_cell, serialise_cell, shows_zeros};
use voicebox_core::speech::{parse_speech, Carousel, Kind, CREATED_OCTETS, CREATE_NUMBER};
use voicebox_core::{CircId, Slot};
use voicebox_dtls::{
    Association, BoringAssociation, CookieJar, Identity, Listener, Received, State, FIRST_PREFIX_OCTETS, KIND_FIRST, KIND_HELLO, RECORD_OCTETS,
};

use crate::datagrams::{bind, send_all, Inbox, Parcel, RawAddress, MAX_TRAIN};
use crate::journal::Journal;
use crate::{Error, FIRST_BEHIND, MARK, SLOT_US};

struct Sink {
    socket: UdpSocket,
    listener: Listener,
    link: Option<(BoringAssociation, SocketAddr)>,
    /// Phase and number of each circuit, in the order in which they leave.
    circuits: Vec<(u64, u32)>,
    slot: u64,
    cursor: usize,
    /// Answers that left, for the journal: circuit and slot.
    unlogged: Vec<(u32, u32)>,
}

pub(crate) struct Sinks {
    sinks: Vec<Sink>,
    phases_us: Vec<u64>,
    jar: CookieJar,
    inbox: Inbox,
    pub(crate) sent: u64,
    pub(crate) got: u64,
    pub(crate) sent_log: Journal,
    pub(crate) got_log: Journal,
}

impl Sinks {
    pub(crate) fn new(local: IpAddr, ports: &[u16], identities: &[Identity], phases_us: Vec<u64>, log: bool) -> Result<Self, Error> {
        let mut sinks = Vec::new();
        for ((number, identity), port) in identities.iter().enumerate().zip(ports) {
            let socket = bind(local, *port)?;
            println!("sink {number} {}", socket.local_addr().map_err(|_| Error::Host("no address"))?.port());
            sinks.push(Sink { socket, listener: Listener::new(identity)?, link: None, circuits: Vec::new(), slot: 0, cursor: 0, unlogged: Vec::new() });
        }
        let (jar, inbox) = (CookieJar::new([1; 32]), Inbox::new());
        Ok(Self { sinks, phases_us, jar, inbox, sent: 0, got: 0, sent_log: Journal::new(log), got_log: Journal::new(log) })
    }

    pub(crate) fn turn(&mut self, now: u64) -> Result<(), String> {
        for place in 0..self.sinks.len() {
            self.receive(now, place);
            let sink = &mut self.sinks[place];
            let Some((association, peer)) = sink.link.as_mut() else { continue };
            if association.next_timeout(now).is_some_and(|at| at <= now) {
                association.handle_timeout(now);
            }
            let peer = RawAddress::new(*peer);
            while let Some(datagram) = association.poll_datagram() {
                send_all(&sink.socket, &[Parcel { octets: &[&datagram], to: &peer }], &mut false);
            }
            if association.state() == State::Failed {
                return Err("a link of a sink failed".into());
            }
            self.sent += send(sink, now, &peer, |circuit, slot| self.sent_log.add(place, circuit, slot, now));
        }
        Ok(())
    }

    fn receive(&mut self, now: u64, place: usize) {
        loop {
            let taken = self.inbox.receive(&self.sinks[place].socket);
            for number in 0..taken {
                let (datagram, from) = self.inbox.get(number);
                let Some(from) = from else { continue };
                let sink = &mut self.sinks[place];
                let mut cell = [0; 256];
                match datagram.first() {
                    Some(&KIND_HELLO) => {
                        if let Some(answer) = self.jar.answer(now, b"bench", sink.listener.pin(), datagram) {
                            send_all(&sink.socket, &[Parcel { octets: &[&answer], to: &RawAddress::new(from) }], &mut false);
                        }
                    }
                    Some(&KIND_FIRST) if datagram.len() > FIRST_PREFIX_OCTETS => {
                        if sink.link.is_none() {
                            sink.link = sink.listener.accept(now).ok().map(|association| (association, from));
                        }
                        if let Some((association, _)) = sink.link.as_mut() {
                            association.handle_datagram(now, &datagram[FIRST_PREFIX_OCTETS..], &mut cell);
                        }
                    }
                    _ => {
                        let Some((association, _)) = sink.link.as_mut() else { continue };
                        if association.handle_datagram(now, datagram, &mut cell) == Received::Cell {
                            let (circuit, slot, _) = parse_cell(&cell);
                            self.got_log.add(place, circuit.0, slot.0, now);
                            self.got += u64::from(take(sink, &self.phases_us, now, &cell));
                        }
                    }
                }
            }
            if !self.inbox.is_full() {
                return;
            }
        }
    }
}

/// Return one of the fragments of created: as many as a create has.
fn created(index: u8) -> Option<[u8; 248]> {
    let mut carousel = Carousel::new(Kind::Created as u8, CREATE_NUMBER, vec![2; CREATED_OCTETS])?;
    (0..=index).map(|_| carousel.next_body()).last()
}

/// Take a cell; true where it shows the mark.
fn take(sink: &mut Sink, phases_us: &[u64], now: u64, cell: &[u8; 256]) -> bool {
    let (circuit, slot, body) = parse_cell(cell);
    let create = shows_zeros(&body).then(|| parse_speech(&body)).flatten().filter(|speech| speech.kind == Kind::Create as u8);
    if let Some(speech) = create {
        if speech.index + 1 == speech.count {
            let phase_us = phases_us.get(circuit.0.wrapping_sub(FIRST_BEHIND) as usize).copied().unwrap_or(0);
            add(sink, (phase_us, circuit.0), now);
        }
        if let (Some((association, peer)), Some(created)) = (sink.link.as_mut(), created(speech.index)) {
            let mut datagram = [0; RECORD_OCTETS];
            if association.seal(&serialise_cell(circuit, slot, &created), &mut datagram).is_ok() {
                sink.unlogged.push((circuit.0, slot.0));
                send_all(&sink.socket, &[Parcel { octets: &[&datagram], to: &RawAddress::new(*peer) }], &mut false);
            }
        }
    }
    body[..16] == MARK
}

/// Begin to send on a circuit, once a slot, without moving the others: the relay has fixed its due times by them.
fn add(sink: &mut Sink, circuit: (u64, u32), now: u64) {
    let Err(place) = sink.circuits.binary_search(&circuit) else { return };
    if sink.circuits.is_empty() {
        sink.slot = now / SLOT_US + 1;
    } else if place < sink.cursor {
        sink.cursor += 1;
    }
    sink.circuits.insert(place, circuit);
}

fn send(sink: &mut Sink, now: u64, peer: &RawAddress, mut log: impl FnMut(u32, u32)) -> u64 {
    let Some((association, _)) = sink.link.as_mut().filter(|(association, _)| association.state() == State::Open) else { return 0 };
    for (circuit, slot) in sink.unlogged.drain(..) {
        log(circuit, slot);
    }
    if sink.circuits.is_empty() {
        return 0;
    }
    let mut body = [0x55; 248];
    body[..16].copy_from_slice(&MARK);
    let mut due = Vec::new();
    while sink.slot * SLOT_US + sink.circuits[sink.cursor].0 <= now {
        let mut datagram = [0; RECORD_OCTETS];
        let circuit = sink.circuits[sink.cursor].1;
        let cell = serialise_cell(CircId(circuit), Slot(sink.slot as u32), &body);
        if association.seal(&cell, &mut datagram).is_ok() {
            log(circuit, sink.slot as u32);
            due.push(datagram);
        }
        sink.cursor += 1;
        if sink.cursor >= sink.circuits.len() {
            sink.cursor = 0;
            sink.slot += 1;
        }
    }
    let octets: Vec<&[u8]> = due.iter().map(<[u8; RECORD_OCTETS]>::as_slice).collect();
    let parcels: Vec<Parcel<'_>> = octets.chunks(MAX_TRAIN).map(|octets| Parcel { octets, to: peer }).collect();
    due.len() as u64 - send_all(&sink.socket, &parcels, &mut true)
}
