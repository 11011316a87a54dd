//! Step 1: decide whether to take part, and draw the keys of the round.

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::Limits;
use crate::error::{Refusal, require};
use crate::exchange::ExchangeKey;
use crate::guard::Guard;
use crate::ids::{DeviceId, Hash};
use crate::messages::Advertise;
use crate::policy::{self, Policy};
use crate::roster::{Entry, SignedEntry};
use crate::scalar::SecretScalar;
use crate::signature::SecretKey;
use crate::task::{RoundSpec, Task};
use crate::time::Now;
use crate::transcript;

/// Who this device is.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// Its id.
    pub device: DeviceId,
    /// Its certificate, as others will verify it.
    pub certificate: &'a [u8],
    /// The public half of its X25519 identity, which the certificate names.
    pub static_key: [u8; 32],
}

/// What the pending update says that it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// The round, if the application named one.
    pub round: Option<u64>,
    /// The model that the update was trained from; required exactly if the round has one.
    pub model: Option<Hash>,
}

/// The last round that this device entered for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its number, the highest ever.
    pub number: u64,
    /// When, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// Where a device remembers the last round that it entered for each task.
pub trait RoundMarks {
    /// The mark of a task, by task hash.
    ///
    /// # Errors
    /// What the storage said.
    fn last(&self, task: &Hash) -> Result<Option<Mark>, String>;

    /// Replaces the mark; durable before it returns.
    ///
    /// # Errors
    /// What the storage said.
    fn raise(&mut self, task: &Hash, mark: Mark) -> Result<(), String>;
}

/// A device that decided to take part, and waits for its TPM to sign.
pub struct Advertising {
    round: Advertised,
    statement: Vec<u8>,
}

/// A device that entered, and waits for the roster.
pub struct Advertised {
    pub(super) spec: RoundSpec,
    pub(super) own: SignedEntry,
    pub(super) secrets: EntrySecrets,
    pub(super) corrupt_fleet: u32,
    pub(super) policy: Policy,
    pub(super) limits: Limits,
}

/// The secret halves of an entry.
pub(super) struct EntrySecrets {
    /// a, which the mask key is derived from.
    pub(super) mask: SecretScalar,
    pub(super) channel: ExchangeKey,
    pub(super) signing: SecretKey,
}

/// Checks an announced round against the owner's signature and the device's policy, records its
/// number, and draws the keys of the round.
///
/// What this cannot check is for the caller to check before: that there is an update, that the
/// fetched model hashes to the round's, that the ledger can pay the worst case, and without noise
/// that this data epoch was not given to the task before.
///
/// # Errors
/// The guard that refused; see [`Guard`]. Nothing was sent, and the mark is raised only if all
/// checks passed.
pub fn advertise(
    spec: RoundSpec,
    identity: &Identity<'_>,
    policy: &Policy,
    answers: &Answers,
    marks: &mut dyn RoundMarks,
    now: Now,
    rng: &mut impl CryptoRng,
) -> Result<Advertising, Refusal> {
    spec.verify()?;
    let task = &spec.signed_task.task;
    policy::check(policy, &spec.signed_task)?;
    task.check_width(policy.corrupt_fleet)?;
    check_answers(answers, &spec)?;
    check_window(task, now)?;
    enter(&spec, marks, now)?;
    let secrets = EntrySecrets {
        mask: SecretScalar::random(rng),
        channel: ExchangeKey::draw(rng),
        signing: SecretKey::draw(rng),
    };
    let params_hash = spec.params_hash();
    let entry = Entry {
        device: identity.device,
        mask_key: transcript::mask_key(&params_hash, &secrets.mask).public(),
        channel_key: secrets.channel.public(),
        signing_key: secrets.signing.public(),
        static_key: identity.static_key,
        certificate: Hash(Sha256::digest(identity.certificate).into()),
    };
    let statement = entry.statement(&params_hash);
    let certificate = identity.certificate.to_vec();
    let own = SignedEntry { entry, certificate, signature: Vec::new() };
    let limits = Limits::new(now.steady_ms, &task.deadlines_s);
    let (policy, corrupt_fleet) = (policy.clone(), policy.corrupt_fleet);
    let round = Advertised { spec, own, secrets, corrupt_fleet, policy, limits };
    Ok(Advertising { round, statement })
}

fn check_answers(answers: &Answers, spec: &RoundSpec) -> Result<(), Refusal> {
    let number = answers.round.is_none_or(|number| number == spec.number);
    require(number, Guard::Submission, || {
        format!("the update answers another round than {}", spec.number)
    })?;
    require(answers.model == spec.model(), Guard::Submission, || {
        "the update answers another model than the round's".to_owned()
    })
}

fn check_window(task: &Task, now: Now) -> Result<(), Refusal> {
    let open = (task.not_before_s..=task.not_after_s).contains(&now.unix_s);
    require(open, Guard::TaskWindow, || {
        format!("task {} does not run at second {}", task.name, now.unix_s)
    })
}

/// Writes the round's number down before anything about it leaves the device.
fn enter(spec: &RoundSpec, marks: &mut dyn RoundMarks, now: Now) -> Result<(), Refusal> {
    let storage = |error: String| Refusal::new(Guard::RoundReplayed, error);
    let task = &spec.signed_task.task;
    let hash = task.hash();
    if let Some(last) = marks.last(&hash).map_err(storage)? {
        require(spec.number > last.number, Guard::RoundReplayed, || {
            format!("round {} after round {}", spec.number, last.number)
        })?;
        let next = last.at_unix_s.saturating_add(task.min_interval_s);
        require(now.unix_s >= next, Guard::TaskWindow, || {
            format!("the next round may start {} s from now", next - now.unix_s)
        })?;
    }
    marks.raise(&hash, Mark { number: spec.number, at_unix_s: now.unix_s }).map_err(storage)
}

impl Advertising {
    /// What the TPM device key must sign.
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// Enters the round with the TPM's signature over [`Advertising::statement`].
    pub fn sign(self, signature: Vec<u8>) -> (Advertised, Advertise) {
        let mut round = self.round;
        round.own.signature = signature;
        let signed = round.own.clone();
        (round, Advertise { signed })
    }
}

impl Advertised {
    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// The device's own deadlines.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
