//! The authority's log as this device knows it: which key signs it, how far it had come, and
//! whether it was caught telling two histories.
//!
//! A checkpoint is taken, whoever shows it, once it is linked to the last one by a consistency
//! proof. A relay may break a proof; the authority owes it to anybody, so only its own answer
//! convicts it. From then on this device takes part in no round until its operator, who has the
//! evidence, says that the log is to be believed again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealsum_attest::certificate::Role;
use sealsum_attest::inclusion::{Consistency, Inclusion};
use sealsum_attest::roster_proof::RosterProof;
use sealsum_attest::tlog::Hash;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::memory::{Evidence, Refused, Verdict};
use sealsum_attest::tlog::witness::{Kept, Witness as Log};
use sealsum_daemon::codes::{self, Exit};
use sealsum_daemon::{Failure, tls};

use crate::clock;
use crate::config::Config;
use crate::device::role_check;
use crate::state::StateDir;
use crate::upstream::{Request, Upstream};

/// The pinned key and the last checkpoint.
const KNOWN: &str = "authority-log.json";
/// Two checkpoints of two histories.
const FORK: &str = "log-fork.json";
const PIN_AGAIN: &str = "sealsum-agent renew, which pins the log's key";

/// Asks somebody for the consistency proof between two sizes of the log.
pub type Ask<'a> = &'a dyn Fn(u64, u64) -> Result<Vec<Hash>, Failure>;

/// Who can show that the log only grew.
#[derive(Clone, Copy)]
pub struct Provers<'a> {
    /// The aggregator, asked first: it spares the authority the crowd.
    pub relay: Option<Ask<'a>>,
    /// The authority itself.
    pub log: Ask<'a>,
}

/// What this device knows of the log; shared, and on disk before it counts.
pub struct Witness {
    state: StateDir,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    known: Option<Log>,
    fork: Option<Failure>,
}

/// Why a checkpoint is not taken.
enum Doubt {
    Fork(Evidence),
    Failed(Failure),
}

impl Witness {
    /// What earlier runs left.
    ///
    /// # Errors
    /// As [`StateDir::read`]; a damaged file is never ignored, since it would hide a fork.
    pub fn open(state: &StateDir) -> Result<Self, Failure> {
        let kept: Option<Kept> = state.read(KNOWN)?;
        let known = kept.as_ref().map(Log::try_from).transpose().map_err(|error| {
            Failure::new(
                codes::FILE_FORMAT,
                format!("{}: {error}", state.file(KNOWN).display()),
                format!("restore it; or remove it, then {PIN_AGAIN}"),
            )
        })?;
        let fork: Option<Evidence> = state.read(FORK)?;
        let fork = fork.map(|evidence| forked(&evidence, known.as_ref()));
        Ok(Self { state: state.clone(), inner: Mutex::new(Inner { known, fork }) })
    }

    /// Begins anew because the operator trusts another authority from now on. What is on disk
    /// stays until that one's log is pinned.
    pub fn anew(state: &StateDir) -> Self {
        Self { state: state.clone(), inner: Mutex::default() }
    }

    /// The fork that was found, until an operator acts.
    pub fn fork(&self) -> Option<Failure> {
        self.lock().fork.clone()
    }

    /// Refuses whatever needs a log that is believed.
    ///
    /// # Errors
    /// `log_fork`.
    pub fn demand_one_history(&self) -> Result<(), Failure> {
        self.fork().map_or(Ok(()), Err)
    }

    /// Demands that the log shows the certificate (DER) that the authority just issued. The first
    /// key is pinned; it came over a connection that the pinned CA authenticates.
    ///
    /// # Errors
    /// `log_invalid`, `log_fork`, `file_write`.
    pub fn take(&self, shown: &Inclusion, der: &[u8], provers: Provers<'_>) -> Result<(), Failure> {
        self.demand_one_history()?;
        let Some(known) = self.known() else {
            let first = Log::begin(&shown.vkey, &shown.checkpoint).map_err(|e| invalid(&e))?;
            shown.verify(der, first.key()).map_err(|error| invalid(&error))?;
            self.set_evidence_aside()?;
            if self.replace(None, first)? {
                return Ok(());
            }
            return self.take(shown, der, provers);
        };
        if shown.vkey != known.key().to_string() {
            let pinned = known.key();
            return Err(invalid(&format_args!("it has another key than the one pinned, {pinned}")));
        }
        let checkpoint = shown.verify(der, known.key()).map_err(|error| invalid(&error))?;
        self.follow(&checkpoint, provers)
    }

    /// The certificates (SHA-256) of a roster that are proven to be in the log.
    ///
    /// # Errors
    /// `log_invalid` if the proof does not verify, `log_fork`, `unreachable` and the like.
    pub fn prove(
        &self,
        proof: &RosterProof,
        roster: &[&[u8]],
        provers: Provers<'_>,
    ) -> Result<HashSet<[u8; 32]>, Failure> {
        let known = self.pinned()?;
        let (checkpoint, proven) = proof.verify(roster, known.key()).map_err(|error| {
            Failure::new(
                codes::LOG_INVALID,
                format!("aggregator: its proof that the roster is in the log: {error}"),
                "report this to whoever runs the aggregator; the device stays out of the round",
            )
        })?;
        self.follow(&checkpoint, provers)?;
        Ok(proven)
    }

    /// Looks at a checkpoint that the authority shows now.
    ///
    /// # Errors
    /// `log_invalid`, `log_fork`, `unreachable` and the like.
    pub fn look(&self, note: &[u8], log: Ask<'_>) -> Result<(), Failure> {
        self.follow(&self.verified(note)?, Provers { relay: None, log })
    }

    /// Believes the log from this checkpoint on, by order of the operator. Evidence is set aside.
    /// Returns the size of the log.
    ///
    /// # Errors
    /// `log_invalid` if the pinned key did not sign it, `file_write`.
    pub fn accept(&self, note: &[u8]) -> Result<u64, Failure> {
        let checkpoint = self.verified(note)?;
        let vkey = self.pinned()?.key().to_string();
        let begun = Log::begin(&vkey, &checkpoint.to_string()).map_err(|error| invalid(&error))?;
        let mut inner = self.lock();
        self.state.write(KNOWN, &begun.kept())?;
        self.set_evidence_aside()?;
        *inner = Inner { known: Some(begun), fork: None };
        Ok(checkpoint.head().size)
    }

    fn verified(&self, note: &[u8]) -> Result<SignedCheckpoint, Failure> {
        SignedCheckpoint::verify(note, self.pinned()?.key()).map_err(|error| invalid(&error))
    }

    fn follow(&self, shown: &SignedCheckpoint, provers: Provers<'_>) -> Result<(), Failure> {
        self.demand_one_history()?;
        loop {
            let known = self.pinned()?;
            let next = match step(&known, shown, provers) {
                Ok(next) => next,
                Err(Doubt::Fork(evidence)) => return Err(self.convict(&evidence)),
                Err(Doubt::Failed(failure)) => return Err(failure),
            };
            // Unless another checkpoint came in between, which this one was not held against.
            if self.replace(Some(&known), next)? {
                return Ok(());
            }
        }
    }

    /// Puts `next` in the place of what was known when it was judged; false if that has changed.
    fn replace(&self, judged_by: Option<&Log>, next: Log) -> Result<bool, Failure> {
        let mut inner = self.lock();
        if inner.known.as_ref() != judged_by {
            return Ok(false);
        }
        if inner.known.as_ref() != Some(&next) {
            self.state.write(KNOWN, &next.kept())?;
            inner.known = Some(next);
        }
        Ok(true)
    }

    fn convict(&self, evidence: &Evidence) -> Failure {
        let mut inner = self.lock();
        let failure = forked(evidence, inner.known.as_ref());
        tracing::error!(code = failure.code.name(), "{}", failure.message);
        if inner.fork.is_none()
            && let Err(error) = self.state.write(FORK, evidence)
        {
            tracing::error!(%error, "the evidence could not be kept");
        }
        inner.fork.get_or_insert(failure).clone()
    }

    fn set_evidence_aside(&self) -> Result<(), Failure> {
        let Some(evidence) = self.state.read::<Evidence>(FORK)? else { return Ok(()) };
        let aside = format!("log-fork-{}.json", clock::now().as_second());
        self.state.write(&aside, &evidence)?;
        self.state.remove(FORK)
    }

    fn known(&self) -> Option<Log> {
        self.lock().known.clone()
    }

    fn pinned(&self) -> Result<Log, Failure> {
        self.known().ok_or_else(|| {
            Failure::new(
                codes::LOG_INVALID,
                "log of the authority: this device has not pinned its key",
                PIN_AGAIN,
            )
        })
    }

    /// Every change is one assignment, so a panic elsewhere leaves it sound.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn step(known: &Log, shown: &SignedCheckpoint, provers: Provers<'_>) -> Result<Log, Doubt> {
    let take = |proof: &[Hash]| known.admit(shown.clone(), proof);
    let Some((from, to)) = known.owed(shown) else { return take(&[]).map_err(doubt) };
    if let Some(relay) = provers.relay
        && let Ok(proof) = relay(from, to)
        && let Ok(next) = take(&proof)
    {
        return Ok(next);
    }
    match (provers.log)(from, to) {
        Ok(proof) => take(&proof).map_err(doubt),
        Err(failure) if is_no(&failure) => take(&[]).map_err(doubt),
        Err(failure) => Err(Doubt::Failed(failure)),
    }
}

fn doubt(refused: Refused) -> Doubt {
    match refused.evidence() {
        Some(evidence) => Doubt::Fork(evidence.clone()),
        None => Doubt::Failed(invalid(&refused)),
    }
}

/// Whether the authority refused, as opposed to not being there, being busy or being broken.
fn is_no(failure: &Failure) -> bool {
    matches!(failure.code.exit(), Exit::Refused | Exit::Usage | Exit::Evidence)
}

fn forked(evidence: &Evidence, known: Option<&Log>) -> Failure {
    let what = match known.map(|known| evidence.judge(known.key())) {
        Some(Ok(Verdict::Forked)) => "its key signed two histories of one length".to_owned(),
        Some(Ok(Verdict::Owed { old, new })) => {
            format!("it does not show that its {old} entries grew to {new}")
        }
        _ => "it was not shown to have one history".to_owned(),
    };
    Failure::new(
        codes::LOG_FORK,
        format!("log of the authority: {what}"),
        format!("settle {FORK} with the authority's operator, then sealsum-agent log accept"),
    )
}

fn invalid(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        codes::LOG_INVALID,
        format!("log of the authority: {error}"),
        "report this to whoever runs the authority",
    )
}

/// Asks `server` for consistency proofs.
pub fn ask(server: &Upstream) -> impl Fn(u64, u64) -> Result<Vec<Hash>, Failure> + '_ {
    |from, to| {
        let path = format!("/v1/log/consistency?from={from}&to={to}");
        let answer = server.demand(Request::get(&path))?;
        let shown: Consistency = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::bug(format!("{path}: a malformed answer: {error}")))?;
        Ok(shown.proof)
    }
}

/// The authority as anybody reaches it: what it shows to all needs no certificate, and no TPM.
///
/// # Errors
/// `file_not_found` or `file_format` for the CA's file.
pub fn public_authority(config: &Config) -> Result<Upstream, Failure> {
    let check = role_check(Some(&config.fleet), |role| *role == Role::Authority);
    let tls = tls::client_config(tls::read_roots(&config.authority.ca)?, check, None)?;
    Ok(Upstream::new("authority", &config.authority.url, tls))
}

/// The checkpoint that the authority shows now, a signed note.
///
/// # Errors
/// `unreachable` and the like, what the authority said.
pub fn checkpoint(authority: &Upstream) -> Result<Vec<u8>, Failure> {
    Ok(authority.demand(Request::get("/v1/log/checkpoint"))?.body)
}

#[cfg(test)]
mod tests;
