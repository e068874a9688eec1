//! Which slots of a phone's sound have no frame, so that the phone's clock does not show at the far end.
//!
//! A phone whose crystal is slow leaves a slot without a frame once in a while, and one whose crystal is fast has a frame too many: whoever counts either learns the
//! crystal. So the sound of every phone has a gap of two slots at times that are drawn at random, and what is left out there is nobody's to see: one frame where the phone
//! is slow, three where it is fast, else two. Two slots and not one, so that something is left out always: whether nothing was can be heard, how much was cannot (THREATS.md 16).
//! Not here: frames and their octets ([`crate::sound`]), what the far phone makes of a gap.
//!
//! Driven by a port: `begin` with each call, `turn` at each of its slots.
//!
//! Spec: PROTOCOL.md §9.4.

use crate::ids::{Micros, SLOT_US};
use crate::lab::{is_on, Switch};
use crate::random::{draw_u32, RandomSource, SeededRandom};

/// Slots of a gap.
pub const GAP_SLOTS: u8 = 2;
/// Slots with a frame before the first gap: this many, and as many again at most.
pub const FIRST_SLOTS: u32 = 1_000;
/// Slots with a frame from one gap to the next: this many, and as many again at most.
pub const LATER_SLOTS: u32 = 2_000;
/// What a slot takes from the wait of a slow phone's frames: 50 ppm of it.
const DRIFT_US: Micros = 1;

/// What a slot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The frame that waits.
    Frame,
    /// None. So many of those that wait are left out.
    Gap {
        /// 0, 1 or 2.
        leaves_out: usize,
    },
}

/// The gaps of one phone's sound.
pub struct Gaps {
    random: SeededRandom,
    /// Slots with a frame up to the next gap, and its first one.
    left: u32,
    /// What the second slot of a gap leaves out.
    second: Option<usize>,
    /// The shortest wait of a frame since the last gap.
    shortest_us: Micros,
    /// The slot before had a frame, or was of a gap.
    speaks: bool,
}

impl Gaps {
    /// Draw the seed of all gaps, 32 octets, and the first one.
    #[must_use]
    pub fn new(random: &mut dyn RandomSource) -> Self {
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let mut gaps = Self { random: SeededRandom::new(seed), left: 0, second: None, shortest_us: Micros::MAX, speaks: false };
        gaps.begin();
        gaps
    }

    /// Begin a call's sound.
    pub fn begin(&mut self) {
        (self.left, self.second, self.shortest_us, self.speaks) = (self.draw(FIRST_SLOTS), None, Micros::MAX, false);
    }

    /// Say what the next slot is for. waited_us: since when the phone's next frame has been there; `None` where there is none.
    pub fn turn(&mut self, waited_us: Option<Micros>) -> Turn {
        if let Some(leaves_out) = self.second.take() {
            return Turn::Gap { leaves_out };
        }
        let Some(waited_us) = waited_us else {
            self.speaks = false;
            return Turn::Gap { leaves_out: 0 };
        };
        if is_on(Switch::PhoneClock) {
            return Turn::Frame;
        }
        if !self.speaks && waited_us < self.reserve_us() {
            // Sound begins a slot later where it would not last to the next gap.
            return Turn::Gap { leaves_out: 0 };
        }
        self.speaks = true;
        self.shortest_us = self.shortest_us.min(waited_us);
        self.left -= 1;
        if self.left > 0 {
            return Turn::Frame;
        }
        self.left = self.draw(LATER_SLOTS);
        let (shortest_us, reserve_us) = (std::mem::replace(&mut self.shortest_us, Micros::MAX), self.reserve_us());
        self.second = Some(match shortest_us {
            _ if shortest_us < reserve_us => 0,
            _ if shortest_us >= SLOT_US + reserve_us => 2,
            _ => 1,
        });
        Turn::Gap { leaves_out: 1 }
    }

    /// How long a frame has to wait now, so that a phone that is 50 ppm slow still has one when the next gap comes: at most 4 ms.
    fn reserve_us(&self) -> Micros {
        Micros::from(self.left) * DRIFT_US
    }

    fn draw(&mut self, slots: u32) -> u32 {
        slots + draw_u32(&mut self.random) % slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_SLOTS: u64 = 180_000;

    fn gaps(seed: u8) -> Gaps {
        Gaps::new(&mut SeededRandom::new([seed; 32]))
    }

    /// The slots without a frame of an hour, and what was left out. A phone's frames come each 20 ms of its clock, the first so long before the first slot.
    fn hour(seed: u8, slow_ppm: i64, first_us: i64) -> (Vec<u64>, Vec<usize>) {
        let (mut gaps, mut found, mut frame) = (gaps(seed), (Vec::new(), Vec::new()), 0i64);
        let mut heard = false;
        for slot in 0..HOUR_SLOTS {
            let came_us = frame * 20_000 + frame * slow_ppm / 50 - first_us;
            match gaps.turn(u64::try_from(slot as i64 * 20_000 - came_us).ok()) {
                Turn::Frame => (frame, heard) = (frame + 1, true),
                Turn::Gap { leaves_out } if heard => {
                    frame += leaves_out as i64;
                    found.0.push(slot);
                    found.1.push(leaves_out);
                }
                Turn::Gap { .. } => {}
            }
        }
        found
    }

    #[test]
    fn gaps_come_at_the_same_times_whatever_the_phones_clock() {
        for seed in 0..20 {
            let first_us = 977 * i64::from(seed);
            let begun = u64::from(gaps(seed).reserve_us() > first_us as u64);
            for slow_ppm in [-50, -20, 0, 20, 50] {
                let (slots, left_out) = hour(seed, slow_ppm, first_us);
                let (at_rest, _) = hour(seed, 0, 19_999);
                assert_eq!(slots.len(), at_rest.len());
                assert!(slots.iter().zip(&at_rest).all(|(slot, rest)| *slot == rest + begun), "{slow_ppm} ppm");
                // 50 ppm of an hour are nine frames; one or two may have waited.
                let more = left_out.iter().sum::<usize>() as i64 - slots.len() as i64;
                assert!((more * 50 + 9 * slow_ppm).abs() <= 100, "{slow_ppm} ppm, {more} more left out than slots");
                assert!(left_out.chunks(2).all(|gap| gap[0] == 1), "something always");
            }
        }
    }

    #[test]
    fn a_gap_comes_every_forty_to_eighty_seconds_and_none_in_the_first_twenty() {
        for seed in 0..20 {
            let (slots, _) = hour(seed, 0, 10_000);
            assert!((FIRST_SLOTS..2 * FIRST_SLOTS).contains(&(slots[0] as u32)), "{}", slots[0]);
            assert!(slots.chunks_exact(2).all(|gap| gap[1] == gap[0] + 1), "two slots");
            let begins: Vec<_> = slots.iter().step_by(2).collect();
            assert!(begins.windows(2).all(|pair| (2_000..=4_000).contains(&(pair[1] - pair[0]))));
        }
    }

    #[test]
    fn while_the_phone_says_nothing_no_gap_comes_and_its_sound_begins_with_a_reserve() {
        let mut gaps = gaps(8);
        let left = gaps.left;
        assert!((0..10_000).all(|_| gaps.turn(None) == Turn::Gap { leaves_out: 0 }));
        assert_eq!(gaps.left, left);
        assert_eq!(gaps.turn(Some(gaps.reserve_us() - 1)), Turn::Gap { leaves_out: 0 });
        assert_eq!(gaps.turn(Some(gaps.reserve_us())), Turn::Frame);
        assert_eq!(gaps.turn(Some(0)), Turn::Frame, "sound that has begun goes on");
    }
}
