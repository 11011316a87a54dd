//! Vectors as local applications submit them.

use sealsum_agent::intake::{self, Format};

use crate::{Target, named};

/// One for each kind of file.
pub const TARGETS: &[Target] = &[
    named("vector-npy", |bytes| read(Format::Npy, bytes)),
    named("vector-safetensors", |bytes| read(Format::Safetensors, bytes)),
    named("vector-f32", |bytes| read(Format::F32, bytes)),
    named("vector-f64", |bytes| read(Format::F64, bytes)),
];

/// Each coordinate is finite and is in the file, in one of the ways to write it.
fn read(format: Format, bytes: &[u8]) {
    let Ok(vector) = intake::read(format, "fuzzed", bytes) else { return };
    assert!(vector.iter().all(|value| value.is_finite()));
    assert!(!vector.is_empty() && 4 * vector.len() <= bytes.len(), "coordinates out of nothing");
    let narrow = |order: fn(f32) -> [u8; 4]| {
        vector.iter().flat_map(|value| order(*value as f32)).collect::<Vec<u8>>()
    };
    let wide = |order: fn(f64) -> [u8; 8]| {
        vector.iter().flat_map(|value| order(*value)).collect::<Vec<u8>>()
    };
    match format {
        Format::F32 => assert_eq!(narrow(f32::to_le_bytes), bytes),
        Format::F64 => assert_eq!(wide(f64::to_le_bytes), bytes),
        Format::Npy => assert!(
            bytes.ends_with(&wide(f64::to_le_bytes))
                || bytes.ends_with(&wide(f64::to_be_bytes))
                || bytes.ends_with(&narrow(f32::to_le_bytes))
                || bytes.ends_with(&narrow(f32::to_be_bytes)),
            "other coordinates than those of the file"
        ),
        // Tensors follow one another by name, in whichever order they lie in the file.
        Format::Safetensors => {}
    }
}
