//! The layer between two boxes: what only they can open, inside the layers of the hops.
//!
//! Not here: which slot carries it ([`crate::owner`]), the channel inside it ([`crate::channel`]), how its keys are agreed.
//!
//! ```text
//! zero 16 | counter u64 | codec u8 | frame length u8 | second length u8 | flags u8 | frame | second | third | zero     (220 octets after flags)
//! ```
//!
//! *Second* is a segment, of the channel or of a bundle of streams, or, with flag 2, a copy of the frame of the counter before; then *third* is the segment, its length u8 before it.
//!
//! Spec: PROTOCOL.md §9.1.

use crate::cell::{shows_zeros, BODY_OCTETS};
use crate::layer::Layer;

/// Octets for frame, copy and segment together.
pub const PAYLOAD_OCTETS: usize = 220;
/// Receive keys that may be open at once: old and new pair secret, answer and call key, and as many again.
pub const MAX_RECEIVE_KEYS: usize = 8;
/// Counters behind the highest that are still taken.
pub const WINDOW_COUNTERS: u64 = 1_024;
/// Longest frame of all codecs.
pub const MAX_FRAME_OCTETS: usize = 160;

const HEADER_OCTETS: usize = 28;
const FLAG_ENDS_MESSAGE: u8 = 1;
const FLAG_COPY: u8 = 2;
const FLAG_METERED: u8 = 4;
const FLAG_STREAMS: u8 = 8;
const ALL_FLAGS: u8 = 15;
const OPUS_MAX_OCTETS: usize = 120;
/// A frame of G.711, and one of G.722.
pub const G711_OCTETS: usize = 160;
/// Its coarse copy ([`crate::coarse`]).
pub const COARSE_OCTETS: usize = 57;
const WINDOW_WORDS: usize = (WINDOW_COUNTERS / 64) as usize; // 16

/// A codec of PROTOCOL.md §9.3; every frame lasts 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Opus at constant rate, 1 to 120 octets a frame.
    Opus,
    /// G.711 A-law, 160 octets.
    Pcma,
    /// G.711 mu-law, 160 octets.
    Pcmu,
    /// G.722 at 64 kbit/s, 160 octets.
    G722,
}

impl Codec {
    /// Return the codec of a number of the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Opus),
            2 => Some(Self::Pcma),
            3 => Some(Self::Pcmu),
            4 => Some(Self::G722),
            _ => None,
        }
    }

    /// Return the codec's number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Opus => 1,
            Self::Pcma => 2,
            Self::Pcmu => 3,
            Self::G722 => 4,
        }
    }

    /// Return the clock of its RTP timestamp (RFC 7587 §4.1, RFC 3551 §4.5.14; §4.5.2: of G.722 it is half its sampling rate).
    #[must_use]
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcma | Self::Pcmu | Self::G722 => 8_000,
        }
    }

    /// Return whether a frame of 20 ms may have this many octets.
    #[must_use]
    pub fn takes_frame_of(self, octets: usize) -> bool {
        match self {
            Self::Opus => (1..=OPUS_MAX_OCTETS).contains(&octets),
            Self::Pcma | Self::Pcmu | Self::G722 => octets == G711_OCTETS,
        }
    }

    /// Return whether a packet of 10 to 60 ms may be cut into frames, or put together of them, at any octet: one octet lasts one unit of the RTP clock.
    #[must_use]
    pub fn is_divisible(self) -> bool {
        self != Self::Opus
    }

    /// Return whether a copy of a frame may have this many octets: of Opus the frame itself, of G.711 a coarse one; of G.722 there is none.
    #[must_use]
    pub fn takes_copy_of(self, octets: usize) -> bool {
        match self {
            Self::Opus => self.takes_frame_of(octets),
            Self::Pcma | Self::Pcmu => octets == COARSE_OCTETS,
            Self::G722 => false,
        }
    }
}

/// What an end-to-end cell says besides its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content<'a> {
    /// The codec of frame and copy; `None` where there is neither.
    pub codec: Option<Codec>,
    /// May be empty.
    pub frame: &'a [u8],
    /// What the channel says (§9.2), or the bundle (§11.2); may be empty.
    pub segment: &'a [u8],
    /// Flag 1: the segment ends a message.
    pub ends_message: bool,
    /// Flag 2: a copy of the frame of the counter before; may be empty.
    pub copy: &'a [u8],
    /// Flag 8: the segment is the bundle's.
    pub of_streams: bool,
    /// Flag 4: whoever sends it has a cell in every second slot, so that the counter before has none of its own.
    pub metered: bool,
}

/// A cell that opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Which of the receive keys opened it.
    pub key_index: usize,
    /// The sender's slot count on this splice.
    pub counter: u64,
    /// The rest.
    pub content: Content<'a>,
}

/// Why nothing was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// No key shows 16 zeros: filler, or not for us.
    Filler,
    /// It opened, and does not follow §9.1.
    Malformed,
    /// Its counter came before, or is 1 024 or more behind.
    Replayed,
}

/// Write the plain body of an end-to-end cell.
///
/// The caller has seen to it that they fit, at most 220 octets together; what does not is left out: the copy first, then the segment.
pub fn serialise_content(body: &mut [u8; BODY_OCTETS], counter: u64, content: &Content<'_>) {
    let frame: &[u8] = if content.frame.len() <= MAX_FRAME_OCTETS { content.frame } else { &[] };
    let segment: &[u8] = if frame.len() + content.segment.len() <= PAYLOAD_OCTETS { content.segment } else { &[] };
    let beside = frame.len() + octets_of_third(segment.len());
    let copies = !content.copy.is_empty() && beside + content.copy.len() <= PAYLOAD_OCTETS;
    let (second, third) = if copies { (content.copy, segment) } else { (segment, &[][..]) };
    body.fill(0);
    body[16..24].copy_from_slice(&counter.to_be_bytes());
    body[24] = content.codec.filter(|_| copies || !frame.is_empty()).map_or(0, Codec::code);
    body[25] = frame.len() as u8; // at most 160
    body[26] = second.len() as u8; // at most 220
    let (ends_message, of_streams) = (content.ends_message && !segment.is_empty(), content.of_streams && !segment.is_empty());
    let flags = [(ends_message, FLAG_ENDS_MESSAGE), (copies, FLAG_COPY), (content.metered, FLAG_METERED), (of_streams, FLAG_STREAMS)];
    body[27] = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
    let (frame_end, second_end) = (HEADER_OCTETS + frame.len(), HEADER_OCTETS + frame.len() + second.len());
    body[HEADER_OCTETS..frame_end].copy_from_slice(frame);
    body[frame_end..second_end].copy_from_slice(second);
    if !third.is_empty() {
        body[second_end] = third.len() as u8; // at most 219
        body[second_end + 1..second_end + 1 + third.len()].copy_from_slice(third);
    }
}

/// Return the octets that a segment behind a copy takes, its length included.
#[must_use]
pub const fn octets_of_third(segment_octets: usize) -> usize {
    if segment_octets == 0 {
        0
    } else {
        1 + segment_octets
    }
}

/// Parse a plain body that begins with 16 zeros. Returns counter and content, or `None` where it does not follow §9.1.
#[must_use]
pub fn parse_content(body: &[u8; BODY_OCTETS]) -> Option<(u64, Content<'_>)> {
    let counter = u64::from_be_bytes([body[16], body[17], body[18], body[19], body[20], body[21], body[22], body[23]]);
    let (frame_octets, second_octets, flags) = (usize::from(body[25]), usize::from(body[26]), body[27]);
    let codec = match body[24] {
        0 => None,
        code => Some(Codec::from_code(code)?),
    };
    let [ends_message, copies, metered, of_streams] = [FLAG_ENDS_MESSAGE, FLAG_COPY, FLAG_METERED, FLAG_STREAMS].map(|flag| flags & flag != 0);
    let frame_fits = codec.map_or(frame_octets == 0, |codec| codec.takes_frame_of(frame_octets) || copies && frame_octets == 0);
    let copy_fits = !copies || codec.is_some_and(|codec| codec.takes_copy_of(second_octets));
    if counter == 0 || flags > ALL_FLAGS || !frame_fits || !copy_fits || frame_octets + second_octets > PAYLOAD_OCTETS {
        return None;
    }
    let payload = &body[HEADER_OCTETS..];
    let (frame, rest) = payload.split_at(frame_octets);
    let (second, rest) = rest.split_at(second_octets);
    let (copy, (segment, zero)) = if copies { (second, split_third(rest)?) } else { (&[][..], (second, rest)) };
    if ends_message && of_streams || (ends_message || of_streams) && segment.is_empty() || zero.iter().any(|octet| *octet != 0) {
        return None;
    }
    Some((counter, Content { codec, frame, segment, ends_message, copy, of_streams, metered }))
}

/// Return the segment behind a copy, and what is behind that; `None` where it would end outside the cell.
fn split_third(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    match rest.split_first() {
        Some((&octets, behind)) if octets > 0 => behind.split_at_checked(usize::from(octets)),
        Some(_) | None => Some((&[], rest)),
    }
}

/// The counters that were taken: the highest and a bit for each of the 1 024 up to it.
#[derive(Debug, Clone, Default)]
pub struct CounterWindow {
    highest: u64,
    seen: [u64; WINDOW_WORDS],
}

impl CounterWindow {
    /// Take a counter; false where it came before or lies 1 024 or more behind the highest.
    pub fn take(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let steps = counter - self.highest;
            if steps >= WINDOW_COUNTERS {
                self.seen = [0; WINDOW_WORDS];
            } else {
                (self.highest + 1..=counter).for_each(|passed| self.set(passed, false));
            }
            self.highest = counter;
        } else if self.highest - counter >= WINDOW_COUNTERS || self.is_set(counter) {
            return false;
        }
        self.set(counter, true);
        true
    }

    fn is_set(&self, counter: u64) -> bool {
        let (word, bit) = Self::place(counter);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, counter: u64, taken: bool) {
        let (word, bit) = Self::place(counter);
        if taken {
            self.seen[word] |= bit
        } else {
            self.seen[word] &= !bit
        }
    }

    fn place(counter: u64) -> (usize, u64) {
        let within = counter % WINDOW_COUNTERS;
        ((within / 64) as usize, 1 << (within % 64)) // below 16
    }
}

/// The end-to-end layer of one circuit: send key, receive keys, the counter said and the counters taken.
///
/// Driven by [`crate::owner`]: `count_slots` and `seal` at each tick, `open` for each cell that was of no hop. Keys may change; counters go on.
pub struct EndToEnd {
    send: Option<Layer>,
    /// Takes the place of a missing key, so that filler costs what a cell costs (THREATS.md).
    idle: Layer,
    receive: Vec<Layer>,
    heard: u32,
    counter: u64,
    window: CounterWindow,
    fast: Option<FastLayers>,
}

/// The layers of fast cells between two boxes, whose keys follow from those of the call (PROTOCOL.md §13.2).
struct FastLayers {
    send: Option<Layer>,
    receive: Vec<Layer>,
    /// Which of the receive layers opened the last one: it is tried first.
    last: usize,
}

impl EndToEnd {
    /// Begin with no key; `idle_key` is random and seals what is thrown away.
    #[must_use]
    pub fn new(idle_key: &[u8; 16]) -> Self {
        Self { send: None, idle: Layer::new(idle_key), receive: Vec::new(), heard: 0, counter: 0, window: CounterWindow::default(), fast: None }
    }

    /// Change the keys; counter and window go on. Receive keys beyond 8 are left out, which the caller has refused before.
    pub fn set_keys(&mut self, send: Option<&[u8; 16]>, receive: &[[u8; 16]]) {
        self.send = send.map(Layer::new);
        self.receive = receive.iter().take(MAX_RECEIVE_KEYS).map(Layer::new).collect();
        self.heard = 0;
        self.fast = None;
    }

    /// Make the layers of fast cells ready, where there is a call.
    fn fast_layers(&mut self) -> &mut FastLayers {
        let (send, receive) = (&self.send, &self.receive);
        self.fast.get_or_insert_with(|| FastLayers { send: send.as_ref().map(Layer::fast), receive: receive.iter().map(Layer::fast).collect(), last: 0 })
    }

    /// Seal the plain body of a fast cell in place; false where there is no key to speak under.
    pub fn seal_fast(&mut self, body: &mut [u8; BODY_OCTETS]) -> bool {
        let send = self.fast_layers().send.as_ref();
        send.map(|send| send.encipher(&[], body)).is_some()
    }

    /// Open the body of a fast cell in place; false where no key does. Its number is for whoever takes it to look at.
    pub fn open_fast(&mut self, body: &mut [u8; BODY_OCTETS]) -> bool {
        let fast = self.fast_layers();
        let sealed = *body;
        for step in 0..fast.receive.len() {
            let index = (fast.last + step) % fast.receive.len();
            fast.receive[index].decipher(&[], body);
            if shows_zeros(body) {
                fast.last = index;
                return true;
            }
            *body = sealed;
        }
        false
    }

    /// Return whether there is a key to speak under.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.send.is_some()
    }

    /// Count slots, whether or not their cells say anything, and return the counter of the last.
    pub fn count_slots(&mut self, slots: u64) -> u64 {
        self.counter = self.counter.saturating_add(slots);
        self.counter
    }

    /// Return the counter of the last slot.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// Count on from a counter; false, and nothing changed, where that would say one twice.
    pub fn count_from(&mut self, counter: u64) -> bool {
        let fits = counter >= self.counter;
        self.counter = self.counter.max(counter);
        fits
    }

    /// Seal a plain body in place, under the send key or, with the same work, under the idle one.
    pub fn seal(&self, body: &mut [u8; BODY_OCTETS]) {
        self.send.as_ref().unwrap_or(&self.idle).encipher(&[], body);
    }

    /// Open a body in place, trying the receive keys in order. At least one deciphering is done, key or no key.
    ///
    /// # Errors
    /// [`NotOpened`]; the counters are as before.
    pub fn open<'a>(&mut self, body: &'a mut [u8; BODY_OCTETS]) -> Result<Opened<'a>, NotOpened> {
        let sealed = *body;
        if self.receive.is_empty() {
            self.idle.decipher(&[], body);
            return Err(NotOpened::Filler);
        }
        let mut opened_by = None;
        for (key_index, layer) in self.receive.iter().enumerate() {
            *body = sealed;
            layer.decipher(&[], body);
            if shows_zeros(body) {
                opened_by = Some(key_index);
                break;
            }
        }
        let key_index = opened_by.ok_or(NotOpened::Filler)?;
        let (counter, content) = parse_content(body).ok_or(NotOpened::Malformed)?;
        if !self.window.take(counter) {
            return Err(NotOpened::Replayed);
        }
        Ok(Opened { key_index, counter, content })
    }

    /// Return whether something valid came since the keys were set.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.heard != 0
    }

    /// Return whether this is the first cell under the key since the keys were set, and remember it.
    pub fn is_first_under(&mut self, key_index: usize) -> bool {
        let bit = 1u32 << (key_index % MAX_RECEIVE_KEYS);
        let first = self.heard & bit == 0;
        self.heard |= bit;
        first
    }
}
