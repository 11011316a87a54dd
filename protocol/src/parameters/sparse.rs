//! Degree, corrupt neighbours and window floor of the sparse ring graph.
//!
//! The tails follow Bell et al. and Google's `graph_parameter_finder.cc`; the window rule (each
//! k/2 consecutive ring positions hold more survivors than corrupt devices) makes the honest
//! survivors connected, whoever the aggregator lets drop out.

use crate::hypergeometric::{Hypergeometric, Rarity};

/// Privacy tails, bits: 40, and 64 more for an aggregator that grinds rosters.
pub const SIGMA: u32 = 104;
/// Availability tails, bits.
pub const ETA: u32 = 20;

/// What the search starts from.
#[derive(Clone, Copy, Debug)]
pub struct Cohort {
    /// Devices on the roster.
    pub n: usize,
    /// Corrupt ones among them.
    pub corrupt: usize,
    /// Devices left after all losses.
    pub survivors: usize,
    /// Devices left besides a surviving device itself.
    pub other_survivors: usize,
}

/// The answer of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degree {
    /// Neighbours of each device, even.
    pub k: usize,
    /// Corrupt neighbours of one device, but for a chance of 2^-σ in all.
    pub c_max: usize,
    /// Survivors that every window of k/2 must have: one more than it can have corrupt devices.
    pub w_min: usize,
}

/// The belt rule: two disjoint sets of holders can never both reach t, even if all corrupt
/// holders serve both.
pub fn belt(k: usize, c_max: usize) -> usize {
    (k + c_max) / 2 + 1
}

impl Cohort {
    /// The smallest even k that satisfies every tail, or `None` if only the complete graph does.
    ///
    /// A step of two in k raises t by at least 1 and a device's surviving neighbours by at most 2;
    /// it raises a window's survivors by at most 1 and never lowers w_min. So a deficit shrinks by
    /// at most one a step, and that many steps can be skipped without missing an answer.
    pub fn degree(&self) -> Option<Degree> {
        let mut k = 2;
        while k < self.n - 1 {
            let c_max = self.neighbours(self.corrupt).upper(k, SIGMA);
            let t = belt(k, c_max);
            let s_min = self.neighbours(self.other_survivors).lower(k, ETA);
            let w_min = self.window(self.corrupt).upper(k / 2, SIGMA) + 1;
            let w_survivors = self.window(self.survivors).lower(k / 2, ETA);
            let deficit = t.saturating_sub(s_min).max(w_min.saturating_sub(w_survivors));
            if deficit == 0 {
                return Some(Degree { k, c_max, w_min });
            }
            k += 2 * deficit;
        }
        None
    }

    fn neighbours(&self, marked: usize) -> Draw {
        Draw { population: self.n - 1, marked, n: self.n }
    }

    fn window(&self, marked: usize) -> Draw {
        Draw { population: self.n, marked, n: self.n }
    }
}

/// Draws from the roster, with tails spread over its n devices or windows.
struct Draw {
    population: usize,
    marked: usize,
    n: usize,
}

impl Draw {
    fn upper(&self, draws: usize, bits: u32) -> usize {
        self.law(draws).upper_quantile(self.rarity(bits)) as usize
    }

    fn lower(&self, draws: usize, bits: u32) -> usize {
        self.law(draws).lower_quantile(self.rarity(bits)) as usize
    }

    fn law(&self, draws: usize) -> Hypergeometric {
        Hypergeometric {
            population: self.population as u64,
            marked: self.marked.min(self.population) as u64,
            draws: draws as u64,
        }
    }

    fn rarity(&self, bits: u32) -> Rarity {
        Rarity { bits, divisor: self.n as u64 }
    }
}
