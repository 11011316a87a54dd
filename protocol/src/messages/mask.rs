//! Step 3: the masked inputs. The chunks travel on their own, as [`crate::encoding`] writes them.

use super::HEADER;
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::ids::Hash;
use crate::signature::{SIGNATURE_BYTES, Signature};

/// Device to aggregator, after its last chunk: what the chunks were, and against which U2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedInput {
    /// The root of the hash tree over the chunks.
    pub root: Hash,
    /// tau: by the device's round key, over h_P, the roster, H(U2) and the root.
    pub signature: Signature,
}

impl Encode for MaskedInput {
    fn encode(&self, writer: &mut Writer) {
        self.root.encode(writer);
        self.signature.encode(writer);
    }
}

impl Decode for MaskedInput {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { root: Hash::decode(reader)?, signature: Signature::decode(reader)? })
    }
}

impl Message for MaskedInput {
    const KIND: u8 = 17;
    const MAX_BYTES: usize = HEADER + 32 + SIGNATURE_BYTES;
}
