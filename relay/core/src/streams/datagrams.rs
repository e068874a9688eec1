//! Datagrams of associations: cut into fragments, said once, put together again. What is late, too much, or never whole is dropped.
//!
//! Spec: PROTOCOL.md §11.6.

use std::collections::{BTreeMap, VecDeque};

use super::fragment::{parse_fragment, serialise_fragment, Fragment, FRAGMENT_HEAD_OCTETS, MAX_FRAGMENT_OCTETS};
use super::frame::StreamId;
use super::{Broken, MAX_DATAGRAM_OCTETS};
use crate::Micros;

/// What waits to be said on a bundle, at most: three seconds of one circuit. Beyond, the oldest are dropped.
const MAX_WAITING_OCTETS: usize = 32_768;
const MAX_WAITING: usize = 256;
/// A datagram that waited so long is dropped: programs ask again after a time like this.
const OLD_US: Micros = 5_000_000;
/// Datagrams that came in part, and octets of them; beyond, those that began first are dropped.
const MAX_PARTS: usize = 16;
const MAX_PARTS_OCTETS: usize = 32_768;
/// What did not become whole within so many counters, 5 s of one circuit, never will.
const OLD_COUNTERS: u64 = 256;
/// What came on an association and its reader has not taken, at most. Beyond, what comes is dropped.
const MAX_CAME_OCTETS: usize = 32_768;
const MAX_CAME: usize = 64;
/// No datagram is cut to put less of it behind other fragments.
const SHORT_OCTETS: usize = 32;

/// One that waits to be said. `said`: so many octets of it were.
struct Waiting {
    stream: StreamId,
    number: u16,
    octets: Vec<u8>,
    said: usize,
    since: Micros,
}

/// One that came in part. `ends`: how long it is, once the last fragment came.
struct Part {
    stream: StreamId,
    number: u16,
    began: u64,
    pieces: BTreeMap<usize, Vec<u8>>,
    octets: usize,
    ends: Option<usize>,
}

#[derive(Default)]
struct Association {
    next_number: u16,
    came: VecDeque<Vec<u8>>,
    came_octets: usize,
    readable_told: bool,
}

/// All datagrams of a bundle, both ways.
#[derive(Default)]
pub(super) struct Datagrams {
    associations: BTreeMap<StreamId, Association>,
    waiting: VecDeque<Waiting>,
    waiting_octets: usize,
    parts: VecDeque<Part>,
    dropped: u64,
}

impl Datagrams {
    /// Begin with one.
    pub(super) fn add(&mut self, stream: StreamId) {
        self.associations.insert(stream, Association::default());
    }

    /// Forget one, with all that waits.
    pub(super) fn remove(&mut self, stream: StreamId) {
        if self.associations.remove(&stream).is_some() {
            self.waiting.retain(|each| each.stream != stream);
            self.waiting_octets = self.waiting.iter().map(|each| each.octets.len()).sum();
            self.parts.retain(|each| each.stream != stream);
        }
    }

    pub(super) fn has(&self, stream: StreamId) -> bool {
        self.associations.contains_key(&stream)
    }

    /// Return how many were dropped for want of room or time since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    // ------------------------------------------------------------------------------------------------------------ saying

    /// Let a datagram wait to be said; false where there is no such association, or it is too long.
    pub(super) fn send(&mut self, now: Micros, stream: StreamId, octets: &[u8]) -> bool {
        let Some(association) = self.associations.get_mut(&stream).filter(|_| octets.len() <= MAX_DATAGRAM_OCTETS) else {
            self.dropped += 1;
            return false;
        };
        let number = association.next_number;
        association.next_number = number.wrapping_add(1);
        self.waiting.push_back(Waiting { stream, number, octets: octets.to_vec(), said: 0, since: now });
        self.waiting_octets += octets.len();
        while self.waiting_octets > MAX_WAITING_OCTETS || self.waiting.len() > MAX_WAITING {
            self.drop_first();
        }
        true
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.waiting_octets -= first.octets.len();
            self.dropped += 1;
        }
    }

    /// Drop what waited too long.
    pub(super) fn forget_old(&mut self, now: Micros) {
        while self.waiting.front().is_some_and(|first| first.since + OLD_US <= now) {
            self.drop_first();
        }
    }

    /// Return whose datagram is the next.
    pub(super) fn next(&self) -> Option<StreamId> {
        self.waiting.front().map(|first| first.stream)
    }

    /// Put fragments together, as many as fit; those of associations that `may` not be said yet wait, with all behind them.
    pub(super) fn say(&mut self, room: usize, may: impl Fn(StreamId) -> bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(room);
        while let Some(first) = self.waiting.front_mut().filter(|first| may(first.stream)) {
            let left = first.octets.len() - first.said;
            let fits = room.saturating_sub(out.len() + FRAGMENT_HEAD_OCTETS).min(MAX_FRAGMENT_OCTETS);
            if room < out.len() + FRAGMENT_HEAD_OCTETS || fits < left.min(if out.is_empty() { 1 } else { SHORT_OCTETS }) {
                break;
            }
            let end = first.said + left.min(fits);
            let (place, last) = (first.said as u16, end == first.octets.len()); // at most 8 192
            let fragment = Fragment { stream: first.stream, number: first.number, place, last, octets: &first.octets[first.said..end] };
            serialise_fragment(&mut out, &fragment);
            first.said = end;
            if last {
                self.waiting_octets -= first.octets.len();
                self.waiting.pop_front();
            }
        }
        out
    }

    // ----------------------------------------------------------------------------------------------------------- hearing

    /// Another splice carries the bundle: what came in part stays so, and is said from its beginning.
    pub(super) fn begin_anew(&mut self) {
        self.parts.clear();
        self.waiting.iter_mut().for_each(|each| each.said = 0);
    }

    /// Take the fragments of a cell with this counter; of which association something can be read now is added to `readable`.
    pub(super) fn take(&mut self, counter: u64, mut fragments: &[u8], readable: &mut Vec<StreamId>) -> Result<(), Broken> {
        self.parts.retain(|part| part.began + OLD_COUNTERS > counter);
        while !fragments.is_empty() {
            let (fragment, octets) = parse_fragment(fragments)?;
            fragments = &fragments[octets..];
            // It may come before the frame that opens its association, or after it was given up.
            if self.has(fragment.stream) {
                self.put(counter, &fragment).into_iter().for_each(|whole| self.deliver(fragment.stream, whole, readable));
            }
        }
        Ok(())
    }

    /// Put a fragment to the others of its datagram; the datagram, where it is whole now.
    fn put(&mut self, counter: u64, fragment: &Fragment<'_>) -> Option<Vec<u8>> {
        let is_its = |part: &Part| part.stream == fragment.stream && part.number == fragment.number;
        let at = self.parts.iter().position(is_its).unwrap_or_else(|| {
            let (stream, number) = (fragment.stream, fragment.number);
            self.parts.push_back(Part { stream, number, began: counter, pieces: BTreeMap::new(), octets: 0, ends: None });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        let (place, end) = (usize::from(fragment.place), usize::from(fragment.place) + fragment.octets.len());
        if !part.fits(place, end, fragment.last) {
            self.parts.remove(at); // two datagrams of one number, or a liar: neither becomes whole
            return None;
        }
        part.pieces.insert(place, fragment.octets.to_vec());
        part.octets += fragment.octets.len();
        part.ends = part.ends.or(fragment.last.then_some(end));
        if part.ends == Some(part.octets) {
            let part = self.parts.remove(at)?;
            return Some(part.pieces.into_values().flatten().collect());
        }
        while self.parts.len() > MAX_PARTS || self.parts.iter().map(|part| part.octets).sum::<usize>() > MAX_PARTS_OCTETS {
            self.parts.pop_front();
            self.dropped += 1;
        }
        None
    }

    fn deliver(&mut self, stream: StreamId, octets: Vec<u8>, readable: &mut Vec<StreamId>) {
        let Some(association) = self.associations.get_mut(&stream) else { return };
        if association.came.len() >= MAX_CAME || association.came_octets + octets.len() > MAX_CAME_OCTETS {
            self.dropped += 1;
            return;
        }
        association.came_octets += octets.len();
        association.came.push_back(octets);
        if !std::mem::replace(&mut association.readable_told, true) {
            readable.push(stream);
        }
    }

    /// Take the next datagram that came.
    pub(super) fn receive(&mut self, stream: StreamId) -> Option<Vec<u8>> {
        let association = self.associations.get_mut(&stream)?;
        let Some(octets) = association.came.pop_front() else {
            association.readable_told = false;
            return None;
        };
        association.came_octets -= octets.len();
        Some(octets)
    }
}

impl Part {
    /// Return whether a fragment touches none that came, and lies within the datagram as far as its length is known.
    fn fits(&self, place: usize, end: usize, last: bool) -> bool {
        let before = self.pieces.range(..=place).next_back().is_none_or(|(at, piece)| at + piece.len() <= place && *at != place);
        let behind = self.pieces.range(place..).next().is_none_or(|(at, _)| *at >= end && *at != place);
        before && behind && self.ends.map_or(!last || self.pieces.range(end..).next().is_none(), |ends| !last && end <= ends)
    }
}
