//! Deals shares that open and match their commitments, of secrets that are not its own.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::channel::{self, OwnKeys, PLAIN_BYTES, Sender, Side};
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::messages::{DealtShare, SharedKeys};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{self, Share};
use sealsum_protocol::signature::Signature;
use sealsum_protocol::transcript::SecretKind;
use sealsum_test_fleet::{Device, Said};

use super::{Keys, Me, dealer};

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let (Said::Shares(_), Some(seat)) = (&said, me.seat) else { return vec![said] };
    if !me.lies() {
        return vec![said];
    }
    let mut rng = ChaCha20Rng::seed_from_u64(me.below(usize::MAX) as u64);
    let (wrong_mask, wrong_self) = [(true, true), (true, false), (false, true)][me.below(3)];
    let Some(deal) = deal(me, seat, (wrong_mask, wrong_self), &mut rng) else { return vec![said] };
    me.told();
    vec![Said::Shares(deal.to_bytes())]
}

fn deal(
    me: &Me<'_>,
    (cohort, own): (&Cohort, usize),
    (wrong_mask, wrong_self): (bool, bool),
    rng: &mut ChaCha20Rng,
) -> Option<SharedKeys> {
    let (other, b) = (SecretScalar::random(rng), SecretScalar::random(rng));
    let mask = if wrong_mask { &other } else { &me.keys.mask };
    let self_mask = if wrong_self { &other } else { &b };
    let holders: Vec<usize> = cohort.neighbours(own).collect();
    let points: Option<Vec<u16>> =
        holders.iter().map(|holder| cohort.graph.share_position(own, *holder)).collect();
    let points = points?;
    let t = cohort.parameters.t;
    let of_mask = shamir::split(mask, t, &points, rng).ok()?;
    let of_self = shamir::split(self_mask, t, &points, rng).ok()?;
    let commitment = cohort.transcript.self_mask_commitment(own, &b);
    let pairs = of_mask.into_iter().zip(of_self);
    let shares = holders.into_iter().zip(pairs).map(|(holder, pair)| {
        let sender = sender(me, (cohort, own), holder)?;
        let kinds = [SecretKind::MaskKey, SecretKind::SelfMask];
        let [a, b] = [&pair.0, &pair.1].map(Share::as_bytes);
        let committed = |kind, share| cohort.transcript.share_commitment(kind, own, holder, share);
        let (of_a, of_b) = (committed(kinds[0], a), committed(kinds[1], b));
        let mut plain = [0; PLAIN_BYTES];
        plain[..32].copy_from_slice(a);
        plain[32..].copy_from_slice(b);
        let data = cohort.transcript.share_data(&commitment, &of_a, &of_b);
        let sealed = sender.seal(&plain, &data);
        Some(DealtShare { mask_key_commitment: of_a, self_mask_commitment: of_b, sealed })
    });
    let shares: Option<Vec<DealtShare>> = shares.collect();
    let signature = Signature([0; 64]);
    let mut deal = SharedKeys { self_mask_commitment: commitment, shares: shares?, signature };
    dealer::sign(&mut deal, (cohort, own), me.keys);
    Some(deal)
}

fn sender(me: &Me<'_>, (cohort, own): (&Cohort, usize), holder: usize) -> Option<Sender> {
    let Keys { channel, .. } = me.keys;
    let identity = Device::new(me.device).identity;
    let side = |index: usize| Side { index, entry: &cohort.entries[index] };
    let keys = OwnKeys { identity: &identity, channel };
    let channel = channel::establish(&cohort.transcript, side(own), keys, side(holder)).ok()?;
    Some(channel.0)
}
