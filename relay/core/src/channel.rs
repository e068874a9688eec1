//! The reliable channel between two boxes: selective repeat in the octets that a slot leaves free.
//!
//! Messages of 1 to 8 192 octets come out once each and in order, whatever is lost, repeated or reordered. There is no timer:
//! each slot carries the unacknowledged segment of the window that was said longest ago, and every segment carries what came.
//! Not here: keys, cells and counters ([`crate::endtoend`]); what a message means. Driven by [`crate::owner`], once per slot.
//!
//! ```text
//! next u16 | map u16 | [sequence u16 | octets 1..212]
//! ```
//!
//! Spec: PROTOCOL.md §9.2.

use std::collections::VecDeque;

/// Longest message in octets.
pub const MAX_MESSAGE_OCTETS: usize = 8_192;
/// Messages that may wait, the one being cut included.
pub const MAX_WAITING_MESSAGES: usize = 64;
/// Segments that may be on the way, in each direction.
pub const WINDOW_SEGMENTS: u16 = 64;
/// Octets of a message in one segment, at most.
pub const MAX_SEGMENT_DATA_OCTETS: usize = 212;
/// `next` and `map`: what every segment begins with.
pub const ACKNOWLEDGEMENT_OCTETS: usize = 4;
/// Octets before the data: acknowledgement and sequence number.
pub const SEGMENT_HEADER_OCTETS: usize = 6;
/// Longest segment as a whole.
pub const MAX_SEGMENT_OCTETS: usize = SEGMENT_HEADER_OCTETS + MAX_SEGMENT_DATA_OCTETS;

const MAP_BITS: u16 = 16;
/// How often what came is acknowledged: a junction passes every second cell only to a metered circuit (PROTOCOL.md §5.7), and it is the same one of two each time.
const ACKNOWLEDGED_TIMES: u8 = 2;
/// How far an honest but late acknowledgement or repetition may lie behind: the window of counters (§9.1) and one of segments.
const STALE_SEGMENTS: u16 = 1_024 + WINDOW_SEGMENTS;
/// Slots a segment that is too long for the room beside the frame waits before it asks for a whole cell.
const SLOTS_BEFORE_WHOLE_CELL: u64 = 8;

/// Why a message was not queued: the caller's side, not the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushError {
    /// 64 messages wait already.
    Full,
    /// The message is empty or longer than 8 192 octets.
    Length,
}

/// A segment that does not follow §9.2: nothing of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JunkSegment;

/// What [`Channel::segment_for_slot`] put into the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotSegment {
    /// Octets written, from the start of the buffer; 0 where there was no room.
    pub octets: usize,
    /// Flag 1: the segment ends a message.
    pub ends_message: bool,
}

#[derive(Clone)]
struct Segment {
    data: [u8; MAX_SEGMENT_DATA_OCTETS],
    octets: usize,
    ends_message: bool,
}

impl Segment {
    fn from_data(data: &[u8], ends_message: bool) -> Self {
        let mut segment = Self { data: [0; MAX_SEGMENT_DATA_OCTETS], octets: data.len(), ends_message };
        segment.data[..data.len()].copy_from_slice(data);
        segment
    }

    fn as_slice(&self) -> &[u8] {
        &self.data[..self.octets]
    }
}

struct InFlight {
    segment: Segment,
    said_at_slot: u64,
    acknowledged: bool,
}

/// One end of a channel. `segment_for_slot` once per slot, `take_segment` for what comes; there is no error state and no end but dropping it.
pub struct Channel {
    waiting: VecDeque<Vec<u8>>,
    /// Octets of the first waiting message that are cut already.
    cut_octets: usize,
    in_flight: VecDeque<InFlight>,
    /// Sequence number of the first segment in flight.
    first_in_flight: u16,
    /// Slots so far, those without a segment too.
    slots: u64,
    /// Sequence number expected next from the peer.
    expected: u16,
    /// What came out of order; index 0 is `expected`.
    early: VecDeque<Option<Segment>>,
    assembled: Vec<u8>,
    /// How many segments are still to be said for the data that came.
    owed_acknowledgements: u8,
}

impl Default for Channel {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel {
    /// Make an end that has said and heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            cut_octets: 0,
            in_flight: VecDeque::new(),
            first_in_flight: 0,
            slots: 0,
            expected: 0,
            early: std::iter::repeat_with(|| None).take(usize::from(WINDOW_SEGMENTS)).collect(),
            assembled: Vec::new(),
            owed_acknowledgements: 0,
        }
    }

    /// Queue a message of 1 to 8 192 octets; at most 64 wait.
    ///
    /// # Errors
    /// [`PushError`], and the message is not queued.
    pub fn push(&mut self, message: &[u8]) -> Result<(), PushError> {
        if message.is_empty() || message.len() > MAX_MESSAGE_OCTETS {
            return Err(PushError::Length);
        }
        if self.waiting.len() >= MAX_WAITING_MESSAGES {
            return Err(PushError::Full);
        }
        self.waiting.push_back(message.to_vec());
        Ok(())
    }

    /// Return whether everything that was queued has been acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Return whether a slot is worth a segment: something is not acknowledged yet, on either side. Who lost an acknowledgement says its data again, and is answered again.
    #[must_use]
    pub fn has_something_to_say(&self) -> bool {
        !self.is_idle() || self.owed_acknowledgements > 0
    }

    /// Return whether a segment cut before sound began has waited for more than 8 slots because it does not fit into `room` octets.
    /// The caller then leaves the frame of one slot out, so that the channel cannot stall behind the sound.
    #[must_use]
    pub fn wants_whole_cell(&self, room: usize) -> bool {
        self.in_flight.iter().any(|entry| {
            !entry.acknowledged
                && entry.segment.octets + SEGMENT_HEADER_OCTETS > room
                && self.slots.saturating_sub(entry.said_at_slot) >= SLOTS_BEFORE_WHOLE_CELL
        })
    }

    /// Let a slot pass without a segment.
    pub fn pass_slot(&mut self) {
        self.slots += 1;
    }

    /// Write this slot's segment into `out`, whose length is the room in the slot. New segments are cut to fit that room.
    pub fn segment_for_slot(&mut self, out: &mut [u8]) -> SlotSegment {
        self.slots += 1;
        if out.len() < ACKNOWLEDGEMENT_OCTETS {
            return SlotSegment { octets: 0, ends_message: false };
        }
        out[0..2].copy_from_slice(&self.expected.to_be_bytes());
        out[2..4].copy_from_slice(&self.map().to_be_bytes());
        self.owed_acknowledgements = self.owed_acknowledgements.saturating_sub(1);
        self.cut_next(out.len());
        let Some((offset, sequence)) = self.longest_unsaid(out.len()) else {
            return SlotSegment { octets: ACKNOWLEDGEMENT_OCTETS, ends_message: false };
        };
        let entry = &mut self.in_flight[offset];
        entry.said_at_slot = self.slots;
        out[4..6].copy_from_slice(&sequence.to_be_bytes());
        let octets = SEGMENT_HEADER_OCTETS + entry.segment.octets;
        out[SEGMENT_HEADER_OCTETS..octets].copy_from_slice(entry.segment.as_slice());
        SlotSegment { octets, ends_message: entry.segment.ends_message }
    }

    /// Take a segment of the peer and return the messages that it completes, in order.
    ///
    /// # Errors
    /// [`JunkSegment`] where it does not follow §9.2; the state is as before.
    pub fn take_segment(&mut self, segment: &[u8], ends_message: bool) -> Result<Vec<Vec<u8>>, JunkSegment> {
        if segment.len() < ACKNOWLEDGEMENT_OCTETS || segment.len() > MAX_SEGMENT_OCTETS {
            return Err(JunkSegment);
        }
        let next = u16::from_be_bytes([segment[0], segment[1]]);
        let map = u16::from_be_bytes([segment[2], segment[3]]);
        let data = match segment.len() {
            ACKNOWLEDGEMENT_OCTETS if !ends_message => None,
            0..=SEGMENT_HEADER_OCTETS => return Err(JunkSegment),
            _ => Some((u16::from_be_bytes([segment[4], segment[5]]), &segment[SEGMENT_HEADER_OCTETS..])),
        };
        // Everything is checked before anything is changed.
        let acknowledged = self.checked_acknowledgement(next, map)?;
        let place = match data {
            Some((sequence, octets)) => self.checked_place(sequence, octets.len())?.map(|place| (place, octets)),
            None => None,
        };
        self.acknowledge(acknowledged, next, map);
        if data.is_some() {
            self.owed_acknowledgements = ACKNOWLEDGED_TIMES;
        }
        match place {
            Some((place, octets)) => {
                self.early[place].get_or_insert_with(|| Segment::from_data(octets, ends_message));
                Ok(self.deliver())
            }
            None => Ok(Vec::new()),
        }
    }

    /// Bit i: `expected + 1 + i` has come.
    fn map(&self) -> u16 {
        (0..MAP_BITS).filter(|bit| self.early[usize::from(*bit) + 1].is_some()).fold(0, |map, bit| map | 1 << bit)
    }

    /// Cut the next segment of the waiting messages, to fit a slot of `room` octets, where the window has a place.
    fn cut_next(&mut self, room: usize) {
        let in_window = self.in_flight.len() < usize::from(WINDOW_SEGMENTS);
        let data_room = room.saturating_sub(SEGMENT_HEADER_OCTETS).min(MAX_SEGMENT_DATA_OCTETS);
        let Some(message) = self.waiting.front() else { return };
        if !in_window || data_room == 0 {
            return;
        }
        let end = message.len().min(self.cut_octets + data_room);
        let ends_message = end == message.len();
        let segment = Segment::from_data(&message[self.cut_octets..end], ends_message);
        // 0 is before every slot: what was never said comes first.
        self.in_flight.push_back(InFlight { segment, said_at_slot: 0, acknowledged: false });
        self.cut_octets = end;
        if ends_message {
            self.waiting.pop_front();
            self.cut_octets = 0;
        }
    }

    /// Find the unacknowledged segment that fits and was said longest ago; the lower number where two were. One that was said an even number of slots ago waits for
    /// the next, where another is there: else all of its cells might be those that a junction leaves out (PROTOCOL.md §5.7).
    fn longest_unsaid(&self, room: usize) -> Option<(usize, u16)> {
        let fits = |entry: &InFlight| !entry.acknowledged && SEGMENT_HEADER_OCTETS + entry.segment.octets <= room;
        let waits = |entry: &InFlight| entry.said_at_slot > 0 && (self.slots - entry.said_at_slot) % 2 == 0;
        let fitting = self.in_flight.iter().enumerate().filter(|(_, entry)| fits(entry));
        let (offset, _) = fitting.min_by_key(|(_, entry)| (waits(entry), entry.said_at_slot))?;
        let distance = u16::try_from(offset).ok()?;
        Some((offset, self.first_in_flight.wrapping_add(distance)))
    }

    /// Return how many segments from the first in flight `next` acknowledges; 0 for one that is late.
    fn checked_acknowledgement(&self, next: u16, map: u16) -> Result<usize, JunkSegment> {
        let ahead = usize::from(next.wrapping_sub(self.first_in_flight));
        let behind = self.first_in_flight.wrapping_sub(next);
        let acknowledged = match ahead <= self.in_flight.len() {
            true => ahead,
            false if behind <= STALE_SEGMENTS => 0,
            false => return Err(JunkSegment),
        };
        for bit in (0..MAP_BITS).filter(|bit| map & 1 << bit != 0) {
            let sequence = next.wrapping_add(1).wrapping_add(bit);
            let offset = usize::from(sequence.wrapping_sub(self.first_in_flight));
            let late = self.first_in_flight.wrapping_sub(sequence) <= STALE_SEGMENTS;
            if offset >= self.in_flight.len() && !late {
                return Err(JunkSegment);
            }
        }
        Ok(acknowledged)
    }

    fn acknowledge(&mut self, acknowledged: usize, next: u16, map: u16) {
        for bit in (0..MAP_BITS).filter(|bit| map & 1 << bit != 0) {
            let sequence = next.wrapping_add(1).wrapping_add(bit);
            if let Some(entry) = self.in_flight.get_mut(usize::from(sequence.wrapping_sub(self.first_in_flight))) {
                entry.acknowledged = true;
            }
        }
        self.in_flight.drain(..acknowledged);
        self.first_in_flight = self.first_in_flight.wrapping_add(u16::try_from(acknowledged).unwrap_or(0));
        // at most the window of 64
    }

    /// Return where in the window of the receiver a segment goes; None for one that came before.
    fn checked_place(&self, sequence: u16, octets: usize) -> Result<Option<usize>, JunkSegment> {
        let ahead = sequence.wrapping_sub(self.expected);
        if ahead < WINDOW_SEGMENTS {
            // A message grows past its bound only at the segment that is next, because only then it is known which message it is of.
            let too_long = ahead == 0 && self.assembled.len() + octets > MAX_MESSAGE_OCTETS;
            return if too_long { Err(JunkSegment) } else { Ok(Some(usize::from(ahead))) };
        }
        let behind = self.expected.wrapping_sub(sequence);
        if behind <= STALE_SEGMENTS {
            Ok(None)
        } else {
            Err(JunkSegment)
        }
    }

    /// Take what is in order from the front of the window.
    fn deliver(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Some(segment) = self.early[0].take() {
            if self.assembled.len() + segment.octets > MAX_MESSAGE_OCTETS {
                // Came early and turns out too long: forgotten, so that it is never acknowledged.
                break;
            }
            self.assembled.extend_from_slice(segment.as_slice());
            self.early.rotate_left(1);
            self.expected = self.expected.wrapping_add(1);
            if segment.ends_message {
                messages.push(std::mem::take(&mut self.assembled));
            }
        }
        messages
    }
}
