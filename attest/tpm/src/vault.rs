//! What the key sealed in the TPM encrypts: the X25519 seed and the agent's small secrets.

use crate::error::TpmError;
use crate::random;
use crate::seal::Key;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use hkdf::Hkdf;
use sealsum_attest::ids::DeviceId;
use sha2::Sha256;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// First byte of everything encrypted here.
const FORMAT: u8 = 1;
const SALT_SIZE: usize = 32;
const KEY_LABEL: &[u8] = b"sealsum/v1/vault";
const X25519_LABEL: &str = "x25519";

/// The unsealed key and the X25519 identity. Lives in memory only; dropped, it is wiped.
///
/// Each encryption has a key of its own, HKDF-SHA-256(sealed key, 32 random bytes, purpose), so
/// ChaCha20-Poly1305 (RFC 8439) meets each key once and its nonce is zero. The purpose, the
/// device and the caller's context are authenticated: a file moved to another place, or another
/// device, does not open.
pub struct Vault {
    key: Key,
    device: DeviceId,
    x25519: Box<StaticSecret>,
}

impl Vault {
    /// A new vault under `key`, with a new X25519 identity from `seed`, and that seed encrypted.
    pub(crate) fn create(
        key: Key,
        device: DeviceId,
        seed: &Key,
    ) -> Result<(Self, Vec<u8>), TpmError> {
        let sealed = encrypt(&key, &device, X25519_LABEL, &[], seed.as_slice())?;
        Ok((Self { key, device, x25519: Box::new(StaticSecret::from(***seed)) }, sealed))
    }

    /// Opens the encrypted seed with the unsealed `key`.
    pub(crate) fn open(key: Key, device: DeviceId, sealed_seed: &[u8]) -> Result<Self, TpmError> {
        const DAMAGED: TpmError = TpmError::Damaged { what: "the X25519 identity" };
        let seed = decrypt(&key, &device, X25519_LABEL, &[], sealed_seed).ok_or(DAMAGED)?;
        let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| DAMAGED)?;
        let seed = Zeroizing::new(seed);
        Ok(Self { key, device, x25519: Box::new(StaticSecret::from(*seed)) })
    }

    /// The device's X25519 identity, the channel key between devices.
    pub fn x25519(&self) -> &StaticSecret {
        &self.x25519
    }

    /// Its public half.
    pub fn x25519_public(&self) -> [u8; 32] {
        PublicKey::from(&*self.x25519).to_bytes()
    }

    /// Encrypts `plaintext` for storage. `purpose` separates uses, `context` is what must be the
    /// same again at [`Self::decrypt`] (a task's name, say). Longer by 49 bytes.
    ///
    /// # Errors
    /// [`TpmError::Random`].
    pub fn encrypt(
        &self,
        purpose: &str,
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        encrypt(&self.key, &self.device, purpose, context, plaintext)
    }

    /// Gives back what [`Self::encrypt`] encrypted for the same purpose and context.
    ///
    /// # Errors
    /// [`TpmError::Damaged`] if anything differs.
    pub fn decrypt(
        &self,
        purpose: &str,
        context: &[u8],
        stored: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        decrypt(&self.key, &self.device, purpose, context, stored)
            .ok_or(TpmError::Damaged { what: "an encrypted file" })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

fn encrypt(
    key: &Key,
    device: &DeviceId,
    purpose: &str,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, TpmError> {
    let mut salt = [0; SALT_SIZE];
    random::fill(&mut salt)?;
    let aad = associated(device, purpose, context);
    let sealed = cipher(key, &salt, purpose)
        .and_then(|cipher| {
            cipher.encrypt(&Nonce::default(), Payload { msg: plaintext, aad: &aad }).ok()
        })
        .ok_or(TpmError::Failed { doing: "encrypting", reason: "more than 256 GiB".into() })?;
    Ok([&[FORMAT], salt.as_slice(), &sealed].concat())
}

fn decrypt(
    key: &Key,
    device: &DeviceId,
    purpose: &str,
    context: &[u8],
    stored: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let rest = stored.strip_prefix(&[FORMAT])?;
    let (salt, sealed) = rest.split_at_checked(SALT_SIZE)?;
    let aad = associated(device, purpose, context);
    let opened = cipher(key, salt, purpose)?
        .decrypt(&Nonce::default(), Payload { msg: sealed, aad: &aad })
        .ok()?;
    Some(Zeroizing::new(opened))
}

fn cipher(key: &Key, salt: &[u8], purpose: &str) -> Option<ChaCha20Poly1305> {
    let mut one_use = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), key.as_slice())
        .expand_multi_info(&[KEY_LABEL, &[0], purpose.as_bytes()], one_use.as_mut_slice())
        .ok()?;
    ChaCha20Poly1305::new_from_slice(one_use.as_slice()).ok()
}

/// Unambiguous because the purpose, chosen by this program, holds no zero byte.
fn associated(device: &DeviceId, purpose: &str, context: &[u8]) -> Vec<u8> {
    [device.as_bytes().as_slice(), purpose.as_bytes(), &[0], context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> (Vault, Vec<u8>) {
        let key = |byte| Box::new(Zeroizing::new([byte; 32]));
        Vault::create(key(1), DeviceId::from_bytes([2; 32]), &key(3)).unwrap()
    }

    #[test]
    fn opens_only_in_its_place() {
        let (vault, sealed_seed) = vault();
        let stored = vault.encrypt("pending", b"penguins", b"update").unwrap();
        assert_eq!(*vault.decrypt("pending", b"penguins", &stored).unwrap(), b"update");
        assert!(vault.decrypt("pending", b"digits", &stored).is_err());
        assert!(vault.decrypt("ledger", b"penguins", &stored).is_err());
        let (key, device) = (vault.key.clone(), vault.device);
        let reopened = Vault::open(key.clone(), device, &sealed_seed).unwrap();
        assert_eq!(reopened.x25519_public(), vault.x25519_public());
        let other = DeviceId::from_bytes([9; 32]);
        assert!(Vault::open(key, other, &sealed_seed).is_err());
    }

    #[test]
    fn refuses_every_changed_byte_and_every_truncation() {
        let (vault, _) = vault();
        let stored = vault.encrypt("pending", b"", b"update").unwrap();
        for at in 0..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            assert!(vault.decrypt("pending", b"", &changed).is_err(), "byte {at}");
            assert!(vault.decrypt("pending", b"", &stored[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn never_encrypts_twice_alike() {
        let (vault, _) = vault();
        let encrypt = || vault.encrypt("pending", b"", b"update").unwrap();
        assert_ne!(encrypt(), encrypt());
    }
}
