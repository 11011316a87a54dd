//! The weights of discrete Gaussian noise (Canonne, Kamath, Steinke, NeurIPS 2020).
//!
//! P(Z = k) is proportional to exp(-k² / (2 v)). With r = exp(-1 / (2 v)) the weight at k + 1 is
//! that at k times r^(2k+1), in fixed point with big integers; r comes from its Taylor series.

use super::table::CUT_BITS;
use num_bigint::BigUint;

/// Fractional bits of the weights: a table of 2^17 entries keeps well over 127 good ones.
const FRACTION: u64 = 320;

/// P(|Z| = k) from k = 0 on up to a common factor, where v is p/q; both signs share one weight.
pub(super) fn weights(p: u128, q: u128) -> Vec<BigUint> {
    let ratio = exp_of_minus(q, 2 * p);
    let square = times(&ratio, &ratio);
    let (mut weight, mut step) = (BigUint::from(1u8) << FRACTION, ratio);
    let least = BigUint::from(1u8) << (FRACTION - CUT_BITS);
    let mut weights = Vec::new();
    while weight >= least {
        let next = times(&weight, &step);
        step = times(&step, &square);
        weights.push(std::mem::replace(&mut weight, next));
    }
    weights
}

fn times(a: &BigUint, b: &BigUint) -> BigUint {
    (a * b) >> FRACTION
}

/// exp(-a/b): the argument is halved until the series converges fast, then the result squared.
fn exp_of_minus(a: u128, b: u128) -> BigUint {
    let halvings = (a / b).checked_ilog2().map_or(0, |log| log + 1) + 8;
    let one = BigUint::from(1u8) << FRACTION;
    let argument = (BigUint::from(a) << FRACTION) / (BigUint::from(b) << halvings);
    // Even and odd terms apart: unsigned integers know no alternating series.
    let mut sums = [BigUint::ZERO, BigUint::ZERO];
    let (mut term, mut order) = (one, 0u32);
    while term != BigUint::ZERO {
        sums[order as usize % 2] += &term;
        order += 1;
        term = times(&term, &argument) / order;
    }
    let [even, odd] = sums;
    (0..halvings).fold(even - odd, |root, _| times(&root, &root))
}

#[cfg(test)]
mod tests {
    use super::super::table::thresholds;
    use super::*;

    /// floor(2^127 P(|Z| <= k)) for v = p/q, from mpmath at 120 digits.
    const REFERENCE: [(u128, u128, usize, u128); 10] = [
        (1, 4, 0, 0x64ae_5953_5e4e_4114_c3e1_e346_8cb3_6147),
        (1, 4, 1, 0x7fee_b4e0_acc1_53cb_0de7_6d14_b585_3514),
        (1, 4, 4, 0x7fff_ffff_ffff_ffff_ff48_9816_43b2_4b5d),
        (64, 1, 0, 0x0662_114c_f50d_9423_43f2_cf14_02ea_e38b),
        (64, 1, 1, 0x130c_c518_f384_3dca_2d98_dcb5_f792_d02f),
        (64, 1, 5, 0x4117_0180_5ec4_5e5f_e495_50aa_7908_f017),
        (64, 1, 20, 0x7ead_1a64_0cd9_7b49_828b_7b41_1595_f9aa),
        (1, 100, 0, 0x7fff_ffff_ffff_ffff_ff16_d415_5c0f_be09),
        (10_000, 1, 0, 0x0082_b9b4_3c90_7240_42e0_3986_b88d_abcd),
        (10_000, 1, 250, 0x7e6e_c35b_7f0b_e015_314d_e579_13b9_5d1f),
    ];

    #[test]
    fn thresholds_are_exact_to_the_last_bit() {
        for (p, q, k, expected) in REFERENCE {
            let (high, low) = thresholds(&weights(p, q));
            let threshold = u128::from(high[k]) << 64 | u128::from(low[k]);
            assert_eq!(threshold, expected, "v = {p}/{q}, k = {k}");
        }
    }
}
