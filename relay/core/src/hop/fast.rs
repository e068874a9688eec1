//! Fast cells at a hop: a layer comes off, or goes on, and the cell goes on at once. They have no slot, no due time and no filler, and nobody else's slots know of them.
//!
//! 1. `fast` inside the layer asks for it: keys follow from the hop's.  2. Each number is taken once, each way.  3. `fast` again, with 0, ends it; so does the circuit's end.
//!
//! Spec: PROTOCOL.md §13.

use super::{BrokeProtocol, Hop, Next, Place, Role};
use crate::cell::{serialise_cell, Body, Cell};
use crate::drop_reason::DropReason;
use crate::endtoend::CounterWindow;
use crate::ids::{LinkId, Slot};
use crate::layer::Layer;
use crate::speech::Kind;

/// What a hop keeps for the fast cells of a circuit: from when they were asked for first until the circuit ends, so that no number is taken twice.
pub(super) struct FastHop {
    forward_layer: Layer,
    backward_layer: Layer,
    came_forward: CounterWindow,
    came_backward: CounterWindow,
    /// At a junction: the last number that left towards the owner.
    number: u32,
    is_open: bool,
}

impl Hop {
    /// Hear that fast cells are wanted, or no more.
    pub(super) fn hear_fast(&mut self, number: u16, payload: &[u8]) -> Result<(), BrokeProtocol> {
        let [wanted @ (0 | 1)] = *payload else { return Err(BrokeProtocol) };
        let (forward_layer, backward_layer) = (&self.forward_layer, &self.backward_layer);
        let fast = self.fast.get_or_insert_with(|| {
            Box::new(FastHop {
                forward_layer: forward_layer.fast(),
                backward_layer: backward_layer.fast(),
                came_forward: CounterWindow::default(),
                came_backward: CounterWindow::default(),
                number: 0,
                is_open: false,
            })
        });
        fast.is_open = wanted == 1;
        self.give_answer(Kind::Fasted, number, vec![wanted]);
        Ok(())
    }

    fn open_fast(&mut self) -> Result<&mut FastHop, DropReason> {
        self.fast.as_deref_mut().filter(|fast| fast.is_open).ok_or(DropReason::FastUnasked)
    }

    /// Take a fast cell of the owner's: its body without this hop's layer.
    pub fn take_fast(&mut self, number: Slot, body: &mut Body) -> Result<(), DropReason> {
        let fast = self.open_fast()?;
        if !fast.came_forward.take(u64::from(number.0)) {
            return Err(DropReason::FastReplayed);
        }
        fast.forward_layer.decipher(&number.0.to_be_bytes(), body);
        Ok(())
    }

    /// Pass on what [`Self::take_fast`] left, to the hop behind; a junction has none.
    pub fn pass_fast(&self, number: Slot, body: &Body) -> Result<(LinkId, Cell), DropReason> {
        match self.next {
            Next::Live((link, circuit)) => Ok((link, serialise_cell(circuit.fast(), number, body))),
            Next::None | Next::Asked | Next::Making { .. } | Next::Lost => Err(DropReason::FastEnded),
        }
    }

    /// Pass a fast cell of the hop behind on towards the owner.
    pub fn return_fast(&mut self, number: Slot, body: &mut Body) -> Result<(LinkId, Cell), DropReason> {
        let before = self.before;
        let fast = self.open_fast()?;
        if !fast.came_backward.take(u64::from(number.0)) {
            return Err(DropReason::FastReplayed);
        }
        Ok(fast.seal_backward(before, number.0, body))
    }

    /// At a junction: send the body of a mate's fast cell towards this circuit's owner, under the next number.
    pub fn splice_fast(&mut self, body: &mut Body) -> Result<(LinkId, Cell), DropReason> {
        let (before, is_junction) = (self.before, self.role == Role::Junction);
        let fast = self.open_fast()?;
        fast.number = fast.number.checked_add(1).filter(|_| is_junction).ok_or(DropReason::FastEnded)?;
        let number = fast.number;
        Ok(fast.seal_backward(before, number, body))
    }
}

impl FastHop {
    fn seal_backward(&self, (link, circuit): Place, number: u32, body: &mut Body) -> (LinkId, Cell) {
        self.backward_layer.encipher(&number.to_be_bytes(), body);
        (link, serialise_cell(circuit.fast(), Slot(number), body))
    }
}
