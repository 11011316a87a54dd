//! What turns the sum of the masked inputs into the sum of the inputs.

use std::ops::Range;
use std::sync::OnceLock;

use super::Members;
use super::unmask::Unrecovered;
use crate::encoding::{CanaryError, ChunkWords, Layout};
use crate::exchange::ExchangeKey;
use crate::mask::{Backend, MaskSeed, Sign};
use crate::scalar::SecretScalar;
use crate::transcript::{self, SharedTranscript};

/// The masks to take off the sum of the contributors' masked inputs: the self mask of each, and
/// for each lost device the masks that its neighbours among them shared with it; none between two
/// lost devices, which are in no sum. Chunks can be unmasked in any order, in parts and in
/// parallel. Erased when dropped.
pub struct Recovery {
    backend: Backend,
    layout: Layout,
    contributors: Vec<usize>,
    shared: SharedTranscript,
    lost: Vec<Lost>,
    masks: Vec<Mask>,
}

/// A lost device, whose mask key was rebuilt.
struct Lost {
    index: usize,
    key: ExchangeKey,
}

/// One mask; its seed is derived when it is first needed.
struct Mask {
    source: Source,
    sign: Sign,
    seed: OnceLock<Option<MaskSeed>>,
}

enum Source {
    /// A contributor's own.
    Own(usize, SecretScalar),
    /// That of one of the lost, by its place among them, with a contributor.
    Pair { lost: usize, peer: usize, peer_key: [u8; 32] },
}

impl Recovery {
    /// Rebuilds each secret that is needed. On failure names the dealer.
    pub(super) fn new(members: &mut Members) -> Result<Self, (usize, Unrecovered)> {
        let mut recovery = Self {
            backend: Backend::detect(members.cohort.task.mask_suite),
            layout: members.cohort.layout.clone(),
            contributors: members.survivors.iter().collect(),
            shared: members.cohort.transcript.with_sharers(&members.shared),
            lost: Vec::new(),
            masks: Vec::new(),
        };
        for index in recovery.contributors.clone() {
            let secret = self_mask(members, index).map_err(|why| (index, why))?;
            recovery.push(Source::Own(index, secret), Sign::Minus);
        }
        for index in members.lost.iter().collect::<Vec<_>>() {
            recovery.lose(members, index).map_err(|why| (index, why))?;
        }
        Ok(recovery)
    }

    fn push(&mut self, source: Source, sign: Sign) {
        self.masks.push(Mask { source, sign, seed: OnceLock::new() });
    }

    /// The masks between a lost device and its neighbours among the contributors.
    fn lose(&mut self, members: &mut Members, index: usize) -> Result<(), Unrecovered> {
        let peers: Vec<usize> = members.cohort.neighbours_in(index, &members.survivors).collect();
        if peers.is_empty() {
            return Ok(());
        }
        let key = lost_key(members, index)?;
        let lost = self.lost.len();
        self.lost.push(Lost { index, key });
        for peer in peers {
            let peer_key = members.cohort.entries[peer].mask_key;
            let sign = Sign::of_pair(peer, index).opposite();
            self.push(Source::Pair { lost, peer, peer_key }, sign);
        }
        Ok(())
    }

    /// The contributors, by roster index: whose masked inputs to sum.
    pub fn contributors(&self) -> &[usize] {
        &self.contributors
    }

    /// How vectors become words.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The same masks, made this way.
    ///
    /// # Panics
    /// If that makes masks of another suite.
    pub fn with_backend(self, backend: Backend) -> Self {
        assert_eq!(backend.suite(), self.backend.suite(), "another suite");
        Self { backend, ..self }
    }

    /// How many masks there are.
    pub fn masks(&self) -> usize {
        self.masks.len()
    }

    /// Derives the seed of a mask, if it was not: one key agreement for those of the lost. Nobody
    /// has to, but the first chunk waits for what was not derived before.
    ///
    /// # Panics
    /// If there is no such mask.
    pub fn derive(&self, mask: usize) {
        self.seed(&self.masks[mask]);
    }

    /// Takes the masks off chunk `chunk` of the sum, in place.
    pub fn unmask_chunk(&self, chunk: usize, sum: &mut ChunkWords) {
        self.unmask_part(chunk, 0..self.masks(), sum);
    }

    /// Takes some of the masks off chunk `chunk` of the sum, or of a part of it, in place.
    ///
    /// # Panics
    /// If there are no such masks.
    pub fn unmask_part(&self, chunk: usize, masks: Range<usize>, sum: &mut ChunkWords) {
        let masks = self.masks[masks].iter();
        let masks = masks.filter_map(|mask| Some((self.seed(mask)?, mask.sign)));
        self.backend.apply_all(masks, chunk, sum);
    }

    /// There is none with a key of low order. Such keys were refused when the devices entered, and
    /// no device could mask with one.
    fn seed<'a>(&self, mask: &'a Mask) -> Option<&'a MaskSeed> {
        let suite = self.backend.suite();
        let derive = || match &mask.source {
            Source::Own(index, secret) => Some(self.shared.self_seed(suite, *index, secret)),
            Source::Pair { lost, peer, peer_key } => {
                let lost = &self.lost[*lost];
                let own = (lost.index, &lost.key);
                self.shared.pair_seed(suite, own, (*peer, peer_key)).ok()
            }
        };
        mask.seed.get_or_init(derive).as_ref()
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
        deal.is_some_and(|deal| deal.self_mask_commitment == commitment)
    })
}

fn lost_key(members: &mut Members, lost: usize) -> Result<ExchangeKey, Unrecovered> {
    let params_hash = members.cohort.transcript.params_hash;
    let secret = members.rebuild(lost, |members, secret| {
        let key = transcript::mask_key(&params_hash, secret);
        key.public() == members.cohort.entries[lost].mask_key
    })?;
    Ok(transcript::mask_key(&params_hash, &secret))
}
