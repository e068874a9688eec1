//! What tests of this crate draw.

/// A generator whose draws depend on the seed alone (splitmix64).
pub struct Draws(pub u64);

impl Draws {
    /// Draw a number below a bound.
    pub fn next(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ word >> 31) % u64::from(below)) as u32
    }
}
