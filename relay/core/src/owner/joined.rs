//! Two phones of one house: each frame of the one goes to the other at once, and through no circuit.
//!
//! In order: `media_join` joins two ports, or one with itself (an echo); `pass_on` hands a frame that just came to the other port, which plays it as fresh
//! RTP of its own. A frame that comes sooner than its turn is held back a little, as one from a cell is, so that a phone that sends unevenly is heard more evenly.
//! Not here: RTP ([`crate::sound`]), circuits.
//!
//! Spec: PROTOCOL.md §9.4.

use crate::context::Context;
use crate::endtoend::Codec;
use crate::ids::{Micros, PortId, SLOT_US};
use crate::owner::{drain_port, Owner};
use crate::sound::{Frame, COMPOSE_AHEAD_US};

/// A frame that is further from its turn than this follows a pause, a hold, or other numbers: it begins anew.
const LONGEST_APART_US: Micros = 8 * SLOT_US;

/// What a port knows of the one that it is joined with.
pub(super) struct Joined {
    other: PortId,
    /// Number and arrival of the last frame that was handed on; `None` where the next one begins anew.
    last: Option<(u64, Micros)>,
}

impl Joined {
    /// Let the next frame begin anew.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
    }

    /// Note a frame; false where it does not follow the last one.
    fn follows(&mut self, now: Micros, number: u64) -> bool {
        let before = self.last.replace((number, now));
        before.is_some_and(|(last, at)| {
            let turn = at.saturating_add(number.saturating_sub(last).saturating_mul(SLOT_US));
            number > last && turn.abs_diff(now) <= LONGEST_APART_US
        })
    }
}

impl Owner {
    /// Join two ports that speak one codec; whatever they carried before they carry no more.
    pub(super) fn media_join(&mut self, port: PortId, other: PortId, codec: u8) -> bool {
        let Some(codec) = Codec::from_code(codec).filter(|_| self.ports.contains_key(&port) && self.ports.contains_key(&other)) else { return false };
        self.media_unbind(port);
        self.media_unbind(other);
        for (one, with) in [(port, other), (other, port)] {
            if let Some(phone) = self.ports.get_mut(&one) {
                phone.port.bind(codec);
                phone.joined = Some(Joined { other: with, last: None });
            }
        }
        true
    }

    /// Undo that at the other end.
    pub(super) fn part_from(&mut self, joined: &Joined) {
        if let Some(other) = self.ports.get_mut(&joined.other) {
            other.port.unbind();
            other.joined = None;
        }
    }

    /// Hand on what a joined port just took: a packet may have brought several frames, of which each has its turn a slot after the one before.
    pub(super) fn pass_on(&mut self, ctx: &mut Context<'_>, now: Micros, port: PortId) {
        let mut at = now;
        while let Some(passed) = self.next_passed(port, at) {
            let Some(to) = self.ports.get_mut(&passed.to) else { return };
            if !passed.follows {
                to.port.begin_anew();
            }
            if let Err(reason) = to.port.enqueue(now, at + COMPOSE_AHEAD_US, passed.number, Some((passed.codec, passed.frame.as_slice()))) {
                ctx.count(reason);
            }
            drain_port(ctx, passed.to, to, now);
            at += SLOT_US;
        }
    }

    fn next_passed(&mut self, port: PortId, at: Micros) -> Option<Passed> {
        let phone = self.ports.get_mut(&port)?;
        let (joined, codec) = (phone.joined.as_mut()?, phone.port.bound_codec()?);
        let (number, frame) = phone.port.pass()?;
        Some(Passed { to: joined.other, codec, number, frame, follows: joined.follows(at, number) })
    }
}

/// A frame on its way from one port to another.
struct Passed {
    to: PortId,
    codec: Codec,
    number: u64,
    frame: Frame,
    follows: bool,
}
