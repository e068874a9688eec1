//! What a box itself keeps of a call's sound, where a machine has answered: one entry for each slot, in order, handed out in pieces.
//!
//! In order: `note` what a cell brought, with the empty entries of the slots before it that brought nothing; `take_piece`, until none is left.
//! Not here: where the pieces go. An entry is `length u8 | frame`; length 0: there was no frame.

/// Slots of a piece: 200 ms.
pub const PIECE_SLOTS: u32 = 10;
/// Three minutes and a third.
pub const MAX_TAPED_SLOTS: u32 = 10_000;
/// Empty entries at most that one cell brings with it: after a longer silence of the wires the tape goes on where it was.
const LONGEST_GAP_SLOTS: u64 = 50;

/// One recording. It ends by itself.
#[derive(Debug)]
pub struct Tape {
    left: u32,
    last: Option<u64>,
    piece: Vec<u8>,
    slots: u32,
}

impl Tape {
    /// Begin one of so many slots, at most [`MAX_TAPED_SLOTS`].
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { left: slots.min(MAX_TAPED_SLOTS), last: None, piece: Vec::new(), slots: 0 }
    }

    /// Note what the cell of `counter` brought. One that comes again, or late, is nothing.
    pub fn note(&mut self, counter: u64, frame: Option<&[u8]>) {
        let before = self.last.unwrap_or(counter.saturating_sub(1));
        if counter <= before {
            return;
        }
        self.last = Some(counter);
        for _ in 0..(counter - before - 1).min(LONGEST_GAP_SLOTS) {
            self.push(&[]);
        }
        self.push(frame.unwrap_or(&[]));
    }

    fn push(&mut self, frame: &[u8]) {
        if self.left > 0 {
            self.left -= 1;
            self.slots += 1;
            self.piece.push(frame.len() as u8); // at most 160
            self.piece.extend_from_slice(frame);
        }
    }

    /// Take what was noted, once it is a whole piece, or the last.
    pub fn take_piece(&mut self) -> Option<Vec<u8>> {
        if self.slots < PIECE_SLOTS && (self.left > 0 || self.slots == 0) {
            return None;
        }
        self.slots = 0;
        Some(std::mem::take(&mut self.piece))
    }
}

#[cfg(test)]
mod tests {
    use super::{Tape, PIECE_SLOTS};

    #[test]
    fn each_slot_has_an_entry_also_where_nothing_came() {
        let mut tape = Tape::new(1_000);
        tape.note(7, Some(&[1, 2]));
        tape.note(10, None);
        tape.note(10, Some(&[9]));
        tape.note(8, Some(&[9]));
        for counter in 11..=16 {
            tape.note(counter, Some(&[3]));
        }
        let mut expected = vec![2, 1, 2, 0, 0, 0];
        expected.extend([1, 3].repeat(6));
        assert_eq!(tape.take_piece(), Some(expected), "ten slots, whatever came twice or late");
        assert_eq!(tape.take_piece(), None);
    }

    #[test]
    fn it_ends_by_itself_with_its_last_piece() {
        let mut tape = Tape::new(PIECE_SLOTS + 3);
        let mut pieces = Vec::new();
        for counter in 1..40 {
            tape.note(counter, Some(&[5]));
            pieces.extend(tape.take_piece().map(|piece| piece.len()));
        }
        assert_eq!(pieces, [20, 6]);
        let mut silent = Tape::new(1_000);
        silent.note(1, None);
        silent.note(1_000_000, None);
        assert_eq!(silent.take_piece().map(|piece| piece.len()), Some(52), "a long silence is shortened");
    }
}
