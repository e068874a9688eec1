//! Speech: what a node says inside a body, in fragments, and the two ends of it (PROTOCOL.md §3.1, §3.2).
//!
//! [`Carousel`] says a message round and round; [`Collector`] puts one together. Not here: who may say what when ([`crate::hop`]).

use crate::cell::{Body, BODY_OCTETS};
use crate::drop_reason::DropReason;

/// Octets of a fragment.
pub const FRAGMENT_OCTETS: usize = 224;
/// Fragments of the longest message.
pub const MAX_FRAGMENTS: usize = 16;
/// Octets of the longest message.
pub const MAX_MESSAGE_OCTETS: usize = FRAGMENT_OCTETS * MAX_FRAGMENTS;
/// Octets of a create's handshake (PROTOCOL.md §7).
pub const HANDSHAKE_OCTETS: usize = 1_220;
/// Octets of its answer, created.
pub const CREATED_OCTETS: usize = 1_184;
/// Octets of a question to the holders of records, and of its answer (PROTOCOL.md §12.4): nine whole fragments.
pub const QUESTION_OCTETS: usize = 2_016;
/// `create` and its answer have this number.
pub const CREATE_NUMBER: u16 = 1;
/// Where the fragment begins in the body.
const FRAGMENT_AT: usize = BODY_OCTETS - FRAGMENT_OCTETS;

/// What a message is (PROTOCOL.md §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Asks a node to become a hop.
    Create = 1,
    /// The new hop's answer.
    Created = 2,
    /// The new hop's other answer.
    Refused = 3,
    /// Asks a hop to lengthen the circuit.
    Extend = 16,
    /// The hop's answer.
    Extended = 17,
    /// The hop's other answer.
    NotExtended = 18,
    /// Asks how long a cell would wait.
    Phase = 20,
    /// The answer.
    Phased = 21,
    /// Asks a hop to fix its due times.
    Settle = 22,
    /// The answer.
    Settled = 23,
    /// Leaves tokens at a junction.
    Tokens = 24,
    /// The answer.
    Left = 25,
    /// Asks for a splice.
    Knock = 26,
    /// A knock, delivered.
    Knocked = 27,
    /// Agrees to a splice.
    Join = 28,
    /// Ends a splice.
    Part = 29,
    /// Asks a guard to go on over the link on which it comes.
    Attach = 30,
    /// The answer.
    Attached = 31,
    /// Asks a junction to ask the holders of a record (PROTOCOL.md §12.4).
    Ask = 32,
    /// The answer.
    Answered = 33,
    /// Asks a hop to pass fast cells of this circuit, or none any more.
    Fast = 34,
    /// The answer.
    Fasted = 35,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 22] = [
        Self::Create,
        Self::Created,
        Self::Refused,
        Self::Extend,
        Self::Extended,
        Self::NotExtended,
        Self::Phase,
        Self::Phased,
        Self::Settle,
        Self::Settled,
        Self::Tokens,
        Self::Left,
        Self::Knock,
        Self::Knocked,
        Self::Join,
        Self::Part,
        Self::Attach,
        Self::Attached,
        Self::Ask,
        Self::Answered,
        Self::Fast,
        Self::Fasted,
    ];

    /// Return the kind with this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Return the length that every message of this kind has.
    #[must_use]
    pub const fn payload_octets(self) -> usize {
        match self {
            Self::Create => HANDSHAKE_OCTETS,
            Self::Created | Self::Extended => CREATED_OCTETS,
            Self::Refused | Self::NotExtended | Self::Fast | Self::Fasted => 1,
            Self::Extend => 36 + HANDSHAKE_OCTETS,
            Self::Phase | Self::Left | Self::Attach => 0,
            Self::Phased | Self::Settle => 4,
            Self::Settled => 2,
            Self::Attached => 6,
            Self::Tokens => 128 * 16,
            Self::Knock => 16 + 16 + 184,
            Self::Knocked => 16 + 16 + 184 + 8,
            Self::Join => 16 + 8,
            Self::Part => 16,
            Self::Ask | Self::Answered => QUESTION_OCTETS,
        }
    }
}

/// Hear a fragment of the answer to a create, outside the layers; return its kind and payload when it is whole.
///
/// # Errors
/// The reason to drop the fragment.
pub fn hear_created(answer: &mut Collector, body: &Body) -> Result<Option<(Kind, Vec<u8>)>, DropReason> {
    let speech = parse_speech(body).filter(|speech| speech.number == CREATE_NUMBER).ok_or(DropReason::SpeechMalformed)?;
    let kind = Kind::of(speech.kind).filter(|kind| matches!(kind, Kind::Created | Kind::Refused)).ok_or(DropReason::SpeechMalformed)?;
    Ok(answer.add(&speech).answer()?.map(|payload| (kind, payload)))
}

/// One fragment: `zero 16 | kind u8 | index u8 | count u8 | zero u8 | number u16 | length u16 | fragment 224`; length is this fragment's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Speech<'a> {
    /// The number of its kind, known or not.
    pub kind: u8,
    /// Which fragment, from 0.
    pub index: u8,
    /// Of how many, 1..16.
    pub count: u8,
    /// Which message.
    pub number: u16,
    /// The octets: 224 in all fragments but the last; none only in a message without payload.
    pub fragment: &'a [u8],
}

/// Read a body that begins with 16 zeros; `None` where it does not fit.
#[must_use]
pub fn parse_speech(body: &Body) -> Option<Speech<'_>> {
    let [kind, index, count, zero, n0, n1, l0, l1, ..] = *body[16..].first_chunk::<8>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if zero != 0 || count == 0 || usize::from(count) > MAX_FRAGMENTS || index >= count || length > FRAGMENT_OCTETS {
        return None;
    }
    let last = index + 1 == count;
    if (!last && length != FRAGMENT_OCTETS) || (last && length == 0 && count > 1) {
        return None;
    }
    let (fragment, rest) = body[FRAGMENT_AT..].split_at(length);
    rest.iter().all(|octet| *octet == 0).then_some(Speech { kind, index, count, number: u16::from_be_bytes([n0, n1]), fragment })
}

/// Write a fragment as a body. A fragment longer than 224 octets is cut (the caller's bug).
#[must_use]
pub fn serialise_speech(speech: &Speech<'_>) -> Body {
    let mut body = [0; BODY_OCTETS];
    let fragment = &speech.fragment[..speech.fragment.len().min(FRAGMENT_OCTETS)];
    body[16..20].copy_from_slice(&[speech.kind, speech.index, speech.count, 0]);
    body[20..22].copy_from_slice(&speech.number.to_be_bytes());
    body[22..24].copy_from_slice(&(fragment.len() as u16).to_be_bytes());
    body[FRAGMENT_AT..FRAGMENT_AT + fragment.len()].copy_from_slice(fragment);
    body
}

/// Write a message that fits into one fragment.
#[must_use]
pub fn serialise_short(kind: Kind, number: u16, payload: &[u8]) -> Body {
    serialise_speech(&Speech { kind: kind as u8, index: 0, count: 1, number, fragment: payload })
}

/// A message that is said round and round, one fragment at a time.
#[derive(Clone)]
pub struct Carousel {
    kind: u8,
    number: u16,
    payload: Vec<u8>,
    index: u8,
    rounds: u32,
}

impl Carousel {
    /// Begin a message; `None` where it is longer than 3 584 octets.
    #[must_use]
    pub fn new(kind: u8, number: u16, payload: Vec<u8>) -> Option<Self> {
        (payload.len() <= MAX_MESSAGE_OCTETS).then_some(Self { kind, number, payload, index: 0, rounds: 0 })
    }

    /// Return how many fragments the message has.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.payload.len().div_ceil(FRAGMENT_OCTETS).max(1) as u8
    }

    /// Return the fragment whose turn it is.
    pub fn next_body(&mut self) -> Body {
        let from = usize::from(self.index) * FRAGMENT_OCTETS;
        let fragment = &self.payload[from..self.payload.len().min(from + FRAGMENT_OCTETS)];
        let body = serialise_speech(&Speech { kind: self.kind, index: self.index, count: self.count(), number: self.number, fragment });
        self.index = (self.index + 1) % self.count();
        if self.index == 0 {
            self.rounds = self.rounds.saturating_add(1);
        }
        body
    }

    /// Return whether a round was begun and is not over.
    #[must_use]
    pub const fn within_round(&self) -> bool {
        self.index > 0
    }

    /// Return how many whole rounds were said.
    #[must_use]
    pub const fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Return the number of the kind.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// Return the number of the message.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }
}

/// What a fragment did to the message being collected.
#[derive(PartialEq, Eq, Debug)]
pub enum Collected {
    /// Nothing is whole yet.
    Partial,
    /// The message became whole.
    Whole(Vec<u8>),
    /// The message was whole before: whoever asks has not heard the answer.
    Again,
    /// It belongs to a message older than the one being collected.
    Stale,
    /// It contradicts the fragments before it, or makes a message of another length than its kind has.
    Misfit,
}

impl Collected {
    /// Return the answer that became whole.
    ///
    /// # Errors
    /// The reason to drop the fragment.
    pub fn answer(self) -> Result<Option<Vec<u8>>, DropReason> {
        match self {
            Self::Partial => Ok(None),
            Self::Whole(payload) => Ok(Some(payload)),
            Self::Again | Self::Stale | Self::Misfit => Err(DropReason::SpeechMalformed),
        }
    }
}

/// The one message that is collected at a place. A fragment of a newer number begins anew.
#[derive(Default)]
pub struct Collector {
    name: Option<(u16, u8, u8)>,
    parts: Vec<u8>,
    got: u16,
    last_octets: usize,
}

impl Collector {
    /// Return the number of the message that is or was collected.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        self.name.map(|(number, _, _)| number)
    }

    /// Return whether it is a message of this kind and number that became whole last.
    #[must_use]
    pub fn is_whole_of(&self, kind: Kind, number: u16) -> bool {
        self.is_whole() && self.name.is_some_and(|(its_number, its_kind, _)| (its_number, its_kind) == (number, kind as u8))
    }

    /// Return whether the message became whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.name.is_some_and(|(_, _, count)| u32::from(self.got) == all_of(count))
    }

    /// Take a fragment. Its octets are not compared with those of an equal one that came before. Of a message that has not the length of its kind nothing is kept.
    pub fn add(&mut self, speech: &Speech<'_>) -> Collected {
        let named = (speech.number, speech.kind, speech.count);
        match self.name {
            Some(name) if name == named => {}
            Some((number, _, _)) if number == speech.number => return Collected::Misfit,
            Some((number, _, _)) if (speech.number.wrapping_sub(number) as i16) < 0 => return Collected::Stale,
            Some(_) | None => {
                self.name = Some(named);
                self.got = 0;
                self.parts = vec![0; usize::from(speech.count) * FRAGMENT_OCTETS];
            }
        }
        if self.is_whole() {
            return Collected::Again;
        }
        if self.got & (1 << speech.index) == 0 {
            let from = usize::from(speech.index) * FRAGMENT_OCTETS;
            self.parts[from..from + speech.fragment.len()].copy_from_slice(speech.fragment);
            self.got |= 1 << speech.index;
            if speech.index + 1 == speech.count {
                self.last_octets = speech.fragment.len();
            }
        }
        if !self.is_whole() {
            return Collected::Partial;
        }
        let mut message = std::mem::take(&mut self.parts);
        message.truncate((usize::from(speech.count) - 1) * FRAGMENT_OCTETS + self.last_octets);
        if Kind::of(speech.kind).is_some_and(|kind| kind.payload_octets() == message.len()) {
            return Collected::Whole(message);
        }
        *self = Self::default();
        Collected::Misfit
    }
}

/// Return the set of all fragments of a message.
const fn all_of(count: u8) -> u32 {
    (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_any_order_and_repetition_of_its_fragments() {
        for kind in Kind::ALL {
            let message: Vec<u8> = (0..kind.payload_octets()).map(|index| index as u8).collect();
            let mut carousel = Carousel::new(kind as u8, 7, message.clone()).expect("fits");
            let bodies: Vec<Body> = (0..carousel.count()).map(|_| carousel.next_body()).collect();
            assert_eq!(carousel.rounds(), 1);
            let mut collector = Collector::default();
            let mut whole = Vec::new();
            for body in bodies.iter().rev().chain(&bodies) {
                let speech = parse_speech(body).expect("own fragments parse");
                assert_eq!(serialise_speech(&speech), *body);
                whole.push(collector.add(&speech));
            }
            assert_eq!(whole[bodies.len() - 1], Collected::Whole(message));
            assert!(whole[bodies.len()..].iter().all(|collected| *collected == Collected::Again));
        }
        assert!(Carousel::new(16, 7, vec![0; MAX_MESSAGE_OCTETS + 1]).is_none());
    }

    #[test]
    fn a_message_has_the_length_of_its_kind_and_one_that_has_not_leaves_nothing_behind() {
        let said = |octets| {
            let mut carousel = Carousel::new(Kind::Created as u8, CREATE_NUMBER, vec![7; octets]).expect("fits");
            (0..carousel.count()).map(|_| carousel.next_body()).collect::<Vec<Body>>()
        };
        let mut collector = Collector::default();
        for octets in [0, 64, CREATED_OCTETS - 1, CREATED_OCTETS + 1, MAX_MESSAGE_OCTETS] {
            let bodies = said(octets);
            let (last, before) = bodies.split_last().expect("there is one");
            assert!(before.iter().all(|body| hear_created(&mut collector, body) == Ok(None)));
            assert_eq!(hear_created(&mut collector, last), Err(DropReason::SpeechMalformed), "{octets} octets");
        }
        let bodies = said(CREATED_OCTETS);
        assert!(bodies[..3].iter().chain(&bodies[..3]).all(|body| hear_created(&mut collector, body) == Ok(None)));
        let refused = serialise_short(Kind::Refused, CREATE_NUMBER, &[3]);
        assert_eq!(hear_created(&mut collector, &refused), Err(DropReason::SpeechMalformed), "one answer, one kind");
        let heard: Vec<_> = bodies[3..].iter().map(|body| hear_created(&mut collector, body)).collect();
        assert_eq!(heard, [Ok(None), Ok(None), Ok(Some((Kind::Created, vec![7; CREATED_OCTETS])))]);
    }

    #[test]
    fn numbers_rise_and_an_older_message_is_stale() {
        let mut collector = Collector::default();
        let short = |number, kind| Speech { kind, index: 0, count: 1, number, fragment: &[1; 4] };
        assert_eq!(collector.add(&short(u16::MAX, 22)), Collected::Whole(vec![1; 4]));
        assert_eq!(collector.add(&short(0, 22)), Collected::Whole(vec![1; 4]));
        assert_eq!(collector.add(&short(u16::MAX, 22)), Collected::Stale);
        assert_eq!(collector.add(&short(0, 23)), Collected::Misfit);
        assert_eq!(collector.add(&short(0, 22)), Collected::Again);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good = serialise_short(Kind::Settle, 1, &[0, 0, 0, 1]);
        assert!(parse_speech(&good).is_some());
        for (at, octet) in [(17, 1), (18, 0), (18, 2), (18, 17), (19, 1), (22, 1), (23, 225), (23, 3), (247, 1)] {
            let mut bad = good;
            bad[at] = octet;
            assert!(parse_speech(&bad).is_none(), "octet {at} = {octet}");
        }
        assert!(parse_speech(&serialise_speech(&Speech { kind: 1, index: 1, count: 2, number: 1, fragment: &[] })).is_none());
    }
}
