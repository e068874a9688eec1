//! The control plane's part of a circuit: build it step by step, call, answer, hang up (PROTOCOL.md §7.1, §8.3, §8.5). Handshakes carry the keys in the clear.

use crate::plan::Path;
use voicebox_core::ids::{FAST, METERED};
use voicebox_core::speech::HANDSHAKE_OCTETS;
use voicebox_core::{CircId, Command, Event, LinkId, PortId};

const SLOT_US: u64 = 20_000;
/// The least of the de-jitter steps, which every hop of a world has.
pub const STEP_US: u32 = 5_000;
const EXTEND: u8 = 16;
const EXTENDED: u8 = 17;
const PHASE: u8 = 20;
const PHASED: u8 = 21;
const SETTLE: u8 = 22;
const SETTLED: u8 = 23;
const TOKENS: u8 = 24;
const LEFT: u8 = 25;
const KNOCK: u8 = 26;
const KNOCKED: u8 = 27;
const JOIN: u8 = 28;
const PART: u8 = 29;
const PCMA: u8 = 2;

/// What a circuit's owner wants of the world.
pub enum Want {
    Command(Command),
    /// Go on with [`Own::settle`] after so long.
    SettleAfter(u64),
    Stood,
    Heard,
    /// A call rings here.
    Rings,
}

/// One circuit as its box's control plane knows it.
pub struct Own {
    pub index: usize,
    pub node: usize,
    pub link: LinkId,
    /// From the box on; the last is the junction.
    pub relays: Vec<usize>,
    pub number: u32,
    metered: bool,
    generation: u8,
    hops: u8,
    first_slot: u32,
    settled: u8,
    pub stands: bool,
    pub in_call: bool,
}

impl Own {
    pub fn new(index: usize, link: LinkId, path: &Path, metered: bool) -> Self {
        Self {
            index,
            node: path.node,
            link,
            relays: path.relays.clone(),
            number: 0,
            metered,
            generation: 0,
            hops: 0,
            first_slot: 0,
            settled: 0,
            stands: false,
            in_call: false,
        }
    }

    /// The hop that is the junction.
    pub fn last(&self) -> u8 {
        self.relays.len() as u8 - 1 // at most four
    }

    /// The phone of this circuit.
    pub const fn port(&self) -> PortId {
        PortId(self.index as u32)
    }

    const fn circuit(&self) -> CircId {
        CircId(self.number)
    }

    fn handshake(&self, hop: u8) -> Vec<u8> {
        let mut handshake = vec![0x77; HANDSHAKE_OCTETS];
        for (at, key) in [(0, 0), (16, 1)] {
            handshake[at..at + 4].copy_from_slice(&(self.index as u32).to_be_bytes());
            handshake[at + 4..at + 7].copy_from_slice(&[self.generation, hop, key]);
        }
        handshake
    }

    fn add_hop(&self, hop: u8) -> Want {
        let keys = self.handshake(hop);
        let key = |from: usize| keys[from..from + 16].try_into().unwrap_or([0; 16]);
        Want::Command(Command::AddHop { link: self.link, circuit: self.circuit(), forward_key: key(0), backward_key: key(16) })
    }

    fn say(&self, hop: u8, kind: u8, payload: Vec<u8>, every: u32, times: u32) -> Want {
        Want::Command(Command::Say { link: self.link, circuit: self.circuit(), hop, kind, payload, every, times })
    }

    /// Slots from one of its cells to the next.
    pub fn stride(&self) -> u32 {
        1 + u32::from(self.metered)
    }

    /// Make a number for a link of what was drawn.
    pub fn numbered(&self, drawn: u32) -> u32 {
        (drawn & !(METERED | FAST) | 1) | if self.metered { METERED } else { 0 }
    }

    /// Begin to build, under a fresh number.
    pub fn build(&mut self, drawn: u32) -> Vec<Want> {
        (self.number, self.hops, self.settled, self.stands) = (self.numbered(drawn), 0, 0, false);
        self.generation = self.generation.wrapping_add(1);
        vec![Want::Command(Command::Open { link: self.link, circuit: self.circuit(), handshake: self.handshake(0) })]
    }

    pub fn close(&mut self) -> Vec<Want> {
        self.stands = false;
        vec![Want::Command(Command::Close { link: self.link, circuit: self.circuit() })]
    }

    /// Settle the next hop, or the own end and the tokens.
    pub fn settle(&mut self, clock: u64) -> Vec<Want> {
        let now_slot = (clock / SLOT_US) as u32;
        match self.settled {
            0 => self.first_slot = now_slot + 25,
            _ => self.first_slot = (self.first_slot + 60 * self.stride()).max(now_slot + 5),
        }
        if self.settled <= self.last() {
            return vec![self.say(self.settled, SETTLE, self.first_slot.to_be_bytes().to_vec(), 1, 0)];
        }
        let tokens = (0..128u32).flat_map(|place| if place == 0 { token(self.index) } else { filling(self.index, place) }).collect();
        vec![Want::Command(Command::SettleOwn { link: self.link, circuit: self.circuit(), step_us: STEP_US }), self.say(self.last(), TOKENS, tokens, 1, 0)]
    }

    /// Use the keys of the next hop, and ask it for one more, or the junction for its phase.
    fn lengthen(&mut self, next_number: u32) -> Vec<Want> {
        let hop = self.hops;
        self.hops += 1;
        let Some(next) = self.relays.get(usize::from(self.hops)) else { return vec![self.add_hop(hop), self.say(hop, PHASE, vec![], 1, 0)] };
        let mut extend = vec![0; 32];
        extend[..2].copy_from_slice(&(*next as u16).to_be_bytes());
        extend.extend_from_slice(&next_number.to_be_bytes());
        extend.extend_from_slice(&self.handshake(self.hops));
        vec![self.add_hop(hop), self.say(hop, EXTEND, extend, 1, 0)]
    }

    /// Go on where an event of this circuit asks for it.
    pub fn hear(&mut self, event: &Event, clock: u64, next_number: u32) -> Vec<Want> {
        match event {
            Event::Created { .. } | Event::Answer { kind: EXTENDED, .. } => self.lengthen(next_number),
            Event::Answer { kind: PHASED, payload, .. } => {
                let in_us = |from: usize| 10 * i64::from(u16::from_be_bytes([payload[from], payload[from + 1]]));
                let delay_us = (in_us(0) - self.relays.len() as i64 * in_us(2) - 1_000).rem_euclid(20_000 * i64::from(self.stride())) as u32;
                vec![Want::Command(Command::Shift { link: self.link, delay_us }), Want::SettleAfter(1_000_000 * u64::from(self.stride()))]
            }
            Event::Answer { kind: SETTLED, .. } => {
                self.settled += 1;
                self.settle(clock)
            }
            Event::Answer { kind: LEFT, .. } => {
                self.stands = true;
                vec![Want::Stood]
            }
            Event::Answer { kind: KNOCKED, payload, .. } if !self.in_call => self.join(payload),
            Event::Heard { .. } => {
                let (link, circuit, port) = (self.link, self.circuit(), self.port());
                let bind = Command::MediaBind { port, link, circuit, codec: PCMA };
                vec![Want::Command(Command::Hush { link, circuit }), Want::Command(bind), Want::Heard]
            }
            _ => vec![],
        }
    }

    pub fn open_port(&self) -> Vec<Want> {
        let port = self.port();
        let remote = Command::MediaRemote { port, codec: PCMA, payload_type: 8, event_payload_type: Some(101) };
        vec![Want::Command(Command::MediaOpen { port }), Want::Command(remote)]
    }

    fn speak(&mut self, caller: bool, id: u8) -> Want {
        self.in_call = true;
        let (to_callee, to_caller) = ([id; 16], [id ^ 0x80; 16]);
        let (send, receive) = if caller { (to_callee, to_caller) } else { (to_caller, to_callee) };
        Want::Command(Command::Speak { link: self.link, circuit: self.circuit(), send_key: Some(send), receive_keys: vec![receive] })
    }

    pub fn call(&mut self, callee: usize, id: u8) -> Vec<Want> {
        let knock = [&token(callee)[..], &[id; 16], &[0x33; 184]].concat();
        vec![self.say(self.last(), KNOCK, knock, 2, 0), self.speak(true, id)]
    }

    fn join(&mut self, knock: &[u8]) -> Vec<Want> {
        let id = knock[16];
        let ticket = &knock[216..];
        vec![self.say(self.last(), JOIN, [&[id; 16], ticket].concat(), 2, 0), self.speak(false, id), Want::Rings]
    }

    /// Hang up. Who ends says `part`; so does the other, a little later.
    pub fn end(&mut self, id: u8) -> Vec<Want> {
        self.in_call = false;
        vec![Want::Command(Command::Quiet { link: self.link, circuit: self.circuit() }), self.say(self.last(), PART, vec![id; 16], 1, 8)]
    }
}

fn token(circuit: usize) -> [u8; 16] {
    filling(circuit, 0)
}

fn filling(circuit: usize, place: u32) -> [u8; 16] {
    let mut token = [0x70; 16];
    token[..4].copy_from_slice(&(circuit as u32).to_be_bytes());
    token[4..8].copy_from_slice(&place.to_be_bytes());
    token
}
