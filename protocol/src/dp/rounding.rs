//! From real values to integer units, at random, within the sensitivity.

use super::clip::Clipped;
use super::sensitivity::Sensitivity;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Tries of stochastic rounding before the values are truncated. TFF loops without bound; with
/// uniform fractions the first try passes almost always.
const TRIES: usize = 8;
/// How much is taken off a vector whose truncation still fails, which only a clip that was not
/// applied, or floating-point slack, can cause.
const SHRINK: f64 = 1.0 - 1.0 / 1024.0;

/// The vector times `scale`, each value rounded up or down at random with the right mean, such that
/// the sum of squares is within `sensitivity`. This integer check is the whole sensitivity argument:
/// no floating-point result is trusted. Multiples of 1/scale within the clip come out exact.
///
/// A vector is rounded where it lies, so a second try asks `vector` for it again. `scale` must be
/// the power of two that `sensitivity` was computed for.
///
/// # Errors
/// Those of `vector`.
pub fn round_stochastic<E>(
    vector: impl Fn() -> Result<Clipped, E>,
    scale: u64,
    sensitivity: &Sensitivity,
    rng: &mut impl CryptoRng,
) -> Result<Zeroizing<Vec<i64>>, E> {
    let bound = sensitivity.l2_squared_units();
    for _ in 0..TRIES {
        let mut rounded = vector()?.into_values();
        round_randomly(&mut rounded, scale as f64, rng);
        let rounded = integers(rounded);
        if within(&rounded, bound) {
            return Ok(rounded);
        }
    }
    let mut factor = scale as f64;
    loop {
        let mut truncated = vector()?.into_values();
        truncated.iter_mut().for_each(|value| *value = (*value * factor).trunc());
        let truncated = integers(truncated);
        if within(&truncated, bound) {
            return Ok(truncated);
        }
        factor *= SHRINK;
    }
}

/// Of whole numbers, where they lie: the memory of a vector that is collected from another of
/// the same size is reused, so nothing stays behind unwiped.
fn integers(mut values: Zeroizing<Vec<f64>>) -> Zeroizing<Vec<i64>> {
    Zeroizing::new(std::mem::take(&mut *values).into_iter().map(integer).collect())
}

/// Random bytes drawn at once.
const DRAWN: usize = 4096;

fn round_randomly(values: &mut [f64], scale: f64, rng: &mut impl CryptoRng) {
    let mut bytes = Zeroizing::new([0; DRAWN]);
    for values in values.chunks_mut(DRAWN / 4) {
        let bytes = &mut bytes[..4 * values.len()];
        rng.fill_bytes(bytes);
        for (value, random) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = round_one(*value * scale, u32::from_le_bytes(*random));
        }
    }
}

/// 1.5 · 2^52: near it floating-point numbers are the integers.
const INTEGERS: f64 = 6_755_399_441_055_744.0;
/// Beyond it no value is near its integer any more; nothing within a sensitivity is half as large.
const LARGEST: f64 = (1u64 << 50) as f64;

/// Up with the probability of the fraction, to 32 bits. Only additions, as `floor` and conversions
/// are slow on the oldest CPUs that this is built for.
#[inline]
fn round_one(value: f64, random: u32) -> f64 {
    let value = value.clamp(-LARGEST, LARGEST);
    let nearest = value + INTEGERS - INTEGERS;
    let floor = if nearest > value { nearest - 1.0 } else { nearest };
    let up = f64::from(random) < (value - floor) * 4_294_967_296.0;
    if up { floor + 1.0 } else { floor }
}

/// The integer that a whole number is.
#[inline]
fn integer(whole: f64) -> i64 {
    (whole.clamp(-LARGEST, LARGEST) + INTEGERS).to_bits() as i64 - INTEGERS.to_bits() as i64
}

/// Whether the sum of squares is at most `bound`, exactly.
fn within(values: &[i64], bound: u128) -> bool {
    let mut sum = 0u128;
    for part in values.chunks(1 << 12) {
        let bits = part.iter().fold(0, |bits, value| bits | value.unsigned_abs());
        sum = sum.saturating_add(if bits < 1 << 26 {
            // 2^12 squares below 2^52.
            u128::from(part.iter().map(|value| (value * value) as u64).sum::<u64>())
        } else {
            let square = |value: &i64| u128::from(value.unsigned_abs()).pow(2);
            part.iter().map(square).fold(0, u128::saturating_add)
        });
    }
    sum <= bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dp::clip::clip;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn rounded(values: &[f64], scale: u64, sensitivity: &Sensitivity, seed: u8) -> Vec<i64> {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let vector = || clip(values.to_vec(), 1e6);
        round_stochastic(vector, scale, sensitivity, &mut rng).expect("finite").to_vec()
    }

    #[test]
    fn multiples_of_the_unit_are_exact() {
        let sensitivity = Sensitivity::new(1.0, 256, 4).expect("valid");
        let values = [128.0 / 256.0, -3.0 / 256.0, 0.0, 220.0 / 256.0];
        assert_eq!(rounded(&values, 256, &sensitivity, 1), [128, -3, 0, 220]);
    }

    #[test]
    fn integers_take_the_place_of_what_they_are_made_of() {
        let values = Zeroizing::new(vec![3.0, -4.0, 0.0]);
        let place = values.as_ptr().addr();
        let integers = integers(values);
        assert_eq!((integers.as_ptr().addr(), &integers[..]), (place, &[3, -4, 0][..]));
    }

    #[test]
    fn one_value_is_rounded_to_its_neighbours_only() {
        for value in [0.25, -0.25, 0.5, -0.5, 1e-12, -1e-12, 1e9 + 0.125, -1e12 - 0.75, 3.0, -7.0] {
            let (floor, fraction) = (f64::floor(value), value - f64::floor(value));
            let last_up = (fraction * 4_294_967_296.0).ceil() - 1.0;
            let expected = |up: bool| floor + f64::from(u8::from(up));
            assert_eq!(round_one(value, 0), expected(fraction > 0.0), "{value}");
            assert_eq!(round_one(value, u32::MAX), expected(last_up == f64::from(u32::MAX)));
            if fraction > 0.0 && last_up < f64::from(u32::MAX) {
                assert_eq!(round_one(value, last_up as u32), expected(true), "{value}");
                assert_eq!(round_one(value, last_up as u32 + 1), expected(false), "{value}");
            }
        }
        assert_eq!(integer(round_one(1e300, 0)), 1 << 50);
        assert_eq!(integer(round_one(-1e300, 0)), -(1 << 50));
    }

    #[test]
    fn the_mean_is_right() {
        let d = 1 << 16;
        let sensitivity = Sensitivity::new(1000.0, 1, d).expect("valid");
        let rounded = rounded(&vec![-0.3; d], 1, &sensitivity, 2);
        assert!(rounded.iter().all(|value| [-1, 0].contains(value)));
        let mean = rounded.iter().sum::<i64>() as f64 / d as f64;
        assert!((mean + 0.3).abs() < 4.0 * (0.21 / d as f64).sqrt(), "{mean}");
    }

    #[test]
    fn what_never_passes_the_check_is_truncated() {
        // Rounding up any 3 of 100 values breaks the bound of 2.
        let tight = Sensitivity::new(1.0, 1, 1).expect("valid");
        assert_eq!(tight.l2_squared_units(), 2);
        assert_eq!(rounded(&[0.5; 100], 1, &tight, 3), [0; 100]);
        // Even truncated too long: it was clipped to more than the sensitivity allows.
        assert_eq!(rounded(&[3.0, 0.0], 1, &tight, 3), [1, 0]);
    }
}
