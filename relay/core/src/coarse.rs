//! The coarse copy of a G.711 frame in 57 octets: what a cell has room for beside the next frame.
//!
//! Adaptive differential coding, six levels a sample, three samples an octet, made of nothing but the frame, so that no loss before matters. Decoding is
//! fixed by PROTOCOL.md §9.4; coding is exact too, so that the model and this make the same octets. Not here: when a copy is said or
//! played ([`crate::owner`], [`crate::sound`]).
//!
//! Spec: PROTOCOL.md §9.4; ITU-T G.711 (the samples of octets).

use crate::endtoend::{Codec, COARSE_OCTETS, G711_OCTETS};

const HEADER_OCTETS: usize = 3;
const SYMBOLS: usize = 3 * (COARSE_OCTETS - HEADER_OCTETS); // 162: two more than samples, which are zero
/// Weights of the last and the last but one sample, in 64ths.
const PREDICTORS: [(i32, i32); 4] = [(0, 0), (56, 0), (90, -38), (112, -56)];
/// Levels in eighths of the step.
const LEVELS: [i32; 3] = [4, 13, 26];
/// What the step's index moves by after each of them.
const MOVES: [i32; 3] = [-1, 0, 3];
const STEPS: [i32; 64] = steps();
const LARGEST_OCTET: u8 = 215; // three symbols of 5

const fn steps() -> [i32; 64] {
    let mut steps = [4; 64];
    let mut index = 1;
    while index < 64 {
        steps[index] = (steps[index - 1] * 9 + 7) / 8;
        index += 1;
    }
    steps
}

/// Return the sample of an octet as 16 bits; `mu_law`, else A-law. Spec: ITU-T G.711.
fn expand(mu_law: bool, octet: u8) -> i32 {
    let octet = octet ^ if mu_law { 0xff } else { 0xd5 };
    let (exponent, fraction) = (octet >> 4 & 7, i32::from(octet & 15));
    let magnitude = match (mu_law, exponent) {
        (true, _) => ((fraction * 8 + 132) << exponent) - 132,
        (false, 0) => fraction * 16 + 8,
        (false, _) => (fraction * 16 + 264) << (exponent - 1),
    };
    if octet & 0x80 != 0 {
        -magnitude
    } else {
        magnitude
    }
}

/// What coder and decoder both follow, sample by sample.
struct Predictor {
    weights: (i32, i32),
    step: usize,
    last: i32,
    before: i32,
}

impl Predictor {
    fn new(predictor: usize, step: usize, first: i32) -> Self {
        Self { weights: PREDICTORS[predictor], step, last: first, before: first }
    }

    fn expected(&self) -> i32 {
        (self.weights.0 * self.last + self.weights.1 * self.before) >> 6
    }

    /// Take a symbol, 0 to 5: level by its upper bits, sign by its lowest.
    fn follow(&mut self, symbol: u8) -> i32 {
        let level = usize::from(symbol >> 1);
        let change = (LEVELS[level] * STEPS[self.step]) >> 3;
        let sample = (self.expected() + if symbol & 1 == 1 { -change } else { change }).clamp(-32_768, 32_767);
        (self.last, self.before) = (sample, self.last);
        self.step = (self.step as i32 + MOVES[level]).clamp(0, 63) as usize; // 0 to 63
        sample
    }

    /// Return the symbol that comes nearest to a sample.
    fn choose(&self, sample: i32) -> u8 {
        let error = sample - self.expected();
        let distance = |level: &u8| (error.abs() - ((LEVELS[usize::from(*level)] * STEPS[self.step]) >> 3)).abs();
        let level = (0..3u8).min_by_key(distance).unwrap_or(0);
        2 * level + u8::from(error < 0)
    }
}

/// Return the copy of a frame of 160 octets: with the predictor, of the four, whose samples come nearest in the sum of squares. The work is always the same.
#[must_use]
pub fn coarse_copy(codec: Codec, frame: &[u8; G711_OCTETS]) -> [u8; COARSE_OCTETS] {
    let samples = frame.map(|octet| expand(codec == Codec::Pcmu, octet));
    let mut best = (i64::MAX, [0; COARSE_OCTETS]);
    for (index, (last, before)) in PREDICTORS.into_iter().enumerate() {
        let residual: i32 = samples.windows(3).map(|three| (three[2] - ((last * three[1] + before * three[0]) >> 6)).abs()).sum::<i32>() / 158;
        let start = STEPS.iter().position(|step| *step >= residual).unwrap_or(63);
        let mut predictor = Predictor::new(index, start, samples[0]);
        let (mut symbols, mut error) = ([0u8; SYMBOLS], 0i64);
        for (symbol, sample) in symbols.iter_mut().zip(samples) {
            *symbol = predictor.choose(sample);
            error += i64::from(predictor.follow(*symbol) - sample).pow(2);
        }
        let mut copy = [0; COARSE_OCTETS];
        copy[..HEADER_OCTETS].copy_from_slice(&[index as u8, start as u8, frame[0]]); // at most 3 and 63
        for (octet, three) in copy[HEADER_OCTETS..].iter_mut().zip(symbols.chunks_exact(3)) {
            *octet = three[0] + 6 * three[1] + 36 * three[2];
        }
        if error < best.0 {
            best = (error, copy);
        }
    }
    best.1
}

/// Return the frame that a copy stands for; `None` where it is none.
#[must_use]
pub fn frame_of_copy(codec: Codec, copy: &[u8]) -> Option<[u8; G711_OCTETS]> {
    let (&[index, start, first], packed) = copy.split_first_chunk::<HEADER_OCTETS>()?;
    if copy.len() != COARSE_OCTETS || index > 3 || start > 63 || packed.iter().any(|octet| *octet > LARGEST_OCTET) {
        return None;
    }
    let mut symbols = [0u8; SYMBOLS];
    for (three, octet) in symbols.chunks_exact_mut(3).zip(packed) {
        three.copy_from_slice(&[octet % 6, octet / 6 % 6, octet / 36]);
    }
    if symbols[G711_OCTETS..].iter().any(|symbol| *symbol != 0) {
        return None;
    }
    let mu_law = codec == Codec::Pcmu;
    let mut values = [0; 256];
    (0..=255u8).zip(&mut values).for_each(|(octet, value)| *value = expand(mu_law, octet));
    let mut predictor = Predictor::new(usize::from(index), usize::from(start), expand(mu_law, first));
    let mut frame = [0; G711_OCTETS];
    for (octet, symbol) in frame.iter_mut().zip(symbols) {
        let sample = predictor.follow(symbol);
        // Of two that are as near the greater octet.
        *octet = (0..=255u8).min_by_key(|octet| ((values[usize::from(*octet)] - sample).abs(), 255 - octet)).unwrap_or(0);
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tones and a click in A-law, by way of the nearest octet.
    fn tone(mu_law: bool) -> ([i32; G711_OCTETS], [u8; G711_OCTETS]) {
        let mut samples = [0; G711_OCTETS];
        for (place, sample) in samples.iter_mut().enumerate() {
            let at = place as f64 / 8_000.0 * std::f64::consts::TAU;
            *sample = (6_000.0 * (at * 200.0).sin() + 1_500.0 * (at * 900.0).sin()) as i32;
        }
        let nearest = |sample: i32| (0..=255u8).min_by_key(|octet| (expand(mu_law, *octet) - sample).abs()).expect("256 octets");
        (samples, samples.map(nearest))
    }

    #[test]
    fn a_copy_sounds_like_its_frame() {
        for codec in [Codec::Pcma, Codec::Pcmu] {
            let mu_law = codec == Codec::Pcmu;
            let (samples, frame) = tone(mu_law);
            let again = frame_of_copy(codec, &coarse_copy(codec, &frame)).expect("a copy").map(|octet| expand(mu_law, octet));
            let power: i64 = samples.iter().map(|sample| i64::from(*sample).pow(2)).sum();
            let error: i64 = samples.iter().zip(again).map(|(sample, heard)| i64::from(heard - sample).pow(2)).sum();
            let snr_db = 10.0 * (power as f64 / error as f64).log10();
            println!("{codec:?}: {snr_db:.1} dB");
            assert!(snr_db > 17.0, "{codec:?}: {snr_db:.1} dB");
        }
    }

    #[test]
    fn any_frame_has_a_copy_and_what_is_none_is_refused() {
        for octet in 0..=255u8 {
            for codec in [Codec::Pcma, Codec::Pcmu] {
                let mut frame = [octet; G711_OCTETS];
                (0..).zip(&mut frame).skip(80).for_each(|(place, sample): (u32, _)| *sample = octet.wrapping_mul(place as u8));
                let copy = coarse_copy(codec, &frame);
                assert!(frame_of_copy(codec, &copy).is_some());
                for (place, bad) in [(0, 4), (1, 64), (3, 216), (56, 6), (56, 36)] {
                    let mut broken = copy;
                    broken[place] = bad;
                    assert_eq!(frame_of_copy(codec, &broken), None, "octet {place} is {bad}");
                }
                assert_eq!(frame_of_copy(codec, &copy[1..]), None);
            }
        }
        assert_eq!(frame_of_copy(Codec::Pcma, &[]), None);
    }
}
