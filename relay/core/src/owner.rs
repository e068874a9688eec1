//! The box's end of the network: access links with their ticks, own circuits, and the phones' ports.
//!
//! In order: (1) a link stands: its tick begins at a random phase, and one cell leaves at every tick from then on, of its circuit or of link control;
//! (2) `open`, `add_hop`, `say`: the circuit grows; (3) `speak`, `media_bind`: sound passes between a port and a circuit.
//! Not here: relays ([`crate::node`] drives both sides), handshakes, sockets. Bounds: 64 links, 256 ports, one circuit on a link.
//!
//! Spec: PROTOCOL.md §5.1, §5.2, §5.4, §5.6.

mod attaching;
mod backward;
mod bundles;
mod circuit;
pub mod clock;
mod copying;
mod fast;
mod joined;
mod mates;
mod playing;

use std::collections::BTreeMap;

use crate::cell::{parse_cell, serialise_cell, Cell};
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::endtoend::Codec;
use crate::ids::{BundleId, CircId, LinkId, Micros, PortId, Slot, CONTROL, SLOT_US};
use crate::io::{Command, Event, Output};
use crate::jitter::Jitter;
use crate::lab::{is_on, note_real, Switch};
use crate::random::draw_u32;
use crate::rtp::{parse_media, MediaDatagram};
use crate::sound::{Port, PortOutput, Remote};
use crate::tape::{Tape, MAX_TAPED_SLOTS};

use attaching::slots_late;
use bundles::OwnBundle;
use circuit::{Carried, Name, OwnCircuit, Received};
use clock::Clock;
use joined::Joined;
use playing::Playing;
pub use playing::MAX_PLAYED_FRAMES;

/// Access links of a box, the ones about to be replaced included.
pub const MAX_LINKS: usize = 64;
/// Ports of phones.
pub const MAX_PORTS: usize = 256;

/// What a tick carries is put together this long before it is due (PROTOCOL.md §5.2).
const COMPOSE_AHEAD_US: Micros = 1_000;
/// A tick is shifted by at most this a slot, one tick in all (PROTOCOL.md §5.4).
const SHIFT_PER_SLOT_US: u32 = 500;
/// After a stall of more than 8 slots the slots are skipped, because a burst would tell more than a gap.
const LONGEST_CATCH_UP_US: Micros = 8 * SLOT_US;

struct AccessLink {
    link: LinkId,
    next_tick: Micros,
    /// Where the next tick would be, did the guard's clock and this node's agree.
    nominal_tick: Micros,
    number: u32,
    shift_left_us: u32,
    clock: Clock,
    circuit: Option<OwnCircuit>,
    jitter: Jitter,
}

struct PhonePort {
    port: Port,
    bound: Option<Name>,
    joined: Option<Joined>,
    playing: Option<Playing>,
}

/// What is to be done next, in the order of one instant.
#[derive(Debug, Clone, Copy)]
enum Work {
    Tick(usize),
    Phone(PortId),
    Play(PortId),
}

/// All own circuits and ports of one node. Inputs change it once each; `run_next` does what is due, earliest first.
pub struct Owner {
    /// Of all own circuits: slots from one tick to the next (PROTOCOL.md §5.7).
    stride: u32,
    /// In the order in which they came up, which is the order of ticks of one instant.
    links: Vec<AccessLink>,
    ports: BTreeMap<PortId, PhonePort>,
    bundles: BTreeMap<BundleId, OwnBundle>,
}

impl Owner {
    /// Begin with nothing. metered: whether own circuits are.
    #[must_use]
    pub fn new(metered: bool) -> Self {
        Self { stride: if metered { 2 } else { 1 }, links: Vec::new(), ports: BTreeMap::new(), bundles: BTreeMap::new() }
    }

    /// From one tick to the next.
    fn tick_us(&self) -> Micros {
        Micros::from(self.stride) * SLOT_US // at most 40 000
    }

    /// Return whether this is an access link of which this node is the box.
    #[must_use]
    pub fn has_link(&self, link: LinkId) -> bool {
        self.links.iter().any(|access| access.link == link)
    }

    /// Begin to tick on a new access link. Draws 8 octets.
    pub fn link_up(&mut self, ctx: &mut Context<'_>, now: Micros, link: LinkId) {
        if self.links.len() >= MAX_LINKS || self.has_link(link) {
            return ctx.count(DropReason::UnknownLink);
        }
        let next_tick = now + COMPOSE_AHEAD_US + Micros::from(draw_u32(ctx.random)) % self.tick_us();
        let number = ((next_tick / self.tick_us()) as u32).wrapping_mul(self.stride); // the low 32 bits
        let clock = Clock::new(ctx.random);
        self.links.push(AccessLink { link, next_tick, nominal_tick: next_tick, number, shift_left_us: 0, clock, circuit: None, jitter: Jitter::default() });
    }

    /// Return the step that each link's jitter asks for, where enough cells came.
    pub fn jitter(&self) -> impl Iterator<Item = (LinkId, i64)> + '_ {
        self.links.iter().filter_map(|access| Some((access.link, access.jitter.step_us()?)))
    }

    /// Forget a link and its circuit; false where it is not the owner's.
    pub fn link_down(&mut self, ctx: &mut Context<'_>, link: LinkId) -> bool {
        let Some(index) = self.index_of(link) else { return false };
        self.end_circuit(ctx, index, true);
        self.links.remove(index);
        true
    }

    /// Take a cell of an own access link.
    pub fn cell(&mut self, ctx: &mut Context<'_>, now: Micros, link: LinkId, cell: &Cell) {
        let (circuit, number, body) = parse_cell(cell);
        if circuit == CONTROL {
            return ctx.count(DropReason::ControlIn);
        }
        let Some(index) = self.index_of(link) else { return ctx.count(DropReason::UnknownLink) };
        self.fetch_talk(index);
        let access = &mut self.links[index];
        let Some(own) = access.circuit.as_mut().filter(|own| own.name.1 == circuit) else { return ctx.count(DropReason::OwnerUnknownCircuit) };
        let port = own.port.and_then(|port| self.ports.get_mut(&port)).map(|phone| &mut phone.port);
        let bundle = own.bundle.and_then(|bundle| self.bundles.get_mut(&bundle)).map(|its| &mut its.bundle);
        match own.receive(ctx, now, (number, body), &mut access.clock, Carried { port, bundle }) {
            Received::GoesOn { late_us } => late_us.into_iter().for_each(|late_us| access.jitter.note(late_us)),
            Received::Attached { late_us } => access.number = access.number.wrapping_add(slots_late(late_us, self.stride)),
            Received::Refused => self.end_circuit(ctx, index, false),
        }
    }

    /// Take a datagram of the phone at a port.
    pub fn rtp(&mut self, ctx: &mut Context<'_>, now: Micros, port: PortId, datagram: &[u8]) {
        let Some(phone) = self.ports.get_mut(&port) else { return ctx.count(DropReason::RtpUnbound) };
        if let Ok(MediaDatagram::Rtcp(report)) = parse_media(datagram) {
            if let Some(report) = report {
                phone.port.receive_report(now, report);
            }
            return ctx.count(DropReason::RtcpIn);
        }
        if let Err(reason) = phone.port.receive(now, datagram) {
            ctx.count(reason);
        }
        drain_port(ctx, port, phone, now);
        self.pass_on(ctx, now, port);
    }

    /// Return when the earliest work is to be done.
    #[must_use]
    pub fn next_timer(&self) -> Option<Micros> {
        self.next_work().map(|(at, _)| at)
    }

    /// Do the earliest work, as of its own time. `now` is only looked at to skip slots after a stall of more than 8.
    pub fn run_next(&mut self, ctx: &mut Context<'_>, now: Micros) {
        match self.next_work() {
            Some((at, Work::Tick(index))) => self.tick(ctx, index, at, now),
            Some((at, Work::Phone(port))) => {
                if let Some(phone) = self.ports.get_mut(&port) {
                    drain_port(ctx, port, phone, at);
                }
            }
            Some((at, Work::Play(port))) => self.play_next(ctx, port, at, now),
            None => {}
        }
    }

    /// Obey the control plane.
    ///
    /// # Errors
    /// The command itself, where it is none of circuits and media of a box.
    pub fn command(&mut self, ctx: &mut Context<'_>, now: Micros, command: Command) -> Result<(), Command> {
        let done = match command {
            Command::Open { link, circuit, handshake } => self.open(link, circuit, handshake),
            Command::AddHop { link, circuit, forward_key, backward_key } => self.own(link, circuit).is_some_and(|own| own.add_hop(&forward_key, &backward_key)),
            Command::Say { link, circuit, hop, kind, payload, every, times } => {
                self.own(link, circuit).is_some_and(|own| own.say(hop, kind, payload, every, times))
            }
            Command::Hush { link, circuit } => self.own(link, circuit).map(OwnCircuit::hush).is_some(),
            Command::Shift { link, delay_us } => self.shift(link, delay_us),
            Command::Attach { link, circuit, next_link } => self.attach((link, circuit), next_link),
            Command::SettleOwn { link, circuit, step_us } => self.settle_own(link, circuit, step_us),
            Command::Speak { link, circuit, send_key, receive_keys } => {
                self.own(link, circuit).is_some_and(|own| own.speak(now, send_key.as_ref(), &receive_keys))
            }
            Command::Couple { link, circuit, spare_link, spare_circuit } => self.couple((link, circuit), (spare_link, spare_circuit)),
            Command::ChannelSend { link, circuit, message } => {
                self.index_of(link).into_iter().for_each(|index| self.fetch_talk(index));
                self.own(link, circuit).is_some_and(|own| own.channel_send(&message))
            }
            Command::Quiet { link, circuit } => self.quiet(link, circuit),
            Command::Close { link, circuit } => self.close(ctx, link, circuit),
            Command::BundleOpen { bundle } => self.bundle_open(now, bundle),
            Command::BundleBind { bundle, link, circuit } => self.bundle_bind(now, bundle, (link, circuit)),
            Command::BundleClose { bundle } => self.bundle_close(bundle),
            Command::MediaOpen { port } => self.media_open(ctx, now, port),
            Command::MediaRemote { port, codec, payload_type, event_payload_type } => self.phone(port).is_some_and(|phone| {
                let codec = Codec::from_code(codec).filter(|_| payload_type < 128 && event_payload_type.is_none_or(|event| event < 128));
                codec.map(|codec| phone.port.set_remote(now, Remote { codec, payload_type, event_payload_type })).is_some()
            }),
            Command::MediaPackets { port, packet_ms } => self.phone(port).is_some_and(|phone| phone.port.set_packets(packet_ms)),
            Command::MediaDirection { port, to_phone, from_phone } => self.phone(port).is_some_and(|phone| {
                phone.joined.iter_mut().for_each(Joined::interrupt);
                phone.port.set_direction(to_phone, from_phone);
                true
            }),
            Command::MediaBind { port, link, circuit, codec } => self.media_bind(port, (link, circuit), codec),
            Command::MediaJoin { port, other, codec } => self.media_join(port, other, codec),
            Command::MediaPlay { port, codec, frame_octets, frames } => self.media_play(now, port, codec, frame_octets, frames),
            Command::MediaTape { port, slots } => {
                slots <= MAX_TAPED_SLOTS && self.phone(port).is_some_and(|phone| phone.port.set_tape((slots > 0).then(|| Tape::new(slots))))
            }
            Command::MediaUnbind { port } => self.media_unbind(port),
            Command::MediaDigit { port, code, duration_ms } => self.phone(port).is_some_and(|phone| phone.port.digit(now, code, duration_ms)),
            Command::MediaClose { port } => self.media_unbind(port) && self.ports.remove(&port).is_some(),
            other @ (Command::Accept { .. } | Command::Refuse { .. } | Command::Extend { .. } | Command::RefuseExtend { .. } | Command::AnswerAsk { .. }) => {
                return Err(other)
            }
        };
        if !done {
            ctx.count(DropReason::BadCommand);
        }
        Ok(())
    }

    fn index_of(&self, link: LinkId) -> Option<usize> {
        self.links.iter().position(|access| access.link == link)
    }

    fn own(&mut self, link: LinkId, circuit: CircId) -> Option<&mut OwnCircuit> {
        let access = self.links.iter_mut().find(|access| access.link == link)?;
        access.circuit.as_mut().filter(|own| own.name.1 == circuit)
    }

    fn phone(&mut self, port: PortId) -> Option<&mut PhonePort> {
        self.ports.get_mut(&port)
    }

    fn next_work(&self) -> Option<(Micros, Work)> {
        let ticks = self.links.iter().enumerate().map(|(index, access)| (access.next_tick.saturating_sub(COMPOSE_AHEAD_US), Work::Tick(index)));
        let phones = self.ports.iter().filter_map(|(port, phone)| Some((phone.port.next_timer()?, Work::Phone(*port))));
        let played = self.ports.iter().filter_map(|(port, phone)| Some((phone.playing.as_ref()?.next_timer(), Work::Play(*port))));
        // min_by_key takes the first of equal ones: ticks before phones, links in the order in which they came up.
        ticks.chain(phones).chain(played).min_by_key(|(at, _)| *at)
    }

    /// Put together what leaves at the link's next tick, and set the one after.
    fn tick(&mut self, ctx: &mut Context<'_>, index: usize, composed_at: Micros, now: Micros) {
        let (tick_us, stride) = (self.tick_us(), self.stride);
        let access = &mut self.links[index];
        let stalled = now.saturating_sub(composed_at);
        if stalled > LONGEST_CATCH_UP_US {
            let slots = stalled.div_ceil(tick_us) * Micros::from(stride);
            access.next_tick += slots * SLOT_US;
            access.nominal_tick += slots * SLOT_US;
            access.clock.skip(slots);
            access.number = access.number.wrapping_add(slots as u32); // modulo 2^32, as the number is
            if let Some(own) = &mut access.circuit {
                own.skip_slots(slots);
            }
            return ctx.count(DropReason::SlotsSkipped);
        }
        self.fetch_talk(index);
        let access = &mut self.links[index];
        let filler = ctx.random_body();
        let number = Slot(access.number);
        let mut composed = None;
        let silent = is_on(Switch::ChaffOff) && access.circuit.as_ref().is_none_or(OwnCircuit::says_nothing);
        if let Some(own) = &mut access.circuit {
            own.tell_silence(ctx, composed_at);
            let mut phone = own.port.and_then(|port| self.ports.get_mut(&port));
            let bundle = own.bundle.and_then(|bundle| self.bundles.get_mut(&bundle)).map(|its| its.in_slot(composed_at));
            if bundle.as_ref().is_some_and(|bundle| bundle.wants_fast()) {
                own.want_fast();
            }
            let carried = Carried { port: phone.as_mut().map(|phone| &mut phone.port), bundle };
            composed = own.compose(composed_at, number, &filler, carried).map(|body| (own.name.1, body));
            if let Some(phone) = phone {
                phone.port.take_drops().into_iter().for_each(|reason| ctx.count(reason));
            }
        }
        let (circuit, body) = composed.unwrap_or((CONTROL, filler));
        if access.number % 2 == 0 && access.circuit.as_ref().is_some_and(OwnCircuit::in_call) {
            note_real(access.next_tick);
        }
        let paused = is_on(Switch::Dtx) && access.circuit.as_ref().is_some_and(OwnCircuit::is_silent);
        if !silent && !paused {
            ctx.send(access.link, serialise_cell(circuit, number, &body), access.next_tick);
        }
        let step_us = access.shift_left_us.min(SHIFT_PER_SLOT_US * stride);
        access.shift_left_us -= step_us;
        let jumped_us = access.clock.tick(i64::from(stride));
        if let Some(own) = access.circuit.as_mut().filter(|_| jumped_us != 0) {
            own.jump(jumped_us);
        }
        access.nominal_tick += tick_us + Micros::from(step_us);
        access.next_tick = access.nominal_tick.saturating_add_signed(access.clock.dithered_us(ctx.random));
        access.number = access.number.wrapping_add(stride);
    }

    fn open(&mut self, link: LinkId, circuit: CircId, handshake: Vec<u8>) -> bool {
        let Some(access) = self.links.iter_mut().find(|access| access.link == link) else { return false };
        if access.circuit.is_some() || circuit.of_slots() == CONTROL || circuit.is_fast() || circuit.stride() != i64::from(self.stride) {
            return false;
        }
        access.circuit = OwnCircuit::new((link, circuit), handshake);
        access.circuit.is_some().then(|| access.clock.begin(false)).is_some()
    }

    fn settle_own(&mut self, link: LinkId, circuit: CircId, step_us: u32) -> bool {
        let done = self.own(link, circuit).is_some_and(|own| own.settle_own(step_us));
        self.links.iter_mut().filter(|access| done && access.link == link).for_each(|access| access.clock.begin(true));
        done
    }

    fn shift(&mut self, link: LinkId, delay_us: u32) -> bool {
        let fits = Micros::from(delay_us) <= self.tick_us();
        let Some(access) = self.links.iter_mut().find(|access| access.link == link).filter(|_| fits) else { return false };
        access.shift_left_us = delay_us;
        true
    }

    /// Let one more circuit carry a call: the same counters, the same sound, one channel. What the first sends at a tick goes out on the spare's next.
    fn couple(&mut self, first: Name, spare: Name) -> bool {
        let place = |name: Name| {
            let index = self.index_of(name.0)?;
            let own = self.links[index].circuit.as_ref().filter(|own| own.name == name && !own.mates.is_full())?;
            Some((self.links[index].next_tick, own.counter()?, (own.port, own.bundle), own.mates))
        };
        let (Some((tick, counter, (port, bundle), mates)), Some((spare_tick, _, (None, None), of_spare))) = (place(first), place(spare)) else { return false };
        let last = if spare_tick < tick { counter.saturating_sub(u64::from(self.stride)) } else { counter };
        let fits = first.0 != spare.0 && of_spare.is_empty();
        if !fits || !self.own(spare.0, spare.1).is_some_and(|own| own.become_spare(last)) {
            return false;
        }
        for name in std::iter::once(first).chain(mates.iter()) {
            for (one, other) in [(name, spare), (spare, name)] {
                self.own(one.0, one.1).into_iter().for_each(|own| own.mates.add(other));
            }
        }
        self.own(spare.0, spare.1).into_iter().for_each(|own| (own.port, own.bundle) = (port, bundle));
        true
    }

    /// Let a coupled circuit have the channel that it shares with its mates.
    fn fetch_talk(&mut self, index: usize) {
        let Some(mates) = self.links[index].circuit.as_ref().map(|own| own.mates) else { return };
        let talk = mates.iter().find_map(|mate| self.own(mate.0, mate.1).and_then(OwnCircuit::take_talk));
        if let (Some(own), Some(talk)) = (&mut self.links[index].circuit, talk) {
            own.put_talk(talk);
        }
    }

    /// A coupled circuit goes: what it shared stays with the others, the oldest of which is the first from now on.
    fn uncouple(&mut self, index: usize) {
        let Some(own) = &mut self.links[index].circuit else { return };
        let (name, mates, was_spare) = (own.name, std::mem::take(&mut own.mates), std::mem::take(&mut own.is_spare));
        let Some(heir) = mates.iter().next() else { return };
        own.bundle = None;
        let (talk, port) = (own.take_talk(), own.port.take());
        for mate in mates.iter() {
            self.own(mate.0, mate.1).into_iter().for_each(|other| other.mates.remove(name));
        }
        if let Some(other) = self.own(heir.0, heir.1) {
            other.is_spare &= was_spare;
            talk.into_iter().for_each(|talk| other.put_talk(talk));
        }
        if let Some(phone) = port.and_then(|port| self.ports.get_mut(&port)) {
            phone.bound = Some(heir);
        }
    }

    fn quiet(&mut self, link: LinkId, circuit: CircId) -> bool {
        let Some(index) = self.index_of(link).filter(|_| self.own(link, circuit).is_some()) else { return false };
        self.uncouple(index);
        let Some(own) = self.own(link, circuit) else { return false };
        own.quiet();
        let carried = (own.port, own.bundle);
        self.unbind(carried);
        true
    }

    fn unbind(&mut self, (port, bundle): (Option<PortId>, Option<BundleId>)) {
        if let Some(port) = port {
            self.media_unbind(port);
        }
        if let Some(bundle) = bundle {
            self.bundle_unbind(bundle);
        }
    }

    fn close(&mut self, ctx: &mut Context<'_>, link: LinkId, circuit: CircId) -> bool {
        let Some(index) = self.index_of(link).filter(|_| self.own(link, circuit).is_some()) else { return false };
        self.end_circuit(ctx, index, true);
        true
    }

    fn end_circuit(&mut self, ctx: &mut Context<'_>, index: usize, tell: bool) {
        self.uncouple(index);
        let Some(own) = self.links[index].circuit.take() else { return };
        self.unbind((own.port, own.bundle));
        if tell {
            let (link, circuit) = own.name;
            ctx.event(Event::Ended { link, circuit });
        }
    }

    /// Draws 54 octets.
    fn media_open(&mut self, ctx: &mut Context<'_>, now: Micros, port: PortId) -> bool {
        if self.ports.len() >= MAX_PORTS || self.ports.contains_key(&port) {
            return false;
        }
        let mut phones = Port::new(now, ctx.random);
        phones.set_stride(self.stride as usize);
        self.ports.insert(port, PhonePort { port: phones, bound: None, joined: None, playing: None });
        true
    }

    fn media_bind(&mut self, port: PortId, name: Name, codec: u8) -> bool {
        let Some(codec) = Codec::from_code(codec).filter(|_| self.ports.contains_key(&port)) else { return false };
        let Some(own) = self.own(name.0, name.1) else { return false };
        if let Some(before) = own.port.filter(|before| *before != port) {
            self.media_unbind(before);
        }
        self.media_unbind(port);
        self.set_port(name, Some(port));
        if let Some(phone) = self.ports.get_mut(&port) {
            phone.bound = Some(name);
            phone.port.bind(codec);
        }
        true
    }

    fn media_unbind(&mut self, port: PortId) -> bool {
        let Some(phone) = self.ports.get_mut(&port) else { return false };
        phone.port.unbind();
        phone.playing = None;
        let joined = phone.joined.take();
        if let Some(name) = phone.bound.take() {
            self.set_port(name, None);
        }
        joined.iter().for_each(|joined| self.part_from(joined));
        true
    }

    /// Say whose sound a circuit carries, and its mates.
    fn set_port(&mut self, name: Name, port: Option<PortId>) {
        let Some(own) = self.own(name.0, name.1) else { return };
        own.port = port;
        let mates = own.mates;
        for mate in mates.iter() {
            self.own(mate.0, mate.1).into_iter().for_each(|other| other.port = port);
        }
    }
}

/// Hand out what a port has to send or to tell by `at`.
fn drain_port(ctx: &mut Context<'_>, port: PortId, phone: &mut PhonePort, at: Micros) {
    while let Some(output) = phone.port.poll(at) {
        match output {
            PortOutput::Send { rtcp, datagram, at } => ctx.outputs.push_back(Output::SendRtp { port, rtcp, datagram, at }),
            PortOutput::Taped { entries } => ctx.event(Event::Taped { port, entries }),
            PortOutput::Digit { code, duration_ms } => ctx.event(Event::Digit { port, code, duration_ms }),
        }
    }
    phone.port.take_drops().into_iter().for_each(|reason| ctx.count(reason));
}
