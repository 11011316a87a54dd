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
        self.0 = rotation.apply(&self.0);
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

/// Refuses NaN and infinities.
///
/// # Errors
/// [`NotFinite`] with the index of the first.
pub fn check_finite(values: &[f64]) -> Result<(), NotFinite> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) if values[index].is_nan() => Err(NotFinite { index, kind: "not a number" }),
        Some(index) => Err(NotFinite { index, kind: "infinite" }),
        None => Ok(()),
    }
}

/// The vector, scaled down to just under `clip` if its L2 norm is above.
///
/// A vector within the clip passes bit for bit, so multiples of the unit stay exact. The norm is a
/// floating-point sum and may be off in the last bits; nothing rests on it, because the sensitivity
/// is enforced on the integers after rounding.
///
/// # Errors
/// [`NotFinite`] if a value is NaN or infinite.
pub fn clip(values: &[f64], clip: f64) -> Result<Clipped, NotFinite> {
    check_finite(values)?;
    let mut clipped = Zeroizing::new(values.to_vec());
    let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if norm.is_finite() && norm <= clip {
        return Ok(Clipped(clipped));
    }
    // Relative to the largest value, so that no square overflows.
    let relative = values.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt();
    let radius = clip * MARGIN / relative;
    clipped.iter_mut().for_each(|value| *value = *value / largest * radius);
    Ok(Clipped(clipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_the_clip_passes_bit_for_bit() {
        for inside in [vec![0.6, -0.8], vec![0.0; 5], vec![-0.0, 1.0], vec![3.0 / 65536.0; 9]] {
            let clipped = clip(&inside, 1.0).expect("finite");
            assert!(inside.iter().zip(clipped.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn what_is_outside_keeps_its_direction_and_loses_its_length() {
        for outside in
            [vec![3.0, -4.0], vec![1e200, -1e200], vec![1.0, 1e-9, 1.0], vec![f64::MAX; 7]]
        {
            let clipped = clip(&outside, 1.0).expect("finite");
            let norm = clipped.iter().map(|value| value * value).sum::<f64>().sqrt();
            assert!(norm < 1.0 && norm > 0.999_99, "{norm}");
            let ratio = clipped[0] / clipped[1];
            assert!((ratio / (outside[0] / outside[1]) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn no_numbers_are_refused_by_index() {
        let refused = clip(&[0.0, f64::NAN], 1.0).err();
        assert_eq!(refused, Some(NotFinite { index: 1, kind: "not a number" }));
        for infinity in [f64::INFINITY, f64::NEG_INFINITY] {
            let refused = clip(&[0.0, 1.0, infinity], 1.0).err();
            assert_eq!(refused, Some(NotFinite { index: 2, kind: "infinite" }));
        }
    }
}
