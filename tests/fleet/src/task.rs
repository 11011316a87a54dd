//! Small tasks, policies and rounds.

use sealsum_protocol::mask::Suite;
use sealsum_protocol::policy::{DEFAULT_MAX_BINS, Policy};
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::{
    Deadlines, Kind, MAX_COORDINATES, ModelRule, Privacy, Rotation, RoundSpec, SignedTask, Task,
    TaskFields, Weights,
};

use crate::START;

pub fn owner() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// A small task without noise, which `change` adapts.
pub fn task(n: usize, change: impl FnOnce(&mut TaskFields)) -> Task {
    let mut fields = TaskFields {
        name: "test".to_owned(),
        version: 1,
        coordinates: 5,
        ring_bits: 32,
        clip: 1024.0,
        scale: 256,
        weights: Weights::Equal,
        privacy: Privacy::None,
        start_when: n as u32,
        min_contributors: 3,
        max_devices: n as u32,
        corrupt_share_permille: 100,
        dropout_share_permille: 200,
        mask_suite: Suite::ChaCha20,
        kind: Kind::Vector(Rotation::None),
        model: ModelRule::None,
        max_rounds: 100,
        min_interval_s: 0,
        not_before_s: START.unix_s - 10,
        not_after_s: START.unix_s + 1_000_000,
        deadlines_s: Deadlines { advertise: 10, share: 10, mask: 10, check: 10, unmask: 10 },
    };
    change(&mut fields);
    Task::new(fields).expect("a valid task")
}

pub fn policy() -> Policy {
    Policy {
        owners: vec![owner().public()],
        min_contributors: 3,
        min_corrupt_share: 0.0,
        corrupt_fleet: 0,
        max_epsilon: 1e9,
        epoch_days: 90,
        delta: 1e-5,
        allow_without_noise: vec!["test".to_owned()],
        max_coordinates: MAX_COORDINATES,
        max_bins: DEFAULT_MAX_BINS,
        min_honest: 2,
        max_round_s: 86_400,
    }
}

pub fn spec(task: Task, number: u64) -> RoundSpec {
    let signed_task = SignedTask::sign(task, &owner());
    RoundSpec { signed_task, number, nonce: [9; 32], grant: None }
}
