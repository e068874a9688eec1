//! What stands in one packet, the plain body of a fast cell behind its zeros and number.
//!
//! ```text
//! zero 16 | number u64 | frames, then zeros: 224 octets
//! kind u8 | acknowledgement 1: largest u64, delay u16 in 10 us, first u32, count u8, count times (gap u32, length u32)
//!         | data 2, last data 3: stream u16, offset u64, length u8, octets; credit 4: stream u16, limit u64; ping 5: -
//! ```
//!
//! The highest bit of kinds 2 to 4 says that the stream was opened by whom the packet is for. Spec: PROTOCOL.md §13.4.

use crate::cell::{Body, BODY_OCTETS};
use crate::streams::{Broken, StreamId};

/// Octets of a packet's frames.
pub const FRAMES_OCTETS: usize = BODY_OCTETS - FRAMES_AT;
/// Octets of a frame of data before its octets.
pub const DATA_HEAD_OCTETS: usize = 12;
/// Ranges that one acknowledgement tells beside the first.
pub const MAX_RANGES: usize = 16;
/// Octets of a frame of credit.
pub const CREDIT_OCTETS: usize = 11;
const FRAMES_AT: usize = 24;
/// Of an acknowledgement without ranges.
pub const ACKNOWLEDGEMENT_OCTETS: usize = 16;
/// Of each of its ranges.
pub const RANGE_OCTETS: usize = 8;
const YOURS: u8 = 0x80;

/// Which packets came, as their receiver tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The highest number that came.
    pub largest: u64,
    /// How long ago, in tens of microseconds.
    pub delay_10_us: u16,
    /// So many numbers in a row came, up to the largest and with it; at least 1.
    pub first: u32,
    /// Below that: how many are missing, and how many then came; each at least 1. At most 16.
    pub further: Vec<(u32, u32)>,
}

impl Acknowledgement {
    /// Return the numbers that came, the highest first, as (lowest, highest).
    ///
    /// # Errors
    /// [`Broken`] where there would be one below 1.
    pub fn ranges(&self) -> Result<Vec<(u64, u64)>, Broken> {
        let mut lowest = self.largest.checked_sub(u64::from(self.first) - 1).filter(|lowest| *lowest > 0).ok_or(Broken)?;
        let mut ranges = vec![(lowest, self.largest)];
        for (gap, length) in &self.further {
            let highest = lowest.checked_sub(u64::from(*gap) + 1).ok_or(Broken)?;
            lowest = (highest + 1).checked_sub(u64::from(*length)).filter(|lowest| *lowest > 0).ok_or(Broken)?;
            ranges.push((lowest, highest));
        }
        Ok(ranges)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// What came.
    Acknowledgement(Acknowledgement),
    /// Octets of a stream.
    Data {
        /// The stream.
        stream: StreamId,
        /// Of the first octet.
        offset: u64,
        /// At least one, but where it ends the stream.
        octets: &'a [u8],
        /// No octet follows.
        ends: bool,
    },
    /// So many octets in all may be said on a stream.
    Credit {
        /// The stream.
        stream: StreamId,
        /// In all.
        limit: u64,
    },
    /// Nothing, but to be acknowledged.
    Ping,
}

/// Begin the plain body of a packet.
pub fn begin_packet(body: &mut Body, number: u64) {
    body.fill(0);
    body[16..FRAMES_AT].copy_from_slice(&number.to_be_bytes());
}

/// Return the number of a plain body that begins with 16 zeros, and its frames.
#[must_use]
pub fn parse_packet(body: &Body) -> (u64, &[u8]) {
    let (head, frames) = body.split_at(FRAMES_AT);
    let number = head[16..].iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
    (number, frames)
}

/// Writes the frames of one packet, each where it fits.
pub struct Writer<'a> {
    frames: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Write behind the number of a packet that was begun.
    #[must_use]
    pub fn new(body: &'a mut Body) -> Self {
        Self { frames: &mut body[FRAMES_AT..], at: 0 }
    }

    /// Return the octets that are left.
    #[must_use]
    pub const fn room(&self) -> usize {
        FRAMES_OCTETS - self.at
    }

    fn put(&mut self, octets: &[u8]) {
        self.frames[self.at..self.at + octets.len()].copy_from_slice(octets);
        self.at += octets.len();
    }

    fn put_head(&mut self, kind: u8, stream: StreamId) {
        self.put(&[if stream.ours { kind } else { kind | YOURS }]);
        self.put(&stream.number.to_be_bytes());
    }

    /// Write an acknowledgement, with as many of its ranges as fit; false where none does.
    pub fn acknowledge(&mut self, said: &Acknowledgement) -> bool {
        let Some(ranges) = self.room().checked_sub(ACKNOWLEDGEMENT_OCTETS).map(|left| (left / RANGE_OCTETS).min(MAX_RANGES).min(said.further.len())) else {
            return false;
        };
        self.put(&[1]);
        self.put(&said.largest.to_be_bytes());
        self.put(&said.delay_10_us.to_be_bytes());
        self.put(&said.first.to_be_bytes());
        self.put(&[ranges as u8]); // at most 16
        for (gap, length) in &said.further[..ranges] {
            self.put(&gap.to_be_bytes());
            self.put(&length.to_be_bytes());
        }
        true
    }

    /// Write a frame of data, whose octets `fill` writes; the caller has seen to it that they fit: 12 and at most 212.
    pub fn data(&mut self, stream: StreamId, offset: u64, length: usize, ends: bool, fill: impl FnOnce(&mut [u8])) {
        self.put_head(if ends { 3 } else { 2 }, stream);
        self.put(&offset.to_be_bytes());
        self.put(&[length as u8]); // at most 212
        fill(&mut self.frames[self.at..self.at + length]);
        self.at += length;
    }

    /// Write credit; false where there is no room.
    pub fn credit(&mut self, stream: StreamId, limit: u64) -> bool {
        let fits = self.room() >= CREDIT_OCTETS;
        if fits {
            self.put_head(4, stream);
            self.put(&limit.to_be_bytes());
        }
        fits
    }

    /// Write a ping, where there is room.
    pub fn ping(&mut self) {
        if self.room() > 0 {
            self.put(&[5]);
        }
    }
}

/// Reads the frames of a packet, one after the other.
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Frames<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Broken)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        self.take().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        self.take().map(u32::from_be_bytes)
    }

    /// Return the next frame, `None` behind the last.
    ///
    /// # Errors
    /// [`Broken`] where it is none of §13.4.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, Broken> {
        let Some((&kind, rest)) = self.0.split_first() else { return Ok(None) };
        if kind == 0 {
            return if rest.iter().all(|octet| *octet == 0) { Ok(None) } else { Err(Broken) };
        }
        self.0 = rest;
        match kind {
            1 => self.acknowledgement().map(Frame::Acknowledgement),
            5 => Ok(Frame::Ping),
            _ => {
                let stream = StreamId { ours: kind & YOURS != 0, number: u16::from_be_bytes(self.take()?) };
                self.of_stream(kind & !YOURS, stream)
            }
        }
        .map(Some)
    }

    fn of_stream(&mut self, kind: u8, stream: StreamId) -> Result<Frame<'a>, Broken> {
        match kind {
            2 | 3 => {
                let (offset, [length]) = (self.u64()?, self.take()?);
                let (octets, rest) = self.0.split_at_checked(usize::from(length)).ok_or(Broken)?;
                self.0 = rest;
                if octets.is_empty() && kind == 2 {
                    return Err(Broken);
                }
                Ok(Frame::Data { stream, offset, octets, ends: kind == 3 })
            }
            4 => Ok(Frame::Credit { stream, limit: self.u64()? }),
            _ => Err(Broken),
        }
    }

    fn acknowledgement(&mut self) -> Result<Acknowledgement, Broken> {
        let (largest, delay_10_us, first, [count]) = (self.u64()?, u16::from_be_bytes(self.take()?), self.u32()?, self.take()?);
        if first == 0 || usize::from(count) > MAX_RANGES {
            return Err(Broken);
        }
        let mut further = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (gap, length) = (self.u32()?, self.u32()?);
            if gap == 0 || length == 0 {
                return Err(Broken);
            }
            further.push((gap, length));
        }
        Ok(Acknowledgement { largest, delay_10_us, first, further })
    }
}
