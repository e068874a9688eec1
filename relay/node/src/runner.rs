//! The engine's thread: wait, send what is due, let time pass in the core, take what came, repeat.

mod fast;
mod media;

use std::collections::{HashMap, HashSet};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::Arc;
use std::time::Duration;

use voicebox_core::ids::SLOT_US;
use voicebox_core::{BundleId, Command, Core, Input, LinkId, LinkKind, Output, PortId, RandomSource, Slot};
use voicebox_dtls::RECORD_OCTETS;

use crate::clock::Clock;
use crate::counters::{Counter, Counters};
use crate::datagrams::{send_all, Inbox, Parcel, RawAddress};
use crate::doors::DOORS;
use crate::event::NodeEvent;
use crate::keeper::Keeper;
use crate::lateness::Lateness;
use crate::links::{Happening, Links, SocketNumber};
use crate::media::{Half, MediaPort, MediaPorts};
use crate::order::Order;
use crate::poller::Poller;
use crate::random::Expanded;
use crate::schedule::{send_records, Record, Schedule, Sound};
use crate::streams::{Streams, STREAMS};
use crate::wake::Bell;

/// What the poller's numbers mean: kind in the upper half, number below.
const BELL: u64 = 0;
const LINKS: u64 = 1 << 32;
const RTP: u64 = 2 << 32;
const RTCP: u64 = 3 << 32;

const SWEEP_US: u64 = 1_000_000;
/// The longest sleep: nothing is due for that long on a node without links.
const MAX_SLEEP_US: u64 = 250_000;
/// Calls of recvmmsg for one socket before the others have their turn.
const BATCHES_A_TURN: usize = 4;
/// Datagrams taken before what is due leaves again: some 0.2 ms of work.
const DATAGRAMS_A_TURN: usize = 64;
/// Orders carried out before what is due leaves again.
const ORDERS_A_TURN: usize = 64;
/// Where turns come more often than this, the sockets are looked at only when something is due anyway, or when so much time has passed: a turn for
/// each datagram costs more than the datagram. Arrivals are counted that much later, well inside the step D of a hop (PROTOCOL.md §5.3).
const NAP_US: u64 = 500;
/// So long before a cell leaves the sockets are left alone: what came then, a phone's sound above all, would make its tick late by the time that it takes.
const HUSH_US: u64 = 1_000;
/// Streams of a node that sends all the time are served at least so often.
const MAX_UNSERVED_US: u64 = 2_000;
/// A box wakes so long before a cell leaves and then only looks at the clock: what waking takes differs with what the machine did a moment ago, and so with
/// whether a call is on. It costs that much of a core, 50 times a second, for each circuit; a relay sends far too often for it.
const AWAKE_US: u64 = 50;

/// Everything the thread owns.
pub(crate) struct Runner {
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    pub(crate) links: Links,
    pub(crate) filler: Expanded,
    pub(crate) orders: Receiver<Box<Order>>,
    pub(crate) order_bell: Arc<Bell>,
    pub(crate) events: SyncSender<Box<NodeEvent>>,
    pub(crate) event_bell: Arc<Bell>,
    pub(crate) counters: Counters,
    pub(crate) poller: Poller,
    pub(crate) panics: Arc<AtomicU64>,
    keeper: Arc<Keeper>,
    sockets: HashMap<SocketNumber, UdpSocket>,
    /// Sockets that end with their one link.
    own: HashSet<SocketNumber>,
    /// A box's: it begins access links, which a relay never does.
    pub(crate) is_box: bool,
    media: MediaPorts,
    /// Ports with a handshake that is not over; nearly always none.
    shaking: Vec<u32>,
    streams: Streams,
    schedule: Schedule,
    lateness: Lateness,
    inbox: Inbox,
    trains: bool,
    allowance: fast::Allowance,
    next_sweep_at: u64,
}

/// The parts that are made before the thread begins.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    pub(crate) links: Links,
    pub(crate) filler: Expanded,
    pub(crate) orders: Receiver<Box<Order>>,
    pub(crate) order_bell: Arc<Bell>,
    pub(crate) events: SyncSender<Box<NodeEvent>>,
    pub(crate) event_bell: Arc<Bell>,
    pub(crate) poller: Poller,
    pub(crate) panics: Arc<AtomicU64>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) numbers: Arc<AtomicU32>,
}

impl Runner {
    pub(crate) fn new(parts: Parts) -> Self {
        parts.poller.add(parts.order_bell.descriptor(), BELL);
        let now = parts.clock.now();
        Self {
            clock: parts.clock,
            core: parts.core,
            links: parts.links,
            filler: parts.filler,
            orders: parts.orders,
            order_bell: parts.order_bell,
            events: parts.events,
            event_bell: parts.event_bell,
            counters: Counters::new(),
            poller: parts.poller,
            panics: parts.panics,
            keeper: parts.keeper,
            sockets: HashMap::new(),
            own: HashSet::new(),
            is_box: false,
            media: MediaPorts::new(),
            shaking: Vec::new(),
            streams: Streams::new(parts.numbers),
            schedule: Schedule::new(),
            lateness: Lateness::new(),
            inbox: Inbox::new(),
            trains: true,
            allowance: fast::Allowance::default(),
            next_sweep_at: now + SWEEP_US,
        }
    }

    /// Run until told to stop, or until whoever holds the engine is gone.
    pub(crate) fn run(&mut self) {
        let mut readable = Vec::new();
        // When the sockets were looked at; and the same, but 0 where datagrams are few.
        let (mut looked_at, mut busy_at) = (0, 0);
        let mut served_at = 0;
        loop {
            let now = self.clock.now();
            let next_cell = self.schedule.next_cell();
            let hushed = next_cell.is_some_and(|at| at <= now + HUSH_US);
            let mut wait = self.wait_us(now);
            if let Some(at) = next_cell.filter(|_| self.is_box) {
                if at <= now + AWAKE_US {
                    self.stay_awake(at);
                    continue;
                }
                wait = wait.min(at - AWAKE_US - now);
            }
            // The sockets were looked at a moment ago: sleep without them, until something is due or the rest is over.
            let rest_ends_at = if busy_at > 0 { busy_at + NAP_US } else { looked_at + if hushed { HUSH_US } else { 0 } };
            if rest_ends_at > now {
                std::thread::sleep(Duration::from_micros(wait.min(rest_ends_at - now)));
                self.pass_time();
                if self.clock.now() < rest_ends_at {
                    continue;
                }
            }
            self.poller.wait(if hushed || rest_ends_at > now || self.streams.is_due() { 0 } else { wait }, &mut readable);
            looked_at = self.clock.now();
            // A long wait says that datagrams are few: the next one is taken when it comes.
            busy_at = if readable.is_empty() || (rest_ends_at <= now && looked_at - now > NAP_US) { 0 } else { looked_at };
            self.counters.add(Counter::Turns);
            self.pass_time();
            for &number in &readable {
                if number == BELL {
                    if !self.take_orders() {
                        return;
                    }
                } else {
                    self.take_datagrams(number & !u64::from(u32::MAX), number as u32);
                }
                self.pass_time();
            }
            // Not in the last millisecond before a cell, but for a node that always is in one.
            let now = self.clock.now();
            if now >= served_at + MAX_UNSERVED_US || self.schedule.next_cell().is_none_or(|at| at > now + HUSH_US) {
                served_at = now;
                self.serve_streams();
            }
        }
    }

    fn serve_streams(&mut self) {
        let mut told = Vec::new();
        self.streams.serve(&mut self.core, &self.poller, self.clock.now(), &mut told);
        told.into_iter().for_each(|event| self.tell(event));
    }

    /// Look at nothing but the clock until a cell is due, and send it.
    fn stay_awake(&mut self, at: u64) {
        while self.clock.now() < at {
            std::hint::spin_loop();
        }
        self.pass_time();
    }

    fn wait_us(&mut self, now: u64) -> u64 {
        let timers =
            [self.schedule.next(), self.core.next_timer(), self.links.next_timeout(now), self.next_handshake(now), self.next_fast(), Some(self.next_sweep_at)];
        let next = timers.into_iter().flatten().min().unwrap_or(now + MAX_SLEEP_US).min(now + MAX_SLEEP_US);
        next.saturating_sub(now)
    }

    /// Send what is due, then let the core and the links do what is due.
    fn pass_time(&mut self) {
        let now = self.clock.now();
        self.send_due(now);
        if self.core.next_timer().is_some_and(|at| at <= now) {
            self.core.handle(now, Input::Timer);
            self.drain(now);
        }
        if self.links.next_timeout(now).is_some_and(|at| at <= now) {
            self.links.handle_timeouts(now);
            self.follow_links(now);
        }
        if self.next_handshake(now).is_some_and(|at| at <= now) {
            for port in self.shaking.clone() {
                if let Some(handshakes) = self.media.get_mut(&port).and_then(MediaPort::handshakes) {
                    handshakes.handle_timeout(now);
                }
                self.follow_handshakes(now, port);
            }
        }
        if now >= self.next_sweep_at {
            self.next_sweep_at = now + SWEEP_US;
            self.links.sweep(now);
            for link in self.links.relay_links() {
                self.say_control(now, link);
            }
            self.follow_links(now);
        }
        let now = self.clock.now();
        self.send_due(now);
        self.send_fast();
    }

    fn send_due(&mut self, now: u64) {
        if self.schedule.next().is_none_or(|at| at > now) {
            return;
        }
        #[cfg(feature = "lab")]
        crate::lab::work_before(self.schedule.next());
        let (records, sounds) = self.schedule.take_due(now, &mut self.lateness);
        for run in records.chunk_by(|one, other| one.socket == other.socket) {
            let Some(socket) = self.sockets.get(&run[0].socket) else { continue };
            let (taken, refused) = send_records(socket, run, |link| self.links.peer(link), &mut self.trains, &mut self.filler);
            self.counters.add_many(Counter::CellsOut, taken);
            self.counters.add_many(Counter::SendRefused, refused);
        }
        for sound in sounds {
            self.send_sound(&sound);
        }
        self.schedule.reuse(records);
    }

    /// Do what the core says, until it says no more.
    fn drain(&mut self, now: u64) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Send { link, cell, at } => self.seal(now, at, link.0, &cell),
                Output::SendRtp { port, rtcp, datagram, at } => {
                    let Some(its) = self.media.get_mut(&port.0) else {
                        self.counters.add(Counter::PortGone);
                        continue;
                    };
                    match its.seal(rtcp, datagram) {
                        Ok(octets) => self.schedule.add_sound(now, at, Sound { port: port.0, half: its.half(rtcp), octets }),
                        Err(reason) => self.counters.add(reason),
                    }
                }
                Output::Event(event) => self.tell(NodeEvent::Core(event)),
                Output::CloseLink { link } => self.links.forget(link.0),
            }
        }
        if !self.links.happenings.is_empty() {
            self.follow_links(now);
        }
    }

    /// Carry out what the table of links says, and pass it on to the core and to whoever holds the engine.
    fn follow_links(&mut self, now: u64) {
        // Each pass may cause others (a link that fails while it is sealed to); they end, because each takes a link away.
        while !self.links.happenings.is_empty() {
            for happening in std::mem::take(&mut self.links.happenings) {
                self.follow(now, happening);
            }
        }
    }

    fn follow(&mut self, now: u64, happening: Happening) {
        match happening {
            Happening::Reply { socket, to, datagram } => {
                if let Some(socket) = self.sockets.get(&socket) {
                    let to = RawAddress::new(to);
                    let refused = send_all(socket, &[Parcel { octets: &[&datagram], to: &to }], &mut false);
                    self.counters.add_many(Counter::SendRefused, refused);
                }
            }
            Happening::Up { link, kind, incoming, peer_pin, certificate } => {
                self.tell(NodeEvent::LinkUp { link, incoming, peer_pin, certificate });
                self.core.handle(now, Input::LinkUp { link: LinkId(link), kind });
                self.drain(now);
                if kind == LinkKind::Relay {
                    self.say_control(now, link);
                }
            }
            Happening::Failed { link } => {
                self.drop_unused_sockets();
                self.tell(NodeEvent::LinkFailed { link });
            }
            Happening::Down { link } => {
                self.drop_unused_sockets();
                self.core.handle(now, Input::LinkDown { link: LinkId(link) });
                self.drain(now);
                self.tell(NodeEvent::LinkDown { link });
            }
        }
    }

    /// Drop the sockets that ended with their link.
    fn drop_unused_sockets(&mut self) {
        let (links, sockets, poller, keeper) = (&self.links, &mut self.sockets, &self.poller, &self.keeper);
        self.own.retain(|number| {
            let used = links.is_used(*number);
            if !used {
                sockets.remove(number).into_iter().for_each(|socket| poller.remove(socket.as_raw_fd()));
                keeper.release(*number);
            }
            used
        });
    }

    /// Send a cell of link control: the connecting side's first cell, and then one a second, so that a relay link without circuits
    /// is not taken for a dead one (PROTOCOL.md §2.2). An access link has its ticks.
    fn say_control(&mut self, now: u64, link: u32) {
        let mut cell = [0; 256];
        self.filler.fill(&mut cell[8..]);
        cell[4..8].copy_from_slice(&Slot::of((now / SLOT_US) as i64).0.to_be_bytes());
        self.seal(now, now, link, &cell);
    }

    fn seal(&mut self, now: u64, at: u64, link: u32, cell: &[u8; 256]) {
        let mut octets = [0; RECORD_OCTETS];
        match self.links.seal(now, link, cell, &mut octets) {
            Ok(socket) => self.schedule.add_record(now, Record { at: at.max(now), socket, link, octets }),
            Err(reason) => self.counters.add(reason),
        }
    }

    fn tell(&mut self, event: NodeEvent) {
        match self.events.try_send(Box::new(event)) {
            Ok(()) => self.event_bell.ring(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.counters.add(Counter::EventsLost),
        }
    }

    fn take_datagrams(&mut self, kind: u64, number: u32) {
        if kind == STREAMS {
            return self.streams.wake(number);
        }
        if kind == DOORS {
            let mut told = Vec::new();
            self.streams.take_datagrams(&mut self.core, self.clock.now(), number, &mut told);
            return told.into_iter().for_each(|event| self.tell(event));
        }
        let mut cell = [0; 256];
        for _ in 0..BATCHES_A_TURN {
            let taken = match kind {
                LINKS => self.sockets.get(&number).map_or(0, |socket| self.inbox.receive(socket)),
                RTP => self.media.get(&number).map_or(0, |port| self.inbox.receive(port.socket(Half::Rtp))),
                _ => self.media.get(&number).map_or(0, |port| self.inbox.receive(port.socket(Half::Rtcp))),
            };
            if taken == 0 {
                return;
            }
            self.counters.add(Counter::Receives);
            let mut now = self.clock.now();
            for place in 0..taken {
                if kind == LINKS {
                    self.take_link_datagram(now, number, place, &mut cell);
                } else {
                    self.take_media_datagram(now, number, if kind == RTP { Half::Rtp } else { Half::Rtcp }, place);
                }
                if place % DATAGRAMS_A_TURN == DATAGRAMS_A_TURN - 1 {
                    now = self.clock.now();
                    self.send_due(now);
                }
            }
            self.send_due(self.clock.now());
            if !self.inbox.is_full() {
                return;
            }
        }
    }

    fn take_link_datagram(&mut self, now: u64, socket: SocketNumber, place: usize, cell: &mut [u8; 256]) {
        let (datagram, from) = self.inbox.get(place);
        let Some(from) = from else { return };
        let link = self.links.receive(now, socket, from, datagram, cell, &mut self.counters);
        if !self.links.happenings.is_empty() {
            // A first cell makes its link stand: the core hears of the link before it hears of the cell.
            self.follow_links(now);
        }
        if let Some(link) = link {
            self.core.handle(now, Input::Cell { link: LinkId(link), cell });
            self.drain(now);
        }
    }

    /// Carry out orders; false when told to stop.
    pub(crate) fn take_orders(&mut self) -> bool {
        self.order_bell.hush();
        for _ in 0..ORDERS_A_TURN {
            match self.orders.try_recv() {
                Ok(order) if matches!(*order, Order::Stop) => return false,
                Ok(order) => self.carry_out(*order),
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
        // There may be more: the next turn comes at once.
        self.order_bell.ring();
        true
    }

    fn carry_out(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Listen { socket, with, listener } => {
                self.links.listen(socket, listener);
                self.add_socket(socket, with);
            }
            Order::AddSocket { socket, with } => self.add_socket(socket, with),
            Order::Connect { link, socket, own, peer, pin, dialer, kind } => {
                self.is_box |= kind == LinkKind::AccessOwner;
                if let Some(own) = own {
                    self.own.insert(socket);
                    self.add_socket(socket, own);
                }
                self.links.connect(now, link, socket, peer, pin, dialer, kind);
                self.follow_links(now);
            }
            Order::Disconnect { link } => {
                self.links.forget(link);
                self.follow_links(now);
            }
            Order::Mute { link } => self.links.mute(link),
            Order::Core(command) => {
                if let Command::BundleClose { bundle } = command {
                    self.streams.forget(&self.poller, bundle);
                }
                self.command(now, command);
            }
            Order::MediaOpen { port, with } => {
                self.poller.add(with.socket(Half::Rtp).as_raw_fd(), RTP | u64::from(port));
                self.poller.add(with.socket(Half::Rtcp).as_raw_fd(), RTCP | u64::from(port));
                self.media.insert(port, *with);
                self.command(now, Command::MediaOpen { port: PortId(port) });
            }
            Order::MediaRemote { port, address, rtcp_port, command } => {
                // Sound that came back to a port of the box's own would go round without end; 0.0.0.0 is how old phones say hold.
                let is_a_phones = !address.ip().is_unspecified() && !self.media.values().any(|other| other.is_at(address));
                if let Some(its) = self.media.get_mut(&port) {
                    its.set_remote(now, is_a_phones.then_some(address), rtcp_port);
                }
                self.command(now, command);
                self.follow_handshakes(now, port);
            }
            Order::MediaEcho { port, command } => {
                if let Some(its) = self.media.get_mut(&port) {
                    its.set_remote(now, Some(its.bound()), None);
                }
                self.command(now, command);
            }
            Order::MediaProtect { port, keys } => {
                if let Some(port) = self.media.get_mut(&port) {
                    port.protect(keys);
                }
            }
            Order::MediaIdentify { port, identity } => {
                if let Some(port) = self.media.get_mut(&port) {
                    port.identify(identity);
                }
            }
            Order::MediaAgree { port, agreed } => {
                if let Some(port) = self.media.get_mut(&port) {
                    port.agree(agreed);
                }
            }
            Order::MediaClose { port } => {
                self.media.remove(&port);
                self.command(now, Command::MediaClose { port: PortId(port) });
            }
            Order::StreamOpen { stream, bundle, port, way } => {
                for (stream, why) in self.streams.open(&mut self.core, &self.poller, now, stream, (BundleId(bundle), port, way)) {
                    self.tell(NodeEvent::StreamOver { stream, why: Some(why.code()) });
                }
            }
            Order::StreamAttach { stream, with, first, whole } => self.streams.attach(&mut self.core, stream, with, &first, whole),
            Order::DoorOpen { door, with, has_headers } => self.streams.open_door(&self.poller, door, with, has_headers),
            Order::DoorAttach { door, stream, header, first } => self.streams.attach_door(&mut self.core, &self.poller, now, door, stream, header, &first),
            Order::DoorClose { door } => self.streams.close_door(&mut self.core, &self.poller, door),
            Order::StreamReset { stream, why } => self.streams.reset(&mut self.core, &self.poller, stream, why),
            Order::BundleIdle { bundle, answer } => {
                let _ = answer.try_send(self.core.bundle_idle_us(now, BundleId(bundle)));
            }
            Order::Tap { seconds } => self.lateness.restart(now.saturating_add((seconds * 1e6) as u64)),
            Order::Counters { answer } => {
                // Whoever asked may have stopped waiting.
                let _ = answer.try_send(self.totals());
            }
            Order::Jitter { answer } => {
                let _ = answer.try_send(self.core.jitter().into_iter().map(|(link, step_us)| (link.0, step_us)).collect());
            }
            Order::Heard { answer } => {
                let _ = answer.try_send(self.links.heard(now));
            }
            Order::Stop => {}
        }
    }

    fn command(&mut self, now: u64, command: Command) {
        self.core.handle(now, Input::Command(command));
        self.drain(now);
    }

    fn add_socket(&mut self, number: SocketNumber, socket: UdpSocket) {
        self.poller.add(socket.as_raw_fd(), LINKS | u64::from(number));
        self.sockets.insert(number, socket);
    }

    fn totals(&self) -> Vec<(&'static str, u64)> {
        let (standing, coming) = self.links.count();
        let mut totals: Vec<(&'static str, u64)> = self.core.counters().iter().chain(self.counters.iter()).collect();
        totals.extend([
            ("links", standing as u64),
            ("links_coming", coming as u64),
            ("media_ports", self.media.len() as u64),
            ("streams", self.streams.len() as u64),
            ("datagrams_dropped", self.streams.datagrams_dropped()),
            ("ticks", self.lateness.ticks()),
            ("tick_late_p50_us", self.lateness.percentile_us(50)),
            ("tick_late_p99_us", self.lateness.percentile_us(99)),
            ("tick_late_max_us", self.lateness.max_us()),
            ("panics", self.panics.load(Ordering::Relaxed)),
            ("keeper_lost", self.keeper.lost()),
        ]);
        totals
    }
}
