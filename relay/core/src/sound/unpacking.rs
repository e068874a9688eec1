//! What a phone says whose packets do not last a slot: frames that wait as any others do ([`crate::packets`] cuts them).

use super::{Port, Waiting};
use crate::drop_reason::DropReason;
use crate::ids::Micros;
use crate::packets::{Unpacker, MAX_FRAMES_OF_PACKET};
use crate::rtp::{RtpPacket, SequencePlace};

impl Port {
    /// Take a packet that does not last one slot, and what comes after one: its place is that of its timestamp. What is late is dropped.
    pub(super) fn receive_packet(&mut self, now: Micros, packet: &RtpPacket<'_>, clock_rate_hz: u32) -> Result<(), DropReason> {
        let place = self.sequence.place(packet.ssrc, packet.sequence_number);
        self.reception.note(now, place, packet, clock_rate_hz, true);
        match place {
            SequencePlace::Ahead(_) if self.unpacker.is_in_use() => {}
            SequencePlace::Ahead(_) | SequencePlace::Restarted(_) => {
                self.unpacker = Unpacker::default();
                self.waiting.clear();
                self.last_taken = 0;
            }
            SequencePlace::Late(_) => return Err(DropReason::RtpLate),
            SequencePlace::Astray => return Err(DropReason::RtpAstray),
        }
        if self.bound_codec != self.remote.map(|remote| remote.codec) {
            return Err(DropReason::SoundCodec);
        }
        for (number, frame) in self.unpacker.take(packet.rtp_timestamp, packet.payload) {
            self.waiting.push_back(Waiting { number, at: now, frame });
        }
        // The frames of one packet come together, and each but the first waits for its slot behind those before.
        let excess = self.waiting.len().saturating_sub(self.most_waiting() + MAX_FRAMES_OF_PACKET - 1);
        self.waiting.drain(..excess);
        if excess > 0 {
            return Err(DropReason::SoundOverflow);
        }
        Ok(())
    }
}
