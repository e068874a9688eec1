//! The octets of a bundle that were said and are not acknowledged yet, in the pieces in which they were said last.
//!
//! A piece is lost where it is not acknowledged although something came that was said 4 counters later: nothing overtakes on a circuit, and two circuits of one
//! call are hardly further apart. Pieces are cut smaller where they do not fit, and never put together again.
//!
//! Spec: PROTOCOL.md §11.2.

use std::collections::VecDeque;

use super::segment::Acknowledgement;
use super::{Broken, WINDOW_OCTETS};

/// What was said so many counters before something that came, and did not come, is lost.
const LATE_COUNTERS: u64 = 4;
/// Pieces under way, at most, before new ones wait: two circuits for two seconds.
const MAX_PIECES: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Said,
    Lost,
    Acknowledged,
}

struct Piece {
    octets: usize,
    said_at: u64,
    state: State,
}

/// A piece to be said now: where it begins in the row, and its octets.
pub(super) type Chosen = (u32, Vec<u8>);

/// The sender's half of a bundle's row.
#[derive(Default)]
pub(super) struct Saying {
    octets: VecDeque<u8>,
    /// Offset of the first of these octets.
    base: u32,
    /// All octets are in pieces, in their order.
    pieces: VecDeque<Piece>,
    /// Where the piece begins that was said for want of anything else in the slot before, for the first time of two.
    twice: Option<u32>,
}

impl Saying {
    /// Return how many new octets may be said.
    pub(super) fn room(&self) -> usize {
        if self.pieces.len() < MAX_PIECES {
            WINDOW_OCTETS - self.octets.len()
        } else {
            0
        }
    }

    /// Return whether everything that was said is acknowledged.
    pub(super) fn is_idle(&self) -> bool {
        self.octets.is_empty()
    }

    /// Take new octets into the row, at most `room`, and say them now.
    pub(super) fn say_new(&mut self, counter: u64, octets: &[u8]) -> u32 {
        let offset = self.base.wrapping_add(self.octets.len() as u32); // at most the window
        self.octets.extend(octets);
        self.pieces.push_back(Piece { octets: octets.len(), said_at: counter, state: State::Said });
        offset
    }

    /// Say the first lost piece once more, cut to `room` octets.
    pub(super) fn say_lost(&mut self, counter: u64, room: usize) -> Option<Chosen> {
        let place = self.pieces.iter().position(|piece| piece.state == State::Lost)?;
        Some(self.say_again(place, counter, room))
    }

    /// Say what was said longest ago once more: nothing else is to be said, so it costs nothing, and a loss at the end is found by nobody. In two slots in a row:
    /// of a metered circuit every second cell comes through, and two pieces by turns would leave one of them out for good.
    pub(super) fn say_oldest(&mut self, counter: u64, room: usize) -> Option<Chosen> {
        if let Some(place) = self.twice.take().and_then(|offset| self.place_of(offset)).filter(|place| self.pieces[*place].state == State::Said) {
            return Some(self.say_again(place, counter, room));
        }
        let said = self.pieces.iter().enumerate().filter(|(_, piece)| piece.state == State::Said);
        let (place, _) = said.min_by_key(|(_, piece)| piece.said_at)?;
        let chosen = self.say_again(place, counter, room);
        self.twice = Some(chosen.0);
        Some(chosen)
    }

    /// Return which piece begins there.
    fn place_of(&self, offset: u32) -> Option<usize> {
        let mut at = 0;
        self.pieces.iter().position(|piece| {
            at += piece.octets;
            self.base.wrapping_add((at - piece.octets) as u32) == offset // within the window
        })
    }

    fn say_again(&mut self, place: usize, counter: u64, room: usize) -> Chosen {
        let start: usize = self.pieces.iter().take(place).map(|piece| piece.octets).sum();
        let piece = &mut self.pieces[place];
        let left = piece.octets.saturating_sub(room);
        let rest = Piece { octets: left, said_at: piece.said_at, state: piece.state };
        piece.octets -= left;
        (piece.said_at, piece.state) = (counter, State::Said);
        let end = start + piece.octets;
        if left > 0 {
            self.pieces.insert(place + 1, rest);
        }
        (self.base.wrapping_add(start as u32), self.octets.range(start..end).copied().collect())
        // within the window
    }

    /// Say everything again: another splice carries the bundle.
    pub(super) fn begin_anew(&mut self) {
        for piece in self.pieces.iter_mut().filter(|piece| piece.state == State::Said) {
            piece.state = State::Lost;
        }
    }

    /// Take what the other side heard. counter: the last one under which we spoke.
    pub(super) fn acknowledge(&mut self, told: &Acknowledgement, counter: u64) -> Result<(), Broken> {
        let ahead = told.next.wrapping_sub(self.base);
        if ahead > u32::MAX / 2 {
            return Ok(()); // it was overtaken by a later one
        }
        let ahead = ahead as usize;
        let told_octets = told.ranges.iter().map(|(gap, length)| usize::from(*gap) + usize::from(*length)).sum::<usize>();
        if ahead + told_octets > self.octets.len() {
            return Err(Broken);
        }
        self.drop_front(ahead);
        let mut end = 0;
        for (gap, length) in &told.ranges {
            let start = end + usize::from(*gap);
            end = start + usize::from(*length);
            self.mark(start, end);
        }
        let judged = if told.more { end } else { self.octets.len() };
        if let Some(heard) = whole_counter(told.heard, counter) {
            self.find_lost(heard, judged);
        }
        Ok(())
    }

    fn drop_front(&mut self, octets: usize) {
        self.octets.drain(..octets);
        self.base = self.base.wrapping_add(octets as u32); // at most the window
        let mut left = octets;
        while let Some(first) = self.pieces.front_mut().filter(|_| left > 0) {
            if first.octets > left {
                first.octets -= left;
                return;
            }
            left -= first.octets;
            self.pieces.pop_front();
        }
    }

    fn mark(&mut self, start: usize, end: usize) {
        let mut at = 0;
        for piece in &mut self.pieces {
            if at >= start && at + piece.octets <= end {
                piece.state = State::Acknowledged;
            }
            at += piece.octets;
        }
    }

    fn find_lost(&mut self, heard: u64, judged: usize) {
        let mut at = 0;
        for piece in &mut self.pieces {
            at += piece.octets;
            if at <= judged && piece.state == State::Said && piece.said_at + LATE_COUNTERS <= heard {
                piece.state = State::Lost;
            }
        }
    }
}

/// Return the latest counter up to `last` with these low 16 bits.
fn whole_counter(low: u16, last: u64) -> Option<u64> {
    let behind = (last as u16).wrapping_sub(low); // the low 16 bits
    last.checked_sub(u64::from(behind))
}
