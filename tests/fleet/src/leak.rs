//! What an aggregator that lies has learned, by linear algebra.
//!
//! Each masked input is an unknown vector and a sum of masks. A mask is known if its secret is:
//! the self mask by t shares of b, a pair mask by either side's a. A linear combination of the
//! masked inputs gives the same one of the inputs away if every unknown mask cancels in it; pair
//! masks of devices that were told different sets U2 are different masks.

use std::collections::{BTreeMap, BTreeSet};

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::encoding::ChunkWords;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::mask::{self, MaskSeed, Sign};
use sealsum_protocol::messages::RevealedSecret;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{self, Share};
use sealsum_protocol::transcript::{self, SecretKind};

use crate::liar::{Liar, Member};

/// What the masked inputs of the honest devices give away, canaries aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leak {
    /// No combination of inputs.
    Nothing,
    /// The sum over these devices, its multiples, and nothing else.
    Sum(Vec<usize>),
    /// More than one combination, or one that is no sum: a basis, a coefficient for each device.
    More(Vec<Vec<i64>>),
}

/// A mask that the aggregator does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Unknown {
    Own(usize),
    Pair(usize, usize, Vec<usize>),
}

impl Liar {
    /// b of a device, from whatever shares are revealed or held by colluding devices.
    pub fn self_mask(&self, dealer: usize) -> Option<SecretScalar> {
        if let Member::Colluding(colluder) = &self.members[dealer] {
            return SecretScalar::from_canonical_bytes(colluder.self_mask.as_bytes());
        }
        let secret = self.rebuilt(dealer, SecretKind::SelfMask)?;
        let commitment = self.cohort.transcript.self_mask_commitment(dealer, &secret);
        let dealt = self.deal_of(dealer)?.message.self_mask_commitment;
        (dealt == commitment).then_some(secret)
    }

    /// The mask key of a device, from a.
    pub fn mask_key(&self, dealer: usize) -> Option<ExchangeKey> {
        let params_hash = &self.cohort.transcript.params_hash;
        if let Member::Colluding(colluder) = &self.members[dealer] {
            return Some(transcript::mask_key(params_hash, &colluder.mask));
        }
        let secret = self.rebuilt(dealer, SecretKind::MaskKey)?;
        let key = transcript::mask_key(params_hash, &secret);
        (key.public() == self.cohort.entries[dealer].mask_key).then_some(key)
    }

    fn rebuilt(&self, dealer: usize, kind: SecretKind) -> Option<SecretScalar> {
        let shares: Vec<(u16, Share)> = self
            .cohort
            .neighbours(dealer)
            .filter_map(|holder| {
                let share = self.share_held(dealer, holder, kind)?;
                Some((self.cohort.graph.share_position(dealer, holder)?, share))
            })
            .collect();
        shamir::recover(&shares, self.cohort.parameters.t).ok()
    }

    /// One holder's share, if it works for the aggregator or revealed it.
    fn share_held(&self, dealer: usize, holder: usize, kind: SecretKind) -> Option<Share> {
        if let Member::Colluding(colluder) = &self.members[holder] {
            let deal = &self.deal_of(dealer)?.message;
            let [mask_key, self_mask] = colluder.open(&self.cohort, dealer, deal)?;
            return Some(if kind == SecretKind::MaskKey { mask_key } else { self_mask });
        }
        let reveal = self.heard[holder].reveal.as_ref()?;
        let revealed = reveal.shares.iter().find(|share| usize::from(share.dealer) == dealer)?;
        match (&revealed.secret, kind) {
            (RevealedSecret::MaskKey(share), SecretKind::MaskKey)
            | (RevealedSecret::SelfMask(share), SecretKind::SelfMask) => {
                Share::from_canonical_bytes(share.as_bytes())
            }
            _ => None,
        }
    }

    /// What the masked inputs give away.
    pub fn leaks(&self) -> Leak {
        let basis = self.combinations();
        match basis.as_slice() {
            [] => Leak::Nothing,
            [one] if one.iter().all(|weight| (0..=1).contains(weight)) => {
                Leak::Sum((0..one.len()).filter(|index| one[*index] == 1).collect())
            }
            _ => Leak::More(basis),
        }
    }

    /// A basis of the combinations of masked inputs in which all unknown masks cancel.
    fn combinations(&self) -> Vec<Vec<i64>> {
        let known_self: Vec<bool> =
            (0..self.n()).map(|index| self.self_mask(index).is_some()).collect();
        let known_key: Vec<bool> =
            (0..self.n()).map(|index| self.mask_key(index).is_some()).collect();
        let uploaded: Vec<usize> = self.uploaded();
        let mut columns: BTreeMap<Unknown, BTreeMap<usize, i64>> = BTreeMap::new();
        for &index in &uploaded {
            if !known_self[index] {
                columns.entry(Unknown::Own(index)).or_default().insert(index, 1);
            }
            let shared = self.told(index);
            for peer in self.cohort.neighbours_in(index, shared) {
                if known_key[index] || known_key[peer] {
                    continue;
                }
                let set = shared.iter().collect();
                let pair = Unknown::Pair(index.min(peer), index.max(peer), set);
                let sign = if index < peer { 1 } else { -1 };
                columns.entry(pair).or_default().insert(index, sign);
            }
        }
        kernel(&uploaded, columns.into_values().collect(), self.n())
    }

    fn uploaded(&self) -> Vec<usize> {
        let has = |index: &usize| self.heard[*index].masked.is_some();
        self.honest().into_iter().filter(has).collect()
    }

    fn told(&self, index: usize) -> &Bitmap {
        self.shared[index].as_ref().expect("a device that masked was told U2")
    }

    /// The sum of the inputs of these honest devices, in units of the task, if the masks of their
    /// masked inputs are known or cancel: not that it could be computed, but computed.
    pub fn expose(&self, devices: &[usize]) -> Option<Vec<i64>> {
        let masks: Option<Vec<_>> =
            devices.iter().map(|index| self.masks_on(*index, devices)).collect();
        let masks: Vec<(MaskSeed, Sign)> = masks?.into_iter().flatten().collect();
        let layout = &self.cohort.layout;
        let mut sum = Vec::new();
        for chunk in 0..layout.chunks() {
            let mut words = layout.zero_chunk(chunk);
            for index in devices {
                words.add_assign(&self.chunk_of(*index, chunk)?);
            }
            for (seed, sign) in &masks {
                mask::apply(self.cohort.task.mask_suite, seed, chunk, &mut words, sign.opposite());
            }
            sum.extend(layout.decode_chunk(chunk, &words, devices.len()).ok()?);
        }
        Some(sum)
    }

    fn chunk_of(&self, index: usize, chunk: usize) -> Option<ChunkWords> {
        let bytes = self.heard[index].chunks.get(chunk)?;
        self.cohort.layout.from_wire(chunk, bytes).ok()
    }

    /// The masks on one input, but for those that cancel among `together`.
    fn masks_on(&self, index: usize, together: &[usize]) -> Option<Vec<(MaskSeed, Sign)>> {
        let shared = self.shared[index].as_ref()?;
        let transcript = self.cohort.transcript.with_sharers(shared);
        let suite = self.cohort.task.mask_suite;
        let mut masks =
            vec![(transcript.self_seed(suite, index, &self.self_mask(index)?), Sign::Plus)];
        let cancels =
            |peer: &usize| together.contains(peer) && self.shared[*peer].as_ref() == Some(shared);
        for peer in self.cohort.neighbours_in(index, shared).filter(|peer| !cancels(peer)) {
            let of_peer = self.mask_key(peer).map(|key| (peer, key, index));
            let of_own = || self.mask_key(index).map(|key| (index, key, peer));
            let (own, key, other) = of_peer.or_else(of_own)?;
            let other = (other, &self.cohort.entries[other].mask_key);
            let seed = transcript.pair_seed(suite, (own, &key), other).ok()?;
            masks.push((seed, Sign::of_pair(index, peer)));
        }
        Some(masks)
    }

    /// Of which honest devices both secrets are known: their inputs are open.
    pub fn both_secrets_known(&self) -> BTreeSet<usize> {
        let both =
            |index: &usize| self.self_mask(*index).is_some() && self.mask_key(*index).is_some();
        self.honest().into_iter().filter(both).collect()
    }
}

/// A prime far above every coefficient that occurs.
const PRIME: i128 = (1 << 61) - 1;

/// A basis, in reduced form, of the weights of rows under which every column sums to zero.
fn kernel(rows: &[usize], columns: Vec<BTreeMap<usize, i64>>, n: usize) -> Vec<Vec<i64>> {
    // Each column is an equation over the weights of the rows; eliminate.
    let mut solved: Vec<(usize, Vec<i128>)> = Vec::new();
    for column in columns {
        let mut equation: Vec<i128> =
            rows.iter().map(|row| reduce(column.get(row).copied().unwrap_or(0).into())).collect();
        for (pivot, with) in &solved {
            subtract(&mut equation, with, *pivot);
        }
        let Some(pivot) = equation.iter().position(|value| *value != 0) else { continue };
        let inverse = power(equation[pivot], PRIME - 2);
        equation.iter_mut().for_each(|value| *value = *value * inverse % PRIME);
        for (_, other) in &mut solved {
            subtract(other, &equation, pivot);
        }
        solved.push((pivot, equation));
    }
    let free = (0..rows.len()).filter(|row| solved.iter().all(|(pivot, _)| pivot != row));
    let weights = |free: usize| {
        let mut weights = vec![0; n];
        weights[rows[free]] = 1;
        for (pivot, equation) in &solved {
            weights[rows[*pivot]] = centred(-equation[free]);
        }
        weights
    };
    free.map(weights).collect()
}

fn subtract(from: &mut [i128], with: &[i128], pivot: usize) {
    let factor = from[pivot];
    if factor != 0 {
        from.iter_mut().zip(with).for_each(|(a, b)| *a = reduce(*a - factor * b));
    }
}

fn reduce(value: i128) -> i128 {
    value.rem_euclid(PRIME)
}

fn centred(value: i128) -> i64 {
    let value = reduce(value);
    (if value > PRIME / 2 { value - PRIME } else { value }) as i64
}

fn power(base: i128, mut exponent: i128) -> i128 {
    let (mut square, mut result) = (base, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * square % PRIME;
        }
        square = square * square % PRIME;
        exponent >>= 1;
    }
    result
}
