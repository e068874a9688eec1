//! What tests of this crate draw.

/// Numbers that are the same in every run (xorshift64).
pub struct Dice(pub u64);

impl Dice {
    /// Draw a number below a bound.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
