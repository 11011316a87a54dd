//! Who is in a round: what each device says of itself, and the list of all that said it.

use crate::bounds;
use crate::codec::{CodecError, Decode, Encode, Reader, Writer};
use crate::ids::{DeviceId, Hash};
use crate::labels;
use crate::merkle;
use crate::signature::PublicKey;

/// What a device says of itself when it enters a round; signed with its TPM key over h_P.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The device.
    pub device: DeviceId,
    /// M, its X25519 mask key of this round.
    pub mask_key: [u8; 32],
    /// E, its X25519 channel key of this round.
    pub channel_key: [u8; 32],
    /// V, the Ed25519 key that signs everything it says later in this round.
    pub signing_key: PublicKey,
    /// S, its X25519 identity, which its certificate names too.
    pub static_key: [u8; 32],
    /// SHA-256 of its certificate.
    pub certificate: Hash,
}

/// An entry with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEntry {
    /// The entry.
    pub entry: Entry,
    /// The device's certificate, leaf first; opaque here, read by [`crate::membership`].
    pub certificate: Vec<u8>,
    /// The TPM device key's signature over [`Entry::statement`].
    pub signature: Vec<u8>,
}

impl Entry {
    /// The bytes that the TPM device key signs: label, h_P, entry.
    pub fn statement(&self, params_hash: &Hash) -> Vec<u8> {
        labels::ADVERTISE.string(&[params_hash.as_bytes(), &self.encoded()])
    }

    fn leaf(&self) -> Hash {
        labels::ROSTER_LEAF.hash(&[&self.encoded()])
    }
}

/// rho: the root of the hash tree over the entries in the order of the roster.
pub fn roster_root<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Hash {
    merkle::root(entries.into_iter().map(Entry::leaf).collect())
}

impl Encode for Entry {
    fn encode(&self, writer: &mut Writer) {
        self.device.encode(writer);
        self.mask_key.encode(writer);
        self.channel_key.encode(writer);
        self.signing_key.encode(writer);
        self.static_key.encode(writer);
        self.certificate.encode(writer);
    }
}

impl Decode for Entry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            device: DeviceId::decode(reader)?,
            mask_key: reader.array()?,
            channel_key: reader.array()?,
            signing_key: PublicKey::decode(reader)?,
            static_key: reader.array()?,
            certificate: Hash::decode(reader)?,
        })
    }
}

impl Encode for SignedEntry {
    fn encode(&self, writer: &mut Writer) {
        self.entry.encode(writer);
        writer.bytes(&self.certificate);
        writer.bytes(&self.signature);
    }
}

impl Decode for SignedEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            entry: Entry::decode(reader)?,
            certificate: reader.bytes(bounds::CERTIFICATE)?.to_vec(),
            signature: reader.bytes(bounds::TPM_SIGNATURE)?.to_vec(),
        })
    }
}
