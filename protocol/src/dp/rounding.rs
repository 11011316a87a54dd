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

/// `values` times `scale`, each rounded up or down at random with the right mean, such that the
/// sum of squares is within `sensitivity`. This integer check is the whole sensitivity argument: no
/// floating-point result is trusted. Multiples of 1/scale within the clip come out exact.
///
/// `scale` must be the power of two that `sensitivity` was computed for.
pub fn round_stochastic(
    values: &Clipped,
    scale: u64,
    sensitivity: &Sensitivity,
    rng: &mut impl CryptoRng,
) -> Zeroizing<Vec<i64>> {
    let bound = sensitivity.l2_squared_units();
    for _ in 0..TRIES {
        let rounded = round_with(values, scale, |value| round_one(value, rng));
        if within(&rounded, bound) {
            return rounded;
        }
    }
    let mut shrunk = Zeroizing::new(values.to_vec());
    loop {
        let truncated = round_with(&shrunk, scale, |value| value as i64);
        if within(&truncated, bound) {
            return truncated;
        }
        shrunk.iter_mut().for_each(|value| *value *= SHRINK);
    }
}

fn round_with(
    values: &[f64],
    scale: u64,
    mut round: impl FnMut(f64) -> i64,
) -> Zeroizing<Vec<i64>> {
    Zeroizing::new(values.iter().map(|value| round(value * scale as f64)).collect())
}

/// Up with the probability of the fraction, to 32 bits.
fn round_one(value: f64, rng: &mut impl CryptoRng) -> i64 {
    let floor = value.floor();
    let threshold = ((value - floor) * 4_294_967_296.0) as u64;
    floor as i64 + i64::from(u64::from(rng.next_u32()) < threshold)
}

/// Whether the sum of squares is at most `bound`, exactly.
fn within(values: &[i64], bound: u128) -> bool {
    let mut sum = 0u128;
    for value in values {
        let magnitude = u128::from(value.unsigned_abs());
        sum = sum.saturating_add(magnitude * magnitude);
    }
    sum <= bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dp::clip::clip;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn within_clip(values: &[f64]) -> Clipped {
        clip(values, 1e6).expect("finite")
    }

    #[test]
    fn multiples_of_the_unit_are_exact() {
        let sensitivity = Sensitivity::new(1.0, 256, 4).expect("valid");
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let values = within_clip(&[128.0 / 256.0, -3.0 / 256.0, 0.0, 220.0 / 256.0]);
        let rounded = round_stochastic(&values, 256, &sensitivity, &mut rng);
        assert_eq!(*rounded, [128, -3, 0, 220]);
    }

    #[test]
    fn the_mean_is_right() {
        let d = 1 << 16;
        let sensitivity = Sensitivity::new(1000.0, 1, d).expect("valid");
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let rounded = round_stochastic(&within_clip(&vec![-0.3; d]), 1, &sensitivity, &mut rng);
        assert!(rounded.iter().all(|value| [-1, 0].contains(value)));
        let mean = rounded.iter().sum::<i64>() as f64 / d as f64;
        assert!((mean + 0.3).abs() < 4.0 * (0.21 / d as f64).sqrt(), "{mean}");
    }

    #[test]
    fn what_never_passes_the_check_is_truncated() {
        // Rounding up any 3 of 100 values breaks the bound of 2.
        let tight = Sensitivity::new(1.0, 1, 1).expect("valid");
        assert_eq!(tight.l2_squared_units(), 2);
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        assert_eq!(*round_stochastic(&within_clip(&[0.5; 100]), 1, &tight, &mut rng), [0; 100]);
        // Even truncated too long: it was clipped to more than the sensitivity allows.
        let shrunk = round_stochastic(&within_clip(&[3.0, 0.0]), 1, &tight, &mut rng);
        assert_eq!(*shrunk, [1, 0]);
    }
}
