//! How every enrolment and renewal ends: a certificate becomes a fact together with what it is
//! for, and is given out.

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::messages::{Bytes, EnrolGrant};
use sealsum_attest::verify::Verified;
use sealsum_daemon::Failure;
use sealsum_log::prove;

use crate::authority::Authority;
use crate::ca::{Issued, Leaf};
use crate::store::baselines;
use crate::{policy, withdrawal};

/// What became a fact.
pub(crate) struct Recorded {
    /// The device's epoch from now on.
    pub(crate) epoch: u64,
    /// Position of the issuance in the log.
    pub(crate) log_index: u64,
    /// The signed attestation result.
    pub(crate) result_jwt: String,
    /// The head of its ledger that the device asked for.
    pub(crate) ledger_head: Option<Bytes>,
}

/// Issues the certificate of a verified device and has `record` write down what it stands for, in
/// one transaction with the demand that the policy it was judged by is still in force.
///
/// # Errors
/// `busy` if the policy was replaced meanwhile; those of the CA and of `record`. Then nothing is
/// recorded, and the certificate is withdrawn.
pub(crate) fn grant(
    authority: &Authority,
    now: Timestamp,
    verified: &Verified,
    csr: &[u8],
    site: &'static str,
    record: impl FnOnce(&Connection, &Issued) -> Result<Recorded, Failure>,
) -> Result<EnrolGrant, Failure> {
    let device = *verified.device();
    let issued = authority.issue(&leaf_of(verified), csr, now)?;
    let facts = authority.store.write(site, |tx| {
        policy::demand_in_force(tx, verified.policy_sha256())?;
        let recorded = record(tx, &issued)?;
        // Whatever boot state awaited approval, this one is accepted.
        baselines::forget(tx, &device)?;
        let log = prove::inclusion(tx, &authority.log_key, recorded.log_index)?;
        Ok::<_, Failure>((recorded, log))
    });
    let (recorded, log) = facts.inspect_err(|_| withdrawal::discard(authority, &issued))?;
    let (epoch, log_index) = (recorded.epoch, recorded.log_index);
    tracing::info!(%device, epoch, log_index, "{site}");
    Ok(EnrolGrant {
        device,
        fleet: authority.config.fleet.clone(),
        certificate: issued.chain_pem.clone(),
        epoch,
        result_jwt: recorded.result_jwt,
        log_index,
        log,
        renew_at: issued.renew_at(),
        ledger_head: recorded.ledger_head,
    })
}

/// The certificate of a verified device.
fn leaf_of(verified: &Verified) -> Leaf {
    Leaf {
        role: Role::Device(*verified.device()),
        public_key: *verified.key(),
        x25519: Some(verified.keys().x25519_public),
        dns_names: Vec::new(),
        addresses: Vec::new(),
    }
}
