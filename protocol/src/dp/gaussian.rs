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
