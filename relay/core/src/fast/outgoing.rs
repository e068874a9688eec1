//! One way of a fast stream, at whoever says it: octets that wait to be said, and that wait to be acknowledged.
//!
//! Spec: PROTOCOL.md §13.4.

use std::collections::VecDeque;

use super::ranges::Ranges;
use super::FAST_WINDOW_OCTETS;
use crate::streams::Broken;

/// A writer who found no room is told of it again once there is so much.
const ROOM_TOLD_OCTETS: usize = FAST_WINDOW_OCTETS / 8;

/// Octets of a stream that one packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) octets: usize,
    pub(super) ends: bool,
}

pub(super) struct Outgoing {
    /// From `base` on.
    octets: VecDeque<u8>,
    base: u64,
    /// The first that was never said.
    next: u64,
    limit: u64,
    acknowledged: Ranges,
    lost: Ranges,
    ends: bool,
    end_said: bool,
    end_acknowledged: bool,
    wants_room: bool,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            octets: VecDeque::new(),
            base: 0,
            next: 0,
            limit: FAST_WINDOW_OCTETS as u64,
            acknowledged: Ranges::default(),
            lost: Ranges::default(),
            ends: false,
            end_said: false,
            end_acknowledged: false,
            wants_room: false,
        }
    }

    pub(super) fn room(&self) -> usize {
        if self.ends {
            0
        } else {
            FAST_WINDOW_OCTETS - self.octets.len()
        }
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(self.room());
        self.octets.extend(&octets[..taken]);
        self.wants_room |= taken < octets.len();
        taken
    }

    pub(super) fn end(&mut self) {
        self.ends = true;
    }

    pub(super) fn want_room(&mut self) {
        self.wants_room = true;
    }

    /// Return once whether there is room again for a writer who found none.
    pub(super) fn tells_room(&mut self) -> bool {
        let tells = self.wants_room && self.room() >= ROOM_TOLD_OCTETS;
        self.wants_room &= !tells;
        tells
    }

    fn end_offset(&self) -> u64 {
        self.base + self.octets.len() as u64
    }

    pub(super) fn has_something_to_say(&self) -> bool {
        self.lost.len() > 0 || self.next < self.end_offset().min(self.limit) || self.ends_now()
    }

    fn ends_now(&self) -> bool {
        self.ends && !self.end_said && self.next == self.end_offset()
    }

    /// Return whether all was said and acknowledged.
    pub(super) fn is_over(&self) -> bool {
        self.end_acknowledged && self.octets.is_empty()
    }

    /// Return what is to be said next, of at most so many octets: what was lost, then what is new.
    pub(super) fn next_piece(&mut self, octets: usize) -> Option<Piece> {
        let lost = self.lost.take_first(octets as u64);
        let fresh = self.end_offset().min(self.limit).saturating_sub(self.next).min(octets as u64);
        let (offset, end) = match lost {
            Some(range) => range,
            None if fresh > 0 || self.ends_now() => (self.next, self.next + fresh),
            None => return None,
        };
        self.next = self.next.max(end);
        let ends = self.ends && end == self.end_offset();
        self.end_said |= ends;
        Some(Piece { offset, octets: (end - offset) as usize, ends }) // at most 212
    }

    /// Write the octets of a piece.
    pub(super) fn copy(&self, piece: &Piece, out: &mut [u8]) {
        let at = (piece.offset - self.base) as usize; // within the window
        let (front, back) = self.octets.as_slices();
        if at >= front.len() {
            out.copy_from_slice(&back[at - front.len()..][..out.len()]);
        } else {
            let first = out.len().min(front.len() - at);
            out[..first].copy_from_slice(&front[at..at + first]);
            let rest = out.len() - first;
            out[first..].copy_from_slice(&back[..rest]);
        }
    }

    pub(super) fn acknowledge(&mut self, piece: &Piece) {
        self.end_acknowledged |= piece.ends;
        self.acknowledged.add(piece.offset.max(self.base), piece.offset + piece.octets as u64);
        if let Some((_, end)) = self.acknowledged.first().filter(|(start, _)| *start == self.base) {
            self.octets.drain(..(end - self.base) as usize); // within the window
            self.base = end;
            self.acknowledged.forget_before(end);
            self.lost.forget_before(end);
        }
    }

    pub(super) fn lose(&mut self, piece: &Piece) {
        self.lost.add(piece.offset.max(self.base), piece.offset + piece.octets as u64);
        if piece.ends && !self.end_acknowledged {
            self.end_said = false;
        }
    }

    /// Take what the reader grants; a limit that was overtaken means nothing.
    pub(super) fn grant(&mut self, limit: u64) -> Result<(), Broken> {
        if limit > self.next.saturating_add(FAST_WINDOW_OCTETS as u64) {
            return Err(Broken);
        }
        self.limit = self.limit.max(limit);
        Ok(())
    }
}
