//! How many packets may be under way: CUBIC. Times in microseconds; the window in packets, for all cells are of one size.
//!
//! Spec: RFC 9438, of which fast convergence (§4.7) and the region of Reno (§4.3) are in; spurious congestion events (§4.9) are not undone. Slow start is that of RFC 5681.

use crate::ids::Micros;

/// RFC 9002 §7.2: 14 720 octets.
const INITIAL_WINDOW: f64 = 64.0;
const MIN_WINDOW: f64 = 4.0;
/// 7 MB: more is of no use to streams with windows of 2 MiB.
const MAX_WINDOW: f64 = 32_768.0;
/// Packets to a segment of TCP's, some 1 480 octets: the window grows as a TCP's beside it does, though a packet has 212.
const SEGMENT: f64 = 7.0;
/// In packets / s^3 (RFC 9438 §4.6 and §5.1: 0.4 of segments).
const C: f64 = 0.4 * SEGMENT;
const BETA: f64 = 0.7;
const RENO_ALPHA: f64 = SEGMENT * 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// A time of congestion avoidance.
#[derive(Debug)]
struct Epoch {
    began: Micros,
    /// From its beginning to where the curve is flat, and how high that is.
    k_s: f64,
    flat: f64,
    /// What Reno would have.
    reno: f64,
}

#[derive(Debug)]
pub(super) struct Cubic {
    window: f64,
    threshold: f64,
    w_max: f64,
    epoch: Option<Epoch>,
    /// Packets said up to then tell of a congestion that was answered already.
    recovery_until: Option<Micros>,
}

impl Default for Cubic {
    fn default() -> Self {
        Self { window: INITIAL_WINDOW, threshold: MAX_WINDOW, w_max: 0.0, epoch: None, recovery_until: None }
    }
}

impl Cubic {
    /// Return how many packets may be under way.
    pub(super) fn window(&self) -> usize {
        self.window as usize // 4 to 32 768
    }

    pub(super) fn is_in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// Packets were acknowledged, of which the last one was said at `said_at`. fully_used: the window was what kept more from being said.
    pub(super) fn acknowledged(&mut self, now: Micros, packets: usize, said_at: Micros, smoothed_us: Micros, fully_used: bool) {
        if !fully_used || self.recovery_until.is_some_and(|until| said_at <= until) {
            return;
        }
        let packets = packets as f64;
        if self.is_in_slow_start() {
            self.window = (self.window + packets).min(MAX_WINDOW);
            return;
        }
        let (window, w_max) = (self.window, self.w_max);
        let flat = w_max.max(window);
        let epoch = self.epoch.get_or_insert_with(|| Epoch { began: now, k_s: ((flat - window) / C).cbrt(), flat, reno: window });
        let since_s = (now.saturating_sub(epoch.began) + smoothed_us) as f64 / 1e6;
        let target = (C * (since_s - epoch.k_s).powi(3) + epoch.flat).clamp(window, 1.5 * window);
        epoch.reno += if epoch.reno >= w_max { SEGMENT } else { RENO_ALPHA } * packets / window;
        let (grown, reno) = (window + (target - window) / window * packets, epoch.reno);
        self.window = grown.max(reno).min(MAX_WINDOW);
    }

    /// A packet that was said at `said_at` is lost; once for each time that the window takes to go round.
    pub(super) fn lost(&mut self, now: Micros, said_at: Micros) {
        if self.recovery_until.is_some_and(|until| said_at <= until) {
            return;
        }
        self.recovery_until = Some(now);
        self.w_max = if self.window < self.w_max { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(MIN_WINDOW);
        self.threshold = self.window;
        self.epoch = None;
    }

    /// Nothing came back for long: begin anew, with the least (RFC 9002 §7.6.2).
    pub(super) fn collapse(&mut self) {
        self.threshold = (self.window * BETA).max(MIN_WINDOW);
        self.window = MIN_WINDOW;
        self.epoch = None;
        self.recovery_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grow for some seconds, a window in each round trip of 100 ms.
    fn grow(cubic: &mut Cubic, from_s: f64, seconds: f64) {
        for round in 1..=(seconds * 10.0) as u64 {
            let now = (from_s * 1e6) as u64 + round * 100_000;
            cubic.acknowledged(now, cubic.window(), now - 1, 100_000, true);
        }
    }

    #[test]
    fn it_doubles_in_each_round_trip_until_the_first_loss_and_then_returns_to_where_that_was() {
        let mut cubic = Cubic::default();
        grow(&mut cubic, 0.0, 0.4);
        assert_eq!(cubic.window(), 1_024);
        cubic.lost(500_000, 450_000);
        cubic.lost(510_000, 450_000);
        assert_eq!((cubic.window(), cubic.is_in_slow_start()), (716, false), "one loss of a round trip counts");
        // K = cbrt(1024 * 0.3 / 2.8) = 4.8 s; flat there, as RFC 9438 figure 1 has it.
        grow(&mut cubic, 0.5, 4.5);
        assert!((1_000..=1_030).contains(&cubic.window()), "{}", cubic.window());
        grow(&mut cubic, 5.0, 5.0);
        assert!(cubic.window() > 1_200, "{}", cubic.window());
    }

    #[test]
    fn a_window_that_was_not_used_does_not_grow() {
        let mut cubic = Cubic::default();
        cubic.acknowledged(1_000_000, 30, 900_000, 100_000, false);
        assert_eq!(cubic.window(), 64);
        cubic.collapse();
        assert_eq!(cubic.window(), 4);
    }
}
