//! The authority's own keys: one P-256 key for TLS, status lists and results; one Ed25519 key for
//! the head of the log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey as LogKey;
use rcgen::KeyPair;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sealsum_attest::certificate::{CertificateError, PublicKey};
use sealsum_attest::ids::Fleet;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::ca::CaError;

/// The key behind the authority's own certificate.
pub struct ServerKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl ServerKey {
    /// Draws a key; PEM (PKCS#8) for its file.
    ///
    /// # Errors
    /// [`CaError`] without random bytes.
    pub fn draw() -> Result<Zeroizing<String>, CaError> {
        let pair = KeyPair::generate().map_err(|error| CaError::Profile(error.to_string()))?;
        Ok(Zeroizing::new(pair.serialize_pem()))
    }

    /// Reads what [`ServerKey::draw`] wrote.
    ///
    /// # Errors
    /// [`CaError::Files`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        let files = |error: String| CaError::Files(format!("authority.key: {error}"));
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| files(error.to_string()))?;
        let pkcs8 = Zeroizing::new(key.secret_der().to_vec());
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random)
            .map_err(|error| files(error.to_string()))?;
        Ok(Self { pkcs8, pair, random })
    }

    /// The public half.
    ///
    /// # Errors
    /// [`CertificateError::Key`] never happens for a key that ring made.
    pub fn public_key(&self) -> Result<PublicKey, CertificateError> {
        PublicKey::from_sec1(self.pair.public_key().as_ref())
    }

    /// The private half for the TLS server.
    #[must_use]
    pub fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.pkcs8.to_vec().into())
    }

    /// ECDSA P-256 with SHA-256 (FIPS 186-5): r and s, 32 bytes each.
    ///
    /// # Errors
    /// [`CaError`] without random bytes.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], CaError> {
        self.pair
            .sign(&self.random, message)
            .ok()
            .and_then(|signature| signature.as_ref().try_into().ok())
            .ok_or_else(|| CaError::Profile("the signature failed".into()))
    }
}

/// Draws the seed of the log's key.
///
/// # Errors
/// [`CaError::Random`].
pub fn draw_log_seed() -> Result<Zeroizing<[u8; 32]>, CaError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(seed)
}

/// The log's key from its file.
///
/// # Errors
/// [`CaError::Files`] if it is not 32 bytes.
pub fn log_key(seed: &[u8]) -> Result<LogKey, CaError> {
    let seed = seed.try_into().map_err(|_| CaError::Files("log.key: is not 32 bytes".into()))?;
    Ok(LogKey::from_bytes(seed))
}

/// The log's verifier key (C2SP signed-note): `NAME+KEYID+base64(0x01 ‖ Ed25519 key)`, where KEYID
/// is the first four bytes of SHA-256 over name, newline, 0x01 and key.
#[must_use]
pub fn log_verifier(fleet: &Fleet, key: &LogKey) -> String {
    let name = format!("{fleet}/log");
    let mut typed = vec![ED25519];
    typed.extend(key.verifying_key().as_bytes());
    let digest =
        Sha256::new().chain_update(&name).chain_update("\n").chain_update(&typed).finalize();
    let id = sealsum_attest::hex::encode(&digest[..4]);
    format!("{name}+{id}+{}\n", STANDARD.encode(typed))
}

/// Signature type of the signed-note specification.
const ED25519: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_key_signs_what_its_public_half_verifies() {
        let key = ServerKey::from_pem(ServerKey::draw().unwrap().as_bytes()).unwrap();
        let signature = key.sign(b"message").unwrap();
        let public = key.public_key().unwrap();
        assert!(public.verify(b"message", &signature).is_ok());
        assert!(public.verify(b"massage", &signature).is_err());
    }

    #[test]
    fn the_verifier_key_is_a_signed_note_key() {
        let fleet: Fleet = "demo".parse().unwrap();
        let line = log_verifier(&fleet, &LogKey::from_bytes(&[7; 32]));
        let [name, id, key] = line.trim_end().split('+').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let key = STANDARD.decode(key).unwrap();
        assert_eq!((name, key.len(), key[0]), ("demo/log", 33, 1));
        let digest = Sha256::digest([b"demo/log\n", &key[..]].concat());
        assert_eq!(id, sealsum_attest::hex::encode(&digest[..4]));
    }
}
