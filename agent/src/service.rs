//! The running agent: what its socket, its rounds and its renewals share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use sealsum_attest::messages::Bytes;
use sealsum_attest_tpm::counter::TpmCounter;
use sealsum_attest_tpm::{Identity, Tpm, Vault};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::{Failure, codes};

use crate::access::Access;
use crate::authority::{self, Renewed};
use crate::clock;
use crate::config::Config;
use crate::device::{Device, Stored, expired, tpm_failure};
use crate::epochs::Epochs;
use crate::health::{Facts, Health};
use crate::ledger::{Beginning, Head, Ledger};
use crate::membership::StatusLists;
use crate::offers::Offers;
use crate::participate::Candidates;
use crate::pending::{self, Pending};
use crate::recovery;
use crate::rounds::Rounds;
use crate::state::StateDir;
use crate::status::{
    CertificateStatus, LastRound, PendingStatus, Problem, ServerStatus, State, Status, TpmStatus,
};
use crate::witness::{self, Witness};

/// Everything that lives as long as the process.
pub struct Service {
    /// The configuration, fixed while the agent runs.
    pub config: Config,
    /// The state directory.
    pub state: StateDir,
    /// The TPM.
    pub tpm: Tpm,
    /// Who may submit.
    pub access: Access,
    /// Models of open rounds.
    pub offers: Offers,
    /// Open rounds that wait for an update.
    pub candidates: Candidates,
    /// Tasks that this device is in a round of.
    pub playing: Playing,
    /// What probes found.
    pub health: Health,
    /// The newest status list.
    pub status_lists: StatusLists,
    /// The authority's log.
    pub witness: Witness,
    /// The one fact "we are stopping".
    pub shutdown: Shutdown,
    /// Held by whoever talks with the authority about this device's certificate.
    certifying: Mutex<()>,
    device: RwLock<Device>,
    rounds: Mutex<Rounds>,
    pending: Mutex<Pending>,
    epochs: Mutex<Epochs>,
    ledger: Ledger,
}

impl Service {
    /// Brings the device back as the last run left it.
    ///
    /// # Errors
    /// `not_enrolled`, `certificate_expired`, `evidence_refused` with check 44 on another TPM,
    /// `tpm_unreachable`, and those of damaged files.
    pub fn open(config: Config, state: StateDir, shutdown: Shutdown) -> Result<Self, Failure> {
        let access = Access::new(&config.local.allow)?;
        let tpm = Tpm::new(config.tpm.parse().map_err(|e| crate::device::tpm_failure(&e))?);
        let device = Device::load(&config, &state, &tpm)?;
        refuse_expired(&device, clock::now())?;
        let mut rounds = Rounds::read(&state)?;
        rounds.recover(clock::now())?;
        let mut pending = Pending::open(&state, device.vault.clone())?;
        pending.drop_unreadable()?;
        let epochs = Epochs::open(&state)?;
        let counter = Box::new(TpmCounter::new(&tpm));
        let again = Beginning::Again;
        let ledger = Ledger::open(&state, &config.policy, counter, again, clock::now())?;
        let status_lists = StatusLists::open(&state, &device.ca)?;
        let witness = Witness::open(&state)?;
        let health = Health::default();
        health.tpm_answered(&tpm.properties());
        Ok(Self {
            config,
            state,
            tpm,
            access,
            offers: Offers::default(),
            candidates: Candidates::default(),
            playing: Playing::default(),
            health,
            status_lists,
            witness,
            shutdown,
            certifying: Mutex::new(()),
            device: RwLock::new(device),
            rounds: Mutex::new(rounds),
            pending: Mutex::new(pending),
            epochs: Mutex::new(epochs),
            ledger,
        })
    }

    /// The enrolled device.
    pub fn device(&self) -> RwLockReadGuard<'_, Device> {
        self.device.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rounds of this device.
    pub fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The updates that wait.
    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data that tasks without noise were given.
    pub fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The privacy ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Renews the certificate now.
    ///
    /// # Errors
    /// As [`authority::renew`].
    pub fn renew(&self) -> Result<Stored, Failure> {
        let _one = self.certifying.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection of its own: an older one may still show an older certificate.
        let authority = self.device().authority(&self.config)?;
        let head = self.sealed_head()?;
        let renewed = authority::renew(&authority, &self.device(), head, &self.witness);
        self.health.authority(&renewed);
        self.health.renewal(&renewed);
        let Renewed { stored: renewed, ledger_head } = renewed?;
        let mut device = self.device.write().unwrap_or_else(PoisonError::into_inner);
        device.renewed(renewed.clone(), &self.state)?;
        drop(device);
        tracing::info!(renew_at = %renewed.renew_at, "certificate renewed");
        self.take_head(ledger_head)?;
        Ok(renewed)
    }

    /// Replaces the keys at a renewal; rounds under way keep the ones they were entered with.
    ///
    /// # Errors
    /// As [`authority::rotate`].
    pub fn rotate(&self) -> Result<(), Failure> {
        let _one = self.certifying.lock().unwrap_or_else(PoisonError::into_inner);
        let (authority, old) = {
            let device = self.device();
            (device.authority(&self.config)?, device.identity.clone())
        };
        let made = old.rotate(&self.config.seal_pcrs);
        let (identity, vault) = made.map_err(|error| tpm_failure(&error))?;
        let (head, keys) = (self.sealed_head()?, (&identity, &vault));
        let rotated = authority::rotate(&authority, &self.device(), keys, head, &self.witness);
        self.health.authority(&rotated);
        self.health.renewal(&rotated);
        let Renewed { stored, ledger_head } = rotated?;
        tracing::info!(epoch = stored.epoch, "certificate renewed with new keys");
        self.take(identity, vault, stored)?;
        self.take_head(ledger_head)
    }

    /// What the authority is to keep of the ledger.
    fn sealed_head(&self) -> Result<Option<Bytes>, Failure> {
        self.ledger.head(clock::now()).map(|head| head.seal(&self.tpm)).transpose()
    }

    /// Puts a lost ledger together again from what the authority kept, once the certificate that came
    /// with it is in use. One that is not this device's is as good as none.
    fn take_head(&self, sealed: Option<Bytes>) -> Result<(), Failure> {
        let head = match sealed.map(|sealed| Head::open(&sealed, &self.tpm)).transpose() {
            Err(failure) if failure.code == codes::REFUSED => {
                tracing::error!(code = failure.code.name(), "{}", failure.message);
                None
            }
            opened => opened?,
        };
        self.ledger.go_on_from(head, clock::now())
    }

    /// Takes new keys and their certificate into use, on disk first.
    fn take(&self, identity: Identity, vault: Vault, stored: Stored) -> Result<(), Failure> {
        stored.write(&self.state)?;
        let vault = Arc::new(vault);
        self.pending().reseal(vault.clone())?;
        let mut device = self.device.write().unwrap_or_else(PoisonError::into_inner);
        device.replace(identity, vault, stored)
    }

    /// Makes new keys and enrols again as the same device; waiting updates stay.
    ///
    /// # Errors
    /// As [`recovery::enrol_again`].
    pub fn enrol_again(&self) -> Result<(), Failure> {
        let _one = self.certifying.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.device().stored.clone();
        let (identity, vault, stored) =
            recovery::enrol_again(&self.config, &self.tpm, &before, &self.witness)?;
        self.take(identity, vault, stored)?;
        self.ledger.rebind(clock::now())
    }

    /// Believes the log as the authority shows it now, by order of the operator. Returns its size.
    ///
    /// # Errors
    /// As [`Witness::accept`], `unreachable` and the like.
    pub fn accept_log(&self) -> Result<u64, Failure> {
        let authority = witness::public_authority(&self.config)?;
        self.witness.accept(&witness::checkpoint(&authority)?)
    }

    /// Leaves the fleet: keys, certificate and waiting updates go; what was spent and which rounds
    /// were entered stay, so that coming back starts where this ended. Then the agent stops.
    ///
    /// # Errors
    /// `file_write`.
    pub fn leave(&self) -> Result<(), Failure> {
        leave(&self.state)?;
        self.shutdown.trigger();
        Ok(())
    }

    /// What `status` shows. Waits for nobody.
    pub fn status(&self, now: Timestamp) -> Status {
        let facts = self.health.facts();
        let device = self.device();
        let (state, problems) =
            judge(&facts, &device, [self.witness.fork(), self.ledger.disowned()], now);
        let rounds = self.rounds();
        let waiting = self.pending().list();
        Status {
            device: Some(device.stored.device.to_string()),
            fleet: Some(device.stored.fleet.to_string()),
            state,
            problems,
            tpm: TpmStatus {
                reachable: facts.tpm.reachable(),
                tcti: Some(self.config.tpm.clone()),
                lockout: facts.tpm.lockout(),
            },
            authority: ServerStatus {
                url: Some(self.config.authority.url.clone()),
                reachable: facts.authority.reachable(),
            },
            aggregator: ServerStatus {
                url: Some(self.config.aggregator.url.clone()),
                reachable: facts.aggregator.reachable(),
            },
            certificate: Some(CertificateStatus {
                not_after: device.certificate.not_after,
                renew_at: device.stored.renew_at,
            }),
            round: rounds.current().last().map(|current| current.round.clone()),
            pending: waiting
                .into_iter()
                .map(|w| PendingStatus { task: w.task, receipt: w.receipt, since: w.since })
                .collect(),
            last_round: rounds.history().last().map(LastRound::from),
            privacy: self.ledger().spent(now),
        }
    }
}

/// The tasks that this device is in a round of: one round of a task at a time.
#[derive(Debug, Default)]
pub struct Playing(Mutex<BTreeSet<String>>);

impl Playing {
    /// Takes the one place of a task; false if it is taken.
    pub fn enter(&self, task: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(task.to_owned())
    }

    /// Whether this device is in no round.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Gives the place back.
    pub fn leave(&self, task: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }
}

/// The state in one word, and what is wrong, worst first.
fn judge(
    facts: &Facts,
    device: &Device,
    disbelieved: [Option<Failure>; 2],
    now: Timestamp,
) -> (State, Vec<Problem>) {
    let revoked = facts.revoked.as_ref();
    let expired = refuse_expired(device, now).err();
    let missing = [
        facts.log.clone(),
        facts.lost.clone(),
        facts.not_recovered.clone(),
        facts.not_renewed.clone(),
        facts.tpm.failure(),
        facts.aggregator.failure().cloned(),
        facts.authority.failure().cloned(),
    ];
    let missing: Vec<Failure> = disbelieved.into_iter().chain(missing).flatten().collect();
    let state = match (revoked, &expired, missing.is_empty()) {
        _ if facts.identity_lost.is_some() => State::IdentityLost,
        (Some(_), _, _) => State::Revoked,
        (None, Some(_), _) => State::Expired,
        (None, None, false) => State::Degraded,
        (None, None, true) => State::Enrolled,
    };
    let problems = facts.identity_lost.iter().chain(revoked).chain(&expired).chain(&missing);
    let problems = problems.map(Problem::from).collect();
    (state, problems)
}

fn refuse_expired(device: &Device, now: Timestamp) -> Result<(), Failure> {
    let ended = device.certificate.not_after;
    if now < ended {
        return Ok(());
    }
    Err(expired(ended))
}

/// Removes keys, certificate and waiting updates.
///
/// # Errors
/// `file_write`.
pub fn leave(state: &StateDir) -> Result<(), Failure> {
    Stored::remove(state)?;
    pending::remove_all(state)
}
