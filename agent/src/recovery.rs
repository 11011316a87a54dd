//! Lost keys: new ones are made, and the same device enrols again, by itself.
//!
//! What is sealed in the TPM is a cache. After the TPM was cleared, the boot changed, a sealed
//! file was damaged or the certificate ended unrenewed, the endorsement key still says which
//! device this is, and the authority knows it; no token is needed. A TPM with another endorsement
//! key is another device: that is the operator's to decide, never this program's.

use std::time::{Duration, Instant};

use sealsum_attest_tpm::{Identity, Tpm, Vault};
use sealsum_daemon::codes::{self, Exit};
use sealsum_daemon::{Failure, files};

use crate::authority::Stranger;
use crate::config::Config;
use crate::device::{Stored, read_ca, tpm_failure};
use crate::witness::Witness;

/// Longest file of CA certificates.
const CA_MAX: u64 = 1 << 20;
/// Shortest time between two attempts; up to a quarter is added at random.
const PAUSE: Duration = Duration::from_secs(60);
/// The same once the authority has said no.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// Whether new keys and a new enrolment are the cure.
pub fn cures(failure: &Failure) -> bool {
    [codes::KEYS_LOST, codes::CERTIFICATE_EXPIRED, codes::CERTIFICATE_REPLACED]
        .contains(&failure.code)
}

/// Makes new keys in the TPM and enrols them for the device that `before` is. Nothing is written.
///
/// # Errors
/// `identity_lost` if the TPM is another one; what the authority said; `unreachable`,
/// `tpm_unreachable` and the like.
pub fn enrol_again(
    config: &Config,
    tpm: &Tpm,
    before: &Stored,
    witness: &Witness,
) -> Result<(Identity, Vault, Stored), Failure> {
    let (identity, vault) = Identity::create(tpm, before.keys.ek_algorithm, &config.seal_pcrs)
        .map_err(|error| tpm_failure(&error))?;
    if identity.device() != before.device {
        return Err(identity_lost(before));
    }
    witness.demand_one_history()?;
    let ca_pem = files::read(&config.authority.ca, CA_MAX)?;
    let ca_name = config.authority.ca.display().to_string();
    let authority = Stranger::new(&config.authority.url, &ca_pem, &ca_name)?;
    let ca = read_ca(config)?.for_fleet(before.fleet.clone());
    let stored = authority.enrol(&identity, &vault, None, &ca, witness)?;
    if stored.fleet != before.fleet {
        return Err(Failure::new(
            codes::REFUSED,
            format!("authority: it enrols into {}, not into {}", stored.fleet, before.fleet),
            "check authority.url in agent.toml",
        ));
    }
    tracing::warn!(device = %stored.device, epoch = stored.epoch, "enrolled again with new keys");
    Ok((identity, vault, stored))
}

/// The failure of a device whose TPM is another one.
pub fn identity_lost(before: &Stored) -> Failure {
    Failure::new(
        codes::IDENTITY_LOST,
        format!("TPM: it is not the one that device {} enrolled with", before.device),
        "move the state back to its machine, or enrol this one in a fresh directory with a token",
    )
}

/// When to try again: at most once a minute, and out of step with the rest of the fleet.
#[derive(Debug, Default)]
pub struct Pace {
    next: Option<Instant>,
    pause: Duration,
}

impl Pace {
    /// Whether an attempt may be made; the first may at once.
    pub fn is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    /// Notes how an attempt went that ended just now.
    pub fn note(&mut self, failure: Option<&Failure>) {
        let refused = |failure: &Failure| failure.code.exit() != Exit::Unreachable;
        self.pause = match failure {
            Some(failure) if refused(failure) => (self.pause * 2).clamp(PAUSE, PAUSE_MAX),
            _ => PAUSE,
        };
        let mut byte = [0];
        // Without randomness the fleet is in step, which is no reason to stop.
        let _ = crate::random::fill(&mut byte);
        let pause = self.pause.mul_f64(1.0 + f64::from(byte[0]) / 1024.0);
        self.next = Some(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_attempt_a_minute_and_fewer_against_a_no() {
        let mut pace = Pace::default();
        assert!(pace.is_due());
        pace.note(Some(&Failure::new(codes::UNREACHABLE, "a", "b")));
        assert!(!pace.is_due());
        let wait = |pace: &Pace| pace.next.unwrap().saturating_duration_since(Instant::now());
        assert!(wait(&pace) > PAUSE - Duration::from_secs(5) && wait(&pace) <= PAUSE.mul_f64(1.25));
        for _ in 0..9 {
            pace.note(Some(&Failure::new(codes::REVOKED, "a", "b")));
        }
        assert!(wait(&pace) > PAUSE_MAX - Duration::from_secs(5));
        pace.note(None);
        assert!(!pace.is_due() && wait(&pace) <= PAUSE.mul_f64(1.25), "also after success");
    }
}
