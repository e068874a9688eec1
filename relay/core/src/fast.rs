//! Bulk transfer beside the slots, for streams of which both users chose that it may be seen: packets in *fast cells*, which leave when they can.
//!
//! A [`Fast`] is the part of a bundle ([`crate::streams`]) that carries the octets of its fast streams. Streams are opened, taken and reset in the slots as all are;
//! octets, ends and credit go in packets, each in one fast cell: numbered, never said twice under one number, acknowledged in ranges (RFC 9000 §13, RFC 9002), their
//! rate found by CUBIC (RFC 9438) and spread over the way's time (RFC 9002 §7.7).
//!
//! In order, each with a file of its own: `outgoing`: octets wait to be said, and until they are acknowledged; `packet`: what stands in one; `recovery`: which packets
//! are lost, and how many may be under way, by `cubic`; `heard`: which came, and when that is told; `incoming`: octets become a stream again; `carriage`: all of it.
//!
//! Not here: cells, keys, hops (`owner`, `hop`), sockets; who may open a stream. QUIC itself was considered: its datagrams of 1 200 octets or more are five cells, of which
//! the loss of one loses all; a TCP inside (smoltcp) brings a sequence number for each stream, 40 octets of heads a segment, and one window for what is lost and what is late.
//!
//! Spec: PROTOCOL.md §13.

mod carriage;
mod cubic;
mod heard;
mod incoming;
mod outgoing;
pub mod packet;
mod ranges;
mod recovery;

pub use carriage::{Fast, Taken};

/// Octets of a stream that wait to be acknowledged, or that its reader has not taken, at most.
pub const FAST_WINDOW_OCTETS: usize = 2 << 20;
/// Fast streams that one side may have open, of those that it opened: windows of 16 each way and side are 128 MiB at most.
pub const MAX_FAST_STREAMS: usize = 16;
