//! The weights of Skellam noise.
//!
//! P(|Z| = k) is proportional to the Bessel functions I_k(v), which Miller's downward recurrence
//! I_{k-1} = I_{k+1} + (2k/v) I_k gives in big integers.

use super::table::CUT_BITS;
use num_bigint::BigUint;

/// Guard bits of the recurrence.
const START_BITS: u64 = 256;

/// P(|Z| = k) from k = 0 on up to a common factor, where Z has variance p/q; both signs share one
/// weight.
pub(super) fn weights(p: u128, q: u128) -> Vec<BigUint> {
    let deviation = p.div_ceil(q).isqrt() as usize + 1;
    let start = 16 * deviation + 80 + 560 / deviation;
    let mut above = BigUint::ZERO;
    let mut current = BigUint::from(1u8) << START_BITS;
    let mut downward = vec![current.clone()];
    for k in (1..=start).rev() {
        let below = &above + &current * (q * 2 * k as u128) / p;
        above = std::mem::replace(&mut current, below.clone());
        downward.push(below);
    }
    let mode = current;
    downward.into_iter().rev().take_while(|weight| weight << CUT_BITS >= mode).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::thresholds;
    use super::*;

    /// floor(2^127 P(|Z| <= k)) for variance p/q, from mpmath's `besseli` at 120 digits.
    const REFERENCE: [(u128, u128, usize, u128); 7] = [
        (1, 4, 0, 0x6540_0ce4_fb7f_5abf_aa59_2fe7_69b1_7817),
        (1, 4, 1, 0x7e5d_f5a8_8fec_523c_f183_82c1_02ad_d308),
        (1, 4, 5, 0x7fff_ffed_ea8f_7db8_cba3_6343_448e_51c2),
        (64, 1, 0, 0x0665_49a2_97fd_37d0_afa8_914b_9467_3d0e),
        (64, 1, 1, 0x1316_2dc3_2d37_da4d_5d19_b8c9_92fc_a7bb),
        (64, 1, 5, 0x412e_8d2c_e6b5_3834_ecc3_8941_257d_0311),
        (64, 1, 20, 0x7ea7_4995_aab2_f222_cb7a_ddbc_bf36_3bee),
    ];

    #[test]
    fn thresholds_are_exact_to_the_last_bit() {
        for (p, q, k, expected) in REFERENCE {
            let (high, low) = thresholds(&weights(p, q));
            let threshold = u128::from(high[k]) << 64 | u128::from(low[k]);
            assert_eq!(threshold, expected, "variance {p}/{q}, k = {k}");
        }
    }
}
