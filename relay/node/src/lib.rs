//! Sockets, clock and thread around the core (`voicebox-core`), DTLS (`voicebox-dtls`) and SRTP (`voicebox-srtp`).
//!
//! One [`Engine`] has one thread, which owns its sockets. Commands go in through a bounded queue and a bell, events come out the same way;
//! nothing the thread does waits for whoever holds the engine. Order in each turn of its loop: what is due leaves, and fast cells after it; then time passes in the
//! core; then what came in is taken. What leaves was sealed when it was composed, 1 ms before, so a real cell and a filler leave alike.
//!
//! What is NOT here: anything of the protocol beyond which link a datagram belongs to; names, call states, policy (`voicebox/`, Python).

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod bucket;
mod clock;
mod counters;
mod crowding;
mod datagrams;
mod doors;
mod engine;
mod error;
mod event;
mod handshakes;
mod keeper;
#[cfg(feature = "lab")]
mod lab;
mod lateness;
mod links;
mod media;
mod order;
mod poller;
mod random;
mod realtime;
mod runner;
mod schedule;
mod source;
mod streams;
mod wake;

pub use clock::Clock;
pub use engine::{Engine, Settings, MAX_EVENTS_TAKEN};
pub use error::Error;
pub use event::NodeEvent;
