//! What dealers sent, kept until its holders fetch it: in memory, or where the caller puts it.

use super::Members;
use crate::codec::{Decode, Encode, Writer};
use crate::ids::Hash;
use crate::merkle::{Tree, places_of_path};
use crate::messages::{DealtShare, InboundShare, SharedKeys};
use crate::signature::Signature;

/// Keeps what each dealer sent, so that the machine need not. It is sealed to its holders and may
/// lie on a disk.
pub trait Deals {
    /// Keeps the bytes of a dealer; those of all dealers of a round are equally many.
    ///
    /// # Errors
    /// [`Unkept`].
    fn keep(&mut self, dealer: usize, bytes: &[u8]) -> Result<(), Unkept>;

    /// Fills `into` with what was kept of a dealer, from byte `from` on.
    ///
    /// # Errors
    /// [`Unkept`].
    fn read(&self, dealer: usize, from: usize, into: &mut [u8]) -> Result<(), Unkept>;
}

/// It could not be kept, or not be read back. To the machine the deal is then not there; the caller,
/// who knows why, ends the round with [`super::Event::End`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unkept;

/// Deals in memory, by dealer.
#[derive(Default)]
pub(super) struct InMemory(Vec<Box<[u8]>>);

impl Deals for InMemory {
    fn keep(&mut self, dealer: usize, bytes: &[u8]) -> Result<(), Unkept> {
        self.0.resize_with(self.0.len().max(dealer + 1), Box::default);
        self.0[dealer] = bytes.into();
        Ok(())
    }

    fn read(&self, dealer: usize, from: usize, into: &mut [u8]) -> Result<(), Unkept> {
        let kept = self.0.get(dealer).and_then(|bytes| bytes.get(from..from + into.len()));
        into.copy_from_slice(kept.ok_or(Unkept)?);
        Ok(())
    }
}

/// What the machine itself remembers of a deal.
pub(super) struct Deal {
    pub(super) self_mask_commitment: Hash,
    signature: Signature,
}

/// The bytes of a hash in what is kept.
const HASH: usize = size_of::<Hash>();

impl Members {
    /// Puts a deal away: its shares by the dealer's neighbours, then the nodes of the hash tree.
    pub(super) fn keep_deal(
        &mut self,
        dealer: usize,
        message: &SharedKeys,
        tree: &Tree,
    ) -> Result<(), Unkept> {
        let mut bytes = Writer::default();
        message.shares.iter().for_each(|share| share.encode(&mut bytes));
        tree.nodes().iter().for_each(|node| node.encode(&mut bytes));
        self.kept.keep(dealer, &bytes.finish())?;
        let SharedKeys { self_mask_commitment, signature, .. } = *message;
        self.deals[dealer] = Some(Deal { self_mask_commitment, signature });
        Ok(())
    }

    /// What a dealer dealt to the holder at a place among its neighbours.
    pub(super) fn dealt(&self, dealer: usize, place: usize) -> Option<DealtShare> {
        let mut bytes = [0; DealtShare::BYTES];
        self.kept.read(dealer, place * DealtShare::BYTES, &mut bytes).ok()?;
        DealtShare::decoded(&bytes).ok()
    }

    /// The same with all that its holder needs to check it.
    pub(super) fn inbound(&self, dealer: usize, place: usize) -> Option<InboundShare> {
        let deal = self.deals[dealer].as_ref()?;
        let size = self.cohort.neighbours(dealer).len();
        let path = places_of_path(place, size).map(|node| self.kept_node(dealer, size, node));
        Some(InboundShare {
            dealer: dealer as u16,
            dealer_commitment: deal.self_mask_commitment,
            dealt: self.dealt(dealer, place)?,
            path: path.collect::<Option<_>>()?,
            signature: deal.signature,
        })
    }

    fn kept_node(&self, dealer: usize, size: usize, node: usize) -> Option<Hash> {
        let mut bytes = [0; HASH];
        self.kept.read(dealer, size * DealtShare::BYTES + node * HASH, &mut bytes).ok()?;
        Some(Hash(bytes))
    }
}
