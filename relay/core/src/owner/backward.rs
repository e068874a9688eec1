//! The owner's end of a backward direction: numbers taken once, due times of the sound, and the guard's clock.
//!
//! Spec: PROTOCOL.md §5.3 (the owner settles its own end likewise), §5.6.

use crate::drop_reason::DropReason;
use crate::ids::{Micros, Slot, SLOT_US};
use crate::slots::STEPS_US;

/// Due times are rounded up to this.
const GRID_US: i64 = 250;
const SETTLING_CELLS: u32 = 50;
const CLOCK_CELLS: u32 = 64;
const LARGEST_CORRECTION_US: i64 = 100;
/// Part of the smallest deviation by which the tick moves.
const CORRECTION_DIVISOR: i64 = 4;
/// Numbers behind the highest that are still taken.
const WINDOW_SLOTS: i64 = 64;
const SLOTS_AHEAD: i64 = 3;
const SLOT: i64 = SLOT_US as i64; // 20 000

/// Where settling stands; an own end settles only when told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// Cells are taken as they come; there is no sound.
    Off,
    /// The next cells are measured.
    Measuring { cells: u32, earliest: i64 },
    /// Due times stand; `cells` of the present 64 came, the earliest of them by `deviation`.
    Settled { base: i64, cells: u32, deviation: i64 },
}

/// A number that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When the sound of this cell is due; `None` while the end is not settled.
    pub due: Option<Micros>,
    /// By how much the tick and the due times move to follow the guard's clock; mostly 0.
    pub correction_us: i64,
    /// By how much the cell came later than the earliest; `None` while the end is not settled.
    pub late_us: Option<i64>,
}

/// One circuit's own backward end.
#[derive(Debug, Clone)]
pub struct Backward {
    highest: Option<i64>,
    /// Bit i: `highest - i` was taken.
    seen: u64,
    settling: Settling,
    /// The de-jitter step D (PROTOCOL.md §5.3).
    step_us: i64,
}

impl Backward {
    /// Begin with nothing taken, not settled.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: None, seen: 0, settling: Settling::Off, step_us: STEPS_US[0] }
    }

    /// Measure the next 50 cells, also where due times stood before. step_us: how long after the earliest arrival a slot will be due.
    pub fn settle(&mut self, step_us: i64) {
        self.step_us = step_us;
        self.settling = Settling::Measuring { cells: 0, earliest: i64::MAX };
    }

    /// Take the number of a cell that came at `now`.
    ///
    /// # Errors
    /// [`DropReason::OwnerAhead`] or [`DropReason::OwnerReplayed`]; nothing has changed.
    pub fn take(&mut self, now: Micros, number: Slot) -> Result<Taken, DropReason> {
        let slot = number.unwrap_near(now);
        let arrival = now as i64; // network time fits for 292 000 years
        if let Settling::Settled { base, .. } = self.settling {
            if slot > (arrival - base - self.step_us).div_euclid(SLOT) + SLOTS_AHEAD {
                return Err(DropReason::OwnerAhead);
            }
        }
        self.take_once(slot)?;
        Ok(self.measure(arrival, slot))
    }

    fn take_once(&mut self, slot: i64) -> Result<(), DropReason> {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(slot), 1);
            return Ok(());
        };
        let ahead = slot - highest;
        if ahead > 0 {
            self.seen = if ahead < WINDOW_SLOTS { self.seen << ahead | 1 } else { 1 };
            self.highest = Some(slot);
            return Ok(());
        }
        if -ahead >= WINDOW_SLOTS || self.seen & 1 << -ahead != 0 {
            return Err(DropReason::OwnerReplayed);
        }
        self.seen |= 1 << -ahead;
        Ok(())
    }

    fn measure(&mut self, arrival: i64, slot: i64) -> Taken {
        let offset = arrival - SLOT * slot;
        let (settling, taken) = match self.settling {
            Settling::Off => (Settling::Off, Taken { due: None, correction_us: 0, late_us: None }),
            Settling::Measuring { cells, earliest } => {
                let (cells, earliest) = (cells + 1, earliest.min(offset));
                let next = match cells < SETTLING_CELLS {
                    true => Settling::Measuring { cells, earliest },
                    false => Settling::Settled { base: earliest, cells: 0, deviation: i64::MAX },
                };
                (next, Taken { due: None, correction_us: 0, late_us: None })
            }
            Settling::Settled { base, cells, deviation } => {
                let (due, late_us) = (due_of(base + self.step_us, slot), Some(offset - base));
                let (cells, deviation) = (cells + 1, deviation.min(offset - base));
                if cells < CLOCK_CELLS {
                    (Settling::Settled { base, cells, deviation }, Taken { due, correction_us: 0, late_us })
                } else {
                    let correction_us = (deviation / CORRECTION_DIVISOR).clamp(-LARGEST_CORRECTION_US, LARGEST_CORRECTION_US);
                    let next = Settling::Settled { base: base + correction_us, cells: 0, deviation: i64::MAX };
                    (next, Taken { due, correction_us, late_us })
                }
            }
        };
        self.settling = settling;
        taken
    }
}

/// Return `from + 20 000 * slot`, rounded up to 250 us; `None` before the birth of the network.
fn due_of(from: i64, slot: i64) -> Option<Micros> {
    let exact = from + SLOT * slot;
    u64::try_from((exact + GRID_US - 1).div_euclid(GRID_US) * GRID_US).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 5_000_000;

    fn arrival(slot: u32) -> u64 {
        START + 7_123 + SLOT_US * u64::from(slot - 250)
    }

    #[test]
    fn numbers_are_taken_once_within_64() {
        let mut backward = Backward::new();
        for (number, taken) in
            [(300, true), (300, false), (299, true), (237, true), (236, false), (310, true), (246, false), (247, true), (5_000, true), (4_936, false)]
        {
            assert_eq!(backward.take(START, Slot(number)).is_ok(), taken, "{number}");
        }
    }

    #[test]
    fn due_times_come_of_the_earliest_of_50_cells() {
        let mut backward = Backward::new();
        backward.settle(5_000);
        for slot in 250..300 {
            let late = u64::from(slot % 7) * 300;
            assert_eq!(backward.take(arrival(slot) + late, Slot(slot)).map(|taken| taken.due), Ok(None));
        }
        // The earliest: slots divisible by 7, which are not late. 7 123 + 5 000, rounded up to 250.
        assert_eq!(backward.take(arrival(300) + 4_000, Slot(300)).map(|taken| taken.due), Ok(Some(START + 50 * SLOT_US + 12_250)));
        assert_eq!(backward.take(arrival(300), Slot(305)), Err(DropReason::OwnerAhead));
        assert!(backward.take(arrival(301), Slot(302)).is_ok());
    }

    #[test]
    fn the_tick_follows_a_clock_that_is_50_ppm_off() {
        let mut backward = Backward::new();
        backward.settle(5_000);
        let (mut moved, mut worst) = (0i64, 0i64);
        let slots = 100_000u32;
        for slot in 250..slots {
            // The guard's slots last 20 001 us of our clock.
            let now = arrival(slot) + u64::from(slot - 250);
            let taken = backward.take(now, Slot(slot)).expect("in order");
            moved += taken.correction_us;
            if let Some(due) = taken.due {
                worst = worst.max((due as i64 - now as i64 - 5_000).abs());
            }
        }
        let drifted = i64::from(slots - 250);
        assert!((drifted - moved).abs() < 400, "{moved} of {drifted} us followed");
        assert!(worst < 700, "due times {worst} us off");
    }
}
