//! How many values lie in each bin.

use super::{Answer, Estimate};
use crate::task::Bins;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A bin, and how many values lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Where the bin begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// How many values.
    pub count: Estimate,
}

impl Bar {
    /// Whether the count stands out of the noise: at more than three standard deviations.
    pub fn is_certain(&self) -> bool {
        self.count.value > 3.0 * self.count.deviation
    }
}

pub(super) fn encode(bins: &Bins, value: f64) -> Zeroizing<Vec<f64>> {
    let mut vector = Zeroizing::new(vec![0.0; bins.count as usize]);
    vector[bins.of(value) as usize] = 1.0;
    vector
}

pub(super) fn answer(bins: &Bins, sum: &[f64], deviation: f64) -> Answer {
    let bar = |(bin, value): (u32, &f64)| Bar {
        low: bins.edge(bin),
        high: bins.edge(bin + 1),
        count: Estimate { value: *value, deviation },
    };
    Answer::Histogram { bars: (0..bins.count).zip(sum).map(bar).collect() }
}
