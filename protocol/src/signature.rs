//! Ed25519 (RFC 8032) as this protocol uses it: strict verification, one at a time.
//!
//! Strict, because batch or cofactored verification lets a corrupt key make signatures that some
//! devices accept and others refuse.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::codec::{CodecError, Decode, Encode, Reader, Writer};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// An Ed25519 public key, checked when it is used. Written `ed25519:BASE64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; SIGNATURE_BYTES]);

/// An Ed25519 secret key. Erased when dropped; never printed, compared or copied.
pub struct SecretKey(Box<ed25519_dalek::SigningKey>);

/// Text that is not `ed25519:` and the base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected ed25519: and the base64 of 32 bytes")]
pub struct NotAKey;

impl SecretKey {
    /// Draws a key.
    pub fn draw(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key of RFC 8032 section 5.1.5 for a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`. The same message gives the same bytes.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl PublicKey {
    /// Whether these bytes are the canonical encoding of a point that is not of low order.
    pub fn is_sound(&self) -> bool {
        self.verifying_key().is_some()
    }

    /// Whether `signature` is this key's on `message`.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.verifying_key().is_some_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    fn verifying_key(&self) -> Option<ed25519_dalek::VerifyingKey> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0).ok()?;
        let canonical = key.to_edwards().compress().to_bytes() == self.0;
        (canonical && !key.is_weak()).then_some(key)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let encoded = text.strip_prefix("ed25519:").ok_or(NotAKey)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NotAKey)?;
        bytes.try_into().map(Self).map_err(|_| NotAKey)
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Encode for PublicKey {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(&self.0);
    }
}

impl Decode for PublicKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array().map(Self)
    }
}

impl Encode for Signature {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(&self.0);
    }
}

impl Decode for Signature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array().map(Self)
    }
}
