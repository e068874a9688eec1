//! The engine's part in the leaks of a test build (the cargo feature `lab`): what the environment switches on, and work at the wrong moment.
//!
//! `VOICEBOX_LAB` holds words: `chaff_off`, `fill_off`, `pass_through`, `free_tick`, `stepped_tick` (voicebox-core's switches), `work=MICROSECONDS` (of every second cell
//! that says something, done when it is due instead of before).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use voicebox_core::lab::{real_at, turn, Switch};

static WORK_US: AtomicU64 = AtomicU64::new(0);

/// Switch on what the environment says.
pub(crate) fn read_environment() {
    for word in std::env::var("VOICEBOX_LAB").unwrap_or_default().split_whitespace() {
        match word {
            "chaff_off" => turn(Switch::ChaffOff, true),
            "fill_off" => turn(Switch::FillOff, true),
            "pass_through" => turn(Switch::PassThrough, true),
            "free_tick" => turn(Switch::FreeTick, true),
            "stepped_tick" => turn(Switch::SteppedTick, true),
            _ => WORK_US.store(word.strip_prefix("work=").and_then(|us| us.parse().ok()).unwrap_or(0), Ordering::Relaxed),
        }
    }
}

/// Work, if what is due says something.
pub(crate) fn work_before(due_at: Option<u64>) {
    let us = WORK_US.load(Ordering::Relaxed);
    if us == 0 || due_at != Some(real_at()) {
        return;
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(us) {
        std::hint::spin_loop();
    }
}
