//! `identity`: who this device is, for an operator to compare with an inventory.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use sealsum_attest::certificate::{self, Role};
use sealsum_attest::tpm;
use sealsum_daemon::Failure;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::device::{Stored, not_enrolled};
use crate::state::StateDir;

/// What is public about this device.
#[derive(Debug, Serialize)]
pub struct Identity {
    /// SHA-256 of the endorsement key's TPMT_PUBLIC.
    pub device: String,
    /// The fleet.
    pub fleet: String,
    /// Counts enrolments of this TPM.
    pub epoch: u64,
    /// SHA-256 of the endorsement certificate, for `token create --ek-sha256`.
    pub ek_certificate_sha256: Option<String>,
    /// TPM name of the attestation key.
    pub ak_name: String,
    /// TPM name of the device key.
    pub device_key_name: String,
    /// The X25519 channel key.
    pub x25519: String,
    /// The certificate.
    pub certificate: Certificate,
    /// When the device enrolled.
    pub enrolled_at: Timestamp,
    /// Row of the authority's log.
    pub log_index: u64,
}

/// The certificate in use.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// Serial number, hex.
    pub serial: String,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
    /// `spiffe://FLEET/device/ID`.
    pub uri: String,
}

/// Reads the identity; the TPM is not asked.
///
/// # Errors
/// `not_enrolled`, and those of files.
pub fn identity(config_path: &Path) -> Result<Identity, Failure> {
    let config = Config::load(config_path)?;
    let state = StateDir::open(&config.state_dir)?;
    let stored = Stored::read(&state)?.ok_or_else(not_enrolled)?;
    describe(&stored).ok_or_else(|| Failure::bug("identity: the stored keys or certificate"))
}

fn describe(stored: &Stored) -> Option<Identity> {
    let keys = &stored.keys;
    let chain = certificate::chain_from_pem(&stored.certificate).ok()?;
    let leaf = certificate::Identity::parse(chain.first()?).ok()?;
    let ek_certificate = keys.ek_certificate.as_ref().map(|der| hex(&Sha256::digest(&der.0)));
    Some(Identity {
        device: stored.device.to_string(),
        fleet: stored.fleet.to_string(),
        epoch: stored.epoch,
        ek_certificate_sha256: ek_certificate,
        ak_name: hex(&tpm::name_of(&keys.ak_public.0).ok()?),
        device_key_name: hex(&tpm::name_of(&keys.dk_public.0).ok()?),
        x25519: hex(&keys.x25519_public.0),
        certificate: Certificate {
            serial: hex(&leaf.serial),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            uri: Role::Device(stored.device).uri(&stored.fleet),
        },
        enrolled_at: stored.enrolled_at,
        log_index: stored.log_index,
    })
}

fn hex(bytes: &[u8]) -> String {
    sealsum_attest::hex::encode(bytes)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ek = self.ek_certificate_sha256.as_deref().unwrap_or("none");
        writeln!(f, "device           {}", self.device)?;
        writeln!(f, "fleet            {} (epoch {})", self.fleet, self.epoch)?;
        writeln!(f, "EK certificate   sha256 {ek}")?;
        writeln!(f, "attestation key  {}", self.ak_name)?;
        writeln!(f, "device key       {}", self.device_key_name)?;
        writeln!(f, "channel key      {}", self.x25519)?;
        writeln!(f, "certificate      {}", self.certificate.uri)?;
        writeln!(f, "                 serial {}", self.certificate.serial)?;
        writeln!(f, "                 until {}", self.certificate.not_after)?;
        write!(f, "enrolled         {}, log row {}", self.enrolled_at, self.log_index)
    }
}
