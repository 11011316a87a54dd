//! Step 4: everybody sees the same survivors, and signs them once.

use super::{HEADER, decode_index, increasing};
use crate::bitmap::Bitmap;
use crate::bounds::NEIGHBOURS;
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::ids::Hash;
use crate::parameters::LARGEST_COHORT;
use crate::signature::{SIGNATURE_BYTES, Signature};

/// Aggregator to a device: A, D, and what its neighbours in A signed with their masked inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivors {
    /// A: whose masked input is complete.
    pub survivors: Bitmap,
    /// D: the rest of U2.
    pub lost: Bitmap,
    /// One for each neighbour in A, by ascending roster index.
    pub views: Vec<SurvivorView>,
}

/// What one survivor signed with its masked input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurvivorView {
    /// The survivor.
    pub device: u16,
    /// The root of its chunks.
    pub root: Hash,
    /// tau, its signature.
    pub signature: Signature,
}

/// Device to aggregator: the device unmasks these survivors and no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencySignature {
    /// By the device's round key, over h_P, the roster, H(U2), A and D.
    pub signature: Signature,
}

/// Aggregator to all that signed: at least Q signatures over the same string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// By ascending roster index.
    pub signatures: Vec<QuorumSignature>,
}

/// One survivor's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSignature {
    /// The survivor.
    pub device: u16,
    /// Its signature.
    pub signature: Signature,
}

impl Encode for SurvivorView {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.device);
        self.root.encode(writer);
        self.signature.encode(writer);
    }
}

impl Decode for SurvivorView {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            device: decode_index(reader)?,
            root: Hash::decode(reader)?,
            signature: Signature::decode(reader)?,
        })
    }
}

impl Encode for Survivors {
    fn encode(&self, writer: &mut Writer) {
        self.survivors.encode(writer);
        self.lost.encode(writer);
        writer.list(&self.views);
    }
}

impl Decode for Survivors {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let survivors = Bitmap::decode(reader)?;
        let lost = Bitmap::decode(reader)?;
        let views: Vec<SurvivorView> = reader.list(NEIGHBOURS)?;
        increasing(views.iter().map(|view| view.device))?;
        Ok(Self { survivors, lost, views })
    }
}

impl Message for Survivors {
    const KIND: u8 = 18;
    const MAX_BYTES: usize =
        HEADER + 2 * (2 + LARGEST_COHORT / 8) + 4 + NEIGHBOURS * (2 + 32 + SIGNATURE_BYTES);
}

impl Encode for ConsistencySignature {
    fn encode(&self, writer: &mut Writer) {
        self.signature.encode(writer);
    }
}

impl Decode for ConsistencySignature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { signature: Signature::decode(reader)? })
    }
}

impl Message for ConsistencySignature {
    const KIND: u8 = 19;
    const MAX_BYTES: usize = HEADER + SIGNATURE_BYTES;
}

impl Encode for QuorumSignature {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.device);
        self.signature.encode(writer);
    }
}

impl Decode for QuorumSignature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { device: decode_index(reader)?, signature: Signature::decode(reader)? })
    }
}

impl Encode for Quorum {
    fn encode(&self, writer: &mut Writer) {
        writer.list(&self.signatures);
    }
}

impl Decode for Quorum {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let signatures: Vec<QuorumSignature> = reader.list(LARGEST_COHORT)?;
        increasing(signatures.iter().map(|signature| signature.device))?;
        Ok(Self { signatures })
    }
}

impl Message for Quorum {
    const KIND: u8 = 20;
    const MAX_BYTES: usize = HEADER + 4 + LARGEST_COHORT * (2 + SIGNATURE_BYTES);
}
