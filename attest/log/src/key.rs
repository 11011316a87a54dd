//! The key that signs a log's heads: Ed25519 (RFC 8032), named as the log (C2SP signed-note).

use ed25519_dalek::{Signer as _, SigningKey};
use sealsum_attest::tlog::TreeHead;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::note::NoteKey;
use zeroize::Zeroizing;

use crate::LogError;

/// Bytes of the seed, as in its file.
pub const SEED_BYTES: usize = 32;

/// A log's private key and name.
pub struct LogKey {
    verifier: NoteKey,
    signing: SigningKey,
}

impl LogKey {
    /// Draws the seed of a new key.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn draw_seed() -> Result<Zeroizing<[u8; SEED_BYTES]>, getrandom::Error> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(seed.as_mut())?;
        Ok(seed)
    }

    /// The key of the log `origin` ([`sealsum_attest::events::authority_log`] and its like) with
    /// this seed; `None` for a seed of another length or a name that a key cannot have.
    #[must_use]
    pub fn from_seed(origin: &str, seed: &[u8]) -> Option<Self> {
        let signing = SigningKey::from_bytes(seed.try_into().ok()?);
        let verifier = NoteKey::new(origin, signing.verifying_key().as_bytes()).ok()?;
        Some(Self { verifier, signing })
    }

    /// The public half: its text is the file `log.vkey`.
    #[must_use]
    pub fn verifier(&self) -> &NoteKey {
        &self.verifier
    }

    /// Signs a head. Only [`crate::checkpoint`] does, which knows what was signed before.
    pub(crate) fn sign(&self, head: TreeHead) -> Result<SignedCheckpoint, LogError> {
        let sign =
            |text: &[u8]| Ok::<_, std::convert::Infallible>(self.signing.sign(text).to_bytes());
        SignedCheckpoint::sign(head, &self.verifier, sign)
            .map_err(|error| LogError::Unsignable(error.to_string()))
    }
}
