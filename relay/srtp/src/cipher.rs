//! Ciphers and tags with the session keys of one direction. Spec: RFC 3711 §4.1, §4.2; RFC 7714 §8, §9.

use std::hint::black_box;

use aes::Aes128;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::{Zeroize, Zeroizing};

use crate::suite::{add_stream, Master, Suite, BLOCK_OCTETS, GCM_SALT_OCTETS, SALT_OCTETS};

/// Octets of the tag of AES-GCM.
const GCM_TAG_OCTETS: usize = 16;
/// Words of 16 octets, more than making the keys ready leaves on the stack.
const STACK_WORDS: usize = 512;
/// Octets of the longest key of a cipher.
const MAX_KEY_OCTETS: usize = 32;
/// Octets of a session key of HMAC-SHA1 (RFC 3711 §5.2).
const MAC_KEY_OCTETS: usize = 20;

/// What is protected, as the label of its session key; those of authentication and salt are one and two further (RFC 3711 §4.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rtp = 0,
    Rtcp = 3,
}

enum Keys {
    Counter { cipher: Aes128, salt: Zeroizing<[u8; SALT_OCTETS]>, mac: Hmac<Sha1>, tag_octets: usize },
    Gcm128(Aes128Gcm, Zeroizing<[u8; GCM_SALT_OCTETS]>),
    Gcm256(Aes256Gcm, Zeroizing<[u8; GCM_SALT_OCTETS]>),
}

/// The session keys of RTP or RTCP in one direction, in one place until they are erased.
pub(crate) struct Cipher {
    keys: Box<Keys>,
    kind: Kind,
}

/// What decides about a packet beside its text.
pub(crate) struct Place<'a> {
    pub(crate) ssrc: u32,
    /// 48 bits of RTP, 31 of RTCP.
    pub(crate) index: u64,
    /// Octets before the text, in the clear.
    pub(crate) head: &'a [u8],
    /// What is authenticated behind the text: the roll-over counter of RTP, which is not sent; the index word of RTCP, which is.
    pub(crate) tail: [u8; 4],
}

impl Cipher {
    pub(crate) fn new(master: &Master, kind: Kind) -> Self {
        let keys = Keys::on_the_heap(master, kind);
        wipe_stack();
        Self { keys, kind }
    }

    /// For the vectors of RFC 7714, which give session keys.
    #[cfg(test)]
    pub(crate) fn of_gcm_session(key: &[u8], salt: [u8; GCM_SALT_OCTETS], kind: Kind) -> Self {
        Self { keys: Box::new(Keys::Gcm128(made(key), salt.into())), kind }
    }

    /// Octets that a packet becomes longer by, the index word of RTCP excepted.
    pub(crate) fn tag_octets(&self) -> usize {
        match *self.keys {
            Keys::Counter { tag_octets, .. } => tag_octets,
            Keys::Gcm128(..) | Keys::Gcm256(..) => GCM_TAG_OCTETS,
        }
    }

    /// Say whether the tag stands before the index word of RTCP (RFC 7714 §9.2), or behind it (RFC 3711 §3.4).
    pub(crate) fn tag_is_before_the_index(&self) -> bool {
        !matches!(*self.keys, Keys::Counter { .. })
    }

    /// Encipher `text` in place and return its tag: the first [`Self::tag_octets`] of it. `None` for a text that no datagram holds.
    pub(crate) fn seal(&self, place: &Place<'_>, text: &mut [u8]) -> Option<[u8; GCM_TAG_OCTETS]> {
        match &*self.keys {
            Keys::Counter { cipher, salt, mac, .. } => {
                add_stream(cipher, &counter_start(salt, place), text);
                let whole = authenticated(mac, place, text).finalize().into_bytes();
                whole.first_chunk().copied()
            }
            Keys::Gcm128(cipher, salt) => gcm_seal(cipher, &nonce(salt, place), &self.additional(place), text),
            Keys::Gcm256(cipher, salt) => gcm_seal(cipher, &nonce(salt, place), &self.additional(place), text),
        }
    }

    /// Check the tag, of [`Self::tag_octets`], and decipher `text` in place; false where it is forged, and `text` then means nothing.
    pub(crate) fn open(&self, place: &Place<'_>, text: &mut [u8], tag: &[u8]) -> bool {
        match &*self.keys {
            Keys::Counter { cipher, salt, mac, .. } => {
                let genuine = authenticated(mac, place, text).verify_truncated_left(tag).is_ok();
                if genuine {
                    add_stream(cipher, &counter_start(salt, place), text);
                }
                genuine
            }
            Keys::Gcm128(cipher, salt) => gcm_open(cipher, &nonce(salt, place), &self.additional(place), text, tag),
            Keys::Gcm256(cipher, salt) => gcm_open(cipher, &nonce(salt, place), &self.additional(place), text, tag),
        }
    }

    /// Return the additional data of AES-GCM. Spec: RFC 7714 §8.2, §9.2.
    fn additional(&self, place: &Place<'_>) -> Vec<u8> {
        match self.kind {
            Kind::Rtp => place.head.to_vec(),
            Kind::Rtcp => [place.head, &place.tail].concat(),
        }
    }
}

impl Keys {
    #[inline(never)]
    fn on_the_heap(master: &Master, kind: Kind) -> Box<Self> {
        let label = kind as u8;
        let mut key = Zeroizing::new([0; MAX_KEY_OCTETS]);
        let key = &mut key[..master.suite().key_octets()];
        master.derive(label, key);
        Box::new(match master.suite() {
            Suite::Gcm128 => Self::Gcm128(made(key), master.salt(label)),
            Suite::Gcm256 => Self::Gcm256(made(key), master.salt(label)),
            suite @ (Suite::AesCm80 | Suite::AesCm32) => {
                let mut mac_key = Zeroizing::new([0; MAC_KEY_OCTETS]);
                master.derive(label + 1, &mut *mac_key);
                let tag_octets = if suite == Suite::AesCm32 && kind == Kind::Rtp { 4 } else { 10 };
                Self::Counter { cipher: made(key), salt: master.salt(label), mac: made(&*mac_key), tag_octets }
            }
        })
    }
}

/// Overwrite what the function called before this one left on the stack: the ciphers' tables passed through there.
#[inline(never)]
fn wipe_stack() {
    let mut left = [u128::MAX; STACK_WORDS];
    black_box(&mut left).zeroize();
}

/// Make a key ready. Its length is that of the suite, which [`Master`] has checked.
fn made<C: KeyInit>(key: &[u8]) -> C {
    C::new_from_slice(key).expect("the suite's own length") // Master::new
}

fn authenticated(mac: &Hmac<Sha1>, place: &Place<'_>, text: &[u8]) -> Hmac<Sha1> {
    mac.clone().chain_update(place.head).chain_update(text).chain_update(place.tail)
}

/// Return the first block of a packet's key stream. Spec: RFC 3711 §4.1.1.
fn counter_start(salt: &[u8; SALT_OCTETS], place: &Place<'_>) -> [u8; BLOCK_OCTETS] {
    let mut start = [0; BLOCK_OCTETS];
    start[..SALT_OCTETS].copy_from_slice(salt);
    mix(&mut start[4..SALT_OCTETS], place);
    start
}

/// Return a packet's nonce. Spec: RFC 7714 §8.1, §9.1.
fn nonce(salt: &[u8; GCM_SALT_OCTETS], place: &Place<'_>) -> [u8; GCM_SALT_OCTETS] {
    let mut nonce = *salt;
    mix(&mut nonce[2..], place);
    nonce
}

/// Add source and index, 4 and 6 octets.
fn mix(into: &mut [u8], place: &Place<'_>) {
    let index = place.index.to_be_bytes();
    for (octet, with) in into.iter_mut().zip(place.ssrc.to_be_bytes().iter().chain(&index[2..])) {
        *octet ^= with;
    }
}

fn gcm_seal<C>(cipher: &C, nonce: &[u8; GCM_SALT_OCTETS], additional: &[u8], text: &mut [u8]) -> Option<[u8; GCM_TAG_OCTETS]>
where
    C: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    cipher.encrypt_inout_detached(&(*nonce).into(), additional, text.into()).ok().map(Into::into)
}

fn gcm_open<C>(cipher: &C, nonce: &[u8; GCM_SALT_OCTETS], additional: &[u8], text: &mut [u8], tag: &[u8]) -> bool
where
    C: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    <[u8; GCM_TAG_OCTETS]>::try_from(tag).is_ok_and(|tag| cipher.decrypt_inout_detached(&(*nonce).into(), additional, text.into(), &tag.into()).is_ok())
}
