//! What is sent in a round, step by step.
//!
//! Each message is a version byte, a kind byte and the fields in order (see [`crate::codec`]).
//! Devices are named by their index in the roster, 0 for the lowest id.

mod advertise;
mod check;
mod mask;
mod share;
mod unmask;

pub use advertise::{Advertise, Announcement, Roster};
pub use check::{ConsistencySignature, Quorum, QuorumSignature, SurvivorView, Survivors};
pub use mask::MaskedInput;
pub use share::{DealtShare, InboundShare, InboundShares, ShareAck, SharedKeys, Sharers};
pub use unmask::{Reveal, RevealedSecret, RevealedShare};

use crate::codec::{CodecError, Reader};
use crate::parameters::LARGEST_COHORT;

/// The bytes in front of each message: version and kind.
const HEADER: usize = 2;

/// An index into a roster, which has at most [`LARGEST_COHORT`] places.
fn decode_index(reader: &mut Reader<'_>) -> Result<u16, CodecError> {
    let index = reader.u16()?;
    if usize::from(index) < LARGEST_COHORT {
        Ok(index)
    } else {
        Err(CodecError::NotCanonical("an index beyond the largest roster"))
    }
}

/// Refuses a list whose indices do not strictly increase: such a list has a second encoding.
fn increasing(indices: impl Iterator<Item = u16>) -> Result<(), CodecError> {
    if indices.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(CodecError::NotCanonical("indices that do not strictly increase"))
    }
}
