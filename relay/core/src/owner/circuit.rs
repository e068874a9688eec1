//! One own circuit: its hops' layers, what is said to a hop, the end-to-end layer with its channel.
//!
//! In order: (1) opening: `create` is said in the clear; (2) created: nothing is said until the first hop's keys are there; (3) open: one cell per tick,
//! inside the layers, and what comes back is peeled. Not here: the tick ([`super`]), handshakes, whom to splice with.
//!
//! Every tick does the same work, whatever its cell says: a filler is drawn, an end-to-end body is put together and sealed, all layers are
//! put on. What is not needed is thrown away (THREATS.md).
//!
//! Spec: PROTOCOL.md §3.1, §4, §6.1 (the owner's side), §9.1.

use std::hint::black_box;

use super::attaching::late_of;
use super::backward::{Backward, Taken};
use super::clock::Clock;
use super::copying::SaidFrame;
use super::fast::Lane;
use super::mates::Mates;
use crate::cell::{shows_zeros, Body, BODY_OCTETS};
use crate::channel::{Channel, SlotSegment};
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::endtoend::{serialise_content, Codec, Content, EndToEnd, NotOpened, Opened, MAX_RECEIVE_KEYS, PAYLOAD_OCTETS};
use crate::ids::{BundleId, CircId, LinkId, Micros, PortId, Slot, SLOT_US};
use crate::io::Event;
use crate::layer::Layer;
use crate::slots::step_of;
use crate::sound::{Frame, Port};
use crate::speech::{hear_created, parse_speech, Carousel, Collector, Kind, Speech, CREATE_NUMBER, HANDSHAKE_OCTETS};
use crate::streams::Bundle;

/// Hops of a circuit, at most.
pub const MAX_HOPS: usize = 4;
/// Time without a valid end-to-end cell after which the control plane is told (PROTOCOL.md §9.1).
pub const SILENT_AFTER_US: Micros = 10_000_000;

/// A spare whose frames all wait for a whole slot leaves one out, which its mates say: should it be the first one day, no sound is late for its sake.
const CATCH_UP_AFTER_SLOTS: u32 = 25;

/// Seals what is thrown away, so its value does not matter.
const IDLE_KEY: [u8; 16] = [0x5a; 16];

pub(super) struct HopLayers {
    pub(super) forward: Layer,
    pub(super) backward: Layer,
    /// Number of the next message to this hop.
    next_number: u16,
}

pub(super) struct Saying {
    hop: usize,
    every: u32,
    times: u32,
    slots: u32,
    carousel: Carousel,
    answer: Collector,
}

enum Stage {
    /// What is said, and what came of the answer.
    Opening(Carousel, Collector),
    /// `created` came, or layers are there already.
    Created,
}

/// One own circuit. Driven by [`super::Owner`]: `compose` at each tick, `receive` for each cell, the rest for commands.
pub struct OwnCircuit {
    /// Its link and number.
    pub name: (LinkId, CircId),
    /// The phone whose sound it carries.
    pub port: Option<PortId>,
    /// The streams that it carries.
    pub bundle: Option<BundleId>,
    /// The circuits that carry the same call.
    pub mates: Mates,
    /// It came to the call after another that is still in it.
    pub is_spare: bool,
    /// Slots in a row in which the frame after the one that this circuit says was there already.
    ahead_slots: u32,
    stage: Stage,
    pub(super) hops: Vec<HopLayers>,
    /// Its fast cells.
    pub(super) lane: Lane,
    saying: Option<Saying>,
    /// Said before all else, to the guard: that the circuit came to another link.
    attaching: Option<Saying>,
    backward: Backward,
    pub(super) end: EndToEnd,
    speaking: Option<Speaking>,
}

/// A circuit's link and number.
pub type Name = (LinkId, CircId);

/// What a circuit carries for others: a phone's sound, and streams.
pub struct Carried<'a> {
    /// The phone's port.
    pub port: Option<&'a mut Port>,
    /// The bundle.
    pub bundle: Option<&'a mut Bundle>,
}

/// What the two boxes of a call tell each other; coupled circuits have one, and whichever of them needs it takes it.
pub struct Talk {
    channel: Channel,
}

struct Speaking {
    /// `None` only while a mate has it.
    talk: Option<Box<Talk>>,
    /// Of the slot before the next one that is put together.
    said_frame: Option<SaidFrame>,
    last_valid: Micros,
    told_silent: bool,
}

/// What became of a cell of this circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The circuit goes on.
    GoesOn {
        /// By how much it came later than the earliest, once settled.
        late_us: Option<i64>,
    },
    /// The guard has attached the circuit to its new link.
    Attached {
        /// By how much its cells come too late there.
        late_us: i64,
    },
    /// The guard refused: the circuit is to be forgotten.
    Refused,
}

impl OwnCircuit {
    /// Begin to say `create`; `None` where the handshake has another length than 1 220.
    #[must_use]
    pub fn new(name: (LinkId, CircId), handshake: Vec<u8>) -> Option<Self> {
        let carousel = Carousel::new(Kind::Create as u8, CREATE_NUMBER, handshake.clone()).filter(|_| handshake.len() == HANDSHAKE_OCTETS)?;
        Some(Self {
            name,
            port: None,
            bundle: None,
            mates: Mates::default(),
            is_spare: false,
            ahead_slots: 0,
            stage: Stage::Opening(carousel, Collector::default()),
            hops: Vec::with_capacity(MAX_HOPS),
            lane: Lane::Shut,
            saying: None,
            attaching: None,
            backward: Backward::new(),
            end: EndToEnd::new(&IDLE_KEY),
            speaking: None,
        })
    }

    /// Use the keys of one more hop; false before `created`, and beyond four hops.
    pub fn add_hop(&mut self, forward_key: &[u8; 16], backward_key: &[u8; 16]) -> bool {
        let fits = matches!(self.stage, Stage::Created) && self.attaching.is_none() && self.hops.len() < MAX_HOPS;
        if fits {
            self.hops.push(HopLayers { forward: Layer::new(forward_key), backward: Layer::new(backward_key), next_number: 1 });
        }
        fits
    }

    /// Say a message to a hop instead of the present one; false where the hop is not there or a number is out of bounds.
    pub fn say(&mut self, hop: u8, kind: u8, payload: Vec<u8>, every: u32, times: u32) -> bool {
        let saying = self.message(usize::from(hop), kind, payload, every, times);
        let fits = saying.is_some();
        self.saying = saying.or_else(|| self.saying.take());
        if fits && matches!(self.lane, Lane::Asking(_)) {
            self.lane = Lane::Shut; // a hop hears one message at a time: it is asked again later
        }
        fits
    }

    /// Return whether something is being said to a hop.
    pub(super) const fn is_saying(&self) -> bool {
        self.saying.is_some() || self.attaching.is_some()
    }

    pub(super) fn message(&mut self, hop: usize, kind: u8, payload: Vec<u8>, every: u32, times: u32) -> Option<Saying> {
        let layers = self.hops.get_mut(hop).filter(|_| every > 0)?;
        let carousel = Carousel::new(kind, layers.next_number, payload)?;
        layers.next_number = layers.next_number.wrapping_add(1);
        Some(Saying { hop, every, times, slots: 0, carousel, answer: Collector::default() })
    }

    /// Say to the guard that the circuit goes on over another link, until it answers; false where the own end is not settled.
    pub fn attach(&mut self) -> bool {
        let stands = self.backward.begin_anew();
        if stands {
            self.attaching = self.message(0, Kind::Attach as u8, Vec::new(), 1, 0);
        }
        stands
    }

    /// Return whether every cell of this circuit is filler at present, or of a question, which its box has whether it does anything or not.
    #[must_use]
    pub fn says_nothing(&self) -> bool {
        let speaks = self.saying.as_ref().is_some_and(|saying| saying.carousel.kind() != Kind::Ask as u8);
        matches!(self.stage, Stage::Created) && !speaks && self.attaching.is_none() && self.speaking.is_none()
    }

    /// Return whether somebody at the other end is spoken to.
    #[must_use]
    pub const fn in_call(&self) -> bool {
        self.speaking.is_some()
    }

    /// Return whether it carries a phone's sound, and its last cell held no frame.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.port.is_some() && self.speaking.as_ref().is_some_and(|speaking| speaking.said_frame.is_none())
    }

    /// Stop saying the present message.
    pub fn hush(&mut self) {
        self.saying = None;
    }

    /// Fix the own due times with the next 50 cells; false before the first hop, and where the step is none of the grid.
    pub fn settle_own(&mut self, step_us: u32) -> bool {
        step_of(step_us).filter(|_| !self.hops.is_empty()).map(|step_us| self.backward.settle(step_us)).is_some()
    }

    /// Begin the end-to-end layer, or change its keys; false before the first hop, and for more than 8 receive keys.
    pub fn speak(&mut self, now: Micros, send: Option<&[u8; 16]>, receive: &[[u8; 16]]) -> bool {
        if self.hops.is_empty() || receive.len() > MAX_RECEIVE_KEYS {
            return false;
        }
        self.end.set_keys(send, receive);
        let talk = || Some(Box::new(Talk { channel: Channel::new() }));
        let speaking = self.speaking.get_or_insert_with(|| Speaking { talk: talk(), said_frame: None, last_valid: now, told_silent: false });
        speaking.last_valid = now;
        speaking.told_silent = false;
        true
    }

    /// Queue a message of the channel; false where nobody speaks, for a bad length, and where 64 wait.
    pub fn channel_send(&mut self, message: &[u8]) -> bool {
        self.speaking.as_mut().and_then(|speaking| speaking.talk.as_mut()).is_some_and(|talk| talk.channel.push(message).is_ok())
    }

    /// Return the count of the last slot, where somebody speaks.
    #[must_use]
    pub fn counter(&self) -> Option<u64> {
        self.speaking.as_ref().map(|_| self.end.counter())
    }

    /// Carry a call of other circuits too: their channel, and their count from `counter` on. False where this end has counted further.
    pub fn become_spare(&mut self, counter: u64) -> bool {
        let Some(speaking) = self.speaking.as_mut().filter(|_| self.end.count_from(counter)) else { return false };
        speaking.talk = None;
        self.is_spare = true;
        true
    }

    /// Give the channel to a mate, where this circuit has it.
    pub fn take_talk(&mut self) -> Option<Box<Talk>> {
        self.speaking.as_mut()?.talk.take()
    }

    /// Get the channel from a mate.
    pub fn put_talk(&mut self, talk: Box<Talk>) {
        if let Some(speaking) = &mut self.speaking {
            speaking.talk = Some(talk);
        }
    }

    /// End the end-to-end layer: keys, counters and channel are forgotten.
    pub fn quiet(&mut self) {
        self.end = EndToEnd::new(&IDLE_KEY);
        self.speaking = None;
    }

    /// Tell once when no valid end-to-end cell came for 10 s.
    pub fn tell_silence(&mut self, ctx: &mut Context<'_>, now: Micros) {
        let (link, circuit) = self.name;
        let Some(speaking) = &mut self.speaking else { return };
        if !speaking.told_silent && now.saturating_sub(speaking.last_valid) >= SILENT_AFTER_US {
            speaking.told_silent = true;
            ctx.event(Event::Silent { link, circuit });
        }
    }

    /// Count slots in which nothing could leave.
    pub fn skip_slots(&mut self, slots: u64) {
        if self.speaking.is_some() {
            self.end.count_slots(slots);
        }
    }

    /// Put the body of this tick's cell together, from `filler` where nothing else is to be said; `None` where the tick is link control's.
    pub fn compose(&mut self, at: Micros, number: Slot, filler: &Body, carried: Carried<'_>) -> Option<Body> {
        if let Stage::Opening(carousel, _) = &mut self.stage {
            return Some(carousel.next_body());
        }
        if self.hops.is_empty() {
            return None;
        }
        let said = self.say_in_this_slot();
        let sealed = self.seal_slot(at, said.is_some(), carried);
        let speaks = self.end.speaks();
        let (hop, mut body) = match said {
            Some((hop, body)) => (hop, body),
            None => (self.hops.len() - 1, if speaks { sealed } else { *filler }),
        };
        let tweak = number.0.to_be_bytes();
        let mut thrown_away = sealed;
        for (index, layers) in self.hops.iter().enumerate().rev() {
            let onto = if index <= hop { &mut body } else { &mut thrown_away };
            layers.forward.encipher(&tweak, onto);
        }
        black_box(&thrown_away);
        Some(body)
    }

    /// Return the fragment that this slot carries, if it is one of the message's slots, and its hop.
    fn say_in_this_slot(&mut self) -> Option<(usize, Body)> {
        if let Some(attaching) = &mut self.attaching {
            return Some((attaching.hop, attaching.carousel.next_body()));
        }
        let asked = if let Lane::Asking(asked) = &mut self.lane { Some(asked) } else { None };
        let saying = asked.or(self.saying.as_mut())?;
        let turn = saying.slots % saying.every == 0;
        saying.slots = (saying.slots + 1) % saying.every;
        if !turn {
            return None;
        }
        let said = (saying.hop, saying.carousel.next_body());
        if saying.times > 0 && saying.carousel.rounds() >= saying.times {
            self.saying = None;
        }
        Some(said)
    }

    /// Whether the circuit has a cell in every second slot only, and each is of two counters.
    const fn is_metered(&self) -> bool {
        self.name.1.stride() == 2
    }

    /// Leave the counters of one cell out where the frame after them has been there already in each of so many ticks. The mates say them, and this cell has the copy of
    /// what is before it.
    fn catch_up(&mut self, at: Micros, port: Option<&mut Port>) {
        let slots = self.name.1.stride().unsigned_abs();
        let left_out = self.end.counter() + slots;
        let port = port.filter(|port| self.is_spare && port.has_frame_of(left_out + slots));
        self.ahead_slots = if port.is_some() { self.ahead_slots + 1 } else { 0 };
        let (Some(port), Some(speaking)) = (port.filter(|_| self.ahead_slots >= CATCH_UP_AFTER_SLOTS), &mut self.speaking) else { return };
        if speaking.talk.as_ref().is_none_or(|talk| !talk.channel.has_something_to_say()) {
            self.end.count_slots(slots);
            self.ahead_slots = 0;
            for counter in left_out + 1 - slots..=left_out {
                speaking.said_frame = SaidFrame::new(counter, frame_of(port, at, counter).as_ref());
            }
        }
    }

    /// Put this slot's end-to-end body together and seal it; with the same work where it will not be said.
    fn seal_slot(&mut self, at: Micros, slot_taken: bool, carried: Carried<'_>) -> Body {
        let Carried { mut port, bundle } = carried;
        let mut body = [0; BODY_OCTETS];
        let says = !slot_taken && self.end.speaks();
        let (metered, slots) = (self.is_metered(), self.name.1.stride().unsigned_abs());
        self.catch_up(at, port.as_deref_mut().filter(|_| says));
        let Some(speaking) = &mut self.speaking else {
            black_box(SaidFrame::new(1, None));
            serialise_content(&mut body, 1, &Content { metered, ..Content::default() });
            self.end.seal(&mut body);
            return body;
        };
        let counter = self.end.count_slots(slots);
        // Whether a spare's cells arrive anywhere is not known before something came: an acknowledgement must not be said to nobody.
        let talks = says && (self.end.has_heard() || !self.is_spare);
        let talk = speaking.talk.as_deref_mut();
        // A long segment of the channel may need the whole cell.
        let needs_all =
            |port: &&mut Port| talks && talk.as_ref().is_some_and(|talk| talk.channel.wants_whole_cell(PAYLOAD_OCTETS - port.frame_octets_of(counter)));
        // In a slot that a hop is spoken to in, a mate says the frame, or nobody does; the next cell here has its copy. Were it left for the next slot, all sound
        // behind it would be later by one for each such slot, and come too late soon.
        let takes = self.end.speaks();
        let mut port = port.filter(|port| takes && !needs_all(port));
        let before = port.as_deref_mut().filter(|_| metered).and_then(|port| frame_of(port, at.saturating_sub(SLOT_US), counter - 1));
        let frame = port.and_then(|port| frame_of(port, at, counter));
        let octets = frame.as_ref().map_or(&[][..], |(_, frame)| frame.as_slice());
        let mut room = [0; PAYLOAD_OCTETS];
        let mut segment = SlotSegment::default();
        match talk {
            Some(talk) if talks && talk.channel.has_something_to_say() => segment = talk.channel.segment_for_slot(&mut room[..PAYLOAD_OCTETS - octets.len()]),
            Some(talk) => talk.channel.pass_slot(),
            None => {}
        }
        let newest = if metered { SaidFrame::new(counter - 1, before.as_ref()) } else { SaidFrame::new(counter, frame.as_ref()) };
        let former = std::mem::replace(&mut speaking.said_frame, newest);
        let said_before = if metered { speaking.said_frame.as_ref() } else { former.as_ref() };
        let copy = said_before.and_then(|said| said.beside(counter, frame.as_ref(), segment.octets));
        let codec = frame.as_ref().map(|(codec, _)| *codec).or(copy.map(|(codec, _)| codec));
        let copy = copy.map_or(&[][..], |(_, copy)| copy);
        // Streams have what the sound, its copy and the channel leave.
        let of_streams = talks && segment.octets == 0;
        if let Some(bundle) = bundle.filter(|_| of_streams) {
            let left = PAYLOAD_OCTETS.saturating_sub(octets.len() + copy.len() + usize::from(!copy.is_empty()));
            segment.octets = bundle.segment_for_slot(counter, &mut room[..left]);
        }
        let SlotSegment { octets: said, ends_message } = segment;
        serialise_content(&mut body, counter, &Content { codec, frame: octets, segment: &room[..said], ends_message, copy, of_streams, metered });
        self.end.seal(&mut body);
        body
    }

    /// Let the due times of the sound go with the guard's cells, which have jumped.
    pub fn jump(&mut self, by_us: i64) {
        self.backward.jump(by_us);
    }

    /// Take a cell that came on this circuit's number.
    pub fn receive(&mut self, ctx: &mut Context<'_>, now: Micros, (number, mut body): (Slot, Body), clock: &mut Clock, carried: Carried<'_>) -> Received {
        let taken = match self.backward.take(now, number, clock) {
            Ok(taken) => taken,
            Err(reason) => {
                ctx.count(reason);
                return Received::GoesOn { late_us: None };
            }
        };
        let goes_on = Received::GoesOn { late_us: taken.late_us };
        if self.hops.is_empty() {
            return if self.receive_clear(ctx, &body) { Received::Refused } else { goes_on };
        }
        let tweak = number.0.to_be_bytes();
        for hop in 0..self.hops.len() {
            self.hops[hop].backward.decipher(&tweak, &mut body);
            if shows_zeros(&body) {
                let heard = self.hear_hop(ctx, hop, &body);
                if hop == 0 && matches!(heard, Some((Kind::Settled | Kind::Attached, _))) {
                    clock.anchor();
                }
                return heard.filter(|(kind, _)| *kind == Kind::Attached).map_or(goes_on, |(_, late_us)| Received::Attached { late_us });
            }
        }
        self.receive_end_to_end(ctx, now, taken, &mut body, carried);
        goes_on
    }

    /// Take what comes outside the layers: the answer to `create`. True where it is a refusal.
    fn receive_clear(&mut self, ctx: &mut Context<'_>, body: &Body) -> bool {
        let (link, circuit) = self.name;
        // The guard says `created` until it hears the first layer.
        let Stage::Opening(_, answer) = &mut self.stage else { return false };
        if !shows_zeros(body) {
            return false;
        }
        match hear_created(answer, body) {
            Ok(None) => false,
            Ok(Some((Kind::Refused, payload))) => {
                ctx.event(Event::Refused { link, circuit, reason: payload[0] });
                true
            }
            Ok(Some((_, payload))) => {
                self.stage = Stage::Created;
                ctx.event(Event::Created { link, circuit, payload });
                false
            }
            Err(reason) => {
                ctx.count(reason);
                false
            }
        }
    }

    /// Take what a hop says: a fragment of the answer to the present message, or a knock, which is one fragment. Return the kind of what is whole,
    /// and of `attached` by how much cells come too late.
    fn hear_hop(&mut self, ctx: &mut Context<'_>, hop: usize, body: &Body) -> Option<(Kind, i64)> {
        let speech = parse_speech(body).ok_or(DropReason::SpeechMalformed);
        match speech.and_then(|speech| self.heard_of(hop, &speech)) {
            Ok(heard) => {
                let (link, circuit) = self.name;
                let (kind, payload) = heard?;
                if kind == Kind::Fasted {
                    self.hear_fasted(hop, &payload);
                    return None;
                }
                let hop = hop as u8; // at most 4
                let late_us = if kind == Kind::Attached { late_of(&payload) } else { 0 };
                ctx.event(Event::Answer { link, circuit, hop, kind: kind as u8, payload });
                Some((kind, late_us))
            }
            Err(reason) => {
                ctx.count(reason);
                None
            }
        }
    }

    fn heard_of(&mut self, hop: usize, speech: &Speech<'_>) -> Result<Option<(Kind, Vec<u8>)>, DropReason> {
        let kind = Kind::of(speech.kind).ok_or(DropReason::Unasked)?;
        if kind == Kind::Knocked {
            let fits = speech.count == 1 && speech.fragment.len() == kind.payload_octets();
            return if fits { Ok(Some((kind, speech.fragment.to_vec()))) } else { Err(DropReason::SpeechMalformed) };
        }
        let asked = |saying: &&mut Saying| saying.hop == hop && saying.carousel.number() == speech.number && answers(saying.carousel.kind(), kind);
        if let Lane::Asking(asked) = &mut self.lane {
            if asked.hop == hop && asked.carousel.number() == speech.number && answers(asked.carousel.kind(), kind) {
                return Ok(asked.answer.add(speech).answer()?.map(|payload| (kind, payload)));
            }
        }
        let place = if self.attaching.is_some() { &mut self.attaching } else { &mut self.saying };
        let saying = place.as_mut().filter(asked).ok_or(DropReason::Unasked)?;
        let heard = saying.answer.add(speech).answer()?.map(|payload| (kind, payload));
        if heard.is_some() {
            *place = None;
        }
        Ok(heard)
    }

    fn receive_end_to_end(&mut self, ctx: &mut Context<'_>, now: Micros, taken: Taken, body: &mut Body, carried: Carried<'_>) {
        let (link, circuit) = self.name;
        let opened = match self.end.open(body) {
            Ok(opened) => opened,
            Err(why) => {
                return ctx.count(match why {
                    NotOpened::Filler => DropReason::NotOpened,
                    NotOpened::Malformed => DropReason::EndToEndMalformed,
                    NotOpened::Replayed => DropReason::EndToEndReplayed,
                });
            }
        };
        let Some(speaking) = &mut self.speaking else { return };
        speaking.last_valid = now;
        speaking.told_silent = false;
        let Opened { key_index, counter, content } = opened;
        if self.end.is_first_under(key_index) {
            ctx.event(Event::Heard { link, circuit, key_index: key_index as u8 });
            // at most 8
        }
        if content.of_streams {
            if carried.bundle.is_some_and(|bundle| bundle.take_segment(counter, content.segment).is_err()) {
                ctx.count(DropReason::StreamsBroken);
            }
        } else if let Some(talk) = speaking.talk.as_deref_mut().filter(|_| !content.segment.is_empty()) {
            match talk.channel.take_segment(content.segment, content.ends_message) {
                Ok(messages) => messages.into_iter().for_each(|message| ctx.event(Event::Message { link, circuit, message })),
                Err(_) => ctx.count(DropReason::ChannelJunk),
            }
        }
        if let (Some(port), Some(due)) = (carried.port, taken.due) {
            // In a call with a metered circuit each cell is of two counters, and its frame waits for the one before it: all sound is a slot later.
            let of_two = content.metered || self.is_metered();
            let due = if of_two { due + SLOT_US } else { due };
            match content.codec.filter(|_| !content.copy.is_empty()) {
                Some(codec) => port.repair(now, due, counter, (codec, content.copy)),
                None if of_two => port.enqueue(now, due - SLOT_US, counter - 1, None), // counters begin at 1
                None => Ok(()),
            }
            .unwrap_or_else(|reason| ctx.count(reason));
            let frame = content.codec.filter(|_| !content.frame.is_empty()).map(|codec| (codec, content.frame));
            port.enqueue(now, due, counter, frame).unwrap_or_else(|reason| ctx.count(reason));
        }
    }
}

/// Take the phone's frame for a slot.
fn frame_of(port: &mut Port, at: Micros, counter: u64) -> Option<(Codec, Frame)> {
    let codec = port.bound_codec()?;
    port.take_frame_of(at, counter).map(|frame| (codec, frame))
}

/// Return whether a message of `kind` answers one of the kind `asked`. Spec: PROTOCOL.md §3.2.
fn answers(asked: u8, kind: Kind) -> bool {
    match kind {
        Kind::Extended | Kind::NotExtended => asked == Kind::Extend as u8,
        Kind::Phased => asked == Kind::Phase as u8,
        Kind::Settled => asked == Kind::Settle as u8,
        Kind::Left => asked == Kind::Tokens as u8,
        Kind::Attached => asked == Kind::Attach as u8,
        Kind::Answered => asked == Kind::Ask as u8,
        Kind::Fasted => asked == Kind::Fast as u8,
        Kind::Create
        | Kind::Created
        | Kind::Refused
        | Kind::Extend
        | Kind::Phase
        | Kind::Settle
        | Kind::Tokens
        | Kind::Knock
        | Kind::Knocked
        | Kind::Join
        | Kind::Part
        | Kind::Attach
        | Kind::Ask
        | Kind::Fast => false,
    }
}
