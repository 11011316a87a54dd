//! Every string that keeps one use of a hash, a key or a signature apart from another.
//!
//! A label opens with the protocol version, so nothing signed or derived under one version means
//! anything under the next. All are in [`ALL`], and a test holds them distinct.

use sha2::{Digest, Sha256};

use crate::ids::Hash;

/// The version of the protocol. It is the first byte of every message and part of every label.
pub const PROTOCOL_VERSION: u8 = 1;

/// A domain-separation label. Hashed and signed as its length in one byte, then its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(&'static str);

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Label = Label(concat!("sealsum/v1/", $text));)*

        /// Each label there is.
        pub const ALL: &[Label] = &[$($name),*];
    };
}

labels! {
    /// What the owner signs of a task, and the task hash.
    TASK = "task";
    /// What the owner signs to grant a model to one round.
    GRANT = "grant";
    /// h_P, the hash of everything a round was announced with.
    PARAMETERS = "parameters";
    /// The round id.
    ROUND = "round";
    /// What the TPM device key signs when a device enters a round.
    ADVERTISE = "advertise";
    /// Leaf of the roster's hash tree.
    ROSTER_LEAF = "roster-leaf";
    /// Inner node of any hash tree.
    TREE_NODE = "tree-node";
    /// Root of any hash tree, over its size and top node.
    TREE_ROOT = "tree-root";
    /// Seed of the neighbour graph.
    GRAPH = "graph";
    /// Seed of the rotation.
    ROTATION = "rotation";
    /// Prefix of the channel key from one device to another.
    CHANNEL_KEY = "channel-key";
    /// Commitment to a channel key, sent in front of the ciphertext.
    CHANNEL_COMMITMENT = "channel-commitment";
    /// Associated data of a share ciphertext.
    SHARE_DATA = "share-data";
    /// Commitment to a share of a mask key.
    MASK_KEY_SHARE = "mask-key-share";
    /// Commitment to a share of a self-mask secret.
    SELF_MASK_SHARE = "self-mask-share";
    /// Commitment to a self-mask secret.
    SELF_MASK_COMMITMENT = "self-mask-commitment";
    /// Leaf of the hash tree over what a dealer sends its neighbours.
    DEAL_LEAF = "deal-leaf";
    /// What a dealer signs over that tree.
    DEAL = "deal";
    /// The X25519 mask key that a secret scalar stands for.
    MASK_KEY = "mask-key";
    /// The seed of a pair's mask.
    PAIR_MASK = "pair-mask";
    /// The seed of a self mask.
    SELF_MASK = "self-mask";
    /// H(U2), the hash of the set that shared.
    SHARERS = "sharers";
    /// Leaf of the hash tree over the chunks of a masked input.
    CHUNK_LEAF = "chunk-leaf";
    /// What a device signs with its masked input.
    MASKED = "masked";
    /// Hash of a set of survivors (A) or of the lost (D).
    SURVIVORS = "survivors";
    /// What a device signs once, over the one (A, D) it will unmask.
    ALIVE = "alive";
}

impl Label {
    /// The text, protocol version first.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The label as it opens a hashed or signed string: one length byte, then the text.
    pub fn prefix(self) -> Vec<u8> {
        let mut bytes = vec![self.0.len() as u8];
        bytes.extend_from_slice(self.0.as_bytes());
        bytes
    }

    /// The label followed by `parts`. Only unambiguous if all parts but the last have a length
    /// fixed by the label.
    pub fn string(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.prefix();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }

    /// SHA-256 of [`Label::string`].
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(self.prefix());
        parts.iter().for_each(|part| hasher.update(part));
        Hash(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_versioned_and_short() {
        let version = format!("sealsum/v{PROTOCOL_VERSION}/");
        for (i, label) in ALL.iter().enumerate() {
            assert!(label.as_str().starts_with(&version), "{label:?}");
            assert!(label.as_str().len() < 256, "{label:?}");
            assert!(!ALL[..i].contains(label), "{label:?} twice");
        }
    }
}
