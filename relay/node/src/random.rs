//! The core's randomness (PROTOCOL.md §1.3): the operating system's, expanded by ChaCha20.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use voicebox_core::RandomSource;

use crate::Error;

/// Fresh octets without a system call for each cell.
pub(crate) struct Expanded(ChaCha20Rng);

impl Expanded {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self(ChaCha20Rng::from_seed(system_octets()?)))
    }
}

impl RandomSource for Expanded {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

pub(crate) fn system_octets() -> Result<[u8; 32], Error> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(|_| Error::Host("the operating system gives no randomness"))?;
    Ok(octets)
}
