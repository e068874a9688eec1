//! How a phone's stream comes: what the report block about it says. Only the way from phone to box is in it; nothing of the far side.
//!
//! Not here: when reports are sent ([`crate::sound`]), their other parts ([`crate::rtp`]). Spec: RFC 3550 §6.4.1, A.3, A.8.

use crate::ids::Micros;
use crate::rtp::{RtpPacket, SenderReport, SequencePlace, HEAD_ROOM};

/// Cumulative loss has 24 bits, with sign.
const MOST_LOST: i64 = (1 << 23) - 1;

/// What a report says about one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream.
    pub ssrc: u32,
    /// Since the last report, in 256ths; 0 where more came than was expected.
    pub fraction_lost: u8,
    /// Since the stream began, -2^23 to 2^23 - 1.
    pub lost: i32,
    /// The highest sequence number, extended.
    pub highest: u32,
    /// Interarrival jitter, in units of the RTP timestamp.
    pub jitter: u32,
    /// The middle 32 bits of the NTP timestamp of the source's last report; 0 where none came.
    pub last_report: u32,
    /// How long ago that came, in 65 536ths of a second.
    pub delay: u32,
}

/// The stream of one source, since it began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reception {
    ssrc: Option<u32>,
    first: u64,
    highest: u64,
    received: u64,
    before: (u64, u64),
    transit: Option<u32>,
    /// Sixteen times the jitter.
    jitter_16: u32,
    report: Option<(SenderReport, Micros)>,
}

impl Reception {
    /// Note a packet that was placed. is_frame: its timestamp is that of its sound, as an event's is not.
    pub fn note(&mut self, now: Micros, place: SequencePlace, packet: &RtpPacket<'_>, clock_rate_hz: u32, is_frame: bool) {
        match place {
            SequencePlace::Astray => return,
            SequencePlace::Restarted(number) => {
                let report = self.report.filter(|(report, _)| report.ssrc == packet.ssrc);
                *self = Self { ssrc: Some(packet.ssrc), first: number, highest: number, report, ..Self::default() };
            }
            SequencePlace::Ahead(number) => self.highest = number,
            SequencePlace::Late(_) => {}
        }
        self.received += 1;
        if is_frame {
            let arrival = (u128::from(now) * u128::from(clock_rate_hz) / 1_000_000) as u32; // modulo 2^32, as the timestamp is
            let transit = arrival.wrapping_sub(packet.rtp_timestamp);
            if let Some(before) = self.transit.replace(transit) {
                let moved = (transit.wrapping_sub(before) as i32).unsigned_abs();
                self.jitter_16 = self.jitter_16.saturating_sub(self.jitter_16.saturating_add(8) >> 4).saturating_add(moved);
            }
        }
    }

    /// Note a report of the source.
    pub fn note_report(&mut self, now: Micros, report: SenderReport) {
        self.report = Some((report, now));
    }

    /// Return the block for a report that is sent now; `None` where nothing has come. What it tells of the time since the last report begins anew.
    pub fn block(&mut self, now: Micros) -> Option<ReportBlock> {
        let ssrc = self.ssrc?;
        let expected = self.highest - self.first + 1;
        let (expected_now, received_now) = (expected - self.before.0, self.received - self.before.1);
        self.before = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8; // at most 255
        let lost = (expected as i64 - self.received as i64).clamp(-MOST_LOST - 1, MOST_LOST) as i32; // 24 bits
        let (last_report, delay) = match self.report.filter(|(report, _)| report.ssrc == ssrc) {
            Some((report, at)) => (report.ntp_middle, ((now.saturating_sub(at)) * 65_536 / 1_000_000).min(u64::from(u32::MAX)) as u32), // checked
            None => (0, 0),
        };
        let highest = (self.highest - HEAD_ROOM) as u32; // modulo 2^32, as it is sent
        Some(ReportBlock { ssrc, fraction_lost, lost, highest, jitter: self.jitter_16 >> 4, last_report, delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::SequenceTracker;

    fn packet(sequence_number: u16) -> RtpPacket<'static> {
        RtpPacket { marker: false, payload_type: 8, sequence_number, rtp_timestamp: 160 * u32::from(sequence_number), ssrc: 77, payload: &[] }
    }

    /// Take packets with these numbers, each at its own time, moved by some microseconds.
    fn taken(numbers: impl IntoIterator<Item = (u16, i64)>) -> Reception {
        let (mut tracker, mut reception) = (SequenceTracker::default(), Reception::default());
        for (number, moved_us) in numbers {
            let place = tracker.place(77, number);
            let now = (20_000 * i64::from(number) + 1_000_000 + moved_us) as u64;
            reception.note(now, place, &packet(number), 8_000, true);
        }
        reception
    }

    #[test]
    fn losses_are_counted_in_all_and_since_the_last_report() {
        let mut tracker = SequenceTracker::default();
        let mut reception = Reception::default();
        assert_eq!(reception.block(0), None);
        let mut take = |reception: &mut Reception, number| reception.note(0, tracker.place(77, number), &packet(number), 8_000, false);
        for number in [10, 11, 12, 15] {
            take(&mut reception, number);
        }
        let block = reception.block(0).expect("a stream");
        assert_eq!((block.ssrc, block.fraction_lost, block.lost, block.highest), (77, (2 * 256 / 6) as u8, 2, 15));
        for number in [16, 13, 17, 17] {
            take(&mut reception, number);
        }
        let block = reception.block(0).expect("a stream");
        assert_eq!((block.fraction_lost, block.lost, block.highest), (0, 0, 17), "a late one came, and one twice");
    }

    #[test]
    fn numbers_are_extended_where_they_wrap() {
        let mut tracker = SequenceTracker::default();
        let mut reception = Reception::default();
        for number in [65_534, 65_535, 0, 1] {
            reception.note(0, tracker.place(77, number), &packet(number), 8_000, false);
        }
        let block = reception.block(0).expect("a stream");
        assert_eq!((block.highest, block.lost), (65_537, 0));
    }

    #[test]
    fn jitter_is_none_for_an_even_stream_and_the_mean_change_for_another() {
        assert_eq!(taken((0..200).map(|number| (number, 0))).block(0).expect("a stream").jitter, 0);
        // 5 ms late every second time: 40 units of the clock from one packet to the next.
        let jitter = taken((0..400).map(|number| (number, 5_000 * i64::from(number % 2)))).block(0).expect("a stream").jitter;
        assert!((38..=40).contains(&jitter), "{jitter}");
    }

    #[test]
    fn the_sources_own_report_is_told_with_its_age() {
        let mut reception = taken([(1, 0)]);
        reception.note_report(3_000_000, SenderReport { ssrc: 78, ntp_middle: 5 });
        assert_eq!(reception.block(4_500_000).expect("a stream").last_report, 0, "another source's");
        reception.note_report(3_000_000, SenderReport { ssrc: 77, ntp_middle: 5 });
        let block = reception.block(4_500_000).expect("a stream");
        assert_eq!((block.last_report, block.delay), (5, 65_536 * 3 / 2));
    }
}
