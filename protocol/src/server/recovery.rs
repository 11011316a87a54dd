//! What turns the sum of the masked inputs into the sum of the inputs.

use super::Members;
use super::unmask::Unrecovered;
use crate::encoding::{CanaryError, ChunkWords, Layout};
use crate::mask::{self, MaskSeed, Sign, Suite};
use crate::scalar::SecretScalar;
use crate::transcript::{self, SharedTranscript};

/// The masks to take off the sum of the contributors' masked inputs: the self mask of each, and
/// for each lost device the masks that its neighbours among them shared with it. Chunks can be
/// unmasked in any order and in parallel. Erased when dropped.
pub struct Recovery {
    suite: Suite,
    layout: Layout,
    contributors: Vec<usize>,
    masks: Vec<(MaskSeed, Sign)>,
}

impl Recovery {
    /// Rebuilds each secret that is needed. On failure names the dealer.
    pub(super) fn new(members: &mut Members) -> Result<Self, (usize, Unrecovered)> {
        let shared = members.cohort.transcript.with_sharers(&members.shared);
        let contributors: Vec<usize> = members.survivors.iter().collect();
        let mut masks = Vec::new();
        for index in &contributors {
            let secret = self_mask(members, *index).map_err(|why| (*index, why))?;
            let seed = shared.self_seed(members.cohort.task.mask_suite, *index, &secret);
            masks.push((seed, Sign::Minus));
        }
        for index in members.lost.iter().collect::<Vec<_>>() {
            let of_lost = pair_masks(members, &shared, index).map_err(|why| (index, why))?;
            masks.extend(of_lost);
        }
        let suite = members.cohort.task.mask_suite;
        Ok(Self { suite, layout: members.cohort.layout.clone(), contributors, masks })
    }

    /// The contributors, by roster index: whose masked inputs to sum.
    pub fn contributors(&self) -> &[usize] {
        &self.contributors
    }

    /// How vectors become words.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes the masks off chunk `chunk` of the sum, in place.
    pub fn unmask_chunk(&self, chunk: usize, sum: &mut ChunkWords) {
        for (seed, sign) in &self.masks {
            mask::apply(self.suite, seed, chunk, sum, *sign);
        }
    }

    /// The integers of an unmasked chunk of the sum.
    ///
    /// # Errors
    /// [`CanaryError`] if a canary word does not count the contributors.
    pub fn decode_chunk(&self, chunk: usize, sum: &ChunkWords) -> Result<Vec<i64>, CanaryError> {
        self.layout.decode_chunk(chunk, sum, self.contributors.len())
    }
}

fn self_mask(members: &mut Members, index: usize) -> Result<SecretScalar, Unrecovered> {
    members.rebuild(index, |members, secret| {
        let commitment = members.cohort.transcript.self_mask_commitment(index, secret);
        let deal = members.deals[index].as_ref();
        deal.is_some_and(|deal| deal.message.self_mask_commitment == commitment)
    })
}

/// The masks between a lost device and its neighbours among the contributors.
fn pair_masks(
    members: &mut Members,
    shared: &SharedTranscript,
    lost: usize,
) -> Result<Vec<(MaskSeed, Sign)>, Unrecovered> {
    let params_hash = members.cohort.transcript.params_hash;
    let neighbours: Vec<usize> = members.cohort.neighbours_in(lost, &members.survivors).collect();
    if neighbours.is_empty() {
        return Ok(Vec::new());
    }
    let secret = members.rebuild(lost, |members, secret| {
        let key = transcript::mask_key(&params_hash, secret);
        key.public() == members.cohort.entries[lost].mask_key
    })?;
    let key = transcript::mask_key(&params_hash, &secret);
    let suite = members.cohort.task.mask_suite;
    let mask = |neighbour: usize| {
        let peer = (neighbour, &members.cohort.entries[neighbour].mask_key);
        let seed = shared.pair_seed(suite, (lost, &key), peer);
        // Keys of low order were refused when the devices entered.
        seed.map(|seed| (seed, Sign::of_pair(neighbour, lost).opposite()))
            .map_err(|error| Unrecovered::TooFew(error.to_string()))
    };
    neighbours.into_iter().map(mask).collect()
}
