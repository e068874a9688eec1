//! The whole node behind one machine: a relay's side and a box's side, driven by the same inputs.
//!
//! Links whose box this node is belong to [`crate::owner`], all others to [`crate::relay`]; time and order are settled here.

use crate::cell::{circuit_of, is_out_of_stride, Cell};
use crate::context::Context;
use crate::drop_reason::{Counters, DropReason};
use crate::ids::{BundleId, LinkId, Micros};
use crate::io::{Command, Input, LinkKind, Output};
use crate::keyed_map::HashKey;
use crate::owner::Owner;
use crate::random::{draw_u32, RandomSource};
use crate::relay::Relay;
use crate::slots::{GRID_US, SLOT};
use crate::streams::{Bundle, StreamEvent};
use std::collections::VecDeque;

/// Fast cells of other nodes that wait to leave, at most: 1 MiB. What comes when so many wait is dropped, which whoever sends it takes for congestion.
pub const MAX_PASSING_CELLS: usize = 4_096;

/// What is set when a node starts.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Circuits through this relay, those being made included (PROTOCOL.md §6.3).
    pub max_circuits: usize,
    /// Whether this node's own circuits are metered (PROTOCOL.md §5.7).
    pub metered: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_circuits: 4_096, metered: false }
    }
}

/// The machine. Mutate once with [`Self::handle`], then drain with [`Self::poll`].
pub struct Core {
    random: Box<dyn RandomSource>,
    outputs: VecDeque<Output>,
    counters: Counters,
    relay: Relay,
    owner: Owner,
    /// Fast cells of other nodes that wait to leave.
    passing: VecDeque<(LinkId, Cell)>,
    now: Micros,
}

impl Core {
    /// Begin without links. Draws 20 octets: the own phase (PROTOCOL.md §5.4) and the key of the hash tables.
    #[must_use]
    pub fn new(config: Config, mut random: Box<dyn RandomSource>) -> Self {
        let phase_us = i64::from(draw_u32(random.as_mut())) % (SLOT / GRID_US) * GRID_US;
        let mut key = [0; 16];
        random.fill(&mut key);
        Self {
            random,
            outputs: VecDeque::new(),
            counters: Counters::new(),
            relay: Relay::new(config.max_circuits, phase_us, HashKey::new(key)),
            owner: Owner::new(config.metered),
            passing: VecDeque::new(),
            now: 0,
        }
    }

    /// Do what is due at or before `now`, then take one input. A time before the last one is taken as the last one.
    pub fn handle(&mut self, now: Micros, input: Input<'_>) {
        let now = now.max(self.now);
        self.now = now;
        let mut context = Context { random: self.random.as_mut(), outputs: &mut self.outputs, counters: &mut self.counters };
        self.relay.prepare(now, &mut context);
        run_due(&mut self.relay, &mut self.owner, now, &mut context);
        match input {
            Input::Timer => {}
            Input::Cell { link, cell } => {
                context.count(DropReason::CellsIn);
                let is_own = self.owner.has_link(link);
                if circuit_of(cell).is_fast() && (is_own || self.relay.has_link(link)) {
                    self.fast_cell(now, link, cell, is_own);
                } else if is_out_of_stride(cell) && (is_own || self.relay.has_link(link)) {
                    context.count(DropReason::SlotOdd);
                } else if is_own {
                    self.owner.cell(&mut context, now, link, cell);
                } else {
                    self.relay.cell(now, link, cell, &mut context);
                }
            }
            Input::Rtp { port, datagram } => self.owner.rtp(&mut context, now, port, datagram),
            Input::LinkUp { link, kind } => self.link_up(now, link, kind),
            Input::LinkDown { link } => {
                if !self.owner.link_down(&mut context, link) {
                    self.relay.link_down(link, &mut context);
                }
            }
            Input::Command(command) => self.command(now, command),
        }
    }

    fn fast_cell(&mut self, now: Micros, link: LinkId, cell: &Cell, is_own: bool) {
        let taken = if is_own {
            self.owner.fast_cell(now, link, cell)
        } else {
            self.relay.fast_cell(now, link, cell).and_then(|passed| {
                let fits = self.passing.len() < MAX_PASSING_CELLS;
                self.passing.extend(fits.then_some(passed));
                if fits {
                    Ok(())
                } else {
                    Err(DropReason::FastFull)
                }
            })
        };
        taken.unwrap_or_else(|reason| self.counters.count(reason));
    }

    /// Return the next fast cell that may leave now, when no slot's cell is due: of other nodes first. `None` where there is none.
    ///
    /// Whoever drives the core asks for no more than the wire takes: what waits here is bounded, and what is asked for and not sent is lost.
    pub fn poll_fast(&mut self, now: Micros) -> Option<(LinkId, Cell)> {
        let cell = self.passing.pop_front().or_else(|| self.owner.poll_fast(now.max(self.now)))?;
        self.counters.count(DropReason::FastOut);
        Some(cell)
    }

    /// Return when there may be a fast cell; `None` while only what comes can change that.
    #[must_use]
    pub fn next_fast_us(&self) -> Option<Micros> {
        if self.passing.is_empty() {
            self.owner.next_fast_us()
        } else {
            Some(self.now)
        }
    }

    fn link_up(&mut self, now: Micros, link: LinkId, kind: LinkKind) {
        let mut context = Context { random: self.random.as_mut(), outputs: &mut self.outputs, counters: &mut self.counters };
        if self.owner.has_link(link) || self.relay.has_link(link) {
            return context.count(DropReason::BadCommand);
        }
        match kind {
            LinkKind::AccessOwner => self.owner.link_up(&mut context, now, link),
            LinkKind::AccessGuard | LinkKind::Relay => self.relay.link_up(link, kind, &mut context),
        }
    }

    fn command(&mut self, now: Micros, command: Command) {
        let mut context = Context { random: self.random.as_mut(), outputs: &mut self.outputs, counters: &mut self.counters };
        if let Err(command) = self.owner.command(&mut context, now, command) {
            self.relay.command(now, command, &mut context);
        }
    }

    /// Return the next thing to be done outside, `None` where there is nothing more.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Return when [`Self::handle`] is wanted at the latest.
    #[must_use]
    pub fn next_timer(&self) -> Option<Micros> {
        [self.relay.next_us(), self.owner.next_timer()].into_iter().flatten().min()
    }

    /// Return the totals since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Return a bundle, to write, read, open and reset its streams.
    pub fn bundle(&mut self, bundle: BundleId) -> Option<&mut Bundle> {
        self.owner.bundle(bundle)
    }

    /// Return the next thing that happened to a stream, `None` where there is nothing more.
    pub fn poll_streams(&mut self) -> Option<(BundleId, StreamEvent)> {
        self.owner.poll_streams()
    }

    /// Return a bundle that has something to say and no circuit, once until it has one.
    pub fn next_wanting(&mut self) -> Option<BundleId> {
        self.owner.next_wanting()
    }

    /// Return for how long nothing has waited to be said on a bundle; 0 where something does, or there is none.
    #[must_use]
    pub fn bundle_idle_us(&self, now: Micros, bundle: BundleId) -> Micros {
        self.owner.bundle_idle_us(now, bundle)
    }

    /// Return the de-jitter step that the jitter of each link asks for, where enough cells of settled directions came.
    #[must_use]
    pub fn jitter(&self) -> Vec<(LinkId, i64)> {
        self.relay.jitter().chain(self.owner.jitter()).collect()
    }

    /// Return how many circuits go through this relay.
    #[must_use]
    pub const fn circuits(&self) -> usize {
        self.relay.circuits()
    }
}

/// Do what is due, by time; at one time first the relay's work, then the box's.
fn run_due(relay: &mut Relay, owner: &mut Owner, now: Micros, context: &mut Context<'_>) {
    loop {
        let relay_us = relay.next_us().filter(|time_us| *time_us <= now);
        let owner_us = owner.next_timer().filter(|time_us| *time_us <= now);
        match (relay_us, owner_us) {
            (Some(relay_us), None) => relay.run(relay_us, context),
            (Some(relay_us), Some(owner_us)) if relay_us <= owner_us => relay.run(relay_us, context),
            (None | Some(_), Some(_)) => owner.run_next(context, now),
            (None, None) => break,
        }
    }
    relay.idle_until(now);
}
