//! Which packets came, and when that is to be told.
//!
//! Spec: PROTOCOL.md §13.5, RFC 9000 §13.2.

use super::packet::{Acknowledgement, MAX_RANGES};
use crate::ids::Micros;

/// What is to be acknowledged waits for so many packets, or so long.
const PACKETS: u32 = 16;
pub(super) const MAX_DELAY_US: Micros = 5_000;

#[derive(Default)]
pub(super) struct Heard {
    /// As (lowest, highest), the lowest first; at most one more than an acknowledgement tells.
    ranges: Vec<(u64, u64)>,
    /// All numbers up to it count as having come.
    floor: u64,
    largest_at: Micros,
    untold: u32,
    due: Option<Micros>,
}

impl Heard {
    pub(super) fn is_new(&self, number: u64) -> bool {
        number > self.floor && !self.ranges.iter().any(|(lowest, highest)| (*lowest..=*highest).contains(&number))
    }

    /// Note a packet that came for the first time. wants_answer: it says more than an acknowledgement.
    pub(super) fn note(&mut self, number: u64, wants_answer: bool, now: Micros) {
        let largest = self.ranges.last().map_or(self.floor, |(_, highest)| *highest);
        if number > largest {
            self.largest_at = now;
        }
        self.add(number);
        if !wants_answer {
            return;
        }
        self.untold += 1;
        let at_once = number != largest + 1 || self.untold >= PACKETS;
        self.due = Some(if at_once { now } else { self.due.unwrap_or(now + MAX_DELAY_US) });
    }

    fn add(&mut self, number: u64) {
        let place = self.ranges.partition_point(|(_, highest)| *highest + 1 < number);
        match self.ranges.get_mut(place) {
            Some(range) if range.1 + 1 == number => range.1 = number,
            Some(range) if number + 1 == range.0 => range.0 = number,
            Some(_) | None => self.ranges.insert(place, (number, number)),
        }
        if let Some(next) = self.ranges.get(place + 1).copied().filter(|next| self.ranges[place].1 + 1 == next.0) {
            self.ranges[place].1 = next.1;
            self.ranges.remove(place + 1);
        }
        if self.ranges.len() > MAX_RANGES + 1 {
            self.floor = self.ranges.remove(0).1;
        }
    }

    /// Return when something is to be told.
    pub(super) const fn due(&self) -> Option<Micros> {
        self.due
    }

    /// Return what came; `None` where nothing did.
    pub(super) fn told(&mut self, now: Micros) -> Option<Acknowledgement> {
        let (lowest, largest) = *self.ranges.last()?;
        (self.untold, self.due) = (0, None);
        let count = |lowest: u64, highest: u64| u32::try_from(highest - lowest + 1).unwrap_or(u32::MAX);
        let further = self.ranges.windows(2).rev().map(|pair| (count(pair[0].1 + 1, pair[1].0 - 1), count(pair[0].0, pair[0].1))).collect();
        let delay_10_us = u16::try_from(now.saturating_sub(self.largest_at) / 10).unwrap_or(u16::MAX);
        Some(Acknowledgement { largest, delay_10_us, first: count(lowest, largest), further })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_ranges_and_none_is_new_twice() {
        let mut heard = Heard::default();
        for number in [1, 2, 5, 9, 4, 8, 20] {
            assert!(heard.is_new(number));
            heard.note(number, true, 1_000);
            assert!(!heard.is_new(number));
        }
        let told = heard.told(1_250).expect("something came");
        assert_eq!(told, Acknowledgement { largest: 20, delay_10_us: 25, first: 1, further: vec![(10, 2), (2, 2), (1, 2)] });
        assert_eq!(told.ranges(), Ok(vec![(20, 20), (8, 9), (4, 5), (1, 2)]));
    }

    #[test]
    fn it_is_told_for_sixteen_or_after_five_milliseconds_or_at_once_where_one_is_missing() {
        let mut heard = Heard::default();
        heard.note(1, false, 0);
        assert_eq!(heard.due(), None, "acknowledgements are not acknowledged");
        heard.note(2, true, 10);
        heard.note(3, true, 20);
        assert_eq!(heard.due(), Some(5_010));
        heard.note(5, true, 30);
        assert_eq!(heard.due(), Some(30));
        heard.told(40);
        (6..=20).for_each(|number| heard.note(number, true, 50));
        assert_eq!(heard.due(), Some(5_050));
        heard.note(21, true, 60);
        assert_eq!(heard.due(), Some(60));
    }

    #[test]
    fn ranges_are_bounded_and_what_is_forgotten_is_never_new() {
        let mut heard = Heard::default();
        (0..1_000).map(|place| 1 + 2 * place).for_each(|number| heard.note(number, true, 0));
        assert_eq!(heard.ranges.len(), MAX_RANGES + 1);
        assert!(!heard.is_new(2) && heard.is_new(1_998));
    }
}
