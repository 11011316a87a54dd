//! Differential privacy on the device: clip, round, check, add noise, and account for it.
//!
//! The mechanism is that of Agarwal, Kairouz and Liu, "The Skellam Mechanism for Differentially
//! Private Federated Learning" (NeurIPS 2021), with the conditional stochastic rounding of Kairouz,
//! Liu and Steinke (ICML 2021). A sum of Skellam variables is Skellam again, so whoever survives,
//! the noise of the sum follows from the number of honest contributors alone. Adjacency is
//! zero-out: one device's vector against none, its noise and the list of contributors unchanged.

pub mod accountant;
pub mod clip;
pub mod planner;
pub mod rounding;
pub mod sensitivity;
pub mod skellam;
pub mod variance;

/// Which noise a task asks of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// None; values are clipped, rounded and checked all the same.
    None,
    /// Skellam noise on each coordinate.
    Skellam,
}

impl Mechanism {
    /// The name in task files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Skellam => "skellam",
        }
    }

    /// The mechanism of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Skellam].into_iter().find(|mechanism| mechanism.name() == name)
    }
}
