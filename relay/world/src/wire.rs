//! What a wire does to datagrams: delay, gamma-shaped jitter, loss; and what somebody on it does to them on purpose.

use voicebox_core::cell::Cell;
use voicebox_core::random::{draw_u32, SeededRandom};

/// The nature of a wire.
#[derive(Clone, Copy, Default)]
pub struct Wire {
    pub delay_us: u64,
    /// Scale of a gamma distribution of shape 2: the mean is twice as much.
    pub jitter_us: u64,
    pub loss_per_million: u32,
}

/// What somebody on the wire does at present.
#[derive(Clone, Copy, Default)]
pub struct Tamper {
    pub delay_us: u64,
    pub drop: bool,
    pub flip: bool,
    /// Each cell comes once more, so much later; 0: it does not.
    pub replay_us: u64,
}

impl Wire {
    /// Return when the datagram comes out, `None` where it is lost. Draws the same whatever becomes of it.
    pub fn carry(&self, left: u64, tamper: Tamper, draws: &mut SeededRandom) -> Option<u64> {
        let lost = draw_u32(draws) % 1_000_000 < self.loss_per_million;
        let mut unit = || (f64::from(draw_u32(draws)) + 1.0) / (f64::from(u32::MAX) + 2.0);
        let jitter = -(unit().ln() + unit().ln()) * self.jitter_us as f64;
        (!lost && !tamper.drop).then_some(left + self.delay_us + tamper.delay_us + jitter as u64)
    }
}

/// Flip a bit of the body.
pub fn flip(cell: &mut Cell) {
    cell[100] ^= 1;
}
