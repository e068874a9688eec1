//! Fast cells at a relay: each leaves at once, in no slot (PROTOCOL.md §13.3). What a hop does with one is in [`crate::hop`].

use super::{Relay, Side};
use crate::cell::{parse_cell, Cell};
use crate::drop_reason::DropReason;
use crate::ids::{LinkId, Micros};

impl Relay {
    /// A fast cell came on one of the relay's links. Return what is to leave for it (PROTOCOL.md §13.3).
    ///
    /// # Errors
    /// As what it is counted, where it goes no further.
    pub fn fast_cell(&mut self, now: Micros, link_id: LinkId, cell: &Cell) -> Result<(LinkId, Cell), DropReason> {
        let (circuit, number, mut body) = parse_cell(cell);
        let link = self.links.get(&link_id.0).ok_or(DropReason::UnknownLink)?;
        let (index, side) = *link.places.get(&circuit.of_slots().0).ok_or(DropReason::FastUnasked)?;
        let hop = self.hop_mut(index).ok_or(DropReason::FastUnasked)?;
        if side == Side::Behind {
            return hop.return_fast(number, &mut body);
        }
        hop.take_fast(number, &mut body)?;
        hop.last_cell_us = now;
        let Some(mate) = hop.splice.as_ref().map(|splice| splice.mate) else { return hop.pass_fast(number, &body) };
        self.hop_mut(mate).ok_or(DropReason::FastEnded)?.splice_fast(&mut body)
    }
}
