//! The L2 clip of the whole vector.

use super::hadamard::Rotation;
use std::ops::Deref;
use thiserror::Error;
use zeroize::Zeroizing;

/// A finite vector within a clip, which only [`clip`] makes; wiped on drop.
pub struct Clipped(Zeroizing<Vec<f64>>);

impl Clipped {
    /// Rotates the vector, which keeps its norm.
    pub fn rotate(&mut self, rotation: &Rotation) {
        self.0 = rotation.apply(std::mem::take(&mut self.0));
    }
}

impl Clipped {
    /// The values, to be changed where they lie.
    pub(super) fn into_values(self) -> Zeroizing<Vec<f64>> {
        self.0
    }
}

impl Deref for Clipped {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.0
    }
}

/// A value that is no number. The application that made the vector is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("value {index} is {kind}; every value must be a finite number")]
pub struct NotFinite {
    /// Where the first such value is.
    pub index: usize,
    /// What it is.
    pub kind: &'static str,
}

/// Relative margin under the clip for the rounding errors of the scaling itself.
const MARGIN: f64 = 1.0 - 1.0 / (1u64 << 20) as f64;

/// The first value that is no number.
fn not_finite(values: &[f64]) -> Option<NotFinite> {
    let index = values.iter().position(|value| !value.is_finite())?;
    let kind = if values[index].is_nan() { "not a number" } else { "infinite" };
    Some(NotFinite { index, kind })
}

/// The vector, scaled down to just under `clip` if its L2 norm is above.
///
/// A vector within the clip passes bit for bit, so multiples of the unit stay exact. The norm is a
/// floating-point sum and may be off in the last bits; nothing rests on it, because the sensitivity
/// is enforced on the integers after rounding.
///
/// # Errors
/// [`NotFinite`] if a value is NaN or infinite.
pub fn clip(values: impl Into<Zeroizing<Vec<f64>>>, clip: f64) -> Result<Clipped, NotFinite> {
    let mut values = values.into();
    // No norm is finite of a vector that is not.
    let norm = norm(&values);
    if norm <= clip && norm.is_finite() {
        return Ok(Clipped(values));
    }
    if let Some(refused) = not_finite(&values) {
        return Err(refused);
    }
    // Relative to the largest value, so that no square overflows.
    let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    values.iter_mut().for_each(|value| *value /= largest);
    let radius = clip * MARGIN / self::norm(&values);
    values.iter_mut().for_each(|value| *value *= radius);
    Ok(Clipped(values))
}

/// The L2 norm, in sums that a CPU forms side by side.
fn norm(values: &[f64]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += value * value;
        }
    }
    sums.iter().chain(&[rest.iter().map(|value| value * value).sum()]).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_the_clip_passes_bit_for_bit() {
        for inside in [vec![0.6, -0.8], vec![0.0; 5], vec![-0.0, 1.0], vec![3.0 / 65536.0; 9]] {
            let clipped = clip(inside.clone(), 1.0).expect("finite");
            assert!(inside.iter().zip(clipped.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn what_is_outside_keeps_its_direction_and_loses_its_length() {
        for outside in
            [vec![3.0, -4.0], vec![1e200, -1e200], vec![1.0, 1e-9, 1.0], vec![f64::MAX; 7]]
        {
            let clipped = clip(outside.clone(), 1.0).expect("finite");
            let norm = clipped.iter().map(|value| value * value).sum::<f64>().sqrt();
            assert!(norm < 1.0 && norm > 0.999_99, "{norm}");
            let ratio = clipped[0] / clipped[1];
            assert!((ratio / (outside[0] / outside[1]) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn no_numbers_are_refused_by_index() {
        let refused = clip(vec![0.0, f64::NAN], 1.0).err();
        assert_eq!(refused, Some(NotFinite { index: 1, kind: "not a number" }));
        for infinity in [f64::INFINITY, f64::NEG_INFINITY] {
            let refused = clip(vec![0.0, 1.0, infinity], 1.0).err();
            assert_eq!(refused, Some(NotFinite { index: 2, kind: "infinite" }));
        }
    }
}
