//! SRTP and SRTCP between a box and one phone, sans-IO: each call of a phone has a [`Sender`] and a [`Receiver`].
//!
//! What is here: session keys, ciphers and tags of four suites, the index of a packet whose number has wrapped, what came before.
//! What is NOT here: sockets, SDP (`voicebox/sip/sdes.py` has the names and keys), what is inside a packet.
//! Drivers: the media port of `voicebox-node`. Contract: one master key per direction; [`Sender::protect`] for what leaves, [`Receiver::unprotect`]
//! for what came; both tell RTP from RTCP by the second octet (RFC 5761 §4). Dropping either erases its keys.
//!
//! Spec: RFC 3711, RFC 4568 §6.2 (the tag of SRTCP has 80 bits in both suites of SHA-1), RFC 7714. Departures: one master key, no MKI, key
//! derivation rate 0, SRTCP always encrypted; a sender has one source for ever, a receiver at most [`MAX_SOURCES`].

mod cipher;
mod flows;
mod suite;
mod window;

pub use flows::{Receiver, Refused, Sender, MAX_SOURCES};
pub use suite::{Master, Suite};
