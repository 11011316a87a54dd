//! Quantiles from a binary tree of counts.
//!
//! A device adds a one at each node on the path from the root's child to its bin, log2 B of 2 B - 2
//! nodes, level by level from the top. The noisy counts of a parent and of its children disagree;
//! the estimate that agrees and has the least variance is that of Hay, Rastogi, Miklau and Suciu,
//! "Boosting the Accuracy of Differentially Private Histograms Through Consistency" (VLDB 2010,
//! section 4.1), here with a root that is known exactly: the number of contributors.

use super::Answer;
use crate::task::Bins;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A value below which a share of all values lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The share, 0.5 for the median.
    pub share: f64,
    /// The value, within its bin by interpolation.
    pub value: f64,
    /// With 95 %, the value is not below this.
    pub low: f64,
    /// Nor above this.
    pub high: f64,
}

const SHARES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// For 95 %.
const DEVIATIONS: f64 = 1.96;

/// The nodes of level 1 to log2 B follow each other; those of level l begin at 2^l - 2.
fn node(level: u32, place: u32) -> usize {
    (1usize << level) - 2 + place as usize
}

pub(super) fn encode(bins: &Bins, value: f64) -> Zeroizing<Vec<f64>> {
    let levels = bins.count.ilog2();
    let mut vector = Zeroizing::new(vec![0.0; node(levels + 1, 0)]);
    for level in 1..=levels {
        vector[node(level, bins.of(value) >> (levels - level))] = 1.0;
    }
    vector
}

pub(super) fn answer(bins: &Bins, sum: &[f64], contributors: f64, deviation: f64) -> Answer {
    let leaves = consistent(sum, bins.count.ilog2(), contributors);
    let cumulative = cumulative(&leaves);
    // A prefix is the sum of at most one node a level, each no less certain than before.
    let uncertain = DEVIATIONS * deviation * f64::from(bins.count.ilog2()).sqrt();
    let at = |target: f64| invert(bins, &cumulative, target.clamp(0.0, contributors));
    let quantile = |share: f64| {
        let target = share * contributors;
        Quantile {
            share,
            value: at(target),
            low: at(target - uncertain),
            high: at(target + uncertain),
        }
    };
    Answer::Quantiles { quantiles: SHARES.map(quantile).to_vec() }
}

/// The counts of the bins, consistent with all levels.
fn consistent(sum: &[f64], levels: u32, total: f64) -> Vec<f64> {
    let mut weighted = sum.to_vec();
    // Upward: a node's own count against the sum of its children, by their variances. The subtree
    // of height h gives weight 2^(h-1) / (2^h - 1) to the node itself.
    for level in (1..levels).rev() {
        let height = f64::from(levels - level + 1);
        let own = (height - 1.0).exp2() / (height.exp2() - 1.0);
        for place in 0..1 << level {
            let children =
                weighted[node(level + 1, 2 * place)] + weighted[node(level + 1, 2 * place + 1)];
            let count = &mut weighted[node(level, place)];
            *count = own * *count + (1.0 - own) * children;
        }
    }
    // Downward: what a parent has more than its children is shared among them.
    let mut parents = vec![total];
    for level in 1..=levels {
        let mut children = Vec::with_capacity(2 * parents.len());
        for (place, parent) in (0..).zip(&parents) {
            let pair = [2 * place, 2 * place + 1].map(|child: u32| weighted[node(level, child)]);
            let surplus = (parent - pair[0] - pair[1]) / 2.0;
            children.extend(pair.map(|count| count + surplus));
        }
        parents = children;
    }
    parents
}

/// How many values lie below the end of each bin; never falling, as counts are not negative.
fn cumulative(leaves: &[f64]) -> Vec<f64> {
    let mut below = 0.0;
    let mut most = 0.0f64;
    leaves
        .iter()
        .map(|count| {
            below += count;
            most = most.max(below);
            most
        })
        .collect()
}

/// The value below which `target` values lie.
fn invert(bins: &Bins, cumulative: &[f64], target: f64) -> f64 {
    let bin = cumulative.partition_point(|below| *below < target).min(cumulative.len() - 1);
    let before = if bin == 0 { 0.0 } else { cumulative[bin - 1] };
    let inside = cumulative[bin] - before;
    let share = if inside > 0.0 { ((target - before) / inside).clamp(0.0, 1.0) } else { 0.0 };
    let (low, high) = (bins.edge(bin as u32), bins.edge(bin as u32 + 1));
    low + share * (high - low)
}
