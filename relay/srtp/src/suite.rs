//! Suites and master keys, and the session keys that follow from them. Spec: RFC 3711 §4.3, RFC 4568 §6.2, RFC 7714 §11, §14.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use zeroize::Zeroizing;

/// Octets of a block of AES.
pub(crate) const BLOCK_OCTETS: usize = 16;
/// Octets of a salt of AES-CM; the shorter one of AES-GCM is filled up with zeros for the derivation.
pub(crate) const SALT_OCTETS: usize = 14;
/// Octets of the salt of AES-GCM.
pub(crate) const GCM_SALT_OCTETS: usize = 12;

/// How packets are enciphered and tagged, by its name in SDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`.
    AesCm80,
    /// `AES_CM_128_HMAC_SHA1_32`: RTP has a tag of 32 bits.
    AesCm32,
    /// `AEAD_AES_128_GCM`.
    Gcm128,
    /// `AEAD_AES_256_GCM`.
    Gcm256,
}

impl Suite {
    /// Return the suite of a name of the registry of SRTP crypto suites, `None` for one that is not spoken here.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "AES_CM_128_HMAC_SHA1_80" => Self::AesCm80,
            "AES_CM_128_HMAC_SHA1_32" => Self::AesCm32,
            "AEAD_AES_128_GCM" => Self::Gcm128,
            "AEAD_AES_256_GCM" => Self::Gcm256,
            _ => return None,
        })
    }

    /// Octets of a master key.
    #[must_use]
    pub const fn key_octets(self) -> usize {
        if matches!(self, Self::Gcm256) {
            32
        } else {
            16
        }
    }

    /// Octets of the salt behind it.
    #[must_use]
    pub const fn salt_octets(self) -> usize {
        if matches!(self, Self::AesCm80 | Self::AesCm32) {
            SALT_OCTETS
        } else {
            GCM_SALT_OCTETS
        }
    }
}

/// A suite and the master key and salt of one direction. Erased when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Master {
    suite: Suite,
    octets: Zeroizing<Vec<u8>>,
}

impl Master {
    /// Take key and salt, one behind the other as SDP has them; `None` where they have not the length of the suite.
    #[must_use]
    pub fn new(suite: Suite, octets: &[u8]) -> Option<Self> {
        (octets.len() == suite.key_octets() + suite.salt_octets()).then(|| Self { suite, octets: Zeroizing::new(octets.to_vec()) })
    }

    pub(crate) const fn suite(&self) -> Suite {
        self.suite
    }

    /// Derive session octets: the start of the key stream of AES-CM whose block is the master salt with the label in its octet 7. Spec: RFC 3711 §4.3.1.
    pub(crate) fn derive(&self, label: u8, out: &mut [u8]) {
        let (key, salt) = self.octets.split_at(self.suite.key_octets());
        let mut start = Zeroizing::new([0; BLOCK_OCTETS]);
        start[..salt.len()].copy_from_slice(salt);
        start[7] ^= label;
        out.fill(0);
        if let Ok(cipher) = Aes128::new_from_slice(key) {
            add_stream(&cipher, &start, out);
        } else if let Ok(cipher) = Aes256::new_from_slice(key) {
            add_stream(&cipher, &start, out);
        }
    }

    /// Derive the session salt beside the key of a label.
    pub(crate) fn salt<const N: usize>(&self, label: u8) -> Zeroizing<[u8; N]> {
        let mut salt = Zeroizing::new([0; N]);
        self.derive(label + 2, &mut *salt);
        salt
    }
}

/// Add the key stream of AES-CM to `text`; the last two octets of `start` count blocks. At most 2^16 blocks, which no datagram has. Spec: RFC 3711 §4.1.1.
pub(crate) fn add_stream(cipher: &impl BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>, start: &[u8; BLOCK_OCTETS], text: &mut [u8]) {
    for (count, piece) in (0u16..=u16::MAX).zip(text.chunks_mut(BLOCK_OCTETS)) {
        let mut block = Block::from(*start);
        let counter = u16::from_be_bytes([block[14], block[15]]).wrapping_add(count);
        block[14..].copy_from_slice(&counter.to_be_bytes());
        cipher.encrypt_block(&mut block);
        for (octet, stream) in piece.iter_mut().zip(block) {
            *octet ^= stream;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    /// RFC 3711 B.2.
    #[test]
    fn the_key_stream_is_that_of_the_standard() {
        let key: [u8; 16] = octets("2B7E151628AED2A6ABF7158809CF4F3C").try_into().expect("16");
        let mut start = [0; 16];
        start[..14].copy_from_slice(&octets("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let mut stream = vec![0; 16 * 0xff02];
        add_stream(&Aes128::new(&key.into()), &start, &mut stream);
        assert_eq!(stream[..48], octets("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0"));
        assert_eq!(stream[16 * 0xfeff..], octets("EC8CDF7398607CB0F2D21675EA9EA1E4362B7C3C6773516318A077D7FC5073AE6A2CC3787889374FBEB4C81B17BA6C44"));
    }

    /// RFC 3711 B.3.
    #[test]
    fn session_keys_are_those_of_the_standard() {
        let master = Master::new(Suite::AesCm80, &octets("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")).expect("30 octets");
        let derived = |label, length| {
            let mut out = vec![0; length];
            master.derive(label, &mut out);
            out
        };
        assert_eq!(derived(0, 16), octets("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(2, 14), octets("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(derived(1, 20), octets("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for (suite, length) in [(Suite::AesCm80, 30), (Suite::AesCm32, 30), (Suite::Gcm128, 28), (Suite::Gcm256, 44)] {
            for wrong in [0, length - 1, length + 1] {
                assert!(Master::new(suite, &vec![0; wrong]).is_none());
            }
            assert!(Master::new(suite, &vec![0; length]).is_some());
        }
    }
}
