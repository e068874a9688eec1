//! The receiver's half of a bundle's row: pieces that came in any order become a row again.
//!
//! Spec: PROTOCOL.md §11.2.

use super::segment::{Acknowledgement, ACKNOWLEDGEMENT_OCTETS, MAX_RANGES, RANGE_OCTETS};
use super::{Broken, WINDOW_OCTETS};

/// Ranges with gaps between them that are kept, at most; a piece that would make one more is as good as lost.
const MAX_HELD: usize = 128;

/// Octets that came after a gap, and where the row goes on.
pub(super) struct Hearing {
    next: u32,
    /// An octet lies at its offset modulo the window.
    ring: Box<[u8]>,
    /// Begin and end of what is there, counted from `next`; in order, with gaps between.
    held: Vec<(usize, usize)>,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { next: 0, ring: vec![0; WINDOW_OCTETS].into_boxed_slice(), held: Vec::new() }
    }
}

impl Hearing {
    /// Tell what came, in at most `room` octets, which are 7 or more.
    pub(super) fn acknowledgement(&self, heard: u64, room: usize) -> Acknowledgement {
        let most = MAX_RANGES.min((room - ACKNOWLEDGEMENT_OCTETS) / RANGE_OCTETS);
        let mut end = 0;
        let range = |(from, to): &(usize, usize)| {
            let told = ((from - end) as u16, (to - from) as u16); // within the window of 32 768
            end = *to;
            told
        };
        let ranges: Vec<_> = self.held.iter().take(most).map(range).collect();
        let more = !ranges.is_empty() && self.held.len() > ranges.len();
        Acknowledgement { heard: heard as u16, next: self.next, ranges, more } // heard: the low 16 bits
    }

    /// Take a piece; what is in order now is added to `row`.
    pub(super) fn take(&mut self, offset: u32, octets: &[u8], row: &mut Vec<u8>) -> Result<(), Broken> {
        let ahead = offset.wrapping_sub(self.next);
        let (start, octets) = if ahead <= u32::MAX / 2 {
            (ahead as usize, octets)
        } else {
            (0, octets.get(self.next.wrapping_sub(offset) as usize..).unwrap_or(&[]))
            // its beginning came before
        };
        let end = start + octets.len();
        if end > WINDOW_OCTETS {
            return Err(Broken);
        }
        if octets.is_empty() || !self.hold(start, end) {
            return Ok(());
        }
        for (place, octet) in (start..end).zip(octets) {
            let at = self.at(place);
            self.ring[at] = *octet;
        }
        self.deliver(row);
        Ok(())
    }

    fn at(&self, place: usize) -> usize {
        (self.next as usize + place) % WINDOW_OCTETS // 2^32 is a multiple of the window
    }

    /// Note what is there; false where it would be one range too many.
    fn hold(&mut self, start: usize, end: usize) -> bool {
        let first = self.held.partition_point(|(_, to)| *to < start);
        let last = first + self.held[first..].partition_point(|(from, _)| *from <= end);
        if first == last && start > 0 && self.held.len() >= MAX_HELD {
            return false;
        }
        let joined = self.held[first..last].iter().fold((start, end), |(low, high), (from, to)| (low.min(*from), high.max(*to)));
        self.held.splice(first..last, [joined]);
        true
    }

    fn deliver(&mut self, row: &mut Vec<u8>) {
        let Some((0, end)) = self.held.first().copied() else { return };
        row.extend((0..end).map(|place| self.ring[self.at(place)]));
        self.held.remove(0);
        self.held.iter_mut().for_each(|(from, to)| (*from, *to) = (*from - end, *to - end));
        self.next = self.next.wrapping_add(end as u32); // at most the window
    }
}
