//! The connecting side in front of DTLS (PROTOCOL.md §2.1). The numbered flow:
//!
//! 1. `Greeting`: hello every 500 ms, at most 20 times, until a cookie comes.
//! 2. `Showing`: each datagram of the handshake goes behind the cookie, until something of DTLS comes back.
//! 3. `Plain`: DTLS as it is. End states are those of the association.

use crate::{Association, Cookie, Error, Pin, Received, State};
use crate::{CELL_OCTETS, COOKIE_OCTETS, FIRST_PREFIX_OCTETS, HELLO_OCTETS, KIND_COOKIE, KIND_FIRST, RECORD_OCTETS};

const HELLO_EVERY_US: u64 = 500_000;
const MAX_HELLOS: u32 = 20;

enum Front {
    Greeting { said: u32, next_at: u64, due: bool },
    Showing(Cookie),
    Plain,
    GivenUp,
}

/// An outgoing association, from the hello on.
///
/// The handshake inside begins when the cookie has come, so that its timers do not run before: `begin` makes it.
pub struct Dial<A: Association> {
    front: Front,
    hello: [u8; HELLO_OCTETS],
    begin: Box<dyn FnMut(u64) -> Result<A, Error> + Send>,
    inner: Option<A>,
}

impl<A: Association> Dial<A> {
    /// Greet now with this hello; `begin(now)` is called once, when the cookie came.
    pub fn new(now: u64, hello: [u8; HELLO_OCTETS], begin: impl FnMut(u64) -> Result<A, Error> + Send + 'static) -> Self {
        Self { front: Front::Greeting { said: 1, next_at: now + HELLO_EVERY_US, due: true }, hello, begin: Box::new(begin), inner: None }
    }

    fn take_cookie(&mut self, now: u64, datagram: &[u8]) -> Received {
        let fits = datagram.len() == HELLO_OCTETS && datagram[0] == KIND_COOKIE;
        if !fits || datagram[FIRST_PREFIX_OCTETS..].iter().any(|&octet| octet != 0) {
            return Received::Misfit;
        }
        let mut cookie = [0; COOKIE_OCTETS];
        cookie.copy_from_slice(&datagram[1..FIRST_PREFIX_OCTETS]);
        match (self.begin)(now) {
            Ok(inner) => {
                self.inner = Some(inner);
                self.front = Front::Showing(cookie);
            }
            Err(_) => self.front = Front::GivenUp,
        }
        Received::Handshake
    }
}

impl<A: Association> Association for Dial<A> {
    fn handle_datagram(&mut self, now: u64, datagram: &[u8], cell: &mut [u8; CELL_OCTETS]) -> Received {
        match self.front {
            Front::Greeting { .. } => self.take_cookie(now, datagram),
            Front::GivenUp => Received::Misfit,
            Front::Showing(_) | Front::Plain => {
                let Some(inner) = self.inner.as_mut() else { return Received::Misfit };
                let received = inner.handle_datagram(now, datagram, cell);
                if received == Received::Handshake {
                    self.front = Front::Plain;
                }
                received
            }
        }
    }

    fn seal(&mut self, cell: &[u8; CELL_OCTETS], datagram: &mut [u8; RECORD_OCTETS]) -> Result<(), Error> {
        self.inner.as_mut().ok_or(Error::NotOpen)?.seal(cell, datagram)
    }

    fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        if let Front::Greeting { due, .. } = &mut self.front {
            if !std::mem::take(due) {
                return None;
            }
            return Some(self.hello.to_vec());
        }
        let datagram = self.inner.as_mut()?.poll_datagram()?;
        if let Front::Showing(cookie) = &self.front {
            let mut first = Vec::with_capacity(FIRST_PREFIX_OCTETS + datagram.len());
            first.push(KIND_FIRST);
            first.extend_from_slice(cookie);
            first.extend_from_slice(&datagram);
            return Some(first);
        }
        Some(datagram)
    }

    fn next_timeout(&self, now: u64) -> Option<u64> {
        match &self.front {
            Front::Greeting { next_at, .. } => Some(*next_at),
            Front::Showing(_) | Front::Plain => self.inner.as_ref()?.next_timeout(now),
            Front::GivenUp => None,
        }
    }

    fn handle_timeout(&mut self, now: u64) {
        match &mut self.front {
            Front::Greeting { said, next_at, due } => {
                if now < *next_at {
                    return;
                }
                if *said >= MAX_HELLOS {
                    self.front = Front::GivenUp;
                    return;
                }
                *said += 1;
                *next_at = now + HELLO_EVERY_US;
                *due = true;
            }
            Front::Showing(_) | Front::Plain => {
                if let Some(inner) = self.inner.as_mut() {
                    inner.handle_timeout(now);
                }
            }
            Front::GivenUp => {}
        }
    }

    fn state(&self) -> State {
        match (&self.front, &self.inner) {
            (Front::GivenUp, _) => State::Failed,
            (_, Some(inner)) => inner.state(),
            (_, None) => State::Handshaking,
        }
    }

    fn peer_pin(&self) -> Option<Pin> {
        self.inner.as_ref().and_then(Association::peer_pin)
    }
}
