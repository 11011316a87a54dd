//! What the demo itself computes about vectors: distinct inputs, their exact sum, the unmasked
//! encoding, and whether bytes look uniform.

use sealsum_protocol::encoding::Layout;

use crate::tasks::{RING_BITS, SCALE};

/// The integers that device number `device` puts in: no two devices and no two coordinates agree
/// by chance, and about half are negative.
pub(crate) fn integers(device: usize, coordinates: usize) -> Vec<i64> {
    let value = |coordinate: usize| {
        let mixed = (device as u64 + 1) * 7_919 + (coordinate as u64) * 104_729;
        (mixed % 400_009) as i64 - 200_000
    };
    (0..coordinates).map(value).collect()
}

/// The same as raw little-endian float64, in units of 1.
pub(crate) fn to_f64_file(integers: &[i64]) -> Vec<u8> {
    integers.iter().flat_map(|value| (*value as f64 / SCALE).to_le_bytes()).collect()
}

/// The sum over `devices`, as integers.
pub(crate) fn sum(devices: &[usize], coordinates: usize) -> Vec<i64> {
    let mut total = vec![0; coordinates];
    for device in devices {
        for (sum, value) in total.iter_mut().zip(integers(*device, coordinates)) {
            *sum += value;
        }
    }
    total
}

/// A result file's values as integers again; `None` where a value is not a multiple of 1/scale.
pub(crate) fn from_result(values: &[f64]) -> Option<Vec<i64>> {
    let scaled = values.iter().map(|value| value * SCALE);
    scaled.map(|value| (value.fract() == 0.0).then_some(value as i64)).collect()
}

/// What the server would store of a device that did not mask: the same chunks, on the same wire.
pub(crate) fn unmasked_wire(integers: &[i64]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let layout = Layout::new(integers.len(), RING_BITS)?;
    let mut wire = Vec::new();
    for chunk in 0..layout.chunks() {
        let values = &integers[layout.chunk_coordinates(chunk)];
        wire.extend(layout.to_wire(chunk, &layout.encode_chunk(chunk, values)));
    }
    Ok(wire)
}

/// Pearson's chi-square statistic of byte counts against the uniform law, as the number of
/// standard deviations from its mean (255 degrees of freedom: mean 255, variance 510).
pub(crate) fn chi_square_deviations(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let expected = bytes.len() as f64 / 256.0;
    let statistic: f64 =
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    (statistic - 255.0) / 510.0_f64.sqrt()
}
