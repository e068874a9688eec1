//! What a hop says to its owner, and what it hears inside the layer (PROTOCOL.md §3.1, §3.2, §6.4).

use super::{Answer, Backward, BrokeProtocol, Forward, Hop, Next, Request, Role, ANSWERED_SPACING, BOUND_SPACING, SPEECH_SPACING};
use crate::cell::Body;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::ids::Micros;
use crate::junction::{Bond, JoinId, Splice, Ticket};
use crate::slots::{Settling, COMPOSE_US, SLOT};
use crate::speech::{parse_speech, serialise_short, Collected, Kind, Speech};

impl Hop {
    /// Return own speech for a backward slot, as it goes out; `None` where there is none or it is not its turn.
    pub(super) fn speak(&mut self, slot: i64) -> Option<Body> {
        if !self.open {
            let answer = self.answer.as_mut().filter(|answer| answer.due > 0)?;
            answer.due -= 1;
            return Some(answer.carousel.next_body());
        }
        self.since_speech = self.since_speech.saturating_add(1);
        let answer = self.answer.as_mut().filter(|answer| answer.due > 0);
        let spacing = match answer.as_ref().map(|answer| &answer.carousel) {
            Some(carousel) if carousel.kind() == Kind::Answered as u8 => ANSWERED_SPACING,
            Some(carousel) if carousel.within_round() => 0,
            None | Some(_) => SPEECH_SPACING,
        };
        if self.since_speech <= spacing {
            return None;
        }
        let body = if let Some(answer) = answer {
            answer.due -= 1;
            answer.carousel.next_body()
        } else if self.bond.is_none() || self.since_speech > BOUND_SPACING {
            *self.knocked.take()?
        } else {
            return None;
        };
        self.since_speech = 0;
        Some(self.backward_cell(slot, &body))
    }

    pub(super) fn give_answer(&mut self, kind: Kind, number: u16, payload: Vec<u8>) {
        self.answer = Answer::new(kind, number, payload);
    }

    /// Answer a question; false where it is not the present message any more.
    pub fn answer_ask(&mut self, number: u16, payload: Vec<u8>) -> bool {
        let waits = self.collector.is_whole_of(Kind::Ask, number);
        if waits {
            self.give_answer(Kind::Answered, number, payload);
        }
        waits
    }

    /// Put a knock and its ticket into the inbox; false where one waits already.
    pub fn put_knocked(&mut self, payload: &[u8], ticket: Ticket) -> bool {
        if self.knocked.is_some() {
            return false;
        }
        self.knocked_count = self.knocked_count.wrapping_add(1);
        self.knocked = Some(Box::new(serialise_short(Kind::Knocked, self.knocked_count, &[payload, &ticket].concat())));
        true
    }

    /// Join this circuit to the one that knocked. A knock that still waits is taken back: it would take a slot of the call.
    pub fn join(&mut self, join_id: JoinId, splice: Splice) {
        self.bond = Some(Bond { join_id, knock: None });
        self.splice = Some(splice);
        self.knocked = None;
    }

    /// Hear the owner inside the layer, in a cell that came at `now`. phase_us: the relay's own phase.
    pub fn hear(&mut self, (now, slot): (Micros, i64), body: &Body, phase_us: i64, context: &mut Context<'_>) -> Result<Option<Request>, BrokeProtocol> {
        let speech = parse_speech(body).ok_or(BrokeProtocol)?;
        let kind = Kind::of(speech.kind).filter(|kind| self.may_hear(*kind)).ok_or(BrokeProtocol)?;
        let payload = match self.collector.add(&speech) {
            Collected::Partial => return Ok(None),
            Collected::Misfit => return Err(BrokeProtocol),
            Collected::Stale => {
                context.count(DropReason::SpeechStale);
                return Ok(None);
            }
            Collected::Again => match self.repeated(kind, &speech) {
                Some(payload) => payload,
                None => return Ok(None),
            },
            Collected::Whole(payload) => payload,
        };
        if payload.len() != kind.payload_octets() {
            return Err(BrokeProtocol);
        }
        self.obey(kind, speech.number, payload, (phase_us, now, slot))
    }

    fn may_hear(&self, kind: Kind) -> bool {
        match self.role {
            Role::Guard | Role::Middle => matches!(kind, Kind::Phase | Kind::Settle | Kind::Extend | Kind::Attach | Kind::Fast),
            Role::Junction => matches!(kind, Kind::Phase | Kind::Settle | Kind::Tokens | Kind::Knock | Kind::Join | Kind::Part | Kind::Ask | Kind::Fast),
        }
    }

    /// A fragment of a message that was whole before: what has no answer is done again, what has one is answered again.
    fn repeated(&mut self, kind: Kind, speech: &Speech<'_>) -> Option<Vec<u8>> {
        if matches!(kind, Kind::Knock | Kind::Join | Kind::Part) {
            return Some(speech.fragment.to_vec());
        }
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.carousel.number() == speech.number) {
            answer.due = answer.due.max(1);
        }
        None
    }

    fn obey(&mut self, kind: Kind, number: u16, payload: Vec<u8>, (phase_us, now, slot): (i64, Micros, i64)) -> Result<Option<Request>, BrokeProtocol> {
        match kind {
            Kind::Extend => {
                if !matches!(self.next, Next::None) {
                    return Err(BrokeProtocol);
                }
                self.next = Next::Asked;
                self.asked_number = number;
                Ok(Some(Request::Extend(payload)))
            }
            Kind::Phase => {
                let wait_us = (phase_us - self.earliest_us.take().unwrap_or(0)).rem_euclid(self.stride * SLOT);
                let times = [((wait_us / 10) as u16).to_be_bytes(), self.step_in_10_us()];
                self.give_answer(Kind::Phased, number, times.concat());
                Ok(None)
            }
            Kind::Settle => self.begin_settling(number, &payload),
            Kind::Attach => {
                let due = self.forward_due().ok_or(BrokeProtocol)?;
                let wait_us = (due.time_us(slot) - COMPOSE_US - now as i64).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                self.give_answer(Kind::Attached, number, [&wait_us.to_be_bytes()[..], &self.step_in_10_us()].concat());
                Ok(None)
            }
            Kind::Fast => self.hear_fast(number, &payload).map(|()| None),
            Kind::Tokens => {
                self.give_answer(Kind::Left, number, Vec::new());
                Ok(Some(Request::Tokens(payload)))
            }
            Kind::Knock => Ok(Some(Request::Knock(payload))),
            Kind::Join => Ok(Some(Request::Join(payload))),
            Kind::Part => Ok(Some(Request::Part(payload))),
            Kind::Ask => Ok(Some(Request::Ask(number, payload))),
            Kind::Create
            | Kind::Created
            | Kind::Refused
            | Kind::Extended
            | Kind::NotExtended
            | Kind::Phased
            | Kind::Settled
            | Kind::Left
            | Kind::Knocked
            | Kind::Attached
            | Kind::Answered
            | Kind::Fasted => Err(BrokeProtocol),
        }
    }

    fn begin_settling(&mut self, number: u16, payload: &[u8]) -> Result<Option<Request>, BrokeProtocol> {
        let first = payload.try_into().map(u32::from_be_bytes).map_err(|_| BrokeProtocol)?;
        let ready = self.role == Role::Junction || matches!(self.next, Next::Live(_));
        match &mut self.forward {
            Forward::Unsettled(settling @ None) if ready => *settling = Some(Settling::new(Some(first), self.steps_us[0])),
            Forward::Unsettled(_) | Forward::Settled { .. } => return Err(BrokeProtocol),
        }
        self.asked_number = number;
        if let Backward::Queue { settling, .. } = &mut self.backward {
            *settling = Some(Settling::new(None, self.steps_us[1]));
        }
        Ok(None)
    }
}
