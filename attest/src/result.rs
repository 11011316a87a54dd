//! Attestation results: a JWT (RFC 7519) signed with ES256, in the shape of an EAR.
//!
//! The claims follow draft-ietf-rats-ear-04 and the trustworthiness vector of
//! draft-ietf-rats-ar4si; no conformance is claimed. The header carries the authority's
//! certificate chain (`x5c`), which the verifier checks against its pinned authority.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::certificate::{CertificateError, FleetCa, Identity};
use crate::hex;
use crate::ids::{DeviceId, Fleet};
use crate::messages::PcrValues;
use crate::pcr::PcrVerdict;
use crate::verify::Verified;

const ALGORITHM: &str = "ES256";
const TYPE: &str = "ear+jwt";
const PROFILE: &str = "tag:github.com,2023:veraison/ear";
/// AR4SI claim `hardware` of a TPM that is software: a warning.
const SOFTWARE: i8 = 32;
const DEVELOPER: &str = "sealsum";

/// Longest result, in bytes.
pub const RESULT_MAX: usize = 32 * 1024;

/// Seconds by which the verifier's clock may be behind.
const MAX_SKEW_S: i64 = 60;

/// The claims of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Always the EAR profile.
    pub eat_profile: String,
    /// URI of the authority.
    pub iss: String,
    /// The relying parties: `spiffe://FLEET`.
    pub aud: String,
    /// The device.
    pub sub: DeviceId,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Not valid after, Unix seconds.
    pub exp: i64,
    /// Who judged, with which build.
    #[serde(rename = "ear.verifier-id")]
    pub verifier: VerifierId,
    /// The nonce that the evidence answered, base64url.
    pub eat_nonce: String,
    /// Digest of the evidence judged ([`crate::evidence::digest`]), hex.
    #[serde(rename = "sealsum.evidence-sha256")]
    pub evidence_sha256: String,
    /// The one submodule `tpm`.
    pub submods: Submodules,
}

/// Who judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierId {
    /// The project.
    pub developer: String,
    /// Its version.
    pub build: String,
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submodules {
    /// The device's TPM.
    pub tpm: Appraisal,
}

/// The judgement on one TPM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appraisal {
    /// The worst of the vector.
    #[serde(rename = "ear.status")]
    pub status: Status,
    /// One number per aspect.
    #[serde(rename = "ear.trustworthiness-vector")]
    pub vector: TrustVector,
    /// `sha-256:` and the policy's digest in hex.
    #[serde(rename = "ear.appraisal-policy-id")]
    pub policy: String,
    /// Enrolment epoch of the device.
    #[serde(rename = "sealsum.epoch")]
    pub epoch: u64,
    /// The PCRs quoted.
    #[serde(rename = "sealsum.pcrs")]
    pub pcrs: PcrValues,
}

/// The tiers that a result can have; evidence below them gets none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing to object to.
    Affirming,
    /// Admitted, but a software TPM or an unknown boot state.
    Warning,
}

/// AR4SI claims about the aspects that a TPM shows; 2 to 31 affirms, 32 to 95 warns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustVector {
    /// 2: the instance is recognised.
    pub instance_identity: i8,
    /// 2: the boot state is an approved one; 36: it is not known.
    pub configuration: i8,
    /// 2: what booted is approved; 33: it is not recognised.
    pub executables: i8,
    /// 2: genuine hardware; 32: a software TPM.
    pub hardware: i8,
    /// 2: secrets are encrypted under keys of the TPM.
    pub storage_opaque: i8,
}

impl TrustVector {
    /// Whether it is about a software TPM.
    pub const fn is_software(&self) -> bool {
        self.hardware == SOFTWARE
    }
}

impl Claims {
    /// The claims about verified evidence, of this digest, of a device of `fleet` in its
    /// enrolment `epoch`.
    pub fn about(
        verified: &Verified,
        evidence_sha256: &[u8; 32],
        fleet: &Fleet,
        issuer: String,
        epoch: u64,
        expires: Timestamp,
    ) -> Self {
        let (status, vector) = appraise(verified.software(), verified.pcr_verdict());
        Self {
            eat_profile: PROFILE.into(),
            iss: issuer,
            aud: audience(fleet),
            sub: *verified.device(),
            iat: verified.at().as_second(),
            exp: expires.as_second(),
            verifier: VerifierId {
                developer: DEVELOPER.into(),
                build: concat!("sealsum-attest ", env!("CARGO_PKG_VERSION")).into(),
            },
            eat_nonce: URL_SAFE_NO_PAD.encode(verified.nonce()),
            evidence_sha256: hex::encode(evidence_sha256),
            submods: Submodules {
                tpm: Appraisal {
                    status,
                    vector,
                    policy: format!("sha-256:{}", hex::encode(verified.policy_sha256())),
                    epoch,
                    pcrs: verified.pcrs().clone(),
                },
            },
        }
    }

    /// Signs the claims. `chain` is the authority's certificate chain, DER, leaf first; `sign`
    /// makes an ECDSA P-256 signature with SHA-256, r and s, by the leaf's key.
    ///
    /// # Errors
    /// Whatever `sign` fails with.
    pub fn sign<E>(
        &self,
        chain: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
    ) -> Result<String, E> {
        let header = Header {
            alg: ALGORITHM.into(),
            typ: TYPE.into(),
            x5c: chain.iter().map(|der| STANDARD.encode(der)).collect(),
        };
        let mut token = format!("{}.{}", encode(&header), encode(self));
        let signature = sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }

    /// Verifies a result about a device of `fleet` at `now` against the pinned authority.
    ///
    /// # Errors
    /// [`ResultError`].
    pub fn verify(
        token: &str,
        ca: &FleetCa,
        fleet: &Fleet,
        now: Timestamp,
    ) -> Result<Self, ResultError> {
        let (claims, authority) = Self::open(token, ca, |_| Ok(now))?;
        claims.check(&authority, fleet, now)?;
        if now.as_second() > claims.exp {
            return Err(ResultError::Expired);
        }
        Ok(claims)
    }

    /// Verifies a result, of whichever fleet `ca` is of, as of the moment it was issued: for an
    /// auditor, to whom it may have expired long ago. Returns who signed it too.
    ///
    /// # Errors
    /// [`ResultError`].
    pub fn verify_as_issued(
        token: &str,
        ca: &FleetCa,
        now: Timestamp,
    ) -> Result<(Self, Identity), ResultError> {
        let (claims, authority) =
            Self::open(token, ca, |claims| decode::<Self>(claims)?.issued_at())?;
        claims.check(&authority, &authority.fleet, now)?;
        Ok((claims, authority))
    }

    /// When the authority judged.
    ///
    /// # Errors
    /// [`ResultError::Malformed`] for a time that does not exist.
    pub fn issued_at(&self) -> Result<Timestamp, ResultError> {
        Timestamp::from_second(self.iat).map_err(|_| ResultError::Malformed)
    }

    /// The claims and who signed them, with a certificate that was valid at the time that `at`
    /// says, given the claims as they are encoded.
    fn open(
        token: &str,
        ca: &FleetCa,
        at: impl FnOnce(&str) -> Result<Timestamp, ResultError>,
    ) -> Result<(Self, Identity), ResultError> {
        let malformed = || ResultError::Malformed;
        if token.len() > RESULT_MAX {
            return Err(malformed());
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let header: Header = decode(header)?;
        if header.alg != ALGORITHM {
            return Err(ResultError::Algorithm(header.alg));
        }
        if header.typ != TYPE {
            return Err(malformed());
        }
        let chain: Vec<Vec<u8>> = header
            .x5c
            .iter()
            .map(|text| STANDARD.decode(text).map_err(|_| malformed()))
            .collect::<Result<_, _>>()?;
        let authority = ca.verify(&chain, at(claims)?)?;
        authority.authority()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
        authority.public_key.verify(signed.as_bytes(), &signature)?;
        Ok((decode(claims)?, authority))
    }

    fn check(
        &self,
        authority: &Identity,
        fleet: &Fleet,
        now: Timestamp,
    ) -> Result<(), ResultError> {
        if self.eat_profile != PROFILE {
            return Err(ResultError::Malformed);
        }
        if self.iss != authority.role.uri(&authority.fleet) {
            return Err(ResultError::Issuer(self.iss.clone()));
        }
        if self.aud != audience(fleet) {
            return Err(ResultError::Audience(self.aud.clone()));
        }
        if now.as_second() < self.iat - MAX_SKEW_S {
            return Err(ResultError::FromTheFuture);
        }
        Ok(())
    }
}

/// Why an attestation result is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResultError {
    /// Not a JWT of this kind.
    #[error("not an attestation result")]
    Malformed,
    /// Signed otherwise than with ES256, or not at all.
    #[error("the attestation result uses the algorithm `{0}`")]
    Algorithm(String),
    /// Not by the authority.
    #[error("the attestation result is not by the authority: {0}")]
    Authority(#[from] CertificateError),
    /// It names another issuer than the one who signed.
    #[error("the attestation result names the issuer {0}")]
    Issuer(String),
    /// For somebody else.
    #[error("the attestation result is for {0}")]
    Audience(String),
    /// Too old.
    #[error("the attestation result has expired")]
    Expired,
    /// Issued later than now.
    #[error("the attestation result comes from the future")]
    FromTheFuture,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    /// Standard base64, as RFC 7515, 4.1.6 demands.
    #[serde(default)]
    x5c: Vec<String>,
}

fn audience(fleet: &Fleet) -> String {
    format!("spiffe://{fleet}")
}

fn appraise(software: bool, pcrs: PcrVerdict) -> (Status, TrustVector) {
    let (configuration, executables) = match pcrs {
        PcrVerdict::Known => (2, 2),
        PcrVerdict::Unknown => (36, 33),
    };
    let hardware = if software { SOFTWARE } else { 2 };
    let vector = TrustVector {
        instance_identity: 2,
        configuration,
        executables,
        hardware,
        storage_opaque: 2,
    };
    let affirming = !software && pcrs == PcrVerdict::Known;
    (if affirming { Status::Affirming } else { Status::Warning }, vector)
}

fn encode<T: Serialize>(value: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("plain data serialises"))
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T, ResultError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| ResultError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| ResultError::Malformed)
}
