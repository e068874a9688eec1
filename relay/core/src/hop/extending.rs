//! How a hop makes the next one: create, until created, refused, or nothing came (PROTOCOL.md §6.1).

use super::{is_phase, is_turn, next_own_slot, Backward, Forward, Hop, Next, Place};
use crate::cell::{serialise_cell, shows_zeros, Body};
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::ids::{Micros, Slot};
use crate::slots::SLOT;
use crate::speech::{hear_created, Carousel, Collector, Kind};

/// Fragments of a create that are said before the next hop is given up.
const CREATE_TRIES: u32 = 512;
/// `not extended`: nothing came back. The other reasons of the engine are [`crate::relay`]'s.
const REASON_NO_ANSWER: u8 = 4;

impl Hop {
    /// Begin to say a create behind. Return when the first fragment leaves.
    pub fn make_next(&mut self, now: Micros, phase_us: i64, behind: Place, create: Carousel) -> i64 {
        let (_, at_us) = next_own_slot(now, phase_us, self.stride);
        self.next = Next::Making { behind, create: Box::new(create), answer: Box::new(Collector::default()), said: 0, at_us };
        at_us
    }

    /// Hear created or refused from behind, outside the layers. Return the place behind where it is to be forgotten.
    pub fn take_created(&mut self, body: &Body, context: &mut Context<'_>) -> Option<Place> {
        if !shows_zeros(body) {
            context.count(DropReason::BeforeCreated);
            return None;
        }
        let Next::Making { answer, .. } = &mut self.next else { return None };
        match hear_created(answer, body) {
            Ok(None) => None,
            Ok(Some((Kind::Refused, payload))) => self.not_extended(payload[0]),
            Ok(Some((_, payload))) => {
                self.next = Next::Live(self.behind()?);
                if matches!(self.backward, Backward::Head { .. }) {
                    self.backward = Backward::Passing;
                }
                self.give_answer(Kind::Extended, self.asked_number, payload);
                None
            }
            Err(reason) => {
                context.count(reason);
                None
            }
        }
    }

    /// Answer an extend that is not begun.
    pub fn refuse_extend(&mut self, reason: u8) {
        self.next = Next::None;
        self.give_answer(Kind::NotExtended, self.asked_number, vec![reason]);
    }

    /// Give up the next hop. Return the place behind, which is to be forgotten.
    pub(super) fn not_extended(&mut self, reason: u8) -> Option<Place> {
        let behind = self.behind();
        self.refuse_extend(reason);
        behind
    }

    /// The link behind is gone.
    pub fn lose_next(&mut self) {
        self.next = Next::Lost;
        if let Forward::Settled { at_us, .. } = &mut self.forward {
            *at_us = None;
        }
    }

    /// Say the next fragment of a create. Return whether there will be another; a next hop that never answers is given up.
    pub fn run_asking(&mut self, due_us: i64, context: &mut Context<'_>) -> (bool, Option<Place>) {
        let Next::Making { behind, create, said, at_us, .. } = &mut self.next else { return (false, None) };
        if !is_turn(at_us, due_us, self.stride) {
            return (is_phase(*at_us, due_us), None);
        }
        if *said == CREATE_TRIES {
            return (false, self.not_extended(REASON_NO_ANSWER));
        }
        *said += 1;
        let body = create.next_body();
        context.send(behind.0, serialise_cell(behind.1, Slot::of(due_us.div_euclid(SLOT)), &body), due_us as Micros);
        (true, None)
    }
}
