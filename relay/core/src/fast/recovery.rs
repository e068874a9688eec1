//! What was said and is not acknowledged: which packets are lost, how long the way is, how many packets may leave now.
//!
//! A packet is lost where one that was said three later was acknowledged, or one that was said 9/8 of a round trip later. Where nothing comes back for some round trips,
//! one more packet says the oldest again (a probe). Spec: PROTOCOL.md §13.5; RFC 9002 §5, §6, §7.7.

use std::collections::VecDeque;

use super::cubic::Cubic;
use super::heard::MAX_DELAY_US;
use super::outgoing::Piece;
use super::packet::Acknowledgement;
use crate::ids::Micros;
use crate::streams::{Broken, StreamId};

const PACKET_THRESHOLD: u64 = 3;
/// Before anything was measured (RFC 9002 §6.2.2: 333 ms).
const INITIAL_US: Micros = 333_000;
const GRANULARITY_US: Micros = 1_000;
const MAX_PROBE_US: Micros = 10_000_000;
/// So many probes in a row without an answer are a persistent congestion.
const PROBES_TO_COLLAPSE: u32 = 3;
/// Packets that may leave at once, and the time whose packets may.
const BURST_PACKETS: f64 = 64.0;
const BURST_US: f64 = 2_000.0;

/// What a packet said that is to be said again where it is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) piece: Option<(StreamId, Piece)>,
    pub(super) credit: Option<StreamId>,
    /// It says more than an acknowledgement.
    pub(super) wants_answer: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Micros,
    /// `None` once it is known what became of it.
    content: Option<Content>,
}

/// What became of packets, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Acknowledged(Content),
    Lost(Content),
}

#[derive(Default)]
pub(super) struct Recovery {
    /// The packets from `base` on; the next one has the number `base + packets.len()`. Numbers begin at 1.
    packets: VecDeque<Sent>,
    base: u64,
    under_way: usize,
    largest: Option<u64>,
    cubic: Cubic,
    smoothed_us: Option<Micros>,
    variance_us: Micros,
    least_us: Micros,
    latest_us: Micros,
    lost_at: Option<Micros>,
    probes: u32,
    /// A probe is to be said, whatever the window says.
    probe: bool,
    last_said_at: Micros,
    /// The packets before this number were under way when the window kept more from being said.
    full_before: u64,
    tokens: f64,
    filled_at: Micros,
}

impl Recovery {
    fn next(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    /// Note a packet; returns its number, which none had before.
    pub(super) fn say(&mut self, now: Micros, content: Content) -> u64 {
        if self.base == 0 {
            self.base = 1;
        }
        let number = self.next();
        if content.wants_answer {
            self.under_way += 1;
            self.last_said_at = now;
            self.probe = false;
            self.tokens -= 1.0;
        }
        self.packets.push_back(Sent { at: now, content: content.wants_answer.then_some(content) });
        self.forget_known();
        number
    }

    fn forget_known(&mut self) {
        while self.packets.front().is_some_and(|sent| sent.content.is_none()) {
            self.packets.pop_front();
            self.base += 1;
        }
    }

    // ----------------------------------------------------------------------------------------------------------- leave

    /// Return whether a packet is to be said that the other side answers, for nothing has come for long.
    pub(super) const fn is_probing(&self) -> bool {
        self.probe
    }

    /// Return whether a packet that wants an answer may leave now.
    pub(super) fn may_say(&mut self, now: Micros) -> bool {
        if self.probe {
            return true;
        }
        if self.under_way >= self.cubic.window() {
            self.full_before = self.next();
            return false;
        }
        self.fill(now);
        self.tokens >= 1.0
    }

    /// Packets in a microsecond: more than the window goes round with, so that pacing is not what limits it.
    fn pace(&self) -> f64 {
        let gain = if self.cubic.is_in_slow_start() { 2.0 } else { 1.25 };
        gain * self.cubic.window() as f64 / self.smoothed().max(1) as f64
    }

    fn fill(&mut self, now: Micros) {
        let pace = self.pace();
        let burst = BURST_PACKETS.max(pace * BURST_US);
        self.tokens = (self.tokens + now.saturating_sub(self.filled_at) as f64 * pace).min(burst);
        self.filled_at = now;
    }

    /// Return when `may_say` will be true, where there is something to say; `None` while only an acknowledgement can change that.
    pub(super) fn may_say_at(&self) -> Option<Micros> {
        if self.probe {
            return Some(self.filled_at);
        }
        let missing = (1.0 - self.tokens).max(0.0);
        (self.under_way < self.cubic.window()).then(|| self.filled_at + (missing / self.pace()).ceil() as Micros)
        // below 2 s
    }

    fn smoothed(&self) -> Micros {
        self.smoothed_us.unwrap_or(INITIAL_US)
    }

    // ----------------------------------------------------------------------------------------------------------- fates

    /// Take what the other side heard; what became of packets is added to `fates`.
    pub(super) fn acknowledge(&mut self, now: Micros, told: &Acknowledgement, fates: &mut Vec<Fate>) -> Result<(), Broken> {
        if told.largest >= self.next().max(1) {
            return Err(Broken); // it was never said
        }
        let mut newest: Option<(u64, Micros)> = None;
        let mut count = 0;
        for (lowest, highest) in told.ranges()? {
            for number in lowest.max(self.base)..=highest {
                let Some(sent) = self.packets.get_mut((number - self.base) as usize) else { continue };
                let Some(content) = sent.content.take() else { continue };
                count += 1;
                newest = newest.max(Some((number, sent.at)));
                fates.push(Fate::Acknowledged(content));
            }
        }
        self.under_way -= count;
        self.largest = self.largest.max(Some(told.largest));
        if let Some((number, said_at)) = newest {
            if number == told.largest {
                self.measure(now.saturating_sub(said_at), Micros::from(told.delay_10_us) * 10);
            }
            (self.probes, self.probe) = (0, false);
            let fully_used = number < self.full_before;
            self.cubic.acknowledged(now, count, said_at, self.smoothed(), fully_used);
        }
        self.forget_known();
        self.find_lost(now, fates);
        Ok(())
    }

    fn measure(&mut self, latest_us: Micros, delay_us: Micros) {
        self.latest_us = latest_us;
        let Some(smoothed_us) = self.smoothed_us else {
            (self.smoothed_us, self.variance_us, self.least_us) = (Some(latest_us), latest_us / 2, latest_us);
            return;
        };
        self.least_us = self.least_us.min(latest_us);
        let delay_us = delay_us.min(MAX_DELAY_US);
        let adjusted_us = if latest_us >= self.least_us + delay_us { latest_us - delay_us } else { latest_us };
        self.variance_us = (3 * self.variance_us + smoothed_us.abs_diff(adjusted_us)) / 4;
        self.smoothed_us = Some((7 * smoothed_us + adjusted_us) / 8);
    }

    fn find_lost(&mut self, now: Micros, fates: &mut Vec<Fate>) {
        self.lost_at = None;
        let Some(largest) = self.largest else { return };
        let delay_us = (self.latest_us.max(self.smoothed()) * 9 / 8).max(GRANULARITY_US);
        for (number, sent) in (self.base..largest).zip(&mut self.packets) {
            let Some(content) = sent.content else { continue };
            if number + PACKET_THRESHOLD <= largest || sent.at + delay_us <= now {
                sent.content = None;
                self.under_way -= 1;
                self.cubic.lost(now, sent.at);
                fates.push(Fate::Lost(content));
            } else {
                let at = sent.at + delay_us;
                self.lost_at = Some(self.lost_at.map_or(at, |before| before.min(at)));
            }
        }
        self.forget_known();
    }

    fn probe_at(&self) -> Option<Micros> {
        let wait_us = self.smoothed() + (4 * self.variance_us).max(GRANULARITY_US) + MAX_DELAY_US;
        (self.under_way > 0).then(|| self.last_said_at + (wait_us << self.probes.min(10)).min(MAX_PROBE_US))
    }

    /// Return when [`Self::handle_time`] is wanted.
    pub(super) fn next_us(&self) -> Option<Micros> {
        self.lost_at.or_else(|| self.probe_at())
    }

    /// Do what is due.
    pub(super) fn handle_time(&mut self, now: Micros, fates: &mut Vec<Fate>) {
        if self.lost_at.is_some_and(|at| at <= now) {
            self.find_lost(now, fates);
        } else if self.lost_at.is_none() && self.probe_at().is_some_and(|at| at <= now) {
            self.probes += 1;
            self.last_said_at = now;
            self.probe = true;
            if self.probes == PROBES_TO_COLLAPSE {
                self.cubic.collapse();
            }
            // What the probe says again: the oldest, which may yet be acknowledged.
            if let Some(content) = self.packets.iter().find_map(|sent| sent.content) {
                fates.push(Fate::Lost(content));
            }
        }
    }

    /// Go on over another way: all that is not acknowledged is lost, and nothing is known of the way. Numbers go on.
    pub(super) fn begin_anew(&mut self, fates: &mut Vec<Fate>) {
        let (next, packets) = (self.next(), std::mem::take(&mut self.packets));
        fates.extend(packets.into_iter().filter_map(|sent| sent.content).map(Fate::Lost));
        *self = Self { base: next, ..Self::default() };
    }
}
