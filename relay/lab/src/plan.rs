//! What the wire is told at its start, in lines of text (`tools/lab/wire.py` writes them):
//!
//! `node INTERFACE ADDRESS`, numbered from 0 in this order; `wire FROM TO [KEY=NUMBER ...]`, one direction, with the keys of `Impairments`;
//! `outage FROM TO FROM_US FOR_US`; `seed NUMBER`; and at the end `go`. Nodes without a wire between them do not reach each other.

use std::net::Ipv4Addr;

use crate::wire::{Impairments, Outage};

const MAX_NODES: usize = 1_024;

/// One direction between two nodes.
pub(crate) struct Direction {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) impairments: Impairments,
    pub(crate) outages: Vec<Outage>,
}

#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<(String, Ipv4Addr)>,
    pub(crate) directions: Vec<Direction>,
}

impl Plan {
    /// Take lines up to `go`.
    pub(crate) fn read(lines: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self::default();
        for line in lines {
            if line == "go" {
                return Ok(plan);
            }
            plan.take(&line).ok_or_else(|| format!("not understood: {line}"))?;
        }
        Err("ended before `go`".into())
    }

    fn take(&mut self, line: &str) -> Option<()> {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["seed", seed] => self.seed = seed.parse().ok()?,
            ["node", interface, address] if self.nodes.len() < MAX_NODES => self.nodes.push(((*interface).into(), address.parse().ok()?)),
            ["wire", from, to, given @ ..] => {
                let (from, to) = self.ends(from, to)?;
                let mut impairments = Impairments::default();
                for pair in given {
                    let (key, number) = pair.split_once('=')?;
                    *field(&mut impairments, key)? = number.parse().ok()?;
                }
                self.directions.push(Direction { from, to, impairments, outages: Vec::new() });
            }
            ["outage", from, to, begins, lasts] => {
                let (from, to) = self.ends(from, to)?;
                let outage = Outage { from_us: begins.parse().ok()?, for_us: lasts.parse().ok()? };
                self.directions.iter_mut().find(|wire| (wire.from, wire.to) == (from, to))?.outages.push(outage);
            }
            _ => return None,
        }
        Some(())
    }

    fn ends(&self, from: &str, to: &str) -> Option<(usize, usize)> {
        let number = |text: &str| text.parse().ok().filter(|number| *number < self.nodes.len());
        Some((number(from)?, number(to)?))
    }
}

fn field<'a>(of: &'a mut Impairments, key: &str) -> Option<&'a mut u64> {
    Some(match key {
        "delay_us" => &mut of.delay_us,
        "jitter_us" => &mut of.jitter_us,
        "loss_ppm" => &mut of.loss_ppm,
        "burst_begin_ppm" => &mut of.burst_begin_ppm,
        "burst_end_ppm" => &mut of.burst_end_ppm,
        "burst_loss_ppm" => &mut of.burst_loss_ppm,
        "reorder_ppm" => &mut of.reorder_ppm,
        "reorder_us" => &mut of.reorder_us,
        "rate_kbit" => &mut of.rate_kbit,
        "queue_us" => &mut of.queue_us,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Plan;

    fn read(text: &str) -> Result<Plan, String> {
        Plan::read(text.lines().map(str::to_string))
    }

    #[test]
    fn a_plan_is_read_whole() {
        let text = "seed 9\nnode a 10.0.0.1\nnode b 10.0.0.2\nwire 0 1 delay_us=19000 loss_ppm=2500\nwire 1 0\noutage 0 1 5 6\ngo\nnode";
        let plan = read(text).expect("it is one");
        assert_eq!((plan.seed, plan.nodes.len(), plan.directions.len()), (9, 2, 2));
        let first = &plan.directions[0];
        assert_eq!((first.impairments.delay_us, first.impairments.loss_ppm, first.outages[0].for_us), (19_000, 2_500, 6));
    }

    #[test]
    fn what_is_no_plan_is_refused_with_its_line() {
        for wrong in ["wire 0 1", "node a 10.0.0", "node a 10.0.0.1\nwire 0 0 speed=1", "node a 10.0.0.1\nwire 0 0 delay_us=-1", "outage 0 0 1 1", "x"] {
            let last = wrong.lines().last().expect("a line");
            assert_eq!(read(&format!("{wrong}\ngo")).err(), Some(format!("not understood: {last}")));
        }
        assert_eq!(read("seed 1").err(), Some("ended before `go`".into()));
    }
}
