//! The relay's side of a node: its links and the circuits through it (PROTOCOL.md §5.2, §6).
//!
//! Finds the hop a cell is for, turns the wheel, carries out what owners and the control plane ask. What a hop does is in [`crate::hop`], what a
//! junction keeps in [`crate::junction`]. Driven by [`crate::node`]. Everything is bounded by `max_circuits` and PROTOCOL.md §6.3.

use crate::cell::{parse_cell, serialise_cell, Body, Cell};
use crate::context::Context;
use crate::creates::{Creates, Heard};
use crate::drop_reason::DropReason;
use crate::hop::{Accepted, BrokeProtocol, Hop, Next, Place, Request, Role};
use crate::ids::{slot_until, CircId, LinkId, Micros, Slot, CONTROL};
use crate::io::{Command, Event, LinkKind};
use crate::jitter::Jitter;
use crate::junction::{HopIndex, Junction, Ticket};
use crate::keyed_map::{HashKey, KeyedMap};
use crate::lab::{is_on, Switch};
use crate::slots::{ceil_grid, step_of, COMPOSE_US, GRID_US, SLOT};
use crate::speech::{serialise_short, Carousel, Kind, CREATE_NUMBER, HANDSHAKE_OCTETS};
use crate::wheel::{Entry, Turn, Wheel};

mod fast;

/// Idle circuits and old creates are looked for so often.
const SWEEP_US: u64 = 1_000_000;
/// A circuit without a cell from before ends after so long: 3 000 slots.
const IDLE_US: u64 = 60_000_000;
/// The guard's first tick comes so long after the box's first cell.
const FIRST_TICK_US: i64 = 10_000;
/// What a stalled node makes up for; older slots are left out.
const STALL_US: i64 = 160_000;
/// `not extended`: no such link.
const REASON_NO_LINK: u8 = 1;
/// `not extended`: the circuit number is taken on that link, or 0, or says another stride.
const REASON_NUMBER_TAKEN: u8 = 2;

/// Which side of a hop a place is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    Behind,
}

/// A link, as a relay sees it. Tick, hop and refusal only where a box is at its other end.
struct Link {
    kind: LinkKind,
    order: u64,
    places: KeyedMap<u32, (HopIndex, Side)>,
    creates: Creates,
    tick_us: Option<i64>,
    hop: Option<HopIndex>,
    refusal: Option<(CircId, Body)>,
    jitter: Jitter,
    /// Slots from one of its ticks to the next: 2 from the first create of a metered circuit on, or from when one was attached.
    stride: i64,
}

/// The relay's side of a node.
pub struct Relay {
    max_circuits: usize,
    key: HashKey,
    junction: Junction,
    links: KeyedMap<u32, Link>,
    /// Circuits of which this relay is the guard, by number, which boxes draw at random; of two of one number the later.
    guarded: KeyedMap<u32, HopIndex>,
    hops: Vec<Option<Box<Hop>>>,
    free: Vec<HopIndex>,
    living: usize,
    creates: usize,
    serial: u64,
    wheel: Wheel,
    sweep_us: Option<u64>,
}

impl Relay {
    /// Begin without links. phase_us: the own phase (PROTOCOL.md §5.4), on the grid.
    #[must_use]
    pub fn new(max_circuits: usize, phase_us: i64, key: HashKey) -> Self {
        Self {
            max_circuits,
            key,
            junction: Junction::new(phase_us, key),
            links: key.map(),
            guarded: key.map(),
            hops: Vec::new(),
            free: Vec::new(),
            living: 0,
            creates: 0,
            serial: 0,
            wheel: Wheel::new(),
            sweep_us: None,
        }
    }

    /// Return how many circuits go through this relay.
    #[must_use]
    pub const fn circuits(&self) -> usize {
        self.living
    }

    // ---------------------------------------------------------------------------------------------------------- time

    /// Get ready for `now`: begin to sweep, and leave out what a stall has made too old.
    pub fn prepare(&mut self, now: Micros, context: &mut Context<'_>) {
        let sweep_us = *self.sweep_us.get_or_insert((now / SWEEP_US + 1) * SWEEP_US);
        let oldest_us = (now as i64 - STALL_US).div_euclid(GRID_US) * GRID_US;
        if self.wheel.next_us().is_some_and(|next_us| next_us < oldest_us) {
            context.count(DropReason::SlotsSkipped);
            self.wheel.done(oldest_us - GRID_US);
        }
        if (sweep_us as i64) < oldest_us {
            self.sweep_us = Some(oldest_us as u64 / SWEEP_US * SWEEP_US + SWEEP_US);
        }
    }

    /// Return when there is something to do.
    #[must_use]
    pub fn next_us(&self) -> Option<Micros> {
        let turn_us = self.wheel.next_us().map(|time_us| time_us.max(0) as u64);
        [turn_us, self.sweep_us].into_iter().flatten().min()
    }

    /// Do what is to be done at a time that [`Self::next_us`] returned.
    pub fn run(&mut self, time_us: Micros, context: &mut Context<'_>) {
        if self.sweep_us == Some(time_us) {
            self.sweep(time_us, context);
            self.sweep_us = Some(time_us + SWEEP_US);
        }
        let grid_us = time_us as i64;
        if self.wheel.next_us() == Some(grid_us) {
            let mut entries = self.wheel.take(grid_us);
            entries.retain(|entry| self.run_entry(*entry, grid_us + COMPOSE_US, context));
            self.wheel.put_back(grid_us, entries);
        }
        self.idle_until(time_us);
    }

    /// Note that nothing is left to be done up to a time.
    pub fn idle_until(&mut self, now: Micros) {
        self.wheel.done(now as i64);
    }

    /// Put together what is due; false where the entry is not wanted any more.
    fn run_entry(&mut self, entry: Entry, due_us: i64, context: &mut Context<'_>) -> bool {
        match entry {
            Entry::Tick(order, link) => self.run_tick(order, LinkId(link), due_us, context),
            Entry::Hop(serial, turn, index) => self.run_hop(serial, turn, index, due_us, context),
        }
    }

    fn run_hop(&mut self, serial: u64, turn: Turn, index: HopIndex, due_us: i64, context: &mut Context<'_>) -> bool {
        let Some(hop) = self.hops.get_mut(index as usize).and_then(Option::as_deref_mut).filter(|hop| hop.serial == serial) else { return false };
        match turn {
            Turn::Forward => hop.run_forward(due_us, context),
            Turn::Asking => {
                let (again, given_up) = hop.run_asking(due_us, context);
                self.forget_place(given_up);
                again
            }
            Turn::Backward => {
                let slot = match hop.turn_backward(due_us) {
                    Ok(slot) => slot,
                    Err(again) => return again,
                };
                let mate = hop.splice.as_ref().map(|splice| (splice.mate, slot - splice.offset));
                let body = mate.and_then(|(mate, slot)| self.hop(mate)?.forward_body(slot).copied());
                let passed = is_on(Switch::PassThrough) && mate.is_some();
                if let Some(hop) = self.hop_mut(index).filter(|_| !passed) {
                    hop.run_backward(slot, due_us, body.as_ref(), context);
                }
                true
            }
        }
    }

    /// Send one cell towards the box (PROTOCOL.md §5.2).
    fn run_tick(&mut self, order: u64, link_id: LinkId, due_us: i64, context: &mut Context<'_>) -> bool {
        let Some(link) = self.links.get_mut(&link_id.0).filter(|link| link.order == order) else { return false };
        let Some(tick_us) = link.tick_us.filter(|tick_us| (tick_us - due_us) % SLOT == 0) else { return false };
        let hop = link.hop.and_then(|index| self.hops.get_mut(index as usize)?.as_deref_mut());
        let stride = hop.as_ref().map_or(link.stride, |hop| hop.stride);
        if tick_us > due_us || (due_us - tick_us) % (stride * SLOT) != 0 {
            return true;
        }
        link.tick_us = Some(due_us + stride * SLOT);
        let refusal = link.refusal.take();
        let hop = hop.filter(|_| refusal.is_none());
        let number = slot_until(due_us.div_euclid(SLOT), stride);
        let (circuit, slot, body) = match (refusal, hop.map(|hop| (hop.before.1, hop.tick(due_us, context)))) {
            (Some((circuit, body)), _) => (circuit, number, body),
            (None, Some((circuit, Some((slot, body))))) => (circuit, slot, body),
            (None, Some((_, None))) if is_on(Switch::FillOff) || is_on(Switch::PassThrough) => return true,
            (None, None | Some((_, None))) => (CONTROL, number, context.random_body()),
        };
        context.send(link_id, serialise_cell(circuit, Slot::of(slot), &body), due_us as Micros);
        true
    }

    /// End circuits without a cell from before, forget creates that nobody finished or answered (PROTOCOL.md §6.3).
    fn sweep(&mut self, now: Micros, context: &mut Context<'_>) {
        let idle = self.in_order(|hop| now - hop.last_cell_us > IDLE_US);
        for index in idle {
            self.end(index, context);
        }
        for link in self.links.values_mut() {
            link.creates.expire(now);
        }
        self.count_creates();
    }

    fn count_creates(&mut self) {
        self.creates = self.links.values().map(|link| link.creates.count()).sum();
    }

    // --------------------------------------------------------------------------------------------------------- links

    /// A link stands.
    pub fn link_up(&mut self, link: LinkId, kind: LinkKind, context: &mut Context<'_>) {
        if self.links.contains_key(&link.0) {
            return context.count(DropReason::BadCommand);
        }
        self.serial += 1;
        let creates = Creates::new(kind, self.key);
        let (order, places, jitter) = (self.serial, self.key.map(), Jitter::default());
        self.links.insert(link.0, Link { kind, order, places, creates, tick_us: None, hop: None, refusal: None, jitter, stride: 1 });
    }

    /// Return the step that each link's jitter asks for, where enough cells came.
    pub fn jitter(&self) -> impl Iterator<Item = (LinkId, i64)> + '_ {
        self.links.iter().filter_map(|(link, state)| Some((LinkId(*link), state.jitter.step_us()?)))
    }

    /// Say whether a link is there.
    #[must_use]
    pub fn has_link(&self, link: LinkId) -> bool {
        self.links.contains_key(&link.0)
    }

    /// A link is gone: circuits that came over it end, circuits that went on over it lose their next hop.
    pub fn link_down(&mut self, link: LinkId, context: &mut Context<'_>) {
        let Some(gone) = self.links.remove(&link.0) else { return context.count(DropReason::UnknownLink) };
        self.creates -= gone.creates.count();
        let mut touched: Vec<(u64, HopIndex)> = gone.places.values().filter_map(|(index, _)| Some((self.hop(*index)?.serial, *index))).collect();
        touched.sort_unstable();
        touched.dedup();
        for (_, index) in touched {
            let Some(hop) = self.hop_mut(index) else { continue };
            if hop.before.0 == link {
                self.end(index, context);
            } else {
                hop.lose_next();
            }
        }
    }

    // --------------------------------------------------------------------------------------------------------- cells

    /// A cell came on one of the relay's links.
    pub fn cell(&mut self, now: Micros, link_id: LinkId, cell: &Cell, context: &mut Context<'_>) {
        let Some(link) = self.links.get_mut(&link_id.0) else { return context.count(DropReason::UnknownLink) };
        if link.kind == LinkKind::AccessGuard && link.tick_us.is_none() {
            let tick_us = ceil_grid(now as i64 + FIRST_TICK_US);
            link.tick_us = Some(tick_us);
            self.wheel.arm(Entry::Tick(link.order, link_id.0), tick_us);
        }
        let (circuit, number, body) = parse_cell(cell);
        if circuit == CONTROL {
            return context.count(DropReason::ControlIn);
        }
        let slot = number.unwrap_near(now);
        let found = link.places.get(&circuit.0).copied();
        let hop = found.and_then(|(index, side)| Some((self.hops.get(index as usize)?.as_deref()?, side)));
        if let Some(late_us) = hop.and_then(|(hop, side)| hop.late_us(side == Side::Before, slot, now)) {
            link.jitter.note(late_us);
        }
        match found {
            Some((index, Side::Before)) => self.forward(now, index, slot, &body, context),
            Some((index, Side::Behind)) => self.backward(now, index, slot, &body, context),
            None => match self.attach((link_id, circuit), slot, &body) {
                Some(index) => self.forward(now, index, slot, &body, context),
                None => self.create(now, (link_id, circuit), number, &body, context),
            },
        }
    }

    /// Let a circuit of this number go on over another access link, which has none, where its owner says so (PROTOCOL.md §6.5). Return it.
    fn attach(&mut self, place: Place, slot: i64, body: &Body) -> Option<HopIndex> {
        self.links.get(&place.0 .0).filter(|link| link.kind == LinkKind::AccessGuard && link.hop.is_none())?;
        let index = *self.guarded.get(&place.1 .0)?;
        let hop = self.hop_mut(index).filter(|hop| hop.is_attach(slot, body))?;
        let (former, stride) = (hop.before, hop.stride);
        hop.move_to(place);
        self.forget_place(Some(former));
        if let Some(link) = self.links.get_mut(&former.0 .0) {
            link.hop = None;
        }
        let link = self.links.get_mut(&place.0 .0)?;
        link.places.insert(place.1 .0, (index, Side::Before));
        (link.hop, link.stride) = (Some(index), stride);
        Some(index)
    }

    fn create(&mut self, now: Micros, place: Place, number: Slot, body: &Body, context: &mut Context<'_>) {
        let room = self.living + self.creates < self.max_circuits;
        let Some(link) = self.links.get_mut(&place.0 .0) else { return };
        let count = link.creates.count();
        let heard = link.creates.take(place.1 .0, body, now, room);
        let begun = link.creates.count() - count;
        self.creates += begun;
        if begun > 0 {
            link.stride = link.stride.max(place.1.stride());
        }
        match heard {
            Err(reason) => context.count(reason),
            Ok(Heard::Nothing) => {}
            Ok(Heard::Ask(handshake)) => context.event(Event::Create { link: place.0, circuit: place.1, handshake }),
            Ok(Heard::Refuse { number: create_number, reason }) => {
                let said = serialise_short(Kind::Refused, create_number, &[reason]);
                if link.kind == LinkKind::AccessGuard {
                    link.refusal = Some((place.1, said));
                } else {
                    context.send(place.0, serialise_cell(place.1, number, &said), now);
                }
            }
        }
    }

    fn forward(&mut self, now: Micros, index: HopIndex, slot: i64, body: &Body, context: &mut Context<'_>) {
        let phase_us = self.junction.phase_us;
        let Some(hop) = self.hop_mut(index) else { return };
        let Some(taken) = hop.take_forward(now, slot, body, context) else { return };
        let spoken = crate::cell::shows_zeros(&taken.body);
        if spoken {
            match hop.hear((now, slot), &taken.body, phase_us, context) {
                Ok(None) => {}
                Ok(Some(request)) => self.obey(now, index, slot, request, context),
                Err(BrokeProtocol) => {
                    context.count(DropReason::BrokeProtocol);
                    return self.end(index, context);
                }
            }
        }
        if is_on(Switch::PassThrough) {
            self.pass_to_mate(now, index, slot, &taken.body, context);
        }
        let Some(hop) = self.hop_mut(index) else { return };
        if let Some(due_us) = hop.pass_forward(now, slot, &taken, spoken, context) {
            let entry = Entry::Hop(hop.serial, Turn::Forward, index);
            self.wheel.arm(entry, due_us);
        }
    }

    /// What a junction without due times does with a cell of a splice.
    fn pass_to_mate(&mut self, now: Micros, index: HopIndex, slot: i64, body: &Body, context: &mut Context<'_>) {
        let Some(mate) = self.hop(index).and_then(|hop| Some(hop.splice.as_ref()?.mate)) else { return };
        let Some(offset) = self.hop(mate).and_then(|hop| Some(hop.splice.as_ref()?.offset)) else { return };
        if let Some(hop) = self.hop_mut(mate) {
            hop.run_backward(slot + offset, now as i64, Some(body), context);
        }
    }

    fn obey(&mut self, now: Micros, index: HopIndex, slot: i64, request: Request, context: &mut Context<'_>) {
        let refusal = match request {
            Request::Extend(payload) => {
                self.ask_extend(index, &payload, context);
                None
            }
            Request::Tokens(payload) => {
                self.junction.leave(&mut self.hops, index, &payload);
                None
            }
            Request::Knock(payload) => {
                let mut ticket = Ticket::default();
                context.random.fill(&mut ticket);
                self.junction.knock(&mut self.hops, index, (slot, now), &payload, ticket)
            }
            Request::Join(payload) => self.junction.join(&mut self.hops, index, now, &payload),
            Request::Part(payload) => {
                self.junction.part(&mut self.hops, index, &payload);
                None
            }
            Request::Ask(number, payload) => {
                if let Some((link, circuit)) = self.hop(index).map(|hop| hop.before) {
                    context.event(Event::Ask { link, circuit, number, payload });
                }
                None
            }
        };
        if let Some(reason) = refusal {
            context.count(reason);
        }
    }

    fn ask_extend(&self, index: HopIndex, payload: &[u8], context: &mut Context<'_>) {
        let Some((link, circuit)) = self.hop(index).map(|hop| hop.before) else { return };
        let Some((relay_id, rest)) = payload.split_first_chunk::<32>() else { return };
        let Some((next_circuit, handshake)) = rest.split_first_chunk::<4>() else { return };
        let next_circuit = CircId(u32::from_be_bytes(*next_circuit));
        context.event(Event::Extend { link, circuit, relay_id: *relay_id, next_circuit, handshake: handshake.to_vec() });
    }

    fn backward(&mut self, now: Micros, index: HopIndex, slot: i64, body: &Body, context: &mut Context<'_>) {
        let Some(hop) = self.hops.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        if matches!(hop.next, Next::Making { .. }) {
            let forgotten = hop.take_created(body, context);
            return self.forget_place(forgotten);
        }
        let before = hop.before.0;
        let last_tick_us = self.links.get(&before.0).and_then(|link| Some(link.tick_us? - hop.stride * SLOT)).unwrap_or(0);
        if let Some(tick_us) = hop.take_backward(now, slot, body, last_tick_us, context) {
            if let Some(link) = self.links.get_mut(&before.0) {
                link.tick_us = Some(tick_us);
                self.wheel.arm(Entry::Tick(link.order, before.0), tick_us);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------ commands

    /// Obey the control plane; what names something that is not there, or does not fit, is counted.
    pub fn command(&mut self, now: Micros, command: Command, context: &mut Context<'_>) {
        let done = match command {
            Command::Accept { link, circuit, forward_key, backward_key, created, junction, forward_step_us, backward_step_us } => {
                let (keys, phase_us) = ([&forward_key, &backward_key], self.junction.phase_us);
                step_of(forward_step_us).zip(step_of(backward_step_us)).and_then(|(forward, backward)| {
                    let accepted = Accepted { keys, created: &created, create_number: 0, steps_us: [forward, backward], phase_us };
                    self.accept(now, (link, circuit), accepted, junction, context)
                })
            }
            Command::Refuse { link, circuit, reason } => self.links.get_mut(&link.0).and_then(|link| link.creates.refuse(circuit.0, reason)),
            Command::Extend { link, circuit, next_link, next_circuit, handshake } => {
                self.asked((link, circuit)).and_then(|index| self.extend(now, index, (next_link, next_circuit), handshake))
            }
            Command::RefuseExtend { link, circuit, reason } => {
                self.asked((link, circuit)).and_then(|index| self.hop_mut(index)).map(|hop| hop.refuse_extend(reason))
            }
            Command::AnswerAsk { payload, .. } if payload.len() != Kind::Answered.payload_octets() => None,
            Command::AnswerAsk { link, circuit, number, payload } => {
                if !self.at((link, circuit)).and_then(|index| self.hop_mut(index)).is_some_and(|hop| hop.answer_ask(number, payload)) {
                    context.count(DropReason::AnswerLate);
                }
                Some(())
            }
            Command::Open { .. }
            | Command::AddHop { .. }
            | Command::Say { .. }
            | Command::Hush { .. }
            | Command::Shift { .. }
            | Command::Attach { .. }
            | Command::SettleOwn { .. }
            | Command::Speak { .. }
            | Command::Couple { .. }
            | Command::ChannelSend { .. }
            | Command::Quiet { .. }
            | Command::Close { .. }
            | Command::BundleOpen { .. }
            | Command::BundleBind { .. }
            | Command::BundleClose { .. }
            | Command::MediaOpen { .. }
            | Command::MediaRemote { .. }
            | Command::MediaPackets { .. }
            | Command::MediaDirection { .. }
            | Command::MediaBind { .. }
            | Command::MediaJoin { .. }
            | Command::MediaPlay { .. }
            | Command::MediaTape { .. }
            | Command::MediaUnbind { .. }
            | Command::MediaDigit { .. }
            | Command::MediaClose { .. } => None,
        };
        if done.is_none() {
            context.count(DropReason::BadCommand);
        }
    }

    fn accept(&mut self, now: Micros, place: Place, mut accepted: Accepted<'_>, junction: bool, context: &mut Context<'_>) -> Option<()> {
        let link = self.links.get_mut(&place.0 .0)?;
        accepted.create_number = link.creates.accept(place.1 .0)?;
        let (guard, former) = (link.kind == LinkKind::AccessGuard, link.hop);
        self.creates -= 1;
        if let Some(former) = former {
            // A box has one circuit on its access link; the new one takes its place.
            self.end(former, context);
        }
        self.serial += 1;
        let role = match (guard, junction) {
            (true, _) => Role::Guard,
            (false, true) => Role::Junction,
            (false, false) => Role::Middle,
        };
        let hop = Box::new(Hop::new(self.serial, place, role, &accepted, now));
        let head = hop.head();
        let index = self.free.pop().unwrap_or_else(|| {
            self.hops.push(None);
            self.hops.len() as HopIndex - 1
        });
        self.hops[index as usize] = Some(hop);
        self.living += 1;
        if let Some((_, due_us)) = head {
            self.wheel.arm(Entry::Hop(self.serial, Turn::Backward, index), due_us);
        }
        let link = self.links.get_mut(&place.0 .0)?;
        link.places.insert(place.1 .0, (index, Side::Before));
        link.hop = guard.then_some(index);
        if guard {
            self.guarded.insert(place.1 .0, index);
        }
        Some(())
    }

    /// Return the hop whose circuit towards its owner has this name.
    fn at(&self, place: Place) -> Option<HopIndex> {
        self.links.get(&place.0 .0)?.places.get(&place.1 .0).filter(|(_, side)| *side == Side::Before).map(|(index, _)| *index)
    }

    /// Return the hop that waits for the control plane's answer to its owner's extend.
    fn asked(&self, place: Place) -> Option<HopIndex> {
        self.at(place).filter(|index| self.hop(*index).is_some_and(|hop| matches!(hop.next, Next::Asked)))
    }

    fn extend(&mut self, now: Micros, index: HopIndex, behind: Place, handshake: Vec<u8>) -> Option<()> {
        if handshake.len() != HANDSHAKE_OCTETS {
            return None;
        }
        let create = Carousel::new(Kind::Create as u8, CREATE_NUMBER, handshake)?;
        let stride = self.hop(index)?.stride;
        let reason = match self.links.get_mut(&behind.0 .0) {
            Some(link) if link.kind == LinkKind::Relay => {
                let taken = behind.1.of_slots() == CONTROL
                    || behind.1.is_fast()
                    || behind.1.stride() != stride
                    || link.places.contains_key(&behind.1 .0)
                    || link.creates.has(behind.1 .0);
                if !taken {
                    link.places.insert(behind.1 .0, (index, Side::Behind));
                }
                taken.then_some(REASON_NUMBER_TAKEN)
            }
            Some(_) | None => Some(REASON_NO_LINK),
        };
        let phase_us = self.junction.phase_us;
        let hop = self.hop_mut(index)?;
        match reason {
            Some(reason) => hop.refuse_extend(reason),
            None => {
                let due_us = hop.make_next(now, phase_us, behind, create);
                let entry = Entry::Hop(hop.serial, Turn::Asking, index);
                self.wheel.arm(entry, due_us);
            }
        }
        Some(())
    }

    /// Forget a circuit, at once and without a word (PROTOCOL.md §6.4).
    fn end(&mut self, index: HopIndex, context: &mut Context<'_>) {
        self.junction.forget(&mut self.hops, index);
        let Some(hop) = self.hops.get_mut(index as usize).and_then(Option::take) else { return };
        self.free.push(index);
        self.living -= 1;
        self.forget_place(Some(hop.before));
        self.forget_place(hop.behind());
        if let Some(link) = self.links.get_mut(&hop.before.0 .0).filter(|link| link.hop == Some(index)) {
            link.hop = None;
        }
        if self.guarded.get(&hop.before.1 .0) == Some(&index) {
            self.guarded.remove(&hop.before.1 .0);
        }
        context.event(Event::CircuitEnded { link: hop.before.0, circuit: hop.before.1 });
    }

    fn forget_place(&mut self, place: Option<Place>) {
        if let Some((link, circuit)) = place {
            if let Some(link) = self.links.get_mut(&link.0) {
                link.places.remove(&circuit.0);
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------------- hops

    fn hop(&self, index: HopIndex) -> Option<&Hop> {
        self.hops.get(index as usize)?.as_deref()
    }

    fn hop_mut(&mut self, index: HopIndex) -> Option<&mut Hop> {
        self.hops.get_mut(index as usize)?.as_deref_mut()
    }

    /// Return the hops of which something is true, in the order in which they were accepted.
    fn in_order(&self, wanted: impl Fn(&Hop) -> bool) -> Vec<HopIndex> {
        let mut found: Vec<(u64, HopIndex)> =
            (0..).zip(&self.hops).filter_map(|(index, hop)| Some((hop.as_deref().filter(|hop| wanted(hop))?.serial, index))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, index)| index).collect()
    }
}
