//! Hash tables whose keys are chosen by peers: the hash has a secret key, drawn from the source that is handed in.
//!
//! One multiplication per word, folded; not cryptographic, but who does not know the key cannot aim at one bucket. Never iterated for outputs.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// A hash table with a secret key.
pub type KeyedMap<K, V> = HashMap<K, V, HashKey>;

/// The secret key of a table.
#[derive(Clone, Copy)]
pub struct HashKey {
    start: u64,
    factor: u64,
}

impl HashKey {
    /// Take the key from 16 random octets.
    #[must_use]
    pub fn new(octets: [u8; 16]) -> Self {
        let whole = u128::from_be_bytes(octets);
        Self { start: (whole >> 64) as u64, factor: whole as u64 | 1 }
    }

    /// Return an empty table with this key.
    #[must_use]
    pub fn map<K, V>(self) -> KeyedMap<K, V> {
        HashMap::with_hasher(self)
    }
}

impl BuildHasher for HashKey {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.start, factor: self.factor }
    }
}

/// The running hash.
pub struct Folding {
    state: u64,
    factor: u64,
}

impl Folding {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64 ^ (product >> 64) as u64).rotate_left(23);
    }
}

impl Hasher for Folding {
    fn write(&mut self, octets: &[u8]) {
        for piece in octets.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.fold(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.factor);
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    #[test]
    fn neighbouring_keys_spread_over_the_low_and_high_bits() {
        let key = HashKey::new(0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344_u128.to_be_bytes()); // the digits of pi
        let low: HashSet<u64> = (0..4_096u32).map(|number| key.hash_one(number) & 0xffff).collect();
        let high: HashSet<u64> = (0..4_096u32).map(|number| key.hash_one(number) >> 48).collect();
        assert!(low.len() > 3_800 && high.len() > 3_800, "{} {}", low.len(), high.len());
    }
}
