//! How large each part of a message can be.

use crate::parameters::LARGEST_COHORT;

/// A device certificate in DER, or a chain of them.
pub const CERTIFICATE: usize = 8192;
/// A P-256 signature by a TPM, in DER or as two integers.
pub const TPM_SIGNATURE: usize = 128;
/// The authority's status list.
pub const STATUS_LIST: usize = 1 << 20;
/// Neighbours of a device.
pub const NEIGHBOURS: usize = LARGEST_COHORT - 1;
/// Chunks of a masked input.
pub const CHUNKS: usize = 1 << 16;
/// Rounds that are open to one device at a time.
pub const OPEN_ROUNDS: usize = 64;
