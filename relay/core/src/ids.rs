//! Names of things: one newtype for every identifier, so that a link is never taken for a circuit.

/// Network time in microseconds since the network's birth (PROTOCOL.md §1.2).
pub type Micros = u64;

/// Microseconds in a slot (PROTOCOL.md §1.2).
pub const SLOT_US: u64 = 20_000;

/// A link of this node; numbered by whoever drives the core, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u32);

/// The number of a circuit on one link, chosen by the circuit's owner; 0 is link control (PROTOCOL.md §3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CircId(pub u32);

/// The number in a cell: the low 32 bits of the slot (PROTOCOL.md §1.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(pub u32);

/// A media port of this node; numbered by whoever drives the core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortId(pub u32);

/// Link control: the circuit number that no circuit has.
pub const CONTROL: CircId = CircId(0);

/// The bit of a circuit's number that says that it is metered: it has a cell in the slots of even numbers alone (PROTOCOL.md §5.7).
pub const METERED: u32 = 1 << 31;

/// The bit of a circuit's number that says that a cell is a fast one, of the circuit whose number is without that bit (PROTOCOL.md §13.1).
pub const FAST: u32 = 1 << 30;

/// The local number of a bundle of streams (PROTOCOL.md §11.1); never sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BundleId(pub u32);

impl CircId {
    /// Return whether this is in the place of a circuit's number in a fast cell.
    #[must_use]
    pub const fn is_fast(self) -> bool {
        self.0 & FAST != 0
    }

    /// Return what fast cells of the circuit have in the place of its number.
    #[must_use]
    pub const fn fast(self) -> Self {
        Self(self.0 | FAST)
    }

    /// Return the circuit's number, whether a fast cell or another one says it.
    #[must_use]
    pub const fn of_slots(self) -> Self {
        Self(self.0 & !FAST)
    }

    /// Return the circuit's stride: the slots from one of its cells to the next, 2 where it is metered, else 1.
    #[must_use]
    pub const fn stride(self) -> i64 {
        if self.0 & METERED == 0 {
            1
        } else {
            2
        }
    }
}

/// Return the first slot at or after one in which a circuit of this stride has a cell.
#[must_use]
pub const fn slot_from(slot: i64, stride: i64) -> i64 {
    slot + slot.rem_euclid(stride)
}

/// Return the last slot at or before one in which a circuit of this stride has a cell.
#[must_use]
pub const fn slot_until(slot: i64, stride: i64) -> i64 {
    slot - slot.rem_euclid(stride)
}

impl Slot {
    /// Return the whole slot number nearest to network time `now` whose low 32 bits are this number.
    #[must_use]
    pub fn unwrap_near(self, now: Micros) -> i64 {
        let here = (now / SLOT_US) as i64;
        here + i64::from(self.0.wrapping_sub(here as u32) as i32)
    }

    /// Return the number that the whole slot number `slot` has in a cell.
    #[must_use]
    pub fn of(slot: i64) -> Self {
        Self(slot as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_unwrap_to_the_nearest_slot_on_both_sides_of_a_wrap() {
        let now = (1u64 << 32) * SLOT_US;
        assert_eq!(Slot(3).unwrap_near(now), (1i64 << 32) + 3);
        assert_eq!(Slot(u32::MAX).unwrap_near(now), (1i64 << 32) - 1);
        assert_eq!(Slot(u32::MAX).unwrap_near(0), -1);
        assert_eq!(Slot::of(-1), Slot(u32::MAX));
    }

    #[test]
    fn a_metered_circuit_has_the_slots_of_even_numbers() {
        let (metered, other) = (CircId(METERED | 7), CircId(METERED - 1));
        assert_eq!((metered.stride(), other.stride(), CONTROL.stride()), (2, 1, 1));
        assert_eq!([-3, -2, 4, 5].map(|slot| (slot_from(slot, 2), slot_until(slot, 2))), [(-2, -4), (-2, -2), (4, 4), (6, 4)]);
        assert_eq!((slot_from(5, 1), slot_until(5, 1)), (5, 5));
    }
}
