//! Switches of the traffic-analysis lab, by which a test build leaks on purpose (tools/adversary): each control of the lab is one of them.
//!
//! They exist with the cargo feature `lab` only. In every other build [`is_on`] is the constant false, so that nothing of them is compiled.

/// A leak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Switch {
    /// Relays leave holes where a cell is missing (instead of PROTOCOL.md §5.3's filler).
    FillOff = 0,
    /// Relays pass each cell on when it comes: no due times.
    PassThrough = 1,
    /// A box that says nothing sends nothing.
    ChaffOff = 2,
    /// A box's tick follows its own crystal, not its guard's clock.
    FreeTick = 3,
    /// A box in a call sends nothing in a slot for which its phone has no frame (discontinuous transmission).
    Dtx = 4,
    /// Layers are key streams added to the text, in the place of a wide-block permutation: a flipped bit stays one.
    XorStream = 5,
    /// A box's tick follows its own crystal between two corrections (instead of PROTOCOL.md §5.6's rate).
    SteppedTick = 6,
    /// A phone's frames go out as they come: where there is none the slot has none, and no other is a gap (instead of PROTOCOL.md §9.4's gaps).
    PhoneClock = 7,
}

/// Note that a cell that says something leaves at `at`, a time of this process's only box. The engine of a test build works longer at every second of them.
#[cfg(feature = "lab")]
pub fn note_real(at: crate::Micros) {
    REAL_AT.store(at, std::sync::atomic::Ordering::Relaxed);
}

/// Note nothing.
#[cfg(not(feature = "lab"))]
pub const fn note_real(_at: crate::Micros) {}

/// Return when the cell leaves that was noted last.
#[cfg(feature = "lab")]
#[must_use]
pub fn real_at() -> crate::Micros {
    REAL_AT.load(std::sync::atomic::Ordering::Relaxed)
}

#[cfg(feature = "lab")]
static REAL_AT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
#[cfg(feature = "lab")]
static SWITCHES: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Say whether a leak is switched on.
#[cfg(feature = "lab")]
#[must_use]
pub fn is_on(switch: Switch) -> bool {
    SWITCHES.load(std::sync::atomic::Ordering::Relaxed) & (1 << switch as u8) != 0
}

/// Say whether a leak is switched on: never.
#[cfg(not(feature = "lab"))]
#[must_use]
pub const fn is_on(_switch: Switch) -> bool {
    false
}

/// Switch a leak on or off, for all nodes of this process.
#[cfg(feature = "lab")]
pub fn turn(switch: Switch, on: bool) {
    let bit = 1 << switch as u8;
    if on {
        SWITCHES.fetch_or(bit, std::sync::atomic::Ordering::Relaxed);
    } else {
        SWITCHES.fetch_and(!bit, std::sync::atomic::Ordering::Relaxed);
    }
}
