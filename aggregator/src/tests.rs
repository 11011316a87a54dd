//! What the unit tests of this crate share.

use sealsum_protocol::dp::Law;
use sealsum_protocol::mask::Suite;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::{
    Deadlines, Kind, ModelRule, Privacy, Rotation, SignedTask, Task, TaskFields, Weights,
};

/// The owner of the tasks below.
pub(crate) fn owner() -> SecretKey {
    SecretKey::from_seed(&[42; 32])
}

/// A plain task, good for all times.
pub(crate) fn signed_task() -> SignedTask {
    task_with(|_| {})
}

/// A task with some values changed.
pub(crate) fn task_with(change: impl FnOnce(&mut TaskFields)) -> SignedTask {
    let mut fields = TaskFields {
        name: "penguins".to_owned(),
        version: 1,
        coordinates: 15,
        ring_bits: 32,
        clip: 1.0,
        scale: 65536,
        weights: Weights::Equal,
        privacy: Privacy::Noise { law: Law::Skellam, z_permille: 3000, delta: 1e-5 },
        start_when: 12,
        min_contributors: 6,
        max_devices: 100,
        corrupt_share_permille: 100,
        dropout_share_permille: 350,
        mask_suite: Suite::ChaCha20,
        kind: Kind::Vector(Rotation::None),
        model: ModelRule::None,
        max_rounds: 30,
        min_interval_s: 0,
        not_before_s: 0,
        not_after_s: 4_000_000_000,
        deadlines_s: Deadlines { advertise: 20, share: 20, mask: 60, check: 20, unmask: 20 },
    };
    change(&mut fields);
    SignedTask::sign(Task::new(fields).unwrap(), &owner())
}
