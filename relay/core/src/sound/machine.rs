//! A port that faces no phone but the box itself: what it says into a circuit, and what it keeps of one.

use super::{Frame, Port, Waiting};
use crate::drop_reason::DropReason;
use crate::ids::Micros;
use crate::tape::Tape;

impl Port {
    /// Put a frame of the box's own in the place of one that the phone sends.
    pub fn say(&mut self, at: Micros, frame: &[u8]) {
        let number = self.waiting.back().map_or(self.last_taken, |waiting| waiting.number) + 1;
        self.waiting.push_back(Waiting { number, at, frame: Frame::new(frame) });
        if self.waiting.len() > self.most_waiting() {
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

#[cfg(test)]
mod tests {
    use super::Port;
    use crate::endtoend::Codec;
    use crate::ids::SLOT_US;
    use crate::random::SeededRandom;
    use crate::sound::{PortOutput, Remote};
    use crate::tape::Tape;

    fn keeps_sound(phone_comes: bool) -> bool {
        let mut port = Port::new(0, &mut SeededRandom::new([9; 32]));
        assert!(port.set_tape(Some(Tape::new(100))));
        port.bind(Codec::Pcma);
        if phone_comes {
            port.set_remote(0, Remote { codec: Codec::Pcma, payload_type: 8, event_payload_type: None });
        }
        let mut outputs = Vec::new();
        for counter in 1..30 {
            let due = counter * SLOT_US;
            port.enqueue(due - SLOT_US / 2, due, counter, Some((Codec::Pcma, &[0; 160]))).expect("in time");
            while let Some(output) = port.poll(due) {
                outputs.push(output);
            }
        }
        outputs.iter().any(|output| matches!(output, PortOutput::Taped { .. }))
    }

    #[test]
    fn what_a_phone_hears_is_not_kept_also_where_it_comes_later() {
        assert!(keeps_sound(false));
        assert!(!keeps_sound(true));
    }
}
