//! What a device's own operator demands of a task, whatever its owner and the aggregator say.

use crate::dp::accountant::Orders;
use crate::dp::variance::Variance;
use crate::error::{Refusal, require};
use crate::guard::Guard;
use crate::parameters::{LARGEST_COHORT, Parameters};
use crate::signature::PublicKey;
use crate::task::{Privacy, SignedTask, Task, share_permille};

/// Most bins of a query, where a device's operator says nothing.
pub const DEFAULT_MAX_BINS: u32 = 1024;

/// The floors of one device, the `[policy]` table of its configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whose tasks this device takes.
    pub owners: Vec<PublicKey>,
    /// Fewest contributors to any sum.
    #[serde(default = "default_min_contributors")]
    pub min_contributors: u32,
    /// Smallest share of a roster that a task must assume corrupt.
    #[serde(default = "default_min_corrupt_share")]
    pub min_corrupt_share: f64,
    /// Corrupt enrolled devices assumed in the whole fleet; the larger of the two counts.
    #[serde(default)]
    pub corrupt_fleet: u32,
    /// Largest epsilon, all tasks together, in `epoch_days`.
    #[serde(default = "default_max_epsilon")]
    pub max_epsilon: f64,
    /// How long charges count.
    #[serde(default = "default_epoch_days")]
    pub epoch_days: u32,
    /// The delta at which epsilon is measured, and the largest that a task may name.
    #[serde(default = "default_delta")]
    pub delta: f64,
    /// Names of the tasks that may sum without noise.
    #[serde(default)]
    pub allow_without_noise: Vec<String>,
    /// Most coordinates of a vector.
    #[serde(default = "default_max_coordinates")]
    pub max_coordinates: u32,
    /// Most bins of a histogram or of quantiles: more bins show more of each value.
    #[serde(default = "default_max_bins")]
    pub max_bins: u32,
    /// Fewest honest contributors that the agreed fewest contributors must leave.
    #[serde(default = "default_min_honest")]
    pub min_honest: u32,
    /// Longest round, the sum of a task's deadlines, in seconds.
    #[serde(default = "default_max_round_s")]
    pub max_round_s: u64,
}

/// One floor, and how a task stands to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Floor {
    /// The key of the policy.
    pub name: &'static str,
    /// What the device demands.
    pub floor: String,
    /// What the task offers.
    pub value: String,
    /// Whether that is enough.
    pub ok: bool,
}

/// Each floor with the task's value, in the order in which a refusal names the first failure.
pub fn explain(policy: &Policy, signed: &SignedTask) -> Vec<Floor> {
    let task = &signed.task;
    vec![
        owner(policy, signed),
        noise(policy, task),
        at_least("min_contributors", policy.min_contributors, task.min_contributors),
        corrupt_share(policy, task),
        at_most("max_coordinates", policy.max_coordinates.into(), task.summed_coordinates() as u64),
        at_most("max_bins", policy.max_bins.into(), bins(task)),
        at_most("max_round_s", policy.max_round_s, round_seconds(task)),
        delta(policy, task),
        epsilon(policy, task),
    ]
}

/// Refuses a task that is below any floor.
///
/// # Errors
/// [`Guard::PolicyFloor`], naming the first floor that failed.
pub fn check(policy: &Policy, signed: &SignedTask) -> Result<(), Refusal> {
    explain(policy, signed).into_iter().try_for_each(|floor| {
        require(floor.ok, Guard::PolicyFloor, || {
            format!(
                "{}: the device demands {}, the task has {}",
                floor.name, floor.floor, floor.value
            )
        })
    })
}

/// Refuses a cohort whose fewest contributors leave too few honest ones.
///
/// # Errors
/// [`Guard::TooFewHonest`].
pub fn check_honest(policy: &Policy, parameters: &Parameters) -> Result<(), Refusal> {
    let honest = parameters.honest_floor();
    require(honest >= policy.min_honest as usize, Guard::TooFewHonest, || {
        format!("of {} contributors {honest} are honest for sure", parameters.a_min)
    })
}

fn owner(policy: &Policy, signed: &SignedTask) -> Floor {
    Floor {
        name: "owners",
        floor: format!("one of {} owners", policy.owners.len()),
        value: signed.owner.to_string(),
        ok: policy.owners.contains(&signed.owner),
    }
}

fn noise(policy: &Policy, task: &Task) -> Floor {
    let allowed = policy.allow_without_noise.contains(&task.name);
    Floor {
        name: "allow_without_noise",
        floor: if allowed { "noise or none" } else { "noise" }.to_owned(),
        value: if task.privacy == Privacy::None { "none" } else { "noise" }.to_owned(),
        ok: allowed || task.privacy != Privacy::None,
    }
}

fn at_least(name: &'static str, floor: u32, value: u32) -> Floor {
    Floor { name, floor: format!("at least {floor}"), value: value.to_string(), ok: value >= floor }
}

fn at_most(name: &'static str, floor: u64, value: u64) -> Floor {
    Floor { name, floor: format!("at most {floor}"), value: value.to_string(), ok: value <= floor }
}

fn corrupt_share(policy: &Policy, task: &Task) -> Floor {
    let floor = share_permille("min_corrupt_share", policy.min_corrupt_share);
    let value = task.corrupt_share_permille;
    Floor {
        name: "min_corrupt_share",
        floor: format!("at least {}", policy.min_corrupt_share),
        value: (f64::from(value) / 1000.0).to_string(),
        ok: floor.is_ok_and(|floor| value >= floor),
    }
}

fn bins(task: &Task) -> u64 {
    task.kind.bins().map_or(0, |bins| bins.count.into())
}

fn round_seconds(task: &Task) -> u64 {
    task.deadlines_s.each().iter().map(|seconds| u64::from(*seconds)).sum()
}

fn delta(policy: &Policy, task: &Task) -> Floor {
    let (value, ok) = match task.privacy {
        Privacy::None => ("none".to_owned(), true),
        Privacy::Noise { delta, .. } => (delta.to_string(), delta <= policy.delta),
    };
    Floor { name: "delta", floor: format!("at most {}", policy.delta), value, ok }
}

/// The epsilon of one round. What is left of the budget is for the ledger to say.
fn epsilon(policy: &Policy, task: &Task) -> Floor {
    let (value, ok) = match task.privacy {
        Privacy::None => ("unbounded, without noise".to_owned(), true),
        Privacy::Noise { .. } => match epsilon_of_one_round(task, policy.delta) {
            Some(epsilon) => (format!("{epsilon:.3} a round"), epsilon <= policy.max_epsilon),
            None => ("unbounded".to_owned(), false),
        },
    };
    Floor { name: "max_epsilon", floor: format!("at most {}", policy.max_epsilon), value, ok }
}

/// For cohorts of any size: the honest contributors add at least z^2 D2^2 of variance together,
/// however many they are. Few may need more noise each than can be drawn, hence the second try.
fn epsilon_of_one_round(task: &Task, delta: f64) -> Option<f64> {
    let Privacy::Noise { law, .. } = task.privacy else { return None };
    let (sensitivity, z) = (task.sensitivity().ok()?, task.noise_multiplier()?);
    let charge = [1, LARGEST_COHORT].into_iter().find_map(|honest| {
        let variance = Variance::for_device(z, &sensitivity, honest, 0).ok()?;
        law.charge(&sensitivity, &variance, honest, task.summed_coordinates()).ok()
    })?;
    Some(charge.epsilon(delta, Orders::Integer))
}

fn default_min_contributors() -> u32 {
    6
}

fn default_min_corrupt_share() -> f64 {
    0.1
}

fn default_max_epsilon() -> f64 {
    8.0
}

fn default_epoch_days() -> u32 {
    90
}

fn default_delta() -> f64 {
    1e-5
}

fn default_max_coordinates() -> u32 {
    crate::task::MAX_COORDINATES
}

fn default_max_bins() -> u32 {
    DEFAULT_MAX_BINS
}

fn default_min_honest() -> u32 {
    2
}

fn default_max_round_s() -> u64 {
    86_400
}
