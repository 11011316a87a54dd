//! Differential privacy on the device: clip, round, check, add noise, and account for it.
//!
//! The mechanism is that of Agarwal, Kairouz and Liu, "The Skellam Mechanism for Differentially
//! Private Federated Learning" (NeurIPS 2021), with the conditional stochastic rounding of Kairouz,
//! Liu and Steinke (ICML 2021). A sum of Skellam variables is Skellam again, so whoever survives,
//! the noise of the sum follows from the number of honest contributors alone; that is why Skellam
//! and not the discrete Gaussian is the default. Adjacency is zero-out: one device's vector against
//! none, its noise and the list of contributors unchanged.

pub mod accountant;
pub mod clip;
mod gaussian;
pub mod hadamard;
pub mod noise;
pub mod planner;
pub mod rounding;
pub mod sensitivity;
mod skellam;
mod table;
pub mod variance;

use accountant::{Charge, Unbounded};
use sensitivity::Sensitivity;
use variance::Variance;

/// Which law the noise of a device follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Skellam: the difference of two Poisson variables. A sum of them is one again.
    Skellam,
    /// The discrete Gaussian: for large noise, where sums of it are nearly one, and to compare with.
    DiscreteGaussian,
}

impl Law {
    /// Each law.
    pub const ALL: [Self; 2] = [Self::Skellam, Self::DiscreteGaussian];

    /// The name in task files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skellam => "skellam",
            Self::DiscreteGaussian => "discrete_gaussian",
        }
    }

    /// The law of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|law| law.name() == name)
    }

    /// Whether noise of this variance is drawn: Skellam noise is made of parts of any number, and
    /// a table of the discrete Gaussian must not grow without bound.
    pub fn draws(self, variance: &Variance) -> bool {
        let whole = variance.numerator().div_ceil(variance.denominator());
        self == Self::Skellam || whole <= noise::MOST_TABLE_VARIANCE
    }

    /// What a round costs a device whose vector of `coordinates` integers is within `sensitivity`,
    /// where at least `honest` contributors add noise of `variance` each.
    ///
    /// # Errors
    /// [`Unbounded`] if the charge is too large to count.
    pub fn charge(
        self,
        sensitivity: &Sensitivity,
        variance: &Variance,
        honest: usize,
        coordinates: usize,
    ) -> Result<Charge, Unbounded> {
        match self {
            Self::Skellam => Charge::skellam(sensitivity, variance, honest),
            Self::DiscreteGaussian => {
                Charge::discrete_gaussian(sensitivity, variance, honest, coordinates)
            }
        }
    }
}
