//! The owner's end of a backward direction: numbers taken once, and due times of the sound, which go with the link's clock.
//!
//! Spec: PROTOCOL.md §5.3 (the owner settles its own end likewise), §5.6.

use super::clock::Clock;
use crate::drop_reason::DropReason;
use crate::ids::{Micros, Slot, SLOT_US};
use crate::slots::STEPS_US;

/// Due times are rounded up to this.
const GRID_US: i64 = 250;
const SETTLING_CELLS: u32 = 50;
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
    /// Due times stand.
    Settled { base: i64 },
}

/// A number that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When the sound of this cell is due; `None` while the end is not settled.
    pub due: Option<Micros>,
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

    /// Let the next cell alone say when slots are due from now on; false where no due times stand.
    pub fn begin_anew(&mut self) -> bool {
        let stands = match self.settling {
            Settling::Settled { .. } => true,
            Settling::Measuring { cells, .. } => cells == SETTLING_CELLS - 1,
            Settling::Off => false,
        };
        if stands {
            self.settling = Settling::Measuring { cells: SETTLING_CELLS - 1, earliest: i64::MAX };
        }
        stands
    }

    /// Take the number of a cell that came at `now`, and note it in the link's clock.
    ///
    /// # Errors
    /// [`DropReason::OwnerAhead`] or [`DropReason::OwnerReplayed`]; nothing has changed.
    pub fn take(&mut self, now: Micros, number: Slot, clock: &mut Clock) -> Result<Taken, DropReason> {
        let slot = number.unwrap_near(now);
        let model_us = clock.model_us();
        let arrival = now as i64; // network time fits for 292 000 years
        if let Settling::Settled { base } = self.settling {
            if slot > (arrival - model_us - base - self.step_us).div_euclid(SLOT) + SLOTS_AHEAD {
                return Err(DropReason::OwnerAhead);
            }
        }
        self.take_once(slot)?;
        clock.note(arrival - SLOT * slot);
        Ok(self.measure(arrival - SLOT * slot - model_us, slot, model_us))
    }

    /// Let due times that stand go with the guard's cells, which have jumped.
    pub fn jump(&mut self, by_us: i64) {
        if let Settling::Settled { base } = &mut self.settling {
            *base += by_us;
        }
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

    fn measure(&mut self, offset: i64, slot: i64, model_us: i64) -> Taken {
        match self.settling {
            Settling::Off => Taken { due: None, late_us: None },
            Settling::Measuring { cells, earliest } => {
                let (cells, earliest) = (cells + 1, earliest.min(offset));
                self.settling = match cells < SETTLING_CELLS {
                    true => Settling::Measuring { cells, earliest },
                    false => Settling::Settled { base: earliest },
                };
                Taken { due: None, late_us: None }
            }
            Settling::Settled { base } => Taken { due: due_of(base + self.step_us + model_us, slot), late_us: Some(offset - base) },
        }
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
    use crate::random::SeededRandom;

    const START: u64 = 5_000_000;

    fn clock() -> Clock {
        Clock::new(&mut SeededRandom::new([1; 32]))
    }

    fn arrival(slot: u32) -> u64 {
        START + 7_123 + SLOT_US * u64::from(slot - 250)
    }

    #[test]
    fn numbers_are_taken_once_within_64() {
        let (mut backward, mut clock) = (Backward::new(), clock());
        for (number, taken) in
            [(300, true), (300, false), (299, true), (237, true), (236, false), (310, true), (246, false), (247, true), (5_000, true), (4_936, false)]
        {
            assert_eq!(backward.take(START, Slot(number), &mut clock).is_ok(), taken, "{number}");
        }
    }

    #[test]
    fn due_times_come_of_the_earliest_of_50_cells() {
        let (mut backward, mut clock) = (Backward::new(), clock());
        backward.settle(5_000);
        for slot in 250..300 {
            let late = u64::from(slot % 7) * 300;
            assert_eq!(backward.take(arrival(slot) + late, Slot(slot), &mut clock).map(|taken| taken.due), Ok(None));
        }
        // The earliest: slots divisible by 7, which are not late. 7 123 + 5 000, rounded up to 250.
        assert_eq!(backward.take(arrival(300) + 4_000, Slot(300), &mut clock).map(|taken| taken.due), Ok(Some(START + 50 * SLOT_US + 12_250)));
        assert_eq!(backward.take(arrival(300), Slot(305), &mut clock), Err(DropReason::OwnerAhead));
        assert!(backward.take(arrival(301), Slot(302), &mut clock).is_ok());
    }
}
