//! Every string and hash of a round that binds what was agreed before.
//!
//! h_P and rho, the root of the roster, are in all of them; H(U2) in all that come after the set
//! that shared is fixed.

use crate::bitmap::Bitmap;
use crate::codec::Encode;
use crate::exchange::{ExchangeKey, ZeroAgreement};
use crate::ids::Hash;
use crate::kdf;
use crate::labels::{self, Label};
use crate::mask::{MaskSeed, Suite};
use crate::messages::DealtShare;
use crate::scalar::SecretScalar;
use crate::task::suite_code;

/// What all members of a round agree on once the roster is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcript {
    /// h_P.
    pub params_hash: Hash,
    /// rho.
    pub roster_root: Hash,
}

/// The transcript once the set that shared is fixed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedTranscript {
    /// Up to the roster.
    pub transcript: Transcript,
    /// H(U2).
    pub sharers_hash: Hash,
}

/// What picks the signs of a round's rotation: known once the round is announced.
pub fn rotation_seed(params_hash: &Hash) -> [u8; 32] {
    labels::ROTATION.hash(&[params_hash.as_bytes()]).0
}

/// Which of a dealer's two secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// a, which the mask key is derived from. Revealed of the lost.
    MaskKey,
    /// b, which the self mask is derived from. Revealed of survivors.
    SelfMask,
}

impl Transcript {
    /// h_P and rho, which open every string of the round.
    fn head(&self) -> [u8; 64] {
        let mut head = [0; 64];
        head[..32].copy_from_slice(self.params_hash.as_bytes());
        head[32..].copy_from_slice(self.roster_root.as_bytes());
        head
    }

    /// The salt of the channel between two devices.
    pub(crate) fn channel_salt(&self) -> [u8; 64] {
        self.head()
    }

    /// What orders the ring of the neighbour graph.
    pub fn graph_seed(&self) -> [u8; 32] {
        labels::GRAPH.hash(&[&self.head()]).0
    }

    /// The commitment to the share of a dealer's secret that one holder gets. A share is uniform
    /// in 2^252 values, so the hash hides it.
    pub fn share_commitment(
        &self,
        kind: SecretKind,
        dealer: usize,
        holder: usize,
        share: &[u8; 32],
    ) -> Hash {
        let label = match kind {
            SecretKind::MaskKey => labels::MASK_KEY_SHARE,
            SecretKind::SelfMask => labels::SELF_MASK_SHARE,
        };
        label.hash(&[&self.head(), &index(dealer), &index(holder), share])
    }

    /// The commitment to a dealer's self-mask secret.
    pub fn self_mask_commitment(&self, dealer: usize, secret: &SecretScalar) -> Hash {
        labels::SELF_MASK_COMMITMENT.hash(&[&self.head(), &index(dealer), secret.as_bytes()])
    }

    /// The leaf of the tree that a dealer signs, for what it deals to one holder.
    pub fn deal_leaf(&self, holder: usize, dealt: &DealtShare) -> Hash {
        labels::DEAL_LEAF.hash(&[&index(holder), &dealt.encoded()])
    }

    /// What a dealer signs with its round key.
    pub fn deal_string(&self, dealer: usize, self_mask: &Hash, root: &Hash) -> Vec<u8> {
        let parts: [&[u8]; 4] =
            [&self.head(), &index(dealer), self_mask.as_bytes(), root.as_bytes()];
        labels::DEAL.string(&parts)
    }

    /// What is bound to a share's ciphertext besides the key: the dealer's commitments.
    pub fn share_data(
        &self,
        dealer_commitment: &Hash,
        mask_key: &Hash,
        self_mask: &Hash,
    ) -> Vec<u8> {
        let commitments = [dealer_commitment, mask_key, self_mask].map(|hash| hash.0).concat();
        labels::SHARE_DATA.string(&[&self.head(), &commitments])
    }

    /// The transcript of this round once `sharers` is U2.
    pub fn with_sharers(self, sharers: &Bitmap) -> SharedTranscript {
        let sharers_hash = labels::SHARERS.hash(&[&sharers.encoded()]);
        SharedTranscript { transcript: self, sharers_hash }
    }
}

impl SharedTranscript {
    fn head(&self) -> [u8; 96] {
        let mut head = [0; 96];
        head[..64].copy_from_slice(&self.transcript.head());
        head[64..].copy_from_slice(self.sharers_hash.as_bytes());
        head
    }

    /// tau's string: what a device signs with its masked input.
    pub fn masked_string(&self, root: &Hash) -> Vec<u8> {
        labels::MASKED.string(&[&self.head(), root.as_bytes()])
    }

    /// What a device signs once, over the survivors A and the lost D.
    pub fn alive_string(&self, survivors: &Bitmap, lost: &Bitmap) -> Vec<u8> {
        let [survivors, lost] =
            [survivors, lost].map(|set| labels::SURVIVORS.hash(&[&set.encoded()]));
        labels::ALIVE.string(&[&self.head(), survivors.as_bytes(), lost.as_bytes()])
    }

    /// The seed of the mask that `own` shares with `peer`, both by roster index. Both sides, and
    /// whoever holds either secret key, get the same.
    ///
    /// # Errors
    /// [`ZeroAgreement`] if the peer's key is of low order.
    pub fn pair_seed(
        &self,
        suite: Suite,
        (own, key): (usize, &ExchangeKey),
        (peer, peer_key): (usize, &[u8; 32]),
    ) -> Result<MaskSeed, ZeroAgreement> {
        let shared = key.agree(peer_key)?;
        let pair = [index(own.min(peer)), index(own.max(peer))].concat();
        Ok(self.seed(labels::PAIR_MASK, suite, &pair, &shared))
    }

    /// The seed of a device's self mask.
    pub fn self_seed(&self, suite: Suite, own: usize, secret: &SecretScalar) -> MaskSeed {
        self.seed(labels::SELF_MASK, suite, &index(own), secret.as_bytes())
    }

    fn seed(&self, label: Label, suite: Suite, devices: &[u8], secret: &[u8; 32]) -> MaskSeed {
        let info = label.string(&[&self.head(), devices, &[suite_code(suite)]]);
        MaskSeed::init_with(|seed| kdf::derive(&[], secret, &info, seed))
    }
}

/// The X25519 mask key that the secret a stands for.
pub fn mask_key(params_hash: &Hash, secret: &SecretScalar) -> ExchangeKey {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    let info = labels::MASK_KEY.string(&[params_hash.as_bytes()]);
    kdf::derive(&[], secret.as_bytes(), &info, bytes.as_mut());
    ExchangeKey::from_bytes(&bytes)
}

/// The leaf, for chunk `index`, of the tree whose root is signed with a masked input.
pub fn chunk_leaf(chunk: usize, bytes: &[u8]) -> Hash {
    labels::CHUNK_LEAF.hash(&[&(chunk as u32).to_le_bytes(), bytes])
}

fn index(device: usize) -> [u8; 2] {
    (device as u16).to_le_bytes()
}
