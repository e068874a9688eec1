//! Stateless cookies: a listener keeps nothing about an address before it has shown that it receives there (PROTOCOL.md §2.1).

use boring::hash::hmac_sha256;
use boring::memcmp;

use crate::{HELLO_OCTETS, KIND_COOKIE, KIND_HELLO};

/// Octets of a cookie: time 4, tag 16.
pub const COOKIE_OCTETS: usize = 20;
const GOOD_FOR_S: u32 = 10;

/// What a listener gives to an address.
pub type Cookie = [u8; COOKIE_OCTETS];

/// Makes and checks cookies. `address` is any octets that stand for address and port, the same both times.
pub struct CookieJar {
    secret: [u8; 32],
}

impl CookieJar {
    /// `secret`: fresh random octets, drawn at start.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// Answer a hello: the datagram to send back, or `None` where the hello is not one.
    #[must_use]
    pub fn answer(&self, now: u64, address: &[u8], hello: &[u8]) -> Option<[u8; HELLO_OCTETS]> {
        if hello.len() != HELLO_OCTETS || hello[0] != KIND_HELLO || hello[1..].iter().any(|&octet| octet != 0) {
            return None;
        }
        let mut datagram = [0; HELLO_OCTETS];
        datagram[0] = KIND_COOKIE;
        datagram[1..=COOKIE_OCTETS].copy_from_slice(&self.bake(seconds(now), address)?);
        Some(datagram)
    }

    /// Tell whether a cookie was made here for this address within the last 10 s.
    #[must_use]
    pub fn accepts(&self, now: u64, address: &[u8], cookie: &Cookie) -> bool {
        let made = u32::from_be_bytes([cookie[0], cookie[1], cookie[2], cookie[3]]);
        let fresh = seconds(now).wrapping_sub(made) <= GOOD_FOR_S;
        let Some(ours) = self.bake(made, address) else { return false };
        // The time is no secret; the tag is compared in constant time.
        memcmp::eq(&ours, cookie) && fresh
    }

    fn bake(&self, made: u32, address: &[u8]) -> Option<Cookie> {
        let mut text = Vec::with_capacity(4 + address.len());
        text.extend_from_slice(&made.to_be_bytes());
        text.extend_from_slice(address);
        let tag = hmac_sha256(&self.secret, &text).ok()?;
        let mut cookie = [0; COOKIE_OCTETS];
        cookie[..4].copy_from_slice(&made.to_be_bytes());
        cookie[4..].copy_from_slice(&tag[..16]);
        Some(cookie)
    }
}

fn seconds(now: u64) -> u32 {
    // Wraps after 136 years; only differences count.
    (now / 1_000_000) as u32
}
