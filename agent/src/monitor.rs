//! What runs beside the rounds: is the TPM there and does it hold the keys, is this device still a
//! member, is it time to renew, or has it to enrol again.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sealsum_attest_tpm::TpmError;
use sealsum_daemon::{Failure, codes, ready};

use crate::clock;
use crate::device::{expired, tpm_failure};
use crate::recovery::{self, Pace};
use crate::service::Service;
use crate::upstream::{Request, Upstream};

const TPM_PERIOD: Duration = Duration::from_secs(5);
/// A revocation must be known here within a minute, through a list that is made every minute.
const STATUS_LIST_PERIOD: Duration = Duration::from_secs(20);
/// Between attempts to renew: doubles from the first to the last.
const RENEW_PAUSE: Duration = Duration::from_secs(10);
const RENEW_PAUSE_MAX: Duration = Duration::from_secs(600);
/// Between the first sign of lost keys and the second, which counts.
const SECOND_LOOK: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// Starts the threads. They end with the process: each may hang in a TPM or a network.
pub fn start(service: &Arc<Service>) {
    let tpm = service.clone();
    thread::spawn(move || watch_tpm(&tpm));
    let membership = service.clone();
    thread::spawn(move || watch_membership(&membership));
    let keys = service.clone();
    thread::spawn(move || recover_keys(&keys));
}

fn watch_tpm(service: &Service) {
    let period = Duration::from_secs(service.config.keys.check_s);
    let mut checked = Some(Instant::now());
    while pause(service, TPM_PERIOD.min(period)) {
        service.health.tpm_asked();
        let answer = service.tpm.properties();
        service.health.tpm_answered(&answer);
        // One that was away may be another one now.
        if answer.is_err() {
            checked = None;
        } else if checked.is_none_or(|at| at.elapsed() >= period) {
            checked = check_keys(service).then(Instant::now);
        }
    }
}

/// Whether the TPM still holds the keys; false if that could not be found out.
fn check_keys(service: &Service) -> bool {
    let identity = service.device().identity.clone();
    let mut found = identity.check();
    // A TPM that starts just now has not measured its boot yet: no key is lost at first sight.
    if found.as_ref().is_err_and(|error| error.needs_new_keys() || *error == TpmError::OtherTpm)
        && pause(service, SECOND_LOOK)
    {
        found = identity.check();
    }
    match found {
        Ok(()) => service.health.identity(None),
        Err(error) if error.needs_new_keys() => service.health.lost(tpm_failure(&error)),
        Err(TpmError::OtherTpm) => {
            let why = recovery::identity_lost(&service.device().stored);
            tracing::error!("{}", why.message);
            service.health.identity(Some(why));
        }
        Err(error) => {
            tracing::warn!("TPM: the keys could not be looked after: {error}");
            return false;
        }
    }
    true
}

/// Enrols again when keys or certificate are of no use any more, at most once a minute.
fn recover_keys(service: &Service) {
    let mut pace = Pace::default();
    while pause(service, TICK) {
        let facts = service.health.facts();
        if facts.lost.is_none() || facts.identity_lost.is_some() || !pace.is_due() {
            continue;
        }
        let enrolled = service.enrol_again();
        service.health.authority(&enrolled);
        service.health.recovered(&enrolled);
        pace.note(enrolled.as_ref().err());
        match enrolled.and_then(|()| use_certificate(service)) {
            Ok(()) => ready::status("enrolled again with new keys"),
            Err(failure) => tracing::warn!(code = failure.code.name(), "{}", failure.message),
        }
    }
}

/// Shows the new certificate to the authority, which then knows that it arrived.
fn use_certificate(service: &Service) -> Result<(), Failure> {
    let authority = service.device().authority(&service.config)?;
    check_status(service, &authority)
}

fn watch_membership(service: &Service) {
    let mut authority = None;
    let (mut renewal, mut rotation) = (Renewal::default(), Renewal::default());
    loop {
        let attended = attend(service, &mut authority, &mut renewal)
            .and_then(|()| rotate_if_due(service, &mut rotation));
        if let Err(failure) = attended {
            tracing::warn!(code = failure.code.name(), "{}", failure.message);
        }
        if !pause(service, STATUS_LIST_PERIOD) {
            return;
        }
    }
}

fn attend(
    service: &Service,
    authority: &mut Option<Upstream>,
    renewal: &mut Renewal,
) -> Result<(), Failure> {
    let authority = match authority {
        Some(authority) => authority,
        None => authority.insert(service.device().authority(&service.config)?),
    };
    // One must not keep the other from happening.
    let checked = check_status(service, authority);
    let renewed = match &checked {
        // Only the authority knows whether that was an answer that got lost, or another machine.
        Err(failure) if failure.code == codes::CERTIFICATE_REPLACED => service.renew().map(|_| ()),
        _ => renew_if_due(service, renewal),
    };
    if let Err(failure) = &renewed
        && recovery::cures(failure)
    {
        service.health.lost(failure.clone());
    }
    renewed.and(checked)
}

fn renew_if_due(service: &Service, renewal: &mut Renewal) -> Result<(), Failure> {
    let (due, ended) = {
        let device = service.device();
        (device.stored.renew_at, device.certificate.not_after)
    };
    let now = clock::now();
    // A renewal also brings back what the authority kept of a lost ledger.
    let due = if service.ledger().awaits_head(now) { now } else { due };
    if service.health.facts().lost.is_some() || !renewal.is_due(due, now) {
        return Ok(());
    }
    if now >= ended {
        return Err(expired(ended));
    }
    let renewed = service.renew();
    renewal.note(renewed.is_ok());
    let renewed = renewed?;
    ready::status(&format!("certificate renewed, next at {}", renewed.renew_at));
    Ok(())
}

/// Replaces the keys when they are old enough, between two rounds.
fn rotate_if_due(service: &Service, rotation: &mut Renewal) -> Result<(), Failure> {
    let since = service.device().stored.keys_since();
    let age = SignedDuration::try_from(Duration::from_secs(service.config.keys.rotate_s));
    let due = since.saturating_add(age.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
    if service.health.facts().lost.is_some()
        || !service.playing.is_empty()
        || !rotation.is_due(due, clock::now())
    {
        return Ok(());
    }
    let rotated = service.rotate();
    rotation.note(rotated.is_ok());
    if let Err(failure) = &rotated
        && recovery::cures(failure)
    {
        service.health.lost(failure.clone());
    }
    rotated.and_then(|()| use_certificate(service))
}

/// Fetches the newest status list and looks for this device on it.
fn check_status(service: &Service, authority: &Upstream) -> Result<(), Failure> {
    let answer = authority.demand(Request::get("/v1/status-list"));
    service.health.authority(&answer);
    let list = service.status_lists.admit(&answer?.body, clock::now())?;
    let device = service.device();
    if list.revoked_devices.contains(&device.stored.device) {
        let why = Failure::new(
            codes::REVOKED,
            "certificate of this device: revoked by the authority",
            "ask the operator of the authority",
        );
        service.health.revoked(why.clone());
        return Err(why);
    }
    if list.revokes(&device.certificate) {
        return Err(Failure::new(
            codes::CERTIFICATE_REPLACED,
            "certificate of this device: a later enrolment replaced it",
            "nothing: the agent asks the authority, and enrols again if its answer was lost",
        ));
    }
    service.health.not_revoked();
    Ok(())
}

/// When to try to renew, so that a fleet does not hammer an authority that says no.
#[derive(Default)]
struct Renewal {
    next: Option<Instant>,
    pause: Duration,
}

impl Renewal {
    fn is_due(&self, renew_at: Timestamp, now: Timestamp) -> bool {
        now >= renew_at && self.next.is_none_or(|next| Instant::now() >= next)
    }

    fn note(&mut self, renewed: bool) {
        if renewed {
            *self = Self::default();
            return;
        }
        self.pause = (self.pause * 2).clamp(RENEW_PAUSE, RENEW_PAUSE_MAX);
        self.next = Some(Instant::now() + self.pause);
    }
}

/// Waits; false once the agent is stopping.
pub(crate) fn pause(service: &Service, length: Duration) -> bool {
    let until = Instant::now() + length;
    while Instant::now() < until {
        if service.shutdown.is_triggered() {
            return false;
        }
        thread::sleep(TICK);
    }
    !service.shutdown.is_triggered()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_renewal_is_tried_again_ever_more_rarely() {
        let (due, now) =
            (Timestamp::from_second(100).unwrap(), Timestamp::from_second(101).unwrap());
        let mut renewal = Renewal::default();
        assert!(renewal.is_due(due, now));
        assert!(!renewal.is_due(now, due), "not before its time");
        renewal.note(false);
        assert!(!renewal.is_due(due, now));
        assert_eq!(renewal.pause, RENEW_PAUSE);
        for _ in 0..20 {
            renewal.note(false);
        }
        assert_eq!(renewal.pause, RENEW_PAUSE_MAX);
        renewal.note(true);
        assert!(renewal.is_due(due, now));
    }
}
