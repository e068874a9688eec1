//! Fragments of datagrams, as they stand in a segment in the place of a piece of the row.
//!
//! ```text
//! bits u8 | stream u16 | number u16 | place u16 | length u8 | octets
//! ```
//!
//! The highest bit of `bits` says that the association was opened by whom the fragment is for, the lowest that it is the datagram's last; the others are 0.
//!
//! Spec: PROTOCOL.md §11.6.

use super::frame::StreamId;
use super::{Broken, MAX_DATAGRAM_OCTETS};

/// Octets before those of a fragment.
pub const FRAGMENT_HEAD_OCTETS: usize = 8;
/// Longest fragment.
pub const MAX_FRAGMENT_OCTETS: usize = 255;

const YOURS: u8 = 0x80;
const LAST: u8 = 1;

/// A part of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Of which association.
    pub stream: StreamId,
    /// Of which of its datagrams, modulo 2^16.
    pub number: u16,
    /// Where it begins in the datagram.
    pub place: u16,
    /// Nothing comes behind it.
    pub last: bool,
    /// At least one, but of a datagram without octets.
    pub octets: &'a [u8],
}

/// Add a fragment to `out`.
pub fn serialise_fragment(out: &mut Vec<u8>, fragment: &Fragment<'_>) {
    out.push(if fragment.stream.ours { 0 } else { YOURS } | if fragment.last { LAST } else { 0 });
    out.extend(fragment.stream.number.to_be_bytes());
    out.extend(fragment.number.to_be_bytes());
    out.extend(fragment.place.to_be_bytes());
    out.push(fragment.octets.len() as u8); // at most 255
    out.extend(fragment.octets);
}

/// Read the fragment at the beginning, and its length.
///
/// # Errors
/// [`Broken`] where it is none of §11.6.
pub fn parse_fragment(octets: &[u8]) -> Result<(Fragment<'_>, usize), Broken> {
    let (head, rest) = octets.split_at_checked(FRAGMENT_HEAD_OCTETS).ok_or(Broken)?;
    let octets = rest.get(..usize::from(head[7])).ok_or(Broken)?;
    let stream = StreamId { ours: head[0] & YOURS != 0, number: u16::from_be_bytes([head[1], head[2]]) };
    let place = u16::from_be_bytes([head[5], head[6]]);
    let last = head[0] & LAST != 0;
    let is_empty_datagram = last && place == 0;
    if head[0] & !(YOURS | LAST) != 0 || octets.is_empty() && !is_empty_datagram || usize::from(place) + octets.len() > MAX_DATAGRAM_OCTETS {
        return Err(Broken);
    }
    Ok((Fragment { stream, number: u16::from_be_bytes([head[3], head[4]]), place, last, octets }, FRAGMENT_HEAD_OCTETS + octets.len()))
}
