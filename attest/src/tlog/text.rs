//! Base64 and decimal numbers with one spelling each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Largest tree: what SQLite and the Go implementations count with, 63 bits.
pub(super) const SIZE_MAX: u64 = i64::MAX as u64;

pub(super) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Standard base64, padded; other spellings of the same bytes are refused.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (encode_base64(&bytes) == text).then_some(bytes)
}

/// ASCII decimal without leading zeroes or sign, at most [`SIZE_MAX`].
pub(super) fn decode_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number <= SIZE_MAX && number.to_string() == text).then_some(number)
}
