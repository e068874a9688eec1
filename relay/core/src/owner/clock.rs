//! The clock of an access link: its guard's, as the guard's cells tell it, in the place of the box's own crystal (PROTOCOL.md §5.6).
//!
//! A regression in integers: each window's earliest arrival tells how far the guard's clock has gone (the model), from which follow the rate, applied to
//! every tick alike, and the model's place, to which the beat goes evenly over the next window. One clock for each link, and nothing shared between them:
//! a rate that one guard made would else show on the link to another. Not here: the tick itself ([`super`]), due times ([`super::backward`]).

use crate::ids::SLOT_US;
use crate::lab::{is_on, Switch};
use crate::random::{draw_u32, RandomSource};

/// Parts of a microsecond in which the clock counts.
pub const PARTS: i64 = 1 << 16;
/// Slots of a window.
const WINDOW_SLOTS: i64 = 64;
/// Cells without which a window measures nothing.
const LEAST_CELLS: u32 = 16;
/// The regression's memory, in windows: 82 s.
const MOST_WINDOWS: i64 = 64;
/// The first rate is drawn within this: 150 ppm.
const FIRST_RATE: i64 = 3 * PARTS;
/// Bounds for each slot: 200 ppm of rate, 100 ppm towards the model.
const MOST_RATE: i64 = 4 * PARTS;
const MOST_PACE: i64 = 2 * PARTS;
/// Slots of a stall that are reckoned with: 248 days.
const MOST_SLOTS: u64 = 1 << 30;
/// So much earlier than at the anchor the beat is: what jitter makes of the model costs no cell then.
const AHEAD: i64 = 200 * PARTS;
/// What is further off than 2 ms is no drift.
const JUMP: i64 = 2_000 * PARTS;
const SLOT: i64 = SLOT_US as i64 * PARTS;

/// By how much the guard's slots have fallen behind slots of 20 ms of the own clock, since the link stands, in parts of a microsecond.
#[derive(Debug, Clone)]
pub struct Clock {
    /// What each slot falls behind.
    pub rate: i64,
    /// What a slot goes towards the model, beside the rate.
    pace: i64,
    /// What the guard's slots have fallen behind.
    pub model: i64,
    /// What the ticks have fallen behind.
    pub beat: i64,
    /// Windows that were measured, at most [`MOST_WINDOWS`].
    windows: i64,
    /// Slots of the present window, and since the last that was measured.
    window_slots: i64,
    slots: i64,
    cells: u32,
    earliest: i64,
    /// The earliest arrival that the model is measured from.
    reference: Option<i64>,
    settled: bool,
    /// The beat when the guard's due times were fixed by it, and the slots from then to the reference.
    anchor: i64,
    lead: i64,
    /// How far from the model the beat has to be for that.
    aside: i64,
}

impl Clock {
    /// Begin with a rate drawn at random, so that the crystal's does not show before the guard's is known. Draws 4 octets.
    pub fn new(random: &mut dyn RandomSource) -> Self {
        let rate = i64::from(draw_u32(random)) % (2 * FIRST_RATE + 1) - FIRST_RATE;
        let (window_slots, slots, cells, earliest) = (0, 0, 0, i64::MAX);
        Self {
            rate,
            pace: 0,
            model: 0,
            beat: 0,
            windows: 0,
            window_slots,
            slots,
            cells,
            earliest,
            reference: None,
            settled: false,
            anchor: 0,
            lead: 0,
            aside: 0,
        }
    }

    /// Measure anew where the guard's cells are; the rate stays. settled: whether they have a phase that they keep.
    pub fn begin(&mut self, settled: bool) {
        if self.settled || !settled {
            self.anchor();
        }
        (self.settled, self.reference, self.windows) = (settled, None, self.windows.min(2));
        (self.window_slots, self.slots, self.cells, self.earliest) = (0, 0, 0, i64::MAX);
        (self.model, self.pace, self.aside) = (self.beat, 0, 0);
    }

    /// Say that the guard fixed its due times by the ticks so far: the rate is not known well yet, and by what went wrong from here on the beat is put right later.
    pub fn anchor(&mut self) {
        (self.anchor, self.lead) = (self.beat, 0);
    }

    /// Note a cell: its arrival less its slot's time, in microseconds.
    pub fn note(&mut self, offset_us: i64) {
        self.cells += 1;
        self.earliest = self.earliest.min(offset_us * PARTS - self.model);
    }

    /// Let a tick pass, of so many slots: 1, or 2 of a metered circuit; by how many microseconds the guard's cells have jumped, mostly 0.
    pub fn tick(&mut self, slots: i64) -> i64 {
        if is_on(Switch::FreeTick) || is_on(Switch::SteppedTick) {
            (self.rate, self.pace) = (0, 0);
        }
        self.skip(slots.unsigned_abs());
        self.beat += slots * self.pace;
        self.window_slots += slots;
        if self.window_slots < WINDOW_SLOTS {
            return 0;
        }
        let measured = self.cells >= LEAST_CELLS && !is_on(Switch::FreeTick);
        let jumped = if measured { self.measure() } else { 0 };
        (self.window_slots, self.cells, self.earliest) = (0, 0, i64::MAX);
        self.pace = (self.model + self.aside - self.beat).div_euclid(WINDOW_SLOTS).clamp(-MOST_PACE, MOST_PACE);
        jumped.div_euclid(PARTS)
    }

    /// Let slots pass in which nothing could leave.
    pub fn skip(&mut self, slots: u64) {
        let slots = slots.min(MOST_SLOTS) as i64;
        self.model += slots * self.rate;
        self.beat += slots * self.rate;
        self.slots += slots;
        if !self.settled || self.reference.is_none() {
            self.lead += slots;
        }
    }

    /// The model in whole microseconds.
    #[must_use]
    pub const fn model_us(&self) -> i64 {
        self.model.div_euclid(PARTS)
    }

    /// The beat rounded to whole microseconds, as ticks are: plain rounding would beat at the difference of the two clocks, and so show it. The sum of two numbers
    /// below 1 hides it, because then neither the mean nor the spread of what is left depends on the place (Wannamaker, Lipshitz, Vanderkooy, Wright:
    /// *A theory of nonsubtractive dither*, 2000). Draws 4 octets.
    pub fn dithered_us(&self, random: &mut dyn RandomSource) -> i64 {
        let drawn = draw_u32(random);
        (self.beat + i64::from(drawn >> 16) + i64::from(drawn & 0xffff)).div_euclid(PARTS)
    }

    /// Take the window's earliest arrival. Until the guard's cells keep their phase they may be whole slots off, and nothing but a first rate is taken from them.
    fn measure(&mut self) -> i64 {
        let (earliest, slots) = (self.earliest, std::mem::take(&mut self.slots));
        let Some(reference) = self.reference else {
            (self.reference, self.windows) = (Some(earliest), self.windows.max(1));
            if self.settled {
                self.aside = self.anchor + self.rate * self.lead - self.model - AHEAD;
            }
            return 0;
        };
        let apart = earliest - reference;
        let off = if self.settled { apart } else { (apart + SLOT / 2).rem_euclid(SLOT) - SLOT / 2 };
        if off.abs() > JUMP {
            self.reference = Some(earliest);
            return apart;
        }
        if is_on(Switch::SteppedTick) {
            self.model += (off / 4).clamp(-100 * PARTS, 100 * PARTS);
            self.beat = self.model + self.aside;
        } else if self.settled || self.windows < 2 {
            self.windows = (self.windows + 1).min(MOST_WINDOWS);
            // The gains with which this is a line through all points so far, by least squares.
            let points = self.windows * (self.windows + 1);
            let before = self.rate;
            self.rate = (before + (6 * off).div_euclid(points * slots)).clamp(-MOST_RATE, MOST_RATE);
            if self.settled {
                self.model += (2 * (2 * self.windows - 1) * off).div_euclid(points);
                self.aside += (self.rate - before) * self.lead;
            } else {
                self.reference = Some(earliest);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    const SLOT_F: f64 = SLOT_US as f64;
    const START_S: u64 = 4;

    /// A box whose crystal is `ppm` fast, behind a wire with gamma-shaped jitter of shape 2, and its guard.
    struct Pair {
        clock: Clock,
        random: SeededRandom,
        ppm: f64,
        /// Scale of the jitter: half its mean, in microseconds.
        jitter_us: f64,
        loss: f64,
        /// Slots of a tick.
        stride: u64,
        slots: u64,
        /// True time of each tick, not rounded, and as it leaves.
        exact: Vec<f64>,
        ticks: Vec<f64>,
        jumped: i64,
    }

    impl Pair {
        fn new(seed: u8, ppm: f64, jitter_us: f64) -> Self {
            let mut random = SeededRandom::new([seed; 32]);
            let clock = Clock::new(&mut random);
            Self { clock, random, ppm, jitter_us, loss: 0.0, stride: 1, slots: 0, exact: Vec::new(), ticks: Vec::new(), jumped: 0 }
        }

        fn unit(&mut self) -> f64 {
            (f64::from(draw_u32(&mut self.random)) + 1.0) / (f64::from(u32::MAX) + 2.0)
        }

        /// Run slots, whose cells leave the guard `late_us` after their time: less than 19 ms later than that they have all come.
        fn run(&mut self, seconds: u64, late_us: impl Fn(f64) -> f64) {
            for _ in 0..seconds * 50 / self.stride {
                let place = self.slots as f64 * SLOT_F;
                let own = 1.0 + self.ppm * 1e-6;
                let jitter_us = -(self.unit().ln() + self.unit().ln()) * self.jitter_us;
                if self.unit() >= self.loss {
                    let arrival = ((place + late_us(place) + jitter_us) * own).floor();
                    self.clock.note(arrival as i64 - (self.slots * SLOT_US) as i64);
                }
                self.jumped += self.clock.tick(self.stride as i64);
                self.slots += self.stride;
                let nominal = (self.slots * SLOT_US) as f64;
                self.exact.push((nominal + self.clock.beat as f64 / PARTS as f64) / own);
                self.ticks.push((nominal + self.clock.dithered_us(&mut self.random) as f64) / own);
            }
        }

        /// Settle after some seconds, as a box does.
        fn settle(&mut self) {
            self.run(START_S, |_| 0.0);
            self.clock.begin(true);
        }

        /// How fast ticks come at present, in ppm of the guard's.
        fn off_ppm(&self) -> f64 {
            ((1.0 + self.ppm * 1e-6) / (1.0 + self.clock.rate as f64 / PARTS as f64 / SLOT_F) - 1.0) * 1e6
        }

        /// The mean rate of the last ticks, likewise.
        fn mean_ppm(&self, seconds: usize) -> f64 {
            let of = &self.exact[self.exact.len() - 50 * seconds - 1..];
            (50.0 * seconds as f64 * SLOT_F / (of[of.len() - 1] - of[0]) - 1.0) * 1e6
        }
    }

    fn rms(values: &[f64]) -> f64 {
        (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let n = pairs.len() as f64;
        let (mean_x, mean_y) = (pairs.iter().map(|pair| pair.0).sum::<f64>() / n, pairs.iter().map(|pair| pair.1).sum::<f64>() / n);
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().map(|pair| (pair.0 - mean_x, pair.1 - mean_y)).unzip();
        x.iter().zip(&y).map(|(x, y)| x * y).sum::<f64>() / n / (rms(&x) * rms(&y))
    }

    #[test]
    fn the_rate_is_the_guards_whatever_the_crystals() {
        println!("mean jitter | after 60 s: rate, mean of the last 30 s | after 300 s: rate, mean of the last 60 s (ppm, rms of 80 links, 20 and 50 ppm fast and slow)");
        for (jitter_ms, bounds) in [(0.0, [0.02, 0.02, 0.02, 0.02]), (1.0, [2.0, 2.0, 1.0, 1.0]), (5.0, [10.0, 10.0, 5.0, 5.0])] {
            let mut figures: [Vec<(f64, f64)>; 4] = Default::default();
            for seed in 0..20u8 {
                for (index, ppm) in [-50.0, -20.0, 20.0, 50.0].into_iter().enumerate() {
                    let mut pair = Pair::new(seed * 4 + index as u8, ppm, jitter_ms * 500.0);
                    pair.settle();
                    pair.run(60, |_| 0.0);
                    figures[0].push((pair.off_ppm(), ppm));
                    figures[1].push((pair.mean_ppm(30), ppm));
                    pair.run(240, |_| 0.0);
                    figures[2].push((pair.off_ppm(), ppm));
                    figures[3].push((pair.mean_ppm(60), ppm));
                }
            }
            let off = figures.each_ref().map(|figure| rms(&figure.iter().map(|one| one.0).collect::<Vec<_>>()));
            let r = figures.each_ref().map(|figure| correlation(figure));
            println!("{jitter_ms} ms | {:.4}, {:.4} | {:.4}, {:.4} | r with the crystal {r:.2?}", off[0], off[1], off[2], off[3]);
            assert!(off.iter().zip(bounds).all(|(off, bound)| *off <= bound), "{jitter_ms} ms: {off:?}");
        }
    }

    #[test]
    fn a_metered_link_finds_the_rate_from_half_as_many_cells() {
        let off = [-50.0, -20.0, 20.0, 50.0].iter().zip([1u8, 2, 3, 4]).flat_map(|(ppm, seed)| (0..10u8).map(move |round| (*ppm, seed + 10 * round)));
        let off: Vec<_> = off
            .map(|(ppm, seed)| {
                let mut pair = Pair { stride: 2, ..Pair::new(seed, ppm, 500.0) };
                pair.settle();
                pair.run(300, |_| 0.0);
                pair.off_ppm()
            })
            .collect();
        println!("mean jitter 1 ms, metered, after 300 s: {:.3} ppm (rms of 40 links)", rms(&off));
        assert!(rms(&off) <= 1.0);
    }

    #[test]
    fn no_guard_moves_a_tick_by_more_than_300_ppm() {
        type Guard = fn(f64) -> f64;
        let guards: [(&str, Guard); 4] = [
            ("1 000 ppm slow", |place| place * 1e-3),
            ("1 000 ppm fast", |place| place * -1e-3),
            ("1.9 ms to and fro", |place| if (place / 2_560_000.0) % 2.0 < 1.0 { 0.0 } else { 1_900.0 }),
            ("9 ms to and fro", |place| if (place / 2_560_000.0) % 2.0 < 1.0 { 0.0 } else { 9_000.0 }),
        ];
        for (what, guard) in guards {
            let mut pair = Pair::new(1, 0.0, 0.0);
            pair.settle();
            pair.run(120, guard);
            let moved = |ticks: &[f64]| ticks.windows(2).map(|pair| (pair[1] - pair[0] - SLOT_F).abs()).fold(0.0, f64::max);
            println!("{what}: a tick moved by at most {:.2} us, {} us of jumps", moved(&pair.exact), pair.jumped);
            assert!(moved(&pair.exact) <= 6.001 && moved(&pair.ticks) <= 8.001, "{what}");
        }
    }

    #[test]
    fn a_jump_moves_no_tick_and_is_told() {
        for by_us in [-7_000.0, 2_500.0, 40_000.0] {
            let mut pair = Pair::new(2, 30.0, 100.0);
            pair.settle();
            pair.run(120, |_| 0.0);
            let before = pair.off_ppm();
            pair.run(30, |_| by_us);
            assert!((pair.off_ppm() - before).abs() < 1.0 && pair.mean_ppm(20).abs() < 2.0, "{by_us} us: {} and {} ppm", pair.off_ppm(), pair.mean_ppm(20));
            assert!((pair.jumped as f64 - by_us).abs() < 200.0, "{by_us} us: {} told", pair.jumped);
        }
    }

    #[test]
    fn loss_and_a_guard_that_stops_leave_the_rate_as_it_is() {
        let mut pair = Pair::new(3, -40.0, 250.0);
        pair.loss = 0.3;
        pair.settle();
        pair.run(120, |_| 0.0);
        assert!(pair.off_ppm().abs() < 2.0, "{} ppm", pair.off_ppm());
        pair.loss = 1.0;
        pair.run(20, |_| 0.0);
        assert!(pair.mean_ppm(10).abs() < 2.0, "{} ppm while the guard is silent", pair.mean_ppm(10));
        pair.loss = 0.0;
        pair.run(60, |_| 0.0);
        assert!(pair.off_ppm().abs() < 2.0 && pair.jumped == 0, "{} ppm", pair.off_ppm());
    }

    #[test]
    fn rounding_does_not_beat_at_the_crystals_rate() {
        // A crystal that is p ppm fast lets the place of a tick within its microsecond go round 0.02 p times a slot.
        let mut pair = Pair::new(4, 17.0, 0.0);
        pair.settle();
        pair.run(1_000, |_| 0.0);
        let at = pair.exact.len() - 40_000;
        let beats = |left: &dyn Fn(usize) -> f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for index in at..pair.exact.len() {
                let turn = std::f64::consts::TAU * 17e-6 * SLOT_F * index as f64;
                (re, im) = (re + left(index) * turn.cos(), im + left(index) * turn.sin());
            }
            2.0 * (re * re + im * im).sqrt() / 40_000.0
        };
        let own = 1.0 + 17e-6;
        let mean = 0.5;
        let plain = beats(&|index| (pair.exact[index] * own).floor() - pair.exact[index] * own + mean);
        let dithered = beats(&|index| (pair.ticks[index] - pair.exact[index]) * own - mean);
        let spread = beats(&|index| ((pair.ticks[index] - pair.exact[index]) * own - mean).powi(2) - 0.25);
        println!("rounding beats with {plain:.3} us; with dither {dithered:.4} us, its square {spread:.4} us^2");
        assert!(plain > 0.25 && dithered < 0.02 && spread < 0.02);
    }

    #[test]
    fn what_two_links_share_is_what_the_crystal_moves_faster_than_it_is_followed() {
        // A crystal that gets warm: 1 ppm in a minute, for two minutes. How far both ticks stray from their lines, and how alike.
        for jitter_us in [0.0, 50.0, 500.0] {
            let stray = |seed: u8| {
                let mut pair = Pair::new(seed, 20.0, jitter_us);
                pair.settle();
                pair.run(180, |_| 0.0);
                let warm_from = pair.slots as f64 * SLOT_F;
                // To the box it is the guard that slows down: 1 ppm in a minute is x^2 / 2 of 1e-6 / 60 s.
                pair.run(120, move |place| (place - warm_from).powi(2) / 2.0 * 1e-6 / 60e6);
                let ticks = &pair.exact[pair.exact.len() - 3_000..];
                let truth: Vec<_> = (0..3_000u64)
                    .map(|index| {
                        let place = (pair.slots - 2_999 + index) as f64 * SLOT_F;
                        place + (place - warm_from).powi(2) / 2.0 * 1e-6 / 60e6
                    })
                    .collect();
                let mut apart: Vec<_> = ticks.iter().zip(truth).map(|(tick, truth)| tick - truth).collect();
                let mean = apart.iter().sum::<f64>() / 3_000.0;
                apart.iter_mut().for_each(|apart| *apart -= mean);
                (mean + (AHEAD / PARTS) as f64, rms(&apart), apart)
            };
            let ((one, one_rms, one_left), (other, other_rms, other_left)) = (stray(20), stray(21));
            let alike = correlation(&one_left.into_iter().zip(other_left).collect::<Vec<_>>());
            println!("jitter of {} us: behind by {one:.1} and {other:.1} us; beside that {one_rms:.2} and {other_rms:.2} us, r = {alike:.2}", 2.0 * jitter_us);
            assert!(jitter_us > 0.0 || (one.abs() < 20.0 && one_rms < 2.0), "a tick stays behind by what the crystal moves in the clock's memory");
        }
    }
}
