//! The channel that carries shares between two devices, through an aggregator that may lie.
//!
//! Four X25519 agreements (ee, ss, es, se): to read a share takes a channel key of the round and
//! an identity of the same side; to forge one likewise; a stolen identity alone neither reads
//! past shares nor lets others be impersonated to its owner. One key for each direction carries
//! one message ever, so the nonce is fixed. ChaCha20-Poly1305 does not commit to its key, so a
//! commitment to the key goes in front and is checked first.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::codec::Encode;
use crate::exchange::{ExchangeKey, ZeroAgreement};
use crate::kdf;
use crate::labels::{self, Label};
use crate::roster::Entry;
use crate::transcript::Transcript;

/// Bytes of what is sealed: two shares.
pub const PLAIN_BYTES: usize = 64;
/// Bytes of a sealed message: key commitment, ciphertext, tag.
pub const SEALED_BYTES: usize = COMMITMENT + PLAIN_BYTES + TAG;

const COMMITMENT: usize = 32;
const TAG: usize = 16;

/// The end of a channel that sends. Sends once.
pub struct Sender(OneMessage);

/// The end of a channel that receives. Receives once.
pub struct Receiver(OneMessage);

/// A sealed message that this channel's peer did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open")]
pub struct DoesNotOpen;

/// One side of the channel: its place in the roster and its entry.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The place.
    pub index: usize,
    /// The entry.
    pub entry: &'a Entry,
}

/// The secret keys of this side.
#[derive(Clone, Copy)]
pub struct OwnKeys<'a> {
    /// The identity, whose public half the entry names as `static_key`.
    pub identity: &'a ExchangeKey,
    /// The key of the round, whose public half is `channel_key`.
    pub channel: &'a ExchangeKey,
}

struct OneMessage {
    key: Zeroizing<[u8; 32]>,
    commitment: Zeroizing<[u8; 32]>,
    /// The transcript's and both entries' bytes.
    context: Vec<u8>,
}

/// Both ends of the channel between `own` and `peer`.
///
/// # Errors
/// [`ZeroAgreement`] if one of the peer's keys is of low order.
pub fn establish(
    transcript: &Transcript,
    own: Side<'_>,
    keys: OwnKeys<'_>,
    peer: Side<'_>,
) -> Result<(Sender, Receiver), ZeroAgreement> {
    let secret = agree_four_times(own, keys, peer)?;
    let prk = kdf::extract(&transcript.channel_salt(), secret.as_ref());
    let one_way = |from: Side<'_>, to: Side<'_>| OneMessage {
        key: kdf::expand(&prk, &info(labels::CHANNEL_KEY, from, to)),
        commitment: kdf::expand(&prk, &info(labels::CHANNEL_COMMITMENT, from, to)),
        context: both(from, to),
    };
    Ok((Sender(one_way(own, peer)), Receiver(one_way(peer, own))))
}

/// ee, ss, es, se, where the first letter is the key of the side with the lower index.
fn agree_four_times(
    own: Side<'_>,
    keys: OwnKeys<'_>,
    peer: Side<'_>,
) -> Result<Zeroizing<[u8; 128]>, ZeroAgreement> {
    let (channel, identity) = (&peer.entry.channel_key, &peer.entry.static_key);
    let own_channel_with_identity = keys.channel.agree(identity)?;
    let own_identity_with_channel = keys.identity.agree(channel)?;
    let (es, se) = if own.index < peer.index {
        (own_channel_with_identity, own_identity_with_channel)
    } else {
        (own_identity_with_channel, own_channel_with_identity)
    };
    let parts = [keys.channel.agree(channel)?, keys.identity.agree(identity)?, es, se];
    let mut all = Zeroizing::new([0; 128]);
    for (place, part) in all.chunks_exact_mut(32).zip(&parts) {
        place.copy_from_slice(part.as_ref());
    }
    Ok(all)
}

fn info(label: Label, from: Side<'_>, to: Side<'_>) -> Vec<u8> {
    label.string(&[&both(from, to)])
}

fn both(from: Side<'_>, to: Side<'_>) -> Vec<u8> {
    let indices = [from.index as u16, to.index as u16].map(u16::to_le_bytes).concat();
    [indices, from.entry.encoded(), to.entry.encoded()].concat()
}

impl Sender {
    /// Seals the one message of this direction, bound to `data` too.
    pub fn seal(self, plain: &[u8; PLAIN_BYTES], data: &[u8]) -> [u8; SEALED_BYTES] {
        let mut sealed = [0; SEALED_BYTES];
        sealed[..COMMITMENT].copy_from_slice(self.0.commitment.as_ref());
        let payload = Payload { msg: plain, aad: &self.0.associated(data) };
        let encrypted = self.0.cipher().encrypt(&Nonce::default(), payload);
        debug_assert!(encrypted.is_ok(), "64 bytes are no overlong message");
        if let Ok(encrypted) = encrypted {
            sealed[COMMITMENT..].copy_from_slice(&encrypted);
        }
        sealed
    }
}

impl Receiver {
    /// Opens the one message of this direction.
    ///
    /// # Errors
    /// [`DoesNotOpen`]; the peer or the aggregator is at fault, and which cannot be told.
    pub fn open(
        self,
        sealed: &[u8; SEALED_BYTES],
        data: &[u8],
    ) -> Result<Zeroizing<[u8; PLAIN_BYTES]>, DoesNotOpen> {
        let (commitment, encrypted) = sealed.split_at(COMMITMENT);
        if !bool::from(commitment.ct_eq(self.0.commitment.as_ref())) {
            return Err(DoesNotOpen);
        }
        let payload = Payload { msg: encrypted, aad: &self.0.associated(data) };
        let opened = self.0.cipher().decrypt(&Nonce::default(), payload);
        let opened = Zeroizing::new(opened.map_err(|_| DoesNotOpen)?);
        let mut plain = Zeroizing::new([0; PLAIN_BYTES]);
        plain.copy_from_slice(&opened);
        Ok(plain)
    }
}

impl OneMessage {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }

    /// The key commitment, all that both saw of each other, and `data`.
    fn associated(&self, data: &[u8]) -> Vec<u8> {
        [self.commitment.as_ref(), &self.context, data].concat()
    }
}
