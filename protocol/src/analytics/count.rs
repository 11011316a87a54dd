//! How many say yes.

use super::{Answer, Estimate};
use crate::error::{Refusal, require};
use crate::guard::Guard;
use zeroize::Zeroizing;

pub(super) fn encode(value: f64) -> Result<Zeroizing<Vec<f64>>, Refusal> {
    let flag = value == 0.0 || value == 1.0;
    require(flag, Guard::Norm, || format!("a count takes 0 or 1, not {value}"))?;
    Ok(Zeroizing::new(vec![value]))
}

pub(super) fn answer(sum: &[f64], contributors: f64, deviation: f64) -> Answer {
    Answer::Count {
        count: Estimate { value: sum[0], deviation },
        share: Estimate { value: sum[0] / contributors, deviation: deviation / contributors },
    }
}
