//! What stands in a bundle's row: frames, each about one stream.
//!
//! ```text
//! kind u8 | stream u16 | open 1: port u16; taken 2: -; data 3: length u8, octets 1..255; end 4: -; reset 5: why u8; credit 6: limit u32; associate 7: port u16; open fast 8: port u16
//! ```
//!
//! The highest bit of a kind says that the stream was opened by whom the frame is for; each side numbers those that it opens.
//!
//! Spec: PROTOCOL.md §11.3.

use super::Broken;

/// Longest data of one frame.
pub const MAX_DATA_OCTETS: usize = 255;
/// Kind and stream.
pub const HEAD_OCTETS: usize = 3;
/// Kind, stream and length.
pub const DATA_HEAD_OCTETS: usize = 4;

const YOURS: u8 = 0x80;

/// A stream of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// This side opened it.
    pub ours: bool,
    /// Its number among those of that side.
    pub number: u16,
}

/// Why a stream was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such service for this contact.
    Refused,
    /// Too many streams.
    Busy,
    /// The service is not there at present.
    Unreachable,
    /// Whoever used the stream gave it up, or the bundle is gone.
    Gone,
    /// Of the service and whoever opens a stream to it one says that it may be seen (PROTOCOL.md §13), and the other does not.
    Unlike,
}

impl Why {
    /// Return its number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Busy => 2,
            Self::Unreachable => 3,
            Self::Gone => 4,
            Self::Unlike => 5,
        }
    }

    /// Return the reason of a number of the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Refused),
            2 => Some(Self::Busy),
            3 => Some(Self::Unreachable),
            4 => Some(Self::Gone),
            5 => Some(Self::Unlike),
            _ => None,
        }
    }
}

/// What is said about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The sender opens it, to the service of a port of the other side's.
    Open(u16),
    /// As open, for datagrams.
    Associate(u16),
    /// As open; its octets go in fast cells.
    OpenFast(u16),
    /// Whoever was asked takes it.
    Taken,
    /// Octets, at least one.
    Data(&'a [u8]),
    /// The sender has no more.
    End,
    /// It is no more, in both directions.
    Reset(Why),
    /// So many octets in all, modulo 2^32, may be said on it.
    Credit(u32),
}

/// Add a frame to `out`.
pub fn serialise_frame(out: &mut Vec<u8>, stream: StreamId, frame: &Frame<'_>) {
    let kind = match frame {
        Frame::Open(_) => 1,
        Frame::Taken => 2,
        Frame::Data(_) => 3,
        Frame::End => 4,
        Frame::Reset(_) => 5,
        Frame::Credit(_) => 6,
        Frame::Associate(_) => 7,
        Frame::OpenFast(_) => 8,
    };
    out.push(if stream.ours { kind } else { kind | YOURS });
    out.extend(stream.number.to_be_bytes());
    match frame {
        Frame::Open(port) | Frame::Associate(port) | Frame::OpenFast(port) => out.extend(port.to_be_bytes()),
        Frame::Data(octets) => {
            out.push(octets.len() as u8); // at most 255
            out.extend(*octets);
        }
        Frame::Reset(why) => out.push(why.code()),
        Frame::Credit(limit) => out.extend(limit.to_be_bytes()),
        Frame::Taken | Frame::End => {}
    }
}

/// Read the frame at the beginning of a row: its stream, the frame, and its length. `None` where it is not there as a whole.
///
/// # Errors
/// [`Broken`] where it is none of §11.3.
pub fn parse_frame(row: &[u8]) -> Result<Option<(StreamId, Frame<'_>, usize)>, Broken> {
    let Some((head, rest)) = row.split_at_checked(HEAD_OCTETS) else { return Ok(None) };
    let stream = StreamId { ours: head[0] & YOURS != 0, number: u16::from_be_bytes([head[1], head[2]]) };
    let kind = head[0] & !YOURS;
    let more = match kind {
        1 | 7 | 8 => 2,
        2 | 4 => 0,
        3 => match rest.first() {
            Some(length) => 1 + usize::from(*length),
            None => return Ok(None),
        },
        5 => 1,
        6 => 4,
        _ => return Err(Broken),
    };
    let Some(more) = rest.get(..more) else { return Ok(None) };
    let frame = match (kind, more) {
        (1, [high, low]) if !stream.ours => Frame::Open(u16::from_be_bytes([*high, *low])),
        (2, []) if stream.ours => Frame::Taken,
        (3, [_, octets @ ..]) if !octets.is_empty() => Frame::Data(octets),
        (4, []) => Frame::End,
        (5, [why]) => Frame::Reset(Why::from_code(*why).ok_or(Broken)?),
        (7, [high, low]) if !stream.ours => Frame::Associate(u16::from_be_bytes([*high, *low])),
        (8, [high, low]) if !stream.ours => Frame::OpenFast(u16::from_be_bytes([*high, *low])),
        (6, [a, b, c, d]) => Frame::Credit(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => return Err(Broken),
    };
    Ok(Some((stream, frame, HEAD_OCTETS + more.len())))
}
