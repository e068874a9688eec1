//! The plan of a run, a line each:
//!
//! ```text
//! seed N                                  of all randomness
//! wire access|relay DELAY_US JITTER_US LOSS_PER_MILLION
//! relay DRIFT_PPB                         nodes are numbered in the order of their lines
//! box DRIFT_PPB PHONE_DRIFT_PPB [metered]
//! circuit BOX RELAY... [later]            circuits too, over one to four relays, the last as junction; `later`: stands only when built
//! at US call A B JOIN_ID                  circuit A calls circuit B
//! at US end A B JOIN_ID
//! at US build C | close C
//! at US tamper C DELAY_US DROP FLIP REPLAY_US   on the way from the box of circuit C to its guard, until the next such line
//! at US frames C on|off                   the phone of circuit C speaks in its calls, or sends nothing
//! at US switch fill_off|pass_through|chaff_off|free_tick|stepped_tick|dtx|xor_stream|phone_clock on|off
//! record FROM_US UNTIL_US                 several may stand; below 0: before all circuits stood
//! watch FROM TO                           record what these nodes send to each other only; several may stand. 65535: a node's phone, whose frames are
//!                                         recorded towards the node only where this asks for it
//! until US
//! ```
//!
//! `at` counts from the moment when all circuits stand. A mark of delay or loss belongs to whoever is on the wire: no node has a part in it.

use crate::wire::{Tamper, Wire};
use voicebox_core::lab::Switch;

/// Hops of a circuit, at most: an owner has layers for no more.
const MAX_HOPS: usize = 4;

/// Something to be done.
#[derive(Clone, Copy)]
pub enum Act {
    Call(usize, usize, u8),
    End(usize, usize, u8),
    Build(usize),
    Close(usize),
    Tamper(usize, Tamper),
    Frames(usize, bool),
    Switch(Switch, bool),
}

/// A node: its clocks, in parts per thousand million, and whether its own circuits are metered.
#[derive(Clone, Copy)]
pub struct NodePlan {
    pub node_ppb: i64,
    pub phone_ppb: i64,
    pub metered: bool,
}

/// A circuit, by the numbers of its nodes. relays: from the box on, the last is the junction.
pub struct Path {
    pub node: usize,
    pub relays: Vec<usize>,
    pub later: bool,
}

/// The whole plan.
#[derive(Default)]
pub struct Plan {
    pub seed: u64,
    pub access: Wire,
    pub relay: Wire,
    pub nodes: Vec<NodePlan>,
    pub circuits: Vec<Path>,
    pub acts: Vec<(u64, Act)>,
    pub windows: Vec<(i64, i64)>,
    pub watched: Vec<(usize, usize)>,
    pub until: u64,
}

/// Read a plan, or say which line is none.
pub fn parse_plan(text: &str) -> Result<Plan, String> {
    let mut plan = Plan::default();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        line_of(&mut plan, &words).ok_or_else(|| format!("line {}: {line}", index + 1))?;
    }
    plan.acts.sort_by_key(|(at, _)| *at);
    let nodes = plan.nodes.len();
    let known = plan.circuits.iter().all(|path| path.node < nodes && path.relays.iter().all(|relay| *relay < nodes));
    known.then_some(plan).ok_or_else(|| "a circuit through a node that is not there".to_owned())
}

fn line_of(plan: &mut Plan, words: &[&str]) -> Option<()> {
    match words {
        [] => {}
        ["seed", seed] => plan.seed = number(seed)?,
        ["wire", which, delay, jitter, loss] => {
            let wire = Wire { delay_us: number(delay)?, jitter_us: number(jitter)?, loss_per_million: number(loss)? };
            match *which {
                "access" => plan.access = wire,
                "relay" => plan.relay = wire,
                _ => return None,
            }
        }
        ["relay", drift] => plan.nodes.push(NodePlan { node_ppb: number(drift)?, phone_ppb: 0, metered: false }),
        ["box", drift, phone] => plan.nodes.push(NodePlan { node_ppb: number(drift)?, phone_ppb: number(phone)?, metered: false }),
        ["box", drift, phone, "metered"] => plan.nodes.push(NodePlan { node_ppb: number(drift)?, phone_ppb: number(phone)?, metered: true }),
        ["circuit", node, relays @ .., "later"] => plan.circuits.push(path_of(node, relays, true)?),
        ["circuit", node, relays @ ..] => plan.circuits.push(path_of(node, relays, false)?),
        ["at", at, act @ ..] => {
            let act = act_of(plan.circuits.len(), act)?;
            plan.acts.push((number(at)?, act));
        }
        ["record", from, until] => plan.windows.push((number(from)?, number(until)?)),
        ["watch", from, to] => plan.watched.push((number(from)?, number(to)?)),
        ["until", until] => plan.until = number(until)?,
        _ => return None,
    }
    Some(())
}

fn path_of(node: &str, relays: &[&str], later: bool) -> Option<Path> {
    let relays = relays.iter().map(|word| number(word)).collect::<Option<Vec<usize>>>()?;
    (1..=MAX_HOPS).contains(&relays.len()).then_some(Path { node: number(node)?, relays, later })
}

fn act_of(circuits: usize, words: &[&str]) -> Option<Act> {
    let circuit = |word: &&str| number::<usize>(word).filter(|index| *index < circuits);
    match words {
        ["call", a, b, id] => Some(Act::Call(circuit(a)?, circuit(b)?, number(id)?)),
        ["end", a, b, id] => Some(Act::End(circuit(a)?, circuit(b)?, number(id)?)),
        ["build", c] => Some(Act::Build(circuit(c)?)),
        ["close", c] => Some(Act::Close(circuit(c)?)),
        ["tamper", c, delay, drop, flip, replay] => {
            let tamper = Tamper { delay_us: number(delay)?, drop: *drop == "1", flip: *flip == "1", replay_us: number(replay)? };
            Some(Act::Tamper(circuit(c)?, tamper))
        }
        ["frames", c, state] => Some(Act::Frames(circuit(c)?, *state == "on")),
        ["switch", name, state] => {
            let switch = match *name {
                "fill_off" => Switch::FillOff,
                "pass_through" => Switch::PassThrough,
                "chaff_off" => Switch::ChaffOff,
                "free_tick" => Switch::FreeTick,
                "dtx" => Switch::Dtx,
                "xor_stream" => Switch::XorStream,
                "stepped_tick" => Switch::SteppedTick,
                "phone_clock" => Switch::PhoneClock,
                _ => return None,
            };
            Some(Act::Switch(switch, *state == "on"))
        }
        _ => None,
    }
}

fn number<N: std::str::FromStr>(word: &str) -> Option<N> {
    word.parse().ok()
}
