//! Digits as telephone-events: what a phone presses, and what it is told.
//!
//! Not here: RTP around the event ([`crate::rtp`], [`crate::sound`]), the message that carries a digit between boxes (PROTOCOL.md §9.3).
//! Spec: RFC 4733 §2.5. A digit is reported once, when it is over: at its first packet with the end bit, or, where all of these were
//! lost, 100 ms after its last packet or when the next one begins.

use std::collections::VecDeque;

use crate::drop_reason::DropReason;
use crate::ids::Micros;
use crate::rtp::{serialise_event, TelephoneEvent, EVENT_OCTETS};
use crate::sound::EVENT_PACKET_US;

/// Digits that may wait in each direction.
pub const MAX_WAITING_DIGITS: usize = 16;
/// Highest event that is a digit: 0 to 9, star, pound, A to D (RFC 4733 §3.2).
pub const MAX_DIGIT_CODE: u8 = 15;

const LOST_END_AFTER_US: Micros = 100_000;
/// Shortest pause between two digits, as receivers of the tones want it (ITU-T Q.24: 40 ms at most).
const PAUSE_US: Micros = 40_000;
const MIN_DURATION_MS: u16 = 40;
const MAX_DURATION_MS: u16 = 6_000;
/// An end is said three times (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// -10 dBm0: loud enough for whoever makes a tone of it.
const VOLUME: u8 = 10;
/// Where an event is so long that its duration is full, it goes on under a timestamp that is later by this (RFC 4733 §2.5.1.3).
const SEGMENT_UNITS: u32 = 0xffff;

struct Pressed {
    rtp_timestamp: u32,
    code: u8,
    /// Units of segments before this one.
    before_units: u32,
    duration_units: u32,
    clock_rate_hz: u32,
    last_packet: Micros,
    reported: bool,
}

impl Pressed {
    fn digit(&self) -> (u8, u16) {
        let units = u64::from(self.before_units) + u64::from(self.duration_units);
        let duration_ms = (units * 1_000 / u64::from(self.clock_rate_hz.max(1))).min(u64::from(MAX_DURATION_MS));
        (self.code, duration_ms as u16) // at most 6 000
    }
}

/// The events of a phone.
#[derive(Default)]
pub struct DigitIn {
    pressed: Option<Pressed>,
    over: VecDeque<(u8, u16)>,
}

impl DigitIn {
    /// Take the event of one packet.
    ///
    /// # Errors
    /// Not a digit, older than the present one, or more digits waiting than 16.
    pub fn receive(&mut self, now: Micros, rtp_timestamp: u32, event: TelephoneEvent, clock_rate_hz: u32) -> Result<(), DropReason> {
        if event.code > MAX_DIGIT_CODE {
            return Err(DropReason::RtpEvent);
        }
        let mut before_units = 0;
        if let Some(pressed) = &mut self.pressed {
            let later = rtp_timestamp.wrapping_sub(pressed.rtp_timestamp);
            if later == 0 {
                return self.go_on(now, event);
            }
            if later > u32::MAX / 2 {
                return Err(DropReason::RtpLate);
            }
            if later == SEGMENT_UNITS && pressed.code == event.code && !pressed.reported {
                before_units = pressed.before_units.saturating_add(SEGMENT_UNITS);
                pressed.reported = true;
            }
        }
        self.report()?;
        self.pressed = Some(Pressed { rtp_timestamp, code: event.code, before_units, duration_units: 0, clock_rate_hz, last_packet: now, reported: false });
        self.go_on(now, event)
    }

    /// Return when `poll` has something that no packet will bring.
    #[must_use]
    pub fn next_timer(&self) -> Option<Micros> {
        if !self.over.is_empty() {
            return Some(0);
        }
        self.pressed.as_ref().filter(|pressed| !pressed.reported).map(|pressed| pressed.last_packet + LOST_END_AFTER_US)
    }

    /// Take a digit that is over: code and milliseconds.
    pub fn poll(&mut self, now: Micros) -> Option<(u8, u16)> {
        if self.over.is_empty() && self.next_timer().is_some_and(|lost| lost <= now) {
            // Nothing waits, so there is room.
            self.report().ok()?;
        }
        self.over.pop_front()
    }

    fn go_on(&mut self, now: Micros, event: TelephoneEvent) -> Result<(), DropReason> {
        let Some(pressed) = self.pressed.as_mut().filter(|pressed| !pressed.reported) else { return Ok(()) };
        pressed.last_packet = now;
        pressed.duration_units = pressed.duration_units.max(u32::from(event.duration));
        if event.ends {
            self.report()
        } else {
            Ok(())
        }
    }

    fn report(&mut self) -> Result<(), DropReason> {
        let Some(pressed) = self.pressed.as_mut().filter(|pressed| !pressed.reported) else { return Ok(()) };
        pressed.reported = true;
        if self.over.len() >= MAX_WAITING_DIGITS {
            return Err(DropReason::DigitsFull);
        }
        self.over.push_back(pressed.digit());
        Ok(())
    }
}

struct Playing {
    code: u8,
    duration_units: u32,
    units_per_packet: u32,
    rtp_timestamp: Option<u32>,
    said_units: u32,
    ends_left: u8,
}

/// A packet of an event that is being played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// The first of its event: it carries the marker.
    pub first: bool,
    /// The same for all packets of an event: when it began.
    pub rtp_timestamp: u32,
    /// RFC 4733 §2.3.
    pub payload: [u8; EVENT_OCTETS],
    /// When it is to be sent.
    pub at: Micros,
}

/// The events a phone is told.
#[derive(Default)]
pub struct DigitOut {
    waiting: VecDeque<(u8, u16, u32)>,
    playing: Option<Playing>,
    next_packet: Micros,
}

impl DigitOut {
    /// Queue a digit; false where 16 wait already or it is none. Its length is kept within 40 to 6 000 ms.
    pub fn push(&mut self, now: Micros, code: u8, duration_ms: u16, clock_rate_hz: u32) -> bool {
        if code > MAX_DIGIT_CODE || self.waiting.len() >= MAX_WAITING_DIGITS {
            return false;
        }
        if self.playing.is_none() && self.waiting.is_empty() {
            self.next_packet = self.next_packet.max(now);
        }
        self.waiting.push_back((code, duration_ms.clamp(MIN_DURATION_MS, MAX_DURATION_MS), clock_rate_hz));
        true
    }

    /// Return whether an event has the phone's ear, so that no sound is sent.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    /// Return when the next packet is due.
    #[must_use]
    pub fn next_timer(&self) -> Option<Micros> {
        (self.playing.is_some() || !self.waiting.is_empty()).then_some(self.next_packet)
    }

    /// Make the packet that is due by `now`; `timestamp_at` gives the RTP timestamp of an instant.
    pub fn poll(&mut self, now: Micros, timestamp_at: impl Fn(Micros) -> u32) -> Option<EventPacket> {
        let at = self.next_timer().filter(|due| *due <= now)?;
        if self.playing.is_none() {
            let (code, duration_ms, clock_rate_hz) = self.waiting.pop_front()?;
            // One segment of an event: 65 535 units are 8 s at 8 kHz, 1.3 s at 48 kHz, longer than a key is held.
            let duration_units = (u32::from(duration_ms) * (clock_rate_hz / 1_000)).min(SEGMENT_UNITS);
            self.playing = Some(Playing { code, duration_units, units_per_packet: clock_rate_hz / 50, rtp_timestamp: None, said_units: 0, ends_left: ENDS });
        }
        let playing = self.playing.as_mut()?;
        let first = playing.rtp_timestamp.is_none();
        let rtp_timestamp = *playing.rtp_timestamp.get_or_insert_with(|| timestamp_at(at));
        playing.said_units = (playing.said_units + playing.units_per_packet).min(playing.duration_units);
        let ends = playing.said_units == playing.duration_units;
        let duration = playing.said_units as u16; // at most 65 535
        let payload = serialise_event(&TelephoneEvent { code: playing.code, ends, volume: VOLUME, duration });
        playing.ends_left -= u8::from(ends);
        let over = playing.ends_left == 0;
        // Never in bursts: after a late poll the beat starts anew.
        self.next_packet = at.max(now.saturating_sub(EVENT_PACKET_US)) + EVENT_PACKET_US;
        if over {
            self.playing = None;
            self.next_packet += PAUSE_US;
        }
        Some(EventPacket { first, rtp_timestamp, payload, at })
    }
}
