//! DTLS 1.3 links, sans-IO: one cell per record, one record per datagram, one length for all of them (PROTOCOL.md §2).
//!
//! What is here: [`Association`], the one thing the rest of the engine knows about a DTLS library; [`Listener`] and
//! [`Dialer`], which begin associations over BoringSSL; the stateless [`CookieJar`] in front of a listener. Beside links: [`Keying`], the
//! handshake of DTLS 1.2 with a phone, out of which come keys of SRTP and nothing else.
//!
//! What is NOT here: sockets, clocks, threads. Datagrams, cells and `now` (network time in microseconds) come in;
//! datagrams, cells and deadlines go out. Contract of every method that takes `now`: call it, then drain
//! [`Association::poll_datagram`], then ask for [`Association::next_timeout`].
//!
//! Departures from RFC 9147: no alert and no close is ever sent or heeded, no KeyUpdate, no connection id; the return
//! routability check of §5.1 is done in front of DTLS, because the library has no stateless server.

#![deny(missing_docs)]

mod association;
mod cookie;
mod dial;
mod error;
mod keying;
mod library_clock;
mod wire;

pub use association::{BoringAssociation, Dialer, Identity, Listener};
pub use cookie::{hello, Cookie, CookieJar, COOKIE_OCTETS, HELLO_NUMBER_OCTETS};
pub use dial::Dial;
pub use error::Error;
pub use keying::{Fingerprint, Keying, KeyingState, Keys};

/// Octets of a cell.
pub const CELL_OCTETS: usize = 256;
/// Octets of the datagram that carries a cell: header 5, cell 256, content type 1, tag 16 (RFC 9147 §4).
pub const RECORD_OCTETS: usize = CELL_OCTETS + 22;
/// Octets of each datagram before DTLS: the same, so that nothing is amplified (PROTOCOL.md §2.1).
pub const HELLO_OCTETS: usize = 64;
/// Octets in front of DTLS in a `first` datagram: the kind and the cookie.
pub const FIRST_PREFIX_OCTETS: usize = 1 + COOKIE_OCTETS;
/// The longest datagram that is ever sent. Below what every IPv6 path carries, less headers.
pub const MAX_DATAGRAM_OCTETS: usize = 1200;
/// How long a handshake may take before it is given up.
pub const HANDSHAKE_LIMIT_US: u64 = 10_000_000;

/// First octet of a hello.
pub const KIND_HELLO: u8 = 1;
/// First octet of a cookie datagram.
pub const KIND_COOKIE: u8 = 2;
/// First octet of a DTLS datagram behind a cookie.
pub const KIND_FIRST: u8 = 3;
/// First octet of a reach, which asks whether another port of its sender's address is reachable.
pub const KIND_REACH: u8 = 4;
/// First octet of what is sent to that port.
pub const KIND_REACHED: u8 = 5;

/// SHA-256 of a SubjectPublicKeyInfo: how a node's key is known.
pub type Pin = [u8; 32];

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Part of the handshake; nothing for the caller.
    Handshake,
    /// A cell, now in the caller's buffer.
    Cell,
    /// Not a datagram of this association's present state: another length, another kind.
    Misfit,
    /// A record that does not authenticate, or came before.
    Invalid,
}

/// Where an association is, in protocol order. `Failed` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Hello, cookie, flights.
    Handshaking,
    /// Listener: the handshake is done and the first cell has not come. No cell may be sent yet.
    AwaitFirstCell,
    /// Cells both ways, and nothing else, for ever.
    Open,
    /// Wrong peer, broken handshake, or too late: to be dropped, in silence.
    Failed,
}

/// One DTLS association that carries cells.
pub trait Association: Send {
    /// Take one datagram; a cell is left in `cell`.
    fn handle_datagram(&mut self, now: u64, datagram: &[u8], cell: &mut [u8; CELL_OCTETS]) -> Received;
    /// Make the datagram of a cell. Only in [`State::Open`].
    fn seal(&mut self, cell: &[u8; CELL_OCTETS], datagram: &mut [u8; RECORD_OCTETS]) -> Result<(), Error>;
    /// Next datagram of the handshake to send, oldest first. Never one after the first cell.
    fn poll_datagram(&mut self) -> Option<Vec<u8>>;
    /// When [`Association::handle_timeout`] wants to be called; `None` once cells flow.
    fn next_timeout(&self, now: u64) -> Option<u64>;
    /// Repeat what was not answered, or give up.
    fn handle_timeout(&mut self, now: u64);
    /// Where the association is.
    fn state(&self) -> State;
    /// The key the peer proved to have. `None` before that, and for a box, which shows no certificate.
    fn peer_pin(&self) -> Option<Pin>;
    /// The certificate that an incoming peer showed, DER; what it says beside the key is its own word.
    fn peer_certificate(&self) -> Option<Vec<u8>> {
        None
    }
}
