//! What the cell of the next slot says once more: the frame of this one, whole or coarse (PROTOCOL.md §9.4). A metered circuit says it there only.

use std::hint::black_box;

use crate::coarse::coarse_copy;
use crate::endtoend::{octets_of_third, Codec, G711_OCTETS, PAYLOAD_OCTETS};
use crate::sound::Frame;

/// The copy of a frame that was said.
pub struct SaidFrame {
    counter: u64,
    codec: Codec,
    copy: Frame,
}

impl SaidFrame {
    /// Keep the copy of what the cell of a counter says. A coarse copy is made in every slot, with or without a frame, so that each costs the same.
    #[must_use]
    pub fn new(counter: u64, frame: Option<&(Codec, Frame)>) -> Option<Self> {
        let mut samples = [0; G711_OCTETS];
        let octets = frame.map_or(&[][..], |(_, frame)| frame.as_slice());
        samples[..octets.len()].copy_from_slice(octets); // at most 160
        let coarse = black_box(coarse_copy(frame.map_or(Codec::Pcma, |(codec, _)| *codec), &samples));
        let (codec, frame) = frame?;
        match codec {
            Codec::Opus => Some(Self { counter, codec: *codec, copy: frame.clone() }),
            Codec::Pcma | Codec::Pcmu => Some(Self { counter, codec: *codec, copy: Frame::new(&coarse) }),
            Codec::G722 => None,
        }
    }

    /// Return the copy for the cell of a counter, and its codec; `None` where that is not the next one, has a frame of another codec, or no room beside that and
    /// a segment of so many octets.
    #[must_use]
    pub fn beside(&self, counter: u64, frame: Option<&(Codec, Frame)>, segment_octets: usize) -> Option<(Codec, &[u8])> {
        let copy = self.copy.as_slice();
        let taken = frame.map_or(0, |(_, frame)| frame.as_slice().len()) + octets_of_third(segment_octets);
        let fits = self.counter + 1 == counter && frame.is_none_or(|(codec, _)| *codec == self.codec) && taken + copy.len() <= PAYLOAD_OCTETS;
        fits.then_some((self.codec, copy))
    }
}
