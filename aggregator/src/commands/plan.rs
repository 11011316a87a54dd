//! What a task needs, costs and survives, cohort by cohort.

use std::fmt::Write as _;

use sealsum_protocol::parameters::Parameters;
use sealsum_protocol::task::{Privacy, Task};
use serde::{Deserialize, Serialize};

use crate::privacy::Noise;

/// The plan of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The task's name.
    pub task: String,
    /// `vector`, `count`, `mean`, `histogram` or `quantiles`.
    pub kind: String,
    /// Units per 1.0.
    pub scale: u64,
    /// Coordinates that are summed: with the weight and the padding of a rotation.
    pub summed_coordinates: u64,
    /// Width of the ring that the task names.
    pub ring_bits: u32,
    /// The fewest bits that hold a sum with its noise but for one round in 10^9.
    pub ring_bits_needed: u32,
    /// Bytes that each device uploads as its masked vector.
    pub upload_bytes: u64,
    /// The delta that epsilons are for; null without noise.
    pub delta: Option<f64>,
    /// Devices that a round waits for.
    pub start_when: u32,
    /// One for each size of interest.
    pub cohorts: Vec<CohortPlan>,
}

/// What one size of cohort means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortPlan {
    /// Devices in the roster.
    pub devices: u32,
    /// Whether this cohort can keep the task's promises; if not, why.
    pub refused: Option<String>,
    /// Losses from roster to reveal after which there is still a sum.
    pub survives: Option<u32>,
    /// Corrupt devices assumed.
    pub corrupt_assumed: Option<u32>,
    /// Fewest contributors to a sum.
    pub a_min: Option<u32>,
    /// Signatures needed on one set of survivors.
    pub quorum: Option<u32>,
    /// Shares that rebuild a secret.
    pub t: Option<u32>,
    /// Honest contributors that each device is hidden among, at least.
    pub hidden_among: Option<u32>,
    /// Variance of each device's noise, in integer units squared.
    pub noise_variance: Option<String>,
    /// Standard deviation of the noise in each coordinate of the sum over all devices: the error
    /// to expect, in the task's own units.
    pub sum_deviation: Option<f64>,
    /// The same for the mean.
    pub mean_deviation: Option<f64>,
    /// Epsilon of one round.
    pub epsilon_round: Option<f64>,
    /// Epsilon of all rounds that the task allows.
    pub epsilon_task: Option<f64>,
    /// Epsilon of one round for a device that alone is honest: everybody else's noise is known.
    pub epsilon_if_alone: Option<f64>,
}

impl Plan {
    /// Plans a task.
    ///
    /// # Errors
    /// A sentence, when no ring or no noise fits the task.
    pub fn of(task: &Task) -> Result<Self, String> {
        let layout = task.layout().map_err(|refusal| refusal.detail)?;
        let delta = match task.privacy {
            Privacy::None => None,
            Privacy::Noise { delta, .. } => Some(delta),
        };
        Ok(Self {
            task: task.name.clone(),
            kind: task.kind.name().to_owned(),
            scale: task.scale,
            summed_coordinates: task.summed_coordinates() as u64,
            ring_bits: task.ring_bits.into(),
            ring_bits_needed: bits_needed(task)?.into(),
            upload_bytes: (0..layout.chunks()).map(|i| layout.chunk_wire_len(i) as u64).sum(),
            delta,
            start_when: task.start_when,
            cohorts: sizes(task).into_iter().map(|n| CohortPlan::of(task, n)).collect(),
        })
    }

    /// Why the cohort that the task waits for cannot keep its promises, if it cannot.
    pub fn impossible(&self) -> Option<&str> {
        let awaited = self.cohorts.iter().find(|cohort| cohort.devices == self.start_when);
        awaited.and_then(|cohort| cohort.refused.as_deref())
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "task {}: {} of {} coordinates in units of 1/{}, ring of {} bits ({} needed), {} bytes \
             up per device\n",
            self.task,
            self.kind,
            self.summed_coordinates,
            self.scale,
            self.ring_bits,
            self.ring_bits_needed,
            self.upload_bytes
        );
        for cohort in &self.cohorts {
            cohort.write(&mut text, self.delta);
        }
        text
    }
}

impl CohortPlan {
    /// Plans one size.
    pub fn of(task: &Task, devices: u32) -> Self {
        let planned = Parameters::derive(&task.cohort_inputs(), devices as usize, 0)
            .map_err(|error| error.to_string())
            .and_then(|cohort| Ok((Noise::of(task, &cohort)?, cohort)));
        match planned {
            Ok((noise, cohort)) => Self::of_cohort(task, devices, &cohort, noise.as_ref()),
            Err(why) => Self { devices, refused: Some(why), ..Self::nothing() },
        }
    }

    fn nothing() -> Self {
        Self {
            devices: 0,
            refused: None,
            survives: None,
            corrupt_assumed: None,
            a_min: None,
            quorum: None,
            t: None,
            hidden_among: None,
            noise_variance: None,
            sum_deviation: None,
            mean_deviation: None,
            epsilon_round: None,
            epsilon_task: None,
            epsilon_if_alone: None,
        }
    }

    fn of_cohort(task: &Task, devices: u32, cohort: &Parameters, noise: Option<&Noise>) -> Self {
        let deviation = noise.map(|noise| noise.deviation(task, devices as usize));
        let number = |value: usize| u32::try_from(value).ok();
        Self {
            devices,
            refused: None,
            survives: number(cohort.tolerated()),
            corrupt_assumed: number(cohort.corrupt),
            a_min: number(cohort.a_min),
            quorum: number(cohort.quorum),
            t: number(cohort.t),
            hidden_among: number(cohort.honest_floor()),
            noise_variance: noise.map(|noise| noise.variance.to_string()),
            sum_deviation: deviation,
            mean_deviation: deviation.map(|deviation| deviation / f64::from(devices)),
            epsilon_round: noise.map(Noise::epsilon),
            epsilon_task: noise.and_then(|noise| noise.epsilon_of(task.max_rounds)),
            epsilon_if_alone: noise.and_then(Noise::epsilon_if_alone),
        }
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        let (Some(survives), Some(corrupt), Some(hidden)) =
            (self.survives, self.corrupt_assumed, self.hidden_among)
        else {
            let why = self.refused.as_deref().unwrap_or("nothing is known");
            return format!("{} devices: refused, {why}", self.devices);
        };
        format!(
            "{} devices: survives {survives} losses after the roster closes; {corrupt} corrupt \
             assumed; each hidden among at least {hidden}",
            self.devices
        )
    }

    fn write(&self, text: &mut String, delta: Option<f64>) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", self.sentence());
        if let (Some(round), Some(sum), Some(mean), Some(variance), Some(delta)) = (
            self.epsilon_round,
            self.sum_deviation,
            self.mean_deviation,
            &self.noise_variance,
            delta,
        ) {
            let bounded = |epsilon: Option<f64>| {
                epsilon.map_or("unbounded".to_owned(), |epsilon| format!("{epsilon:.3}"))
            };
            let (all, alone) = (bounded(self.epsilon_task), bounded(self.epsilon_if_alone));
            let _ = writeln!(
                text,
                "  noise of variance {variance} units a device; expected error {sum:.3e} per \
                 coordinate of the sum, {mean:.3e} of the mean\n  epsilon {round:.3} a round, {all} \
                 for all rounds (delta {delta:e}); {alone} a round if nobody else is honest"
            );
        }
    }
}

/// The fewest bits that hold a sum of this task.
fn bits_needed(task: &Task) -> Result<u8, String> {
    let sensitivity = task.sensitivity().map_err(|error| error.to_string())?;
    let cohort = task.cohort_inputs();
    task.plan(&sensitivity, &cohort, 0).ring_bits().map_err(|error| error.to_string())
}

/// The sizes that people ask about, ascending.
fn sizes(task: &Task) -> Vec<u32> {
    let mut sizes = vec![task.min_contributors, task.start_when, task.max_devices];
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}
