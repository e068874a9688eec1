//! What a bundle says in one slot: what it heard, and a piece of its row of octets.
//!
//! ```text
//! heard u16 | next u32 | count u8 | count times (gap u16 | length u16) | [offset u32 | octets 1..]   or, where count says so, fragments
//! ```
//!
//! Spec: PROTOCOL.md §11.2, §11.6.

use super::WINDOW_OCTETS;

/// Ranges that one segment tells, at most.
pub const MAX_RANGES: usize = 8;
/// Octets of what was heard, without ranges.
pub const ACKNOWLEDGEMENT_OCTETS: usize = 7;
/// Octets of one range.
pub const RANGE_OCTETS: usize = 4;
/// Octets before those of a piece.
pub const OFFSET_OCTETS: usize = 4;

const MORE: u8 = 0x80;
/// Of an acknowledgement's octet 6: fragments of datagrams stand behind it, and no piece.
pub const FRAGMENTS: u8 = 0x40;

/// What came, as its receiver tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acknowledgement {
    /// The low 16 bits of the highest counter under which a segment came in this splice; 0 where none did.
    pub heard: u16,
    /// All octets before this offset came.
    pub next: u32,
    /// What came behind it: how many octets are missing, and how many then are there; each at least 1. At most 8.
    pub ranges: Vec<(u16, u16)>,
    /// More came behind the last of these ranges.
    pub more: bool,
}

/// A segment as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    /// What the other side heard.
    pub acknowledgement: Acknowledgement,
    /// Its piece, with the offset of its first octet; at least one octet.
    pub piece: Option<(u32, &'a [u8])>,
    /// Its fragments of datagrams; empty where it has a piece.
    pub fragments: &'a [u8],
}

/// Write an acknowledgement; the caller has seen to it that it fits: 7 octets, and 4 for each range. Returns its length.
pub fn serialise_acknowledgement(out: &mut [u8], said: &Acknowledgement) -> usize {
    out[0..2].copy_from_slice(&said.heard.to_be_bytes());
    out[2..6].copy_from_slice(&said.next.to_be_bytes());
    out[6] = said.ranges.len() as u8 | if said.more { MORE } else { 0 }; // at most 8
    let mut end = ACKNOWLEDGEMENT_OCTETS;
    for (gap, length) in &said.ranges {
        out[end..end + 2].copy_from_slice(&gap.to_be_bytes());
        out[end + 2..end + 4].copy_from_slice(&length.to_be_bytes());
        end += RANGE_OCTETS;
    }
    end
}

/// Read a segment; `None` where it does not follow §11.2.
#[must_use]
pub fn parse_segment(octets: &[u8]) -> Option<Segment<'_>> {
    let (head, mut rest) = octets.split_at_checked(ACKNOWLEDGEMENT_OCTETS)?;
    let (count, more, is_fragments) = (usize::from(head[6] & !(MORE | FRAGMENTS)), head[6] & MORE != 0, head[6] & FRAGMENTS != 0);
    if count > MAX_RANGES || more && count == 0 {
        return None;
    }
    let mut ranges = Vec::with_capacity(count);
    let mut end = 0;
    for _ in 0..count {
        let (range, behind) = rest.split_at_checked(RANGE_OCTETS)?;
        let (gap, length) = (u16::from_be_bytes([range[0], range[1]]), u16::from_be_bytes([range[2], range[3]]));
        end += usize::from(gap) + usize::from(length);
        if gap == 0 || length == 0 || end > WINDOW_OCTETS {
            return None;
        }
        ranges.push((gap, length));
        rest = behind;
    }
    if is_fragments && rest.is_empty() {
        return None;
    }
    let (fragments, rest) = if is_fragments { (rest, &rest[..0]) } else { (&rest[..0], rest) };
    let piece = match rest.split_at_checked(OFFSET_OCTETS) {
        None if rest.is_empty() => None,
        Some((offset, piece)) if !piece.is_empty() => Some((u32::from_be_bytes([offset[0], offset[1], offset[2], offset[3]]), piece)),
        None | Some(_) => return None,
    };
    let acknowledgement =
        Acknowledgement { heard: u16::from_be_bytes([head[0], head[1]]), next: u32::from_be_bytes([head[2], head[3], head[4], head[5]]), ranges, more };
    Some(Segment { acknowledgement, piece, fragments })
}
