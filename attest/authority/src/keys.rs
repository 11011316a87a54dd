//! The authority's own P-256 key, for TLS, status lists and results. The log's key is
//! [`sealsum_log::key::LogKey`].

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sealsum_attest::certificate::{CertificateError, PublicKey};
use sealsum_attest::names::Names;
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

    /// A PKCS#10 request for these names, DER.
    ///
    /// # Errors
    /// [`CaError::Profile`] for names that fit no certificate.
    pub fn request(&self, names: &Names) -> Result<Vec<u8>, CaError> {
        let profile = |error: rcgen::Error| CaError::Profile(error.to_string());
        let pkcs8 = self.pkcs8.as_slice().into();
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ECDSA_P256_SHA256)
            .map_err(profile)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for uri in &names.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(profile)?));
        }
        for dns in &names.dns_names {
            let dns = dns.as_str().try_into().map_err(profile)?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
        Ok(params.serialize_request(&key).map_err(profile)?.der().to_vec())
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
}
