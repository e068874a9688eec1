//! How late frames leave a wire: a histogram in microseconds.

const MAX_US: usize = 20_000;

pub(crate) struct Lateness {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Lateness {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; MAX_US + 1], total: 0, max_us: 0 }
    }

    pub(crate) fn add(&mut self, late_ns: u64) {
        let late_us = late_ns.div_ceil(1_000);
        self.counts[(late_us as usize).min(MAX_US)] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(late_us);
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.max_us
    }

    /// The smallest lateness that `percent` of the frames do not exceed; 0 before the first, at most MAX_US.
    pub(crate) fn percentile_us(&self, percent: u64) -> u64 {
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|&count| {
            seen += count;
            seen >= wanted
        });
        reached.unwrap_or(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Lateness;

    #[test]
    fn percentiles_are_rounded_up_to_microseconds() {
        let mut lateness = Lateness::new();
        assert_eq!((lateness.percentile_us(99), lateness.max_us()), (0, 0));
        (0..100).for_each(|late_us| lateness.add(late_us * 1_000 + 1));
        assert_eq!((lateness.percentile_us(50), lateness.percentile_us(99), lateness.max_us()), (50, 99, 100));
        lateness.add(30_000_000);
        assert_eq!((lateness.percentile_us(100), lateness.max_us()), (20_000, 30_000));
    }
}
