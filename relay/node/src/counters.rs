//! Totals of a node: drops by reason, links, sends. No number belongs to an address or a circuit.

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is counted here; the core counts its own.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Counter { $($(#[$doc])* $variant,)* }

        const NAMES: &[&str] = &[$($name,)*];
    };
}

counters! {
    /// Datagrams that links took as cells.
    CellsIn = "link_cells_in",
    /// Datagrams with cells that the kernel took.
    CellsOut = "link_cells_out",
    /// Datagrams that the kernel did not take.
    SendRefused = "send_refused",
    /// Calls of recvmmsg that took something.
    Receives = "receives",
    /// Turns of the thread's loop.
    Turns = "turns",
    /// A datagram that begins like nothing of PROTOCOL.md §2.1.
    UnknownKind = "drop_unknown_kind",
    /// DTLS or a cookie from an address without a link.
    UnknownAddress = "drop_unknown_address",
    /// A cell of a box whose router gave its link another port.
    PortsChanged = "ports_changed",
    /// A hello of who does not know the listener's pin.
    BadHello = "drop_bad_hello",
    /// A hello from where a link stands and is used.
    HelloOfLiveLink = "drop_hello_of_live_link",
    /// A cookie that is old, or another address's, or nobody's.
    BadCookie = "drop_bad_cookie",
    /// A valid cell beyond what its link, or all links together, may bring.
    OverRate = "drop_over_rate",
    /// A cell of ours beyond what its link, or all links together, may carry.
    OverRateOut = "drop_over_rate_out",
    /// A handshake that was discarded at random, before there was no room.
    HandshakesDiscarded = "handshakes_discarded",
    /// A handshake for which there was no room or time.
    HandshakesRefused = "handshakes_refused",
    /// Cookies given.
    CookiesGiven = "cookies_given",
    /// Nodes that were sent a datagram to the port of which they asked whether it is reachable.
    ReachesAnswered = "reaches_answered",
    /// A reach without a good cookie, or one too many.
    BadReach = "drop_bad_reach",
    /// A datagram on a standing link that has not a cell's length.
    WrongLength = "drop_wrong_length",
    /// A record on a standing link that is forged, or came before.
    InvalidRecord = "drop_invalid_record",
    /// A datagram at a media port that is not from the phone.
    MediaStranger = "drop_media_stranger",
    /// A packet at a protected media port that is too short or not enciphered.
    SrtpMalformed = "drop_srtp_malformed",
    /// A packet at a protected media port that came before.
    SrtpReplayed = "drop_srtp_replayed",
    /// A packet at a protected media port whose tag is not that of the phone's key; one in the clear as well.
    SrtpForged = "drop_srtp_forged",
    /// A packet of one source too many for a phone's key, or one of ours for which its key had no number left.
    SrtpExhausted = "drop_srtp_exhausted",
    /// Sound of ours, or of the phone, before the handshake that protects it was over.
    NotShaken = "drop_not_shaken",
    /// A handshake with a phone that failed: another certificate than its SDP says, no suite in common, or too late.
    HandshakesFailed = "media_handshakes_failed",
    /// A cell of ours whose link was gone.
    LinkGone = "drop_link_gone",
    /// RTP of ours whose port was gone or has no phone.
    PortGone = "drop_port_gone",
    /// Events that found the queue full.
    EventsLost = "events_lost",
}

/// Totals since start.
pub(crate) struct Counters([u64; NAMES.len()]);

impl Counters {
    pub(crate) fn new() -> Self {
        Self([0; NAMES.len()])
    }

    #[inline]
    pub(crate) fn add(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    pub(crate) fn add_many(&mut self, counter: Counter, many: u64) {
        self.0[counter as usize] += many;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0)
    }
}
