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
    check(shares.iter().map(|(point, _)| *point), shares.len(), threshold)?;
    let used = &shares[..threshold];
    let weights = weights_at_zero(used);
    let mut secret = Zeroizing::new(Scalar::ZERO);
    for ((_, share), weight) in used.iter().zip(weights) {
        *secret += weight * *share.scalar();
    }
    Ok(SecretScalar::new(*secret))
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
fn weights_at_zero(shares: &[(u16, Share)]) -> Vec<Scalar> {
    let points: Vec<Scalar> = shares.iter().map(|(point, _)| Scalar::from(*point)).collect();
    let product: Scalar = points.iter().product();
    let mut denominators: Vec<Scalar> = points
        .iter()
        .enumerate()
        .map(|(j, own)| {
            let others = points.iter().enumerate().filter(|(m, _)| *m != j);
            others.fold(*own, |denominator, (_, other)| denominator * (other - own))
        })
        .collect();
    Scalar::invert_batch_alloc(&mut denominators);
    denominators.into_iter().map(|inverse| product * inverse).collect()
}
