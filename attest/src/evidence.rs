//! The evidence directory: what a device showed when it enrolled, as it showed it, and the
//! judgement on it that anybody can repeat.
//!
//! Trust comes from outside: the TPM vendors' anchors, and the certificate of the fleet's
//! authority. Nothing in the directory is believed because it is in the directory.
//!
//! Two of the proofs of an enrolment cannot be checked again, since they are under secrets that
//! are not kept: that the TPM of the endorsement key released the activation secret, and that the
//! device held its X25519 key. The signed result says that the authority checked them; it carries
//! the digest of all other files, so it is about exactly this evidence.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::binding::{self, Transcript};
use crate::certificate::{FleetCa, Identity, PublicKey, chain_from_pem};
use crate::csr::check_request;
use crate::endorsement::{Anchors, Endorsement};
use crate::hex;
use crate::ids::{DeviceId, Fleet, SessionId};
use crate::messages::{
    Bytes, EnrolAnswer, EnrolChallenge, EnrolRequest, Fixed, PROTOCOL_VERSION, PcrValues,
    RenewAnswer, RenewChallenge,
};
use crate::quote::{check_certify, check_quote};
use crate::refusals::{ATTESTATION_RESULT, EVIDENCE_FILES, Refusal};
use crate::result::{Claims, Status};
use crate::verify::{AuthorityIdentity, DeviceKeys, Session, check_device_keys, check_endorsed};

/// The attestation result, which is about all the other files.
pub const RESULT: &str = "result.jwt";

/// The endorsement key's certificate.
pub const EK_CERTIFICATE: &str = "ek.der";

/// The files of an enrolment's evidence directory, ascending by name: exactly these.
pub const FILES: [&str; 13] = [
    "ak.pub",
    "certify.attest",
    "certify.sig",
    "csr.der",
    "dk.pub",
    EK_CERTIFICATE,
    "ek.pub",
    "ek_chain.pem",
    "pcrs.json",
    "quote.attest",
    "quote.sig",
    RESULT,
    "transcript.json",
];

/// Largest file of an evidence directory, in bytes.
pub const FILE_MAX: u64 = 64 * 1024;

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// `transcript.json`: all parts of the transcript that are in no other file, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TranscriptParts {
    authority_id: String,
    authority_spki_sha256: String,
    session: SessionId,
    client_random: Fixed<32>,
    nonce: Fixed<32>,
    x25519_public: Fixed<32>,
    srk_name: Bytes,
    x25519_challenge: Fixed<32>,
    credential_blob: Bytes,
    encrypted_secret: Bytes,
    pcr_selection: Vec<u8>,
    transcript: String,
}

/// What is kept of an enrolment, but for the result. The token is not kept.
pub fn of_enrolment(
    session: &Session,
    answer: &EnrolAnswer,
    authority: &AuthorityIdentity,
) -> Files {
    let (request, challenge) = (session.request(), session.challenge());
    let chain = std::iter::once(&request.ek_certificate).chain(&request.ek_chain);
    let parts = TranscriptParts {
        authority_id: authority.id.clone(),
        authority_spki_sha256: hex::encode(&authority.spki_sha256),
        session: challenge.session,
        client_random: request.client_random,
        nonce: challenge.nonce,
        x25519_public: request.x25519_public,
        srk_name: request.srk_name.clone(),
        x25519_challenge: challenge.x25519_challenge,
        credential_blob: challenge.credential_blob.clone(),
        encrypted_secret: challenge.encrypted_secret.clone(),
        pcr_selection: challenge.pcr_selection.clone(),
        transcript: hex::encode(session.transcript().as_bytes()),
    };
    files([
        (EK_CERTIFICATE, request.ek_certificate.0.clone()),
        ("ek_chain.pem", pem(chain.map(|der| der.0.as_slice()))),
        ("ek.pub", request.ek_public.0.clone()),
        ("ak.pub", request.ak_public.0.clone()),
        ("dk.pub", request.dk_public.0.clone()),
        ("certify.attest", answer.certify_attest.0.clone()),
        ("certify.sig", answer.certify_signature.0.clone()),
        ("quote.attest", answer.quote_attest.0.clone()),
        ("quote.sig", answer.quote_signature.0.clone()),
        ("pcrs.json", json(&answer.pcrs)),
        ("csr.der", answer.csr.0.clone()),
        ("transcript.json", json(&parts)),
    ])
}

/// What vouched for the endorsement key, out of the files of an enrolment: its certificate, and
/// what was sent with it.
pub fn endorsement_of(files: &Files) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let text = std::str::from_utf8(files.get("ek_chain.pem")?).ok()?;
    let mut chain = chain_from_pem(text).ok()?.into_iter();
    Some((chain.next()?, chain.collect()))
}

/// What is kept of a renewal, but for the result: it shows a quote and a request only.
pub fn of_renewal(challenge: &RenewChallenge, answer: &RenewAnswer) -> Files {
    files([
        ("quote.attest", answer.quote_attest.0.clone()),
        ("quote.sig", answer.quote_signature.0.clone()),
        ("pcrs.json", json(&answer.pcrs)),
        ("csr.der", answer.csr.0.clone()),
        ("transcript.json", json(challenge)),
    ])
}

/// Digest of all files but the result: what the result says it is about.
pub fn digest(files: &Files) -> [u8; 32] {
    let parts: Vec<u8> = files
        .iter()
        .filter(|(name, _)| *name != RESULT)
        .flat_map(|(name, bytes)| [&Sha256::digest(bytes)[..], name.as_bytes(), b"\n"].concat())
        .collect();
    binding::digest("sealsum/v1/evidence", &[&parts])
}

/// What evidence that was judged again shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The device, from its endorsement key.
    pub device: DeviceId,
    /// The fleet whose authority judged.
    pub fleet: Fleet,
    /// Which enrolment of the device.
    pub epoch: u64,
    /// When the authority judged; the endorsement chain was valid then.
    pub judged_at: Timestamp,
    /// Until when the result is good.
    pub expires_at: Timestamp,
    /// The authority's verdict.
    pub status: Status,
    /// Whether the TPM is a software TPM.
    pub software: bool,
    /// tpmManufacturer of the endorsement certificate.
    pub manufacturer: Option<String>,
    /// tpmVersion of the endorsement certificate.
    pub firmware: Option<String>,
    /// Subject of the installed anchor that vouches.
    pub anchor: String,
    /// The policy it was judged by, as the authority names it.
    pub policy: String,
    /// Digest of the transcript, hex; the log has it too.
    pub transcript: String,
}

/// Judges the evidence of an enrolment again, as of the moment the authority judged it.
///
/// 1. Exactly [`FILES`] are there, each in its one form.
/// 2. The result is signed by the authority under `ca`, and about these files.
/// 3. An anchor vouches for the endorsement key, of a TCG template and certified.
/// 4. Attestation key and device key are what they must be; the X25519 key is not of low order.
/// 5. The attestation key certified the device key, quoted exactly the PCRs that are in the
///    directory, and did both over the transcript that the directory's parts add up to; that
///    transcript names the authority which signed the result.
/// 6. The certificate request is by the device key.
/// 7. The result agrees: device, nonce, PCRs, kind of TPM.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    files: &Files,
    anchors: &Anchors,
    ca: &FleetCa,
    now: Timestamp,
) -> Result<Report, Refusal> {
    check_names(files)?;
    let (claims, signer) = read_result(files, ca, now)?;
    let judged_at = claims.issued_at().map_err(|error| ATTESTATION_RESULT.refuse(error))?;
    let parts: TranscriptParts = canonical_json(files, "transcript.json")?;
    let request = request_of(files, &parts)?;
    let endorsed = check_endorsed(&request, anchors, judged_at)?;
    let (ak, dk, keys) = check_device_keys(&request)?;
    let transcript = transcript_of(&request, &parts, &claims, &signer)?;
    let pcrs: PcrValues = canonical_json(files, "pcrs.json")?;
    let signed = Signed { files, ak: &ak, dk: &dk, keys: &keys, pcrs: &pcrs };
    signed.check(&transcript, &parts.pcr_selection)?;
    let device = DeviceId::from_ek_public(&request.ek_public.0);
    let endorsement = endorsed.endorsement;
    check_agreement(&claims, &device, &parts.nonce, &pcrs, &endorsement)?;
    Ok(Report {
        device,
        fleet: signer.fleet,
        epoch: claims.submods.tpm.epoch,
        judged_at,
        expires_at: Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX),
        status: claims.submods.tpm.status,
        software: endorsement.software,
        manufacturer: endorsement.manufacturer,
        firmware: endorsement.version,
        anchor: endorsement.anchor,
        policy: claims.submods.tpm.policy,
        transcript: parts.transcript,
    })
}

fn check_names(files: &Files) -> Result<(), Refusal> {
    if let Some(missing) = FILES.iter().find(|name| !files.contains_key(**name)) {
        return Err(EVIDENCE_FILES.refuse(format_args!("{missing} is missing")));
    }
    // Keys or roots that a bundle brings along are not even looked at.
    match files.keys().find(|name| !FILES.contains(&name.as_str())) {
        Some(extra) => Err(EVIDENCE_FILES.refuse(format_args!("{extra} is no file of evidence"))),
        None => Ok(()),
    }
}

/// The result, and the authority that signed it about these files.
fn read_result(files: &Files, ca: &FleetCa, now: Timestamp) -> Result<(Claims, Identity), Refusal> {
    let token = std::str::from_utf8(&files[RESULT])
        .map_err(|_| ATTESTATION_RESULT.refuse("not an attestation result"))?;
    let (claims, signer) = Claims::verify_as_issued(token, ca, now)
        .map_err(|error| ATTESTATION_RESULT.refuse(error))?;
    if claims.evidence_sha256 != hex::encode(&digest(files)) {
        return Err(ATTESTATION_RESULT.refuse("the attestation result is about other evidence"));
    }
    Ok((claims, signer))
}

/// The request that these files were taken from; its token is not kept.
fn request_of(files: &Files, parts: &TranscriptParts) -> Result<EnrolRequest, Refusal> {
    let file = |name: &str| Bytes(files[name].clone());
    let chain = std::str::from_utf8(&files["ek_chain.pem"])
        .ok()
        .and_then(|text| chain_from_pem(text).ok())
        .filter(|chain| pem(chain.iter().map(Vec::as_slice)) == files["ek_chain.pem"])
        .filter(|chain| chain.first() == Some(&files[EK_CERTIFICATE]))
        .ok_or_else(|| EVIDENCE_FILES.refuse("ek_chain.pem is not a chain from ek.der"))?;
    Ok(EnrolRequest {
        protocol: PROTOCOL_VERSION,
        token: None,
        ek_certificate: file(EK_CERTIFICATE),
        ek_chain: chain.into_iter().skip(1).map(Bytes).collect(),
        ek_public: file("ek.pub"),
        ak_public: file("ak.pub"),
        dk_public: file("dk.pub"),
        x25519_public: parts.x25519_public,
        srk_name: parts.srk_name.clone(),
        client_random: parts.client_random,
    })
}

/// The transcript that request and parts add up to, made with the authority that signed.
fn transcript_of(
    request: &EnrolRequest,
    parts: &TranscriptParts,
    claims: &Claims,
    signer: &Identity,
) -> Result<Transcript, Refusal> {
    if parts.authority_id != claims.iss
        || parts.authority_spki_sha256 != hex::encode(&signer.spki_sha256)
    {
        return Err(EVIDENCE_FILES
            .refuse("transcript.json names another authority than the one that signed"));
    }
    let challenge = EnrolChallenge {
        session: parts.session,
        nonce: parts.nonce,
        authority_id: parts.authority_id.clone(),
        credential_blob: parts.credential_blob.clone(),
        encrypted_secret: parts.encrypted_secret.clone(),
        x25519_challenge: parts.x25519_challenge,
        pcr_selection: parts.pcr_selection.clone(),
        // Not part of the transcript, and not kept.
        expires_at: Timestamp::UNIX_EPOCH,
    };
    let transcript = Transcript::of(request, &challenge, &signer.spki_sha256)
        .map_err(|error| EVIDENCE_FILES.refuse(error))?;
    if hex::encode(transcript.as_bytes()) != parts.transcript {
        return Err(EVIDENCE_FILES.refuse("the parts do not add up to the transcript"));
    }
    Ok(transcript)
}

/// What the device's keys signed.
struct Signed<'a> {
    files: &'a Files,
    ak: &'a PublicKey,
    dk: &'a PublicKey,
    keys: &'a DeviceKeys,
    pcrs: &'a PcrValues,
}

impl Signed<'_> {
    fn check(&self, transcript: &Transcript, selection: &[u8]) -> Result<(), Refusal> {
        check_certify(
            &self.files["certify.attest"],
            &self.files["certify.sig"],
            self.ak,
            &transcript.certify_data(),
            &self.keys.dk_name,
        )?;
        check_quote(
            &self.files["quote.attest"],
            &self.files["quote.sig"],
            self.pcrs,
            self.ak,
            &transcript.quote_data(),
            selection,
        )?;
        check_request(&self.files["csr.der"], self.dk)
    }
}

fn check_agreement(
    claims: &Claims,
    device: &DeviceId,
    nonce: &Fixed<32>,
    pcrs: &PcrValues,
    endorsement: &Endorsement,
) -> Result<(), Refusal> {
    let of_software = claims.submods.tpm.vector.is_software();
    for (agrees, about) in [
        (claims.sub == *device, "another device"),
        (claims.eat_nonce == URL_SAFE_NO_PAD.encode(nonce.0), "another session"),
        (claims.submods.tpm.pcrs == *pcrs, "other PCR values"),
        (of_software == endorsement.software, "another kind of TPM"),
    ] {
        if !agrees {
            let why = format_args!("the attestation result is about {about}");
            return Err(ATTESTATION_RESULT.refuse(why));
        }
    }
    Ok(())
}

fn files<const N: usize>(named: [(&str, Vec<u8>); N]) -> Files {
    named.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// JSON in the one form that is written and accepted.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain data with string keys serialises")
}

fn canonical_json<T: Serialize + for<'a> Deserialize<'a>>(
    files: &Files,
    name: &str,
) -> Result<T, Refusal> {
    serde_json::from_slice(&files[name])
        .ok()
        .filter(|value| json(value) == files[name])
        .ok_or_else(|| EVIDENCE_FILES.refuse(format_args!("{name} is not as it was written")))
}

/// Certificates as RFC 7468 has them, 64 characters a line.
fn pem<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = String::new();
    for der in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(der);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            out.push_str(line);
            out.push('\n');
            rest = after;
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out.into_bytes()
}
