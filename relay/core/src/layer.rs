//! The layer: HCTR2 with AES-128, a length-preserving permutation of a whole body (PROTOCOL.md §4).
//!
//! Crowley, Huckleberry, Biggers: *Length-preserving encryption with HCTR2*, 2021 (IACR ePrint 2021/1441); symbols as there. Whoever flips
//! one bit turns the whole body into noise, so there is nothing to tag. Not here: which key and tweak belong to which hop.

use std::hint::black_box;

use crate::lab::{is_on, Switch};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use polyval::universal_hash::UniversalHash;
use polyval::Polyval;
use zeroize::Zeroize;

/// Octets of a key.
pub const KEY_OCTETS: usize = 16;
/// Octets of a block: the shortest text that can be enciphered.
pub const BLOCK_OCTETS: usize = 16;
/// Blocks of key stream made at once; the cipher works on eight in parallel.
const STREAM_BLOCKS: usize = 8;

/// Words of 16 octets, more than making a key ready leaves on the stack.
const STACK_WORDS: usize = 256;
/// The tweak under which the key of fast cells follows from that of a layer.
const FAST_LABEL: &[u8; 15] = b"voicebox/1 fast";

/// A key made ready for use. Its tables are erased when it is dropped, and lie in one place till then: what is moved leaves a copy behind.
pub struct Layer {
    keys: Box<Keys>,
}

struct Keys {
    cipher: Aes128,
    hash: Polyval,
    mask: u128,
}

impl Layer {
    /// Make a key ready.
    #[must_use]
    pub fn new(key: &[u8; KEY_OCTETS]) -> Self {
        let keys = Keys::on_the_heap(key);
        wipe_stack();
        Self { keys }
    }

    /// Encipher `text` in place under `tweak`. A text shorter than a block stays as it is: there is no permutation of that width here.
    pub fn encipher(&self, tweak: &[u8], text: &mut [u8]) {
        if is_on(Switch::XorStream) {
            return self.add_stream(tweak, text);
        }
        let Some((head, rest)) = text.split_first_chunk_mut::<BLOCK_OCTETS>() else { return };
        let tweaked = self.absorb_tweak(tweak, rest.len());
        let inner = u128::from_le_bytes(*head) ^ digest(tweaked.clone(), rest);
        let mut block = Block::from(inner.to_le_bytes());
        self.keys.cipher.encrypt_block(&mut block);
        let outer = u128::from_le_bytes(block.into());
        self.stream(inner ^ outer ^ self.keys.mask, rest);
        *head = (outer ^ digest(tweaked, rest)).to_le_bytes();
    }

    /// Decipher `text` in place under `tweak`: the inverse of [`Self::encipher`].
    pub fn decipher(&self, tweak: &[u8], text: &mut [u8]) {
        if is_on(Switch::XorStream) {
            return self.add_stream(tweak, text);
        }
        let Some((head, rest)) = text.split_first_chunk_mut::<BLOCK_OCTETS>() else { return };
        let tweaked = self.absorb_tweak(tweak, rest.len());
        let outer = u128::from_le_bytes(*head) ^ digest(tweaked.clone(), rest);
        let mut block = Block::from(outer.to_le_bytes());
        self.keys.cipher.decrypt_block(&mut block);
        let inner = u128::from_le_bytes(block.into());
        self.stream(inner ^ outer ^ self.keys.mask, rest);
        *head = (inner ^ digest(tweaked, rest)).to_le_bytes();
    }

    /// Return another key, which follows from this one and tells nothing about it: the beginning of 32 zero octets, enciphered under `label` as the tweak. No cell has a
    /// tweak of that length, and a tweakable permutation gives octets that look random for each tweak (PROTOCOL.md §13.2).
    fn derive(&self, label: &[u8]) -> [u8; KEY_OCTETS] {
        let mut text = [0; 2 * KEY_OCTETS];
        self.encipher(label, &mut text);
        let mut key = [0; KEY_OCTETS];
        key.copy_from_slice(&text[..KEY_OCTETS]);
        text.zeroize();
        key
    }

    /// Return the layer of fast cells beside this one, with a key of its own (PROTOCOL.md §13.2).
    #[must_use]
    pub fn fast(&self) -> Self {
        Self::new(&self.derive(FAST_LABEL))
    }

    /// What a stream cipher would do, for the lab's control: the same both ways.
    fn add_stream(&self, tweak: &[u8], text: &mut [u8]) {
        let mut start = [0; BLOCK_OCTETS];
        for (octet, given) in start[8..].iter_mut().zip(tweak) {
            *octet = *given;
        }
        self.stream(u128::from_le_bytes(start) ^ self.keys.mask, text);
    }

    /// Hash what both uses of the hash begin with: the length of the tweak, with the parity of the text, and the tweak.
    fn absorb_tweak(&self, tweak: &[u8], rest_octets: usize) -> Polyval {
        let mut hash = self.keys.hash.clone();
        let partial = u128::from(rest_octets % BLOCK_OCTETS != 0);
        let length = 2 * (8 * tweak.len() as u128) + 2 + partial;
        if tweak.len() <= BLOCK_OCTETS {
            let mut blocks = [Block::from(length.to_le_bytes()), Block::default()];
            blocks[1][..tweak.len()].copy_from_slice(tweak);
            hash.update(&blocks[..1 + usize::from(!tweak.is_empty())]);
        } else {
            hash.update(&[Block::from(length.to_le_bytes())]);
            hash.update_padded(tweak);
        }
        hash
    }

    /// Add the key stream of XCTR (section 2.2 of the paper) from `start` to `text`.
    fn stream(&self, start: u128, text: &mut [u8]) {
        let mut counter = 1u128;
        for piece in text.chunks_mut(STREAM_BLOCKS * BLOCK_OCTETS) {
            let mut blocks = [Block::default(); STREAM_BLOCKS];
            for block in &mut blocks {
                *block = Block::from((start ^ counter).to_le_bytes());
                counter += 1;
            }
            self.keys.cipher.encrypt_blocks(&mut blocks[..piece.len().div_ceil(BLOCK_OCTETS)]);
            for (octets, block) in piece.chunks_mut(BLOCK_OCTETS).zip(&blocks) {
                for (octet, key) in octets.iter_mut().zip(block) {
                    *octet ^= key;
                }
            }
        }
    }
}

impl Keys {
    #[inline(never)]
    fn on_the_heap(key: &[u8; KEY_OCTETS]) -> Box<Self> {
        let cipher = Aes128::new(&(*key).into());
        let mut hash_key = Block::default();
        cipher.encrypt_block(&mut hash_key);
        let mut mask = Block::from(1u128.to_le_bytes());
        cipher.encrypt_block(&mut mask);
        let hash = Polyval::new(&hash_key);
        hash_key.as_mut_slice().zeroize();
        Box::new(Self { cipher, hash, mask: u128::from_le_bytes(mask.into()) })
    }
}

/// Overwrite what the function called before this one left on the stack: the cipher's tables passed through there.
#[inline(never)]
fn wipe_stack() {
    let mut left = [u128::MAX; STACK_WORDS];
    black_box(&mut left).zeroize();
}

impl Drop for Keys {
    /// Erase what the two ciphers, which erase themselves, do not hold.
    fn drop(&mut self) {
        self.mask.zeroize();
    }
}

/// Finish a hash over `text`, padded with one bit where it does not fill its last block.
fn digest(mut hash: Polyval, text: &[u8]) -> u128 {
    let (blocks, partial) = Block::slice_as_chunks(text);
    hash.update(blocks);
    if !partial.is_empty() {
        let mut last = Block::default();
        last[..partial.len()].copy_from_slice(partial);
        last[partial.len()] = 1;
        hash.update(&[last]);
    }
    u128::from_le_bytes(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_bit_turns_the_whole_text_into_noise() {
        let layer = Layer::new(&[3; 16]);
        let mut text = [0u8; 248];
        layer.encipher(&[0, 0, 0, 9], &mut text);
        text[200] ^= 0x10;
        layer.decipher(&[0, 0, 0, 9], &mut text);
        assert_ne!(text[..16], [0; 16]);
        assert!(text.iter().filter(|octet| **octet == 0).count() < 20);
    }

    #[test]
    fn derived_keys_differ_by_label_and_key_and_from_the_key() {
        let derived = [([3; 16], &b"one"[..]), ([3; 16], b"other"), ([4; 16], b"one")].map(|(key, label)| Layer::new(&key).derive(label));
        assert_eq!(derived[0], Layer::new(&[3; 16]).derive(b"one"));
        assert!(derived[0] != derived[1] && derived[0] != derived[2] && derived[0] != [3; 16]);
    }

    #[test]
    fn the_tweak_is_part_of_the_key() {
        let layer = Layer::new(&[3; 16]);
        let (mut one, mut other) = ([5u8; 248], [5u8; 248]);
        layer.encipher(&1u32.to_be_bytes(), &mut one);
        layer.encipher(&2u32.to_be_bytes(), &mut other);
        assert_ne!(one, other);
        layer.decipher(&1u32.to_be_bytes(), &mut one);
        assert_eq!(one, [5u8; 248]);
    }
}
