//! Taking an update from a local application: who may, what it must be, where it waits.

use sealsum_daemon::{Failure, codes};
use sealsum_protocol::analytics;
use sealsum_protocol::policy;
use sealsum_protocol::task::{ModelRule, Privacy, Task, Weights};
use serde::Deserialize;

use crate::access::Peer;
use crate::clock;
use crate::intake::{self, Format};
use crate::pending::{Receipt, Submission};
use crate::rounds::ROUND_REPLAYED;
use crate::service::Service;
use crate::tasks;

/// The query of `POST /v1/updates`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The task it is for.
    pub task: String,
    /// The number of the round it answers.
    #[serde(default)]
    pub round: Option<u64>,
    /// The weight, for tasks that have weights.
    #[serde(default)]
    pub weight: Option<u32>,
    /// The number of the data that it was made from; a task without noise takes each once.
    #[serde(default)]
    pub data_epoch: Option<u64>,
    /// What the body is, for callers that cannot set a content type: `npy`, `safetensors`, `f32`,
    /// `f64`.
    #[serde(default)]
    pub format: Option<String>,
}

/// What the update is called in errors: the application knows its file, we do not.
const NAME: &str = "update";

/// Checks an update as far as it can be checked before its round, and stores it encrypted.
///
/// # Errors
/// `caller_not_allowed`, `task_not_allowed`, those of [`intake::read`], and what the task, where
/// it is known already, does not allow: `wrong_length`, `policy_floor`, `usage` for a weight,
/// `data_epoch_given`, `round_replayed`.
pub fn accept(
    service: &Service,
    peer: Peer,
    query: &Query,
    format: Format,
    body: &[u8],
) -> Result<Receipt, Failure> {
    service.access.check_task(peer, &query.task)?;
    if !tasks::is_name(&query.task) {
        return Err(Failure::new(
            codes::USAGE,
            "task: a name is 1 to 63 of a-z, 0-9 and -",
            "the name in the task's file",
        ));
    }
    let vector = intake::read(format, NAME, body)?;
    check_size(service, vector.len())?;
    let round = match tasks::recall(&service.state, &query.task) {
        Some(signed) => {
            policy::check(&service.config.policy.floors(), &signed)
                .map_err(|refusal| crate::refusal::failure(&refusal))?;
            let expected = signed.task.kind.submitted(signed.task.coordinates);
            intake::check_length(NAME, vector.len(), &query.task, expected.into())?;
            check_value(&signed.task, &vector)?;
            check_weight(&signed.task, query.weight)?;
            if let (Privacy::None, Some(epoch)) = (signed.task.privacy, query.data_epoch) {
                service.epochs().demand_new(&query.task, epoch)?;
            }
            answered_round(service, &signed.task, query.round)?
        }
        None => query.round,
    };
    let submission = Submission {
        task: query.task.clone(),
        round,
        weight: query.weight,
        data_epoch: query.data_epoch,
        vector,
    };
    service.pending().put(&submission, clock::now())
}

fn check_size(service: &Service, coordinates: usize) -> Result<(), Failure> {
    let most = service.config.policy.max_coordinates;
    if u32::try_from(coordinates).is_ok_and(|coordinates| coordinates <= most) {
        return Ok(());
    }
    Err(Failure::new(
        codes::WRONG_LENGTH,
        format!("{NAME}: {coordinates} coordinates where this device takes {most} at most"),
        "raise policy.max_coordinates in agent.toml, or submit less",
    ))
}

/// A query does not take every number.
fn check_value(task: &Task, vector: &[f64]) -> Result<(), Failure> {
    let answer = analytics::encode(&task.kind, vector[0]);
    answer.map(drop).map_err(|refusal| crate::refusal::failure(&refusal))
}

fn check_weight(task: &Task, weight: Option<u32>) -> Result<(), Failure> {
    let (good, expected) = match task.weights {
        Weights::Equal => (weight.is_none(), "no weight: in it all devices count alike".to_owned()),
        Weights::UpTo(max) => (
            weight.is_some_and(|weight| (1..=max).contains(&weight)),
            format!("a weight of 1 to {max}"),
        ),
    };
    if good {
        return Ok(());
    }
    let message = format!("weight: task {} takes {expected}", task.name);
    Err(Failure::new(codes::USAGE, message, "correct --weight"))
}

/// The round that an update answers. One for a model must say which, or there is exactly one open.
fn answered_round(
    service: &Service,
    task: &Task,
    named: Option<u64>,
) -> Result<Option<u64>, Failure> {
    let highest = service.rounds().highest(&task.hash().to_string());
    if let (Some(named), Some(highest)) = (named, highest)
        && named <= highest
    {
        return Err(Failure::new(
            ROUND_REPLAYED,
            format!("round {named} of {}: this device was in {highest} already", task.name),
            "answer the next round",
        ));
    }
    if named.is_some() || task.model == ModelRule::None {
        return Ok(named);
    }
    let open = service.offers.current(&task.name).map(|offer| offer.number);
    open.map(Some).ok_or_else(|| {
        Failure::new(
            codes::REFUSED,
            format!("task {}: its rounds carry a model and none is open", task.name),
            "wait for GET /v1/tasks/TASK/next, or name the round with --round",
        )
    })
}
