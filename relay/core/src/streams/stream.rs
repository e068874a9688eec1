//! One stream: what waits to be said on it, what came and was not read, and how much either side may say.
//!
//! Spec: PROTOCOL.md §11.3, §11.4.

use std::collections::VecDeque;

use super::frame::{serialise_frame, Frame, StreamId, DATA_HEAD_OCTETS, HEAD_OCTETS, MAX_DATA_OCTETS};
use super::{Broken, STREAM_WINDOW_OCTETS};

/// Credit is said when so much more than before may be said.
const CREDIT_STEP_OCTETS: u32 = 8_192;
const WINDOW: u32 = STREAM_WINDOW_OCTETS as u32; // 32 768
const OPEN_OCTETS: usize = HEAD_OCTETS + 2;
const CREDIT_OCTETS: usize = HEAD_OCTETS + 4;

/// What the peer's frame did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    Taken,
    Readable,
    Ended,
}

/// How what is said on a stream gets to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Octets, in the row.
    Row,
    /// Datagrams, beside the row: an association.
    Datagrams,
    /// Octets, in fast cells (PROTOCOL.md §13).
    Fast,
}

/// One stream of a bundle; all counts of octets are modulo 2^32.
pub(super) struct Stream {
    /// The port still to be said, of one that we opened.
    opens: Option<u16>,
    /// Where that is not the row, of its frames there are open, taken and reset alone.
    way: Way,
    /// It is still to be said that we take it.
    takes: bool,
    /// Both sides know it.
    is_taken: bool,
    /// This side may speak: it opened it, or took it.
    speaks: bool,
    outgoing: VecDeque<u8>,
    said: u32,
    limit: u32,
    ends: bool,
    end_said: bool,
    /// A writer found no room.
    pub(super) wants_room: bool,
    incoming: VecDeque<u8>,
    heard: u32,
    granted: u32,
    end_heard: bool,
    /// The reader knows that something waits.
    readable_told: bool,
}

impl Stream {
    pub(super) fn new(opens: Option<u16>, way: Way) -> Self {
        Self {
            opens,
            way,
            takes: false,
            is_taken: false,
            speaks: opens.is_some(),
            outgoing: VecDeque::new(),
            said: 0,
            limit: WINDOW,
            ends: false,
            end_said: false,
            wants_room: false,
            incoming: VecDeque::new(),
            heard: 0,
            granted: WINDOW,
            end_heard: false,
            readable_told: false,
        }
    }

    /// Agree to one that the peer opened; false where that was said already.
    pub(super) fn take(&mut self) -> bool {
        let first = !self.is_taken;
        self.takes |= first;
        (self.is_taken, self.speaks) = (true, true);
        first
    }

    /// Return whether the other side knows nothing of it yet.
    pub(super) const fn is_unsaid(&self) -> bool {
        self.opens.is_some()
    }

    /// Return whether this side may speak.
    pub(super) const fn speaks(&self) -> bool {
        self.speaks
    }

    pub(super) fn is_fast(&self) -> bool {
        self.way == Way::Fast
    }

    /// Return how many octets may be written.
    pub(super) fn room(&self) -> usize {
        if self.speaks && !self.ends && self.way == Way::Row {
            STREAM_WINDOW_OCTETS - self.outgoing.len()
        } else {
            0
        }
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(self.room());
        self.outgoing.extend(&octets[..taken]);
        self.wants_room |= taken < octets.len();
        taken
    }

    pub(super) fn end(&mut self) {
        self.ends = self.speaks && self.way == Way::Row;
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let read = out.len().min(self.incoming.len());
        for (place, octet) in out.iter_mut().zip(self.incoming.drain(..read)) {
            *place = octet;
        }
        self.readable_told &= !self.incoming.is_empty();
        read
    }

    /// Return whether the reader has everything.
    pub(super) fn is_read(&self) -> bool {
        self.end_heard && self.incoming.is_empty()
    }

    /// Return whether nothing more will happen: both sides have ended, and what came was read.
    pub(super) fn is_over(&self) -> bool {
        self.end_said && self.is_read()
    }

    /// Return whether there is something to be said on it now.
    pub(super) fn has_something_to_say(&self) -> bool {
        self.opens.is_some() || self.takes || self.credit().is_some() || self.sayable() > 0 || self.ends_now()
    }

    fn sayable(&self) -> usize {
        self.outgoing.len().min(self.limit.wrapping_sub(self.said) as usize)
    }

    fn ends_now(&self) -> bool {
        self.ends && !self.end_said && self.outgoing.is_empty()
    }

    /// Return the limit to be said, where it is a step beyond what was said.
    fn credit(&self) -> Option<u32> {
        let read = self.heard.wrapping_sub(self.incoming.len() as u32); // at most the window
        let limit = read.wrapping_add(WINDOW);
        (!self.end_heard && limit.wrapping_sub(self.granted) >= CREDIT_STEP_OCTETS).then_some(limit)
    }

    /// Add frames to `row`, which then has at most `room` octets.
    pub(super) fn say(&mut self, id: StreamId, row: &mut Vec<u8>, room: usize) {
        if let Some(port) = self.opens.filter(|_| row.len() + OPEN_OCTETS <= room) {
            self.opens = None;
            let frame = match self.way {
                Way::Row => Frame::Open(port),
                Way::Datagrams => Frame::Associate(port),
                Way::Fast => Frame::OpenFast(port),
            };
            serialise_frame(row, id, &frame);
        }
        if self.opens.is_some() {
            return;
        }
        if self.takes && row.len() + HEAD_OCTETS <= room {
            self.takes = false;
            serialise_frame(row, id, &Frame::Taken);
        }
        if let Some(limit) = self.credit().filter(|_| row.len() + CREDIT_OCTETS <= room) {
            self.granted = limit;
            serialise_frame(row, id, &Frame::Credit(limit));
        }
        let octets = self.sayable().min(MAX_DATA_OCTETS).min(room.saturating_sub(row.len() + DATA_HEAD_OCTETS));
        if octets > 0 && !self.takes {
            let said: Vec<u8> = self.outgoing.drain(..octets).collect();
            self.said = self.said.wrapping_add(octets as u32); // at most 255
            serialise_frame(row, id, &Frame::Data(&said));
        }
        if self.ends_now() && !self.takes && row.len() + HEAD_OCTETS <= room {
            self.end_said = true;
            serialise_frame(row, id, &Frame::End);
        }
    }

    /// Take a frame of the peer's that neither opens nor resets it.
    pub(super) fn hear(&mut self, id: StreamId, frame: &Frame<'_>) -> Result<Heard, Broken> {
        match frame {
            Frame::Data(_) | Frame::End | Frame::Credit(_) if self.way != Way::Row => Err(Broken),
            Frame::Taken if !self.is_taken => {
                self.is_taken = true;
                Ok(Heard::Taken)
            }
            Frame::Data(octets) if !self.end_heard && (self.is_taken || !id.ours) => {
                let heard = self.heard.wrapping_add(octets.len() as u32); // at most 255
                if self.granted.wrapping_sub(heard) > WINDOW {
                    return Err(Broken); // beyond what it was granted
                }
                self.heard = heard;
                self.incoming.extend(*octets);
                Ok(if std::mem::replace(&mut self.readable_told, true) { Heard::Nothing } else { Heard::Readable })
            }
            Frame::End if !self.end_heard && (self.is_taken || !id.ours) => {
                self.end_heard = true;
                Ok(Heard::Ended)
            }
            Frame::Credit(limit) if limit.wrapping_sub(self.limit) <= WINDOW && limit.wrapping_sub(self.said) <= WINDOW => {
                self.limit = *limit;
                Ok(Heard::Nothing)
            }
            Frame::Open(_) | Frame::Associate(_) | Frame::OpenFast(_) | Frame::Taken | Frame::Data(_) | Frame::End | Frame::Reset(_) | Frame::Credit(_) => {
                Err(Broken)
            }
        }
    }
}
