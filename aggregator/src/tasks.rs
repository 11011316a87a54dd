//! Signed tasks and grants as files and as rows.

use jiff::Timestamp;
use sealsum_daemon::{Failure, codes as common};
use sealsum_protocol::codec::Message;
use sealsum_protocol::task::{Grant, ModelRule, SignedTask};

use crate::admin::TaskBody;
use crate::codes;
use crate::commands::plan::Plan;
use crate::record::RoundRecord;
use crate::store::{Store, StoreError, StoredTask};

/// Longest signed task that is read, in bytes.
pub const SIGNED_TASK_LIMIT: u64 = SignedTask::MAX_BYTES as u64;
/// Longest grant that is read, in bytes.
pub const GRANT_LIMIT: u64 = Grant::MAX_BYTES as u64;

/// Reads a signed task and checks its owner's signature; `name` is for errors.
///
/// # Errors
/// `file_format` for anything else, `owner_signature`.
pub fn decode_signed(bytes: &[u8], name: &str) -> Result<SignedTask, Failure> {
    let signed = SignedTask::from_bytes(bytes).map_err(|error| {
        Failure::new(
            common::FILE_FORMAT,
            format!("{name}: is not a signed task: {error}"),
            "sealsum-aggregator task sign",
        )
    })?;
    signed.verify().map_err(|refusal| {
        Failure::new(
            codes::OWNER_SIGNATURE,
            format!("{name}: {refusal}"),
            "sign it again with the owner's key (sealsum-aggregator task sign)",
        )
    })?;
    Ok(signed)
}

/// Reads a grant; whose it is shows only beside its task. `name` is for errors.
///
/// # Errors
/// `file_format`.
pub fn decode_grant(bytes: &[u8], name: &str) -> Result<Grant, Failure> {
    Grant::from_bytes(bytes).map_err(|error| {
        Failure::new(
            common::FILE_FORMAT,
            format!("{name}: is not a grant: {error}"),
            "sealsum-aggregator task grant",
        )
    })
}

/// Checks a signed task as far as an aggregator can, and registers it.
///
/// # Errors
/// `file_format`, `owner_signature`, `task_invalid` for a task that no cohort can run, `conflict`
/// for a version that is not above the registered one.
pub fn register(store: &Store, bytes: &[u8]) -> Result<SignedTask, Failure> {
    let signed = decode_signed(bytes, "task")?;
    check_plan(&signed)?;
    let task = &signed.task;
    store
        .register_task(&StoredTask {
            sha256: task.hash(),
            name: task.name.clone(),
            version: task.version,
            signed: bytes.to_vec(),
            created_at: sealsum_daemon::time::now(),
        })
        .map_err(|error| refuse(error, &task.name))?;
    Ok(signed)
}

fn check_plan(signed: &SignedTask) -> Result<(), Failure> {
    let invalid = |why: &str| {
        Failure::new(
            codes::TASK_INVALID,
            format!("task {}: {why}", signed.task.name),
            "sealsum-aggregator task plan, then change the task and sign it again",
        )
    };
    let plan = Plan::of(&signed.task).map_err(|why| invalid(&why))?;
    if plan.ring_bits < plan.ring_bits_needed {
        let needed = plan.ring_bits_needed;
        return Err(invalid(&format!(
            "a ring of {} bits overflows; {needed} are needed",
            plan.ring_bits
        )));
    }
    plan.impossible().map_or(Ok(()), |why| Err(invalid(why)))
}

/// The registered task of this name.
///
/// # Errors
/// `not_found`.
pub fn find(store: &Store, name: &str) -> Result<SignedTask, Failure> {
    let stored = store.task(name).map_err(Failure::from)?.ok_or_else(|| {
        Failure::new(
            common::NOT_FOUND,
            format!("task {name}: is not registered"),
            "sealsum-aggregator task list, or task create",
        )
    })?;
    SignedTask::from_bytes(&stored.signed)
        .map_err(|error| Failure::bug(format!("task {name}: the stored task: {error}")))
}

/// The version of a task that a round was of.
///
/// # Errors
/// When the database fails or lacks it.
pub fn of_round(store: &Store, record: &RoundRecord) -> Result<SignedTask, Failure> {
    let stored = store.task_version(record.parameters.task_sha256)?;
    stored
        .and_then(|stored| SignedTask::from_bytes(&stored.signed).ok())
        .ok_or_else(|| Failure::bug(format!("round {}: its task is not stored", record.round)))
}

/// The word for the rule in JSON and task files.
pub fn model_rule(rule: ModelRule) -> &'static str {
    match rule {
        ModelRule::None => "none",
        ModelRule::Granted => "granted",
    }
}

fn refuse(error: StoreError, name: &str) -> Failure {
    match error {
        StoreError::Conflict(why) => Failure::new(
            common::CONFLICT,
            format!("task {name}: {why}"),
            "sign it with a higher version",
        ),
        StoreError::Different(_) => Failure::new(
            common::CONFLICT,
            format!("task {name}: is registered under another signature"),
            "sign it with a higher version",
        ),
        other => other.into(),
    }
}

/// A task as the commands show it.
///
/// # Errors
/// When the database fails.
pub fn describe(store: &Store, signed: &SignedTask) -> Result<TaskBody, Failure> {
    let task = &signed.task;
    let hash = task.hash();
    let last = store.last_round(hash)?;
    let time = |seconds: u64| {
        i64::try_from(seconds)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or(Timestamp::MAX)
    };
    Ok(TaskBody {
        name: task.name.clone(),
        version: task.version,
        task_sha256: hash,
        owner: signed.owner,
        kind: task.kind.name().to_owned(),
        coordinates: task.coordinates.into(),
        ring_bits: task.ring_bits.into(),
        clip: task.clip,
        scale: task.scale,
        mechanism: task.privacy.mechanism().to_owned(),
        min_contributors: task.min_contributors,
        max_devices: task.max_devices,
        model: model_rule(task.model).to_owned(),
        max_rounds: task.max_rounds,
        last_round: last.map_or(0, |last| last.record.number),
        not_before: time(task.not_before_s),
        not_after: time(task.not_after_s),
    })
}

/// All tasks as the commands show them, by name.
///
/// # Errors
/// When the database fails.
pub fn describe_all(store: &Store) -> Result<Vec<TaskBody>, Failure> {
    let names: Vec<String> = store.tasks()?.into_iter().map(|task| task.name).collect();
    names.iter().map(|name| describe(store, &find(store, name)?)).collect()
}
