//! What every part of the core is handed besides `now`: the source of randomness, the outputs, the counters.

use crate::cell::{Cell, BODY_OCTETS};
use crate::drop_reason::{Counters, DropReason};
use crate::ids::{LinkId, Micros};
use crate::io::{Event, Output};
use crate::random::RandomSource;
use std::collections::VecDeque;

/// The surroundings of one call into a part of the core.
pub struct Context<'a> {
    /// The source of randomness.
    pub random: &'a mut dyn RandomSource,
    /// What comes out, in order.
    pub outputs: &'a mut VecDeque<Output>,
    /// What is counted.
    pub counters: &'a mut Counters,
}

impl Context<'_> {
    /// Send a cell at `at`.
    pub fn send(&mut self, link: LinkId, cell: Cell, at: Micros) {
        self.counters.count(DropReason::CellsOut);
        self.outputs.push_back(Output::Send { link, cell, at });
    }

    /// Tell the control plane.
    pub fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Count something.
    pub fn count(&mut self, reason: DropReason) {
        self.counters.count(reason);
    }

    /// Draw the body of a filler.
    pub fn random_body(&mut self) -> [u8; BODY_OCTETS] {
        let mut body = [0; BODY_OCTETS];
        self.random.fill(&mut body);
        body
    }
}
