//! Which circuits are coupled with one.
//!
//! Spec: PROTOCOL.md §9.5.

use super::circuit::Name;

/// Circuits that carry a call beside one.
pub const MAX_MATES: usize = 2;

/// Circuits coupled with one, in the order in which they came: first, spare, and while a call moves to the next epoch one more (PROTOCOL.md §9.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mates([Option<Name>; MAX_MATES]);

impl Mates {
    /// Return them in their order.
    pub fn iter(&self) -> impl Iterator<Item = Name> + '_ {
        self.0.iter().flatten().copied()
    }

    /// Return whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Return whether there are as many as there may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// Give one another name.
    pub fn rename(&mut self, name: Name, new: Name) {
        self.0.iter_mut().filter(|place| **place == Some(name)).for_each(|place| *place = Some(new));
    }

    /// Add one at the end; what is beyond the bound, which the caller has seen to, is not.
    pub fn add(&mut self, name: Name) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(name);
        }
    }

    /// Take one out; the others keep their order.
    pub fn remove(&mut self, name: Name) {
        let left: Vec<_> = self.iter().filter(|other| *other != name).collect();
        self.0 = [left.first().copied(), left.get(1).copied()];
    }
}
