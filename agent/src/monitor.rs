//! What runs beside the rounds: is the TPM there, is this device still a member, is it time to
//! renew.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealsum_daemon::{Failure, codes, ready};

use crate::clock;
use crate::service::Service;
use crate::upstream::{Request, Upstream};

const TPM_PERIOD: Duration = Duration::from_secs(5);
/// A revocation must be known here within a minute, through a list that is made every minute.
const STATUS_LIST_PERIOD: Duration = Duration::from_secs(20);
/// Between attempts to renew: doubles from the first to the last.
const RENEW_PAUSE: Duration = Duration::from_secs(10);
const RENEW_PAUSE_MAX: Duration = Duration::from_secs(600);
const TICK: Duration = Duration::from_millis(250);

/// Starts the threads. They end with the process: each may hang in a TPM or a network.
pub fn start(service: &Arc<Service>) {
    let tpm = service.clone();
    thread::spawn(move || watch_tpm(&tpm));
    let membership = service.clone();
    thread::spawn(move || watch_membership(&membership));
}

fn watch_tpm(service: &Service) {
    while pause(service, TPM_PERIOD) {
        service.health.tpm_asked();
        service.health.tpm_answered(&service.tpm.properties());
    }
}

fn watch_membership(service: &Service) {
    let mut authority = None;
    let mut renewal = Renewal::default();
    loop {
        if let Err(failure) = attend(service, &mut authority, &mut renewal) {
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
    renew_if_due(service, authority, renewal).and(checked)
}

fn renew_if_due(
    service: &Service,
    authority: &Upstream,
    renewal: &mut Renewal,
) -> Result<(), Failure> {
    let due = service.device().stored.renew_at;
    if !renewal.is_due(due, clock::now()) {
        return Ok(());
    }
    let renewed = service.renew(authority);
    renewal.note(renewed.is_ok());
    let renewed = renewed?;
    ready::status(&format!("certificate renewed, next at {}", renewed.renew_at));
    Ok(())
}

/// Fetches the newest status list and looks for this device on it.
fn check_status(service: &Service, authority: &Upstream) -> Result<(), Failure> {
    let answer = authority.demand(Request::get("/v1/status-list"));
    service.health.authority(&answer);
    let list = service.status_lists.admit(&answer?.body, clock::now())?;
    if list.revokes(&service.device().certificate) {
        let why = Failure::new(
            codes::REVOKED,
            "certificate of this device: revoked by the authority",
            "ask the operator of the authority",
        );
        service.health.revoked(why.clone());
        return Err(why);
    }
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
fn pause(service: &Service, length: Duration) -> bool {
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
