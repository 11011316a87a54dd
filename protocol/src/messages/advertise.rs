//! Step 1: a device learns of a round, enters it, and learns who else did.

use super::HEADER;
use crate::bounds;
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::parameters::LARGEST_COHORT;
use crate::roster::SignedEntry;
use crate::task::RoundSpec;

/// Aggregator to each device that asks: the rounds that are open to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// All that each round is defined by.
    pub rounds: Vec<RoundSpec>,
}

/// Device to aggregator: the device enters the round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    /// The entry and its evidence.
    pub signed: SignedEntry,
}

/// Aggregator to all that entered, the same to each: who is in the round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The entries, in strictly increasing order of device id.
    pub entries: Vec<SignedEntry>,
    /// The authority's status list; opaque here, read by [`crate::membership`].
    pub status_list: Vec<u8>,
}

impl Encode for Announcement {
    fn encode(&self, writer: &mut Writer) {
        writer.list(&self.rounds);
    }
}

impl Decode for Announcement {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { rounds: reader.list(bounds::OPEN_ROUNDS)? })
    }
}

impl Message for Announcement {
    const KIND: u8 = 10;
    const MAX_BYTES: usize = HEADER + 4 + bounds::OPEN_ROUNDS * ROUND_SPEC;
}

impl Encode for Advertise {
    fn encode(&self, writer: &mut Writer) {
        self.signed.encode(writer);
    }
}

impl Decode for Advertise {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { signed: SignedEntry::decode(reader)? })
    }
}

/// A task with the longest name, the owner's key and signature, number, nonce and grant.
const ROUND_SPEC: usize = 1024;
/// Six fields of 32 bytes, and two lengths.
const SIGNED_ENTRY: usize = 6 * 32 + 8 + bounds::CERTIFICATE + bounds::TPM_SIGNATURE;

impl Message for Advertise {
    const KIND: u8 = 11;
    const MAX_BYTES: usize = HEADER + SIGNED_ENTRY;
}

impl Encode for Roster {
    fn encode(&self, writer: &mut Writer) {
        writer.list(&self.entries);
        writer.bytes(&self.status_list);
    }
}

impl Decode for Roster {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            entries: reader.list(LARGEST_COHORT)?,
            status_list: reader.bytes(bounds::STATUS_LIST)?.to_vec(),
        })
    }
}

impl Message for Roster {
    const KIND: u8 = 12;
    const MAX_BYTES: usize = HEADER + 8 + LARGEST_COHORT * SIGNED_ENTRY + bounds::STATUS_LIST;
}
