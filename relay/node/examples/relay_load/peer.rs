//! The peers that bring circuits: create, extend, settle, then one marked cell per slot.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

use voicebox_core::cell::{parse_cell, serialise_cell, shows_zeros};
use voicebox_core::ids::CONTROL;
use voicebox_core::layer::Layer;
use voicebox_core::speech::{hear_created, parse_speech, Carousel, Collector, Kind, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Slot};
use voicebox_dtls::{hello, Association, BoringAssociation, Dial, Dialer, Identity, Pin, Received, State, HELLO_NUMBER_OCTETS, RECORD_OCTETS};

use crate::datagrams::{bind, send_all, Inbox, Parcel, RawAddress, MAX_TRAIN};
use crate::journal::Journal;
use crate::{hex, Error, LINKS, MARK, SLOT_US};

/// A listener begins at most 200 handshakes a second, and discards others at random from the half on (PROTOCOL.md §2.1).
const BEGIN_EVERY_US: u64 = 12_000;
/// Where there are many links, each is looked at in one of so many turns.
const LOOKS: usize = 64;

enum Stage {
    Idle,
    Create(Carousel, Collector),
    AwaitKeys,
    Extend(Carousel),
    Settle(Carousel),
    Running,
}

struct Circuit {
    number: u32,
    stage: Stage,
    forward: Option<Layer>,
    backward: Option<Layer>,
}

struct Link {
    socket: UdpSocket,
    association: Dial<BoringAssociation>,
}

/// The relay under load, and where the load is.
pub(crate) struct Target {
    pub(crate) local: IpAddr,
    pub(crate) relay: RawAddress,
    pub(crate) pin: Pin,
}

pub(crate) struct Peers {
    target: Target,
    dialer: Arc<Dialer>,
    /// Links that are wanted; a new one begins every few milliseconds.
    wanted: usize,
    boxes: bool,
    begin_at: u64,
    /// Links that failed before all were open, and were begun anew.
    begun_anew: usize,
    links: Vec<Link>,
    next_look: usize,
    circuits: Vec<Circuit>,
    by_number: HashMap<(usize, u32), usize>,
    inbox: Inbox,
    /// Phase and place of each circuit, in the order in which they leave.
    turns: Vec<(u64, usize)>,
    slot: u64,
    cursor: usize,
    due: Vec<Vec<[u8; RECORD_OCTETS]>>,
    pub(crate) sent: u64,
    pub(crate) got: u64,
    pub(crate) sent_log: Journal,
    pub(crate) got_log: Journal,
}

impl Peers {
    pub(crate) fn new(now: u64, target: Target, wanted: usize, identity: Option<&Identity>, phases_us: Vec<u64>, log: bool) -> Result<Self, Error> {
        let mut turns: Vec<(u64, usize)> = phases_us.into_iter().zip(0..).collect();
        turns.sort_unstable();
        let idle = || Circuit { number: 0, stage: Stage::Idle, forward: None, backward: None };
        Ok(Self {
            target,
            dialer: Arc::new(Dialer::new(identity)?),
            wanted,
            boxes: identity.is_none(),
            begin_at: now,
            begun_anew: 0,
            links: Vec::new(),
            next_look: 0,
            circuits: turns.iter().map(|_| idle()).collect(),
            turns,
            by_number: HashMap::new(),
            inbox: Inbox::new(),
            slot: now / SLOT_US + 1,
            cursor: 0,
            due: vec![Vec::new(); wanted],
            sent: 0,
            got: 0,
            sent_log: Journal::new(log),
            got_log: Journal::new(log),
        })
    }

    pub(crate) fn are_open(&self) -> bool {
        self.links.len() == self.wanted && self.links.iter().all(|link| link.association.state() == State::Open)
    }

    fn begin(&mut self, now: u64) -> Result<(), String> {
        if self.links.len() < self.wanted && now >= self.begin_at {
            self.begin_at = now + BEGIN_EVERY_US;
            let socket = bind(self.target.local, 0).map_err(|error| error.to_string())?;
            self.links.push(Link { socket, association: self.dial(now)? });
        }
        Ok(())
    }

    fn dial(&self, now: u64) -> Result<Dial<BoringAssociation>, String> {
        let (dialer, pin) = (self.dialer.clone(), self.target.pin);
        let hello = hello(&pin, [8; HELLO_NUMBER_OCTETS]).ok_or("no hello")?;
        Ok(Dial::new(now, hello, move |now| dialer.connect(pin, now)))
    }

    /// A link that fails while others are still begun was discarded by a busy listener, as boxes' are: it is begun anew. Later it is a failure.
    fn begin_anew(&mut self, now: u64, place: usize) -> Result<(), String> {
        self.begun_anew += 1;
        if self.begun_anew > self.wanted || self.by_number.values().next().is_some() {
            return Err("a link to the relay failed".into());
        }
        self.links[place].association = self.dial(now)?;
        Ok(())
    }

    pub(crate) fn create(&mut self, place: &str, number: &str, handshake: &str) -> Result<(), String> {
        let place: usize = place.parse().map_err(|_| "bad place")?;
        let number = number.parse().map_err(|_| "bad number")?;
        let circuit = self.circuits.get_mut(place).ok_or("no such place")?;
        circuit.number = number;
        let create = Carousel::new(Kind::Create as u8, 1, hex(handshake).ok_or("bad handshake")?).ok_or("too long")?;
        circuit.stage = Stage::Create(create, Collector::default());
        self.by_number.insert((place % self.wanted, number), place);
        Ok(())
    }

    pub(crate) fn keys(&mut self, place: &str, forward: &str, backward: &str, relay_id: &str, next: &str) -> Result<(), String> {
        let place: usize = place.parse().map_err(|_| "bad place")?;
        let circuit = self.circuits.get_mut(place).ok_or("no such place")?;
        let key = |text| hex(text).and_then(|key| <[u8; 16]>::try_from(key).ok()).ok_or("bad key");
        circuit.forward = Some(Layer::new(&key(forward)?));
        circuit.backward = Some(Layer::new(&key(backward)?));
        let next: u32 = next.parse().map_err(|_| "bad number")?;
        // The sink takes any handshake.
        let payload = [hex(relay_id).ok_or("bad id")?, next.to_be_bytes().to_vec(), vec![1; HANDSHAKE_OCTETS]].concat();
        circuit.stage = Stage::Extend(Carousel::new(Kind::Extend as u8, 1, payload).ok_or("too long")?);
        Ok(())
    }

    pub(crate) fn turn(&mut self, now: u64) -> Result<(), String> {
        self.begin(now)?;
        for _ in 0..self.links.len().min(LINKS.max(self.wanted / LOOKS)) {
            self.next_look = (self.next_look + 1) % self.links.len();
            let place = self.next_look;
            self.receive(now, place)?;
            let link = &mut self.links[place];
            if link.association.next_timeout(now).is_some_and(|at| at <= now) {
                link.association.handle_timeout(now);
            }
            while let Some(datagram) = link.association.poll_datagram() {
                send_all(&link.socket, &[Parcel { octets: &[&datagram], to: &self.target.relay }], &mut false);
            }
            if link.association.state() == State::Failed {
                self.begin_anew(now, place)?;
            }
        }
        self.send(now);
        Ok(())
    }

    fn receive(&mut self, now: u64, place: usize) -> Result<(), String> {
        let mut cell = [0; 256];
        loop {
            let taken = self.inbox.receive(&self.links[place].socket);
            for number in 0..taken {
                let (datagram, _) = self.inbox.get(number);
                if self.links[place].association.handle_datagram(now, datagram, &mut cell) == Received::Cell {
                    self.take(now, place, &cell)?;
                }
            }
            if !self.inbox.is_full() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, now: u64, link: usize, cell: &[u8; 256]) -> Result<(), String> {
        let (number, slot, mut body) = parse_cell(cell);
        self.got_log.add(link, number.0, slot.0, now);
        let Some(&place) = self.by_number.get(&(link, number.0)) else { return Ok(()) };
        let circuit = &mut self.circuits[place];
        if let Some(layer) = &circuit.backward {
            layer.decipher(&slot.0.to_be_bytes(), &mut body);
        }
        if !shows_zeros(&body) {
            self.got += u64::from(body[..16] == MARK);
            return Ok(());
        }
        let Some(speech) = parse_speech(&body) else { return Ok(()) };
        match (&mut circuit.stage, Kind::of(speech.kind)) {
            (Stage::Create(_, answer), Some(Kind::Created)) => {
                if let Ok(Some((_, payload))) = hear_created(answer, &body) {
                    circuit.stage = Stage::AwaitKeys;
                    let payload: String = payload.iter().map(|octet| format!("{octet:02x}")).collect();
                    println!("created {place} {payload}");
                }
            }
            (Stage::Extend(_), Some(Kind::Extended)) => {
                let first = ((now / SLOT_US) as u32).wrapping_add(5).to_be_bytes().to_vec();
                circuit.stage = Stage::Settle(Carousel::new(Kind::Settle as u8, 2, first).ok_or("too long")?);
            }
            (Stage::Settle(_), Some(Kind::Settled)) => {
                circuit.stage = Stage::Running;
                println!("running {place}");
            }
            (_, Some(Kind::Refused | Kind::NotExtended)) => return Err("the relay refused a circuit".into()),
            _ => {}
        }
        Ok(())
    }

    /// Send the cells whose phase has come.
    fn send(&mut self, now: u64) {
        let mut touched = Vec::new();
        while self.slot * SLOT_US + self.turns[self.cursor].0 <= now {
            let place = self.turns[self.cursor].1;
            let link = place % self.wanted;
            if self.links.get(link).is_some_and(|link| link.association.state() == State::Open) {
                self.seal(now, place, link);
                touched.push(link);
            }
            self.cursor += 1;
            if self.cursor >= self.turns.len() {
                self.cursor = 0;
                self.slot += 1;
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for place in touched {
            let octets: Vec<&[u8]> = self.due[place].iter().map(<[u8; RECORD_OCTETS]>::as_slice).collect();
            let parcels: Vec<Parcel<'_>> = octets.chunks(MAX_TRAIN).map(|octets| Parcel { octets, to: &self.target.relay }).collect();
            send_all(&self.links[place].socket, &parcels, &mut true);
            self.due[place].clear();
        }
    }

    fn seal(&mut self, now: u64, place: usize, link: usize) {
        let Some((circuit, cell)) = self.compose(place) else { return };
        let mut datagram = [0; RECORD_OCTETS];
        if self.links[link].association.seal(&cell, &mut datagram).is_ok() {
            self.due[link].push(datagram);
            self.sent_log.add(link, circuit, self.slot as u32, now);
        }
    }

    fn compose(&mut self, place: usize) -> Option<(u32, [u8; 256])> {
        let circuit = self.circuits.get_mut(place)?;
        let slot = Slot(self.slot as u32);
        let mut body = [0x55; 248];
        match &mut circuit.stage {
            // A box says link control until it has a circuit (PROTOCOL.md §5.2); on a link of relays other circuits keep it alive.
            Stage::Idle | Stage::AwaitKeys if self.boxes => return Some((0, serialise_cell(CONTROL, slot, &body))),
            Stage::Idle | Stage::AwaitKeys => return None,
            Stage::Create(carousel, _) | Stage::Extend(carousel) | Stage::Settle(carousel) => body = carousel.next_body(),
            Stage::Running => {
                body[..16].copy_from_slice(&MARK);
                self.sent += 1;
            }
        }
        // The settle's own cells carry speech only; between its rounds nothing else has to leave, so each of its cells counts for the 50.
        if let Some(layer) = &circuit.forward {
            layer.encipher(&slot.0.to_be_bytes(), &mut body);
        }
        Some((circuit.number, serialise_cell(CircId(circuit.number), slot, &body)))
    }
}
