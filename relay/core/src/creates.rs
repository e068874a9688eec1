//! Creates that are being collected on a link, or were asked about and not yet answered (PROTOCOL.md §6.1, §6.3).
//!
//! Outside the layers nothing ends a circuit: what does not fit is dropped and counted. Driven by [`crate::relay`].

use crate::cell::{shows_zeros, Body};
use crate::drop_reason::DropReason;
use crate::ids::{Micros, SLOT_US};
use crate::io::LinkKind;
use crate::keyed_map::{HashKey, KeyedMap};
use crate::speech::{parse_speech, Collected, Collector, Kind};

/// A create lives so long, whatever becomes of it.
const CREATE_LIFE_US: u64 = 512 * SLOT_US;

/// One of them.
struct Create {
    began_us: Micros,
    collector: Collector,
    refusal: Option<u8>,
}

/// What a cell on a number that is not in use leads to.
pub enum Heard {
    /// Nothing.
    Nothing,
    /// The control plane is asked about this handshake.
    Ask(Vec<u8>),
    /// A refusal is said again, to the create of this number.
    Refuse {
        /// The number.
        number: u16,
        /// Why.
        reason: u8,
    },
}

/// All creates of one link.
pub struct Creates {
    bound: usize,
    creates: KeyedMap<u32, Create>,
}

impl Creates {
    /// Begin with none.
    #[must_use]
    pub fn new(kind: LinkKind, key: HashKey) -> Self {
        let bound = match kind {
            LinkKind::AccessOwner => 0,
            LinkKind::AccessGuard => 8,
            LinkKind::Relay => 256,
        };
        Self { bound, creates: key.map() }
    }

    /// Return how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.creates.len()
    }

    /// Say whether one is on this number.
    #[must_use]
    pub fn has(&self, circuit: u32) -> bool {
        self.creates.contains_key(&circuit)
    }

    /// Take a cell on a number that is not in use. room: whether the relay may have another circuit.
    pub fn take(&mut self, circuit: u32, body: &Body, now: Micros, room: bool) -> Result<Heard, DropReason> {
        if !shows_zeros(body) {
            return Err(DropReason::UnknownCircuit);
        }
        let speech = parse_speech(body).ok_or(DropReason::SpeechMalformed)?;
        if speech.kind != Kind::Create as u8 {
            return Err(DropReason::UnknownCircuit);
        }
        let count = self.creates.len();
        let create = match self.creates.entry(circuit) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(_) if count >= self.bound => return Err(DropReason::CreatesFull),
            std::collections::hash_map::Entry::Vacant(_) if !room => return Err(DropReason::CircuitsFull),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Create { began_us: now, collector: Collector::default(), refusal: None }),
        };
        match create.collector.add(&speech) {
            Collected::Stale => Err(DropReason::SpeechStale),
            Collected::Misfit => Err(DropReason::SpeechMalformed),
            Collected::Partial => {
                create.refusal = None;
                Ok(Heard::Nothing)
            }
            Collected::Again => Ok(create.refusal.map_or(Heard::Nothing, |reason| Heard::Refuse { number: speech.number, reason })),
            Collected::Whole(handshake) => {
                create.refusal = None;
                Ok(Heard::Ask(handshake))
            }
        }
    }

    /// Take out a create that is accepted; return its number, or `None` where none waits for an answer.
    pub fn accept(&mut self, circuit: u32) -> Option<u16> {
        self.waiting(circuit)?;
        self.creates.remove(&circuit)?.collector.number()
    }

    /// Refuse a create: each further fragment of it is answered. `None` where none waits for an answer.
    pub fn refuse(&mut self, circuit: u32, reason: u8) -> Option<()> {
        self.waiting(circuit)?.refusal = Some(reason);
        Some(())
    }

    fn waiting(&mut self, circuit: u32) -> Option<&mut Create> {
        self.creates.get_mut(&circuit).filter(|create| create.collector.is_whole() && create.refusal.is_none())
    }

    /// Forget those that have lived long enough.
    pub fn expire(&mut self, now: Micros) {
        self.creates.retain(|_, create| now - create.began_us < CREATE_LIFE_US);
    }
}
