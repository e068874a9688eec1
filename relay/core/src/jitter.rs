//! How late the cells of a link come after the earliest: what the de-jitter step of its class is chosen by (PROTOCOL.md §5.3).
//!
//! Counted on settled directions only, by the grid of steps, and halved now and then, so that the present weighs more than the past. Nothing that leaves
//! the core depends on it: who accepts a circuit reads it, chooses, and says the step. Not here: that choice (`voicebox/circuits/steps.py`).

use crate::slots::{COMPOSE_US, STEPS_US};

/// Cells without which nothing is said of 99.9 %: one circuit's minute.
pub const CELLS_FOR_A_VOTE: u32 = 3_000;
/// Counts are halved here: 22 minutes of one circuit.
const CELLS_KEPT: u32 = 65_536;

/// One link's lateness, as counts by step.
#[derive(Debug, Clone, Default)]
pub struct Jitter {
    counts: [u32; STEPS_US.len() + 1],
}

impl Jitter {
    /// Count a cell that came so much later than the earliest of its direction, under the step with which it is still taken.
    pub fn note(&mut self, late_us: i64) {
        let place = STEPS_US.iter().position(|step_us| late_us + COMPOSE_US < *step_us).unwrap_or(STEPS_US.len());
        self.counts[place] += 1;
        if self.cells() >= CELLS_KEPT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// Return the least step that is enough for 99.9 % of the cells, the greatest where none does; `None` where too few cells came.
    #[must_use]
    pub fn step_us(&self) -> Option<i64> {
        let cells = u64::from(self.cells());
        if cells < u64::from(CELLS_FOR_A_VOTE) {
            return None;
        }
        let mut covered = 0;
        let found = STEPS_US.iter().zip(self.counts).find(|(_, count)| {
            covered += u64::from(*count);
            covered * 1_000 >= cells * 999
        });
        Some(found.map_or(STEPS_US[STEPS_US.len() - 1], |(step_us, _)| *step_us))
    }

    fn cells(&self) -> u32 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_covers_999_cells_of_1_000() {
        let mut jitter = Jitter::default();
        (0..2_999).for_each(|cell| jitter.note(if cell % 1_000 == 0 { 38_000 } else { 3_999 }));
        assert_eq!(jitter.step_us(), None, "one cell too few");
        jitter.note(3_999);
        assert_eq!(jitter.step_us(), Some(5_000), "3 of 3 000 may be later");
        jitter.note(4_000);
        assert_eq!(jitter.step_us(), Some(10_000));
        (0..5).for_each(|_| jitter.note(1_000_000));
        assert_eq!(jitter.step_us(), Some(40_000), "no step covers it");
        assert_eq!(Jitter { counts: [0, 0, 0, 5_000, 0, 0, 0] }.step_us(), Some(20_000));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut jitter = Jitter::default();
        (0..30_000).for_each(|_| jitter.note(12_000));
        assert_eq!(jitter.step_us(), Some(15_000));
        // Twelve halvings: 30 000 become fewer than one in a thousand.
        (0..400_000).for_each(|_| jitter.note(-3));
        assert_eq!(jitter.step_us(), Some(5_000));
    }
}
