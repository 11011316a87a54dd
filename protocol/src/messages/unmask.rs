//! Step 5: the shares that unmask the sum, and nothing else.

use super::{HEADER, decode_index, increasing};
use crate::bounds::NEIGHBOURS;
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::shamir::Share;

/// Device to aggregator: one share for each neighbour that it holds shares of. Unsigned: nobody
/// but the aggregator reads it, and each share answers to its dealer's commitment.
pub struct Reveal {
    /// By ascending roster index of the dealer.
    pub shares: Vec<RevealedShare>,
}

/// A share of one of a dealer's secrets.
pub struct RevealedShare {
    /// The dealer.
    pub dealer: u16,
    /// The share.
    pub secret: RevealedSecret,
}

/// Which of a dealer's two secrets a share is of. There is no way to write both.
pub enum RevealedSecret {
    /// Of the self-mask secret b: the dealer survives.
    SelfMask(Share),
    /// Of the mask key a: the dealer is lost.
    MaskKey(Share),
}

const SELF_MASK: u8 = 0;
const MASK_KEY: u8 = 1;

impl Encode for RevealedShare {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.dealer);
        let (kind, share) = match &self.secret {
            RevealedSecret::SelfMask(share) => (SELF_MASK, share),
            RevealedSecret::MaskKey(share) => (MASK_KEY, share),
        };
        writer.u8(kind);
        writer.raw(share.as_bytes());
    }
}

impl Decode for RevealedShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let dealer = decode_index(reader)?;
        let kind = reader.u8()?;
        let share = Share::from_canonical_bytes(&reader.array()?)
            .ok_or(CodecError::NotCanonical("a share"))?;
        let secret = match kind {
            SELF_MASK => RevealedSecret::SelfMask(share),
            MASK_KEY => RevealedSecret::MaskKey(share),
            _ => return Err(CodecError::NotCanonical("kind of share")),
        };
        Ok(Self { dealer, secret })
    }
}

impl Encode for Reveal {
    fn encode(&self, writer: &mut Writer) {
        writer.list(&self.shares);
    }
}

impl Decode for Reveal {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let shares: Vec<RevealedShare> = reader.list(NEIGHBOURS)?;
        increasing(shares.iter().map(|share| share.dealer))?;
        Ok(Self { shares })
    }
}

impl Message for Reveal {
    const KIND: u8 = 21;
    const MAX_BYTES: usize = HEADER + 4 + NEIGHBOURS * (2 + 1 + 32);
}
