//! The evidence directory: what a device showed, as it showed it, so that anybody can judge again.

use sealsum_attest::hex;
use sealsum_attest::messages::{
    Bytes, EnrolAnswer, EnrolRequest, Fixed, PcrValues, RenewAnswer, RenewChallenge,
};
use sealsum_attest::verify::{AuthorityIdentity, Session};
use sealsum_daemon::Failure;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::store::EvidenceFile;

/// The files of an enrolment but for the result, and what the log says about them.
pub(crate) struct Kept {
    pub(crate) files: Vec<EvidenceFile>,
    pub(crate) transcript: String,
    pub(crate) ek_certificate_sha256: String,
}

impl EvidenceFile {
    /// A file with these contents.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.to_vec() }
    }
}

/// All parts of the transcript that are in no other file; the transcript is over all of them.
#[derive(Serialize)]
struct TranscriptParts<'a> {
    authority_id: &'a str,
    authority_spki_sha256: String,
    session: String,
    client_random: &'a Fixed<32>,
    nonce: &'a Fixed<32>,
    x25519_public: &'a Fixed<32>,
    srk_name: &'a Bytes,
    x25519_challenge: &'a Fixed<32>,
    credential_blob: &'a Bytes,
    encrypted_secret: &'a Bytes,
    pcr_selection: &'a [u8],
    transcript: String,
}

/// What is kept of an enrolment. The token is not.
pub(crate) fn of_enrolment(
    session: &Session,
    answer: &EnrolAnswer,
    authority: &AuthorityIdentity,
) -> Result<Kept, Failure> {
    let request = session.request();
    let transcript = hex::encode(session.transcript().as_bytes());
    let mut files = vec![
        EvidenceFile::new("ek.der", &request.ek_certificate.0),
        EvidenceFile::new("ek_chain.pem", chain_pem(request).as_bytes()),
        EvidenceFile::new("ek.pub", &request.ek_public.0),
        EvidenceFile::new("ak.pub", &request.ak_public.0),
        EvidenceFile::new("dk.pub", &request.dk_public.0),
        EvidenceFile::new("certify.attest", &answer.certify_attest.0),
        EvidenceFile::new("certify.sig", &answer.certify_signature.0),
        json("transcript.json", &parts(session, authority, transcript.clone()))?,
    ];
    files.extend(quote(&answer.quote_attest, &answer.quote_signature, &answer.pcrs, &answer.csr)?);
    let ek_certificate_sha256 = hex::encode(&Sha256::digest(&request.ek_certificate.0));
    Ok(Kept { files, transcript, ek_certificate_sha256 })
}

/// What is kept of a renewal, which shows a quote and a request only.
pub(crate) fn of_renewal(
    challenge: &RenewChallenge,
    answer: &RenewAnswer,
) -> Result<Vec<EvidenceFile>, Failure> {
    let mut files =
        quote(&answer.quote_attest, &answer.quote_signature, &answer.pcrs, &answer.csr)?;
    files.push(json("transcript.json", challenge)?);
    Ok(files)
}

fn parts<'a>(
    session: &'a Session,
    authority: &'a AuthorityIdentity,
    transcript: String,
) -> TranscriptParts<'a> {
    let (request, challenge) = (session.request(), session.challenge());
    TranscriptParts {
        authority_id: &authority.id,
        authority_spki_sha256: hex::encode(&authority.spki_sha256),
        session: challenge.session.to_string(),
        client_random: &request.client_random,
        nonce: &challenge.nonce,
        x25519_public: &request.x25519_public,
        srk_name: &request.srk_name,
        x25519_challenge: &challenge.x25519_challenge,
        credential_blob: &challenge.credential_blob,
        encrypted_secret: &challenge.encrypted_secret,
        pcr_selection: &challenge.pcr_selection,
        transcript,
    }
}

fn quote(
    attest: &Bytes,
    signature: &Bytes,
    pcrs: &PcrValues,
    csr: &Bytes,
) -> Result<Vec<EvidenceFile>, Failure> {
    Ok(vec![
        EvidenceFile::new("quote.attest", &attest.0),
        EvidenceFile::new("quote.sig", &signature.0),
        json("pcrs.json", pcrs)?,
        EvidenceFile::new("csr.der", &csr.0),
    ])
}

fn json(name: &str, value: &impl Serialize) -> Result<EvidenceFile, Failure> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| Failure::bug(format!("{name}: {error}")))?;
    Ok(EvidenceFile::new(name, &text))
}

/// The endorsement key's certificate and the intermediates shown with it.
fn chain_pem(request: &EnrolRequest) -> String {
    std::iter::once(&request.ek_certificate)
        .chain(&request.ek_chain)
        .map(|der| pem(&der.0))
        .collect()
}

/// RFC 7468, 64 characters a line.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}
