//! Mean and variance of values in a range.
//!
//! With t = (x - middle) / half, in [-1, 1], a device adds (t, t²), whose norm is at most √2.

use super::{Answer, Estimate};
use crate::task::Range;
use zeroize::Zeroizing;

fn middle_and_half(range: &Range) -> (f64, f64) {
    let half = (range.high - range.low) / 2.0;
    (range.low + half, half)
}

pub(super) fn encode(range: &Range, value: f64) -> Zeroizing<Vec<f64>> {
    let (middle, half) = middle_and_half(range);
    let place = ((value.clamp(range.low, range.high) - middle) / half).clamp(-1.0, 1.0);
    Zeroizing::new(vec![place, place * place])
}

/// The deviation of the variance is to first order: it is E t² - (E t)², noise on both.
pub(super) fn answer(range: &Range, sum: &[f64], contributors: f64, deviation: f64) -> Answer {
    let (middle, half) = middle_and_half(range);
    let (first, second) = (sum[0] / contributors, sum[1] / contributors);
    let each = deviation / contributors;
    let variance = (second - first * first).max(0.0) * half * half;
    let spread = each * (1.0 + 4.0 * first * first).sqrt() * half * half;
    Answer::Mean {
        mean: Estimate { value: middle + first * half, deviation: each * half },
        variance: Estimate { value: variance, deviation: spread },
    }
}
