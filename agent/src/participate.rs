//! From announcements to rounds: what is refused at once, what waits for an update, what is played.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sealsum_daemon::Failure;
use sealsum_daemon::codes::{Code, Exit};
use sealsum_protocol::dp::accountant::Charge;
use sealsum_protocol::dp::variance::Variance;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::policy;
use sealsum_protocol::task::{RoundSpec, SignedTask, Task};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::courier;
use crate::offers::Offer;
use crate::pending::Waiting;
use crate::play::{Played, play};
use crate::refusal;
use crate::rounds::{Outcome, Reason, Record};
use crate::service::Service;
use crate::tasks;
use crate::upstream::{Backoff, Request, Upstream};

/// How long the aggregator may hold back an answer to "is a round open?".
const OPEN_WAIT: Duration = Duration::from_secs(20);
/// Between two looks while a round is open that this device cannot enter yet.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Between two looks of a device that is not wanted.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// Rounds open to this device at a time that it remembers.
const CANDIDATES_MAX: usize = 64;
/// Largest model fetched: 2^26 coordinates of 8 bytes, and room for a header.
const MODEL_MAX: u64 = (8 << 26) + (1 << 20);
/// The model is not the one that the owner granted.
const MODEL_HASH: Code = Code::new("model_hash", Exit::Refused);

/// Rounds that this device would enter with an update, by round id.
#[derive(Debug, Default)]
pub struct Candidates(Mutex<BTreeMap<String, RoundSpec>>);

impl Candidates {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, RoundSpec>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts listening for rounds. The thread ends with the process: it may hang in a network.
pub fn start(service: &Arc<Service>) {
    let service = service.clone();
    thread::spawn(move || listen(&service));
}

fn listen(service: &Arc<Service>) {
    let mut backoff = Backoff::default();
    while !service.shutdown.is_triggered() {
        let connected = service.device().aggregator(&service.config);
        let looked = connected.and_then(|aggregator| listen_on(service, &aggregator, &mut backoff));
        if let Err(failure) = looked {
            tracing::warn!(code = failure.code.name(), "{}", failure.message);
            let unwanted = failure.code.exit() == Exit::NotEnrolled;
            thread::sleep(if unwanted { REFUSED_PAUSE } else { backoff.pause() });
        }
    }
}

/// Looks for rounds over one connection until that fails.
fn listen_on(
    service: &Arc<Service>,
    aggregator: &Upstream,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    while !service.shutdown.is_triggered() {
        let open = courier::open_rounds(aggregator, OPEN_WAIT);
        service.health.aggregator(&open);
        let specs = open?;
        *backoff = Backoff::default();
        forget_closed(service, &specs);
        let waits = !specs.is_empty();
        for spec in specs.into_iter().take(CANDIDATES_MAX) {
            consider(service, aggregator, spec)?;
        }
        join_ready(service);
        // The aggregator repeats at once what this device does not enter.
        if waits {
            thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(())
}

/// Rounds that are not announced any more are closed, or this device is in them.
fn forget_closed(service: &Service, open: &[RoundSpec]) {
    let open: Vec<String> = open.iter().map(|spec| spec.round_id().to_string()).collect();
    service.candidates.lock().retain(|id, spec| {
        let still_open = open.contains(id);
        if !still_open {
            service.offers.withdraw(&spec.signed_task.task.name, spec.number);
        }
        still_open
    });
}

/// Looks at an announced round, once.
fn consider(service: &Service, aggregator: &Upstream, spec: RoundSpec) -> Result<(), Failure> {
    let id = spec.round_id().to_string();
    if service.candidates.lock().contains_key(&id) || is_over(service, &spec, &id) {
        return Ok(());
    }
    let task = spec.signed_task.task.name.clone();
    match screen(service, &spec).and_then(|()| offer(service, aggregator, &spec)) {
        Ok(()) => {
            tracing::info!(round = id, task, number = spec.number, "round is open");
            drop_stale(service, &task, spec.number.saturating_sub(1))?;
            service.candidates.lock().insert(id, spec);
            Ok(())
        }
        Err(failure) if failure.code.exit() == Exit::Unreachable => Err(failure),
        Err(failure) => refuse(service, &spec, &failure),
    }
}

/// Removes an update that only rounds up to `number` could have taken.
fn drop_stale(service: &Service, task: &str, number: u64) -> Result<(), Failure> {
    let mut pending = service.pending();
    match pending.waiting(task)? {
        Some(waiting) if waiting.is_over_with(number) => {
            let message = format!("the round it answers is over: {number} was the last");
            pending.discard(task, Reason { code: Guard::Submission.name().into(), message })
        }
        _ => Ok(()),
    }
}

/// Whether this device was in it, is in it, refused it, or is beyond it.
fn is_over(service: &Service, spec: &RoundSpec, id: &str) -> bool {
    let rounds = service.rounds();
    let highest = rounds.highest(&spec.signed_task.task.hash().to_string());
    rounds.knows(id) || highest.is_some_and(|highest| spec.number <= highest)
}

/// What can be refused before there is an update.
fn screen(service: &Service, spec: &RoundSpec) -> Result<(), Failure> {
    service.witness.demand_one_history()?;
    let refused = |refusal| refusal::failure(&refusal);
    spec.verify().map_err(refused)?;
    let floors = service.config.policy.floors();
    remember(service, &spec.signed_task)?;
    policy::check(&floors, &spec.signed_task).map_err(refused)?;
    spec.signed_task.task.check_width(floors.corrupt_fleet).map_err(refused)?;
    let task = &spec.signed_task.task;
    service.ledger().afford(&task.name, worst_charge(task), clock::now())
}

/// A stranger's task must not take the place of one by an owner whom this device trusts.
fn remember(service: &Service, signed: &SignedTask) -> Result<(), Failure> {
    let trusted = service.config.policy.owners.contains(&signed.owner);
    if trusted || tasks::recall(&service.state, &signed.task.name).is_none() {
        tasks::remember(&service.state, signed)?;
    }
    Ok(())
}

/// An upper bound of what a round costs, whatever its cohort: the noise of the honest devices
/// together has at least z^2 D2^2 of variance, however many they are.
fn worst_charge(task: &Task) -> Option<Charge> {
    let multiplier = task.noise_multiplier()?;
    let sensitivity = task.sensitivity().ok()?;
    let total = Variance::for_device(multiplier, &sensitivity, 1, 0).ok()?;
    Charge::skellam(&sensitivity, &total, 1).ok()
}

/// Fetches the round's model, if it has one, and offers it to the local applications.
fn offer(service: &Service, aggregator: &Upstream, spec: &RoundSpec) -> Result<(), Failure> {
    let Some(hash) = spec.model() else { return Ok(()) };
    let path = format!("/v1/models/{hash}");
    let answer = aggregator.demand(Request { limit: MODEL_MAX, ..Request::get(&path) })?;
    if Hash(Sha256::digest(&answer.body).into()) != hash {
        return Err(Failure::new(
            MODEL_HASH,
            format!("round {}: its model is not the one granted", spec.round_id()),
            "the aggregator sent another model; report it to the owner",
        ));
    }
    let task = &spec.signed_task.task;
    let open_for = Duration::from_secs(task.deadlines_s.advertise.into());
    let model = answer.body.into();
    let offer = Offer { number: spec.number, model, until: Instant::now() + open_for };
    service.offers.put(&task.name, offer);
    Ok(())
}

fn refuse(service: &Service, spec: &RoundSpec, failure: &Failure) -> Result<(), Failure> {
    let task = &spec.signed_task.task.name;
    tracing::warn!(task, code = failure.code.name(), "round refused: {}", failure.message);
    service.pending().passed_over(task, Reason::from(failure))?;
    service.rounds().end(record(spec, Outcome::Refused, Some(failure), None))
}

/// Enters every open round that an update answers.
pub fn join_ready(service: &Arc<Service>) {
    let mut candidates = service.candidates.lock();
    let ready: Vec<(String, Waiting)> = candidates
        .iter()
        .filter_map(|(id, spec)| Some((id.clone(), answer_to(service, spec)?)))
        .collect();
    for (id, waiting) in ready {
        // The first of two rounds of one task gets the one update.
        if !service.playing.enter(&waiting.task) {
            continue;
        }
        if let Some(spec) = candidates.remove(&id) {
            let service = service.clone();
            thread::spawn(move || {
                take_part(&service, &spec, &waiting);
                service.playing.leave(&waiting.task);
            });
        }
    }
}

/// The update that answers this round, if one waits.
fn answer_to(service: &Service, spec: &RoundSpec) -> Option<Waiting> {
    let waiting = service.pending().waiting(&spec.signed_task.task.name).ok()??;
    waiting.answers(spec.number, spec.model().is_some()).then_some(waiting)
}

fn take_part(service: &Service, spec: &RoundSpec, waiting: &Waiting) {
    service.offers.withdraw(&waiting.task, spec.number);
    let mut played = Played::default();
    let result = catch_unwind(AssertUnwindSafe(|| play(service, spec, waiting, &mut played)))
        .unwrap_or_else(|_| Err(Failure::bug("round: the program failed; see its log")));
    if let Err(failure) = settle(service, spec, &played, result.as_ref().err()) {
        tracing::error!(code = failure.code.name(), "{}", failure.message);
    }
}

/// Writes down how a round went.
fn settle(
    service: &Service,
    spec: &RoundSpec,
    played: &Played,
    failure: Option<&Failure>,
) -> Result<(), Failure> {
    let outcome = failure.map_or(Outcome::Contributed, Outcome::of);
    let task = &spec.signed_task.task.name;
    match failure {
        None => tracing::info!(task, number = spec.number, "contributed"),
        Some(why) => {
            tracing::warn!(task, number = spec.number, code = why.code.name(), "{}", why.message);
        }
    }
    if played.masked {
        service.ledger().end_round(failure.is_none())?;
    }
    let epsilon = played.charge.map(|charge| service.ledger().epsilon(charge));
    service.rounds().end(record(spec, outcome, failure, epsilon))?;
    let reason = failure.map(Reason::from);
    if let Some(consumed) = &played.consumed {
        return service.pending().finish(&consumed.receipt, reason);
    }
    if let Some(reason) = reason {
        service.pending().passed_over(task, reason)?;
    }
    drop_stale(service, task, spec.number)
}

fn record(
    spec: &RoundSpec,
    outcome: Outcome,
    failure: Option<&Failure>,
    epsilon: Option<f64>,
) -> Record {
    Record {
        round: spec.round_id().to_string(),
        task: spec.signed_task.task.name.clone(),
        number: spec.number,
        at: clock::now(),
        outcome,
        code: failure.map(|failure| failure.code.name().to_owned()),
        message: failure.map(|failure| failure.message.clone()),
        epsilon,
    }
}
