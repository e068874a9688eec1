//! Streams between two boxes: many at once, ordered and reliable, in the octets of cells that a call leaves free; and datagrams, which are neither.
//!
//! All streams of two boxes are a [`Bundle`]: frames of all of them in one row of octets, of which each slot says a piece. The bundle outlives the splice that
//! carries it: what was not acknowledged is said again over the next one. The slots are there anyway, so there is no congestion control, no timer, and
//! nothing waits to be said together with more. The octets of fast streams go beside all this ([`crate::fast`]).
//!
//! In order, each with a file of its own: octets come to a [`stream`](self) and wait for credit; `frame`: they are put into frames; `saying`: the frames get a place in
//! the row, and are said until acknowledged; `segment`: one piece and what was heard, as they stand in a cell; `hearing`: pieces become a row again.
//! Datagrams (`datagrams`, `fragment`) stand beside the row, in the place of a piece.
//!
//! Not here: cells and counters ([`crate::endtoend`]), which splice carries a bundle, whether a stream may be opened, sockets.
//!
//! Spec: PROTOCOL.md §11.

mod bundle;
mod datagrams;
pub mod fragment;
pub mod frame;
mod hearing;
mod saying;
pub mod segment;
mod stream;

pub use bundle::{Bundle, OpenError, StreamEvent};
pub use frame::{StreamId, Why};
pub use stream::Way;

/// Octets of a bundle's row that may be said and not acknowledged: two round trips over two circuits between continents, with a loss in each.
pub const WINDOW_OCTETS: usize = 32_768;
/// Octets of a stream that its reader has not taken, at most.
pub const STREAM_WINDOW_OCTETS: usize = 32_768;
/// Longest datagram.
pub const MAX_DATAGRAM_OCTETS: usize = 8_192;
/// Streams and associations that one side may have open, of those that it opened.
pub const MAX_STREAMS: usize = 64;

/// The peer does not follow PROTOCOL.md §11: its bundle is to be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;
