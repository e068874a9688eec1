//! One phone's sound: RTP of the phone into frames, frames into fresh RTP for the phone.
//!
//! A [`Port`] stands for one pair of local UDP ports. Nothing of a packet but its frame passes: source, sequence number and timestamp
//! of what the phone hears are the port's own, RTCP ends here and is made fresh, digits pass as events.
//! Not here: sockets, the address a phone speaks from, which cell carries a frame ([`crate::owner`] drives this), layers.
//!
//! In order: `receive`: frames wait, at most 3 (5 where packets hold several, [`crate::packets`]; one more where circuits are metered); `take_frame_of`: one for each slot, or a gap ([`crate::gaps`]), the same for both circuits of a call; `enqueue`: frames from
//! cells, each with its due time; `repair`: copies of frames whose cell did not come, up to a slot after their time; `poll`: what is to be sent to the phone by now, and digits that are over.
//!
//! Spec: PROTOCOL.md §9.4; RFC 3550 §5.1, §6; RFC 3551 §4.1 (marker); RFC 4733 §2.5. Departure: reports every 5 s without the random
//! factor of RFC 3550 §6.2, which is there for groups that might speak all at once.

use std::collections::VecDeque;

use crate::coarse::frame_of_copy;
use crate::digits::{DigitIn, DigitOut};
use crate::drop_reason::DropReason;
use crate::endtoend::{Codec, MAX_FRAME_OCTETS};
use crate::gaps::{Gaps, Turn, GAP_SLOTS};
use crate::ids::Micros;
use crate::packets::{is_packet, Unpacker};
use crate::random::RandomSource;
use crate::reception::Reception;
use crate::rtp::{
    parse_event, parse_media, serialise_report, MediaDatagram, RtpMalformed, RtpPacket, SenderInfo, SenderReport, SequencePlace, SequenceTracker,
};
use crate::tape::Tape;

mod machine;
mod outgoing;
mod unpacking;

use outgoing::{timestamp_at, Outgoing};

/// Frames of the phone that may wait for their slot; one more where circuits are metered, whose ticks take two.
pub const MAX_WAITING_FRAMES: usize = 3;
/// Frames from cells that may wait for their due time.
pub const MAX_PENDING_FRAMES: usize = 16;
/// Where a quicker path joins a call, a frame is played by so much sooner than a slot after the one before, until the path's own due times are reached:
/// so what is still under way on the slower path has its turn.
const GLIDE_US: Micros = 5_000;
/// Longest wait for what a slower path still brings.
const LONGEST_HOLD_US: Micros = 8 * SLOT_US;
/// Sound is put together this long before it is due.
pub const COMPOSE_AHEAD_US: Micros = 1_000;

/// Slots whose frame is kept for the other of two circuits that carry one call: they are within one tick of each other, one or two slots, and two more for
/// guards whose clocks go apart; twice that, for a tick may take two frames.
const SHARED_SLOTS: usize = 8;

const SLOT_US: Micros = 20_000;
const REPORT_EVERY_US: Micros = 5_000_000;

/// A codec frame of the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    octets: [u8; MAX_FRAME_OCTETS],
    length: usize,
}

impl Frame {
    /// Copy a frame; what is longer than any codec's is cut, which the parsers have excluded.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        let length = octets.len().min(MAX_FRAME_OCTETS);
        let mut frame = Self { octets: [0; MAX_FRAME_OCTETS], length };
        frame.octets[..length].copy_from_slice(&octets[..length]);
        frame
    }

    /// The frame's octets.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// What the phone at a port was promised in SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// The codec both sides of the call use.
    pub codec: Codec,
    /// Its payload type at this phone.
    pub payload_type: u8,
    /// The payload type of telephone-event, at the codec's clock rate; `None` where the phone has none.
    pub event_payload_type: Option<u8>,
}

/// What [`Port::poll`] hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortOutput {
    /// A datagram for the phone, to be sent at `at`.
    Send {
        /// Goes to the RTCP port.
        rtcp: bool,
        /// UDP payload.
        datagram: Vec<u8>,
        /// Network time.
        at: Micros,
    },
    /// What a tape has kept.
    Taped {
        /// As [`crate::tape`] describes them.
        entries: Vec<u8>,
    },
    /// The phone sent a digit, and it is over.
    Digit {
        /// RFC 4733 §3.2, 0 to 15.
        code: u8,
        /// How long the key was held.
        duration_ms: u16,
    },
}

/// A frame of the phone, by its extended sequence number, that came at `at`.
struct Waiting {
    number: u64,
    at: Micros,
    frame: Frame,
}

struct Pending {
    due: Micros,
    counter: u64,
    frame: Option<Frame>,
    is_copy: bool,
}

/// One phone's port.
pub struct Port {
    remote: Option<Remote>,
    bound_codec: Option<Codec>,
    stride: usize,
    to_phone: bool,
    from_phone: bool,
    sequence: SequenceTracker,
    reception: Reception,
    waiting: VecDeque<Waiting>,
    /// Of a phone whose packets do not last a slot.
    unpacker: Unpacker,
    last_taken: u64,
    shared: VecDeque<(u64, Option<Frame>)>,
    gaps: Gaps,
    digit_in: DigitIn,
    pending: VecDeque<Pending>,
    outgoing: Outgoing,
    digit_out: DigitOut,
    next_report: Option<Micros>,
    tape: Option<Tape>,
    drops: Vec<DropReason>,
}

impl Port {
    /// Open a port at `now`. Draws source 4, sequence number 2, timestamp 4, canonical name 12 and, for the gaps, 32 octets.
    #[must_use]
    pub fn new(now: Micros, random: &mut dyn RandomSource) -> Self {
        let outgoing = Outgoing::new(now, random);
        Self {
            remote: None,
            bound_codec: None,
            stride: 1,
            to_phone: true,
            from_phone: true,
            sequence: SequenceTracker::default(),
            reception: Reception::default(),
            waiting: VecDeque::with_capacity(MAX_WAITING_FRAMES + 1),
            unpacker: Unpacker::default(),
            last_taken: 0,
            shared: VecDeque::with_capacity(SHARED_SLOTS + 1),
            gaps: Gaps::new(random),
            digit_in: DigitIn::default(),
            pending: VecDeque::with_capacity(MAX_PENDING_FRAMES),
            outgoing,
            digit_out: DigitOut::default(),
            next_report: None,
            tape: None,
            drops: Vec::new(),
        }
    }

    /// Say how many slots a tick of the circuits has: 1, or 2 where they are metered.
    pub fn set_stride(&mut self, slots: usize) {
        self.stride = slots;
    }

    /// How many frames may wait where they come one by one.
    fn most_waiting(&self) -> usize {
        MAX_WAITING_FRAMES + self.stride - 1
    }

    /// Say what the phone speaks and hears; nothing is sent to it before.
    pub fn set_remote(&mut self, now: Micros, remote: Remote) {
        if self.remote.is_none() {
            self.next_report = Some(now + REPORT_EVERY_US / 2);
        }
        if self.remote.map(|before| before.codec) != Some(remote.codec) {
            self.waiting.clear();
            self.unpacker = Unpacker::default();
            self.outgoing.forget_packets();
            self.shared.clear();
            self.outgoing.counter_base = None;
            // The clock rate may be another one: time goes on from here in the new units.
            self.outgoing.anchor.0 = now;
        }
        self.remote = Some(remote);
        self.tape = None; // what a phone hears is not kept
    }

    /// Let the phone have packets of 10, 20, 30, 40, 50 or 60 ms; of Opus it has 20 whatever it wants. False for another length.
    pub fn set_packets(&mut self, packet_ms: u8) -> bool {
        self.outgoing.set_packets(packet_ms)
    }

    /// Open or close either direction (hold).
    pub fn set_direction(&mut self, to_phone: bool, from_phone: bool) {
        if !from_phone {
            self.waiting.clear();
        }
        self.outgoing.marker |= to_phone && !self.to_phone;
        (self.to_phone, self.from_phone) = (to_phone, from_phone);
    }

    /// Begin to carry sound of a splice whose cells hold frames of `codec`.
    pub fn bind(&mut self, codec: Codec) {
        self.unbind();
        self.bound_codec = Some(codec);
    }

    /// Stop carrying sound; the phone hears nothing from then on.
    pub fn unbind(&mut self) {
        self.bound_codec = None;
        self.waiting.clear();
        self.unpacker = Unpacker::default();
        self.shared.clear();
        self.begin_anew();
        // The phone may begin its next call with the numbers of this one.
        self.sequence = SequenceTracker::default();
        self.last_taken = 0;
        self.outgoing.frameless = u8::MAX;
        self.gaps.begin();
    }

    /// Play a digit to the phone. At most 16 wait; false where that is so, or where the phone has no telephone-event.
    pub fn digit(&mut self, now: Micros, code: u8, duration_ms: u16) -> bool {
        let Some(remote) = self.remote.filter(|remote| remote.event_payload_type.is_some() && self.to_phone) else { return false };
        self.digit_out.push(now, code, duration_ms, remote.codec.clock_rate_hz())
    }

    /// Take a datagram of the phone.
    ///
    /// # Errors
    /// The reason why it was dropped. RTCP is no error and does nothing.
    pub fn receive(&mut self, now: Micros, datagram: &[u8]) -> Result<(), DropReason> {
        let Some(remote) = self.remote.filter(|_| self.from_phone) else { return Err(DropReason::RtpUnbound) };
        let malformed = |how| if how == RtpMalformed::Zrtp { DropReason::ZrtpIn } else { DropReason::RtpMalformed };
        let MediaDatagram::Rtp(packet) = parse_media(datagram).map_err(malformed)? else { return Ok(()) };
        if packet.payload_type == remote.payload_type {
            let is_frame = remote.codec.takes_frame_of(packet.payload.len());
            if remote.codec.is_divisible() && is_packet(packet.payload.len()) && (!is_frame || self.unpacker.is_in_use()) {
                return self.receive_packet(now, &packet, remote.codec.clock_rate_hz());
            }
            return if is_frame { self.receive_frame(now, &packet, remote.codec.clock_rate_hz()) } else { Err(DropReason::RtpFrameSize) };
        }
        if Some(packet.payload_type) != remote.event_payload_type {
            return Err(DropReason::RtpPayloadType);
        }
        let event = parse_event(packet.payload).ok_or(DropReason::RtpEvent)?;
        let place = self.sequence.place(packet.ssrc, packet.sequence_number);
        self.reception.note(now, place, &packet, remote.codec.clock_rate_hz(), false);
        if place == SequencePlace::Astray {
            return Err(DropReason::RtpAstray);
        }
        self.digit_in.receive(now, packet.rtp_timestamp, event, remote.codec.clock_rate_hz())
    }

    /// Take a sender report of the phone.
    pub fn receive_report(&mut self, now: Micros, report: SenderReport) {
        self.reception.note_report(now, report);
    }

    fn receive_frame(&mut self, now: Micros, packet: &RtpPacket<'_>, clock_rate_hz: u32) -> Result<(), DropReason> {
        let place = self.sequence.place(packet.ssrc, packet.sequence_number);
        self.reception.note(now, place, packet, clock_rate_hz, true);
        let (number, late) = match place {
            SequencePlace::Ahead(number) => (number, false),
            SequencePlace::Late(number) => (number, true),
            SequencePlace::Restarted(number) => {
                self.waiting.clear();
                self.last_taken = 0;
                (number, false)
            }
            SequencePlace::Astray => return Err(DropReason::RtpAstray),
        };
        if self.bound_codec != self.remote.map(|remote| remote.codec) {
            return Err(DropReason::SoundCodec);
        }
        let place = self.waiting.iter().take_while(|waiting| waiting.number < number).count();
        if self.waiting.get(place).is_some_and(|waiting| waiting.number == number) {
            return Err(DropReason::RtpDuplicate);
        }
        let most = self.most_waiting();
        if late && (number <= self.last_taken || place == 0 && self.waiting.len() >= most) {
            return Err(DropReason::RtpLate);
        }
        self.waiting.insert(place, Waiting { number, at: now, frame: Frame::new(packet.payload) });
        if self.waiting.len() > most {
            self.waiting.pop_front();
            return Err(DropReason::SoundOverflow);
        }
        Ok(())
    }

    /// Return the codec of the frames that the splice's cells hold.
    #[must_use]
    pub fn bound_codec(&self) -> Option<Codec> {
        self.bound_codec
    }

    /// Return whether the frame for a slot is there already.
    #[must_use]
    pub fn has_frame_of(&self, counter: u64) -> bool {
        let Some((newest, _)) = self.shared.back() else { return false };
        match counter.checked_sub(*newest) {
            Some(later @ 1..) => self.waiting.len() as u64 >= later, // at most 6
            _ => self.shared.iter().any(|(known, frame)| *known == counter && frame.is_some()),
        }
    }

    /// Return how many octets the frame of a slot has, or will have; 0 where none waits.
    #[must_use]
    pub fn frame_octets_of(&self, counter: u64) -> usize {
        let frame = match self.shared.iter().find(|(known, _)| *known == counter) {
            Some((_, frame)) => frame.as_ref(),
            None => self.waiting.front().map(|waiting| &waiting.frame),
        };
        frame.map_or(0, |frame| frame.length)
    }

    /// Take the frame for a slot of the call that is put together at `at`, by its counter. Where two circuits carry the call both ask, in any order, and get the same.
    pub fn take_frame_of(&mut self, at: Micros, counter: u64) -> Option<Frame> {
        if let Some((_, frame)) = self.shared.iter().find(|(known, _)| *known == counter) {
            return frame.clone();
        }
        if self.shared.back().is_some_and(|(newest, _)| counter < *newest) {
            return None;
        }
        let frame = self.take_frame(at);
        self.shared.push_back((counter, frame.clone()));
        if self.shared.len() > SHARED_SLOTS {
            self.shared.pop_front();
        }
        frame
    }

    /// Take the frame that came, with its number: nothing waits for a slot where two phones of one box are joined.
    pub fn pass(&mut self) -> Option<(u64, Frame)> {
        let waiting = self.waiting.pop_front()?;
        self.last_taken = waiting.number;
        Some((waiting.number, waiting.frame))
    }

    /// Let what is enqueued next follow nothing: it has its due time, and no turn.
    pub fn begin_anew(&mut self) {
        self.pending.clear();
        self.outgoing.forget_packets();
        self.outgoing.counter_base = None;
        self.outgoing.marker = true;
    }

    /// Take the frame that waits longest, where one does and the slot is no gap.
    fn take_frame(&mut self, at: Micros) -> Option<Frame> {
        let waited_us = self.waiting.front().map(|waiting| at.saturating_sub(waiting.at));
        let turn = self.gaps.turn(waited_us);
        let taken = match turn {
            Turn::Frame => 1,
            Turn::Gap { leaves_out } => leaves_out,
        };
        for _ in 0..taken {
            let first = self.waiting.pop_front()?;
            self.last_taken = first.number;
            if turn == Turn::Frame {
                return Some(first.frame);
            }
            self.drops.push(DropReason::SoundSlip);
        }
        None
    }

    /// Keep what a cell of the splice brought until it is due: its counter, and its frame if it had one.
    ///
    /// A copy of what was played, which came over the call's other circuit, is nothing.
    ///
    /// # Errors
    /// The reason why its sound is not played.
    pub fn enqueue(&mut self, now: Micros, due: Micros, counter: u64, frame: Option<(Codec, &[u8])>) -> Result<(), DropReason> {
        let Some(bound) = self.bound_codec.filter(|codec| self.remote.is_none_or(|remote| remote.codec == *codec)) else {
            return if frame.is_some() { Err(DropReason::SoundCodec) } else { Ok(()) };
        };
        if frame.is_some_and(|(codec, _)| codec != bound) {
            return Err(DropReason::SoundCodec);
        }
        if self.outgoing.has_played(counter) {
            return Ok(());
        }
        let due = due.max(self.turn_of(counter).saturating_sub(GLIDE_US).min(due + LONGEST_HOLD_US));
        if now + COMPOSE_AHEAD_US > due {
            return if frame.is_some() { Err(DropReason::SoundLate) } else { Ok(()) };
        }
        if self.pending.iter().any(|pending| !pending.is_copy && pending.counter == counter && pending.due <= due) {
            return Ok(());
        }
        // What came late, but in time, is better than its copy, and has its time; and what is due sooner than what another circuit brought.
        let due = self.pending.iter().filter(|pending| pending.counter == counter).map(|pending| pending.due).fold(due, Micros::min);
        self.pending.retain(|pending| pending.counter != counter);
        self.insert(Pending { due, counter, frame: frame.map(|(_, octets)| Frame::new(octets)), is_copy: false })
    }

    /// Return when a frame has its turn, by the one before it that is known: as many slots later as its counter is. 0 where none is known.
    fn turn_of(&self, counter: u64) -> Micros {
        let played = self.outgoing.counter_base.map(|_| (self.outgoing.last_counter, self.outgoing.anchor.0));
        let known = self.pending.iter().map(|pending| (pending.counter, pending.due)).chain(played);
        let before = known.filter(|(known, _)| *known < counter).max();
        before.map_or(0, |(known, due)| due.saturating_add((counter - known).saturating_mul(SLOT_US)))
    }

    fn insert(&mut self, new: Pending) -> Result<(), DropReason> {
        if self.pending.len() >= MAX_PENDING_FRAMES {
            return Err(DropReason::SoundOverflow);
        }
        let place = self.pending.iter().take_while(|pending| pending.due <= new.due).count();
        self.pending.insert(place, new);
        Ok(())
    }

    /// Take the copy that the cell of `counter`, due at `due`, brought of the frame before: it is played at once where that did not come. Its time is a slot before `due`,
    /// so mostly over: nobody waits for repairs, and the phone's own buffer decides whether it is in time.
    ///
    /// # Errors
    /// The reason why it is of no use.
    pub fn repair(&mut self, now: Micros, due: Micros, counter: u64, copy: (Codec, &[u8])) -> Result<(), DropReason> {
        let (codec, octets) = copy;
        let lost = counter.saturating_sub(1);
        if self.outgoing.counter_base.is_none() || lost <= self.outgoing.last_counter || self.pending.iter().any(|pending| pending.counter == lost) {
            return Ok(());
        }
        if self.bound_codec != Some(codec) {
            return Err(DropReason::SoundCodec);
        }
        if now + COMPOSE_AHEAD_US > due {
            return Err(DropReason::SoundLate);
        }
        let frame = match codec {
            Codec::Opus => Frame::new(octets),
            Codec::Pcma | Codec::Pcmu => Frame::new(&frame_of_copy(codec, octets).ok_or(DropReason::EndToEndMalformed)?),
            Codec::G722 => return Err(DropReason::EndToEndMalformed), // there is none, which the parser holds too
        };
        let due = due.saturating_sub(SLOT_US);
        self.insert(Pending { due: due.max(self.turn_of(lost).min(due + LONGEST_HOLD_US)), counter: lost, frame: Some(frame), is_copy: true })
    }

    /// Return when `poll` has something next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Micros> {
        // What is put together already goes before what is not.
        let sound = self.outgoing.next_packet().or_else(|| self.pending.front().map(|pending| pending.due));
        let sound = sound.map(|at| at.saturating_sub(COMPOSE_AHEAD_US));
        [sound, self.digit_out.next_timer(), self.digit_in.next_timer(), self.next_report].into_iter().flatten().min()
    }

    /// Hand out what is due by `now`, one piece at a time; `None` when nothing is left.
    pub fn poll(&mut self, now: Micros) -> Option<PortOutput> {
        if let Some((code, duration_ms)) = self.digit_in.poll(now) {
            return Some(PortOutput::Digit { code, duration_ms });
        }
        while self.outgoing.next_packet().is_none() && self.pending.front().is_some_and(|pending| pending.due <= now + COMPOSE_AHEAD_US) {
            let Some(pending) = self.pending.pop_front() else { break };
            if let Some(tape) = &mut self.tape {
                tape.note(pending.counter, pending.frame.as_ref().map(Frame::as_slice));
                if let Some(entries) = tape.take_piece() {
                    return Some(PortOutput::Taped { entries });
                }
            }
            self.play(&pending);
        }
        if let Some((at, datagram)) = self.outgoing.take_packet(now + COMPOSE_AHEAD_US) {
            return Some(PortOutput::Send { rtcp: false, datagram, at });
        }
        let remote = self.remote?;
        if let Some(output) = self.poll_digit_out(now, remote) {
            return Some(output);
        }
        let at = self.next_report.filter(|report| *report <= now)?;
        self.next_report = Some(now.max(at) + REPORT_EVERY_US);
        Some(PortOutput::Send { rtcp: true, datagram: self.report(now, remote), at: now })
    }

    /// Take the reasons of drops that no call returned.
    pub fn take_drops(&mut self) -> Vec<DropReason> {
        std::mem::take(&mut self.drops)
    }

    /// Make the packets of a cell that is due, where there are some to make, and move the clocks. Spec: PROTOCOL.md §9.4.
    fn play(&mut self, pending: &Pending) {
        // To a tape nothing is sent, but what it kept has its place all the same: what comes next may have a copy of what is missing.
        let codec = self.remote.map(|remote| remote.codec).or(self.bound_codec.filter(|_| self.tape.is_some()));
        let Some(codec) = codec else { return };
        let samples_per_slot = codec.clock_rate_hz() / 50;
        let speaks = self.remote.filter(|_| self.to_phone && !self.digit_out.is_playing());
        let out = &mut self.outgoing;
        let counter_samples = (pending.counter as u32).wrapping_mul(samples_per_slot); // modulo 2^32, as the timestamp is
        let base = match out.counter_base {
            Some(_) if pending.counter <= out.last_counter => {
                if !out.has_played(pending.counter) {
                    self.drops.push(DropReason::SoundLate);
                }
                return;
            }
            Some(base) => base,
            None => {
                (out.last_counter, out.played) = (pending.counter.wrapping_sub(1), 0);
                timestamp_at(out.anchor, pending.due, codec).wrapping_sub(counter_samples)
            }
        };
        out.counter_base = Some(base);
        let missing = pending.counter.wrapping_sub(out.last_counter).wrapping_sub(1);
        out.last_counter = pending.counter;
        out.played = out.played.checked_shl(u32::try_from(missing + 1).unwrap_or(u32::MAX)).unwrap_or(0) | 1;
        let rtp_timestamp = base.wrapping_add(counter_samples);
        out.anchor = (pending.due, rtp_timestamp);
        let Some(remote) = speaks else {
            out.marker = true;
            out.forget_packets();
            return;
        };
        let Some(frame) = &pending.frame else {
            // A gap, so that the phone conceals what did not come.
            out.frameless = out.frameless.saturating_add(1);
            out.sequence_number = out.sequence_number.wrapping_add(missing as u16); // modulo 2^16, as the number is
            return;
        };
        let mut gap = missing as u16; // as above
        match std::mem::take(&mut out.frameless) {
            frameless @ 0..=GAP_SLOTS => gap = gap.wrapping_add(u16::from(frameless)),
            _ => {
                // What waited when the talkspurt before ended is over, and must not take the marker (RFC 3551 §4.1).
                out.forget_packets();
                out.marker = true;
            }
        }
        if pending.is_copy {
            self.drops.push(DropReason::SoundRepaired);
        }
        self.outgoing.say(pending.due, remote, rtp_timestamp, frame.as_slice(), gap);
    }

    fn poll_digit_out(&mut self, now: Micros, remote: Remote) -> Option<PortOutput> {
        let clock = (self.outgoing.anchor, remote.codec);
        let event = self.digit_out.poll(now, |at| timestamp_at(clock.0, at, clock.1))?;
        let payload_type = remote.event_payload_type?;
        // The marker of an event's first packet, and of no other (RFC 4733 §2.5.1.2).
        self.outgoing.marker = event.first;
        let datagram = self.outgoing.serialise(payload_type, event.rtp_timestamp, &event.payload);
        self.outgoing.marker = true;
        Some(PortOutput::Send { rtcp: false, datagram, at: event.at })
    }

    fn report(&mut self, now: Micros, remote: Remote) -> Vec<u8> {
        let heard = self.reception.block(now);
        let out = &self.outgoing;
        let sent = SenderInfo {
            ntp_timestamp: ((now / 1_000_000) << 32) + ((now % 1_000_000) << 32) / 1_000_000,
            rtp_timestamp: timestamp_at(out.anchor, now, remote.codec),
            packets: out.packets,
            payload_octets: out.payload_octets,
        };
        serialise_report(out.ssrc, (out.packets > 0).then_some(&sent), heard.as_ref(), &out.cname)
    }
}

/// Slots between the packets of an event are as long as those of the sound.
pub(crate) const EVENT_PACKET_US: Micros = SLOT_US;
