//! Nodes, wires, clocks and phones in virtual time: cores get their inputs in order, and every cell that leaves is recorded.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use voicebox_core::cell::Cell;
use voicebox_core::random::{draw_u32, SeededRandom};
use voicebox_core::rtp::{parse_rtp, serialise_rtp, RtpPacket};
use voicebox_core::speech::CREATED_OCTETS;
use voicebox_core::{Command, Config, Core, Event, Input, LinkId, LinkKind, Output, PortId};

use crate::owner::{Own, Want, STEP_US};
use crate::plan::{Act, NodePlan, Plan};
use crate::record::{Record, NEVER, PHONE};
use crate::wire::{flip, Tamper, Wire};

/// Network time at which every world begins.
const BEGIN_US: u64 = 3_600_000_000;
const BILLION: i128 = 1_000_000_000;
/// Circuits begin to be built spread over so much.
const SPREAD_US: u32 = 1_000_000;
/// By then all circuits have to stand.
const BUILT_BY_US: u64 = 60_000_000;
/// What the control plane takes to answer.
const CONTROL_US: u64 = 2_000;
const FRAME_US: u64 = 20_000;
/// What phones say, behind the number of the frame.
const SILENCE: u8 = 0xd5;

struct Node {
    core: Core,
    drift_ppb: i64,
    /// When the timer that stands in the queue goes off.
    timer: Option<u64>,
}

enum Happening {
    Timer(usize),
    Cell { node: usize, link: LinkId, cell: Box<Cell> },
    Command { node: usize, command: Command },
    Wants { circuit: usize, step: Step },
    Frame { circuit: usize, call: u32 },
    Act(Act),
}

/// What a circuit's control plane does at a time of its own.
enum Step {
    Build,
    Settle,
}

struct Due(u64, u64, Happening);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Cable {
    to: usize,
    wire: Wire,
    /// The circuit whose access link this is, seen from its box.
    uplink_of: Option<usize>,
}

/// Talking on a circuit: how often it began, and the frames so far.
#[derive(Clone, Copy, Default)]
struct Phone {
    drift_ppb: i64,
    calls: u32,
    frames: u32,
    talks: bool,
    /// It sends nothing for now, though its clock goes on.
    pauses: bool,
}

pub struct World {
    nodes: Vec<Node>,
    cables: HashMap<(usize, LinkId), Cable>,
    circuits: Vec<Own>,
    phones: Vec<Phone>,
    tampers: Vec<Tamper>,
    queue: BinaryHeap<Reverse<Due>>,
    serial: u64,
    draws: SeededRandom,
    now: u64,
    zero: Option<u64>,
    windows: Vec<(i64, i64)>,
    watched: Vec<(usize, usize)>,
    pub records: Vec<Record>,
    pub told: Vec<String>,
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        let seed = |index: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&plan.seed.to_be_bytes());
            seed[8..16].copy_from_slice(&(index as u64).to_be_bytes());
            seed
        };
        let node = |(index, planned): (usize, &NodePlan)| {
            let config = Config { metered: planned.metered, ..Config::default() };
            Node { core: Core::new(config, Box::new(SeededRandom::new(seed(index)))), drift_ppb: planned.node_ppb, timer: None }
        };
        let mut world = Self {
            nodes: plan.nodes.iter().enumerate().map(node).collect(),
            cables: HashMap::new(),
            circuits: Vec::new(),
            phones: plan.circuits.iter().map(|path| Phone { drift_ppb: plan.nodes[path.node].phone_ppb, ..Phone::default() }).collect(),
            tampers: vec![Tamper::default(); plan.circuits.len()],
            queue: BinaryHeap::new(),
            serial: 0,
            draws: SeededRandom::new(seed(usize::MAX)),
            now: 0,
            zero: None,
            windows: plan.windows.clone(),
            watched: plan.watched.clone(),
            records: Vec::new(),
            told: Vec::new(),
        };
        world.lay_cables(plan);
        world
    }

    fn lay_cables(&mut self, plan: &Plan) {
        for (index, path) in plan.circuits.iter().enumerate() {
            self.circuits.push(Own::new(index, LinkId(index as u32 + 1), path, plan.nodes[path.node].metered));
            for ends in path.relays.windows(2) {
                let (near, far) = (ends[0], ends[1]);
                let link = LinkId(1_000_000 + (near * 1_000 + far) as u32);
                if !self.cables.contains_key(&(near, link)) {
                    self.connect((near, far), link, plan.relay, None, (LinkKind::Relay, LinkKind::Relay));
                }
            }
            let start = u64::from(draw_u32(&mut self.draws) % SPREAD_US);
            if !path.later {
                self.put(start, Happening::Wants { circuit: index, step: Step::Build });
            }
        }
        for (index, path) in plan.circuits.iter().enumerate() {
            // A junction is one at the end of a link of relays only: a box that has its circuit end at the first relay has such a link.
            let far = if path.relays.len() == 1 { LinkKind::Relay } else { LinkKind::AccessGuard };
            self.connect((path.node, path.relays[0]), LinkId(index as u32 + 1), plan.access, Some(index), (LinkKind::AccessOwner, far));
            let wants = self.circuits[index].open_port();
            self.obey(index, wants);
        }
    }

    fn connect(&mut self, ends: (usize, usize), link: LinkId, wire: Wire, uplink_of: Option<usize>, kinds: (LinkKind, LinkKind)) {
        self.cables.insert((ends.0, link), Cable { to: ends.1, wire, uplink_of });
        self.cables.insert((ends.1, link), Cable { to: ends.0, wire, uplink_of: None });
        self.handle(ends.1, Input::LinkUp { link, kind: kinds.1 });
        self.handle(ends.0, Input::LinkUp { link, kind: kinds.0 });
    }

    /// Let all circuits stand, then do what the plan says until its end.
    pub fn run(&mut self, plan: &Plan) {
        let waiting = |world: &Self| world.circuits.iter().zip(&plan.circuits).any(|(own, path)| !own.stands && !path.later);
        while waiting(self) && self.now < BUILT_BY_US {
            if !self.step(BUILT_BY_US) {
                break;
            }
        }
        if waiting(self) {
            return self.told.push("error circuits do not stand".to_owned());
        }
        // A second more, in which the own ends settle; two for metered ones.
        let zero = self.now + 2_000_000 * self.circuits.iter().map(|own| u64::from(own.stride())).max().unwrap_or(1);
        while self.step(zero) {}
        self.zero = Some(zero);
        let (zero_at, windows) = (zero as i64, self.windows.clone());
        self.records.retain_mut(|record| {
            record.left -= zero_at;
            record.arrived -= if record.arrived == NEVER { 0 } else { zero_at };
            windows.iter().any(|(from, until)| (*from..*until).contains(&record.left))
        });
        for (at, act) in &plan.acts {
            self.put(zero + at, Happening::Act(*act));
        }
        while self.step(zero + plan.until) {}
    }

    /// Network time as a node reads it.
    fn clock(&self, node: usize, at: u64) -> u64 {
        BEGIN_US + (i128::from(at) * (BILLION + i128::from(self.nodes[node].drift_ppb)) / BILLION) as u64
    }

    /// The first instant at which a node reads `local` or later.
    fn instant(&self, node: usize, local: u64) -> u64 {
        let rate = BILLION + i128::from(self.nodes[node].drift_ppb);
        let scaled = i128::from(local.saturating_sub(BEGIN_US)) * BILLION;
        (((scaled + rate - 1) / rate) as u64).max(self.now)
    }

    fn put(&mut self, at: u64, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse(Due(at, self.serial, happening)));
    }

    /// Let the next thing happen that is due by `until`; false where nothing is.
    fn step(&mut self, until: u64) -> bool {
        if self.queue.peek().is_none_or(|Reverse(due)| due.0 > until) {
            self.now = until;
            return false;
        }
        let Some(Reverse(Due(at, _, happening))) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        match happening {
            Happening::Timer(node) if self.nodes[node].timer == Some(at) => {
                self.nodes[node].timer = None;
                self.handle(node, Input::Timer);
            }
            Happening::Timer(_) => {}
            Happening::Cell { node, link, cell } => self.handle(node, Input::Cell { link, cell: &cell }),
            Happening::Command { node, command } => self.handle(node, Input::Command(command)),
            Happening::Wants { circuit, step } => self.take_step(circuit, &step),
            Happening::Frame { circuit, call } => self.frame(circuit, call),
            Happening::Act(act) => self.act(act),
        }
        true
    }

    fn take_step(&mut self, circuit: usize, step: &Step) {
        let clock = self.clock(self.circuits[circuit].node, self.now);
        let wants = match step {
            Step::Build => {
                let number = draw_u32(&mut self.draws);
                self.circuits[circuit].build(number)
            }
            Step::Settle => self.circuits[circuit].settle(clock),
        };
        self.obey(circuit, wants);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Call(a, b, id) => {
                let wants = self.circuits[a].call(b, id);
                self.obey(a, wants);
            }
            Act::End(a, b, id) => {
                for circuit in [a, b] {
                    self.phones[circuit].talks = false;
                    let wants = self.circuits[circuit].end(id);
                    self.obey(circuit, wants);
                }
            }
            Act::Build(circuit) => self.take_step(circuit, &Step::Build),
            Act::Close(circuit) => {
                let wants = self.circuits[circuit].close();
                self.obey(circuit, wants);
            }
            Act::Tamper(circuit, tamper) => self.tampers[circuit] = tamper,
            Act::Frames(circuit, on) => self.phones[circuit].pauses = !on,
            #[cfg(feature = "switches")]
            Act::Switch(switch, on) => voicebox_core::lab::turn(switch, on),
            // In a build as it is shipped there is nothing to switch.
            #[cfg(not(feature = "switches"))]
            Act::Switch(switch, on) => self.told.push(format!("error this build has no switch {switch:?} to turn {on}")),
        }
    }

    fn obey(&mut self, circuit: usize, wants: Vec<Want>) {
        let node = self.circuits[circuit].node;
        for want in wants {
            match want {
                Want::Command(command) => self.put(self.now + CONTROL_US, Happening::Command { node, command }),
                Want::SettleAfter(us) => self.put(self.now + us, Happening::Wants { circuit, step: Step::Settle }),
                Want::Stood => self.tell("stood", circuit),
                Want::Heard => {
                    self.tell("heard", circuit);
                    let phone = &mut self.phones[circuit];
                    (phone.calls, phone.talks) = (phone.calls + 1, true);
                    let call = phone.calls;
                    let after = u64::from(draw_u32(&mut self.draws) % 20_000);
                    self.put(self.now + after, Happening::Frame { circuit, call });
                }
                Want::Rings => self.tell("rings", circuit),
            }
        }
    }

    fn tell(&mut self, what: &str, circuit: usize) {
        let at = self.now as i64 - self.zero.unwrap_or(self.now) as i64;
        self.told.push(format!("{what} {circuit} {at}"));
    }

    /// The phone speaks: one frame each 20 ms of its own clock.
    fn frame(&mut self, circuit: usize, call: u32) {
        let phone = &mut self.phones[circuit];
        if !phone.talks || phone.calls != call {
            return;
        }
        phone.frames += 1;
        let (frames, period) = (phone.frames, i128::from(FRAME_US) * BILLION);
        let stride = |frames: u32| (period * i128::from(frames) / (BILLION + i128::from(phone.drift_ppb))) as u64;
        let next = self.now + stride(frames + 1) - stride(frames);
        let pauses = phone.pauses;
        let mut payload = [SILENCE; 160];
        payload[..4].copy_from_slice(&frames.to_be_bytes());
        if self.watched.contains(&(usize::from(PHONE), self.circuits[circuit].node)) {
            self.record_frame(circuit, frames);
        }
        let packet =
            RtpPacket { marker: frames == 1, payload_type: 8, sequence_number: frames as u16, rtp_timestamp: 160 * frames, ssrc: 5, payload: &payload };
        let (node, port) = (self.circuits[circuit].node, self.circuits[circuit].port());
        if !pauses {
            self.handle(node, Input::Rtp { port, datagram: &serialise_rtp(&packet) });
        }
        self.put(next, Happening::Frame { circuit, call });
    }

    fn record_frame(&mut self, circuit: usize, frame: u32) {
        let Some(left) = self.is_recorded(self.now) else { return };
        let mut body = [0; 8];
        body[..2].copy_from_slice(&(circuit as u16).to_le_bytes());
        body[4..].copy_from_slice(&frame.to_be_bytes());
        let to = self.circuits[circuit].node as u16;
        self.records.push(Record { left, arrived: left, from: PHONE, to, circuit: 160 * frame, slot: frame, body });
    }

    fn handle(&mut self, node: usize, input: Input<'_>) {
        let now = self.clock(node, self.now);
        self.nodes[node].core.handle(now, input);
        while let Some(output) = self.nodes[node].core.poll() {
            match output {
                Output::Send { link, cell, at } => self.send(node, link, Box::new(cell), at),
                Output::SendRtp { port, rtcp: false, datagram, at } => self.hear_rtp(node, port, &datagram, at),
                Output::Event(event) => self.react(node, &event),
                Output::SendRtp { .. } | Output::CloseLink { .. } => {}
            }
        }
        let timer = self.nodes[node].core.next_timer().map(|local| self.instant(node, local));
        if timer.is_some() && timer != self.nodes[node].timer {
            self.nodes[node].timer = timer;
            self.put(timer.unwrap_or(self.now), Happening::Timer(node));
        }
    }

    fn is_recorded(&self, left: u64) -> Option<i64> {
        let Some(zero) = self.zero else {
            // Until all circuits stand nobody knows how long before that this was; what is not wanted is left out then.
            return self.windows.iter().any(|(from, _)| *from < 0).then_some(left as i64);
        };
        let left = left as i64 - zero as i64;
        self.windows.iter().any(|(from, until)| (*from..*until).contains(&left)).then_some(left)
    }

    fn send(&mut self, node: usize, link: LinkId, mut cell: Box<Cell>, at: u64) {
        let leaves = self.instant(node, at);
        let Some(cable) = self.cables.get(&(node, link)) else { return };
        let (to, tamper) = (cable.to, cable.uplink_of.map(|circuit| self.tampers[circuit]).unwrap_or_default());
        let arrives = cable.wire.carry(leaves, tamper, &mut self.draws);
        let watched = self.watched.is_empty() || self.watched.contains(&(node, to));
        if let Some(left) = self.is_recorded(leaves).filter(|_| watched) {
            let number = |from: usize| u32::from_be_bytes([cell[from], cell[from + 1], cell[from + 2], cell[from + 3]]);
            let arrived = arrives.map_or(NEVER, |at| at as i64 - self.zero.unwrap_or(0) as i64);
            let mut body = [0; 8];
            body.copy_from_slice(&cell[8..16]);
            self.records.push(Record { left, arrived, from: node as u16, to: to as u16, circuit: number(0), slot: number(4), body });
        }
        if tamper.flip {
            flip(&mut cell);
        }
        let Some(arrives) = arrives else { return };
        if tamper.replay_us > 0 {
            self.put(arrives + tamper.replay_us, Happening::Cell { node: to, link, cell: cell.clone() });
        }
        self.put(arrives, Happening::Cell { node: to, link, cell });
    }

    fn hear_rtp(&mut self, node: usize, port: PortId, datagram: &[u8], at: u64) {
        let leaves = self.instant(node, at);
        if !self.watched.is_empty() && !self.watched.contains(&(node, usize::from(PHONE))) {
            return;
        }
        let (Some(left), Ok(packet)) = (self.is_recorded(leaves), parse_rtp(datagram)) else { return };
        let mut body = [0; 8];
        body[..2].copy_from_slice(&(port.0 as u16).to_le_bytes()); // circuits are numbered from 0, and no more than nodes
        let changed = packet.payload.iter().skip(4).filter(|octet| **octet != SILENCE).count() as u16; // at most 160
        body[2..4].copy_from_slice(&changed.to_le_bytes());
        body[4..].copy_from_slice(packet.payload.first_chunk::<4>().unwrap_or(&[0; 4]));
        let (circuit, slot) = (packet.rtp_timestamp, u32::from(packet.sequence_number));
        self.records.push(Record { left, arrived: left, from: node as u16, to: PHONE, circuit, slot, body });
    }

    /// The control plane of a relay answers; a box's goes on with the circuit that the event is of.
    fn react(&mut self, node: usize, event: &Event) {
        let key = |handshake: &[u8], from: usize| handshake[from..from + 16].try_into().unwrap_or([0; 16]);
        let command = match event {
            Event::Create { link, circuit, handshake } => {
                let (index, hop) = (u32::from_be_bytes([handshake[0], handshake[1], handshake[2], handshake[3]]) as usize, handshake[5]);
                let junction = self.circuits[index].last() == hop;
                let (forward_key, backward_key) = (key(handshake, 0), key(handshake, 16));
                Command::Accept {
                    link: *link,
                    circuit: *circuit,
                    forward_key,
                    backward_key,
                    created: Box::new([9; CREATED_OCTETS]),
                    junction,
                    forward_step_us: STEP_US,
                    backward_step_us: STEP_US,
                }
            }
            Event::Extend { link, circuit, relay_id, next_circuit, handshake } => {
                let junction = u16::from_be_bytes([relay_id[0], relay_id[1]]);
                let next_link = LinkId(1_000_000 + (node * 1_000) as u32 + u32::from(junction));
                Command::Extend { link: *link, circuit: *circuit, next_link, next_circuit: *next_circuit, handshake: handshake.clone() }
            }
            Event::Created { link, .. } | Event::Answer { link, .. } | Event::Heard { link, .. } | Event::Refused { link, .. } => {
                let circuit = link.0 as usize - 1;
                let drawn = draw_u32(&mut self.draws);
                let (clock, next_number) = (self.clock(node, self.now), self.circuits[circuit].numbered(drawn));
                if matches!(event, Event::Created { .. }) {
                    self.told.push(format!("number {circuit} {} {next_number}", self.circuits[circuit].number));
                }
                let wants = self.circuits[circuit].hear(event, clock, next_number);
                return self.obey(circuit, wants);
            }
            // Nobody asks about records here.
            Event::Ask { .. }
            | Event::CircuitEnded { .. }
            | Event::Message { .. }
            | Event::Silent { .. }
            | Event::Ended { .. }
            | Event::Digit { .. }
            | Event::Taped { .. } => return,
        };
        self.put(self.now + CONTROL_US, Happening::Command { node, command });
    }
}
