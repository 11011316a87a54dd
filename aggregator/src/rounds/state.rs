//! What changes in a running round, and its record.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use axum::body::Bytes;
use sealsum_daemon::Failure;
use sealsum_protocol::dp::accountant::Charge;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::server::Round;

use super::{Parts, report};
use crate::privacy::{self, Noise};
use crate::record::{ResultRecord, RoundRecord, State, StepName};

/// What changes, under one lock.
pub(super) struct Core {
    pub(super) machine: Round,
    /// As it began; after the end, as it ended.
    pub(super) record: RoundRecord,
    pub(super) wake_ms: u64,
    /// Who completed which step.
    pub(super) accepted: HashMap<StepName, HashSet<DeviceId>>,
    /// U2, once it is fixed.
    pub(super) shared: HashSet<DeviceId>,
    /// Since when each device of the round has had no connection.
    pub(super) away: HashMap<DeviceId, Instant>,
    /// Those of them that the machine was told of.
    pub(super) gone: HashSet<DeviceId>,
    /// That the members are in the authority's log, once it is there.
    pub(super) proof: Option<Bytes>,
    pub(super) traffic: HashMap<DeviceId, Traffic>,
    /// The noise of the cohort, once there is one.
    pub(super) noise: Option<Noise>,
    /// Chunks unmasked, of all.
    pub(super) chunks: Option<(u64, u64)>,
    pub(super) result: Option<ResultRecord>,
    /// Why this program, and not the protocol, ended the round.
    pub(super) cause: Option<Failure>,
}

/// Bytes of bodies.
#[derive(Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) up: u64,
    pub(super) down: u64,
}

impl Core {
    pub(super) fn new(machine: Round, record: RoundRecord) -> Self {
        Self {
            machine,
            record,
            wake_ms: 0,
            accepted: HashMap::new(),
            shared: HashSet::new(),
            away: HashMap::new(),
            gone: HashSet::new(),
            proof: None,
            traffic: HashMap::new(),
            noise: None,
            chunks: None,
            result: None,
            cause: None,
        }
    }

    /// The record with what the machine knows now; after the end, as it ended.
    pub(super) fn record(&self) -> RoundRecord {
        let mut record = self.record.clone();
        if record.state == State::Running {
            report::fill(&mut record, self.machine.report());
            self.add_so_far(&mut record);
            record.bytes_up_max = self.most(|traffic| traffic.up);
            record.bytes_down_max = self.most(|traffic| traffic.down);
        }
        record
    }

    /// The set that the step in progress will fix, as far as it has come.
    fn add_so_far(&self, record: &mut RoundRecord) {
        let so_far = |step: StepName| {
            let mut devices: Vec<DeviceId> =
                self.accepted.get(&step).into_iter().flatten().copied().collect();
            devices.sort_unstable();
            devices
        };
        match record.step {
            Some(step @ StepName::Advertise) => record.devices.roster = so_far(step),
            Some(step @ StepName::Share) => record.devices.shared = so_far(step),
            Some(step @ StepName::Mask) => record.devices.contributors = so_far(step),
            Some(StepName::Check | StepName::Unmask) | None => {}
        }
    }

    fn most(&self, of: fn(&Traffic) -> u64) -> u64 {
        self.traffic.values().map(of).max().unwrap_or(0)
    }

    /// Everybody who entered.
    pub(super) fn members(&self) -> impl Iterator<Item = DeviceId> + use<> {
        let entered = self.accepted.get(&StepName::Advertise);
        entered.cloned().unwrap_or_default().into_iter()
    }

    /// Whether a device may send its vector now.
    pub(super) fn vector_is_due(&self, device: DeviceId) -> Result<(), Failure> {
        report::vector_is_due(self.machine.step(), self.shared.contains(&device), device)
    }

    /// Writes what follows from the roster into the record.
    pub(super) fn note_cohort(&mut self, parts: &Parts) {
        let Some(cohort) = self.machine.cohort() else { return };
        let noise = match Noise::of(&cohort.task, &cohort.parameters) {
            Ok(noise) => noise,
            Err(error) => {
                tracing::error!(round = %self.record.round, error, "the noise of this cohort is unknown");
                None
            }
        };
        self.record.parameters.set_cohort(&cohort.parameters);
        if let Some(noise) = noise {
            self.record.parameters.noise_variance = Some(noise.variance.to_string());
            self.record.privacy = noise.record(self.charged_before(parts));
            self.noise = Some(noise);
        }
    }

    /// What earlier rounds of the task cost a device that was in each: all in which vectors were
    /// asked for, with or without a result.
    fn charged_before(&self, parts: &Parts) -> Charge {
        let stored = match parts.store.rounds(Some(&self.record.task)) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "earlier rounds are not counted");
                Vec::new()
            }
        };
        let spent = stored
            .into_iter()
            .filter(|round| round.task == self.record.parameters.task_sha256)
            .filter(|round| round.record.round != self.record.round)
            .filter(|round| !round.record.devices.shared.is_empty());
        spent.fold(Charge::default(), |sum, round| {
            let charge = privacy::recorded_charge(&round.record.privacy);
            Charge { xi: sum.xi.saturating_add(charge.xi), rho: sum.rho.saturating_add(charge.rho) }
        })
    }
}
