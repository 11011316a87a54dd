//! TPM2_MakeCredential in software: wraps a secret so that only the TPM that holds a given
//! endorsement key **and** an object of a given name can recover it.
//!
//! TPM 2.0 Library, Part 1, clauses 11.4.10 (KDFa, KDFe), 24 (credential protection), B.10 (RSA)
//! and C.6 (ECC). Everything random comes from the caller's generator, so the same generator
//! state gives the same credential.

use aes::cipher::KeyIvInit;
use aes::{Aes128, Aes256};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use rsa::BoxedUint;
use rsa::oaep::EncryptingKey;
use rsa::traits::RandomizedEncryptor;
use sha2::digest::{Digest, FixedOutputReset};
use sha2::{Sha256, Sha384};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::binding::ActivationSecret;
use crate::tpm::{EccPublic, Public, PublicKind, RsaPublic, alg, pad};

/// Label of the seed, with the terminating zero that the specification counts in.
const IDENTITY: &[u8] = b"IDENTITY\0";
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";

/// What the device hands to TPM2_ActivateCredential; both parts without their outer size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Contents of TPM2B_ID_OBJECT: sized HMAC, then the encrypted secret.
    pub blob: Vec<u8>,
    /// Contents of TPM2B_ENCRYPTED_SECRET: the seed for the endorsement key.
    pub encrypted_secret: Vec<u8>,
}

/// Why no credential can be made for an endorsement key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ActivationError {
    /// Not RSA-2048 or P-256 with SHA-256 and AES-128, nor P-384 with SHA-384 and AES-256.
    #[error("no credential can be made for an endorsement key of this kind")]
    UnsupportedKey,
    /// The modulus is unusable or the point is not on its curve.
    #[error("the endorsement key's value is invalid")]
    InvalidKey,
}

/// Wraps `secret` for the TPM with the endorsement key `ek` and an object named `name`.
///
/// # Errors
/// [`ActivationError`].
pub fn make_credential(
    ek: &Public,
    name: &[u8],
    secret: &ActivationSecret,
    rng: &mut impl CryptoRng,
) -> Result<Credential, ActivationError> {
    match (&ek.kind, ek.name_alg) {
        (PublicKind::Rsa(rsa), alg::SHA256) => {
            let (seed, encrypted_secret) = rsa_seed(rsa, rng)?;
            let blob = seal::<Sha256, Aes128>(&seed, name, secret);
            Ok(Credential { blob, encrypted_secret })
        }
        (PublicKind::Ecc(ecc), alg::SHA256) if ecc.curve == alg::NIST_P256 => {
            let (seed, encrypted_secret) = agree_p256(ecc, rng)?.seed::<Sha256>(&ecc.x);
            let blob = seal::<Sha256, Aes128>(&seed, name, secret);
            Ok(Credential { blob, encrypted_secret })
        }
        (PublicKind::Ecc(ecc), alg::SHA384) if ecc.curve == alg::NIST_P384 => {
            let (seed, encrypted_secret) = agree_p384(ecc, rng)?.seed::<Sha384>(&ecc.x);
            let blob = seal::<Sha384, Aes256>(&seed, name, secret);
            Ok(Credential { blob, encrypted_secret })
        }
        _ => Err(ActivationError::UnsupportedKey),
    }
}

type Seed = Zeroizing<Vec<u8>>;

/// Draws a seed and encrypts it with OAEP (B.10.3).
fn rsa_seed(rsa: &RsaPublic, rng: &mut impl CryptoRng) -> Result<(Seed, Vec<u8>), ActivationError> {
    let exponent = if rsa.exponent == 0 { 65_537 } else { rsa.exponent };
    let modulus = BoxedUint::from_be_slice_vartime(&rsa.modulus);
    let key = rsa::PublicKey::new(modulus, BoxedUint::from(u64::from(exponent)))
        .map_err(|_| ActivationError::InvalidKey)?;
    let mut seed = Zeroizing::new(vec![0; 32]);
    rng.fill_bytes(&mut seed);
    let encrypted = EncryptingKey::<Sha256>::new_with_label(key, IDENTITY)
        .encrypt_with_rng(rng, &seed)
        .map_err(|_| ActivationError::InvalidKey)?;
    Ok((seed, encrypted))
}

/// An ephemeral key agreed with the endorsement key (C.6.1).
struct Agreement {
    /// First coordinate of the shared point.
    z: Zeroizing<Vec<u8>>,
    /// The ephemeral public point.
    x: Vec<u8>,
    y: Vec<u8>,
}

impl Agreement {
    /// The seed, and the ephemeral point as a TPMS_ECC_POINT.
    fn seed<D: Digest>(&self, ek_x: &[u8]) -> (Seed, Vec<u8>) {
        let seed = kdf_e::<D>(&self.z, IDENTITY, &self.x, ek_x);
        (seed, [sized(&self.x), sized(&self.y)].concat())
    }
}

/// Both curves have the same interface but no common trait that is shorter than this.
macro_rules! agree {
    ($name:ident, $curve:ident, $size:literal) => {
        fn $name(ecc: &EccPublic, rng: &mut impl CryptoRng) -> Result<Agreement, ActivationError> {
            use $curve::elliptic_curve::Generate;
            let (x, y) = (pad::<$size>(&ecc.x), pad::<$size>(&ecc.y));
            let (x, y) = x.zip(y).ok_or(ActivationError::InvalidKey)?;
            let point = [&[4], &x[..], &y[..]].concat();
            let ek = $curve::PublicKey::from_sec1_bytes(&point)
                .map_err(|_| ActivationError::InvalidKey)?;
            let ephemeral = $curve::ecdh::EphemeralSecret::generate_from_rng(rng);
            let public = $curve::PublicKey::from(&ephemeral).to_sec1_bytes();
            let shared = ephemeral.diffie_hellman(&ek);
            Ok(Agreement {
                z: Zeroizing::new(shared.raw_secret_bytes().to_vec()),
                x: public[1..1 + $size].to_vec(),
                y: public[1 + $size..].to_vec(),
            })
        }
    };
}

agree!(agree_p256, p256, 32);
agree!(agree_p384, p384, 48);

/// Encrypts and authenticates the secret under the seed, bound to the name (Part 1, 24.4, 24.5).
fn seal<D, C>(seed: &[u8], name: &[u8], secret: &ActivationSecret) -> Vec<u8>
where
    D: Digest + EagerHash + FixedOutputReset,
    C: aes::cipher::BlockCipherEncrypt + aes::cipher::KeyInit,
{
    let storage_key = kdf_a::<D>(seed, STORAGE, name, C::key_size());
    let mut sealed = sized(secret.expose());
    cfb_mode::Encryptor::<C>::new_from_slices(&storage_key, &vec![0; C::block_size()])
        .expect("key and block sizes are the cipher's own")
        .encrypt(&mut sealed);
    let integrity_key = kdf_a::<D>(seed, INTEGRITY, &[], <D as Digest>::output_size());
    let mut mac = hmac::<D>(&integrity_key);
    mac.update(&sealed);
    mac.update(name);
    [sized(&mac.finalize().into_bytes()), sealed].concat()
}

/// KDFa with an empty second context, `length` bytes, at most one digest (11.4.10.2).
fn kdf_a<D: Digest + EagerHash>(
    key: &[u8],
    label: &[u8],
    context: &[u8],
    length: usize,
) -> Zeroizing<Vec<u8>> {
    debug_assert!(length <= <D as Digest>::output_size());
    let mut mac = hmac::<D>(key);
    mac.update(&1_u32.to_be_bytes());
    mac.update(label);
    mac.update(context);
    mac.update(&(length as u32 * 8).to_be_bytes());
    Zeroizing::new(mac.finalize().into_bytes()[..length].to_vec())
}

/// KDFe of exactly one digest (11.4.10.3).
fn kdf_e<D: Digest>(z: &[u8], label: &[u8], party_u: &[u8], party_v: &[u8]) -> Seed {
    let digest = D::new()
        .chain_update(1_u32.to_be_bytes())
        .chain_update(z)
        .chain_update(label)
        .chain_update(party_u)
        .chain_update(party_v)
        .finalize();
    Zeroizing::new(digest.to_vec())
}

fn hmac<D: EagerHash>(key: &[u8]) -> Hmac<D> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// A TPM2B of at most 64 KiB; what we wrap is far shorter.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}
