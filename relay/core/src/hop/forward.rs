//! The forward direction of a hop: cells away from the owner (PROTOCOL.md §5.3).

use super::{fill, is_phase, is_turn, Backward, Forward, Hop, Next, Role, Taken};
use crate::cell::{serialise_cell, shows_zeros, Body};
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::ids::{slot_from, Micros, Slot};
use crate::lab::{is_on, Switch};
use crate::slots::{Due, Ring, SLOT};
use crate::speech::{parse_speech, Kind};

impl Hop {
    /// At a settled guard: say whether a cell with a number that is above all taken ones is its owner's, and asks to go on over the link on which it came
    /// (PROTOCOL.md §6.5).
    #[must_use]
    pub fn is_attach(&self, slot: i64, body: &Body) -> bool {
        self.attach_in(slot, body).is_some()
    }

    fn attach_in(&self, slot: i64, body: &Body) -> Option<Body> {
        let settled = matches!((&self.forward, &self.backward), (Forward::Settled { .. }, Backward::Settled { .. }));
        if self.role != Role::Guard || !settled || self.taken_slot.is_some_and(|taken| slot <= taken) {
            return None;
        }
        let plain = self.forward_plain(slot, body);
        let attaches = shows_zeros(&plain) && parse_speech(&plain).is_some_and(|speech| speech.kind == Kind::Attach as u8);
        attaches.then_some(plain)
    }

    fn forward_plain(&self, slot: i64, body: &Body) -> Body {
        let mut plain = *body;
        self.forward_layer.decipher(&Slot::of(slot).0.to_be_bytes(), &mut plain);
        plain
    }

    /// Take a cell from before; `None` where it went no further.
    pub fn take_forward(&mut self, now: Micros, slot: i64, body: &Body, context: &mut Context<'_>) -> Option<Taken> {
        self.last_cell_us = now;
        if !self.open && !self.opens(body, context) {
            return None;
        }
        if let (Forward::Settled { due, ring, .. }, false) = (&self.forward, is_on(Switch::PassThrough)) {
            if let Some(reason) = ring.refusal(slot, due, now) {
                let Some(body) = self.attach_in(slot, body) else {
                    context.count(reason);
                    return None;
                };
                self.taken_slot = Some(slot);
                return Some(Taken { body, in_time: false, base_us: None });
            }
        }
        self.taken_slot = Some(self.taken_slot.map_or(slot, |taken| taken.max(slot)));
        let offset_us = now as i64 - SLOT * slot;
        self.earliest_us = Some(self.earliest_us.map_or(offset_us, |earliest_us| earliest_us.min(offset_us)));
        let base_us = match &mut self.forward {
            Forward::Unsettled(Some(settling)) => settling.measure(slot, now),
            Forward::Unsettled(None) | Forward::Settled { .. } => None,
        };
        Some(Taken { body: self.forward_plain(slot, body), in_time: true, base_us })
    }

    /// Outside the layers: answer repeated creates; the first cell without zeros in front is the first inside.
    pub(super) fn opens(&mut self, body: &Body, context: &mut Context<'_>) -> bool {
        if !shows_zeros(body) {
            self.open = true;
            self.answer = None;
            return true;
        }
        match (parse_speech(body), &mut self.answer) {
            (Some(speech), Some(answer)) if speech.kind == Kind::Create as u8 && speech.number == answer.carousel.number() => {
                answer.due = answer.due.max(1);
            }
            (None | Some(_), None | Some(_)) => context.count(DropReason::OutsideLayers),
        }
        false
    }

    /// Send a taken cell on, or keep it until it is due; `spoken` cells were for this hop, and leave a hole. Return when the first settled cell
    /// is due, where this one settled the direction.
    pub fn pass_forward(&mut self, now: Micros, slot: i64, taken: &Taken, spoken: bool, context: &mut Context<'_>) -> Option<i64> {
        if !taken.in_time {
            return None;
        }
        if let Forward::Settled { ring, .. } = &mut self.forward {
            match self.next {
                Next::Live((link, circuit)) if is_on(Switch::PassThrough) => {
                    context.send(link, serialise_cell(circuit, Slot::of(slot), &taken.body), now);
                }
                Next::None | Next::Asked | Next::Making { .. } | Next::Live(_) | Next::Lost => ring.put(slot, (!spoken).then_some(&taken.body)),
            }
        } else if let Next::Live((link, circuit)) = self.next {
            let body = if spoken { context.random_body() } else { taken.body };
            context.send(link, serialise_cell(circuit, Slot::of(slot), &body), now);
        } else if !spoken {
            context.count(DropReason::EndedHere);
        }
        self.settle_forward(now, taken.base_us?)
    }

    fn settle_forward(&mut self, now: Micros, base_us: i64) -> Option<i64> {
        let mut due = Due { base_us, started: None };
        let mut at_us = None;
        if matches!(self.next, Next::Live(_)) {
            let started = due.next_slot(now);
            let started = slot_from(self.taken_slot.map_or(started, |taken| started.max(taken + 1)), self.stride);
            due.started = Some(started);
            at_us = Some(due.time_us(started));
        }
        self.forward = Forward::Settled { due, ring: Ring::new(self.role == Role::Junction), at_us };
        self.give_answer(Kind::Settled, self.asked_number, self.step_in_10_us().to_vec());
        at_us
    }

    /// Send the forward cell that is due. Return whether there will be another.
    pub fn run_forward(&mut self, due_us: i64, context: &mut Context<'_>) -> bool {
        let Forward::Settled { due, ring, at_us: Some(at_us) } = &mut self.forward else { return false };
        if !is_turn(at_us, due_us, self.stride) {
            return is_phase(*at_us, due_us);
        }
        let Next::Live((link, circuit)) = self.next else { return false };
        if is_on(Switch::PassThrough) {
            return true;
        }
        let slot = due.last_slot(due_us);
        let body = match ring.body(slot) {
            Some(body) => *body,
            None if is_on(Switch::FillOff) => return true,
            None => fill(context),
        };
        context.send(link, serialise_cell(circuit, Slot::of(slot), &body), due_us as Micros);
        true
    }
}
