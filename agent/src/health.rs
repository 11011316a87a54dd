//! What the agent knows of the others it needs: the TPM, the authority, the aggregator.
//!
//! Probes write it, `status` reads it: a status never waits for anybody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealsum_attest_tpm::{Properties, TpmError};
use sealsum_daemon::{Failure, codes};

use crate::device::tpm_failure;

/// A TPM that takes longer over a trifle counts as hung before its call is given up.
const TPM_PATIENCE: Duration = Duration::from_secs(3);
/// One lost request is no outage.
const OUTAGE: Duration = Duration::from_secs(15);

/// The present knowledge.
#[derive(Debug, Default)]
pub struct Health(Mutex<Facts>);

/// The facts behind a status.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The TPM.
    pub tpm: TpmFacts,
    /// The authority.
    pub authority: Link,
    /// The aggregator.
    pub aggregator: Link,
    /// What the last look at the authority's log found wrong, short of a fork.
    pub log: Option<Failure>,
    /// Why this device is no member any more, if somebody said so.
    pub revoked: Option<Failure>,
    /// Why its keys or its certificate are of no use any more, until it has enrolled again.
    pub lost: Option<Failure>,
    /// Why the last attempt to enrol again did not work.
    pub not_recovered: Option<Failure>,
    /// What the authority found wrong with the evidence of the last renewal.
    pub not_renewed: Option<Failure>,
    /// The TPM is another one: nothing to do but to ask the operator.
    pub identity_lost: Option<Failure>,
}

/// What is known of the TPM.
#[derive(Clone, Debug, Default)]
pub struct TpmFacts {
    /// When it was asked something that it has not answered yet.
    asked: Option<Instant>,
    /// Its last answer: dictionary-attack lockout or not.
    lockout: Option<bool>,
    failure: Option<Failure>,
}

/// What is known of a server.
#[derive(Clone, Debug, Default)]
pub struct Link {
    reached: Option<Instant>,
    failing: Option<(Instant, Failure)>,
}

impl Health {
    /// The facts as they are now.
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// The TPM is asked something.
    pub fn tpm_asked(&self) {
        self.lock().tpm.asked = Some(Instant::now());
    }

    /// What the TPM answered.
    pub fn tpm_answered(&self, answer: &Result<Properties, TpmError>) {
        let tpm = &mut self.lock().tpm;
        tpm.asked = None;
        match answer {
            Ok(properties) => {
                tpm.lockout = Some(properties.locked_out);
                tpm.failure = None;
            }
            Err(error) => tpm.failure = Some(tpm_failure(error)),
        }
    }

    /// How a request to the authority went.
    pub fn authority<T>(&self, result: &Result<T, Failure>) {
        let mut facts = self.lock();
        facts.authority.note(result);
        facts.note_revocation(result);
    }

    /// How a request to the aggregator went.
    pub fn aggregator<T>(&self, result: &Result<T, Failure>) {
        let mut facts = self.lock();
        facts.aggregator.note(result);
        facts.note_revocation(result);
    }

    /// How a look at the authority's log went.
    pub fn log<T>(&self, result: &Result<T, Failure>) {
        let wrong = |failure: &&Failure| failure.code == codes::LOG_INVALID;
        self.lock().log = result.as_ref().err().filter(wrong).cloned();
    }

    /// The authority's status list names this device.
    pub fn revoked(&self, why: Failure) {
        self.lock().revoked = Some(why);
    }

    /// How a renewal went. Refused evidence is worth an operator's look; an authority that is away
    /// shows elsewhere.
    pub fn renewal<T>(&self, result: &Result<T, Failure>) {
        let mut facts = self.lock();
        match result {
            Ok(_) => facts.not_renewed = None,
            Err(failure) if failure.code == codes::EVIDENCE_REFUSED => {
                facts.not_renewed = Some(failure.clone());
            }
            Err(_) => {}
        }
    }

    /// The authority's status list does not name this device.
    pub fn not_revoked(&self) {
        self.lock().revoked = None;
    }

    /// Keys or certificate are of no use any more.
    pub fn lost(&self, why: Failure) {
        self.lock().lost.get_or_insert(why);
    }

    /// How an attempt to enrol again went.
    pub fn recovered<T>(&self, result: &Result<T, Failure>) {
        let mut facts = self.lock();
        match result {
            Ok(_) => {
                (facts.lost, facts.not_recovered, facts.revoked) = (None, None, None);
                facts.not_renewed = None;
            }
            Err(failure) if failure.code == codes::IDENTITY_LOST => {
                facts.identity_lost = Some(failure.clone());
            }
            Err(failure) => {
                facts.not_recovered = Some(failure.clone());
                facts.note_revocation(result);
            }
        }
    }

    /// Which TPM answers: the one enrolled with, or why not.
    pub fn identity(&self, lost: Option<Failure>) {
        self.lock().identity_lost = lost;
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn note_revocation<T>(&mut self, result: &Result<T, Failure>) {
        if let Err(failure) = result
            && failure.code == codes::REVOKED
        {
            self.revoked = Some(failure.clone());
        }
    }
}

impl TpmFacts {
    /// Whether it answers; `None` before it was asked.
    pub fn reachable(&self) -> Option<bool> {
        if self.failure().is_some() { Some(false) } else { self.lockout.map(|_| true) }
    }

    /// Whether it is in dictionary-attack lockout; `None` if it does not answer.
    pub fn lockout(&self) -> Option<bool> {
        if self.reachable() == Some(true) { self.lockout } else { None }
    }

    /// Why it cannot be used.
    pub fn failure(&self) -> Option<Failure> {
        let hangs = self.asked.is_some_and(|asked| asked.elapsed() > TPM_PATIENCE);
        self.failure.clone().or_else(|| {
            hangs.then(|| {
                Failure::new(
                    codes::TPM_UNREACHABLE,
                    "TPM: it does not answer",
                    "see whether the TPM, or who stands in for it, still runs",
                )
            })
        })
    }
}

impl Link {
    fn note<T>(&mut self, result: &Result<T, Failure>) {
        match result {
            Err(failure) if unreached(failure) => {
                let since = self.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                self.failing = Some((since, failure.clone()));
            }
            // An answer, be it no.
            _ => {
                self.reached = Some(Instant::now());
                self.failing = None;
            }
        }
    }

    /// Whether it answers; `None` before it was asked.
    pub fn reachable(&self) -> Option<bool> {
        match (&self.failing, self.reached) {
            (Some((since, _)), Some(_)) => Some(since.elapsed() < OUTAGE),
            (Some(_), None) => Some(false),
            (None, reached) => reached.map(|_| true),
        }
    }

    /// Why it cannot be reached.
    pub fn failure(&self) -> Option<&Failure> {
        if self.reachable() == Some(false) {
            self.failing.as_ref().map(|(_, why)| why)
        } else {
            None
        }
    }
}

/// Whether the server did not answer at all, as opposed to refusing.
fn unreached(failure: &Failure) -> bool {
    [codes::UNREACHABLE, codes::TLS, codes::WRONG_CA, codes::TPM_UNREACHABLE]
        .contains(&failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: codes::Code) -> Result<(), Failure> {
        Err(Failure::new(code, "a: b", "c"))
    }

    #[test]
    fn one_lost_request_after_success_is_no_outage() {
        let health = Health::default();
        assert_eq!(health.facts().authority.reachable(), None);
        health.authority(&Ok(()));
        health.authority(&failed(codes::UNREACHABLE));
        assert_eq!(health.facts().authority.reachable(), Some(true));
        let mut facts = health.facts();
        let long_ago = Instant::now().checked_sub(OUTAGE * 2).unwrap();
        facts.authority.failing.as_mut().unwrap().0 = long_ago;
        assert_eq!(facts.authority.reachable(), Some(false));
        assert_eq!(facts.authority.failure().unwrap().code, codes::UNREACHABLE);
    }

    #[test]
    fn a_server_that_never_answered_is_out_at_once() {
        let health = Health::default();
        health.aggregator(&failed(codes::WRONG_CA));
        assert_eq!(health.facts().aggregator.reachable(), Some(false));
        assert_eq!(health.facts().authority.reachable(), None);
    }

    #[test]
    fn a_no_is_an_answer_and_revocation_is_remembered() {
        let health = Health::default();
        health.aggregator(&failed(codes::REVOKED));
        let facts = health.facts();
        assert_eq!(facts.aggregator.reachable(), Some(true));
        assert_eq!(facts.revoked.unwrap().code, codes::REVOKED);
    }

    #[test]
    fn a_tpm_that_is_silent_too_long_hangs() {
        let health = Health::default();
        let good = Properties {
            manufacturer: "IBM".into(),
            firmware: [0, 0],
            lockout_counter: 0,
            locked_out: false,
        };
        health.tpm_answered(&Ok(good));
        assert_eq!(health.facts().tpm.lockout(), Some(false));
        health.tpm_asked();
        assert_eq!(health.facts().tpm.reachable(), Some(true));
        health.lock().tpm.asked = Instant::now().checked_sub(TPM_PATIENCE * 2);
        let facts = health.facts();
        assert_eq!((facts.tpm.reachable(), facts.tpm.lockout()), (Some(false), None));
        assert_eq!(facts.tpm.failure().unwrap().code, codes::TPM_UNREACHABLE);
    }
}
