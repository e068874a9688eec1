//! Ranges of octets of one stream, apart from each other, in order.

use std::collections::BTreeMap;

/// Ranges by their beginnings, with their ends.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.0.first_key_value().map(|(start, end)| (*start, *end))
    }

    /// Return where the last one ends; 0 where there is none.
    pub(super) fn last_end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// Return whether a range lies in one of them, or touches one.
    pub(super) fn meets(&self, start: u64, end: u64) -> bool {
        self.0.range(..=end).next_back().is_some_and(|(_, last)| *last >= start)
    }

    pub(super) fn add(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        while let Some((other, last)) = self.0.range(..=end).next_back().map(|(other, last)| (*other, *last)).filter(|(_, last)| *last >= start) {
            (start, end) = (start.min(other), end.max(last));
            self.0.remove(&other);
        }
        self.0.insert(start, end);
    }

    /// Forget what lies before an offset.
    pub(super) fn forget_before(&mut self, offset: u64) {
        while let Some((start, end)) = self.first().filter(|(start, _)| *start < offset) {
            self.0.remove(&start);
            if end > offset {
                self.0.insert(offset, end);
            }
        }
    }

    /// Take at most so many octets of the first range.
    pub(super) fn take_first(&mut self, octets: u64) -> Option<(u64, u64)> {
        let (start, end) = self.first()?;
        self.0.remove(&start);
        if end - start > octets {
            self.0.insert(start + octets, end);
        }
        Some((start, end.min(start + octets)))
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn ranges_that_touch_are_one() {
        let mut ranges = Ranges::default();
        for (start, end) in [(10, 20), (40, 50), (30, 40), (20, 25), (7, 7)] {
            ranges.add(start, end);
        }
        assert_eq!((ranges.len(), ranges.first()), (2, Some((10, 25))));
        assert!(ranges.meets(25, 27) && ranges.meets(5, 10) && !ranges.meets(26, 29) && ranges.meets(35, 36));
        ranges.add(0, 60);
        assert_eq!((ranges.len(), ranges.first()), (1, Some((0, 60))));
        assert_eq!((ranges.take_first(25), ranges.take_first(100), ranges.take_first(1)), (Some((0, 25)), Some((25, 60)), None));
        ranges.add(3, 9);
        ranges.forget_before(5);
        assert_eq!(ranges.first(), Some((5, 9)));
        ranges.forget_before(9);
        assert_eq!(ranges.len(), 0);
    }
}
