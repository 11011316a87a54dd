//! Step 3: the vector becomes integers, the integers become masked words.

use std::sync::OnceLock;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::check::Checking;
use super::once::{Once, OnceCounter};
use super::share::{HeldShares, MaskSecrets};
use super::{Seat, in_time};
use crate::analytics;
use crate::bitmap::Bitmap;
use crate::cohort::Cohort;
use crate::dp::accountant::Charge;
use crate::dp::clip::{Clipped, clip};
use crate::dp::noise::Sampler;
use crate::dp::rounding::round_stochastic;
use crate::encoding::{ChunkWords, Layout};
use crate::error::{Error, Refusal, require};
use crate::guard::Guard;
use crate::ids::Hash;
use crate::mask::{Backend, MaskSeed, Sign};
use crate::merkle;
use crate::messages::MaskedInput;
use crate::task::{Task, Weights};
use crate::time::Now;
use crate::transcript::{SharedTranscript, chunk_leaf};

/// A device that knows the set that shared, and has not yet sent anything of its vector.
pub struct Masking {
    seat: Seat,
    secrets: MaskSecrets,
    shared: Bitmap,
    transcript: SharedTranscript,
    held: HeldShares,
}

/// A device's vector as integers with their noise, good for one masked input. Erased when dropped.
pub struct Quantized(Zeroizing<Vec<i64>>);

impl Quantized {
    /// A chunk of it in words without masks: what a simulation of sums adds up. From a device they
    /// must never leave.
    pub fn words(&self, layout: &Layout, chunk: usize) -> ChunkWords {
        layout.encode_chunk(chunk, &self.0[layout.chunk_coordinates(chunk)])
    }
}

/// A device whose masked input is on its way.
pub struct Uploading {
    seat: Seat,
    shared: Bitmap,
    transcript: SharedTranscript,
    held: HeldShares,
    quantized: Quantized,
    masks: Vec<(MaskSeed, Sign)>,
    backend: Backend,
    leaves: Vec<OnceLock<Hash>>,
}

/// Clips, rotates, rounds and noises a device's vector for one round. `update` has the task's
/// coordinates, or is the one value of a query; `weight` is above zero and at most the task's
/// largest, and is there exactly if the task has weights. A retry must start here again: fresh
/// rounding, fresh noise, a new charge.
///
/// # Errors
/// [`Guard::Norm`] with what is wrong with the vector; the application is at fault.
pub fn prepare(
    update: &[f64],
    weight: Option<f64>,
    cohort: &Cohort,
    rng: &mut impl CryptoRng,
) -> Result<Quantized, Refusal> {
    let task = &cohort.task;
    let sensitivity = task.checked_sensitivity()?;
    let vector = || clipped(update, weight, cohort);
    let mut integers = round_stochastic(vector, task.scale, &sensitivity, rng)?;
    if let Some((law, variance)) = task.noise(&cohort.parameters)? {
        Sampler::new(law, &variance).add_to(&mut integers, rng);
    }
    Ok(Quantized(integers))
}

/// What is summed, clipped and rotated.
fn clipped(update: &[f64], weight: Option<f64>, cohort: &Cohort) -> Result<Clipped, Refusal> {
    let part = part(update, weight, &cohort.task)?;
    let mut clipped = clip(part, cohort.task.clip)
        .map_err(|error| Refusal::new(Guard::Norm, error.to_string()))?;
    if let Some(rotation) = cohort.task.rotation(&cohort.transcript.params_hash) {
        clipped.rotate(&rotation);
    }
    Ok(clipped)
}

/// What is summed of an update: the answer to a query, or the vector times w / max, then w / max
/// itself; the vector alone if devices count alike.
fn part(update: &[f64], weight: Option<f64>, task: &Task) -> Result<Zeroizing<Vec<f64>>, Refusal> {
    let expected = task.kind.submitted(task.coordinates) as usize;
    require(update.len() == expected, Guard::Norm, || {
        format!("{} values, the task takes {expected}", update.len())
    })?;
    if let Some(answer) = analytics::encode(&task.kind, update[0])? {
        return Ok(answer);
    }
    match (task.weights, weight) {
        (Weights::Equal, None) => Ok(Zeroizing::new(update.to_vec())),
        (Weights::UpTo(max), Some(weight)) if weight > 0.0 && weight <= f64::from(max) => {
            let share = weight / f64::from(max);
            let weighed = update.iter().map(|value| value * share);
            Ok(Zeroizing::new(weighed.chain([share]).collect()))
        }
        (Weights::Equal, Some(_)) => Err(Refusal::new(Guard::Norm, "the task takes no weight")),
        (Weights::UpTo(max), _) => {
            Err(Refusal::new(Guard::Norm, format!("the task needs a weight above 0, up to {max}")))
        }
    }
}

impl Masking {
    pub(super) fn new(seat: Seat, secrets: MaskSecrets, shared: Bitmap, held: HeldShares) -> Self {
        let transcript = seat.cohort.transcript.with_sharers(&shared);
        Self { seat, secrets, shared, transcript, held }
    }

    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The devices that shared.
    pub fn shared(&self) -> &Bitmap {
        &self.shared
    }

    /// [`prepare`] for this round.
    ///
    /// # Errors
    /// [`Guard::Norm`]; the application is at fault, and the round can go on with another vector.
    pub fn prepare(
        &self,
        update: &[f64],
        weight: Option<f64>,
        rng: &mut impl CryptoRng,
    ) -> Result<Quantized, Refusal> {
        prepare(update, weight, &self.seat.cohort, rng)
    }

    /// What taking part costs; the caller charges and syncs its ledger after
    /// [`Masking::prepare`] and before [`Masking::mask`]. `None` without noise.
    ///
    /// # Errors
    /// [`Guard::Parameters`] if there is too little noise to count.
    pub fn charge(&self) -> Result<Option<Charge>, Refusal> {
        self.seat.cohort.task.charge(&self.seat.cohort.parameters)
    }

    /// Spends the counter and derives the masks: against exactly the neighbours in U2, and the
    /// device's own. The keys that the seeds come from are erased.
    ///
    /// # Errors
    /// [`Guard::OnceCounter`], [`Guard::Deadline`], [`Guard::Norm`] for a vector of another length.
    /// The device is out of the round and has sent nothing of its vector.
    pub fn mask<C: OnceCounter>(
        self,
        quantized: Quantized,
        once: &mut Once<C>,
        now: Now,
    ) -> Result<Uploading, Error> {
        let Self { seat, secrets, shared, transcript, held } = self;
        in_time(now, seat.limits.survivors, "the masked input")?;
        let layout = &seat.cohort.layout;
        require(quantized.0.len() == layout.coordinates(), Guard::Norm, || {
            format!("{} integers, not {}", quantized.0.len(), layout.coordinates())
        })?;
        let leaves = (0..layout.chunks()).map(|_| OnceLock::new()).collect();
        let masks = masks(&seat, &secrets, &shared, &transcript)?;
        once.spend()?;
        let backend = Backend::detect(seat.cohort.task.mask_suite);
        Ok(Uploading { seat, shared, transcript, held, quantized, masks, backend, leaves })
    }
}

/// PRG(self) and one +-PRG(pair) for each neighbour in U2; the sign follows the roster index.
fn masks(
    seat: &Seat,
    secrets: &MaskSecrets,
    shared: &Bitmap,
    transcript: &SharedTranscript,
) -> Result<Vec<(MaskSeed, Sign)>, Refusal> {
    let (cohort, own, suite) = (&seat.cohort, seat.own, seat.cohort.task.mask_suite);
    let mut masks = vec![(transcript.self_seed(suite, own, &secrets.self_mask), Sign::Plus)];
    for peer in cohort.neighbours_in(own, shared) {
        let pair = (peer, &cohort.entries[peer].mask_key);
        let seed = transcript
            .pair_seed(suite, (own, &secrets.mask_key), pair)
            .map_err(|error| Refusal::of(Guard::BadKey, cohort.device(peer), error.to_string()))?;
        masks.push((seed, Sign::of_pair(own, peer)));
    }
    Ok(masks)
}

impl Uploading {
    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The same masks, made this way.
    ///
    /// # Panics
    /// If that makes masks of another suite.
    pub fn with_backend(self, backend: Backend) -> Self {
        assert_eq!(backend.suite(), self.backend.suite(), "another suite");
        Self { backend, ..self }
    }

    /// How many chunks to send.
    pub fn chunks(&self) -> usize {
        self.leaves.len()
    }

    /// The bytes of one chunk; the same each time. All masks go onto it while it is in the cache,
    /// and threads may each take some of the chunks.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn chunk(&self, index: usize) -> Vec<u8> {
        let cohort = &self.seat.cohort;
        let values = &self.quantized.0[cohort.layout.chunk_coordinates(index)];
        let mut words = cohort.layout.encode_chunk(index, values);
        let masks = self.masks.iter().map(|(seed, sign)| (seed, *sign));
        self.backend.apply_all(masks, index, &mut words);
        let bytes = cohort.layout.to_wire(index, &words);
        self.leaves[index].get_or_init(|| chunk_leaf(index, &bytes));
        bytes
    }

    /// The message that completes the masked input, to send after all chunks.
    pub fn masked_input(&mut self) -> MaskedInput {
        let leaves: Vec<Hash> = (0..self.leaves.len()).map(|index| self.leaf(index)).collect();
        let root = merkle::root(leaves);
        let signature = self.seat.signing.sign(&self.transcript.masked_string(&root));
        MaskedInput { root, signature }
    }

    fn leaf(&self, index: usize) -> Hash {
        match self.leaves[index].get() {
            Some(leaf) => *leaf,
            None => chunk_leaf(index, &self.chunk(index)),
        }
    }

    /// The aggregator has the masked input: the vector and all that masked it are erased.
    pub fn acknowledged(self) -> Checking {
        Checking {
            seat: self.seat,
            shared: self.shared,
            transcript: self.transcript,
            held: self.held,
        }
    }
}
