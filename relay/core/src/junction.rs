//! What a junction keeps beside its circuits: tokens left, knocks remembered (PROTOCOL.md §6.2), and the numbers of a splice (§5.5).
//!
//! Driven by [`crate::relay`] with requests that [`crate::hop`] heard. Bounds: 128 tokens, 4 remembered knocks, 1 splice per circuit.

use crate::drop_reason::DropReason;
use crate::hop::Hop;
use crate::ids::{Micros, SLOT_US};
use crate::keyed_map::{HashKey, KeyedMap};
use crate::slots::SLOT;

const TOKEN_OCTETS: usize = 16;
/// A knock is remembered so many slots after its last repetition.
const KNOCK_LIFE_SLOTS: u64 = 512;
/// Knocks remembered per circuit.
const KNOCKS_PER_CIRCUIT: usize = 4;
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
    /// The id of the join.
    pub join_id: JoinId,
    /// The other circuit.
    pub mate: HopIndex,
    /// The constant c.
    pub offset: i64,
}

/// What a circuit has knocked lately, by the slots of its own cells.
#[derive(Default)]
pub struct KnockLimit {
    last_slot: Option<i64>,
    used: Vec<(JoinId, i64)>,
    remembered: Vec<(JoinId, u64)>,
}

impl KnockLimit {
    fn allows(&mut self, slot: i64, join_id: &JoinId) -> bool {
        if self.last_slot.is_some_and(|last| slot < last + KNOCK_EVERY_SLOTS) {
            return false;
        }
        self.used.retain(|(_, last)| slot - last < KNOCK_IDS_SLOTS);
        self.used.len() < KNOCK_IDS || self.used.iter().any(|(known, _)| known == join_id)
    }

    fn note(&mut self, slot: i64, now_slot: u64, join_id: &JoinId) {
        self.last_slot = Some(slot);
        match self.used.iter_mut().find(|(known, _)| known == join_id) {
            Some(used) => used.1 = slot,
            None => self.used.push((*join_id, slot)),
        }
        match self.remembered.iter_mut().find(|(known, _)| known == join_id) {
            Some(remembered) => remembered.1 = now_slot,
            None => self.remembered.push((*join_id, now_slot)),
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

    /// Put a knock into the inbox of the token's circuit, or return why not. slot: of the cell that brought it.
    pub fn knock(&mut self, hops: &mut Hops, index: HopIndex, slot: i64, now: Micros, payload: &[u8]) -> Option<DropReason> {
        let now_slot = now / SLOT_US;
        let (token, join_id) = (*payload.first_chunk::<16>()?, *payload.get(16..)?.first_chunk::<16>()?);
        if at(hops, index)?.forward_due().is_none() {
            return Some(DropReason::KnockUnsettled);
        }
        if at(hops, index)?.splice.is_some() {
            // The late repetitions of a knock that was answered: they would take slots of the call.
            return Some(DropReason::KnockSpliced);
        }
        let target = match self.tokens.get(&token) {
            Some(target) if *target != index => *target,
            Some(_) | None => return Some(DropReason::UnknownToken),
        };
        if !at(hops, index)?.knock_limit.allows(slot, &join_id) {
            return Some(DropReason::KnockLimit);
        }
        self.expire(hops, index, now_slot);
        let known = self.remembered(hops, &join_id, now_slot);
        let hop = at(hops, index)?;
        if known.is_some_and(|knocker| knocker != index) || (known.is_none() && hop.knock_limit.remembered.len() == KNOCKS_PER_CIRCUIT) {
            return Some(DropReason::KnockLimit);
        }
        hop.knock_limit.note(slot, now_slot, &join_id);
        self.knocks.insert(join_id, index);
        (!at(hops, target)?.put_knocked(payload)).then_some(DropReason::SpeechFull)
    }

    /// Splice the circuit of the knock with this one, or return why not.
    pub fn join(&mut self, hops: &mut Hops, index: HopIndex, now: Micros, payload: &[u8]) -> Option<DropReason> {
        let join_id = *payload.first_chunk::<16>()?;
        if at(hops, index)?.splice.as_ref().is_some_and(|splice| splice.join_id == join_id) {
            return None;
        }
        let Some(mate) = self.remembered(hops, &join_id, now / SLOT_US) else { return Some(DropReason::UnknownJoin) };
        let offsets = (self.offset(hops, index, mate), self.offset(hops, mate, index));
        let (Some(own_offset), Some(mate_offset), true) = (offsets.0, offsets.1, index != mate) else { return Some(DropReason::JoinNotFree) };
        if at(hops, index)?.splice.is_some() || at(hops, mate)?.splice.is_some() {
            return Some(DropReason::JoinNotFree);
        }
        self.forget_knock(hops, mate, &join_id);
        at(hops, index)?.join(Splice { join_id, mate, offset: own_offset });
        at(hops, mate)?.join(Splice { join_id, mate: index, offset: mate_offset });
        None
    }

    /// End the splice of this id, on both sides, or forget a knock of this circuit.
    pub fn part(&mut self, hops: &mut Hops, index: HopIndex, payload: &[u8]) {
        let Some(join_id) = payload.first_chunk::<16>() else { return };
        if at(hops, index).is_some_and(|hop| hop.splice.as_ref().is_some_and(|splice| splice.join_id == *join_id)) {
            unsplice(hops, index);
        } else if self.knocks.get(join_id) == Some(&index) {
            self.forget_knock(hops, index, join_id);
        }
    }

    /// Drop all that stands for a circuit that ends.
    pub fn forget(&mut self, hops: &mut Hops, index: HopIndex) {
        self.forget_tokens(hops, index);
        if let Some(hop) = at(hops, index) {
            for (join_id, _) in std::mem::take(&mut hop.knock_limit.remembered) {
                self.knocks.remove(&join_id);
            }
        }
        unsplice(hops, index);
    }

    /// Return the number constant of a circuit: the body of the mate that is due last before this circuit's next slot.
    fn offset(&self, hops: &mut Hops, index: HopIndex, mate: HopIndex) -> Option<i64> {
        let (slot, _) = at(hops, index)?.head()?;
        at(hops, index)?.forward_due()?;
        let leaves_us = SLOT * slot + self.phase_us;
        Some(slot - at(hops, mate)?.forward_due()?.last_slot(leaves_us))
    }

    /// Return who knocked with this id, where that is still remembered.
    fn remembered(&mut self, hops: &mut Hops, join_id: &JoinId, now_slot: u64) -> Option<HopIndex> {
        let knocker = *self.knocks.get(join_id)?;
        self.expire(hops, knocker, now_slot);
        self.knocks.get(join_id).copied()
    }

    fn expire(&mut self, hops: &mut Hops, index: HopIndex, now_slot: u64) {
        let Some(hop) = at(hops, index) else { return };
        let knocks = &mut self.knocks;
        hop.knock_limit.remembered.retain(|(join_id, last)| {
            let living = now_slot.saturating_sub(*last) <= KNOCK_LIFE_SLOTS;
            if !living {
                knocks.remove(join_id);
            }
            living
        });
    }

    fn forget_knock(&mut self, hops: &mut Hops, index: HopIndex, join_id: &JoinId) {
        self.knocks.remove(join_id);
        if let Some(hop) = at(hops, index) {
            hop.knock_limit.remembered.retain(|(known, _)| known != join_id);
        }
    }
}

fn at(hops: &mut Hops, index: HopIndex) -> Option<&mut Hop> {
    hops.get_mut(index as usize)?.as_deref_mut()
}

fn unsplice(hops: &mut Hops, index: HopIndex) {
    if let Some(splice) = at(hops, index).and_then(|hop| hop.splice.take()) {
        if let Some(mate) = at(hops, splice.mate) {
            mate.splice = None;
        }
    }
}
