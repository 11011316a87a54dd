//! The device key at work: as a TLS 1.3 client key and as the signer of a certificate request.
//! Its private half never leaves the TPM.

use crate::error::{TpmError, during};
use crate::keys::{Blob, with_child};
use crate::session::ONE_EMPTY;
use crate::worker::Tpm;
use p256::ecdsa::Signature as EcdsaSignature;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme as TlsScheme};
use sealsum_attest::names::Names;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use tss_esapi::Context;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{Digest, HashcheckTicket, Public, Signature, SignatureScheme};
use tss_esapi::traits::UnMarshall;
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

const WHAT: &str = "the device key";
const COORDINATE: usize = 32;
/// SubjectPublicKeyInfo of a P-256 key (RFC 5480) up to the uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_SIZE: usize = 1 + 2 * COORDINATE;

/// The device key. Cheap to clone; each signature is one operation of the TPM.
#[derive(Clone)]
pub struct DeviceKey {
    shared: Arc<Shared>,
}

struct Shared {
    tpm: Tpm,
    srk_name: Vec<u8>,
    blob: Blob,
    spki: Vec<u8>,
}

impl DeviceKey {
    pub(crate) fn new(tpm: Tpm, srk_name: Vec<u8>, blob: Blob) -> Result<Self, TpmError> {
        let spki = spki(&blob.public)?;
        Ok(Self { shared: Arc::new(Shared { tpm, srk_name, blob, spki }) })
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.shared.spki
    }

    /// The public point, SEC 1 uncompressed: 04, x, y.
    pub fn point(&self) -> &[u8] {
        self.shared.spki.get(SPKI_PREFIX.len()..).unwrap_or_default()
    }

    /// ECDSA over SHA-256 of `message`: r and s, 32 bytes each.
    ///
    /// # Errors
    /// [`TpmError::Cleared`] or [`TpmError::Damaged`] if the key cannot be loaded,
    /// [`TpmError::Unreachable`] and the like.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], TpmError> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let shared = Arc::clone(&self.shared);
        self.shared.tpm.run(move |context| {
            with_child(context, &shared.srk_name, WHAT, &shared.blob, |context, key| {
                sign_digest(context, key, &digest)
            })
        })
    }

    /// The same signature as DER (RFC 3279, 2.2.3), as X.509 and TLS want it.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let signature = EcdsaSignature::from_slice(&self.sign(message)?)
            .map_err(|error| failed(error.to_string()))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    /// A PKCS#10 request (DER) with an empty subject, for the URIs of `names`. The authority
    /// decides what the certificate says; a CA behind it may sign only names that were asked for.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn certificate_request(&self, names: &Names) -> Result<Vec<u8>, TpmError> {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        for uri in &names.uris {
            let uri =
                uri.as_str().try_into().map_err(|error: rcgen::Error| failed(error.to_string()))?;
            parameters.subject_alt_names.push(rcgen::SanType::URI(uri));
        }
        // rcgen's error cannot carry ours, so a signature that fails is remembered here.
        let signer = RequestSigner { key: self, failure: std::cell::RefCell::new(None) };
        let request = parameters.serialize_request(&signer);
        match (request, signer.failure.into_inner()) {
            (Ok(request), None) => Ok(request.der().to_vec()),
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(failed(error.to_string())),
        }
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey(in {:?})", self.shared.tpm)
    }
}

impl SigningKey for DeviceKey {
    fn choose_scheme(&self, offered: &[TlsScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&TlsScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for DeviceKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.sign_der(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> TlsScheme {
        TlsScheme::ECDSA_NISTP256_SHA256
    }
}

struct RequestSigner<'a> {
    key: &'a DeviceKey,
    failure: std::cell::RefCell<Option<TpmError>>,
}

impl rcgen::PublicKeyData for RequestSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for RequestSigner<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign_der(message).map_err(|error| {
            self.failure.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

/// TPM2_Sign of a digest made outside, which only an unrestricted key accepts without a ticket.
fn sign_digest(
    context: &mut Context,
    key: KeyHandle,
    digest: &[u8; 32],
) -> Result<[u8; 64], TpmError> {
    let doing = during("signing with the device key");
    let digest = Digest::try_from(digest.as_slice()).map_err(&doing)?;
    let no_ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: Default::default(),
    })
    .map_err(&doing)?;
    let signature = context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.sign(key, digest, SignatureScheme::Null, no_ticket)
        })
        .map_err(doing)?;
    let Signature::EcDsa(signature) = signature else {
        return Err(failed("the TPM made no ECDSA signature".into()));
    };
    let scalar = |value: &[u8]| fixed(value).ok_or_else(|| failed("a scalar is too long".into()));
    let (r, s) =
        (scalar(signature.signature_r().value())?, scalar(signature.signature_s().value())?);
    let mut both = [0; 64];
    both[..COORDINATE].copy_from_slice(&r);
    both[COORDINATE..].copy_from_slice(&s);
    Ok(both)
}

fn spki(public: &[u8]) -> Result<Vec<u8>, TpmError> {
    let damaged = TpmError::Damaged { what: WHAT };
    let Ok(Public::Ecc { unique, .. }) = Public::unmarshall(public) else { return Err(damaged) };
    let (x, y) = (fixed(unique.x().value()), fixed(unique.y().value()));
    let (Some(x), Some(y)) = (x, y) else { return Err(damaged) };
    let mut spki = Vec::with_capacity(SPKI_PREFIX.len() + POINT_SIZE);
    spki.extend(SPKI_PREFIX);
    spki.push(0x04);
    spki.extend(x);
    spki.extend(y);
    Ok(spki)
}

/// A number of at most 32 bytes with its leading zeros, which some TPMs leave out.
fn fixed(value: &[u8]) -> Option<[u8; COORDINATE]> {
    let mut padded = [0; COORDINATE];
    let start = COORDINATE.checked_sub(value.len())?;
    padded[start..].copy_from_slice(value);
    Some(padded)
}

fn failed(reason: String) -> TpmError {
    TpmError::Failed { doing: "signing with the device key", reason }
}
