//! Rounds: opened one at a time for each task, driven by [`sealsum_protocol::server`].
//!
//! A running round is the protocol's state machine behind a lock, what it has said so far, and the
//! vectors that came in. The machine says what to persist before what to send, and is
//! obeyed in that order. A round does not survive a restart of this program: its signatures are in
//! memory only, its shares in a file that goes with the program.

mod decoding;
mod ending;
mod live;
mod opening;
mod proof;
mod report;
mod state;
mod unmasking;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use axum::body::Bytes;
use sealsum_attest::inclusion::Consistency;
use sealsum_attest::roster_proof::RosterProof;
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::{Failure, codes as common, time, tls};
use sealsum_protocol::bounds;
use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::{DeviceId, RoundId};
use sealsum_protocol::messages::MaskedInput;
use sealsum_protocol::server::{Incoming, Stage};
use sealsum_protocol::task::RoundSpec;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::admin::{ProgressBody, StartedBody};
use crate::authority_log::{Asked, AuthorityLog};
use crate::codes;
use crate::commands::plan::CohortPlan;
use crate::config::{Config, KeepMasked};
use crate::devices::{Devices, Newest};
use crate::metrics::Metrics;
use crate::models::{self, Models};
use crate::record::{RoundRecord, State};
use crate::refused::Refused;
use crate::store::{Store, StoreError, StoredGrant};
use crate::tasks;

use live::Live;

/// All rounds of this aggregator.
pub struct Rounds {
    parts: Parts,
    /// Those that run, and those that ended last of each task, for late questions.
    live: RwLock<HashMap<RoundId, Arc<Live>>>,
    /// Held while a round is opened, so that two are not given one number.
    opening: Mutex<()>,
    /// Counts rounds opened, for devices that wait for one.
    opened: watch::Sender<u64>,
    /// Nobody waits any longer once the program stops.
    stopping: Shutdown,
}

/// What rounds work with.
#[derive(Clone)]
struct Parts {
    dir: PathBuf,
    keep: KeepMasked,
    corrupt_fleet: u32,
    store: Arc<Store>,
    models: Models,
    devices: Arc<Devices>,
    authority: Arc<Authority>,
    metrics: Metrics,
}

/// The authority's log, and how to ask for it.
pub struct Authority {
    /// What is pinned of the log.
    pub log: AuthorityLog,
    /// Where the authority is.
    pub config: Config,
    /// Our certificate.
    pub own: tls::Identity,
}

impl Authority {
    fn ask(&self) -> Result<Asked<'_>, Failure> {
        self.log.ask(&self.config, &self.own)
    }
}

impl Parts {
    /// That these certificates are in the authority's log.
    fn prove(&self, certificates: &[Vec<u8>]) -> Result<RosterProof, Failure> {
        self.authority.ask()?.prove(certificates)
    }
}

/// Least number of digits that name a round.
const SHORTEST_PREFIX: usize = 8;

impl Rounds {
    /// The rounds of this state directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(
        config: &Config,
        store: Arc<Store>,
        models: Models,
        devices: Arc<Devices>,
        authority: Arc<Authority>,
        metrics: Metrics,
    ) -> Result<Arc<Self>, Failure> {
        let dir = config.rounds_dir();
        sealsum_daemon::files::create_private_dir(&dir)?;
        let keep = config.storage.keep_masked;
        let corrupt_fleet = config.rounds.corrupt_fleet;
        Ok(Arc::new(Self {
            parts: Parts { dir, keep, corrupt_fleet, store, models, devices, authority, metrics },
            live: RwLock::default(),
            opening: Mutex::default(),
            opened: watch::Sender::new(0),
            stopping: Shutdown::new(),
        }))
    }

    /// Ends the rounds that an earlier run of this program left unfinished: its part of them was
    /// in memory, so the devices take them as lost.
    ///
    /// # Errors
    /// When the database fails.
    pub fn abandon_unfinished(&self) -> Result<(), Failure> {
        for stored in self.parts.store.running_rounds()? {
            let failure = Failure::new(
                codes::AGGREGATOR_RESTARTED,
                "the aggregator was restarted within the round",
                "start the next round",
            );
            let record = ending::aborted(stored.record, failure);
            tracing::warn!(round = %record.round, "aborted: this program was restarted within it");
            self.parts.store.end_round(&record)?;
            self.parts.metrics.round_ended(codes::AGGREGATOR_RESTARTED.name());
            ending::clean_up(&self.parts, record.round);
        }
        Ok(())
    }

    /// Opens the next round of a task.
    ///
    /// # Errors
    /// `not_found`, `task_terms`, `round_running`, `grant_mismatch`, `owner_signature`,
    /// `status_list_stale`, `log_fork`, `disk_full`, `busy` when the program stops.
    pub async fn start(
        self: &Arc<Self>,
        task: &str,
        grant: Option<Vec<u8>>,
    ) -> Result<StartedBody, Failure> {
        if self.stopping.is_triggered() {
            let message = "aggregator: is stopping";
            return Err(Failure::new(common::BUSY, message, "again when it has started"));
        }
        let (rounds, task) = (Arc::clone(self), task.to_owned());
        let live = blocking(move || rounds.open_next(&task, grant.as_deref())).await?;
        tokio::spawn(live::keep_time(Arc::clone(&live)));
        self.opened.send_modify(|count| *count += 1);
        let task = &live.spec().signed_task.task;
        let cohorts = [task.min_contributors, task.start_when]
            .into_iter()
            .map(|devices| CohortPlan::of(task, devices).sentence());
        let mut cohorts: Vec<String> = cohorts.collect();
        cohorts.dedup();
        Ok(StartedBody { record: live.record(), cohorts })
    }

    fn open_next(&self, task: &str, grant: Option<&[u8]>) -> Result<Arc<Live>, Failure> {
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let now = time::now();
        self.parts.authority.log.demand_one_history()?;
        let list = self.parts.devices.fresh(now)?;
        let signed = tasks::find(&self.parts.store, task)?;
        let grant = grant.map(|grant| tasks::decode_grant(grant, "grant")).transpose()?;
        let last = self.parts.store.last_round(signed.task.hash())?;
        let spec = opening::next(signed, last.as_ref(), grant, now, opening::draw_nonce()?)?;
        self.check_model(&spec)?;
        self.keep_grant(&spec)?;
        let live = Arc::new(Live::open(&self.parts, spec, &list, now)?);
        let mut rounds = self.write();
        rounds.retain(|_, other| other.is_running() || other.task() != live.task());
        rounds.insert(live.id(), Arc::clone(&live));
        Ok(live)
    }

    fn check_model(&self, spec: &RoundSpec) -> Result<(), Failure> {
        match spec.model() {
            Some(model) if !self.parts.models.has(model) => Err(models::missing(model)),
            _ => Ok(()),
        }
    }

    /// An owner who granted two models to one round is told so, whichever comes first.
    fn keep_grant(&self, spec: &RoundSpec) -> Result<(), Failure> {
        let Some(grant) = &spec.grant else { return Ok(()) };
        let kept = self.parts.store.keep_grant(&StoredGrant {
            task: grant.task,
            number: grant.number,
            model: grant.model,
            signed: grant.to_bytes(),
        });
        kept.map_err(|error| match error {
            StoreError::Different(_) => Failure::new(
                codes::GRANT_MISMATCH,
                format!("round {}: another grant was used for it before", grant.number),
                "a grant for the next round (task grant --number)",
            ),
            other => other.into(),
        })
    }

    /// The rounds that a device could enter and has not; waits for one.
    pub async fn await_open(self: &Arc<Self>, device: DeviceId, wait: Duration) -> Vec<RoundSpec> {
        let mut opened = self.opened.subscribe();
        let until = Instant::now() + wait;
        loop {
            let rounds = Arc::clone(self);
            let open = blocking(move || Ok::<_, Failure>(rounds.open_for(device))).await;
            let open = open.unwrap_or_default();
            if !open.is_empty() || !self.changed(&mut opened, until).await {
                return open;
            }
        }
    }

    /// Waits for news; false when the time is over or the program stops.
    async fn changed(&self, news: &mut watch::Receiver<u64>, until: Instant) -> bool {
        tokio::select! {
            changed = timeout_at(until, news.changed()) => matches!(changed, Ok(Ok(()))),
            () = self.stopping.wait() => false,
        }
    }

    fn open_for(&self, device: DeviceId) -> Vec<RoundSpec> {
        let open = self.read();
        let open = open.values().filter(|live| live.is_open_to(device));
        open.map(|live| live.spec().clone()).take(bounds::OPEN_ROUNDS).collect()
    }

    /// Takes a message of a device.
    ///
    /// # Errors
    /// What the machine refuses it with; the round's abort code.
    pub async fn deliver(
        &self,
        round: RoundId,
        device: DeviceId,
        message: Incoming,
        body: Bytes,
    ) -> Result<(), Refused> {
        let live = self.find(round).await?;
        blocking(move || live.deliver(device, message, body.len() as u64)).await
    }

    /// Takes a chunk of a device's masked vector.
    ///
    /// # Errors
    /// When it is not due, or not the layout's.
    pub async fn put_chunk(
        &self,
        round: RoundId,
        device: DeviceId,
        chunk: usize,
        body: Bytes,
    ) -> Result<(), Refused> {
        let live = self.find(round).await?;
        blocking(move || live.put_chunk(device, chunk, &body)).await
    }

    /// Takes what a device signed of its masked vector, once all of it is here.
    ///
    /// # Errors
    /// When a chunk is missing or they hash to something else; what the machine refuses it with.
    pub async fn complete_upload(
        &self,
        round: RoundId,
        device: DeviceId,
        message: MaskedInput,
        body: Bytes,
    ) -> Result<(), Refused> {
        let live = self.find(round).await?;
        blocking(move || live.complete_upload(device, message, body.len() as u64)).await
    }

    /// What the round says to a device; waits for it. None: ask again.
    ///
    /// # Errors
    /// The round's abort code; `not_in_roster` for a device that it will never say it to.
    pub async fn await_message(
        &self,
        round: RoundId,
        device: DeviceId,
        stage: Stage,
        wait: Duration,
    ) -> Result<Option<Bytes>, Refused> {
        self.await_said(round, wait, move |live| live.said_to(device, stage)).await
    }

    /// The proof that a round's members are in the authority's log; waits for it. None: ask again.
    ///
    /// # Errors
    /// The round's abort code; `not_in_roster` for a device that is no member.
    pub async fn await_roster_proof(
        &self,
        round: RoundId,
        device: DeviceId,
        wait: Duration,
    ) -> Result<Option<Bytes>, Refused> {
        self.await_said(round, wait, move |live| live.roster_proof(device)).await
    }

    async fn await_said(
        &self,
        round: RoundId,
        wait: Duration,
        say: impl Fn(&Arc<Live>) -> Result<Option<Bytes>, Refused> + Copy + Send + 'static,
    ) -> Result<Option<Bytes>, Refused> {
        let live = self.find(round).await?;
        let mut stages = live.stages();
        let until = Instant::now() + wait;
        loop {
            let asked = Arc::clone(&live);
            let said = blocking(move || say(&asked)).await?;
            if said.is_some() {
                return Ok(said);
            }
            if !self.changed(&mut stages, until).await {
                // When the program stops, its rounds have ended just before, and say why.
                return blocking(move || say(&live)).await;
            }
        }
    }

    /// That the authority's log of `from` entries grew to that of `to`.
    ///
    /// # Errors
    /// As [`Asked::consistency`].
    pub async fn log_consistency(&self, from: u64, to: u64) -> Result<Consistency, Failure> {
        let authority = Arc::clone(&self.parts.authority);
        blocking(move || authority.ask()?.consistency(from, to)).await
    }

    /// How far a round is; waits for a change since version `seen`.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn await_progress(
        &self,
        round: RoundId,
        seen: u64,
        wait: Duration,
    ) -> Result<ProgressBody, Failure> {
        let Some(live) = self.read().get(&round).cloned() else {
            let store = Arc::clone(&self.parts.store);
            let record = blocking(move || stored_record(&store, round)).await?;
            return Ok(ending::final_progress(&record));
        };
        let mut news = live.news();
        let until = Instant::now() + wait;
        loop {
            // In a statement of its own: the borrow must not last while the round is looked at.
            let version = *news.borrow_and_update();
            let asked = Arc::clone(&live);
            let now = blocking(move || Ok::<_, Failure>(asked.progress(version))).await?;
            let changed = now.version != seen || now.state != State::Running;
            if changed || !self.changed(&mut news, until).await {
                return Ok(now);
            }
        }
    }

    /// A round's record.
    ///
    /// # Errors
    /// `not_found`.
    pub fn record(&self, round: RoundId) -> Result<RoundRecord, Failure> {
        let live = self.read().get(&round).cloned();
        match live {
            Some(live) => Ok(live.record()),
            None => stored_record(&self.parts.store, round),
        }
    }

    /// The records of all rounds, of one task if one is named, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn records(&self, task: Option<&str>) -> Result<Vec<RoundRecord>, Failure> {
        let stored = self.parts.store.rounds(task)?;
        let live = self.read();
        let newest = |record: RoundRecord| live.get(&record.round).map_or(record, |l| l.record());
        Ok(stored.into_iter().map(|stored| newest(stored.record)).collect())
    }

    /// The round that an id, or the first digits of one, names.
    ///
    /// # Errors
    /// `not_found`, `usage` for digits that name more than one.
    pub fn resolve(&self, id: &str) -> Result<RoundId, Failure> {
        if let Ok(round) = id.parse() {
            return Ok(round);
        }
        let missing = || {
            let message = format!("round {id}: is not known");
            Failure::new(common::NOT_FOUND, message, "sealsum-aggregator round list")
        };
        if id.len() < SHORTEST_PREFIX {
            return Err(missing());
        }
        let rounds = self.parts.store.rounds(None)?;
        let mut named = rounds.iter().map(|stored| stored.record.round);
        let mut matching = named.by_ref().filter(|round| round.to_string().starts_with(id));
        match (matching.next(), matching.next()) {
            (Some(round), None) => Ok(round),
            (None, _) => Err(missing()),
            (Some(_), Some(_)) => {
                let message = format!("round {id}: names more than one");
                Err(Failure::new(common::USAGE, message, "more digits of its id"))
            }
        }
    }

    /// The file with the sum of a finished round.
    ///
    /// # Errors
    /// `not_finished`, the abort code, `not_found`.
    pub fn result_file(&self, round: RoundId) -> Result<PathBuf, Failure> {
        let record = self.record(round)?;
        record.demand_result()?;
        Ok(ending::result_file(&self.parts, round))
    }

    /// Ends a running round without a result.
    ///
    /// # Errors
    /// `not_found`, `conflict` when it has ended.
    pub fn abort(&self, round: RoundId) -> Result<(), Failure> {
        let live = self.read().get(&round).cloned();
        match live {
            Some(live) if live.is_running() => {
                live.cancel();
                Ok(())
            }
            _ => {
                stored_record(&self.parts.store, round)?;
                let message = format!("round {round}: has ended");
                Err(Failure::new(common::CONFLICT, message, "sealsum-aggregator round show"))
            }
        }
    }

    /// Tells the rounds that run who is revoked.
    pub fn status_list(&self, newest: &Newest) {
        let running: Vec<Arc<Live>> = self.read().values().cloned().collect();
        for live in running.into_iter().filter(|live| live.is_running()) {
            live.status_list(newest);
        }
    }

    /// Ends the rounds that run because the program stops.
    pub fn stop(&self) {
        let running: Vec<Arc<Live>> = self.read().values().cloned().collect();
        running.iter().filter(|live| live.is_running()).for_each(|live| live.stop());
        // After the rounds have ended, so that whoever waits in one hears why.
        self.stopping.trigger();
    }

    /// The round that a device asks about.
    async fn find(&self, round: RoundId) -> Result<Arc<Live>, Refused> {
        if let Some(live) = self.read().get(&round) {
            return Ok(Arc::clone(live));
        }
        let store = Arc::clone(&self.parts.store);
        let record = blocking(move || stored_record(&store, round)).await?;
        Err(ending::gone(&record))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<RoundId, Arc<Live>>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<RoundId, Arc<Live>>> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored_record(store: &Store, round: RoundId) -> Result<RoundRecord, Failure> {
    match store.round(round)? {
        Some(stored) => Ok(stored.record),
        None => {
            let message = format!("round {round}: is not known");
            Err(Failure::new(common::NOT_FOUND, message, "sealsum-aggregator round list"))
        }
    }
}

/// Runs what waits for the disk or computes where waiting is allowed.
async fn blocking<T: Send + 'static, E: From<Failure> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Failure::bug(format!("request: {error}")).into()))
}
