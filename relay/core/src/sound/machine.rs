//! A port that faces no phone but the box itself: what it says into a circuit, and what it keeps of one.

use super::{Frame, Port, Waiting, MAX_WAITING_FRAMES};
use crate::drop_reason::DropReason;
use crate::ids::Micros;
use crate::tape::Tape;

impl Port {
    /// Put a frame of the box's own in the place of one that the phone sends.
    pub fn say(&mut self, at: Micros, frame: &[u8]) {
        let number = self.waiting.back().map_or(self.last_taken, |waiting| waiting.number) + 1;
        self.waiting.push_back(Waiting { number, at, frame: Frame::new(frame) });
        if self.waiting.len() > MAX_WAITING_FRAMES {
            self.waiting.pop_front();
            self.drops.push(DropReason::SoundOverflow);
        }
    }

    /// Keep what comes from the circuit; `None` ends that. False where there is a phone, which hears it.
    pub fn set_tape(&mut self, tape: Option<Tape>) -> bool {
        self.tape = tape.filter(|_| self.remote.is_none());
        self.remote.is_none()
    }
}
