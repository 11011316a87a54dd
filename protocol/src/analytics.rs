//! Queries over a fleet: what a device's value becomes, and what the sum of all says.
//!
//! Each query states the L2 norm of a device's part ([`crate::task::Kind::template`]); its noise,
//! charge and ledger are those of every other task. The list of contributors is public, so their
//! number is exact and costs nothing. Deviations are those of the noise alone: whether the
//! contributors speak for others is not ours to say.

mod count;
mod histogram;
mod mean;
mod quantiles;

use crate::error::{Refusal, require};
use crate::guard::Guard;
use crate::task::Kind;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use histogram::Bar;
pub use quantiles::Quantile;

/// A number from a noisy sum, and the standard deviation that the noise gives it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// What is most likely.
    pub value: f64,
    /// Standard deviation of the error; 0 without noise.
    pub deviation: f64,
}

/// What a sum says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// How many contributors said yes, and which share of all.
    Count {
        /// How many.
        count: Estimate,
        /// Which share.
        share: Estimate,
    },
    /// Of the contributors' values.
    Mean {
        /// Their mean.
        mean: Estimate,
        /// Their variance.
        variance: Estimate,
    },
    /// How many values lie in each bin.
    Histogram {
        /// From the lowest bin up.
        bars: Vec<Bar>,
    },
    /// Values below which a share of all lies.
    Quantiles {
        /// From the lowest share up.
        quantiles: Vec<Quantile>,
    },
}

/// What a device with this value adds to the sum, before noise; `None` for a task of vectors.
///
/// # Errors
/// [`Guard::Norm`] for a value that is no number, or neither 0 nor 1 in a count; the application
/// is at fault.
pub fn encode(kind: &Kind, value: f64) -> Result<Option<Zeroizing<Vec<f64>>>, Refusal> {
    let finite = value.is_finite() || matches!(kind, Kind::Vector(_));
    require(finite, Guard::Norm, || "the value must be a finite number".to_owned())?;
    Ok(match kind {
        Kind::Vector(_) => None,
        Kind::Count => Some(count::encode(value)?),
        Kind::Mean(range) => Some(mean::encode(range, value)),
        Kind::Histogram(bins) => Some(histogram::encode(bins, value)),
        Kind::Quantiles(bins) => Some(quantiles::encode(bins, value)),
    })
}

/// What the sum over `contributors` says, where the noise of each coordinate has this standard
/// deviation in the sum; `None` for a task of vectors. The sum has the task's coordinates.
pub fn answer(kind: &Kind, sum: &[f64], contributors: usize, deviation: f64) -> Option<Answer> {
    let n = contributors as f64;
    match kind {
        Kind::Vector(_) => None,
        Kind::Count => Some(count::answer(sum, n, deviation)),
        Kind::Mean(range) => Some(mean::answer(range, sum, n, deviation)),
        Kind::Histogram(bins) => Some(histogram::answer(bins, sum, deviation)),
        Kind::Quantiles(bins) => Some(quantiles::answer(bins, sum, n, deviation)),
    }
}
