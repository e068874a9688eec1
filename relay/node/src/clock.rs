//! Network time (PROTOCOL.md §1.2): the machine's date once, at start, then the monotonic clock.
//!
//! A date that is set while the engine runs moves nothing: a jump would be a gap on the wire.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells network time in microseconds.
#[derive(Clone, Copy)]
pub struct Clock {
    began: Instant,
    began_at: u64,
}

impl Clock {
    /// `born_unix_us`: the network's birth; a birth in the future counts as now.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // the one place of the engine that reads clocks
    pub fn new(born_unix_us: u64) -> Self {
        let date = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        Self { began: Instant::now(), began_at: date.saturating_sub(born_unix_us) }
    }

    /// Microseconds since the network's birth.
    #[must_use]
    #[inline]
    pub fn now(&self) -> u64 {
        self.began_at + self.began.elapsed().as_micros() as u64
    }
}
