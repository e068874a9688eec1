//! Where random octets come from. The core has no source of its own: one is handed in (PROTOCOL.md §1.3).

use sha2::{Digest, Sha256};

/// A stream of random octets.
pub trait RandomSource: Send {
    /// Fill `out` with the next octets of the stream.
    fn fill(&mut self, out: &mut [u8]);
}

/// A stream from a seed, for simulations and for the comparison with the model: SHA-256(seed | i as u64, big-endian), i = 0, 1, ...
///
/// Not for real nodes: it is slow, and nothing erases what was drawn.
pub struct SeededRandom {
    seed: [u8; 32],
    block: u64,
    octets: [u8; 32],
    used: usize,
}

impl SeededRandom {
    /// Begin the stream of `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, block: 0, octets: [0; 32], used: 32 }
    }
}

impl RandomSource for SeededRandom {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            if self.used == self.octets.len() {
                let digest = Sha256::new().chain_update(self.seed).chain_update(self.block.to_be_bytes()).finalize();
                self.octets.copy_from_slice(&digest);
                self.block += 1;
                self.used = 0;
            }
            *octet = self.octets[self.used];
            self.used += 1;
        }
    }
}

/// Draw four octets as a big-endian number.
pub fn draw_u32(random: &mut dyn RandomSource) -> u32 {
    let mut octets = [0; 4];
    random.fill(&mut octets);
    u32::from_be_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeded_stream_is_one_stream_however_it_is_cut() {
        let (mut whole, mut parts) = ([0; 100], [0; 100]);
        SeededRandom::new([7; 32]).fill(&mut whole);
        let mut source = SeededRandom::new([7; 32]);
        for piece in parts.chunks_mut(9) {
            source.fill(piece);
        }
        assert_eq!(whole, parts);
        assert_ne!(whole[..32], whole[32..64]);
    }
}
