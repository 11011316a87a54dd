//! Shares: any threshold of them rebuild the secret, fewer do not; bad sharings are refused.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{Share, ShareError, recover, split};

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// The group order minus one and the group order, little-endian (RFC 8032, section 5.1).
const LARGEST: [u8; 32] = [
    0xec, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
const ORDER: [u8; 32] = {
    let mut order = LARGEST;
    order[0] += 1;
    order
};

fn copy(share: &Share) -> Share {
    Share::from_canonical_bytes(share.as_bytes()).expect("canonical")
}

/// The shares at `chosen`, by index, each with its point.
fn pick(points: &[u16], shares: &[Share], chosen: &[usize]) -> Vec<(u16, Share)> {
    chosen.iter().map(|i| (points[*i], copy(&shares[*i]))).collect()
}

prop_compose! {
    /// Distinct points in any order, a threshold, and a choice of that many holders.
    fn sharings()(k in 2usize..40, seed in any::<u8>())
        (points in Just((1..=k as u16 * 7).step_by(7).collect::<Vec<_>>()).prop_shuffle(),
         order in Just((0..k).collect::<Vec<_>>()).prop_shuffle(),
         threshold in 2..=k, seed in Just(seed)) -> (Vec<u16>, Vec<usize>, usize, u8) {
        (points, order, threshold, seed)
    }
}

proptest! {
    #[test]
    fn any_threshold_of_shares_rebuilds_the_secret((points, order, threshold, seed) in sharings()) {
        let mut rng = rng(seed);
        let secret = SecretScalar::random(&mut rng);
        let shares = split(&secret, threshold, &points, &mut rng).expect("a sharing");
        for chosen in [&order[..threshold], &order[..]] {
            let rebuilt = recover(&pick(&points, &shares, chosen), threshold).expect("enough");
            prop_assert_eq!(rebuilt.as_bytes(), secret.as_bytes());
        }
    }

    #[test]
    fn one_share_less_rebuilds_nothing((points, order, threshold, seed) in sharings()) {
        let mut rng = rng(seed);
        let secret = SecretScalar::random(&mut rng);
        let shares = split(&secret, threshold, &points, &mut rng).expect("a sharing");
        let few = pick(&points, &shares, &order[1..threshold]);
        let refused = recover(&few, threshold).err();
        prop_assert_eq!(refused, Some(ShareError::TooFew { given: threshold - 1, threshold }));
        if threshold > 2 {
            let wrong = recover(&few, threshold - 1).expect("interpolates something");
            prop_assert_ne!(wrong.as_bytes(), secret.as_bytes());
        }
    }

    #[test]
    fn a_wrong_share_rebuilds_another_secret((points, order, threshold, seed) in sharings()) {
        let mut rng = rng(seed);
        let secret = SecretScalar::random(&mut rng);
        let shares = split(&secret, threshold, &points, &mut rng).expect("a sharing");
        let mut chosen = pick(&points, &shares, &order[..threshold]);
        let forged = SecretScalar::random(&mut rng);
        chosen[0].1 = Share::from_canonical_bytes(forged.as_bytes()).expect("canonical");
        let rebuilt = recover(&chosen, threshold).expect("enough");
        prop_assert_ne!(rebuilt.as_bytes(), secret.as_bytes());
    }
}

#[test]
fn no_share_is_the_secret_and_each_differs() {
    let mut rng = rng(4);
    let secret = SecretScalar::random(&mut rng);
    let shares = split(&secret, 2, &[1, 2, 3], &mut rng).expect("a sharing");
    let mut seen: Vec<&[u8; 32]> = shares.iter().map(Share::as_bytes).collect();
    seen.push(secret.as_bytes());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[test]
fn sharings_that_protect_nothing_are_refused() {
    let mut rng = rng(5);
    let secret = SecretScalar::random(&mut rng);
    let mut refuse = |threshold, points: &[u16]| split(&secret, threshold, points, &mut rng).err();
    assert_eq!(refuse(0, &[1, 2]), Some(ShareError::Threshold(0)));
    assert_eq!(refuse(1, &[1, 2]), Some(ShareError::Threshold(1)));
    assert_eq!(refuse(3, &[1, 2]), Some(ShareError::TooFew { given: 2, threshold: 3 }));
    assert_eq!(refuse(2, &[2, 0, 1]), Some(ShareError::Point(0)));
    assert_eq!(refuse(2, &[5, 1, 5]), Some(ShareError::Point(5)));
}

#[test]
fn two_shares_at_one_point_are_refused() {
    let mut rng = rng(6);
    let secret = SecretScalar::random(&mut rng);
    let shares = split(&secret, 2, &[1, 2], &mut rng).expect("a sharing");
    let twice = pick(&[1, 1], &shares, &[0, 1]);
    assert_eq!(recover(&twice, 2).err(), Some(ShareError::Point(1)));
}

#[test]
fn only_canonical_bytes_are_scalars_and_shares() {
    assert!(SecretScalar::from_canonical_bytes(&LARGEST).is_some());
    assert!(Share::from_canonical_bytes(&LARGEST).is_some());
    for refused in [ORDER, [0xff; 32]] {
        assert!(SecretScalar::from_canonical_bytes(&refused).is_none());
        assert!(Share::from_canonical_bytes(&refused).is_none());
    }
}
