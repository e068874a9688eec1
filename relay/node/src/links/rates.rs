//! How many cells a link, or all links together, may bring and be sent (PROTOCOL.md §6.3, §13.6).

use voicebox_core::cell::circuit_of;

use crate::bucket::Bucket;

/// Cells a second that a circuit may have in one direction: 50, and room for clocks and what is said when it is made.
const CIRCUIT_PER_S: u64 = 60;

/// What a cell is counted as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a slot.
    Slot,
    /// A fast one.
    Fast,
}

impl Kind {
    pub(super) const fn of(cell: &[u8; 256]) -> Self {
        if circuit_of(cell).is_fast() {
            Self::Fast
        } else {
            Self::Slot
        }
    }
}

/// One way of it: cells of slots have a rate; fast ones have what a limit on all leaves, where there is one.
pub(super) struct Rate {
    slots: Bucket,
    all: Option<Bucket>,
}

impl Rate {
    /// Count a cell; false where there are too many. A slot's cell is never held back by fast ones, only they by it.
    pub(super) fn take(&mut self, now: u64, kind: Kind) -> bool {
        match kind {
            Kind::Slot => {
                let taken = self.slots.take(now);
                if let Some(all) = self.all.as_mut().filter(|_| taken) {
                    all.charge(now);
                }
                taken
            }
            Kind::Fast => self.all.as_mut().is_none_or(|all| all.take(now)),
        }
    }
}

/// Cells in and out: of the preceding hop, of the next hop, or, of all links, overall.
pub(super) struct Rates {
    pub(super) came: Rate,
    pub(super) left: Rate,
}

impl Rates {
    /// Make room for so many circuits in each direction, and for link control.
    pub(super) fn new(now: u64, circuits: u64) -> Self {
        let per_s = CIRCUIT_PER_S * circuits.max(1);
        let rate = || Rate { slots: Bucket::new(now, per_s), all: None };
        Self { came: rate(), left: rate() }
    }

    /// Let no more than so many cells a second pass of all kinds, as far as fast ones can give way.
    pub(super) fn limit(&mut self, per_s: Option<u64>) {
        for rate in [&mut self.came, &mut self.left] {
            rate.all = per_s.map(|per_s| Bucket::new(0, per_s.max(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Rates};

    #[test]
    fn fast_cells_have_what_the_limit_leaves_and_slots_never_wait_for_them() {
        let mut rates = Rates::new(0, 10);
        rates.limit(Some(1_000));
        let (mut fast, mut slots) = (0, 0);
        for tick in 0..100_000u64 {
            fast += u32::from(rates.left.take(tick * 100, Kind::Fast));
            if tick % 20 == 0 {
                slots += u32::from(rates.left.take(tick * 100, Kind::Slot)); // 500 a second
            }
        }
        assert_eq!(slots, 5_000);
        assert!((5_900..=11_000 - slots + 200).contains(&fast), "{fast} in 10 s, of 1 000 a second and a second's worth at once");
        let mut rates = Rates::new(0, 1);
        assert!((0..100_000).all(|_| rates.came.take(0, Kind::Fast)), "without a limit nothing is counted");
    }
}
