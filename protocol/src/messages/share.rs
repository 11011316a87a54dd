//! Step 2: each device deals shares of its two secrets to its neighbours; the set that shared is
//! fixed.

use super::{HEADER, decode_index, increasing};
use crate::bitmap::Bitmap;
use crate::bounds::NEIGHBOURS;
use crate::channel::SEALED_BYTES;
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::ids::Hash;
use crate::merkle::MAX_PATH;
use crate::parameters::LARGEST_COHORT;
use crate::signature::{SIGNATURE_BYTES, Signature};

/// Device to aggregator: its shares for all its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedKeys {
    /// Commitment to the dealer's self-mask secret.
    pub self_mask_commitment: Hash,
    /// One for each neighbour, by ascending roster index.
    pub shares: Vec<DealtShare>,
    /// By the dealer's round key, over the commitment and the root of the hash tree over `shares`.
    pub signature: Signature,
}

/// What a dealer sends to one neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealtShare {
    /// Commitment to the neighbour's share of the dealer's mask key.
    pub mask_key_commitment: Hash,
    /// Commitment to the neighbour's share of the dealer's self-mask secret.
    pub self_mask_commitment: Hash,
    /// Key commitment, ciphertext and tag; only the neighbour can open it.
    pub sealed: [u8; SEALED_BYTES],
}

/// Aggregator to a device: what its neighbours dealt to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundShares {
    /// At most one for each neighbour, by ascending roster index of the dealer.
    pub shares: Vec<InboundShare>,
}

/// What one neighbour dealt, with the proof that it is part of what the dealer signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundShare {
    /// The dealer.
    pub dealer: u16,
    /// The dealer's commitment to its self-mask secret.
    pub dealer_commitment: Hash,
    /// What it dealt.
    pub dealt: DealtShare,
    /// From the leaf of `dealt` to the root that the dealer signed.
    pub path: Vec<Hash>,
    /// The dealer's signature.
    pub signature: Signature,
}

/// Device to aggregator: which of its neighbours' shares opened and matched. Unsigned: nobody but
/// the aggregator reads it, and TLS says whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareAck {
    /// One place for each neighbour, by ascending roster index.
    pub good: Bitmap,
}

/// Aggregator to all, the same to each and once: U2, the set that shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharers {
    /// One place for each device of the roster.
    pub shared: Bitmap,
}

impl DealtShare {
    /// The length of its encoding.
    pub const BYTES: usize = 64 + SEALED_BYTES;
}

impl Encode for DealtShare {
    fn encode(&self, writer: &mut Writer) {
        self.mask_key_commitment.encode(writer);
        self.self_mask_commitment.encode(writer);
        self.sealed.encode(writer);
    }
}

impl Decode for DealtShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            mask_key_commitment: Hash::decode(reader)?,
            self_mask_commitment: Hash::decode(reader)?,
            sealed: reader.array()?,
        })
    }
}

impl Encode for SharedKeys {
    fn encode(&self, writer: &mut Writer) {
        self.self_mask_commitment.encode(writer);
        writer.list(&self.shares);
        self.signature.encode(writer);
    }
}

impl Decode for SharedKeys {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            self_mask_commitment: Hash::decode(reader)?,
            shares: reader.list(NEIGHBOURS)?,
            signature: Signature::decode(reader)?,
        })
    }
}

impl Message for SharedKeys {
    const KIND: u8 = 13;
    const MAX_BYTES: usize = HEADER + 32 + 4 + NEIGHBOURS * DealtShare::BYTES + SIGNATURE_BYTES;
}

impl Encode for InboundShare {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.dealer);
        self.dealer_commitment.encode(writer);
        self.dealt.encode(writer);
        writer.list(&self.path);
        self.signature.encode(writer);
    }
}

impl Decode for InboundShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            dealer: decode_index(reader)?,
            dealer_commitment: Hash::decode(reader)?,
            dealt: DealtShare::decode(reader)?,
            path: reader.list(MAX_PATH)?,
            signature: Signature::decode(reader)?,
        })
    }
}

const INBOUND_SHARE: usize = 2 + 32 + DealtShare::BYTES + 4 + 32 * MAX_PATH + SIGNATURE_BYTES;

impl Encode for InboundShares {
    fn encode(&self, writer: &mut Writer) {
        writer.list(&self.shares);
    }
}

impl Decode for InboundShares {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let shares: Vec<InboundShare> = reader.list(NEIGHBOURS)?;
        increasing(shares.iter().map(|share| share.dealer))?;
        Ok(Self { shares })
    }
}

impl Message for InboundShares {
    const KIND: u8 = 14;
    const MAX_BYTES: usize = HEADER + 4 + NEIGHBOURS * INBOUND_SHARE;
}

impl Encode for ShareAck {
    fn encode(&self, writer: &mut Writer) {
        self.good.encode(writer);
    }
}

impl Decode for ShareAck {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { good: Bitmap::decode(reader)? })
    }
}

impl Message for ShareAck {
    const KIND: u8 = 15;
    const MAX_BYTES: usize = HEADER + 2 + LARGEST_COHORT / 8;
}

impl Encode for Sharers {
    fn encode(&self, writer: &mut Writer) {
        self.shared.encode(writer);
    }
}

impl Decode for Sharers {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { shared: Bitmap::decode(reader)? })
    }
}

impl Message for Sharers {
    const KIND: u8 = 16;
    const MAX_BYTES: usize = HEADER + 2 + LARGEST_COHORT / 8;
}
