//! Step 2: check the roster, deal shares of the two secrets, keep what the neighbours dealt.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::advertise::{Advertised, EntrySecrets};
use super::mask::Masking;
use super::roster::VerifiedRoster;
use super::{Seat, in_time};
use crate::bitmap::Bitmap;
use crate::channel::{self, OwnKeys, PLAIN_BYTES, Receiver, Sender, Side};
use crate::cohort::Cohort;
use crate::error::{Error, Refusal, require};
use crate::exchange::ExchangeKey;
use crate::guard::Guard;
use crate::ids::Hash;
use crate::membership::Membership;
use crate::merkle;
use crate::messages::{
    DealtShare, InboundShare, InboundShares, Roster, ShareAck, SharedKeys, Sharers,
};
use crate::policy;
use crate::roster::roster_root;
use crate::scalar::SecretScalar;
use crate::shamir::{self, Share};
use crate::time::Now;
use crate::transcript::{self, SecretKind};

/// A device that dealt its shares, and waits for those of its neighbours.
pub struct Sharing {
    seat: Seat,
    secrets: MaskSecrets,
    receivers: BTreeMap<usize, Receiver>,
}

/// A device that acknowledged its neighbours' shares, and waits for the set that shared.
pub struct Acknowledged {
    seat: Seat,
    secrets: MaskSecrets,
    /// Who sent a ciphertext, whether it opened or not.
    sent: Bitmap,
    held: HeldShares,
}

/// What the masks are made of.
pub(super) struct MaskSecrets {
    pub(super) mask_key: ExchangeKey,
    /// b.
    pub(super) self_mask: SecretScalar,
}

/// The shares of other devices' secrets, by dealer.
pub(super) type HeldShares = BTreeMap<usize, SharePair>;

/// A share of each of a dealer's secrets.
pub(super) struct SharePair {
    pub(super) mask_key: Share,
    pub(super) self_mask: Share,
}

impl Advertised {
    /// Checks the roster and deals shares of this device's secrets to its neighbours.
    ///
    /// `identity` is the X25519 identity whose public half the device advertised; it is not kept.
    ///
    /// # Errors
    /// The guard that refused; the aggregator is at fault unless a culprit is named. The device is
    /// out of the round.
    pub fn share(
        self,
        roster: &Roster,
        identity: &ExchangeKey,
        membership: &mut dyn Membership,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(Sharing, SharedKeys), Error> {
        in_time(now, self.limits.roster, "the roster")?;
        let verified = VerifiedRoster::new(&self, roster, membership, now)?;
        self.share_among(&verified, identity, now, rng)
    }

    /// The same for a roster that was verified already, by a device of the same host in the same
    /// round under the same policy: what is left is this device's own entry.
    ///
    /// # Errors
    /// As [`Advertised::share`].
    pub fn share_among(
        self,
        verified: &VerifiedRoster,
        identity: &ExchangeKey,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(Sharing, SharedKeys), Error> {
        in_time(now, self.limits.roster, "the roster")?;
        let own = verified.place_of(&self)?;
        let cohort = verified.cohort();
        policy::check_honest(&self.policy, &cohort.parameters)?;
        let EntrySecrets { mask, channel, signing } = self.secrets;
        let mask_key = transcript::mask_key(&cohort.transcript.params_hash, &mask);
        let self_mask = SecretScalar::random(rng);
        let (senders, receivers) = channels(&cohort, own, OwnKeys { identity, channel: &channel })?;
        let seat = Seat { cohort, own, signing, limits: self.limits };
        let message = deal(&seat, &mask, &self_mask, senders, rng)?;
        Ok((Sharing { seat, secrets: MaskSecrets { mask_key, self_mask }, receivers }, message))
    }
}

type Channels = (Vec<(usize, Sender)>, BTreeMap<usize, Receiver>);

fn channels(cohort: &Cohort, own: usize, keys: OwnKeys<'_>) -> Result<Channels, Refusal> {
    let side = |index: usize| Side { index, entry: &cohort.entries[index] };
    let (mut senders, mut receivers) = (Vec::new(), BTreeMap::new());
    for peer in cohort.neighbours(own) {
        let (sender, receiver) =
            channel::establish(&cohort.transcript, side(own), keys, side(peer)).map_err(
                |error| Refusal::of(Guard::BadKey, cohort.device(peer), error.to_string()),
            )?;
        senders.push((peer, sender));
        receivers.insert(peer, receiver);
    }
    Ok((senders, receivers))
}

/// Shares both secrets with threshold t among the neighbours, commits to each share, seals each
/// pair, and signs the whole.
fn deal(
    seat: &Seat,
    mask: &SecretScalar,
    self_mask: &SecretScalar,
    senders: Vec<(usize, Sender)>,
    rng: &mut impl CryptoRng,
) -> Result<SharedKeys, Error> {
    let (cohort, own) = (&seat.cohort, seat.own);
    let position = |(holder, _): &(usize, Sender)| cohort.graph.share_position(own, *holder);
    let points: Option<Vec<u16>> = senders.iter().map(position).collect();
    let points = points.ok_or(Error::Misuse("a neighbour without a place in the ring"))?;
    let split = |secret, rng: &mut _| shamir::split(secret, cohort.parameters.t, &points, rng);
    let bad_threshold =
        |error: shamir::ShareError| Refusal::new(Guard::Parameters, error.to_string());
    let of_mask = split(mask, &mut *rng).map_err(bad_threshold)?;
    let of_self = split(self_mask, &mut *rng).map_err(bad_threshold)?;
    let commitment = cohort.transcript.self_mask_commitment(own, self_mask);
    let shares = senders.into_iter().zip(of_mask.into_iter().zip(of_self));
    let mut leaves = Vec::new();
    let shares: Vec<DealtShare> = shares
        .map(|((holder, sender), (mask_key, self_mask))| {
            let pair = SharePair { mask_key, self_mask };
            let dealt = seal(seat, holder, sender, &pair, &commitment);
            leaves.push(cohort.transcript.deal_leaf(holder, &dealt));
            dealt
        })
        .collect();
    let string = cohort.transcript.deal_string(own, &commitment, &merkle::root(leaves));
    let signature = seat.signing.sign(&string);
    Ok(SharedKeys { self_mask_commitment: commitment, shares, signature })
}

fn seal(seat: &Seat, holder: usize, sender: Sender, pair: &SharePair, dealer: &Hash) -> DealtShare {
    let transcript = &seat.cohort.transcript;
    let commit =
        |kind, share: &Share| transcript.share_commitment(kind, seat.own, holder, share.as_bytes());
    let mask_key_commitment = commit(SecretKind::MaskKey, &pair.mask_key);
    let self_mask_commitment = commit(SecretKind::SelfMask, &pair.self_mask);
    let mut plain = Zeroizing::new([0; PLAIN_BYTES]);
    plain[..32].copy_from_slice(pair.mask_key.as_bytes());
    plain[32..].copy_from_slice(pair.self_mask.as_bytes());
    let data = transcript.share_data(dealer, &mask_key_commitment, &self_mask_commitment);
    let sealed = sender.seal(&plain, &data);
    DealtShare { mask_key_commitment, self_mask_commitment, sealed }
}

impl Sharing {
    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Says whether a roster that came again is the one that was taken. Another one is to be saved
    /// as evidence against the aggregator; the round goes on with the first.
    ///
    /// # Errors
    /// [`Guard::SecondRoster`].
    pub fn same_roster(&self, roster: &Roster) -> Result<(), Refusal> {
        let root = roster_root(roster.entries.iter().map(|signed| &signed.entry));
        require(root == self.seat.cohort.transcript.roster_root, Guard::SecondRoster, || {
            format!("a second roster, {root}")
        })
    }

    /// Opens what the neighbours dealt. A ciphertext that does not open, or whose shares do not
    /// match their commitments, costs this device that share only; the acknowledgement says so.
    ///
    /// # Errors
    /// [`Guard::ForeignShare`] if a ciphertext is not of a neighbour or not under its signature,
    /// [`Guard::Deadline`]; the aggregator is at fault.
    pub fn receive(
        self,
        inbound: &InboundShares,
        now: Now,
    ) -> Result<(Acknowledged, ShareAck), Error> {
        let Self { seat, secrets, mut receivers } = self;
        in_time(now, seat.limits.inbound, "the shares")?;
        let mut sent = Bitmap::empty(seat.cohort.size());
        let mut held = HeldShares::new();
        for share in &inbound.shares {
            let dealer = usize::from(share.dealer);
            let receiver = receivers.remove(&dealer).ok_or_else(|| {
                Refusal::new(Guard::ForeignShare, format!("from {dealer}, no neighbour, or twice"))
            })?;
            check_dealer(&seat, share)?;
            sent.insert(dealer);
            if let Some(pair) = open(&seat, share, receiver) {
                held.insert(dealer, pair);
            }
        }
        let neighbours = seat.cohort.neighbours(seat.own).enumerate();
        let opened = neighbours.filter(|(_, dealer)| held.contains_key(dealer));
        let good = Bitmap::of(seat.cohort.parameters.k, opened.map(|(place, _)| place));
        Ok((Acknowledged { seat, secrets, sent, held }, ShareAck { good }))
    }
}

/// The share is part of what its dealer signed, at this device's place.
fn check_dealer(seat: &Seat, share: &InboundShare) -> Result<(), Refusal> {
    let cohort = &seat.cohort;
    let dealer = usize::from(share.dealer);
    let place = cohort.neighbours(dealer).position(|holder| holder == seat.own);
    let leaf = cohort.transcript.deal_leaf(seat.own, &share.dealt);
    let root = place
        .and_then(|place| merkle::root_from_path(leaf, place, cohort.parameters.k, &share.path));
    let signed = root.is_some_and(|root| {
        let string = cohort.transcript.deal_string(dealer, &share.dealer_commitment, &root);
        cohort.entries[dealer].signing_key.verifies(&string, &share.signature)
    });
    require(signed, Guard::ForeignShare, || format!("not signed by dealer {dealer}"))
}

fn open(seat: &Seat, share: &InboundShare, receiver: Receiver) -> Option<SharePair> {
    let transcript = &seat.cohort.transcript;
    let DealtShare { mask_key_commitment, self_mask_commitment, sealed } = &share.dealt;
    let data =
        transcript.share_data(&share.dealer_commitment, mask_key_commitment, self_mask_commitment);
    let plain = receiver.open(sealed, &data).ok()?;
    let (mask_key, self_mask) = plain.split_at(32);
    let dealer = usize::from(share.dealer);
    let matching = |kind, bytes: &[u8], commitment: &Hash| {
        let share = Share::from_canonical_bytes(bytes.try_into().ok()?)?;
        let found = transcript.share_commitment(kind, dealer, seat.own, share.as_bytes());
        (found == *commitment).then_some(share)
    };
    Some(SharePair {
        mask_key: matching(SecretKind::MaskKey, mask_key, mask_key_commitment)?,
        self_mask: matching(SecretKind::SelfMask, self_mask, self_mask_commitment)?,
    })
}

impl Acknowledged {
    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Takes the set that shared, U2. Only the secrets of its members matter from here on; shares
    /// of others are erased.
    ///
    /// # Errors
    /// [`Guard::SharersSelf`], [`Guard::SharersSmall`], [`Guard::SharersMismatch`],
    /// [`Guard::SharesLow`], [`Guard::Deadline`]; the aggregator is at fault.
    pub fn sharers(self, message: &Sharers, now: Now) -> Result<Masking, Error> {
        let Self { seat, secrets, sent, mut held } = self;
        in_time(now, seat.limits.sharers, "the set that shared")?;
        let shared = &message.shared;
        seat.check_size(shared, Guard::SharersSmall)?;
        require(shared.contains(seat.own), Guard::SharersSelf, || "this device shared".into())?;
        let (count, a_min) = (shared.count(), seat.cohort.parameters.a_min);
        require(count >= a_min, Guard::SharersSmall, || format!("{count} of {a_min} shared"))?;
        let (neighbours, t) = (seat.neighbours_in(shared), seat.cohort.parameters.t);
        require(neighbours.len() >= t, Guard::SharersSmall, || {
            format!("{} neighbours shared, {t} are needed", neighbours.len())
        })?;
        let silent = neighbours.iter().filter(|dealer| !sent.contains(**dealer)).count();
        require(silent == 0, Guard::SharersMismatch, || {
            format!("no ciphertext from {silent} neighbours that are said to have shared")
        })?;
        held.retain(|dealer, _| shared.contains(*dealer));
        require(held.len() >= t, Guard::SharesLow, || {
            format!("{} of {} ciphertexts opened, {t} are needed", held.len(), neighbours.len())
        })?;
        Ok(Masking::new(seat, secrets, shared.clone(), held))
    }
}
