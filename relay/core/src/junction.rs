//! What a junction keeps beside its circuits: tokens left, what binds circuits (PROTOCOL.md §6.2), and the numbers of a splice (§5.5).
//!
//! A circuit is bound by the id that it knocked or joined with last, until it says part with it: whatever it asks for, it gets the same answers whether
//! its knock was joined or not, so that whoever begins a dummy cannot find out (THREATS.md 20).
//!
//! Driven by [`crate::relay`] with requests that [`crate::hop`] heard. Bounds: 128 tokens, 1 bond, 1 splice per circuit.

use crate::drop_reason::DropReason;
use crate::hop::Hop;
use crate::ids::{slot_until, Micros, SLOT_US};
use crate::keyed_map::{HashKey, KeyedMap};
use crate::slots::SLOT;

const TOKEN_OCTETS: usize = 16;
/// A knock can be joined for so many slots after its last repetition.
const KNOCK_LIFE_SLOTS: u64 = 512;
/// A circuit may knock in every second slot.
const KNOCK_EVERY_SLOTS: i64 = 2;
/// With so many different join ids.
const KNOCK_IDS: usize = 2;
/// In so many slots.
const KNOCK_IDS_SLOTS: i64 = 50;

/// The place of a hop in the relay's table.
pub type HopIndex = u32;
/// What a knock and its join have in common.
pub type JoinId = [u8; 16];

/// One side of a splice: slot k of this circuit carries slot k - offset of the mate.
pub struct Splice {
    /// The other circuit.
    pub mate: HopIndex,
    /// The constant c.
    pub offset: i64,
}

/// What only the circuit that was knocked at is told, and shows when it joins: nobody can join in its place.
pub type Ticket = [u8; 8];

/// What a circuit knocked or joined with last.
pub struct Bond {
    /// The id.
    pub join_id: JoinId,
    /// Where this circuit knocked.
    pub knock: Option<Knock>,
}

/// A knock: at whom, by the token at its first time, whoever has that token later, as long as that circuit lives.
pub struct Knock {
    target: (HopIndex, u64),
    ticket: Ticket,
    last_slot: u64,
    joined: bool,
}

/// What a circuit has knocked lately, by the slots of its own cells.
#[derive(Default)]
pub struct KnockLimit {
    last_slot: Option<i64>,
    used: Vec<(JoinId, i64)>,
}

impl KnockLimit {
    fn allows(&mut self, slot: i64, join_id: &JoinId) -> bool {
        if self.last_slot.is_some_and(|last| slot < last + KNOCK_EVERY_SLOTS) {
            return false;
        }
        self.used.retain(|(_, last)| slot - last < KNOCK_IDS_SLOTS);
        self.used.len() < KNOCK_IDS || self.used.iter().any(|(known, _)| known == join_id)
    }

    fn note(&mut self, slot: i64, join_id: &JoinId) {
        self.last_slot = Some(slot);
        match self.used.iter_mut().find(|(known, _)| known == join_id) {
            Some(used) => used.1 = slot,
            None => self.used.push((*join_id, slot)),
        }
    }
}

/// The hops of a relay, by index.
pub type Hops = [Option<Box<Hop>>];

/// Tokens and knocks of all circuits that end here.
pub struct Junction {
    /// The relay's own phase within the slot.
    pub phase_us: i64,
    tokens: KeyedMap<[u8; TOKEN_OCTETS], HopIndex>,
    knocks: KeyedMap<JoinId, HopIndex>,
}

impl Junction {
    /// Begin with nothing.
    #[must_use]
    pub fn new(phase_us: i64, key: HashKey) -> Self {
        Self { phase_us, tokens: key.map(), knocks: key.map() }
    }

    /// Replace a circuit's tokens; the latest leaver of a token has it, so that a circuit made anew can be reached.
    pub fn leave(&mut self, hops: &mut Hops, index: HopIndex, payload: &[u8]) {
        self.forget_tokens(hops, index);
        let Some(hop) = at(hops, index) else { return };
        hop.tokens = payload.chunks_exact(TOKEN_OCTETS).filter_map(|token| token.try_into().ok()).collect();
        for token in &hop.tokens {
            self.tokens.insert(*token, index);
        }
    }

    fn forget_tokens(&mut self, hops: &mut Hops, index: HopIndex) {
        let Some(hop) = at(hops, index) else { return };
        for token in std::mem::take(&mut hop.tokens) {
            if self.tokens.get(&token) == Some(&index) {
                self.tokens.remove(&token);
            }
        }
    }

    /// Put a knock into the inbox of the token's circuit, or return why not. at: the slot of the cell that brought it, and when. ticket: for its joiner, drawn.
    pub fn knock(&mut self, hops: &mut Hops, index: HopIndex, at_slot: (i64, Micros), payload: &[u8], ticket: Ticket) -> Option<DropReason> {
        let (slot, now_slot) = (at_slot.0, at_slot.1 / SLOT_US);
        let (token, join_id) = (*payload.first_chunk::<16>()?, *payload.get(16..)?.first_chunk::<16>()?);
        if at(hops, index)?.forward_due().is_none() {
            return Some(DropReason::KnockUnsettled);
        }
        let known = self.knocks.get(&join_id).copied();
        let target = match knock_of(hops, index).map(|knock| knock.target) {
            Some((place, serial)) if known == Some(index) && at(hops, place).is_some_and(|hop| hop.serial == serial) => place,
            _ => match self.tokens.get(&token) {
                Some(place) if *place != index => *place,
                Some(_) | None => return Some(DropReason::UnknownToken),
            },
        };
        if !at(hops, index)?.knock_limit.allows(slot, &join_id) || known.is_some_and(|knocker| knocker != index) {
            return Some(DropReason::KnockLimit);
        }
        at(hops, index)?.knock_limit.note(slot, &join_id);
        let target = (target, at(hops, target)?.serial);
        if known.is_none() {
            self.unbind(hops, index);
            at(hops, index)?.bond = Some(Bond { join_id, knock: Some(Knock { target, ticket, last_slot: now_slot, joined: false }) });
            self.knocks.insert(join_id, index);
        }
        let knock = knock_of(hops, index)?;
        (knock.last_slot, knock.target) = (now_slot, target);
        let ticket = knock.ticket;
        if knock.joined {
            // The late repetitions of a knock that was answered: they would take slots of the call.
            return Some(DropReason::KnockSpliced);
        }
        (!at(hops, target.0)?.put_knocked(payload, ticket)).then_some(DropReason::SpeechFull)
    }

    /// Splice the circuit of the knock with this one, or return why not.
    pub fn join(&mut self, hops: &mut Hops, index: HopIndex, now: Micros, payload: &[u8]) -> Option<DropReason> {
        let (join_id, ticket) = (*payload.first_chunk::<16>()?, *payload.get(16..)?.first_chunk::<8>()?);
        let hop = at(hops, index)?;
        if hop.splice.is_some() && hop.bond.as_ref().is_some_and(|bond| bond.join_id == join_id) {
            return None;
        }
        let now_slot = now / SLOT_US;
        let living = |knock: &Knock| !knock.joined && knock.ticket == ticket && now_slot.saturating_sub(knock.last_slot) <= KNOCK_LIFE_SLOTS;
        let mate = self.knocks.get(&join_id).copied().filter(|mate| knock_of(hops, *mate).is_some_and(|knock| living(knock)));
        let Some(mate) = mate else { return Some(DropReason::UnknownJoin) };
        let offsets = (self.offset(hops, index, mate), self.offset(hops, mate, index));
        let (Some(own_offset), Some(mate_offset), true) = (offsets.0, offsets.1, index != mate) else { return Some(DropReason::JoinNotFree) };
        self.unbind(hops, index);
        at(hops, index)?.join(join_id, Splice { mate, offset: own_offset });
        at(hops, mate)?.splice = Some(Splice { mate: index, offset: mate_offset });
        knock_of(hops, mate)?.joined = true;
        None
    }

    /// End what this id binds the circuit to: its splice, on both sides, or its knock.
    pub fn part(&mut self, hops: &mut Hops, index: HopIndex, payload: &[u8]) {
        let bond = at(hops, index).and_then(|hop| hop.bond.as_ref());
        if bond.is_some_and(|bond| payload == bond.join_id) {
            self.unbind(hops, index);
        }
    }

    /// Drop all that stands for a circuit that ends.
    pub fn forget(&mut self, hops: &mut Hops, index: HopIndex) {
        self.forget_tokens(hops, index);
        self.unbind(hops, index);
    }

    fn unbind(&mut self, hops: &mut Hops, index: HopIndex) {
        unsplice(hops, index);
        let bond = at(hops, index).and_then(|hop| hop.bond.take());
        if let Some(bond) = bond.filter(|bond| bond.knock.is_some()) {
            self.knocks.remove(&bond.join_id);
        }
    }

    /// Return the number constant of a circuit: the body of the mate that is due last before this circuit's next slot. Between two metered circuits that is one of
    /// an even number; to a metered one from another every second body goes, whichever.
    fn offset(&self, hops: &mut Hops, index: HopIndex, mate: HopIndex) -> Option<i64> {
        let own = at(hops, index)?;
        let ((slot, _), stride) = (own.head()?, own.stride);
        own.forward_due()?;
        let mate = at(hops, mate)?;
        let last = mate.forward_due()?.last_slot(SLOT * slot + self.phase_us);
        Some(slot - slot_until(last, stride.min(mate.stride)))
    }
}

fn at(hops: &mut Hops, index: HopIndex) -> Option<&mut Hop> {
    hops.get_mut(index as usize)?.as_deref_mut()
}

/// Return the knock that binds a circuit.
fn knock_of(hops: &mut Hops, index: HopIndex) -> Option<&mut Knock> {
    at(hops, index)?.bond.as_mut()?.knock.as_mut()
}

fn unsplice(hops: &mut Hops, index: HopIndex) {
    if let Some(splice) = at(hops, index).and_then(|hop| hop.splice.take()) {
        if let Some(mate) = at(hops, splice.mate) {
            mate.splice = None;
        }
    }
}
