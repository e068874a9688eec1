//! A box that moved: a circuit goes on over another link to its guard, with all that it carries (PROTOCOL.md §6.5).
//!
//! In order: `attach` takes it to the new link, whose ticks say so to the guard; the guard's answer tells by how much cells come too late there, and the numbers
//! go on by as many slots. Not here: the guard's side ([`crate::relay`]), links and their making.

use super::circuit::{Name, OwnCircuit};
use super::Owner;
use crate::ids::{LinkId, SLOT_US};

impl Owner {
    /// Let a settled circuit go on over another access link that stands and has none. Its own end is due by the first cell that comes there.
    pub(super) fn attach(&mut self, name: Name, next_link: LinkId) -> bool {
        let to = self.index_of(next_link).filter(|index| self.links[*index].circuit.is_none());
        let (Some(from), Some(to)) = (self.index_of(name.0), to) else { return false };
        if !self.own(name.0, name.1).is_some_and(OwnCircuit::attach) {
            return false;
        }
        let new = (next_link, name.1);
        let number = self.links[from].number;
        let Some(mut own) = self.links[from].circuit.take() else { return false };
        own.name = new;
        let (mates, port) = (own.mates, own.port);
        let access = &mut self.links[to];
        (access.number, access.circuit) = (number, Some(own));
        access.clock.begin(true);
        for mate in mates.iter() {
            self.own(mate.0, mate.1).into_iter().for_each(|other| other.mates.rename(name, new));
        }
        if let Some(phone) = port.and_then(|port| self.ports.get_mut(&port)).filter(|phone| phone.bound == Some(name)) {
            phone.bound = Some(new);
        }
        true
    }
}

/// Read `wait i32 in us | step u16 in 10 us`: by how much the wait is less than the step.
pub(super) fn late_of(payload: &[u8]) -> i64 {
    match *payload {
        [w0, w1, w2, w3, s0, s1] => i64::from(u16::from_be_bytes([s0, s1])) * 10 - i64::from(i32::from_be_bytes([w0, w1, w2, w3])),
        _ => 0, // of another length none is whole
    }
}

/// Return by how many numbers cells have to be ahead that come so much too late; whole ticks of a box of this stride.
pub(super) fn slots_late(late_us: i64, stride: u32) -> u32 {
    let tick_us = i64::from(stride) * SLOT_US as i64; // at most 40 000
    let ticks = late_us.max(0).unsigned_abs().div_ceil(tick_us.unsigned_abs());
    (ticks as u32).wrapping_mul(stride) // an i32 of microseconds, at most
}
