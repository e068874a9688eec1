//! All fast streams of a bundle, and the packets that carry them.

use std::collections::{BTreeMap, VecDeque};

use super::heard::Heard;
use super::incoming::{Incoming, Placed};
use super::outgoing::Outgoing;
use super::packet::{
    begin_packet, parse_packet, Frame, Frames, Writer, ACKNOWLEDGEMENT_OCTETS, CREDIT_OCTETS, DATA_HEAD_OCTETS, FRAMES_OCTETS, MAX_RANGES, RANGE_OCTETS,
};
use super::recovery::{Content, Fate, Recovery};
use super::MAX_FAST_STREAMS;
use crate::cell::Body;
use crate::ids::Micros;
use crate::streams::{Broken, StreamEvent, StreamId};

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was new.
    New,
    /// Its number came before, or there was no place for what it says.
    Dropped,
}

struct Both {
    outgoing: Outgoing,
    incoming: Incoming,
    /// The other side has taken the stream, or this side has: octets may be said.
    is_taken: bool,
}

/// The fast streams of one side of a bundle.
///
/// Contract: `packet` while it returns true and there is room on the wire, `take` for what comes, [`Self::next_us`] says when there may be more to do; `begin_anew` when another
/// call carries the bundle. Bounds: 32 streams with two windows of 2 MiB each, and what is under way.
#[derive(Default)]
pub struct Fast {
    streams: BTreeMap<StreamId, Both>,
    turn: Option<StreamId>,
    recovery: Recovery,
    heard: Heard,
    fates: Vec<Fate>,
    ended: Vec<StreamId>,
}

impl Fast {
    // --------------------------------------------------------------------------------------------------------- streams

    /// Begin a stream; false where the side that opens it has 16.
    pub(crate) fn add(&mut self, stream: StreamId) -> bool {
        let fits = self.streams.keys().filter(|id| id.ours == stream.ours).count() < MAX_FAST_STREAMS;
        if fits {
            self.streams.insert(stream, Both { outgoing: Outgoing::new(), incoming: Incoming::new(), is_taken: false });
        }
        fits
    }

    /// Let octets of a stream be said from now on.
    pub(crate) fn take_stream(&mut self, stream: StreamId) {
        self.streams.get_mut(&stream).into_iter().for_each(|its| its.is_taken = true);
    }

    pub(crate) fn remove(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Return whether there is a stream that both sides took.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.streams.values().any(|its| its.is_taken)
    }

    pub(crate) fn room(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, |its| its.outgoing.room())
    }

    pub(crate) fn write(&mut self, stream: StreamId, octets: &[u8]) -> usize {
        self.streams.get_mut(&stream).map_or(0, |its| its.outgoing.write(octets))
    }

    pub(crate) fn end(&mut self, stream: StreamId) {
        self.streams.get_mut(&stream).into_iter().for_each(|its| its.outgoing.end());
    }

    pub(crate) fn want_room(&mut self, stream: StreamId) {
        self.streams.get_mut(&stream).into_iter().for_each(|its| its.outgoing.want_room());
    }

    pub(crate) fn read(&mut self, stream: StreamId, out: &mut [u8]) -> usize {
        self.streams.get_mut(&stream).map_or(0, |its| its.incoming.read(out))
    }

    pub(crate) fn is_read(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(|its| its.incoming.is_read())
    }

    /// Take the streams of which the last octet was acknowledged since this was asked last.
    pub(crate) fn take_ended(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.ended)
    }

    /// Return whether nothing more will happen on a stream.
    pub(crate) fn is_over(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|its| its.outgoing.is_over() && its.incoming.is_read())
    }

    // ---------------------------------------------------------------------------------------------------------- packets

    /// Return whether octets wait to be said or to be acknowledged, or a reader's room to be told.
    #[must_use]
    pub fn has_something_to_say(&self) -> bool {
        self.has_octets() || self.recovery.next_us().is_some()
    }

    fn has_octets(&self) -> bool {
        self.streams.values().any(|its| its.is_taken && its.outgoing.has_something_to_say() || its.incoming.credit().is_some())
    }

    /// Return when there is something to say, or to be found lost; `None` where only what comes can change that.
    #[must_use]
    pub fn next_us(&self) -> Option<Micros> {
        let octets = if self.has_octets() { self.recovery.may_say_at() } else { None };
        [self.recovery.next_us(), self.heard.due(), octets].into_iter().flatten().min()
    }

    /// Go on over another call: whatever is not acknowledged is said again, under new numbers.
    pub(crate) fn begin_anew(&mut self) {
        self.recovery.begin_anew(&mut self.fates);
        self.follow_fates(&mut VecDeque::new()); // nothing was acknowledged, so there is nothing to tell
    }

    /// Put the plain body of the next packet together; false where none is to leave now.
    pub fn packet(&mut self, now: Micros, body: &mut Body, events: &mut VecDeque<StreamEvent>) -> bool {
        if self.recovery.next_us().is_some_and(|at| at <= now) {
            self.recovery.handle_time(now, &mut self.fates);
            self.follow_fates(events);
        }
        let acknowledges = self.heard.due().is_some_and(|at| at <= now);
        let octets = self.has_octets() && self.recovery.may_say(now);
        let pings = !octets && self.recovery.is_probing();
        if !acknowledges && !octets && !pings {
            return false;
        }
        begin_packet(body, 0);
        let mut writer = Writer::new(body);
        if let Some(told) = acknowledges.then(|| self.heard.told(now)).flatten() {
            writer.acknowledge(&told);
        }
        let mut content = Content { wants_answer: octets || pings, ..Content::default() };
        if octets {
            content.credit = self.put_credit(&mut writer);
            content.piece = self.put_piece(&mut writer);
        } else if pings {
            writer.ping();
        }
        let number = self.recovery.say(now, content);
        body[16..24].copy_from_slice(&number.to_be_bytes());
        true
    }

    fn put_credit(&mut self, writer: &mut Writer<'_>) -> Option<StreamId> {
        let (id, limit, its) = self.streams.iter_mut().find_map(|(id, its)| Some((*id, its.incoming.credit()?, its)))?;
        if !writer.credit(id, limit) {
            return None;
        }
        its.incoming.grant(limit);
        Some(id)
    }

    fn put_piece(&mut self, writer: &mut Writer<'_>) -> Option<(StreamId, super::outgoing::Piece)> {
        let room = writer.room().checked_sub(DATA_HEAD_OCTETS + 1)? + 1;
        let speaks = |(_, its): &(&StreamId, &Both)| its.is_taken && its.outgoing.has_something_to_say();
        let after = self.turn.and_then(|turn| self.streams.range((std::ops::Bound::Excluded(turn), std::ops::Bound::Unbounded)).find(speaks));
        let id = *after.or_else(|| self.streams.iter().find(speaks))?.0;
        self.turn = Some(id);
        let outgoing = &mut self.streams.get_mut(&id)?.outgoing;
        let piece = outgoing.next_piece(room)?;
        writer.data(id, piece.offset, piece.octets, piece.ends, |out| outgoing.copy(&piece, out));
        Some((id, piece))
    }

    /// Take a packet: the plain body of a fast cell, which begins with 16 zeros.
    ///
    /// # Errors
    /// [`Broken`]: it does not follow PROTOCOL.md §13.
    pub fn take(&mut self, now: Micros, body: &Body, events: &mut VecDeque<StreamEvent>) -> Result<Taken, Broken> {
        let (number, frames) = parse_packet(body);
        if number == 0 || number == u64::MAX {
            return Err(Broken);
        }
        if !self.heard.is_new(number) {
            return Ok(Taken::Dropped);
        }
        let mut frames = Frames(frames);
        let mut wants_answer = false;
        while let Some(frame) = frames.next_frame()? {
            wants_answer |= !matches!(frame, Frame::Acknowledgement(_));
            if !self.hear(now, &frame, events)? {
                return Ok(Taken::Dropped); // it is not acknowledged either, and comes again
            }
        }
        self.heard.note(number, wants_answer, now);
        Ok(Taken::New)
    }

    /// Take a frame; false where there is no place for it.
    fn hear(&mut self, now: Micros, frame: &Frame<'_>, events: &mut VecDeque<StreamEvent>) -> Result<bool, Broken> {
        match frame {
            Frame::Acknowledgement(told) => {
                self.recovery.acknowledge(now, told, &mut self.fates)?;
                self.follow_fates(events);
            }
            Frame::Data { stream, offset, octets, ends } => {
                // What is still under way on a stream that this side has reset means nothing.
                let Some(its) = self.streams.get_mut(stream) else { return Ok(true) };
                match its.incoming.take(*offset, octets, *ends)? {
                    Placed::Nothing => {}
                    Placed::Readable => events.push_back(StreamEvent::Readable(*stream)),
                    Placed::Ended => events.push_back(StreamEvent::Ended(*stream)),
                    Placed::Full => return Ok(false),
                }
            }
            Frame::Credit { stream, limit } => self.streams.get_mut(stream).map_or(Ok(()), |its| its.outgoing.grant(*limit))?,
            Frame::Ping => {}
        }
        Ok(true)
    }

    fn follow_fates(&mut self, events: &mut VecDeque<StreamEvent>) {
        for fate in self.fates.drain(..) {
            let (content, is_lost) = match fate {
                Fate::Acknowledged(content) => (content, false),
                Fate::Lost(content) => (content, true),
            };
            if let Some(its) = content.credit.filter(|_| is_lost).and_then(|stream| self.streams.get_mut(&stream)) {
                its.incoming.grant_again();
            }
            let Some((stream, piece)) = content.piece else { continue };
            let Some(its) = self.streams.get_mut(&stream) else { continue };
            if is_lost {
                its.outgoing.lose(&piece);
                continue;
            }
            its.outgoing.acknowledge(&piece);
            if its.outgoing.tells_room() {
                events.push_back(StreamEvent::Writable(stream));
            }
            if its.outgoing.is_over() {
                self.ended.push(stream);
            }
        }
    }
}

// All that may stand before the data leaves room for some.
const _: () = assert!(ACKNOWLEDGEMENT_OCTETS + MAX_RANGES * RANGE_OCTETS + CREDIT_OCTETS + DATA_HEAD_OCTETS < FRAMES_OCTETS);
