//! Sound that the box itself has for a phone, such as an announcement, or where a machine answers for a circuit: frames that were handed over at once, one of them
//! for each slot.
//!
//! In order: `media_play` takes the frames, and ends what a phone's port carried before; `play_next` hands one to the port, which makes fresh RTP of it as of any other,
//! until none is left. What the phone says meanwhile goes nowhere. A port that is bound to a circuit stays so, and its frames go there.
//! Not here: where the frames come from, RTP ([`crate::sound`]).

use crate::context::Context;
use crate::endtoend::Codec;
use crate::ids::{Micros, PortId, SLOT_US};
use crate::owner::{drain_port, Owner, LONGEST_CATCH_UP_US};
use crate::sound::COMPOSE_AHEAD_US;

/// Three minutes and a third.
pub const MAX_PLAYED_FRAMES: usize = 10_000;

/// What a port is to play.
pub(super) struct Playing {
    codec: Codec,
    frame_octets: usize,
    /// What is left: whole frames.
    frames: std::vec::IntoIter<u8>,
    counter: u64,
    next: Micros,
}

impl Playing {
    /// When the next frame is handed to the port: early enough to be put together in time.
    pub(super) fn next_timer(&self) -> Micros {
        self.next.saturating_sub(2 * COMPOSE_AHEAD_US)
    }

    fn next_frame(&mut self) -> Vec<u8> {
        self.frames.by_ref().take(self.frame_octets).collect()
    }
}

impl Owner {
    /// Play frames from the next slot on: into the circuit that the port is bound to, else to its phone, and then whatever it carried before it carries no more.
    pub(super) fn media_play(&mut self, now: Micros, port: PortId, codec: u8, frame_octets: usize, frames: Vec<u8>) -> bool {
        let Some(codec) = Codec::from_code(codec).filter(|codec| self.ports.contains_key(&port) && codec.takes_frame_of(frame_octets)) else { return false };
        if frames.len() % frame_octets != 0 || frames.len() / frame_octets > MAX_PLAYED_FRAMES {
            return false;
        }
        let into_circuit = self.ports.get(&port).is_some_and(|phone| phone.bound.is_some());
        if !into_circuit {
            self.media_unbind(port);
        }
        if let Some(phone) = self.ports.get_mut(&port) {
            if !into_circuit {
                phone.port.bind(codec);
            } else if phone.port.bound_codec() != Some(codec) {
                return false;
            }
            phone.playing = Some(Playing { codec, frame_octets, frames: frames.into_iter(), counter: 0, next: now + SLOT_US });
        }
        true
    }

    /// Hand the next frame to the port; after the last one a port without a circuit carries nothing.
    pub(super) fn play_next(&mut self, ctx: &mut Context<'_>, port: PortId, at: Micros, now: Micros) {
        let Some(phone) = self.ports.get_mut(&port) else { return };
        let Some(playing) = &mut phone.playing else { return };
        let frame = playing.next_frame();
        if frame.is_empty() {
            phone.playing = None;
            if phone.bound.is_none() {
                phone.port.unbind();
            }
            return;
        }
        playing.counter += 1;
        // After a stall it goes on from here: a burst would be heard as noise.
        let due = if now.saturating_sub(at) > LONGEST_CATCH_UP_US { now + 2 * COMPOSE_AHEAD_US } else { playing.next };
        playing.next = due + SLOT_US;
        if phone.bound.is_some() {
            phone.port.say(at, &frame);
        } else if let Err(reason) = phone.port.enqueue(due - 2 * COMPOSE_AHEAD_US, due, playing.counter, Some((playing.codec, &frame))) {
            ctx.count(reason);
        }
        drain_port(ctx, port, phone, at);
    }
}
