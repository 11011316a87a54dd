//! Whether a round of a task may be opened now, and which.

use jiff::Timestamp;
use sealsum_daemon::{Failure, codes as common, time};
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::task::{Grant, ModelRule, RoundSpec, SignedTask, Task};

use crate::codes;
use crate::record::{
    DevicesRecord, ParametersRecord, PrivacyRecord, ProofRecord, RoundRecord, SecondsRecord, State,
    StepName,
};
use crate::store::StoredRound;

/// The next round of a task: checked against the task's terms, the grant and the owner's
/// signatures.
///
/// # Errors
/// `task_terms`, `round_running`, `grant_mismatch`, `owner_signature`.
pub(super) fn next(
    signed_task: SignedTask,
    last: Option<&StoredRound>,
    grant: Option<Grant>,
    now: Timestamp,
    nonce: [u8; 32],
) -> Result<RoundSpec, Failure> {
    let task = &signed_task.task;
    within_dates(task, now)?;
    let used = last.map_or(0, |last| last.record.number);
    if let Some(last) = last {
        after_interval(task, last, now)?;
    }
    check_grant_is_due(task, grant.as_ref())?;
    let number = grant.as_ref().map_or(used + 1, |grant| grant.number);
    if number <= used {
        let why = format!("round {number} is used up; the next is {}", used + 1);
        return Err(mismatch(task, &why, "a grant for the next round (task grant --number)"));
    }
    if number > task.max_rounds {
        let why = format!("its {} rounds are used up", task.max_rounds);
        return Err(terms(task, &why, "a new version of the task, with more max_rounds"));
    }
    let spec = RoundSpec { signed_task, number, nonce, grant };
    verify(&spec)?;
    Ok(spec)
}

/// The record of a round that is about to begin.
pub(super) fn first_record(spec: &RoundSpec, now: Timestamp) -> RoundRecord {
    let task = &spec.signed_task.task;
    RoundRecord {
        round: spec.round_id(),
        task: task.name.clone(),
        number: spec.number,
        state: State::Running,
        step: Some(StepName::Advertise),
        abort: None,
        started_at: now,
        ended_at: None,
        parameters: parameters(task, spec.model()),
        devices: DevicesRecord::default(),
        result: None,
        privacy: PrivacyRecord::default(),
        proof: ProofRecord::default(),
        bytes_up_max: 0,
        bytes_down_max: 0,
        seconds: SecondsRecord::default(),
    }
}

fn parameters(task: &Task, model: Option<Hash>) -> ParametersRecord {
    ParametersRecord {
        task_sha256: task.hash(),
        model_sha256: model,
        coordinates: task.coordinates.into(),
        ring_bits: task.ring_bits.into(),
        clip: task.clip,
        scale: task.scale,
        mechanism: task.privacy.mechanism().to_owned(),
        noise_variance: None,
        min_contributors: task.min_contributors,
        corrupt_share: f64::from(task.corrupt_share_permille) / 1000.0,
        dropout_share: f64::from(task.dropout_share_permille) / 1000.0,
        mask_suite: task.mask_suite.name().to_owned(),
        corrupt_assumed: None,
        k: None,
        t: None,
        w_min: None,
        quorum: None,
        a_min: None,
    }
}

fn within_dates(task: &Task, now: Timestamp) -> Result<(), Failure> {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    if seconds < task.not_before_s {
        let why = format!("it begins {}", date(task.not_before_s));
        return Err(terms(task, &why, "again then"));
    }
    if seconds > task.not_after_s {
        let why = format!("it ended {}", date(task.not_after_s));
        return Err(terms(task, &why, "a new version of the task"));
    }
    Ok(())
}

fn after_interval(task: &Task, last: &StoredRound, now: Timestamp) -> Result<(), Failure> {
    if last.record.state == State::Running {
        return Err(Failure::new(
            codes::ROUND_RUNNING,
            format!("task {}: round {} is still running", task.name, last.record.number),
            format!("sealsum-aggregator round wait {}", last.record.round),
        ));
    }
    let since = now.duration_since(last.record.started_at).as_secs();
    let left = task.min_interval_s.saturating_sub(u64::try_from(since).unwrap_or(0));
    if left > 0 {
        let why = format!("its rounds are {} s apart", task.min_interval_s);
        return Err(terms(task, &why, &format!("again in {left} s")));
    }
    Ok(())
}

fn check_grant_is_due(task: &Task, grant: Option<&Grant>) -> Result<(), Failure> {
    match (task.model, grant) {
        (ModelRule::None, Some(_)) => {
            Err(mismatch(task, "its rounds have no model", "without --model and --grant"))
        }
        (ModelRule::Granted, None) => {
            Err(mismatch(task, "each round needs a granted model", "--model FILE --grant GRANT"))
        }
        _ => Ok(()),
    }
}

fn verify(spec: &RoundSpec) -> Result<(), Failure> {
    spec.verify().map_err(|refusal| {
        let task = &spec.signed_task.task;
        match refusal.guard {
            Guard::OwnerSignature => Failure::new(
                codes::OWNER_SIGNATURE,
                format!("task {}: {}", task.name, refusal.detail),
                "sign it with the owner's key",
            ),
            _ => mismatch(task, &refusal.detail, "a grant for this task, round and model"),
        }
    })
}

fn terms(task: &Task, why: &str, hint: &str) -> Failure {
    Failure::new(codes::TASK_TERMS, format!("task {}: {why}", task.name), hint)
}

fn mismatch(task: &Task, why: &str, hint: &str) -> Failure {
    Failure::new(codes::GRANT_MISMATCH, format!("task {}: {why}", task.name), hint)
}

fn date(seconds: u64) -> String {
    let signed = i64::try_from(seconds).unwrap_or(i64::MAX);
    time::rfc3339_unix(signed).unwrap_or_else(|_| format!("{seconds} s after 1970"))
}

/// 32 bytes that nobody could know before the round was opened.
///
/// # Errors
/// When the system gives none.
pub(super) fn draw_nonce() -> Result<[u8; 32], Failure> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| {
        Failure::new(
            common::BUG,
            format!("round nonce: no random bytes: {error}"),
            "check the system",
        )
    })?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use sealsum_protocol::signature::SecretKey;

    use super::*;
    use crate::tests::{owner, signed_task, task_with};

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn last(signed: &SignedTask, number: u64, state: State, started: i64) -> StoredRound {
        let spec = RoundSpec { signed_task: signed.clone(), number, nonce: [0; 32], grant: None };
        let mut record = first_record(&spec, at(started));
        record.state = state;
        StoredRound { task: signed.task.hash(), record }
    }

    fn code(result: Result<RoundSpec, Failure>) -> String {
        result.err().map_or("ok".to_owned(), |failure| failure.code.name().to_owned())
    }

    #[test]
    fn numbers_count_up_from_one_to_max_rounds() {
        let signed = signed_task();
        let first = next(signed.clone(), None, None, at(NOW), [1; 32]).unwrap();
        assert_eq!((first.number, first.nonce), (1, [1; 32]));
        let before = last(&signed, 1, State::Aborted, NOW - 100);
        let second = next(signed.clone(), Some(&before), None, at(NOW), [1; 32]).unwrap();
        assert_eq!(second.number, 2);
        let max = signed.task.max_rounds;
        let before = last(&signed, max, State::Finished, NOW - 100);
        assert_eq!(code(next(signed, Some(&before), None, at(NOW), [1; 32])), "task_terms");
    }

    #[test]
    fn the_tasks_dates_and_interval_hold() {
        let signed = task_with(|task| {
            task.min_interval_s = 60;
            task.not_before_s = NOW as u64 - 10;
            task.not_after_s = NOW as u64 + 10;
        });
        let at_time = |now, last: Option<&StoredRound>| {
            code(next(signed.clone(), last, None, at(now), [1; 32]))
        };
        assert_eq!(at_time(NOW, None), "ok");
        assert_eq!(at_time(NOW - 11, None), "task_terms");
        assert_eq!(at_time(NOW + 11, None), "task_terms");
        let recent = last(&signed, 1, State::Finished, NOW - 59);
        assert_eq!(at_time(NOW, Some(&recent)), "task_terms");
        let older = last(&signed, 1, State::Finished, NOW - 60);
        assert_eq!(at_time(NOW, Some(&older)), "ok");
        let running = last(&signed, 1, State::Running, NOW - 600);
        assert_eq!(at_time(NOW, Some(&running)), "round_running");
    }

    #[test]
    fn a_grant_is_for_this_task_round_and_owner() {
        let signed = task_with(|task| task.model = ModelRule::Granted);
        let task = signed.task.hash();
        let model = Hash([9; 32]);
        let with = |grant| code(next(signed.clone(), None, grant, at(NOW), [1; 32]));
        assert_eq!(with(None), "grant_mismatch");
        assert_eq!(with(Some(Grant::sign(task, 3, model, &owner()))), "ok");
        assert_eq!(with(Some(Grant::sign(Hash([0; 32]), 1, model, &owner()))), "grant_mismatch");
        let stranger = SecretKey::from_seed(&[99; 32]);
        assert_eq!(with(Some(Grant::sign(task, 1, model, &stranger))), "owner_signature");
        let mut tampered = Grant::sign(task, 1, model, &owner());
        tampered.model = Hash([8; 32]);
        assert_eq!(with(Some(tampered)), "owner_signature");
        let used = last(&signed, 3, State::Finished, NOW - 100);
        let again = Grant::sign(task, 3, model, &owner());
        let result = next(signed.clone(), Some(&used), Some(again), at(NOW), [1; 32]);
        assert_eq!(code(result), "grant_mismatch");

        let plain = signed_task();
        let grant = Grant::sign(plain.task.hash(), 1, model, &owner());
        assert_eq!(code(next(plain, None, Some(grant), at(NOW), [1; 32])), "grant_mismatch");
    }

    #[test]
    fn a_tampered_task_has_no_rounds() {
        let mut signed = signed_task();
        let stranger = SecretKey::from_seed(&[99; 32]);
        signed.owner = stranger.public();
        assert_eq!(code(next(signed, None, None, at(NOW), [1; 32])), "owner_signature");
    }
}
