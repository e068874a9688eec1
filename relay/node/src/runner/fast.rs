//! Fast cells leave: in trains, one after the other, and after each the cells of slots that are due (PROTOCOL.md §13.3).

use voicebox_dtls::RECORD_OCTETS;

use super::Runner;
use crate::counters::Counter;
use crate::datagrams::{send_all, Parcel, MAX_TRAIN};
use crate::schedule::Record;

/// Trains that leave in one go, before sockets are looked at again.
const TRAINS_A_TURN: usize = 8;
/// A box sends none so long before a cell of a slot leaves: some two trains' work. A relay, which sends all the time, sends what is due after each.
const CLEAR_US: u64 = 250;

/// Fast cells of one stretch of time, of all links: 34 MB/s of octets. A slot's cell is sealed up to 1 ms before it leaves, and whoever gets it drops what comes behind
/// 256 later records (PROTOCOL.md §2.3): of fast ones at most 240 are sealed in any 1 ms, which touches three stretches.
const STRETCH_US: u64 = 500;
const CELLS_A_STRETCH: usize = 80;

/// What may still leave in this stretch of time.
#[derive(Default)]
pub(super) struct Allowance {
    stretch: u64,
    used: usize,
}

impl Allowance {
    fn left(&mut self, now: u64) -> usize {
        if self.stretch != now / STRETCH_US {
            *self = Self { stretch: now / STRETCH_US, used: 0 };
        }
        CELLS_A_STRETCH - self.used
    }

    /// From when on something may leave.
    const fn next(&self) -> u64 {
        if self.used < CELLS_A_STRETCH {
            0
        } else {
            (self.stretch + 1) * STRETCH_US
        }
    }
}

impl Runner {
    /// When there may be fast cells to send.
    pub(super) fn next_fast(&self) -> Option<u64> {
        let next = self.core.next_fast_us()?.max(self.allowance.next());
        // While a slot's cell is nearly due nothing leaves before it.
        Some(self.schedule.next_cell().filter(|&at| self.is_box && at <= next.saturating_add(CLEAR_US)).map_or(next, |at| at.max(next)))
    }

    /// Send fast cells, as many as may leave now.
    pub(super) fn send_fast(&mut self) {
        for _ in 0..TRAINS_A_TURN {
            let now = self.clock.now();
            let is_clear = !self.is_box || self.schedule.next_cell().is_none_or(|at| at > now + CLEAR_US);
            if !is_clear || self.core.next_fast_us().is_none_or(|at| at > now) {
                return;
            }
            let most = self.allowance.left(now).min(MAX_TRAIN);
            if most == 0 {
                return;
            }
            let mut train = Vec::with_capacity(most);
            while train.len() < most {
                let Some((link, cell)) = self.core.poll_fast(now) else { break };
                let mut octets = [0; RECORD_OCTETS];
                match self.links.seal(now, link.0, &cell, &mut octets) {
                    Ok(socket) => train.push(Record { at: now, socket, link: link.0, octets }),
                    Err(reason) => self.counters.add(reason),
                }
            }
            self.allowance.used += train.len();
            self.send_train(&mut train);
            self.send_due(self.clock.now());
        }
    }

    /// Send cells in the order of each link's: what is out of order is taken for lost.
    fn send_train(&mut self, train: &mut [Record]) {
        train.sort_by_key(|record| (record.socket, record.link));
        for run in train.chunk_by(|one, other| one.link == other.link) {
            let (Some(socket), Some(to)) = (self.sockets.get(&run[0].socket), self.links.peer(run[0].link)) else { continue };
            let octets: Vec<&[u8]> = run.iter().map(|record| record.octets.as_slice()).collect();
            let refused = send_all(socket, &[Parcel { octets: &octets, to }], &mut self.trains);
            self.counters.add_many(Counter::CellsOut, run.len() as u64 - refused);
            self.counters.add_many(Counter::SendRefused, refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, CELLS_A_STRETCH};

    #[test]
    fn no_millisecond_has_as_many_fast_cells_as_records_come_out_of_order() {
        let (mut allowance, mut left) = (Allowance::default(), Vec::new());
        for now in 7_000..17_000 {
            let most = allowance.left(now).min(60);
            allowance.used += most;
            left.extend(std::iter::repeat_n(now, most));
            assert!(most > 0 || allowance.next() > now);
        }
        assert_eq!(left.len(), 20 * CELLS_A_STRETCH);
        assert!((7_000..16_000).all(|from| left.iter().filter(|at| (from..=from + 1_000).contains(*at)).count() < 256));
    }
}
