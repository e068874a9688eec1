//! One way of a fast stream, at whoever hears it: pieces become octets in order.
//!
//! Spec: PROTOCOL.md §13.4.

use std::collections::VecDeque;

use super::ranges::Ranges;
use super::FAST_WINDOW_OCTETS;
use crate::streams::Broken;

const WINDOW: u64 = FAST_WINDOW_OCTETS as u64;
/// Credit is said when so much more than before may be said.
const CREDIT_STEP: u64 = WINDOW / 4;
/// Ranges behind a gap, at most: a piece that would make one more is not taken, and said again.
const MAX_RANGES: usize = 1_024;

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    Nothing,
    Readable,
    Ended,
    /// There is no place for it.
    Full,
}

pub(super) struct Incoming {
    /// From `base` on, with holes where nothing came yet.
    octets: VecDeque<u8>,
    base: u64,
    came: Ranges,
    granted: u64,
    /// What was granted last was lost on its way.
    says_again: bool,
    size: Option<u64>,
    readable_told: bool,
    end_told: bool,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            octets: VecDeque::new(),
            base: 0,
            came: Ranges::default(),
            granted: WINDOW,
            says_again: false,
            size: None,
            readable_told: false,
            end_told: false,
        }
    }

    /// Return the offset before which all came.
    fn next(&self) -> u64 {
        self.came.first().filter(|(start, _)| *start == self.base).map_or(self.base, |(_, end)| end)
    }

    pub(super) fn take(&mut self, offset: u64, octets: &[u8], ends: bool) -> Result<Placed, Broken> {
        let end = offset.checked_add(octets.len() as u64).filter(|end| *end <= self.granted).ok_or(Broken)?;
        let known_end = self.came.last_end().max(self.base);
        if self.size.is_some_and(|size| end > size || ends && end != size) || ends && end < known_end {
            return Err(Broken);
        }
        if self.came.len() >= MAX_RANGES && !self.came.meets(offset, end) {
            return Ok(Placed::Full);
        }
        if ends {
            self.size = Some(end);
        }
        let start = offset.max(self.base);
        if start < end {
            self.place(start, &octets[(start - offset) as usize..]); // within a packet
            self.came.add(start, end);
        }
        Ok(self.told())
    }

    fn told(&mut self) -> Placed {
        if self.next() > self.base && !std::mem::replace(&mut self.readable_told, true) {
            return Placed::Readable;
        }
        if self.is_read() && !std::mem::replace(&mut self.end_told, true) {
            return Placed::Ended;
        }
        Placed::Nothing
    }

    fn place(&mut self, start: u64, octets: &[u8]) {
        let at = (start - self.base) as usize; // within the window
        if at == self.octets.len() {
            self.octets.extend(octets);
            return;
        }
        let end = at + octets.len();
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        for (place, octet) in self.octets.range_mut(at..end).zip(octets) {
            *place = *octet;
        }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let read = out.len().min((self.next() - self.base) as usize); // within the window
        let (front, back) = self.octets.as_slices();
        let first = read.min(front.len());
        out[..first].copy_from_slice(&front[..first]);
        out[first..read].copy_from_slice(&back[..read - first]);
        self.octets.drain(..read);
        self.base += read as u64;
        self.came.forget_before(self.base);
        self.readable_told &= self.next() > self.base;
        read
    }

    /// Return whether the reader has everything.
    pub(super) fn is_read(&self) -> bool {
        self.size == Some(self.base)
    }

    /// Return the limit to be said, where it is a step beyond what was said.
    pub(super) fn credit(&self) -> Option<u64> {
        let limit = self.base + WINDOW;
        (self.size.is_none() && (self.says_again || limit - self.granted >= CREDIT_STEP)).then_some(limit)
    }

    pub(super) fn grant(&mut self, limit: u64) {
        (self.granted, self.says_again) = (limit, false);
    }

    /// The packet that granted it was lost.
    pub(super) fn grant_again(&mut self) {
        self.says_again = true;
    }
}
