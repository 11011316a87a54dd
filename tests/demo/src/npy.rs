//! One-dimensional .npy files of float64, format 1.0: what the aggregator writes.

/// The values of `file`; `None` when it is not such a file.
pub fn values(file: &[u8]) -> Option<Vec<f64>> {
    let [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, low, high, ..] = file else { return None };
    let values = file.get(10 + usize::from(u16::from_le_bytes([*low, *high]))..)?;
    let words = values.chunks_exact(8);
    if !words.remainder().is_empty() {
        return None;
    }
    words.map(|word| word.try_into().ok().map(f64::from_le_bytes)).collect()
}
