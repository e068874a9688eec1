//! One direction between two nodes: when does a datagram come out, if it does? Without clock or socket.
//!
//! Each datagram takes the same number of random values whatever becomes of it, so the fate of the n-th over a wire depends on the seed
//! alone, but for outages and rate, which depend on time. Times are nanoseconds of one clock.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

const NS_PER_US: u64 = 1_000;
/// The 99.9th percentile of a gamma distribution of shape 2 and scale 1.
const GAMMA_2_P999: f64 = 9.233_413;

/// What a wire does to what passes; all zero: nothing. Shares are parts of a million.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Impairments {
    pub(crate) delay_us: u64,
    /// The extra delay that 99.9 % of the datagrams do not exceed; gamma distributed, shape 2.
    pub(crate) jitter_us: u64,
    pub(crate) loss_ppm: u64,
    /// Gilbert and Elliott: the share of datagrams at which a burst begins, at which it ends, and that are lost within.
    pub(crate) burst_begin_ppm: u64,
    pub(crate) burst_end_ppm: u64,
    pub(crate) burst_loss_ppm: u64,
    /// The share held back by `reorder_us`, so that others overtake it.
    pub(crate) reorder_ppm: u64,
    pub(crate) reorder_us: u64,
    /// Octets of IP leave at this rate; 0: at once.
    pub(crate) rate_kbit: u64,
    /// What would wait longer for the rate is lost.
    pub(crate) queue_us: u64,
}

/// A time within which all is lost, from the start of the wire on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) from_us: u64,
    pub(crate) for_us: u64,
}

/// The state of one direction.
pub(crate) struct Wire {
    impairments: Impairments,
    outages: Vec<Outage>,
    began_ns: u64,
    random: ChaCha8Rng,
    in_burst: bool,
    free_at_ns: u64,
    last_due_ns: u64,
}

impl Wire {
    /// `names`: distinguishes the wires of one seed.
    pub(crate) fn new(impairments: Impairments, seed: u64, names: [u32; 2], began_ns: u64) -> Self {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_be_bytes());
        octets[8..12].copy_from_slice(&names[0].to_be_bytes());
        octets[12..16].copy_from_slice(&names[1].to_be_bytes());
        let random = ChaCha8Rng::from_seed(octets);
        Self { impairments, outages: Vec::new(), began_ns, random, in_burst: false, free_at_ns: 0, last_due_ns: 0 }
    }

    pub(crate) fn add_outage(&mut self, outage: Outage) {
        self.outages.push(outage);
    }

    /// When a datagram that came at `now_ns` is to leave; None where it is lost.
    pub(crate) fn take(&mut self, now_ns: u64, ip_octets: usize) -> Option<u64> {
        let given = self.impairments;
        let lost = self.draws_loss();
        let jitter_ns = self.draw_jitter_ns();
        let held_back = self.happens(given.reorder_ppm);
        if lost || self.is_out(now_ns) {
            return None;
        }
        let sent_ns = self.pass_rate(now_ns, ip_octets)?;
        let due_ns = sent_ns + given.delay_us * NS_PER_US + jitter_ns;
        // Queues make jitter, and a queue keeps the order; only what is held back on purpose is overtaken.
        let in_order_ns = due_ns.max(self.last_due_ns);
        if held_back {
            return Some(in_order_ns + given.reorder_us * NS_PER_US);
        }
        self.last_due_ns = in_order_ns;
        Some(in_order_ns)
    }

    fn draws_loss(&mut self) -> bool {
        let turns = self.happens(if self.in_burst { self.impairments.burst_end_ppm } else { self.impairments.burst_begin_ppm });
        self.in_burst ^= turns;
        let (alone, within) = (self.happens(self.impairments.loss_ppm), self.happens(self.impairments.burst_loss_ppm));
        alone || (self.in_burst && within)
    }

    fn draw_jitter_ns(&mut self) -> u64 {
        let scale_ns = (self.impairments.jitter_us * NS_PER_US) as f64 / GAMMA_2_P999;
        let drawn = -(self.unit().ln() + self.unit().ln()) * scale_ns;
        drawn as u64
    }

    fn happens(&mut self, ppm: u64) -> bool {
        self.random.next_u64() % 1_000_000 < ppm
    }

    /// Above 0, to 1.
    fn unit(&mut self) -> f64 {
        ((self.random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn is_out(&self, now_ns: u64) -> bool {
        let since_us = now_ns.saturating_sub(self.began_ns) / NS_PER_US;
        self.outages.iter().any(|outage| since_us >= outage.from_us && since_us - outage.from_us < outage.for_us)
    }

    fn pass_rate(&mut self, now_ns: u64, ip_octets: usize) -> Option<u64> {
        if self.impairments.rate_kbit == 0 {
            return Some(now_ns);
        }
        let begins_ns = now_ns.max(self.free_at_ns);
        if begins_ns - now_ns > self.impairments.queue_us * NS_PER_US {
            return None;
        }
        self.free_at_ns = begins_ns + ip_octets as u64 * 8 * 1_000_000 / self.impairments.rate_kbit;
        Some(self.free_at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Impairments, Outage, Wire};

    const SLOT_NS: u64 = 20_000_000;
    const COUNT: u64 = 200_000;

    /// The delay of each of COUNT datagrams, one a slot; None: lost.
    fn delays(given: Impairments, seed: u64) -> Vec<Option<u64>> {
        let mut wire = Wire::new(given, seed, [1, 2], 0);
        (1..=COUNT).map(|slot| wire.take(slot * SLOT_NS, 306).map(|due| due - slot * SLOT_NS)).collect()
    }

    fn share(of: usize) -> f64 {
        of as f64 / COUNT as f64
    }

    #[test]
    fn nothing_is_done_to_a_clean_wire() {
        let mut wire = Wire::new(Impairments { delay_us: 19_000, ..Impairments::default() }, 1, [1, 2], 0);
        for now in [5, 5, 6, 1_000_000] {
            assert_eq!(wire.take(now, 306), Some(now + 19_000_000));
        }
    }

    #[test]
    fn a_seed_gives_the_same_fates_and_another_seed_or_wire_others() {
        let given = Impairments { jitter_us: 5_000, loss_ppm: 10_000, ..Impairments::default() };
        assert_eq!(delays(given, 7), delays(given, 7));
        assert_ne!(delays(given, 7), delays(given, 8));
        let mut back = Wire::new(given, 7, [2, 1], 0);
        let other: Vec<_> = (1..=COUNT).map(|slot| back.take(slot * SLOT_NS, 306).map(|due| due - slot * SLOT_NS)).collect();
        assert_ne!(delays(given, 7), other);
    }

    #[test]
    fn jitter_is_gamma_shaped_and_one_in_a_thousand_exceeds_it() {
        let found: Vec<u64> = delays(Impairments { jitter_us: 5_000, ..Impairments::default() }, 3).into_iter().flatten().collect();
        assert_eq!(found.len() as u64, COUNT);
        let beyond = share(found.iter().filter(|&&ns| ns > 5_000_000).count());
        assert!((0.0007..0.0013).contains(&beyond), "{beyond}");
        // Shape 2: the mean is two scales, and 59.4 % are below it.
        let mean = found.iter().sum::<u64>() as f64 / COUNT as f64;
        assert!((1_073_000.0..1_093_000.0).contains(&mean), "{mean}");
        let below = share(found.iter().filter(|&&ns| (ns as f64) < mean).count());
        assert!((0.588..0.600).contains(&below), "{below}");
    }

    #[test]
    fn loss_is_what_was_asked_for_alone_and_in_bursts() {
        let lost = |given| delays(given, 4).iter().filter(|delay| delay.is_none()).count();
        let alone = share(lost(Impairments { loss_ppm: 10_000, ..Impairments::default() }));
        assert!((0.0092..0.0108).contains(&alone), "{alone}");
        let given = Impairments { burst_begin_ppm: 2_000, burst_end_ppm: 200_000, burst_loss_ppm: 1_000_000, ..Impairments::default() };
        let found = delays(given, 5);
        let in_bursts = share(found.iter().filter(|delay| delay.is_none()).count());
        assert!((0.007..0.013).contains(&in_bursts), "2 in 202: {in_bursts}");
        let bursts = found.windows(2).filter(|pair| pair[0].is_some() && pair[1].is_none()).count();
        let length = in_bursts * COUNT as f64 / bursts as f64;
        assert!((4.0..6.0).contains(&length), "{length}");
    }

    #[test]
    fn only_what_is_held_back_is_overtaken() {
        let dues = |given| -> Vec<u64> {
            let mut wire = Wire::new(given, 6, [1, 2], 0);
            (1..=COUNT).filter_map(|place| wire.take(place * 100_000, 306)).collect()
        };
        let kept = dues(Impairments { jitter_us: 5_000, ..Impairments::default() });
        assert!(kept.windows(2).all(|pair| pair[0] <= pair[1]));
        let mixed = dues(Impairments { reorder_ppm: 10_000, reorder_us: 1_000, ..Impairments::default() });
        let overtaken = share(mixed.windows(2).filter(|pair| pair[0] > pair[1]).count());
        assert!((0.009..0.011).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn a_rate_spaces_datagrams_and_its_queue_is_bounded() {
        let mut wire = Wire::new(Impairments { rate_kbit: 1_000, queue_us: 5_000, ..Impairments::default() }, 1, [1, 2], 0);
        let dues: Vec<_> = (0..6).map(|_| wire.take(0, 250)).collect();
        assert_eq!(dues, [Some(2_000_000), Some(4_000_000), Some(6_000_000), None, None, None]);
        assert_eq!(wire.take(10_000_000, 250), Some(12_000_000));
    }

    #[test]
    fn an_outage_takes_all_and_ends() {
        let mut wire = Wire::new(Impairments::default(), 1, [1, 2], 1_000);
        wire.add_outage(Outage { from_us: 10, for_us: 5 });
        let alive: Vec<bool> = [1_000, 10_999, 11_000, 15_999, 16_000].map(|now| wire.take(now, 306).is_some()).to_vec();
        assert_eq!(alive, [true, true, false, false, true]);
    }
}
