//! From a judgement to what is stored about a device, and back for its renewal.

use jiff::Timestamp;
use sealsum_attest::endorsement::Endorsement;
use sealsum_attest::evidence::{self, Files};
use sealsum_attest::hex;
use sealsum_attest::pcr::PcrVerdict;
use sealsum_attest::quote::TpmState;
use sealsum_attest::result::Claims;
use sealsum_attest::templates::check_ek;
use sealsum_attest::tpm::Public;
use sealsum_attest::verify::{DeviceKeys, Known, ShownEndorsement, Verified};
use sealsum_daemon::Failure;

use crate::authority::Authority;
use crate::ca::Issued;
use crate::store::{Attestation, DeviceRecord, DeviceRow, EkFacts, KeyRecord, StoreError};

/// What the attestation result says.
pub(crate) fn claims(
    authority: &Authority,
    verified: &Verified,
    files: &Files,
    epoch: u64,
    issued: &Issued,
) -> Claims {
    let fleet = &authority.config.fleet;
    let evidence_sha256 = evidence::digest(files);
    Claims::about(verified, &evidence_sha256, fleet, authority.uri(), epoch, issued.not_after)
}

/// The record of a device that just enrolled.
pub(crate) fn of_enrolment(verified: &Verified) -> Result<DeviceRecord, Failure> {
    let keys = verified.keys();
    let algorithm = Public::parse(&keys.ek_public)
        .ok()
        .and_then(|public| check_ek(&public).ok())
        .map(|(algorithm, _)| algorithm.name())
        .ok_or_else(|| Failure::bug("an admitted endorsement key that is none"))?;
    Ok(DeviceRecord {
        ek: ek_facts(algorithm.to_owned(), verified.endorsement()),
        keys: of_keys(keys),
        attestation: attestation(verified),
    })
}

/// The keys as stored.
pub(crate) fn of_keys(keys: &DeviceKeys) -> KeyRecord {
    KeyRecord {
        ek_public: hex::encode(&keys.ek_public),
        ak_public: hex::encode(&keys.ak_public),
        ak_name: hex::encode(&keys.ak_name),
        dk_public: hex::encode(&keys.dk_public),
        dk_name: hex::encode(&keys.dk_name),
        srk_name: hex::encode(&keys.srk_name),
        x25519: hex::encode(&keys.x25519_public),
    }
}

/// What vouches for the endorsement key.
pub(crate) fn ek_facts(algorithm: String, endorsement: &Endorsement) -> EkFacts {
    EkFacts {
        algorithm,
        certificate_sha256: hex::encode(&endorsement.certificate_sha256),
        manufacturer: endorsement.manufacturer.clone(),
        firmware: endorsement.version.clone(),
        anchor: endorsement.anchor.clone(),
        software: endorsement.software,
    }
}

/// What the last judged quote said.
pub(crate) fn attestation(verified: &Verified) -> Attestation {
    let affirming = verified.pcr_verdict() == PcrVerdict::Known && !verified.software();
    let state = verified.state();
    let pcrs = verified.pcrs().0.iter();
    Attestation {
        status: if affirming { "affirming" } else { "warning" }.to_owned(),
        at: verified.at().as_second(),
        pcrs: pcrs.map(|(index, value)| (index.to_string(), hex::encode(value))).collect(),
        reset_count: state.reset_count,
        restart_count: state.restart_count,
        clock_ms: state.clock_ms,
        firmware_version: state.firmware_version,
        policy_sha256: hex::encode(verified.policy_sha256()),
    }
}

/// What a renewal of this device is judged by.
pub(crate) fn known(row: &DeviceRow, shown: &Files, serial: Vec<u8>) -> Result<Known, StoreError> {
    let (certificate, chain) =
        evidence::endorsement_of(shown).ok_or(StoreError::Corrupt("evidence of an enrolment"))?;
    let keys = &row.record.keys;
    let attestation = &row.record.attestation;
    Ok(Known {
        device: row.device,
        keys: DeviceKeys {
            ek_public: bytes(&keys.ek_public)?,
            ak_public: bytes(&keys.ak_public)?,
            ak_name: bytes(&keys.ak_name)?,
            dk_public: bytes(&keys.dk_public)?,
            dk_name: bytes(&keys.dk_name)?,
            srk_name: bytes(&keys.srk_name)?,
            x25519_public: hex::decode(&keys.x25519).ok_or(StoreError::Corrupt("X25519 key"))?,
        },
        shown: ShownEndorsement {
            certificate,
            chain,
            at: Timestamp::from_second(row.enrolled_at).map_err(|_| StoreError::Corrupt("time"))?,
        },
        last: last_state(attestation),
        serial,
    })
}

/// The TPM's state at the last judged quote.
pub(crate) fn last_state(attestation: &Attestation) -> TpmState {
    TpmState {
        reset_count: attestation.reset_count,
        restart_count: attestation.restart_count,
        clock_ms: attestation.clock_ms,
        firmware_version: attestation.firmware_version,
    }
}

/// Hex of any length.
fn bytes(text: &str) -> Result<Vec<u8>, StoreError> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| std::str::from_utf8(pair).ok().and_then(hex::decode::<1>).map(|[byte]| byte))
        .collect::<Option<_>>()
        .ok_or(StoreError::Corrupt("hex"))
}
