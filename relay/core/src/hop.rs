//! A circuit at a relay: takes a layer off forward, puts one on backward, hears its owner, fills its slots (PROTOCOL.md §5.3 to §6.4).
//!
//! 1. accept: the hop says `created` outside the layers.
//! 2. The first cell that does not begin with zeros opens it.
//! 3. `extend` names the next hop, which is asked with `create` (none, asked, making, live; lost when its link is gone).
//! 4. `settle` fixes the due times.
//!
//! A hop without a live next is the head of the backward direction. Driven by [`crate::relay`]: cells, turns of the wheel, answers of the control
//! plane. It ends there, also when [`Hop::hear`] says that the owner broke the protocol. Not here: tokens, knocks, splices ([`crate::junction`]).

mod backward;
mod extending;
mod fast;
mod forward;
mod speaking;

use crate::cell::Body;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::ids::{slot_from, CircId, LinkId, Micros};
use crate::junction::{Bond, KnockLimit, Splice};
use crate::layer::Layer;
use crate::slots::{Due, Ring, Settling, COMPOSE_US, SLOT};
use crate::speech::{Carousel, Collector, Kind, CREATED_OCTETS};
use std::collections::VecDeque;

use fast::FastHop;

/// Other cells between two of a hop's own messages: at most one slot in four is stolen once it is settled, for then all have one fragment.
const SPEECH_SPACING: u32 = 3;
/// Likewise before a fragment of the answer to a question, which has nine: beside sound each is heard from its copy in the cell after it.
const ANSWERED_SPACING: u32 = 2;
/// Likewise before a knock that is delivered to a circuit that is bound: each takes a slot of the call.
const BOUND_SPACING: u32 = 49;

/// A circuit's name at a node: link, and the circuit's number there.
pub type Place = (LinkId, CircId);

/// What a relay is in a circuit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// At the far end of a box's access link.
    Guard,
    /// Between two relays.
    Middle,
    /// Where circuits end and are spliced.
    Junction,
}

/// The hop behind.
pub enum Next {
    /// There is none.
    None,
    /// The control plane has the owner's extend.
    Asked,
    /// A create is being said.
    Making {
        /// Where.
        behind: Place,
        /// What is left to say.
        create: Box<Carousel>,
        /// What came of the answer.
        answer: Box<Collector>,
        /// Fragments said.
        said: u32,
        /// When the next one leaves.
        at_us: i64,
    },
    /// Cells go on to it.
    Live(Place),
    /// Its link is gone: forward cells are swallowed, a guard goes on filling.
    Lost,
}

/// The forward direction.
enum Forward {
    /// Cells go on when they come; perhaps 50 of them are being measured.
    Unsettled(Option<Settling>),
    /// Cells go on when they are due; `None` where nothing goes on any more, or ever did.
    Settled { due: Due, ring: Ring, at_us: Option<i64> },
}

/// The backward direction.
enum Backward {
    /// This hop sets the numbers; slot and time of the next cell.
    Head { slot: i64, at_us: i64 },
    /// The cells of the hop behind go on when they come.
    Passing,
    /// At a guard: they wait for the tick; perhaps 50 of them are being measured.
    Queue { waiting: VecDeque<(i64, Body)>, settling: Option<Settling>, returned: Option<i64> },
    /// At a guard: they wait for their due times, which are the tick.
    Settled { due: Due, ring: Ring },
}

/// What a hop answers until the next question; due: so many fragments of it are still to be said.
struct Answer {
    carousel: Carousel,
    due: u8,
}

impl Answer {
    /// Begin to give an answer; all of ours are short enough.
    fn new(kind: Kind, number: u16, payload: Vec<u8>) -> Option<Self> {
        Carousel::new(kind as u8, number, payload).map(|carousel| Self { due: carousel.count(), carousel })
    }
}

/// What the owner wants of the node.
pub enum Request {
    /// Ask the control plane to lengthen the circuit.
    Extend(Vec<u8>),
    /// Keep these tokens.
    Tokens(Vec<u8>),
    /// Deliver a knock.
    Knock(Vec<u8>),
    /// Splice.
    Join(Vec<u8>),
    /// End a splice.
    Part(Vec<u8>),
    /// Ask the holders of a record, under the number of the question.
    Ask(u16, Vec<u8>),
}

/// The owner broke the protocol inside the layer: the circuit ends (PROTOCOL.md §6.4).
pub struct BrokeProtocol;

/// A forward cell that was taken.
pub struct Taken {
    /// The body without this hop's layer.
    pub body: Body,
    /// Whether it has a place in its direction; else it was taken for what it says to this hop alone.
    in_time: bool,
    /// Where this was the last of the measured cells: the base of the due times.
    base_us: Option<i64>,
}

/// What a circuit is accepted with.
#[derive(Clone, Copy)]
pub struct Accepted<'a> {
    /// Of the layers, forward and backward.
    pub keys: [&'a [u8; 16]; 2],
    /// The answer to the create.
    pub created: &'a [u8; CREATED_OCTETS],
    /// The number of the create that is answered.
    pub create_number: u16,
    /// The de-jitter steps, forward and backward.
    pub steps_us: [i64; 2],
    /// The relay's own phase, at which a head sends.
    pub phase_us: i64,
}

/// One circuit at this relay.
pub struct Hop {
    /// The order of accepts.
    pub serial: u64,
    /// The place towards the owner.
    pub before: Place,
    /// What this relay is in the circuit.
    pub role: Role,
    /// The hop behind.
    pub next: Next,
    /// When the last cell from before came.
    pub last_cell_us: Micros,
    /// Junction: what this circuit is joined to.
    pub splice: Option<Splice>,
    /// Junction: what it knocked or joined with last.
    pub bond: Option<Bond>,
    /// Junction: what this circuit may knock.
    pub knock_limit: KnockLimit,
    /// Junction: the tokens its owner left.
    pub tokens: Box<[[u8; 16]]>,
    /// Slots from one of its cells to the next (PROTOCOL.md §5.7).
    pub stride: i64,
    /// The de-jitter steps, forward and, at a guard, backward.
    steps_us: [i64; 2],
    forward_layer: Layer,
    backward_layer: Layer,
    forward: Forward,
    backward: Backward,
    fast: Option<Box<FastHop>>,
    open: bool,
    collector: Collector,
    asked_number: u16,
    answer: Option<Answer>,
    knocked: Option<Box<Body>>,
    knocked_count: u16,
    since_speech: u32,
    /// The greatest number that was taken from before.
    taken_slot: Option<i64>,
    earliest_us: Option<i64>,
}

impl Hop {
    /// Become a hop at `now`.
    #[must_use]
    pub fn new(serial: u64, before: Place, role: Role, accepted: &Accepted<'_>, now: Micros) -> Self {
        let Accepted { keys, created, create_number, steps_us, phase_us } = *accepted;
        let stride = before.1.stride();
        let (slot, at_us) = next_own_slot(now, phase_us, stride);
        let backward = match role {
            Role::Guard => Backward::Queue { waiting: VecDeque::new(), settling: None, returned: None },
            Role::Middle | Role::Junction => Backward::Head { slot, at_us },
        };
        Self {
            serial,
            before,
            role,
            next: Next::None,
            last_cell_us: now,
            splice: None,
            bond: None,
            knock_limit: KnockLimit::default(),
            tokens: Box::default(),
            stride,
            steps_us,
            forward_layer: Layer::new(keys[0]),
            backward_layer: Layer::new(keys[1]),
            forward: Forward::Unsettled(None),
            backward,
            fast: None,
            open: false,
            collector: Collector::default(),
            asked_number: 0,
            answer: Answer::new(Kind::Created, create_number, created.to_vec()),
            knocked: None,
            knocked_count: 0,
            since_speech: SPEECH_SPACING,
            taken_slot: None,
            earliest_us: None,
        }
    }

    /// Return by how much a cell comes later than the earliest of its settled direction; `None` where that is not settled. forward: it comes from before.
    #[must_use]
    pub fn late_us(&self, forward: bool, slot: i64, now: Micros) -> Option<i64> {
        let (due, step_us) = match (forward, &self.forward, &self.backward) {
            (true, Forward::Settled { due, .. }, _) => (due, self.steps_us[0]),
            (false, _, Backward::Settled { due, .. }) => (due, self.steps_us[1]),
            (true, Forward::Unsettled(_), _) | (false, _, Backward::Head { .. } | Backward::Passing | Backward::Queue { .. }) => return None,
        };
        Some(now as i64 - due.time_us(slot) + step_us)
    }

    /// The forward step as `phased` and `settled` say it.
    fn step_in_10_us(&self) -> [u8; 2] {
        ((self.steps_us[0] / 10) as u16).to_be_bytes() // at most 4 000
    }

    /// Return the place behind, while there is one.
    #[must_use]
    pub const fn behind(&self) -> Option<Place> {
        match &self.next {
            Next::Making { behind, .. } | Next::Live(behind) => Some(*behind),
            Next::None | Next::Asked | Next::Lost => None,
        }
    }
}

/// Return slot and time of the relay's own next slot (PROTOCOL.md §5.4) in which a circuit of this stride has a cell.
fn next_own_slot(now: Micros, phase_us: i64, stride: i64) -> (i64, i64) {
    let slot = slot_from((now as i64 + COMPOSE_US - phase_us).div_euclid(SLOT) + 1, stride);
    (slot, SLOT * slot + phase_us)
}

/// Say whether a time is of the same phase.
const fn is_phase(at_us: i64, due_us: i64) -> bool {
    (at_us - due_us).rem_euclid(SLOT) == 0
}

/// Say whether it is the turn of what is due at `at_us`, and if so move that to the circuit's next slot. After a stall the turns in between are left out.
fn is_turn(at_us: &mut i64, due_us: i64, stride: i64) -> bool {
    let turn = *at_us <= due_us && (due_us - *at_us) % (stride * SLOT) == 0;
    if turn {
        *at_us = due_us + stride * SLOT;
    }
    turn
}

/// Fill a hole with random octets under its number (PROTOCOL.md §5.3).
fn fill(context: &mut Context<'_>) -> Body {
    context.count(DropReason::Filled);
    context.random_body()
}
