//! The wheel: what is put together at which time of the 20 ms (PROTOCOL.md §5.2, §5.3).
//!
//! All due times of a relay lie on a grid of 250 us and repeat every slot, so the wheel has 80 buckets and never turns empty ones: a node with a
//! thousand circuits wakes at most 80 times per slot. An entry stays in its bucket until it is found there without being wanted any more.

use crate::slots::{COMPOSE_US, GRID_US, SLOT};

/// Grid times in a slot.
const BUCKETS: usize = (SLOT / GRID_US) as usize;

/// Something that happens once per slot at a fixed time. Within one grid time entries run in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Entry {
    /// An access link's tick. Fields: order of link up, link.
    Tick(u64, u32),
    /// One of the directions of a hop. Fields: order of accept, which, place of the hop.
    Hop(u64, Turn, u32),
}

/// The three things a hop puts together by the clock, in the order in which it does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Turn {
    /// The next forward cell.
    Forward,
    /// The next fragment of a create.
    Asking,
    /// The next backward cell, at the head.
    Backward,
}

/// The buckets.
pub struct Wheel {
    buckets: [Vec<Entry>; BUCKETS],
    filled: u128,
    /// The last grid time that was done.
    done_us: i64,
}

impl Wheel {
    /// Make an empty wheel.
    #[must_use]
    pub fn new() -> Self {
        Self { buckets: std::array::from_fn(|_| Vec::new()), filled: 0, done_us: 0 }
    }

    fn bucket(time_us: i64) -> usize {
        (time_us.div_euclid(GRID_US)).rem_euclid(BUCKETS as i64) as usize
    }

    /// Ask for a run at the composing time of `due_us` (on the grid), and every slot from then on.
    pub fn arm(&mut self, entry: Entry, due_us: i64) {
        let index = Self::bucket(due_us - COMPOSE_US);
        let bucket = &mut self.buckets[index];
        if let Err(at) = bucket.binary_search(&entry) {
            bucket.insert(at, entry);
        }
        self.filled |= 1 << index;
    }

    /// Return the next grid time with something in its bucket.
    #[must_use]
    pub fn next_us(&self) -> Option<i64> {
        if self.filled == 0 {
            return None;
        }
        let first = Self::bucket(self.done_us + GRID_US) as u32;
        // Bits from `first` on come first, then those before it, one turn later.
        let after = self.filled >> first;
        let steps = if after == 0 { BUCKETS as u32 - first + self.filled.trailing_zeros() } else { after.trailing_zeros() };
        Some(self.done_us + GRID_US * (1 + i64::from(steps)))
    }

    /// Take the entries of a grid time; give them back with [`Self::put_back`].
    pub fn take(&mut self, time_us: i64) -> Vec<Entry> {
        std::mem::take(&mut self.buckets[Self::bucket(time_us)])
    }

    /// Give back the entries that are still wanted, in their order. Nothing may be armed in between.
    pub fn put_back(&mut self, time_us: i64, entries: Vec<Entry>) {
        let index = Self::bucket(time_us);
        if entries.is_empty() {
            self.filled &= !(1 << index);
        }
        self.buckets[index] = entries;
    }

    /// Note that everything up to a time is done.
    pub fn done(&mut self, time_us: i64) {
        self.done_us = self.done_us.max(time_us - time_us.rem_euclid(GRID_US));
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_order_and_again_every_slot() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next_us(), None);
        wheel.done(40_010);
        wheel.arm(Entry::Hop(2, Turn::Backward, 7), 41_250); // composed at 40 250
        wheel.arm(Entry::Hop(1, Turn::Forward, 6), 41_250);
        wheel.arm(Entry::Hop(1, Turn::Forward, 6), 41_250);
        wheel.arm(Entry::Tick(3, 1), 60_750); // composed at 59 750
        let mut times = Vec::new();
        for _ in 0..4 {
            let time_us = wheel.next_us().expect("armed");
            let entries = wheel.take(time_us);
            times.push((time_us, entries.len()));
            wheel.put_back(time_us, entries);
            wheel.done(time_us);
        }
        assert_eq!(times, [(40_250, 2), (59_750, 1), (60_250, 2), (79_750, 1)]);
        let entries = wheel.take(80_250);
        assert_eq!(entries, [Entry::Hop(1, Turn::Forward, 6), Entry::Hop(2, Turn::Backward, 7)]);
        wheel.put_back(80_250, Vec::new());
        assert_eq!(wheel.next_us(), Some(99_750));
    }
}
