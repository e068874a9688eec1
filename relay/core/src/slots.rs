//! Slots and due times: how a hop fixes when it sends what, and which cell it still takes (PROTOCOL.md §5.3).
//!
//! A cell carries the low 32 bits of its slot; here slots are whole numbers. Not here: who calls when ([`crate::wheel`], [`crate::hop`]).

use crate::cell::{Body, BODY_OCTETS};
use crate::drop_reason::DropReason;
use crate::ids::{Micros, SLOT_US};

/// Microseconds in a slot, for times that may lie before the network's birth.
pub const SLOT: i64 = SLOT_US as i64;
/// The grid of de-jitter steps D.
pub const STEPS_US: [i64; 6] = [5_000, 10_000, 15_000, 20_000, 30_000, 40_000];
/// What a slot carries is put together this long before it is due.
pub const COMPOSE_US: i64 = 1_000;
/// Due times are rounded up to this grid, so that a node wakes once for many.
pub const GRID_US: i64 = 250;
/// Cells over which the earliest arrival is sought.
pub const MEASURED_CELLS: u32 = 50;
/// How many slots after the next one a cell may be. The greatest step takes two of them.
pub const AHEAD_SLOTS: i64 = 3;

/// Round a time up to the grid.
#[must_use]
pub const fn ceil_grid(time_us: i64) -> i64 {
    -((-time_us).div_euclid(GRID_US)) * GRID_US
}

/// Due times of one direction, `base + 20 ms * slot`; never changed once fixed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// When slot 0 would be due.
    pub base_us: i64,
    /// The first slot that is sent by these times; `None` where they only say what is taken.
    pub started: Option<i64>,
}

impl Due {
    /// Return when a slot is due.
    #[must_use]
    pub const fn time_us(&self, slot: i64) -> i64 {
        self.base_us + SLOT * slot
    }

    /// Return the first slot still to be put together at `now`.
    #[must_use]
    pub fn next_slot(&self, now: Micros) -> i64 {
        let slot = (now as i64 + COMPOSE_US - self.base_us).div_euclid(SLOT) + 1;
        self.started.map_or(slot, |started| slot.max(started))
    }

    /// Return the last slot that is due at or before a time.
    #[must_use]
    pub const fn last_slot(&self, time_us: i64) -> i64 {
        (time_us - self.base_us).div_euclid(SLOT)
    }
}

/// Return the step of a command, where it is one of the grid.
#[must_use]
pub fn step_of(step_us: u32) -> Option<i64> {
    STEPS_US.into_iter().find(|step| *step == i64::from(step_us))
}

/// The search for the earliest arrival among 50 cells.
pub struct Settling {
    step_us: i64,
    first: Option<u32>,
    cells: u32,
    earliest_us: i64,
}

impl Settling {
    /// Begin. first: cells before this number do not count; step_us: how long after the earliest arrival a slot will be due.
    #[must_use]
    pub const fn new(first: Option<u32>, step_us: i64) -> Self {
        Self { step_us, first, cells: 0, earliest_us: i64::MAX }
    }

    /// Take an arrival; with the 50th return the base of the due times.
    pub fn measure(&mut self, slot: i64, now: Micros) -> Option<i64> {
        if self.first.is_some_and(|first| ((slot as u32).wrapping_sub(first) as i32) < 0) {
            return None;
        }
        self.earliest_us = self.earliest_us.min(now as i64 - SLOT * slot);
        self.cells += 1;
        (self.cells == MEASURED_CELLS).then(|| ceil_grid(self.earliest_us + self.step_us))
    }
}

/// One place of a ring.
struct Place {
    slot: i64,
    full: bool,
    body: Body,
}

/// The cells of one direction between arrival and due time. Each slot is taken once.
pub struct Ring {
    places: Box<[Place]>,
}

impl Ring {
    /// Make a ring. A relay that sends at the due times needs four places; a junction, whose splice reads a body up to a slot later, eight.
    #[must_use]
    pub fn new(junction: bool) -> Self {
        let count = if junction { 8 } else { 4 };
        Self { places: (0..count).map(|_| Place { slot: i64::MIN, full: false, body: [0; BODY_OCTETS] }).collect() }
    }

    /// Make it as wide as a junction's.
    pub fn widen(&mut self) {
        let mut wide = Self::new(true);
        for place in self.places.iter().filter(|place| place.slot != i64::MIN) {
            wide.put(place.slot, place.full.then_some(&place.body));
        }
        *self = wide;
    }

    fn index(&self, slot: i64) -> usize {
        slot as usize & (self.places.len() - 1)
    }

    /// Return why a slot is not taken, or `None`.
    #[must_use]
    pub fn refusal(&self, slot: i64, due: &Due, now: Micros) -> Option<DropReason> {
        let next_slot = due.next_slot(now);
        if slot < next_slot {
            Some(DropReason::SlotLate)
        } else if slot > next_slot + AHEAD_SLOTS {
            Some(DropReason::SlotAhead)
        } else if self.places[self.index(slot)].slot == slot {
            Some(DropReason::SlotTwice)
        } else {
            None
        }
    }

    /// Keep a body; `None` marks the slot as taken by speech for this hop.
    pub fn put(&mut self, slot: i64, body: Option<&Body>) {
        let index = self.index(slot);
        let place = &mut self.places[index];
        place.slot = slot;
        place.full = body.is_some();
        if let Some(body) = body {
            place.body = *body;
        }
    }

    /// Return what came under a slot, `None` where nothing did.
    #[must_use]
    pub fn body(&self, slot: i64) -> Option<&Body> {
        let place = &self.places[self.index(slot)];
        (place.slot == slot && place.full).then_some(&place.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_follow_the_earliest_of_fifty_arrivals() {
        let mut settling = Settling::new(Some(1_000), 5_000);
        assert_eq!(settling.measure(999, 20_000_000 - 19_999), None);
        let mut base_us = None;
        for slot in 1_000..1_050i64 {
            assert_eq!(base_us, None);
            let late_us = if slot == 1_017 { 3_111 } else { 4_000 + (slot * 37 % 5_000) };
            base_us = settling.measure(slot, (SLOT * slot + late_us) as Micros);
        }
        assert_eq!(base_us, Some(8_250)); // 3 111 + 5 000, rounded up to 250
    }

    #[test]
    fn a_slot_is_taken_once_before_its_composing_time_and_at_most_three_ahead() {
        let due = Due { base_us: 5_000, started: None };
        let mut ring = Ring::new(false);
        let now = 100 * SLOT_US; // slot 99 is due 15 ms ago, slot 100 in 5 ms
        assert_eq!(ring.refusal(99, &due, now), Some(DropReason::SlotLate));
        assert_eq!(ring.refusal(100, &due, now + 3_999), None);
        assert_eq!(ring.refusal(100, &due, now + 4_000), Some(DropReason::SlotLate));
        assert_eq!(ring.refusal(103, &due, now), None);
        assert_eq!(ring.refusal(104, &due, now), Some(DropReason::SlotAhead));
        ring.put(100, Some(&[1; BODY_OCTETS]));
        ring.put(101, None);
        assert_eq!(ring.refusal(100, &due, now), Some(DropReason::SlotTwice));
        assert_eq!(ring.refusal(101, &due, now), Some(DropReason::SlotTwice));
        assert_eq!(ring.body(100), Some(&[1; BODY_OCTETS]));
        assert_eq!(ring.body(101), None);
        assert_eq!(ring.body(102), None);
    }

    #[test]
    fn the_grid_rounds_up_on_both_sides_of_zero() {
        assert_eq!((ceil_grid(1), ceil_grid(250), ceil_grid(-1), ceil_grid(-250)), (250, 250, 0, -250));
    }
}
