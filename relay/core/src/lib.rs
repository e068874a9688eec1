//! The protocol machine of a voicebox node: cells, layers, slots, circuits, splices, sound, streams (PROTOCOL.md §3 to §6, §9, §11, §13).
//!
//! Goals: one machine for box, guard and junction; every octet in it comes from an [`Input`], from `now` or from the [`RandomSource`], so that
//! a whole network runs in one test from a seed, and the model (`relay/model`) can be compared octet for octet. Non-goals: DTLS, sockets,
//! clocks, threads, logs, handshakes (the control plane brings the keys).
//!
//! Contract: call [`Core::handle`] once, then [`Core::poll`] until it returns `None`, then [`Core::poll_fast`] as often as the wire takes a cell; then wait
//! until [`Core::next_timer`], [`Core::next_fast_us`] or the next input.
//! Bad input is dropped and counted ([`DropReason`]); nothing panics and nothing is answered that the protocol does not answer.
//!
//! ```
//! use voicebox_core::{Config, Core, Input, LinkId, LinkKind, Output, SeededRandom};
//!
//! let mut core = Core::new(Config::default(), Box::new(SeededRandom::new([1; 32])));
//! core.handle(1_000_000, Input::LinkUp { link: LinkId(1), kind: LinkKind::AccessGuard });
//! core.handle(1_000_100, Input::Cell { link: LinkId(1), cell: &[0; 256] });
//! let tick = core.next_timer().expect("the guard's tick has begun");
//! core.handle(tick, Input::Timer);
//! while let Some(output) = core.poll() {
//!     assert!(matches!(output, Output::Send { link: LinkId(1), .. }));
//! }
//! ```

pub mod cell;
pub mod channel;
pub mod coarse;
pub mod context;
mod creates;
pub mod digits;
pub mod drop_reason;
pub mod endtoend;
pub mod fast;
pub mod gaps;
mod hop;
pub mod ids;
pub mod io;
pub mod jitter;
mod junction;
mod keyed_map;
pub mod lab;
pub mod layer;
mod node;
pub mod owner;
pub mod packets;
pub mod random;
pub mod reception;
mod relay;
pub mod rtp;
pub mod slots;
pub mod sound;
pub mod speech;
pub mod streams;
pub mod tape;
mod wheel;

pub use context::Context;
pub use drop_reason::{Counters, DropReason};
pub use ids::{BundleId, CircId, LinkId, Micros, PortId, Slot};
pub use io::{Command, Event, Input, LinkKind, Output, CELL_OCTETS};
pub use node::{Config, Core};
pub use random::{RandomSource, SeededRandom};
