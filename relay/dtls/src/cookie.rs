//! Hellos and stateless cookies: a listener says nothing to who does not know its pin, keeps nothing about an address before it has shown that it receives
//! there, and says to who asks from there whether another port of that address is reachable (PROTOCOL.md §2.1).

use std::net::IpAddr;

use boring::hash::hmac_sha256;
use boring::memcmp;

use crate::{Pin, HELLO_OCTETS, KIND_COOKIE, KIND_HELLO, KIND_REACH, KIND_REACHED};

/// Octets of a cookie: time 4, tag 16.
pub const COOKIE_OCTETS: usize = 20;
/// Octets of a hello that are drawn.
pub const HELLO_NUMBER_OCTETS: usize = 31;
const GOOD_FOR_S: u32 = 10;
const TAG_AT: usize = 1 + HELLO_NUMBER_OCTETS;
/// Where the number of a reach begins, and what follows it.
const REACH_NUMBER_AT: usize = 1 + COOKIE_OCTETS + 2;
const REACH_END: usize = REACH_NUMBER_AT + 16;

/// What a listener gives to an address.
pub type Cookie = [u8; COOKIE_OCTETS];

/// Make the hello for the listener of a pin. number: drawn for this link. `None` where the library fails.
#[must_use]
pub fn hello(pin: &Pin, number: [u8; HELLO_NUMBER_OCTETS]) -> Option<[u8; HELLO_OCTETS]> {
    let mut datagram = [0; HELLO_OCTETS];
    datagram[0] = KIND_HELLO;
    datagram[1..TAG_AT].copy_from_slice(&number);
    let tag = hello_tag(pin, &number)?;
    datagram[TAG_AT..].copy_from_slice(&tag);
    Some(datagram)
}

fn hello_tag(pin: &Pin, number: &[u8]) -> Option<[u8; 32]> {
    hmac_sha256(pin, &[b"voicebox/1 hello", number].concat()).ok()
}

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

    /// Answer a hello: the datagram to send back, or `None` where the hello is not one for the listener of this pin.
    #[must_use]
    pub fn answer(&self, now: u64, address: &[u8], pin: &Pin, hello: &[u8]) -> Option<[u8; HELLO_OCTETS]> {
        if hello.len() != HELLO_OCTETS || hello[0] != KIND_HELLO || !memcmp::eq(&hello_tag(pin, &hello[1..TAG_AT])?, &hello[TAG_AT..]) {
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

    /// Answer a reach from `ip`: the port of that address to send to, and what; or `None` where it is none, or its cookie is not good.
    #[must_use]
    pub fn reached(&self, now: u64, address: &[u8], ip: IpAddr, reach: &[u8]) -> Option<(u16, [u8; HELLO_OCTETS])> {
        if reach.len() != HELLO_OCTETS || reach[0] != KIND_REACH || reach[REACH_END..].iter().any(|&octet| octet != 0) {
            return None;
        }
        let cookie = reach[1..=COOKIE_OCTETS].try_into().ok()?;
        let port = u16::from_be_bytes([reach[REACH_NUMBER_AT - 2], reach[REACH_NUMBER_AT - 1]]);
        if port == 0 || !self.accepts(now, address, &cookie) {
            return None;
        }
        let seen = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut datagram = [0; HELLO_OCTETS];
        datagram[0] = KIND_REACHED;
        datagram[1..17].copy_from_slice(&reach[REACH_NUMBER_AT..REACH_END]);
        datagram[17..33].copy_from_slice(&seen.octets());
        Some((port, datagram))
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
