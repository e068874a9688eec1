//! A box's end of fast cells: an own circuit's lane, and which bundle's packets go over it.
//!
//! 1. A circuit that carries a bundle with fast streams asks each of its hops with `fast`, the guard first.  2. All have said yes: its lane is open.  3. Packets of the bundle go in cells.
//!
//! They leave as soon as congestion control lets them, and what comes is the bundle's. A hop that says no ends the matter for this circuit. Keys and numbers stay as long as the circuit, so that no number is used twice. Spec: PROTOCOL.md §13.
//!
//! Not here: packets ([`crate::fast`]), when cells leave (whoever drives the core).

use super::circuit::{OwnCircuit, Saying};
use super::Owner;
use crate::cell::{parse_cell, serialise_cell, shows_zeros, Body, Cell, BODY_OCTETS};
use crate::drop_reason::DropReason;
use crate::fast::Taken;
use crate::ids::{LinkId, Micros, Slot};
use crate::layer::Layer;
use crate::speech::Kind;

/// Where fast cells of an own circuit stand.
#[derive(Default)]
pub(super) enum Lane {
    /// Nobody asked for them.
    #[default]
    Shut,
    /// A hop is asked; those before it have said yes.
    Asking(Saying),
    /// They pass.
    Open(Box<Layers>),
    /// A hop said no.
    Refused,
}

/// The layers of each hop, forward and backward, and the last number that left.
pub(super) struct Layers {
    hops: Vec<(Layer, Layer)>,
    number: u32,
}

impl OwnCircuit {
    /// Ask for fast cells where nobody did, unless something else is being said to a hop.
    pub(super) fn want_fast(&mut self) {
        if matches!(self.lane, Lane::Shut) && !self.is_saying() {
            self.ask_fast(0);
        }
    }

    fn ask_fast(&mut self, hop: usize) {
        if let Some(asked) = self.message(hop, Kind::Fast as u8, vec![1], 2, 0) {
            self.lane = Lane::Asking(asked);
        }
    }

    /// A hop has answered.
    pub(super) fn hear_fasted(&mut self, hop: usize, payload: &[u8]) {
        if payload != [1] {
            self.lane = Lane::Refused;
        } else if hop + 1 < self.hops.len() {
            self.ask_fast(hop + 1);
        } else {
            let hops = self.hops.iter().map(|hop| (hop.forward.fast(), hop.backward.fast())).collect();
            self.lane = Lane::Open(Box::new(Layers { hops, number: 0 }));
        }
    }

    /// Return whether fast cells pass, and somebody is there to open them.
    pub(super) fn has_fast_lane(&self) -> bool {
        self.in_call() && matches!(&self.lane, Lane::Open(layers) if layers.number < u32::MAX)
    }

    /// Put a fast cell together, around the plain body of a packet.
    fn seal_fast(&mut self, mut body: Body) -> Option<(LinkId, Cell)> {
        let Lane::Open(layers) = &mut self.lane else { return None };
        if !self.end.seal_fast(&mut body) {
            return None;
        }
        layers.number = layers.number.checked_add(1)?;
        let number = Slot(layers.number);
        layers.hops.iter().rev().for_each(|(forward, _)| forward.encipher(&number.0.to_be_bytes(), &mut body));
        Some((self.name.0, serialise_cell(self.name.1.fast(), number, &body)))
    }

    /// Open a fast cell down to its packet.
    fn open_fast(&mut self, number: Slot, body: &mut Body) -> Result<(), DropReason> {
        let Lane::Open(layers) = &mut self.lane else { return Err(DropReason::FastUnasked) };
        layers.hops.iter().for_each(|(_, backward)| backward.decipher(&number.0.to_be_bytes(), body));
        // A hop says nothing in fast cells: what shows zeros here was not sealed end to end.
        if shows_zeros(body) || !self.end.open_fast(body) {
            return Err(DropReason::FastNotOpened);
        }
        Ok(())
    }
}

impl Owner {
    /// Take a fast cell of an own access link.
    ///
    /// # Errors
    /// As what it is counted, where it is of no use.
    pub fn fast_cell(&mut self, now: Micros, link: LinkId, cell: &Cell) -> Result<(), DropReason> {
        let (circuit, number, mut body) = parse_cell(cell);
        let own = self.own(link, circuit.of_slots()).ok_or(DropReason::FastUnasked)?;
        own.open_fast(number, &mut body)?;
        let bundle = own.bundle.ok_or(DropReason::FastUnasked)?;
        let its = self.bundles.get_mut(&bundle).ok_or(DropReason::FastUnasked)?;
        its.busy_at = now;
        match its.bundle.take_fast(now, &body) {
            Ok(Taken::New) => Ok(()),
            Ok(Taken::Dropped) => Err(DropReason::FastReplayed),
            Err(_) => Err(DropReason::StreamsBroken),
        }
    }

    /// Return the next fast cell of an own circuit; `None` where congestion control, or want of something to say, keeps all back.
    pub fn poll_fast(&mut self, now: Micros) -> Option<(LinkId, Cell)> {
        for access in &mut self.links {
            let Some(own) = access.circuit.as_mut().filter(|own| own.has_fast_lane() && !own.is_spare) else { continue };
            let Some(its) = own.bundle.and_then(|bundle| self.bundles.get_mut(&bundle)) else { continue };
            let mut body = [0; BODY_OCTETS];
            if its.bundle.fast_body(now, &mut body) {
                its.busy_at = now;
                return own.seal_fast(body);
            }
        }
        None
    }

    /// Return when [`Self::poll_fast`] may have something.
    #[must_use]
    pub fn next_fast_us(&self) -> Option<Micros> {
        let circuits = self.links.iter().filter_map(|access| access.circuit.as_ref()).filter(|own| own.has_fast_lane() && !own.is_spare);
        circuits.filter_map(|own| self.bundles.get(&own.bundle?)?.bundle.next_fast_us()).min()
    }
}
