//! One running round: the protocol's machine, obeyed output by output.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use jiff::Timestamp;
use sealsum_daemon::{Failure, files, time};
use sealsum_protocol::codec::Message;
use sealsum_protocol::error::AbortCode;
use sealsum_protocol::ids::{DeviceId, Hash, RoundId};
use sealsum_protocol::messages::{Announcement, MaskedInput};
use sealsum_protocol::server::{Event, Fetched, Incoming, Output, Record, Round, Stage, Step};
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;
use tokio::sync::watch;

use super::state::Core;
use super::{Parts, ending, opening, proof, report, unmasking};
use crate::admin::ProgressBody;
use crate::codes;
use crate::deals::DealFile;
use crate::devices::Newest;
use crate::membership::Members;
use crate::privacy::Noise;
use crate::record::{ResultRecord, RoundRecord, State, StepName};
use crate::refused::Refused;
use crate::store::{Fact, NewRound};
use crate::uploads::Uploads;

/// A round, from its opening until the next of its task.
pub(super) struct Live {
    id: RoundId,
    spec: RoundSpec,
    parts: Parts,
    uploads: Uploads,
    deals: DealFile,
    begun: Instant,
    running: AtomicBool,
    core: Mutex<Core>,
    /// Counts whatever an operator may wait for.
    news: watch::Sender<u64>,
    /// Counts what devices wait for: few things, so that a large cohort is seldom woken.
    stages: watch::Sender<u64>,
}

/// How long a device may be without a connection before steps stop waiting for it.
const AWAY: Duration = Duration::from_secs(3);
/// Longest between two looks at deadlines and connections.
const TICK: Duration = Duration::from_millis(500);

/// Sees to a round's deadlines until it ends.
pub(super) async fn keep_time(live: Arc<Live>) {
    while live.is_running() {
        tokio::time::sleep(live.until_next_look()).await;
        let ticking = Arc::clone(&live);
        let ticked = tokio::task::spawn_blocking(move || ticking.tick()).await;
        if let Err(error) = ticked {
            tracing::error!(%error, "a round's clock failed");
        }
    }
}

impl Live {
    /// Opens a round: its number is used up once this returns.
    pub(super) fn open(
        parts: &Parts,
        spec: RoundSpec,
        list: &Newest,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let begun = Instant::now();
        let (id, record) = (spec.round_id(), opening::first_record(&spec, now));
        let members = Box::new(Members::new(Arc::clone(&parts.devices)));
        let encoded = list.encoded.clone();
        let at = Now { unix_s: seconds(now), steady_ms: 0 };
        let mut machine = Round::open(spec.clone(), parts.corrupt_fleet, members, encoded, at)
            .map_err(|refusal| report::refused(&refusal))?;
        let task = spec.signed_task.task.hash();
        let announcement = Announcement { rounds: vec![spec.clone()] }.to_bytes();
        let new = NewRound { task, announcement: &announcement, record: &record };
        parts.store.begin_round(&new)?;
        let (uploads, deals) = prepare_files(parts, &spec).inspect_err(|failure| {
            let record = ending::aborted(record.clone(), failure.clone());
            if let Err(error) = parts.store.end_round(&record) {
                tracing::error!(round = %id, %error, "the end of a round was not kept");
            }
        })?;
        machine.keep_deals(Box::new(deals.clone()));
        tracing::info!(round = %id, task = record.task, number = record.number, "round opened");
        let live = Self {
            id,
            spec,
            parts: parts.clone(),
            uploads,
            deals,
            begun,
            running: AtomicBool::new(true),
            core: Mutex::new(Core::new(machine, record)),
            news: watch::Sender::new(1),
            stages: watch::Sender::new(0),
        };
        Ok(live)
    }

    pub(super) fn id(&self) -> RoundId {
        self.id
    }

    pub(super) fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    pub(super) fn task(&self) -> Hash {
        self.spec.signed_task.task.hash()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(super) fn stages(&self) -> watch::Receiver<u64> {
        self.stages.subscribe()
    }

    /// The record as it is at this moment.
    pub(super) fn record(&self) -> RoundRecord {
        self.lock().record()
    }

    /// Whether a device has not entered and still can.
    pub(super) fn is_open_to(&self, device: DeviceId) -> bool {
        self.is_running() && self.lock().machine.is_open_to(device)
    }

    /// Takes a message of a device.
    pub(super) fn deliver(
        self: &Arc<Self>,
        device: DeviceId,
        message: Incoming,
        bytes: u64,
    ) -> Result<(), Refused> {
        let mut core = self.open_to(device, bytes)?;
        self.received(&mut core, device, message)
    }

    /// Takes a chunk, from a device in U2 while vectors are due.
    pub(super) fn put_chunk(
        &self,
        device: DeviceId,
        chunk: usize,
        body: &[u8],
    ) -> Result<(), Refused> {
        self.open_to(device, body.len() as u64)?.vector_is_due(device)?;
        Ok(self.uploads.put(device, chunk, body).map_err(report::upload_failure)?)
    }

    /// Takes what a device signed of its vector, once the vector is whole and durable.
    pub(super) fn complete_upload(
        self: &Arc<Self>,
        device: DeviceId,
        message: MaskedInput,
        bytes: u64,
    ) -> Result<(), Refused> {
        self.open_to(device, bytes)?.vector_is_due(device)?;
        let received = self.uploads.complete(device, message.root);
        let received_root = received.map_err(report::upload_failure)?;
        let mut core = self.lock();
        self.received(&mut core, device, Incoming::Masked { message, received_root })
    }

    /// What the round says to a device at a stage.
    pub(super) fn said_to(
        self: &Arc<Self>,
        device: DeviceId,
        stage: Stage,
    ) -> Result<Option<Bytes>, Refused> {
        let mut core = self.lock();
        self.is_back(&mut core, device);
        let fetched = core.machine.fetch(device, stage);
        self.demand_deals(&mut core)?;
        match fetched.map_err(|refusal| report::refused(&refusal))? {
            Fetched::Ready(message) => {
                core.traffic.entry(device).or_default().down += message.len() as u64;
                Ok(Some(Bytes::from_owner(message)))
            }
            Fetched::NotYet if self.is_running() => Ok(None),
            Fetched::NotYet | Fetched::Aborted(_) => Err(ending::gone(&core.record)),
        }
    }

    /// The proof that the members are in the authority's log, for one of them.
    pub(super) fn roster_proof(&self, device: DeviceId) -> Result<Option<Bytes>, Refused> {
        let mut core = self.lock();
        self.is_back(&mut core, device);
        let roster = core.machine.fetch(device, Stage::Roster);
        let roster = roster.map_err(|refusal| report::refused(&refusal))?;
        let proof = core.proof.clone().filter(|_| matches!(roster, Fetched::Ready(_)));
        if let Some(proof) = &proof {
            core.traffic.entry(device).or_default().down += proof.len() as u64;
        } else if !self.is_running() {
            return Err(ending::gone(&core.record));
        }
        Ok(proof)
    }

    /// The members are in the authority's log.
    pub(super) fn proven(&self, proof: Bytes) {
        self.lock().proof = Some(proof);
        self.stages.send_modify(|count| *count += 1);
    }

    /// How far it is.
    pub(super) fn progress(&self, version: u64) -> ProgressBody {
        let core = self.lock();
        let step = if self.is_running() { report::name_of(core.machine.step()) } else { None };
        let done = step.and_then(|step| core.accepted.get(&step)).map_or(0, HashSet::len);
        let of = match step {
            Some(StepName::Advertise) => self.spec.signed_task.task.start_when as usize,
            _ => core.machine.awaited(),
        };
        ProgressBody {
            version,
            state: core.record.state,
            step,
            devices: done as u64,
            of: of as u64,
            chunks: core.chunks,
        }
    }

    /// Ends it because the operator says so.
    pub(super) fn cancel(self: &Arc<Self>) {
        let mut core = self.lock();
        let message = "the operator ended the round".to_owned();
        self.happen(&mut core, Event::End { code: AbortCode::Cancelled, message });
    }

    /// Ends it because this program stops.
    pub(super) fn stop(self: &Arc<Self>) {
        let failure = Failure::new(
            codes::AGGREGATOR_RESTARTED,
            "the aggregator was stopped within the round",
            "start the next round",
        );
        self.fail(&mut self.lock(), failure);
    }

    /// Takes a new status list: who is on it is out.
    pub(super) fn status_list(self: &Arc<Self>, newest: &Newest) {
        let mut core = self.lock();
        self.happen(&mut core, Event::StatusList(newest.encoded.clone()));
        let out: Vec<DeviceId> = core.members().filter(|id| newest.revokes(*id)).collect();
        for device in out {
            self.happen(&mut core, Event::Revoked(device));
        }
    }

    /// The unmasking came to `done` chunks of `all`.
    pub(super) fn unmasked(&self, done: usize, all: usize) {
        self.lock().chunks = Some((done as u64, all as u64));
        self.tell();
    }

    /// The unmasking is done: `finish`, given the noise of the cohort, makes the file durable and
    /// says what is in it.
    pub(super) fn recovered(
        self: &Arc<Self>,
        wrong_chunks: Vec<usize>,
        finish: impl FnOnce(Option<&Noise>) -> Result<ResultRecord, Failure>,
    ) {
        let mut core = self.lock();
        if core.machine.step() != Step::Recover {
            return;
        }
        if wrong_chunks.is_empty() {
            match finish(core.noise.as_ref()) {
                Ok(result) => core.result = Some(result),
                Err(failure) => return self.fail(&mut core, failure),
            }
        }
        self.happen(&mut core, Event::Recovered { wrong_chunks });
    }

    /// Ends it because this program cannot go on.
    pub(super) fn failed(self: &Arc<Self>, failure: Failure) {
        self.fail(&mut self.lock(), failure);
    }

    fn fail(self: &Arc<Self>, core: &mut Core, failure: Failure) {
        let message = failure.message.clone();
        core.cause = Some(failure);
        self.happen(core, Event::End { code: AbortCode::Cancelled, message });
    }

    fn tick(self: &Arc<Self>) {
        let connected = self.parts.devices.connected();
        let mut core = self.lock();
        let now = Instant::now();
        let members: Vec<DeviceId> = core.members().collect();
        for device in members {
            if connected.contains(&device) {
                core.away.remove(&device);
                continue;
            }
            let since = *core.away.entry(device).or_insert(now);
            if now.duration_since(since) >= AWAY && core.gone.insert(device) {
                tracing::info!(round = %self.id, %device, "has gone");
                self.happen(&mut core, Event::Gone(device));
            }
        }
        self.happen(&mut core, Event::Tick);
    }

    fn until_next_look(&self) -> Duration {
        let left = self.lock().wake_ms.saturating_sub(self.steady_ms());
        Duration::from_millis(left).min(TICK)
    }

    /// The core, for a device that is let in; refuses if the round is aborted.
    fn open_to(&self, device: DeviceId, bytes: u64) -> Result<MutexGuard<'_, Core>, Refused> {
        let mut core = self.lock();
        core.traffic.entry(device).or_default().up += bytes;
        self.is_back(&mut core, device);
        if core.record.state == State::Aborted {
            return Err(ending::gone(&core.record));
        }
        Ok(core)
    }

    /// Revoked devices do not come back: their requests are refused before they get here.
    fn is_back(&self, core: &mut Core, device: DeviceId) {
        core.away.remove(&device);
        if core.gone.remove(&device) {
            // Coming back is never refused.
            let _ = core.machine.handle(self.now(), Event::Back(device));
        }
    }

    fn received(
        self: &Arc<Self>,
        core: &mut Core,
        device: DeviceId,
        message: Incoming,
    ) -> Result<(), Refused> {
        let step = report::step_of(&message);
        let outcome = core.machine.handle(self.now(), Event::Received { from: device, message });
        if outcome.is_ok() {
            let done = core.accepted.entry(step).or_default();
            done.insert(device);
            self.parts.metrics.step_devices(step, done.len());
        }
        if step == StepName::Advertise {
            self.parts.metrics.entry(outcome.as_ref().err().map(|refusal| refusal.guard));
        }
        self.obey(core);
        self.demand_deals(core)?;
        if let Err(refusal) = &outcome {
            tracing::info!(round = %self.id, %device, %refusal, "message refused");
        }
        Ok(outcome.map_err(|refusal| report::refused(&refusal))?)
    }

    /// Ends the round if what was dealt cannot be kept, or not be read back.
    fn demand_deals(self: &Arc<Self>, core: &mut Core) -> Result<(), Refused> {
        let Some(error) = self.deals.take_failure() else { return Ok(()) };
        self.fail(core, report::deal_failure(error));
        Err(ending::gone(&core.record))
    }

    /// Lets something happen that is nobody's message.
    fn happen(self: &Arc<Self>, core: &mut Core, event: Event) {
        if let Err(refusal) = core.machine.handle(self.now(), event) {
            tracing::warn!(round = %self.id, %refusal, "not taken by the round");
        }
        self.obey(core);
    }

    /// Does what the machine says, in its order: written down, then told.
    fn obey(self: &Arc<Self>, core: &mut Core) {
        while let Some(output) = core.machine.poll() {
            match output {
                Output::Persist(record) => self.persist(core, &record),
                Output::Publish(stage) => self.publish(core, stage),
                Output::WakeAt(steady_ms) => core.wake_ms = steady_ms,
                Output::Blame { device, guard } => {
                    tracing::warn!(round = %self.id, %device, code = guard.name(), "blamed");
                }
                Output::Recover(recovery) => unmasking::start(Arc::clone(self), recovery),
                Output::Finished => self.end(core, None),
                Output::Aborted(abort) => {
                    let cause = core.cause.take();
                    self.end(core, Some(report::abort(abort, cause)));
                }
            }
        }
        self.tell();
    }

    /// What cannot be written down must not be told, so the round ends there.
    fn persist(self: &Arc<Self>, core: &mut Core, record: &Record) {
        let (fact, bytes) = report::fact(record);
        if fact == Fact::Roster {
            core.note_cohort(&self.parts);
        }
        let now = core.record();
        if let Err(error) = self.parts.store.fix_fact(fact, &bytes, &now) {
            let failure = Failure::from(error);
            let message = failure.message.clone();
            core.cause = Some(failure);
            let end = Event::End { code: AbortCode::Cancelled, message };
            // Ending is never refused; what it says comes out of the loop that called us.
            let _ = core.machine.handle(self.now(), end);
        }
    }

    fn publish(self: &Arc<Self>, core: &mut Core, stage: Stage) {
        tracing::info!(round = %self.id, ?stage, "published");
        if stage == Stage::Roster {
            self.prove_roster(core);
        }
        if stage == Stage::Sharers {
            core.shared = core.machine.report().shared.into_iter().collect();
        }
        self.stages.send_modify(|count| *count += 1);
    }

    fn prove_roster(self: &Arc<Self>, core: &Core) {
        let first = core.machine.report().roster.first().copied();
        let roster = first.and_then(|device| core.machine.fetch(device, Stage::Roster).ok());
        if let Some(Fetched::Ready(roster)) = roster {
            proof::start(Arc::clone(self), roster);
        }
    }

    fn end(&self, core: &mut Core, abort: Option<crate::record::AbortRecord>) {
        let mut record = core.record();
        record.state = if abort.is_none() { State::Finished } else { State::Aborted };
        record.step = None;
        record.ended_at = Some(time::now());
        record.result = core.result.take().filter(|_| abort.is_none());
        record.abort = abort;
        let outcome =
            record.abort.as_ref().map_or("finished".to_owned(), |abort| abort.code.clone());
        if let Err(error) = self.parts.store.end_round(&record) {
            // The next start marks it as aborted; nothing of it is published until then.
            tracing::error!(round = %self.id, %error, "the end of a round was not kept");
            if record.state == State::Finished {
                record = ending::aborted(record, Failure::from(error));
            }
        }
        tracing::info!(round = %self.id, outcome, "round ended");
        self.parts.metrics.round_ended(&outcome);
        core.record = record;
        self.running.store(false, Ordering::Release);
        self.stages.send_modify(|count| *count += 1);
        self.deals.discard();
        if let Err(error) = self.uploads.discard() {
            tracing::error!(round = %self.id, %error, "masked vectors could not be deleted");
        }
        if core.record.state == State::Aborted {
            ending::clean_up(&self.parts, self.id);
        }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// The devices by roster index.
    pub(super) fn roster(&self) -> Vec<DeviceId> {
        self.lock().machine.report().roster
    }

    fn tell(&self) {
        self.news.send_modify(|version| *version += 1);
    }

    fn now(&self) -> Now {
        Now { unix_s: seconds(time::now()), steady_ms: self.steady_ms() }
    }

    fn steady_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A panic while the lock was held is a bug; the round may still be shown and ended.
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prepare_files(parts: &Parts, spec: &RoundSpec) -> Result<(Uploads, DealFile), Failure> {
    let layout = spec.signed_task.task.layout().map_err(|refusal| report::refused(&refusal))?;
    let dir = ending::round_dir(parts, spec.round_id());
    files::create_private_dir(&dir)?;
    let uploads = Uploads::create(&dir, layout, parts.keep).map_err(report::upload_failure)?;
    let deals = DealFile::create(&dir).map_err(report::deal_failure)?;
    Ok((uploads, deals))
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}
