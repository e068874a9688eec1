//! Bundles of streams, and which circuit carries each.
//!
//! A bundle is bound to a circuit that speaks, and to the circuits that carry the same call; it stays when they go, and is bound to another one later.
//! What happened to its streams is taken, and they are written and read, through [`Owner::bundle`]. Not here: what streams say ([`crate::streams`]), sockets.
//!
//! Spec: PROTOCOL.md §11.1.

use super::circuit::{Name, OwnCircuit};
use super::Owner;
use crate::ids::{BundleId, Micros};
use crate::streams::{Bundle, StreamEvent};

/// Bundles of a box, at most: one for each contact, and a few that end.
const MAX_BUNDLES: usize = 64;

/// A bundle. Which circuits carry it they know themselves.
#[derive(Default)]
pub(super) struct OwnBundle {
    pub(super) bundle: Bundle,
    /// When something last waited to be said, or to be acknowledged.
    pub(super) busy_at: Micros,
    /// It was told that something waits, and no circuit carries it.
    told_wanting: bool,
}

impl OwnBundle {
    /// Return the bundle for the slot that is put together at `at`.
    pub(super) fn in_slot(&mut self, at: Micros) -> &mut Bundle {
        self.bundle.forget_old(at);
        if self.bundle.has_something_to_say() {
            self.busy_at = at;
        }
        &mut self.bundle
    }
}

impl Owner {
    /// Return a bundle, to write, read, open and reset its streams.
    pub fn bundle(&mut self, bundle: BundleId) -> Option<&mut Bundle> {
        self.bundles.get_mut(&bundle).map(|its| &mut its.bundle)
    }

    /// Return the next thing that happened to a stream.
    pub fn poll_streams(&mut self) -> Option<(BundleId, StreamEvent)> {
        self.bundles.iter_mut().find_map(|(id, its)| Some((*id, its.bundle.poll()?)))
    }

    /// Return a bundle that has something to say and no circuit, once until it has one.
    pub fn next_wanting(&mut self) -> Option<BundleId> {
        let links = &self.links;
        let is_carried = |bundle| links.iter().filter_map(|access| access.circuit.as_ref()).any(|own| own.bundle == Some(bundle));
        let wants = |id: BundleId, its: &OwnBundle| !its.told_wanting && its.bundle.has_something_to_say() && !is_carried(id);
        let (id, its) = self.bundles.iter_mut().find(|(id, its)| wants(**id, its))?;
        its.told_wanting = true;
        Some(*id)
    }

    /// Return for how long nothing has waited to be said on a bundle; 0 where something does, or there is none.
    #[must_use]
    pub fn bundle_idle_us(&self, now: Micros, bundle: BundleId) -> Micros {
        let idle = self.bundles.get(&bundle).filter(|its| !its.bundle.has_something_to_say());
        idle.map_or(0, |its| now.saturating_sub(its.busy_at))
    }

    pub(super) fn bundle_open(&mut self, now: Micros, bundle: BundleId) -> bool {
        if self.bundles.len() >= MAX_BUNDLES || self.bundles.contains_key(&bundle) {
            return false;
        }
        self.bundles.insert(bundle, OwnBundle { busy_at: now, ..OwnBundle::default() });
        true
    }

    /// Let a circuit that speaks, and its mates, carry a bundle, which goes on where it was.
    pub(super) fn bundle_bind(&mut self, now: Micros, bundle: BundleId, name: Name) -> bool {
        let carrier = self.own(name.0, name.1).filter(|own| own.in_call()).map(|own| (own.bundle, own.mates));
        let Some((before, mates)) = carrier.filter(|_| self.bundles.contains_key(&bundle)) else { return false };
        before.into_iter().for_each(|before| self.bundle_unbind(before));
        self.bundle_unbind(bundle);
        for carrier in std::iter::once(name).chain(mates.iter()) {
            self.own(carrier.0, carrier.1).into_iter().for_each(|own| own.bundle = Some(bundle));
        }
        if let Some(its) = self.bundles.get_mut(&bundle) {
            its.busy_at = now;
            its.bundle.begin_anew();
        }
        true
    }

    /// Let no circuit carry a bundle.
    pub(super) fn bundle_unbind(&mut self, bundle: BundleId) {
        let carries = |own: &&mut OwnCircuit| own.bundle == Some(bundle);
        self.links.iter_mut().filter_map(|access| access.circuit.as_mut()).filter(carries).for_each(|own| own.bundle = None);
        self.bundles.get_mut(&bundle).into_iter().for_each(|its| its.told_wanting = false);
    }

    pub(super) fn bundle_close(&mut self, bundle: BundleId) -> bool {
        self.bundle_unbind(bundle);
        self.bundles.remove(&bundle).is_some()
    }
}
