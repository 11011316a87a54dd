//! Shamir's secret sharing (CACM 1979) over the scalar field of ristretto255.
//!
//! A secret is the value at 0 of a random polynomial of degree t - 1; a share is its value at a
//! point 1 to k, which the graph assigns to the holder. Fewer than t shares say nothing about the
//! secret. Arithmetic on secrets is constant-time; points are public.

use crate::scalar::SecretScalar;
use curve25519_dalek::Scalar;
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// One holder's share of one secret, 32 canonical bytes; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Share([u8; 32]);

/// Why secrets were not shared or rebuilt.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ShareError {
    /// Fewer points or shares than the threshold: the secret is out of reach.
    #[error("{given} shares, but {threshold} are needed")]
    TooFew {
        /// Shares at hand.
        given: usize,
        /// Shares needed.
        threshold: usize,
    },
    /// Threshold 0 or 1 would put the secret itself into a share.
    #[error("a threshold of {0} protects nothing; at least 2 are needed")]
    Threshold(usize),
    /// Two shares at one point, or a share at point 0.
    #[error("point {0} is 0 or occurs twice")]
    Point(u16),
}

impl Share {
    /// The share with these bytes, if they are a canonical scalar.
    pub fn from_canonical_bytes(bytes: &[u8; 32]) -> Option<Self> {
        bool::from(Scalar::from_canonical_bytes(*bytes).is_some()).then_some(Self(*bytes))
    }

    /// The 32 canonical bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn scalar(&self) -> Zeroizing<Scalar> {
        Zeroizing::new(Scalar::from_bytes_mod_order(self.0))
    }
}

/// Shares `secret` among the holders at `points`, in their order, so that any `threshold` of them
/// rebuild it.
///
/// # Errors
/// [`ShareError`] if the points or the threshold make no sharing.
pub fn split(
    secret: &SecretScalar,
    threshold: usize,
    points: &[u16],
    rng: &mut impl CryptoRng,
) -> Result<Vec<Share>, ShareError> {
    check(points.iter().copied(), points.len(), threshold)?;
    let coefficients: Vec<SecretScalar> =
        (1..threshold).map(|_| SecretScalar::random(rng)).collect();
    Ok(points.iter().map(|point| evaluate(secret, &coefficients, *point)).collect())
}

/// Rebuilds the secret from the first `threshold` of `shares`, each with its point. Whether the
/// shares were true is for the caller to check against the dealer's commitment.
///
/// # Errors
/// [`ShareError`] if there are too few shares, or two at one point.
pub fn recover(shares: &[(u16, Share)], threshold: usize) -> Result<SecretScalar, ShareError> {
    Interpolation::default().recover(shares, threshold)
}

/// Rebuilds secrets one after another and keeps the weights of the points of the last: holders that
/// answer for many dealers stand at the same points for all of them if nobody is lost.
#[derive(Default)]
pub struct Interpolation {
    points: Vec<u16>,
    weights: Vec<Scalar>,
}

impl Interpolation {
    /// [`recover`].
    ///
    /// # Errors
    /// [`ShareError`] if there are too few shares, or two at one point.
    pub fn recover(
        &mut self,
        shares: &[(u16, Share)],
        threshold: usize,
    ) -> Result<SecretScalar, ShareError> {
        check(shares.iter().map(|(point, _)| *point), shares.len(), threshold)?;
        let used = &shares[..threshold];
        self.stand_at(used.iter().map(|(point, _)| *point));
        let mut secret = Zeroizing::new(Scalar::ZERO);
        for ((_, share), weight) in used.iter().zip(&self.weights) {
            *secret += weight * *share.scalar();
        }
        Ok(SecretScalar::new(*secret))
    }

    fn stand_at(&mut self, points: impl Iterator<Item = u16> + Clone) {
        if !points.clone().eq(self.points.iter().copied()) {
            self.points = points.collect();
            self.weights = weights_at_zero(&self.points);
        }
    }
}

fn check(
    points: impl Iterator<Item = u16>,
    given: usize,
    threshold: usize,
) -> Result<(), ShareError> {
    if threshold < 2 {
        return Err(ShareError::Threshold(threshold));
    }
    if given < threshold {
        return Err(ShareError::TooFew { given, threshold });
    }
    let mut seen: Vec<u16> = points.collect();
    seen.sort_unstable();
    match seen.first() {
        Some(0) => Err(ShareError::Point(0)),
        _ => match seen.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ShareError::Point(pair[0])),
            None => Ok(()),
        },
    }
}

/// Horner's rule.
fn evaluate(secret: &SecretScalar, coefficients: &[SecretScalar], point: u16) -> Share {
    let x = Scalar::from(point);
    let mut value = Zeroizing::new(Scalar::ZERO);
    for coefficient in coefficients.iter().rev() {
        *value = (*value + coefficient.scalar()) * x;
    }
    *value += secret.scalar();
    Share(value.to_bytes())
}

/// Lagrange's weights at 0: the product of x_m / (x_m - x_j) over m != j. Points are public.
fn weights_at_zero(points: &[u16]) -> Vec<Scalar> {
    let product = product(points.iter().copied());
    let denominator = |own: &u16| {
        let others = points.iter().filter(|other| *other != own);
        let distances = product_of_distances(*own, others.clone().copied());
        let below = others.filter(|other| *other < own).count();
        if below.is_multiple_of(2) { distances } else { -distances }
    };
    let mut denominators: Vec<Scalar> = points.iter().map(denominator).collect();
    Scalar::invert_batch_alloc(&mut denominators);
    denominators.into_iter().map(|inverse| product * inverse).collect()
}

/// x_j times each |x_m - x_j|.
fn product_of_distances(own: u16, others: impl Iterator<Item = u16>) -> Scalar {
    product(others.map(|other| other.abs_diff(own)).chain([own]))
}

/// Machine words are multiplied as long as they hold the product, scalars only then.
fn product(factors: impl Iterator<Item = u16>) -> Scalar {
    let (mut product, mut pending) = (Scalar::ONE, 1u128);
    for factor in factors {
        pending *= u128::from(factor);
        if pending >> (u128::BITS - u16::BITS) != 0 {
            product *= Scalar::from(pending);
            pending = 1;
        }
    }
    product * Scalar::from(pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A constant, and the identity, interpolated at 0.
        #[test]
        fn weights_sum_to_one_and_the_points_under_them_to_zero(
            points in prop::collection::btree_set(1u16.., 2..60),
        ) {
            let points: Vec<u16> = points.into_iter().rev().collect();
            let weights = weights_at_zero(&points);
            prop_assert_eq!(weights.iter().sum::<Scalar>(), Scalar::ONE);
            let weighed = weights.iter().zip(&points).map(|(w, x)| w * Scalar::from(*x));
            prop_assert_eq!(weighed.sum::<Scalar>(), Scalar::ZERO);
        }
    }

    #[test]
    fn weights_are_kept_for_the_same_points_only() {
        let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(1);
        let mut interpolation = Interpolation::default();
        for points in [[1, 2, 3], [1, 2, 3], [1, 2, 4], [3, 2, 1]] {
            let secret = SecretScalar::random(&mut rng);
            let shares = split(&secret, 3, &points, &mut rng).expect("a sharing");
            let shares: Vec<(u16, Share)> = points.into_iter().zip(shares).collect();
            let rebuilt = interpolation.recover(&shares, 3).expect("enough");
            assert_eq!(rebuilt.as_bytes(), secret.as_bytes(), "{points:?}");
        }
    }
}
