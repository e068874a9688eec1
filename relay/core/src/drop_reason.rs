//! Why something was dropped, and how often: the only trace that noise from the network leaves. No number belongs to a peer or circuit.

macro_rules! counted {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$inner])* $variant,)* }

        impl $name {
            /// All of them, in the order in which they are counted.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Return its name among the counters.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

counted! {
    /// What is counted: drops by reason, then plain totals. The model uses the same names.
    DropReason {
        /// An input for a link that does not stand, or a link number that stands already.
        UnknownLink = "unknown_link",
        /// A cell for a circuit number that nobody has on that link.
        UnknownCircuit = "unknown_circuit",
        /// Speech in the clear that is not part of the create which made the hop.
        OutsideLayers = "outside_layers",
        /// Speech in the clear, or to a box, that does not fit.
        SpeechMalformed = "speech_malformed",
        /// A create beyond the bound of its link (§6.3).
        CreatesFull = "creates_full",
        /// A create beyond the bound of circuits (§6.3).
        CircuitsFull = "circuits_full",
        /// A cell of the next hop before its created came.
        BeforeCreated = "before_created",
        /// Speech in the clear from a hop that has its layers.
        ClearInside = "clear_inside",
        /// A circuit whose owner broke the protocol (§6.4).
        BrokeProtocol = "broke_protocol",
        /// A fragment of a message older than the one collected last.
        SpeechStale = "speech_stale",
        /// An answer to a question that its owner has given up, or whose circuit is gone.
        AnswerLate = "answer_late",
        /// A knocked for which the place was taken.
        SpeechFull = "speech_full",
        /// A cell after its due time.
        SlotLate = "slot_late",
        /// A cell more than 3 slots ahead.
        SlotAhead = "slot_ahead",
        /// A number that came before.
        SlotTwice = "slot_twice",
        /// The oldest of the backward cells that waited for the guard's tick, when a ninth came.
        QueueFull = "queue_full",
        /// A knock before the circuit was settled.
        KnockUnsettled = "knock_unsettled",
        /// A repetition of a knock that was joined.
        KnockSpliced = "knock_spliced",
        /// A knock beyond the limits of §6.2.
        KnockLimit = "knock_limit",
        /// A knock with a token that nobody left, or with an own one.
        UnknownToken = "unknown_token",
        /// A join with an unknown or expired id.
        UnknownJoin = "unknown_join",
        /// A join where a circuit is not free or not settled.
        JoinNotFree = "join_not_free",
        /// A command about something that is not there, or out of bounds.
        BadCommand = "bad_command",
        /// Owner: an answer to nothing that was asked.
        Unasked = "unasked",
        /// A message end to end whose fields do not fit.
        EndToEndMalformed = "end_to_end_malformed",
        /// A counter that came before, or is out of the window.
        EndToEndReplayed = "end_to_end_replayed",
        /// Owner: a cell for a circuit that is not there.
        OwnerUnknownCircuit = "owner_unknown_circuit",
        /// Owner: a number that came before.
        OwnerReplayed = "owner_replayed",
        /// A metered circuit's cell under an odd number.
        SlotOdd = "slot_odd",
        /// Owner: a number too far ahead.
        OwnerAhead = "owner_ahead",
        /// Owner: a cell after its due time.
        OwnerLate = "owner_late",
        /// A segment of the channel that does not fit.
        ChannelJunk = "channel_junk",
        /// A segment of streams that does not follow §11: the bundle is broken.
        StreamsBroken = "streams_broken",
        /// A fast cell of a circuit whose owner asked for none, or that is not there.
        FastUnasked = "fast_unasked",
        /// A fast cell under a number that came before, or is far behind.
        FastReplayed = "fast_replayed",
        /// A fast cell for which there was no room.
        FastFull = "fast_full",
        /// A fast cell at a junction, or behind a hop, where it goes no further.
        FastEnded = "fast_ended",
        /// Owner: a fast cell that no key opened, or of which nothing could be kept.
        FastNotOpened = "fast_not_opened",
        /// Not RTP.
        RtpMalformed = "rtp_malformed",
        /// RTP of another payload type.
        RtpPayloadType = "rtp_payload_type",
        /// RTP with a frame of a length that its codec does not have.
        RtpFrameSize = "rtp_frame_size",
        /// An RTP packet that came before.
        RtpDuplicate = "rtp_duplicate",
        /// An RTP packet far from the sequence of its source, or of another source.
        RtpAstray = "rtp_astray",
        /// RTP that nobody wants now: no remote yet, the direction off, an unknown port.
        RtpUnbound = "rtp_unbound",
        /// An RTP packet after its turn.
        RtpLate = "rtp_late",
        /// A telephone event that does not fit.
        RtpEvent = "rtp_event",
        /// RTCP of the phone, which ends here.
        RtcpIn = "rtcp_in",
        /// ZRTP of a phone.
        ZrtpIn = "zrtp_in",
        /// A frame left out in a gap of the sound (PROTOCOL.md §9.4).
        SoundSlip = "sound_slip",
        /// Sound after its due time.
        SoundLate = "sound_late",
        /// Sound of another codec than the port's.
        SoundCodec = "sound_codec",
        /// A digit for which there was no room.
        DigitsFull = "digits_full",
        /// Sound for which there was no room.
        SoundOverflow = "sound_overflow",
        /// Total: frames whose cell did not come, played from the copy in the next one.
        SoundRepaired = "sound_repaired",
        /// Total: cells in.
        CellsIn = "cells_in",
        /// Total: cells out.
        CellsOut = "cells_out",
        /// Total: fast cells out.
        FastOut = "fast_out",
        /// Total: cells of link control in.
        ControlIn = "control_in",
        /// Total: forward cells that ended at this hop.
        EndedHere = "ended_here",
        /// Total: cells of an own circuit that no key opened: filler.
        NotOpened = "not_opened",
        /// Total: slots of circuits through this relay that were filled with random octets.
        Filled = "filled",
        /// Total: stalls over 160 ms after which slots were skipped.
        SlotsSkipped = "slots_skipped",
    }
}

/// Totals since the core began.
pub struct Counters {
    totals: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// All at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { totals: [0; DropReason::ALL.len()] }
    }

    /// Count one.
    pub fn count(&mut self, reason: DropReason) {
        let total = &mut self.totals[reason as usize];
        *total = total.wrapping_add(1);
    }

    /// Return how often `reason` was counted.
    #[must_use]
    pub const fn get(&self, reason: DropReason) -> u64 {
        self.totals[reason as usize]
    }

    /// Return every name with its total.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DropReason::ALL.iter().map(|reason| (reason.name(), self.get(*reason)))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_a_name_and_a_place_of_its_own() {
        let mut counters = Counters::new();
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            counters.count(*reason);
        }
        assert!(counters.iter().all(|(_, total)| total == 1));
        assert_eq!(counters.iter().map(|(name, _)| name).collect::<HashSet<_>>().len(), DropReason::ALL.len());
    }
}
