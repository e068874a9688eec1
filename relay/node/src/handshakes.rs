//! DTLS-SRTP at one media port: a handshake for RTP, and one more for RTCP where that has a port of its own (RFC 5764 §4.1.2).

use voicebox_dtls::{Fingerprint, Identity, Keying, KeyingState};

use crate::counters::Counter;
use crate::media::{Half, Protection};

const HALVES: [Half; 2] = [Half::Rtp, Half::Rtcp];

/// What SDP says of a port's handshakes.
#[derive(PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The box says hello (RFC 4145, RFC 5763 §5).
    pub(crate) active: bool,
    pub(crate) phone: Fingerprint,
}

struct Handshake {
    keying: Keying,
    protection: Option<Protection>,
}

/// The handshakes of a port with what was agreed, and their keys.
pub(crate) struct Handshakes {
    agreed: Agreed,
    halves: [Option<Handshake>; 2],
    /// The one for sound has failed, and that was told.
    failed: bool,
}

impl Handshakes {
    pub(crate) fn new(agreed: Agreed) -> Self {
        Self { agreed, halves: [None, None], failed: false }
    }

    pub(crate) fn are_of(&self, agreed: &Agreed) -> bool {
        self.agreed == *agreed
    }

    /// Begin what has not begun, or of which nothing was heard, or that has failed.
    pub(crate) fn begin(&mut self, now: u64, identity: &Identity, both: bool) {
        for (half, handshake) in HALVES.into_iter().zip(&mut self.halves) {
            let lives = handshake.as_ref().is_some_and(|each| !each.keying.is_unheard() && each.keying.state() != KeyingState::Failed);
            if !lives && (both || half == Half::Rtp) {
                // A library that refuses leaves a port through which nothing passes.
                let begun = Keying::new(identity, self.agreed.active, self.agreed.phone.clone(), now).ok();
                *handshake = begun.map(|keying| Handshake { keying, protection: None });
            }
        }
        self.failed = false;
    }

    pub(crate) fn take(&mut self, now: u64, half: Half, datagram: &[u8]) {
        if let Some(handshake) = &mut self.halves[half as usize] {
            if let Some(keys) = handshake.keying.handle_datagram(now, datagram) {
                handshake.protection = Some(Protection::new(keys));
            }
        }
    }

    /// Return the keys of a half, once it has them.
    pub(crate) fn protection(&mut self, half: Half) -> Result<&mut Protection, Counter> {
        self.halves[half as usize].as_mut().and_then(|handshake| handshake.protection.as_mut()).ok_or(Counter::NotShaken)
    }

    /// Next datagram to send.
    pub(crate) fn poll(&mut self) -> Option<(Half, Vec<u8>)> {
        HALVES.into_iter().zip(&mut self.halves).find_map(|(half, handshake)| Some((half, handshake.as_mut()?.keying.poll_datagram()?)))
    }

    pub(crate) fn next_timeout(&self, now: u64) -> Option<u64> {
        self.halves.iter().flatten().filter_map(|handshake| handshake.keying.next_timeout(now)).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: u64) {
        for handshake in self.halves.iter_mut().flatten() {
            if handshake.keying.next_timeout(now).is_some_and(|at| at <= now) {
                handshake.keying.handle_timeout(now);
            }
        }
    }

    /// Say, once, that there will be no sound. One for RTCP alone may fail: the call has sound without reports.
    pub(crate) fn take_failure(&mut self) -> bool {
        let failed = self.halves[Half::Rtp as usize].as_ref().is_some_and(|handshake| handshake.keying.state() == KeyingState::Failed);
        failed && !std::mem::replace(&mut self.failed, failed)
    }
}
