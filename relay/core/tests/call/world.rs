//! A network of real cores in virtual time: wires with delay, jitter and loss, and a clock of its own for every node.

use std::collections::{BTreeMap, HashMap};

use voicebox_core::cell::Cell;
use voicebox_core::random::{draw_u32, SeededRandom};
use voicebox_core::speech::{CREATED_OCTETS, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Config, Core, Event, Input, LinkId, LinkKind, Output, PortId};

/// Network time at which every world begins.
const BEGIN_US: u64 = 3_600_000_000;
const MILLION: i128 = 1_000_000;

/// What a wire does to the datagrams in one direction.
#[derive(Clone, Copy)]
pub struct Wire {
    pub delay_us: u64,
    /// Spread evenly over 0..=jitter.
    pub jitter_us: u32,
    pub loss_per_million: u32,
    /// Datagrams that come once more within 100 ms.
    pub repeats_percent: u32,
}

/// A node: its core, its clock, what it told.
struct Node {
    core: Core,
    drift_per_million: i64,
    events: Vec<Event>,
    stopped: bool,
}

enum Happening {
    Cell { node: usize, link: LinkId, cell: Box<Cell> },
    Rtp { node: usize, port: PortId, datagram: Vec<u8> },
}

/// A datagram that a phone got.
pub struct Heard {
    pub node: usize,
    pub at: u64,
    pub datagram: Vec<u8>,
}

/// Keys of a hop, as the handshakes of this world carry them.
#[derive(Clone, Copy)]
pub struct HopKeys {
    pub forward: [u8; 16],
    pub backward: [u8; 16],
}

impl HopKeys {
    pub fn new(octet: u8) -> Self {
        Self { forward: [octet; 16], backward: [octet + 100; 16] }
    }

    pub fn handshake(self) -> Vec<u8> {
        let mut handshake = vec![0; HANDSHAKE_OCTETS];
        handshake[..16].copy_from_slice(&self.forward);
        handshake[16..32].copy_from_slice(&self.backward);
        handshake
    }
}

fn key_at(handshake: &[u8], from: usize) -> [u8; 16] {
    handshake[from..from + 16].try_into().expect("16 octets")
}

/// When a cell left, whose it was, over which link, and its octets.
pub type Captured = (u64, usize, LinkId, Box<Cell>);

pub struct World {
    nodes: Vec<Node>,
    /// (node, link) to (node, link) at the other end.
    wires: HashMap<(usize, LinkId), (usize, LinkId, Wire)>,
    queue: BTreeMap<(u64, u64), Happening>,
    serial: u64,
    draws: SeededRandom,
    fast_draws: SeededRandom,
    /// True time in microseconds since the world began.
    pub now: u64,
    pub heard: Vec<Heard>,
    /// When cells of slots left, by sender's node and link.
    pub sent: HashMap<(usize, LinkId), Vec<u64>>,
    /// All cells of slots, where they are kept: when and over what they left.
    pub capture: Option<Vec<Captured>>,
    /// How many fast cells left.
    pub fast_sent: u64,
    /// The de-jitter steps with which relays accept, forward and backward.
    pub steps_us: (u32, u32),
}

impl World {
    pub fn new(drifts: &[i64], seed: u8) -> Self {
        Self::with_metered(drifts, seed, &[])
    }

    /// Likewise; the own circuits of some nodes are metered.
    pub fn with_metered(drifts: &[i64], seed: u8, metered: &[usize]) -> Self {
        let node = |(index, drift): (usize, &i64)| Node {
            core: Core::new(
                Config { metered: metered.contains(&index), ..Config::default() },
                Box::new(SeededRandom::new([seed.wrapping_mul(16).wrapping_add(index as u8); 32])),
            ),
            drift_per_million: *drift,
            events: Vec::new(),
            stopped: false,
        };
        Self {
            nodes: drifts.iter().enumerate().map(node).collect(),
            wires: HashMap::new(),
            queue: BTreeMap::new(),
            serial: 0,
            draws: SeededRandom::new([seed; 32]),
            fast_draws: SeededRandom::new([seed ^ 0xff; 32]),
            now: 0,
            heard: Vec::new(),
            sent: HashMap::new(),
            capture: None,
            fast_sent: 0,
            steps_us: (5_000, 5_000),
        }
    }

    /// Network time as `node` reads it.
    pub fn clock(&self, node: usize) -> u64 {
        self.local(node, self.now)
    }

    fn local(&self, node: usize, at: u64) -> u64 {
        BEGIN_US + (i128::from(at) * (MILLION + i128::from(self.nodes[node].drift_per_million)) / MILLION) as u64
    }

    /// The first instant at which `node` reads `local` or later.
    fn instant(&self, node: usize, local: u64) -> u64 {
        let rate = MILLION + i128::from(self.nodes[node].drift_per_million);
        let scaled = i128::from(local.saturating_sub(BEGIN_US)) * MILLION;
        ((scaled + rate - 1) / rate) as u64
    }

    /// Put a wire between two nodes; both ends use the link number `link`.
    pub fn connect(&mut self, from: usize, to: usize, link: u32, kinds: (LinkKind, LinkKind), wire: Wire) {
        let link = LinkId(link);
        self.wires.insert((from, link), (to, link, wire));
        self.wires.insert((to, link), (from, link, wire));
        for (node, kind) in [(to, kinds.1), (from, kinds.0)] {
            self.handle(node, Input::LinkUp { link, kind });
        }
    }

    pub fn command(&mut self, node: usize, command: Command) {
        self.handle(node, Input::Command(command));
    }

    /// Let a node fall silent for ever.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].stopped = true;
    }

    /// The core of a node, for what is no input: its streams.
    pub fn core(&mut self, node: usize) -> &mut Core {
        &mut self.nodes[node].core
    }

    /// Hand a datagram of the phone to `node` at the instant `at`.
    pub fn rtp_at(&mut self, at: u64, node: usize, port: PortId, datagram: Vec<u8>) {
        self.put(at, Happening::Rtp { node, port, datagram });
    }

    pub fn count(&self, node: usize, name: &str) -> u64 {
        self.nodes[node].core.counters().iter().find(|(counter, _)| *counter == name).map(|(_, total)| total).expect("a counter of this name")
    }

    /// The steps that the links of a node ask for.
    pub fn jitter(&self, node: usize) -> Vec<(LinkId, i64)> {
        self.nodes[node].core.jitter()
    }

    /// Take what a box told since the last call.
    pub fn events(&mut self, node: usize) -> Vec<Event> {
        std::mem::take(&mut self.nodes[node].events)
    }

    pub fn run_for(&mut self, us: u64) {
        let until = self.now + us;
        while self.step(until) {}
    }

    /// Run until a box tells something that `wanted` picks; everything it told before is gone. Panics after 60 s.
    pub fn wait_for<T>(&mut self, node: usize, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let until = self.now + 60_000_000;
        loop {
            if let Some(found) = self.events(node).iter().find_map(&wanted) {
                return found;
            }
            assert!(self.step(until), "{what} never came");
        }
    }

    fn put(&mut self, at: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((at, self.serial), happening);
    }

    fn next_us(&self, node: usize) -> Option<u64> {
        let core = &self.nodes[node].core;
        [core.next_timer(), core.next_fast_us()].into_iter().flatten().min()
    }

    /// Let the next thing happen that is due by `until`; false where nothing is.
    fn step(&mut self, until: u64) -> bool {
        let timers = (0..self.nodes.len()).filter(|node| !self.nodes[*node].stopped);
        let timer = timers.filter_map(|node| Some((self.instant(node, self.next_us(node)?).max(self.now), node))).min();
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer_first = timer.is_some_and(|(at, _)| queued.is_none_or(|queued| at <= queued));
        let next = if timer_first { timer.map(|(at, _)| at) } else { queued };
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = next;
        if let (true, Some((_, node))) = (timer_first, timer) {
            self.handle(node, Input::Timer);
            return true;
        }
        match self.queue.pop_first() {
            Some((_, Happening::Cell { node, link, cell })) => self.handle(node, Input::Cell { link, cell: &cell }),
            Some((_, Happening::Rtp { node, port, datagram })) => self.handle(node, Input::Rtp { port, datagram: &datagram }),
            None => {}
        }
        true
    }

    fn handle(&mut self, node: usize, input: Input<'_>) {
        if self.nodes[node].stopped {
            return;
        }
        let now = self.clock(node);
        self.nodes[node].core.handle(now, input);
        while let Some(output) = self.nodes[node].core.poll() {
            match output {
                Output::Send { link, cell, at } => self.send(node, link, Box::new(cell), at),
                Output::SendRtp { rtcp, datagram, at, .. } => {
                    let at = self.instant(node, at).max(self.now);
                    if !rtcp {
                        self.heard.push(Heard { node, at, datagram });
                    }
                }
                Output::Event(event) => self.tell(node, event),
                Output::CloseLink { .. } => {}
            }
        }
        while let Some((link, cell)) = self.nodes[node].core.poll_fast(now) {
            self.fast_sent += 1;
            self.pass_fast(node, link, Box::new(cell));
        }
    }

    fn send(&mut self, node: usize, link: LinkId, cell: Box<Cell>, at: u64) {
        let leaves = self.instant(node, at).max(self.now);
        self.sent.entry((node, link)).or_default().push(leaves);
        if let Some(capture) = &mut self.capture {
            capture.push((leaves, node, link, cell.clone()));
        }
        let Some((to, to_link, wire)) = self.wires.get(&(node, link)).copied() else { return };
        let lost = draw_u32(&mut self.draws) % 1_000_000 < wire.loss_per_million;
        let jitter = u64::from(draw_u32(&mut self.draws) % (wire.jitter_us + 1));
        let (repeat, repeat_after) = (draw_u32(&mut self.draws) % 100 < wire.repeats_percent, u64::from(draw_u32(&mut self.draws) % 100_000));
        if repeat {
            self.put(leaves + wire.delay_us + jitter + repeat_after, Happening::Cell { node: to, link: to_link, cell: cell.clone() });
        }
        if !lost {
            self.put(leaves + wire.delay_us + jitter, Happening::Cell { node: to, link: to_link, cell });
        }
    }

    /// Fast cells keep their order, as what one router sends to another does.
    fn pass_fast(&mut self, node: usize, link: LinkId, cell: Box<Cell>) {
        let Some((to, to_link, wire)) = self.wires.get(&(node, link)).copied() else { return };
        if draw_u32(&mut self.fast_draws) % 1_000_000 >= wire.loss_per_million {
            self.put(self.now + wire.delay_us, Happening::Cell { node: to, link: to_link, cell });
        }
    }

    /// The control plane of a relay answers at once; a box's events are kept for the test.
    fn tell(&mut self, node: usize, event: Event) {
        match event {
            Event::Create { link, circuit, handshake } => {
                let (forward_key, backward_key) = (key_at(&handshake, 0), key_at(&handshake, 16));
                let (forward_step_us, backward_step_us) = self.steps_us;
                let created = Box::new([9; CREATED_OCTETS]);
                self.command(node, Command::Accept { link, circuit, forward_key, backward_key, created, junction: true, forward_step_us, backward_step_us });
            }
            Event::Extend { link, circuit, relay_id, next_circuit, handshake } => {
                let to = usize::from(relay_id[0]);
                let next = self.wires.iter().find(|((from, _), (end, _, _))| *from == node && *end == to).map(|((_, next), _)| *next);
                let next_link = next.expect("a wire to the next relay");
                self.command(node, Command::Extend { link, circuit, next_link, next_circuit, handshake });
            }
            Event::Ask { link, circuit, number, payload } => self.command(node, Command::AnswerAsk { link, circuit, number, payload }),
            other => self.nodes[node].events.push(other),
        }
    }
}

/// A message for a hop: kind and payload of PROTOCOL.md §3.2.
pub fn say(name: (LinkId, CircId), hop: u8, kind: u8, payload: Vec<u8>, every: u32, times: u32) -> Command {
    Command::Say { link: name.0, circuit: name.1, hop, kind, payload, every, times }
}
