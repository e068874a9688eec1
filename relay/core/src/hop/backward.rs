//! The backward direction of a hop: heads, the guard's tick, cells towards the owner (PROTOCOL.md §5.2, §5.3, §5.5).

use super::{fill, is_phase, is_turn, Backward, Forward, Hop, Next, Place};
use crate::cell::{serialise_cell, shows_zeros, Body};
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::ids::{slot_from, slot_until, Micros, Slot};
use crate::lab::{is_on, Switch};
use crate::slots::{Due, Ring, SLOT};
use std::collections::VecDeque;

/// Backward cells that wait for the guard's tick until it is settled.
const QUEUE_CELLS: usize = 8;

impl Hop {
    /// Return slot and time of the next cell of a head; `None` for any other hop.
    #[must_use]
    pub const fn head(&self) -> Option<(i64, i64)> {
        match &self.backward {
            Backward::Head { slot, at_us } => Some((*slot, *at_us)),
            Backward::Passing | Backward::Queue { .. } | Backward::Settled { .. } => None,
        }
    }

    /// Where it is a head's turn, return the slot that is due; otherwise whether the turn will come.
    pub fn turn_backward(&mut self, due_us: i64) -> Result<i64, bool> {
        let Backward::Head { slot, at_us } = &mut self.backward else { return Err(false) };
        let before_us = *at_us;
        if !is_turn(at_us, due_us, self.stride) {
            return Err(is_phase(*at_us, due_us));
        }
        let present = *slot + (due_us - before_us) / SLOT;
        *slot = present + self.stride;
        Ok(present)
    }

    /// Send a head's cell (PROTOCOL.md §5.5): own speech, the mate's body, or filler.
    pub fn run_backward(&mut self, slot: i64, due_us: i64, mate: Option<&Body>, context: &mut Context<'_>) {
        if let Some(body) = self.head_body(slot, mate, context) {
            context.send(self.before.0, serialise_cell(self.before.1, Slot::of(slot), &body), due_us as Micros);
        }
    }

    fn head_body(&mut self, slot: i64, mate: Option<&Body>, context: &mut Context<'_>) -> Option<Body> {
        if let Some(spoken) = self.speak(slot) {
            return Some(spoken);
        }
        match mate {
            Some(body) => Some(self.backward_cell(slot, body)),
            None if is_on(Switch::FillOff) => None,
            None => Some(fill(context)),
        }
    }

    pub(super) fn backward_cell(&self, slot: i64, body: &Body) -> Body {
        let mut body = *body;
        self.backward_layer.encipher(&Slot::of(slot).0.to_be_bytes(), &mut body);
        body
    }

    /// Return the settled forward due times.
    #[must_use]
    pub const fn forward_due(&self) -> Option<&Due> {
        match &self.forward {
            Forward::Settled { due, .. } => Some(due),
            Forward::Unsettled(_) => None,
        }
    }

    /// Junction: return the body that came forward under a slot.
    #[must_use]
    pub fn forward_body(&self, slot: i64) -> Option<&Body> {
        match &self.forward {
            Forward::Settled { ring, .. } => ring.body(slot),
            Forward::Unsettled(_) => None,
        }
    }

    /// At a guard: return what goes back to the box at its tick (PROTOCOL.md §5.2), slot and body; `None` where link control fills it.
    pub fn tick(&mut self, tick_us: i64, context: &mut Context<'_>) -> Option<(i64, Body)> {
        let head = match self.next {
            Next::None | Next::Asked | Next::Making { .. } => true,
            Next::Live(_) | Next::Lost => false,
        };
        let slot = match &self.backward {
            Backward::Settled { due, .. } => slot_until(due.last_slot(tick_us), self.stride),
            Backward::Queue { .. } | Backward::Head { .. } | Backward::Passing => slot_until(tick_us.div_euclid(SLOT), self.stride),
        };
        if head && !matches!(self.backward, Backward::Settled { .. }) {
            return self.head_body(slot, None, context).map(|body| (slot, body));
        }
        if let Some(spoken) = self.speak(slot) {
            if let Backward::Queue { waiting, .. } = &mut self.backward {
                waiting.pop_front(); // its slot is stolen: what waits behind it must not leave later for that
            }
            return Some((slot, spoken));
        }
        match &mut self.backward {
            Backward::Settled { ring, .. } if is_on(Switch::FillOff) || is_on(Switch::PassThrough) => ring.body(slot).map(|body| (slot, *body)),
            Backward::Settled { ring, .. } => Some((slot, ring.body(slot).copied().unwrap_or_else(|| fill(context)))),
            Backward::Queue { waiting, returned, .. } => {
                let (slot, body) = waiting.pop_front()?;
                *returned = Some(returned.map_or(slot, |last| last.max(slot)));
                Some((slot, body))
            }
            Backward::Head { .. } | Backward::Passing => None,
        }
    }

    /// At a guard: go on over another link, at whose ticks a slot leaves up to a slot later than it is due, and so stays in the ring for longer.
    pub fn move_to(&mut self, place: Place) {
        self.before = place;
        if let Backward::Settled { ring, .. } = &mut self.backward {
            ring.widen();
        }
    }

    /// Take a cell from behind. last_tick_us: at a guard, the last tick that was put together. Return the next tick, where this cell moved it.
    pub fn take_backward(&mut self, now: Micros, slot: i64, body: &Body, last_tick_us: i64, context: &mut Context<'_>) -> Option<i64> {
        if shows_zeros(body) {
            context.count(DropReason::ClearInside);
            return None;
        }
        match &self.backward {
            Backward::Head { .. } | Backward::Passing => {
                // A hop in the middle passes on at once; the guard's ring evens it out.
                let body = self.speak(slot).unwrap_or_else(|| self.backward_cell(slot, body));
                context.send(self.before.0, serialise_cell(self.before.1, Slot::of(slot), &body), now);
                None
            }
            Backward::Queue { .. } => self.queue_backward(now, slot, body, last_tick_us, context),
            Backward::Settled { .. } => {
                self.keep_backward(now, slot, body, context);
                None
            }
        }
    }

    fn keep_backward(&mut self, now: Micros, slot: i64, body: &Body, context: &mut Context<'_>) {
        if is_on(Switch::PassThrough) {
            return context.send(self.before.0, serialise_cell(self.before.1, Slot::of(slot), &self.backward_cell(slot, body)), now);
        }
        let Backward::Settled { due, ring } = &mut self.backward else { return };
        if let Some(reason) = ring.refusal(slot, due, now) {
            return context.count(reason);
        }
        let mut body = *body;
        self.backward_layer.encipher(&Slot::of(slot).0.to_be_bytes(), &mut body);
        ring.put(slot, Some(&body));
    }

    fn queue_backward(&mut self, now: Micros, slot: i64, body: &Body, last_tick_us: i64, context: &mut Context<'_>) -> Option<i64> {
        let body = self.backward_cell(slot, body);
        let Backward::Queue { waiting, settling, returned } = &mut self.backward else { return None };
        waiting.push_back((slot, body));
        if waiting.len() > QUEUE_CELLS {
            waiting.pop_front();
            context.count(DropReason::QueueFull);
        }
        let base_us = settling.as_mut()?.measure(slot, now)?;
        let (waiting, returned) = (std::mem::take(waiting), *returned);
        Some(self.settle_backward(now, base_us, waiting, returned, last_tick_us, context))
    }

    /// The tick towards the box takes the phase of the due times; what waits goes into the ring where it fits.
    fn settle_backward(
        &mut self,
        now: Micros,
        base_us: i64,
        waiting: VecDeque<(i64, Body)>,
        returned: Option<i64>,
        last_tick_us: i64,
        context: &mut Context<'_>,
    ) -> i64 {
        let due = Due { base_us, started: None };
        let mut started = due.next_slot(now).max(due.last_slot(last_tick_us) + 1);
        // A junction that makes numbers up must not stop the tick: a number far ahead does not count as returned.
        if let Some(after) = returned.map(|slot| slot + 1).filter(|after| *after <= started + crate::slots::AHEAD_SLOTS) {
            started = started.max(after);
        }
        started = slot_from(started, self.stride);
        let due = Due { base_us, started: Some(started) };
        let mut ring = Ring::new(false);
        for (slot, body) in waiting {
            match ring.refusal(slot, &due, now) {
                Some(reason) => context.count(reason),
                None => ring.put(slot, Some(&body)),
            }
        }
        self.backward = Backward::Settled { due, ring };
        due.time_us(started)
    }
}
