//! The exchanges with the authority: enrolment, renewal, status list.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use sealsum_attest::binding::{self, Renewal, Transcript};
use sealsum_attest::certificate::{self, FleetCa, Role};
use sealsum_attest::ids::Fleet;
use sealsum_attest::inclusion::Inclusion;
use sealsum_attest::messages::{
    Bytes, EnrolAnswer, EnrolChallenge, EnrolGrant, EnrolRequest, Fixed, PROTOCOL_VERSION,
    RenewAnswer, RenewChallenge, RenewRequest, RotateAnswer, RotateChallenge,
};
use sealsum_attest::names::Names;
use sealsum_attest::tpm;
use sealsum_attest_tpm::{Identity, Vault};
use sealsum_daemon::tls::{self, RoleCheck};
use sealsum_daemon::{Failure, codes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::device::{Device, Stored, tpm_failure};
use crate::upstream::{Request, Upstream};
use crate::witness::{self, Provers, Witness};

const JSON: &str = "application/json";

/// The authority before the device has a certificate, and what its TLS certificate said.
pub struct Stranger {
    upstream: Upstream,
    seen: Arc<Mutex<Option<certificate::Identity>>>,
}

impl Stranger {
    /// The authority at `url`, trusted by `ca_pem`.
    ///
    /// # Errors
    /// `file_format` if the certificates cannot be used.
    pub fn new(url: &str, ca_pem: &[u8], ca_name: &str) -> Result<Self, Failure> {
        let roots = tls::roots(&tls::chain_from_pem(ca_pem, ca_name)?, ca_name)?;
        let seen = Arc::new(Mutex::new(None));
        let config = tls::client_config(roots, remember(seen.clone()), None)?;
        Ok(Self { upstream: Upstream::new("authority", url, config), seen })
    }

    /// The whole enrolment of `identity` with `token`. The certificate must be in the log that
    /// `witness` knows; of a first one it pins the key. Without a token if the authority knows the
    /// endorsement key.
    ///
    /// # Errors
    /// `token_invalid`, `evidence_refused` with its check, `revoked`, `unreachable`, `wrong_ca`,
    /// `tls`, `tpm_unreachable`, `log_invalid`, `log_fork`.
    pub fn enrol(
        &self,
        identity: &Identity,
        vault: &Vault,
        token: Option<&str>,
        ca: &FleetCa,
        witness: &Witness,
    ) -> Result<Stored, Failure> {
        let request = first_message(identity, token)?;
        let challenge: EnrolChallenge = ask(&self.upstream, "/v1/enroll", &request)?;
        let server = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let server = server.ok_or_else(|| Failure::bug("enrolment: no server certificate seen"))?;
        if challenge.authority_id != Role::Authority.uri(&server.fleet) {
            return Err(contradiction("it names itself otherwise than its certificate does"));
        }
        let answer = answer(identity, vault, &request, &challenge, &server)?;
        let path = format!("/v1/enroll/{}", challenge.session);
        let grant: EnrolGrant = ask(&self.upstream, &path, &answer)?;
        if grant.fleet != server.fleet {
            return Err(contradiction("it enrols into another fleet than its own"));
        }
        let shown = grant.log.clone();
        let stored = Stored::from_grant(identity.state().clone(), grant, ca, clock::now())?;
        demand_logged(&self.upstream, &stored, &shown, witness)?;
        Ok(stored)
    }
}

/// Demands the authority's role of the server and keeps what its certificate says.
fn remember(seen: Arc<Mutex<Option<certificate::Identity>>>) -> RoleCheck {
    Arc::new(move |der: &CertificateDer<'_>| {
        let server = certificate::Identity::parse(der).map_err(|error| error.to_string())?;
        server.authority().map_err(|error| error.to_string())?;
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    })
}

fn first_message(identity: &Identity, token: Option<&str>) -> Result<EnrolRequest, Failure> {
    let keys = identity.state();
    let mut client_random = [0; 32];
    crate::random::fill(&mut client_random)?;
    Ok(EnrolRequest {
        protocol: PROTOCOL_VERSION,
        token: token.map(str::to_owned),
        ek_certificate: keys.ek_certificate.clone().ok_or_else(no_ek_certificate)?,
        ek_chain: Vec::new(),
        ek_public: keys.ek_public.clone(),
        ak_public: keys.ak_public.clone(),
        dk_public: keys.dk_public.clone(),
        x25519_public: keys.x25519_public,
        srk_name: keys.srk_name.clone(),
        client_random: Fixed(client_random),
    })
}

fn no_ek_certificate() -> Failure {
    Failure::new(
        codes::EVIDENCE_REFUSED,
        "TPM: its maker put no endorsement certificate into it",
        "a TPM with an RSA-2048 endorsement certificate",
    )
    .with_check("2")
}

fn answer(
    identity: &Identity,
    vault: &Vault,
    request: &EnrolRequest,
    challenge: &EnrolChallenge,
    server: &certificate::Identity,
) -> Result<EnrolAnswer, Failure> {
    let transcript = Transcript::of(request, challenge, &server.spki_sha256)
        .map_err(|error| Failure::bug(format!("enrolment: {error}")))?;
    let secret = identity
        .activate(&challenge.credential_blob.0, &challenge.encrypted_secret.0)
        .map_err(|error| tpm_failure(&error))?;
    let quote = identity
        .quote(&transcript.quote_data(), &challenge.pcr_selection)
        .map_err(|error| tpm_failure(&error))?;
    let certified =
        identity.certify(&transcript.certify_data()).map_err(|error| tpm_failure(&error))?;
    let csr = certificate_request(identity, &server.fleet)?;
    let x25519_proof = binding::prove_possession(
        vault.x25519(),
        &challenge.x25519_challenge.0,
        &challenge.nonce.0,
        &transcript,
    )
    .map_err(|error| contradiction(&error.to_string()))?;
    Ok(EnrolAnswer {
        quote_attest: quote.statement.attest.into(),
        quote_signature: quote.statement.signature.into(),
        pcrs: quote.pcrs,
        certify_attest: certified.attest.into(),
        certify_signature: certified.signature.into(),
        csr: csr.into(),
        activation_proof: Fixed(transcript.activation_proof(&secret)),
        x25519_proof: Fixed(x25519_proof),
    })
}

/// Demands that the authority's log shows the certificate.
fn demand_logged(
    authority: &Upstream,
    stored: &Stored,
    shown: &Inclusion,
    witness: &Witness,
) -> Result<(), Failure> {
    let chain = certificate::chain_from_pem(&stored.certificate)
        .map_err(|error| contradiction(&format!("its certificate: {error}")))?;
    witness.take(shown, &chain[0], Provers { relay: None, log: &witness::ask(authority) })
}

/// What a renewal gave.
pub struct Renewed {
    /// What to store.
    pub stored: Stored,
    /// The head of the ledger that the authority kept, if the renewal brought it none.
    pub ledger_head: Option<Bytes>,
}

/// Renews the certificate with a fresh quote; the keys stay. The authority keeps `ledger_head`, or
/// gives back the one it has.
///
/// # Errors
/// `evidence_refused` with its check, `revoked`, `certificate_expired`, `unreachable`,
/// `tpm_unreachable`, `log_invalid`, `log_fork`.
pub fn renew(
    authority: &Upstream,
    device: &Device,
    ledger_head: Option<Bytes>,
    witness: &Witness,
) -> Result<Renewed, Failure> {
    let ask_nonce = RenewRequest::Challenge { protocol: PROTOCOL_VERSION };
    let challenge: RenewChallenge = ask(authority, "/v1/renew", &ask_nonce)?;
    let keys = device.identity.state();
    let csr = certificate_request(&device.identity, &device.stored.fleet)?;
    let dk_name = tpm::name_of(&keys.dk_public.0)
        .map_err(|error| Failure::bug(format!("renewal: the device key: {error}")))?;
    let quoted = Renewal {
        nonce: &challenge.nonce.0,
        device: &device.stored.device,
        dk_name: &dk_name,
        x25519_public: &keys.x25519_public.0,
        old_serial: &device.certificate.serial,
        csr: &csr,
    };
    let quote = device
        .identity
        .quote(&quoted.quote_data(), &challenge.pcr_selection)
        .map_err(|error| tpm_failure(&error))?;
    let answer = RenewRequest::Answer(Box::new(RenewAnswer {
        session: challenge.session,
        quote_attest: quote.statement.attest.into(),
        quote_signature: quote.statement.signature.into(),
        pcrs: quote.pcrs,
        csr: csr.into(),
        ledger_head,
    }));
    let mut grant: EnrolGrant = ask(authority, "/v1/renew", &answer)?;
    let (shown, ledger_head) = (grant.log.clone(), grant.ledger_head.take());
    let renewed = Stored::from_grant(keys.clone(), grant, &device.ca, clock::now())?;
    demand_logged(authority, &renewed, &shown, witness)?;
    let Stored { enrolled_at, rotated_at, .. } = device.stored;
    Ok(Renewed { stored: Stored { enrolled_at, rotated_at, ..renewed }, ledger_head })
}

/// Renews with new keys, for which the attestation key and a fresh quote vouch.
///
/// # Errors
/// As [`renew`].
pub fn rotate(
    authority: &Upstream,
    device: &Device,
    (identity, vault): (&Identity, &Vault),
    ledger_head: Option<Bytes>,
    witness: &Witness,
) -> Result<Renewed, Failure> {
    let keys = identity.state();
    let ask_nonce = RenewRequest::Rotate {
        protocol: PROTOCOL_VERSION,
        dk_public: keys.dk_public.clone(),
        x25519_public: keys.x25519_public,
    };
    let challenge: RotateChallenge = ask(authority, "/v1/renew", &ask_nonce)?;
    let csr = certificate_request(identity, &device.stored.fleet)?;
    let dk_name = tpm::name_of(&keys.dk_public.0)
        .map_err(|error| Failure::bug(format!("renewal: the device key: {error}")))?;
    let transcript = Renewal {
        nonce: &challenge.renewal.nonce.0,
        device: &device.stored.device,
        dk_name: &dk_name,
        x25519_public: &keys.x25519_public.0,
        old_serial: &device.certificate.serial,
        csr: &csr,
    }
    .rotation(&challenge.x25519_challenge.0);
    let quote = identity
        .quote(&transcript.quote_data(), &challenge.renewal.pcr_selection)
        .map_err(|error| tpm_failure(&error))?;
    let certified =
        identity.certify(&transcript.certify_data()).map_err(|error| tpm_failure(&error))?;
    let (nonce, ephemeral) = (&challenge.renewal.nonce.0, &challenge.x25519_challenge.0);
    let x25519_proof = binding::prove_possession(vault.x25519(), ephemeral, nonce, &transcript)
        .map_err(|error| contradiction(&error.to_string()))?;
    let answer = RenewRequest::RotateAnswer(Box::new(RotateAnswer {
        renewal: RenewAnswer {
            session: challenge.renewal.session,
            quote_attest: quote.statement.attest.into(),
            quote_signature: quote.statement.signature.into(),
            pcrs: quote.pcrs,
            csr: csr.into(),
            ledger_head,
        },
        certify_attest: certified.attest.into(),
        certify_signature: certified.signature.into(),
        x25519_proof: Fixed(x25519_proof),
    }));
    let mut grant: EnrolGrant = ask(authority, "/v1/renew", &answer)?;
    let now = clock::now();
    let (shown, ledger_head) = (grant.log.clone(), grant.ledger_head.take());
    let rotated = Stored::from_grant(keys.clone(), grant, &device.ca, now)?;
    demand_logged(authority, &rotated, &shown, witness)?;
    let enrolled_at = device.stored.enrolled_at;
    Ok(Renewed { stored: Stored { enrolled_at, rotated_at: Some(now), ..rotated }, ledger_head })
}

/// A request for the names that this device's certificate must have.
fn certificate_request(identity: &Identity, fleet: &Fleet) -> Result<Vec<u8>, Failure> {
    let keys = identity.state();
    let role = Role::Device(keys.device());
    let names = Names::of_role(&role, fleet, Some(&keys.x25519_public.0));
    identity.device_key().certificate_request(&names).map_err(|error| tpm_failure(&error))
}

fn ask<A: DeserializeOwned>(
    authority: &Upstream,
    path: &str,
    question: &impl Serialize,
) -> Result<A, Failure> {
    let body = serde_json::to_vec(question)
        .map_err(|error| Failure::bug(format!("{path}: cannot be written: {error}")))?;
    let answer = authority.demand(Request::post(path, JSON, &body))?;
    serde_json::from_slice(&answer.body)
        .map_err(|error| contradiction(&format!("its answer to {path} is malformed: {error}")))
}

fn contradiction(why: &str) -> Failure {
    Failure::new(
        codes::REFUSED,
        format!("authority: {why}"),
        "check authority.url; report this to whoever runs it",
    )
}
