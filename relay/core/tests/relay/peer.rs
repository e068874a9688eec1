//! One relay's core in virtual time, and what its neighbours do by hand: the owner of circuits on one side, the next hop on the other.

use std::collections::HashMap;
use voicebox_core::cell::{parse_cell, serialise_cell, shows_zeros, Body};
use voicebox_core::ids::SLOT_US;
use voicebox_core::layer::Layer;
use voicebox_core::speech::{parse_speech, Carousel, Kind, CREATED_OCTETS, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Config, Core, Event, Input, LinkId, LinkKind, Output, SeededRandom, Slot};

pub const BOX: LinkId = LinkId(1);
pub const FROM: LinkId = LinkId(2);
pub const TO: LinkId = LinkId(3);
pub const FORWARD_KEY: [u8; 16] = [11; 16];
pub const BACKWARD_KEY: [u8; 16] = [12; 16];

/// A cell that left, with its link and the time for which it was put together.
#[derive(Clone, PartialEq, Debug)]
pub struct Left {
    pub link: LinkId,
    pub circuit: u32,
    pub slot: u32,
    pub at: u64,
    pub body: Body,
}

pub struct Relay {
    pub core: Core,
    pub now: u64,
    pub left: Vec<Left>,
    pub events: Vec<Event>,
    /// The de-jitter steps with which circuits are accepted, forward and backward.
    pub steps_us: (u32, u32),
    numbers: HashMap<u32, u16>,
    forward: Layer,
    backward: Layer,
}

impl Relay {
    /// A relay with a box on one link and two other relays.
    pub fn new(max_circuits: usize) -> Self {
        let core = Core::new(Config { max_circuits, ..Config::default() }, Box::new(SeededRandom::new([3; 32])));
        let (forward, backward) = (Layer::new(&FORWARD_KEY), Layer::new(&BACKWARD_KEY));
        let mut relay = Self {
            core,
            now: 50 * SLOT_US + 1_234,
            left: Vec::new(),
            events: Vec::new(),
            steps_us: (5_000, 5_000),
            numbers: HashMap::new(),
            forward,
            backward,
        };
        relay.give(Input::LinkUp { link: BOX, kind: LinkKind::AccessGuard });
        relay.give(Input::LinkUp { link: FROM, kind: LinkKind::Relay });
        relay.give(Input::LinkUp { link: TO, kind: LinkKind::Relay });
        relay
    }

    pub fn give(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll() {
            match output {
                Output::Send { link, cell, at } => {
                    let (circuit, slot, body) = parse_cell(&cell);
                    self.left.push(Left { link, circuit: circuit.0, slot: slot.0, at, body });
                }
                Output::Event(event) => self.events.push(event),
                Output::SendRtp { .. } | Output::CloseLink { .. } => panic!("a relay has no phone and closes no link"),
            }
        }
    }

    /// Let time pass, waking the core whenever it asks.
    pub fn wait_until(&mut self, until: u64) {
        while let Some(timer) = self.core.next_timer().filter(|timer| *timer <= until) {
            self.now = timer;
            self.give(Input::Timer);
        }
        self.now = until;
    }

    pub fn wait(&mut self, us: u64) {
        self.wait_until(self.now + us);
    }

    pub fn cell(&mut self, link: LinkId, circuit: u32, slot: u32, body: &Body) {
        self.give(Input::Cell { link, cell: &serialise_cell(CircId(circuit), Slot(slot), body) });
    }

    pub fn slot(&self) -> u32 {
        (self.now / SLOT_US) as u32
    }

    /// The slot of this moment, of a metered circuit the even one.
    pub fn slot_of(&self, circuit: u32) -> u32 {
        self.slot() & !(circuit >> 31)
    }

    /// Say create on a circuit number, whole.
    pub fn create(&mut self, link: LinkId, circuit: u32) {
        let mut create = Carousel::new(Kind::Create as u8, 1, vec![7; HANDSHAKE_OCTETS]).expect("short enough");
        for _ in 0..create.count() {
            self.cell(link, circuit, self.slot_of(circuit), &create.next_body());
        }
    }

    /// Make a circuit through this relay and open it with a cell of noise.
    pub fn open(&mut self, link: LinkId, circuit: u32, junction: bool) {
        self.create(link, circuit);
        self.accept(link, circuit, junction);
        self.cell(link, circuit, self.slot_of(circuit), &[0xa5; 248]);
    }

    /// Let the control plane accept a create.
    pub fn accept(&mut self, link: LinkId, circuit: u32, junction: bool) {
        self.give(Input::Command(Command::Accept {
            link,
            circuit: CircId(circuit),
            forward_key: FORWARD_KEY,
            backward_key: BACKWARD_KEY,
            created: Box::new([9; CREATED_OCTETS]),
            junction,
            forward_step_us: self.steps_us.0,
            backward_step_us: self.steps_us.1,
        }));
    }

    /// A forward body as the owner enciphers it.
    pub fn inside(&self, slot: u32, body: &Body) -> Body {
        let mut body = *body;
        self.forward.encipher(&slot.to_be_bytes(), &mut body);
        body
    }

    /// Say a message inside the layer, all fragments under the slot of this moment, with the next number.
    pub fn say(&mut self, link: LinkId, circuit: u32, kind: u8, payload: Vec<u8>) {
        let number = self.numbers.entry(circuit).and_modify(|number| *number += 1).or_insert(1);
        let mut carousel = Carousel::new(kind, *number, payload).expect("short enough");
        for _ in 0..carousel.count() {
            let slot = self.slot_of(circuit);
            let body = self.inside(slot, &carousel.next_body());
            self.cell(link, circuit, slot, &body);
        }
    }

    /// Lengthen a circuit to TO, as far as `created`.
    pub fn extend(&mut self, link: LinkId, circuit: u32, next_circuit: u32) {
        self.say(link, circuit, Kind::Extend as u8, vec![5; Kind::Extend.payload_octets()]);
        self.give(Input::Command(Command::Extend {
            link,
            circuit: CircId(circuit),
            next_link: TO,
            next_circuit: CircId(next_circuit),
            handshake: vec![7; HANDSHAKE_OCTETS],
        }));
        let mut created = Carousel::new(Kind::Created as u8, 1, vec![8; CREATED_OCTETS]).expect("short enough");
        for _ in 0..created.count() {
            self.cell(TO, next_circuit, self.slot_of(next_circuit), &created.next_body());
        }
    }

    /// What this relay said to the owner of a circuit in the cells that left: kinds and fragments.
    pub fn answers(&self, link: LinkId, circuit: u32) -> Vec<(u8, Vec<u8>)> {
        let own = self.left.iter().filter(|left| left.link == link && left.circuit == circuit && !shows_zeros(&left.body));
        own.filter_map(|left| {
            let mut body = left.body;
            self.backward.decipher(&left.slot.to_be_bytes(), &mut body);
            let speech = parse_speech(&body).filter(|_| shows_zeros(&body))?;
            Some((speech.kind, speech.fragment.to_vec()))
        })
        .collect()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.core.counters().iter().find(|(known, _)| *known == name).expect("a counter").1
    }

    /// Cells that left on a link, in the order of their times.
    pub fn on(&self, link: LinkId) -> Vec<&Left> {
        let mut left: Vec<&Left> = self.left.iter().filter(|left| left.link == link).collect();
        left.sort_by_key(|left| left.at);
        left
    }
}
