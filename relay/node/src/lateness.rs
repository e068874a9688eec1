//! How late ticks leave: a histogram of fixed size, in microseconds.

/// Up to here each microsecond has its own count; beyond, 64 share one.
const FINE: usize = 2_048;
const COARSE: usize = 2_048;
const COARSE_US: usize = 64;

/// Lateness of ticks: scheduled time to the send call of the tick's first cell.
pub(crate) struct Lateness {
    counts: Vec<u32>,
    ticks: u64,
    max_us: u64,
    /// Nothing is added from here on (`tap`).
    until: u64,
}

impl Lateness {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; FINE + COARSE], ticks: 0, max_us: 0, until: u64::MAX }
    }

    pub(crate) fn restart(&mut self, until: u64) {
        self.counts.fill(0);
        self.ticks = 0;
        self.max_us = 0;
        self.until = until;
    }

    pub(crate) fn add(&mut self, now: u64, scheduled: u64) {
        if now >= self.until {
            return;
        }
        let late_us = now.saturating_sub(scheduled);
        let place = late_us as usize;
        let place = if place < FINE { place } else { (FINE + (place - FINE) / COARSE_US).min(FINE + COARSE - 1) };
        self.counts[place] = self.counts[place].saturating_add(1);
        self.ticks += 1;
        self.max_us = self.max_us.max(late_us);
    }

    pub(crate) fn ticks(&self) -> u64 {
        self.ticks
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.max_us
    }

    /// The smallest lateness that `percent` of the ticks do not exceed; 0 before the first.
    pub(crate) fn percentile_us(&self, percent: u64) -> u64 {
        let wanted = (self.ticks * percent).div_ceil(100);
        let mut seen = 0;
        for (place, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted && seen > 0 {
                let upper = if place < FINE { place } else { FINE + (place - FINE) * COARSE_US + COARSE_US - 1 };
                return (upper as u64).min(self.max_us);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::Lateness;

    #[test]
    fn percentiles_are_upper_bounds_and_never_above_the_maximum() {
        let mut lateness = Lateness::new();
        assert_eq!(lateness.percentile_us(99), 0);
        for late in 1..=100 {
            lateness.add(1_000 + late, 1_000);
        }
        lateness.add(500, 1_000);
        assert_eq!((lateness.percentile_us(50), lateness.max_us(), lateness.ticks()), (50, 100, 101));
        lateness.add(1_000_000_000, 0);
        assert_eq!(lateness.percentile_us(100), 2_048 + 2_047 * 64 + 63);
        lateness.restart(10);
        lateness.add(10, 0);
        assert_eq!(lateness.ticks(), 0);
        lateness.add(9, 0);
        assert_eq!(lateness.ticks(), 1);
    }
}
