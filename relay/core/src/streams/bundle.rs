//! All streams between two boxes, and the one row of octets that carries them. Driven once in each slot, and by what comes.

use std::collections::{BTreeMap, VecDeque};

use super::datagrams::Datagrams;
use super::frame::{parse_frame, serialise_frame, Frame, StreamId, Why, HEAD_OCTETS};
use super::hearing::Hearing;
use super::saying::Saying;
use super::segment::{parse_segment, serialise_acknowledgement, ACKNOWLEDGEMENT_OCTETS, FRAGMENTS, OFFSET_OCTETS};
use super::stream::{Heard, Stream, Way};
use super::{Broken, MAX_STREAMS};
use crate::cell::Body;
use crate::fast::{Fast, Taken};
use crate::Micros;

/// Resets that wait to be said. Whoever has more is sent more opens than an honest peer has.
const MAX_RESETS: usize = 256;
const RESET_OCTETS: usize = HEAD_OCTETS + 1;

/// Why no stream was opened: this side's limit, not the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenError;

/// What happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer opens it: take it or reset it.
    Asked {
        /// The stream.
        stream: StreamId,
        /// Of which service.
        port: u16,
        /// How what is said on it comes.
        way: Way,
    },
    /// The peer takes one that this side opened.
    Taken(StreamId),
    /// Something waits to be read or received; told once until all was.
    Readable(StreamId),
    /// There is room again for a writer who found none.
    Writable(StreamId),
    /// The peer says no more; what came before can still be read.
    Ended(StreamId),
    /// It is gone, with what waited; by whom this side has not reset it itself.
    Reset {
        /// The stream.
        stream: StreamId,
        /// What the peer says.
        why: Why,
    },
    /// The peer broke the protocol: all streams are gone, and the bundle is to be thrown away.
    Broken,
}

/// One side of a bundle.
///
/// Contract: `segment_for_slot` at each slot that has room, `take_segment` for what comes, then `poll` until it is empty; `begin_anew` when another splice carries it.
/// After [`Broken`] it is thrown away. It holds at most two windows of its row, two of each of 128 streams, two of datagrams and one more of each association, and an event for each frame that came since `poll`.
#[derive(Default)]
pub struct Bundle {
    streams: BTreeMap<StreamId, Stream>,
    next_number: u16,
    /// The stream that was served last, so that the next one begins.
    turn: Option<StreamId>,
    resets: VecDeque<(StreamId, Why)>,
    datagrams: Datagrams,
    fast: Fast,
    /// The row has the next slot, if it has anything new or lost, since datagrams had the last.
    row_is_next: bool,
    saying: Saying,
    hearing: Hearing,
    /// The highest counter under which a segment came in this splice, and the last under which one was said.
    heard: u64,
    counter: u64,
    /// The beginning of a frame that has not come as a whole.
    row: Vec<u8>,
    events: VecDeque<StreamEvent>,
    is_broken: bool,
}

impl Bundle {
    /// Begin without streams.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // --------------------------------------------------------------------------------------------------------- streams

    /// Open a stream to a service of the peer's. Octets may be written at once.
    ///
    /// # Errors
    /// [`OpenError`] where 64 are open, or the bundle is broken.
    pub fn open(&mut self, port: u16) -> Result<StreamId, OpenError> {
        self.begin(port, Way::Row)
    }

    /// Open a stream to a service of the peer's whose octets go in fast cells. Octets may be written at once; they are said once the peer takes it.
    ///
    /// # Errors
    /// As `open`, or where 16 of the kind are open.
    pub fn open_fast(&mut self, port: u16) -> Result<StreamId, OpenError> {
        let id = self.begin(port, Way::Fast)?;
        if !self.fast.add(id) {
            self.streams.remove(&id);
            return Err(OpenError);
        }
        Ok(id)
    }

    /// Open an association with a service of the peer's. Datagrams may be sent at once.
    ///
    /// # Errors
    /// As `open`.
    pub fn associate(&mut self, port: u16) -> Result<StreamId, OpenError> {
        let id = self.begin(port, Way::Datagrams)?;
        self.datagrams.add(id);
        Ok(id)
    }

    fn begin(&mut self, port: u16, way: Way) -> Result<StreamId, OpenError> {
        if self.is_broken || self.count(true) >= MAX_STREAMS {
            return Err(OpenError);
        }
        let mut id = StreamId { ours: true, number: self.next_number };
        while self.streams.contains_key(&id) {
            id.number = id.number.wrapping_add(1);
        }
        self.next_number = id.number.wrapping_add(1);
        self.streams.insert(id, Stream::new(Some(port), way));
        Ok(id)
    }

    /// Agree to a stream that the peer opened; false where there is none that waits for it.
    pub fn take(&mut self, stream: StreamId) -> bool {
        let taken = self.streams.get_mut(&stream).is_some_and(|its| !stream.ours && its.take());
        if taken {
            self.fast.take_stream(stream);
        }
        taken
    }

    /// Return how many octets `write` would take; 0 where there is no such stream.
    #[must_use]
    pub fn room(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, |its| if its.is_fast() && its.speaks() { self.fast.room(stream) } else { its.room() })
    }

    /// Give octets to a stream; returns how many it took. Where it took fewer, [`StreamEvent::Writable`] follows.
    pub fn write(&mut self, stream: StreamId, octets: &[u8]) -> usize {
        let Some(its) = self.streams.get_mut(&stream) else { return 0 };
        if !its.is_fast() {
            return its.write(octets);
        }
        if its.speaks() {
            self.fast.write(stream, octets)
        } else {
            0
        }
    }

    /// Say no more on a stream, when what was written has been said.
    pub fn end(&mut self, stream: StreamId) {
        if self.streams.get(&stream).is_some_and(|its| its.is_fast() && its.speaks()) {
            self.fast.end(stream);
        }
        self.streams.get_mut(&stream).into_iter().for_each(Stream::end);
    }

    /// Read what came; returns the number of octets, 0 where there is nothing.
    pub fn read(&mut self, stream: StreamId, out: &mut [u8]) -> usize {
        let read = if self.fast.has(stream) { self.fast.read(stream, out) } else { self.streams.get_mut(&stream).map_or(0, |its| its.read(out)) };
        self.retire(stream);
        read
    }

    /// Return whether the peer says no more on a stream and all was read, or there is no such stream.
    #[must_use]
    pub fn is_read(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(|its| if its.is_fast() { self.fast.is_read(stream) } else { its.is_read() })
    }

    /// Send a datagram on an association, of at most 8 192 octets: it comes whole, or not at all. False where it was not taken.
    pub fn send(&mut self, now: Micros, stream: StreamId, octets: &[u8]) -> bool {
        self.datagrams.send(now, stream, octets)
    }

    /// Receive the next datagram of an association.
    pub fn receive(&mut self, stream: StreamId) -> Option<Vec<u8>> {
        self.datagrams.receive(stream)
    }

    /// Drop the datagrams that have waited too long to be said.
    pub fn forget_old(&mut self, now: Micros) {
        self.datagrams.forget_old(now);
    }

    /// Return how many datagrams were dropped here since this was asked last, for want of room or time.
    pub fn take_dropped(&mut self) -> u64 {
        self.datagrams.take_dropped()
    }

    /// Forget a stream or association, and tell the peer.
    pub fn reset(&mut self, stream: StreamId, why: Why) {
        self.datagrams.remove(stream);
        self.fast.remove(stream);
        if self.streams.remove(&stream).is_some_and(|its| !its.is_unsaid()) {
            self.resets.push_back((stream, why));
        }
    }

    /// Return how many streams and associations there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Let [`StreamEvent::Writable`] follow once `write` takes octets again.
    pub fn want_room(&mut self, stream: StreamId) {
        self.fast.want_room(stream);
        self.streams.get_mut(&stream).into_iter().filter(|its| !its.is_fast()).for_each(|its| its.wants_room = true);
    }

    /// Take the next event.
    pub fn poll(&mut self) -> Option<StreamEvent> {
        self.events.pop_front()
    }

    fn count(&self, ours: bool) -> usize {
        self.streams.keys().filter(|id| id.ours == ours).count()
    }

    fn retire(&mut self, stream: StreamId) {
        if self.streams.get(&stream).is_some_and(Stream::is_over) || self.fast.is_over(stream) {
            self.streams.remove(&stream);
            self.fast.remove(stream);
        }
    }

    // ----------------------------------------------------------------------------------------------------------- slots

    /// Go on over another splice, whose counters begin anew: whatever is not acknowledged is said again.
    pub fn begin_anew(&mut self) {
        (self.heard, self.counter) = (0, 0);
        self.saying.begin_anew();
        self.datagrams.begin_anew();
        self.fast.begin_anew();
    }

    // ------------------------------------------------------------------------------------------------------ fast cells

    /// Return whether a stream is open, and taken, whose octets go in fast cells.
    #[must_use]
    pub fn wants_fast(&self) -> bool {
        self.fast.is_wanted()
    }

    /// Return when a fast cell may have something to say; `None` where only what comes can change that.
    #[must_use]
    pub fn next_fast_us(&self) -> Option<Micros> {
        self.fast.next_us()
    }

    /// Put the plain body of the next fast cell together; false where none is to leave now.
    pub fn fast_body(&mut self, now: Micros, body: &mut Body) -> bool {
        !self.is_broken && self.fast.packet(now, body, &mut self.events)
    }

    /// Take the plain body of a fast cell of the peer's, which begins with 16 zeros.
    ///
    /// # Errors
    /// [`Broken`], as `take_segment`.
    pub fn take_fast(&mut self, now: Micros, body: &Body) -> Result<Taken, Broken> {
        if self.is_broken {
            return Err(Broken);
        }
        let taken = self.fast.take(now, body, &mut self.events);
        if taken.is_err() {
            self.break_off();
        }
        self.fast.take_ended().into_iter().for_each(|stream| self.retire(stream));
        taken
    }

    /// Return whether something waits to be said or to be acknowledged; what waits for the peer's credit does not count.
    #[must_use]
    pub fn has_something_to_say(&self) -> bool {
        !self.saying.is_idle()
            || self.fast.has_something_to_say()
            || !self.resets.is_empty()
            || self.datagrams.next().is_some()
            || self.streams.values().any(Stream::has_something_to_say)
    }

    /// Write the segment of a slot into `out`, whose length is the room there; returns its length, 0 where the room is less than 7 or the bundle is broken.
    ///
    /// Fragments of datagrams, and what is lost or new in the row, by turns where there are both; else what was said longest ago.
    pub fn segment_for_slot(&mut self, counter: u64, out: &mut [u8]) -> usize {
        if out.len() < ACKNOWLEDGEMENT_OCTETS || self.is_broken {
            return 0;
        }
        self.counter = counter;
        let end = serialise_acknowledgement(out, &self.hearing.acknowledgement(self.heard, out.len()));
        let fragments = if self.row_is_next { Vec::new() } else { self.fragments(out.len() - end) };
        if !fragments.is_empty() {
            return self.put_fragments(out, end, &fragments);
        }
        self.row_is_next = false;
        let room = out.len().saturating_sub(end + OFFSET_OCTETS);
        let fresh = if room == 0 { None } else { self.saying.say_lost(counter, room).or_else(|| self.say_new(counter, room)) };
        let fragments = if fresh.is_some() { Vec::new() } else { self.fragments(out.len() - end) };
        if !fragments.is_empty() {
            return self.put_fragments(out, end, &fragments);
        }
        let chosen = if room == 0 { None } else { fresh.or_else(|| self.saying.say_oldest(counter, room)) };
        let Some((offset, octets)) = chosen else { return end };
        let begin = end + OFFSET_OCTETS;
        out[end..begin].copy_from_slice(&offset.to_be_bytes());
        out[begin..begin + octets.len()].copy_from_slice(&octets);
        begin + octets.len()
    }

    /// Cut datagrams of associations whose opening was said.
    fn fragments(&mut self, room: usize) -> Vec<u8> {
        let streams = &self.streams;
        self.datagrams.say(room, |stream| streams.get(&stream).is_some_and(|its| !its.is_unsaid()))
    }

    /// Let a segment end in fragments; returns its length.
    fn put_fragments(&mut self, out: &mut [u8], end: usize, fragments: &[u8]) -> usize {
        self.row_is_next = true;
        out[ACKNOWLEDGEMENT_OCTETS - 1] |= FRAGMENTS;
        out[end..end + fragments.len()].copy_from_slice(fragments);
        end + fragments.len()
    }

    fn say_new(&mut self, counter: u64, room: usize) -> Option<(u32, Vec<u8>)> {
        let row = self.frames(room.min(self.saying.room()));
        (!row.is_empty()).then(|| (self.saying.say_new(counter, &row), row))
    }

    /// Put frames together, of each stream in its turn.
    fn frames(&mut self, room: usize) -> Vec<u8> {
        let mut row = Vec::with_capacity(room);
        while row.len() + RESET_OCTETS <= room {
            let Some((stream, why)) = self.resets.pop_front() else { break };
            serialise_frame(&mut row, stream, &Frame::Reset(why));
        }
        let after = |id: &StreamId| self.turn.is_some_and(|turn| *id <= turn);
        let mut order: Vec<StreamId> = self.streams.iter().filter(|(_, its)| its.has_something_to_say()).map(|(id, _)| *id).collect();
        order.sort_by_key(|id| (after(id), *id));
        for id in order {
            if row.len() + HEAD_OCTETS > room {
                break;
            }
            let Some(its) = self.streams.get_mut(&id) else { continue };
            its.say(id, &mut row, room);
            self.turn = Some(id);
            if its.wants_room && its.room() > 0 {
                its.wants_room = false;
                self.events.push_back(StreamEvent::Writable(id));
            }
            self.retire(id);
        }
        row
    }

    /// Take a segment of the peer's, from a cell with this counter.
    ///
    /// # Errors
    /// [`Broken`]: it does not follow PROTOCOL.md §11; nothing is left of the streams, and nothing more is said or taken.
    pub fn take_segment(&mut self, counter: u64, segment: &[u8]) -> Result<(), Broken> {
        if self.is_broken {
            return Err(Broken);
        }
        let taken = self.take_whole_segment(counter, segment);
        if taken.is_err() {
            self.break_off();
        }
        taken
    }

    fn break_off(&mut self) {
        *self = Self { is_broken: true, events: VecDeque::from([StreamEvent::Broken]), ..Self::default() };
    }

    fn take_whole_segment(&mut self, counter: u64, segment: &[u8]) -> Result<(), Broken> {
        let segment = parse_segment(segment).ok_or(Broken)?;
        self.saying.acknowledge(&segment.acknowledgement, self.counter)?;
        self.heard = self.heard.max(counter);
        if let Some((offset, octets)) = segment.piece {
            let mut row = std::mem::take(&mut self.row);
            self.hearing.take(offset, octets, &mut row)?;
            let heard = self.hear_row(&row)?;
            row.drain(..heard);
            self.row = row;
        }
        let mut readable = Vec::new();
        self.datagrams.take(counter, segment.fragments, &mut readable)?;
        self.events.extend(readable.into_iter().map(StreamEvent::Readable));
        Ok(())
    }

    /// Take the whole frames of a row; returns how many octets they have.
    fn hear_row(&mut self, row: &[u8]) -> Result<usize, Broken> {
        let mut heard = 0;
        while let Some((stream, frame, octets)) = parse_frame(&row[heard..])? {
            self.hear(stream, &frame)?;
            heard += octets;
        }
        Ok(heard)
    }

    fn hear(&mut self, stream: StreamId, frame: &Frame<'_>) -> Result<(), Broken> {
        match frame {
            Frame::Open(port) => return self.hear_open(stream, *port, Way::Row),
            Frame::Associate(port) => return self.hear_open(stream, *port, Way::Datagrams),
            Frame::OpenFast(port) => return self.hear_open(stream, *port, Way::Fast),
            Frame::Taken | Frame::Data(_) | Frame::End | Frame::Reset(_) | Frame::Credit(_) => {}
        }
        // What is still under way on a stream that this side has reset means nothing.
        let Some(its) = self.streams.get_mut(&stream) else { return Ok(()) };
        if its.is_unsaid() {
            return Err(Broken);
        }
        if let Frame::Reset(why) = frame {
            self.streams.remove(&stream);
            self.datagrams.remove(stream);
            self.fast.remove(stream);
            self.events.push_back(StreamEvent::Reset { stream, why: *why });
            return Ok(());
        }
        match its.hear(stream, frame)? {
            Heard::Taken => {
                self.fast.take_stream(stream);
                self.events.push_back(StreamEvent::Taken(stream));
            }
            Heard::Readable => self.events.push_back(StreamEvent::Readable(stream)),
            Heard::Ended => self.events.push_back(StreamEvent::Ended(stream)),
            Heard::Nothing => {}
        }
        self.retire(stream);
        Ok(())
    }

    fn hear_open(&mut self, stream: StreamId, port: u16, way: Way) -> Result<(), Broken> {
        // An honest peer has 64 open, as it sees it, until it hears of a reset: so no more than 128 wait, its own and this side's.
        if self.streams.contains_key(&stream) || self.resets.len() >= MAX_RESETS {
            return Err(Broken);
        }
        if self.count(false) >= MAX_STREAMS || way == Way::Fast && !self.fast.add(stream) {
            self.resets.push_back((stream, Why::Busy));
            return Ok(());
        }
        self.streams.insert(stream, Stream::new(None, way));
        if way == Way::Datagrams {
            self.datagrams.add(stream);
        }
        self.events.push_back(StreamEvent::Asked { stream, port, way });
        Ok(())
    }
}
