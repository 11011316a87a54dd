//! The numbers of a round that each device computes for itself and never receives.
//!
//! A device knows the size of the roster and what its own policy assumes; thresholds, degree and
//! quorum follow. Complete graph up to [`COMPLETE_UP_TO`] devices; above that the degree comes from
//! the hypergeometric tails in [`sparse`] (Bell et al., CCS 2020, section 3, hardened by the belt
//! rule 2t > k + c so that no secret can be revealed twice). Shares are integers in per mille and
//! all arithmetic is integer, so that every device gets the same numbers.

pub mod sparse;

use thiserror::Error;

/// Largest cohort whose graph is complete.
pub const COMPLETE_UP_TO: usize = 100;
/// Smallest cohort.
pub const SMALLEST_COHORT: usize = 3;
/// Largest cohort.
pub const LARGEST_COHORT: usize = 10_000;

/// What the task says about its cohorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CohortInputs {
    /// Fewer contributors than this reveal nothing.
    pub min_contributors: u32,
    /// Share of a roster that may be corrupt, in per mille.
    pub corrupt_share_permille: u32,
    /// Share of a roster that may be lost in total between roster and reveal, in per mille.
    pub dropout_share_permille: u32,
}

/// The parameters of one round of `n` devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Devices on the roster.
    pub n: usize,
    /// Corrupt devices assumed on the roster, c(n).
    pub corrupt: usize,
    /// Whether each device is a neighbour of each other.
    pub complete: bool,
    /// Neighbours of a device; even unless the graph is complete.
    pub k: usize,
    /// Shares that rebuild a secret.
    pub t: usize,
    /// Survivors that each ring window of k/2 positions must have; 0 in a complete graph.
    pub w_min: usize,
    /// Equal consistency signatures before anybody reveals, Q.
    pub quorum: usize,
    /// Fewest contributors to a sum, A_min.
    pub a_min: usize,
    /// Corrupt neighbours of one device at most.
    pub c_max: usize,
}

/// Why there is no round of this size under this task. The task or the roster is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ParameterError {
    /// Too few devices, or more than a cohort may have.
    #[error(
        "a cohort of {n} is outside {SMALLEST_COHORT} to {LARGEST_COHORT}; change how many devices the round waits for"
    )]
    Size {
        /// Devices on the roster.
        n: usize,
    },
    /// The roster is smaller than the task's smallest sum.
    #[error("{n} devices cannot give {min_contributors} contributors; wait for more devices")]
    TooFew {
        /// Devices on the roster.
        n: usize,
        /// What the task demands.
        min_contributors: u32,
    },
    /// A share of 1000 per mille or more.
    #[error("{name} is {permille} per mille, which is all devices; name a smaller share")]
    Share {
        /// `corrupt_share` or `dropout_share`.
        name: &'static str,
        /// Its value.
        permille: u32,
    },
    /// No threshold protects against so many corrupt devices.
    #[error(
        "no threshold protects {n} devices of which {corrupt} may be corrupt; lower corrupt_share or gather more devices"
    )]
    TooManyCorrupt {
        /// Devices on the roster.
        n: usize,
        /// Corrupt devices assumed.
        corrupt: usize,
    },
    /// The task promises to survive more losses than the thresholds allow.
    #[error(
        "{n} devices of which {corrupt} may be corrupt survive {survived} losses, not the {promised} that dropout_share promises; lower dropout_share or corrupt_share"
    )]
    Dropouts {
        /// Devices on the roster.
        n: usize,
        /// Corrupt devices assumed.
        corrupt: usize,
        /// Losses that the thresholds survive.
        survived: usize,
        /// Losses that the task promises to survive.
        promised: usize,
    },
}

impl CohortInputs {
    /// Refuses shares of everything.
    fn check(&self) -> Result<(), ParameterError> {
        for (name, permille) in [
            ("corrupt_share", self.corrupt_share_permille),
            ("dropout_share", self.dropout_share_permille),
        ] {
            if permille >= 1000 {
                return Err(ParameterError::Share { name, permille });
            }
        }
        Ok(())
    }

    /// c(n) = min(n, max(1, ceil(corrupt_share n), corrupt_fleet)): the aggregator picks the
    /// roster, so a share of the roster alone promises nothing.
    pub fn corrupt(&self, n: usize, corrupt_fleet: u32) -> usize {
        let share = (n * self.corrupt_share_permille as usize).div_ceil(1000);
        share.max(1).max(corrupt_fleet as usize).min(n)
    }

    /// Losses that dropout_share names for `n` devices.
    fn losses(&self, n: usize) -> usize {
        n * self.dropout_share_permille as usize / 1000
    }

    /// A_min = max(min_contributors, Q, n - floor(dropout_share n)).
    pub fn a_min(&self, n: usize, corrupt: usize) -> usize {
        (self.min_contributors as usize).max(quorum(n, corrupt)).max(n - self.losses(n))
    }
}

/// Q = floor((n+c)/2)+1: two quorums share an honest signer.
fn quorum(n: usize, corrupt: usize) -> usize {
    (n + corrupt) / 2 + 1
}

impl Parameters {
    /// The parameters of a roster of `n` devices, where the device's policy assumes that
    /// `corrupt_fleet` devices of the whole fleet are corrupt (0: only the task's share counts).
    ///
    /// # Errors
    /// [`ParameterError`] if no parameters keep both the privacy and the dropouts promised.
    pub fn derive(
        inputs: &CohortInputs,
        n: usize,
        corrupt_fleet: u32,
    ) -> Result<Self, ParameterError> {
        inputs.check()?;
        if !(SMALLEST_COHORT..=LARGEST_COHORT).contains(&n) {
            return Err(ParameterError::Size { n });
        }
        if n < inputs.min_contributors as usize {
            return Err(ParameterError::TooFew { n, min_contributors: inputs.min_contributors });
        }
        let corrupt = inputs.corrupt(n, corrupt_fleet);
        let parameters = Self::thresholds(inputs, n, corrupt);
        if parameters.t > parameters.k || parameters.quorum > n {
            return Err(ParameterError::TooManyCorrupt { n, corrupt });
        }
        parameters.keeps_promise(inputs)?;
        Ok(parameters)
    }

    fn thresholds(inputs: &CohortInputs, n: usize, corrupt: usize) -> Self {
        let survivors = n - inputs.losses(n);
        let degree = if n <= COMPLETE_UP_TO {
            None
        } else {
            sparse::Cohort { n, corrupt, survivors, other_survivors: survivors - 1 }.degree()
        };
        let complete = sparse::Degree { k: n - 1, c_max: corrupt.min(n - 1), w_min: 0 };
        let sparse::Degree { k, c_max, w_min } = degree.unwrap_or(complete);
        Self {
            n,
            corrupt,
            complete: degree.is_none(),
            k,
            t: sparse::belt(k, c_max),
            w_min,
            quorum: quorum(n, corrupt),
            a_min: inputs.a_min(n, corrupt),
            c_max,
        }
    }

    /// Losses below `min_contributors` are the task's own wish and no broken promise.
    fn keeps_promise(&self, inputs: &CohortInputs) -> Result<(), ParameterError> {
        let promised = inputs.losses(self.n).min(self.n - inputs.min_contributors as usize);
        let survived = self.losses_down_to(self.quorum);
        if survived < promised {
            let (n, corrupt) = (self.n, self.corrupt);
            return Err(ParameterError::Dropouts { n, corrupt, survived, promised });
        }
        Ok(())
    }

    /// Losses from roster to reveal after which `contributors` are left and can be unmasked.
    fn losses_down_to(&self, contributors: usize) -> usize {
        let left = self.n - contributors;
        if self.complete { left.min(self.n - 1 - self.t) } else { left }
    }

    /// How many devices may be lost in total from roster to reveal. In a complete graph any; in a
    /// sparse one so many at random places (all but one in 2^20 such rounds complete).
    pub fn tolerated(&self) -> usize {
        self.losses_down_to(self.a_min)
    }

    /// Fewest honest contributors to a sum: those among whom a device is hidden, and whose noise
    /// is certain.
    pub fn honest_floor(&self) -> usize {
        self.a_min.saturating_sub(self.corrupt)
    }

    /// One sentence for people: what the cohort survives and what it assumes.
    pub fn describe(&self) -> String {
        let any = if self.complete { "any" } else { "random" };
        format!(
            "n={}: survives {any} {} losses after the roster closes; {} corrupt devices assumed; \
             each device is hidden among at least {}",
            self.n,
            self.tolerated(),
            self.corrupt,
            self.honest_floor()
        )
    }
}
