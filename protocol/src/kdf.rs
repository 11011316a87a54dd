//! HKDF-SHA-256 (RFC 5869), as all keys and seeds of a round are derived.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The most bytes that one derivation gives: 255 blocks of SHA-256.
pub const MAX_OUTPUT: usize = 255 * 32;

/// Fills `output` from `secret`, bound to `salt` and `info`.
///
/// # Panics
/// If `output` is longer than [`MAX_OUTPUT`].
pub fn derive(salt: &[u8], secret: &[u8], info: &[u8], output: &mut [u8]) {
    assert!(output.len() <= MAX_OUTPUT, "HKDF gives no {} bytes", output.len());
    let filled = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, output);
    debug_assert!(filled.is_ok(), "the length was checked");
}

/// HKDF-Extract: the pseudorandom key that [`expand`] takes.
pub fn extract(salt: &[u8], secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let (mut key, _) = Hkdf::<Sha256>::extract(Some(salt), secret);
    let mut boxed = Zeroizing::new([0; 32]);
    boxed.copy_from_slice(&key);
    zeroize::Zeroize::zeroize(key.as_mut_slice());
    boxed
}

/// HKDF-Expand of a pseudorandom key to 32 bytes.
pub fn expand(key: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut output = Zeroizing::new([0; 32]);
    let filled = Hkdf::<Sha256>::from_prk(key)
        .map_err(drop)
        .and_then(|hkdf| hkdf.expand(info, output.as_mut()).map_err(drop));
    debug_assert!(filled.is_ok(), "32 bytes in, 32 bytes out");
    output
}
