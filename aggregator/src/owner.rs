//! The owner's key: made once, kept offline, signs tasks and grants.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealsum_daemon::{Failure, codes, files};
use sealsum_protocol::signature::{PublicKey, SecretKey};
use zeroize::Zeroizing;

/// Makes a key and writes it to a file that only its owner can read. Returns the public half.
///
/// # Errors
/// `file_exists` rather than replace a key; `file_write`.
pub fn create(path: &Path) -> Result<PublicKey, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| {
        Failure::bug(format!("owner key: the system gives no random bytes: {error}"))
    })?;
    let key = SecretKey::from_seed(&seed);
    let text = Zeroizing::new(format!("{PREFIX}{}\n", *encode(&seed)));
    files::create(path, text.as_bytes(), files::PRIVATE)?;
    Ok(key.public())
}

/// Reads the key.
///
/// # Errors
/// `file_not_found`, `file_permissions`, `file_format`.
pub fn read(path: &Path) -> Result<SecretKey, Failure> {
    let bytes = files::read_private(path, LIMIT)?;
    let seed = decode(&bytes).ok_or_else(|| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: is not an owner key", path.display()),
            "the file that sealsum-aggregator owner create wrote",
        )
    })?;
    Ok(SecretKey::from_seed(&seed))
}

fn encode(seed: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(seed))
}

fn decode(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let encoded = text.trim_ascii_end().strip_prefix(PREFIX.as_bytes())?;
    // One byte more than a seed, because the decoder wants room for whole groups.
    let mut buffer = Zeroizing::new([0; 33]);
    let length = STANDARD.decode_slice(encoded, buffer.as_mut()).ok()?;
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(buffer.get(..length).filter(|bytes| bytes.len() == 32)?);
    Some(seed)
}

const PREFIX: &str = "ed25519-secret:";
const LIMIT: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner.key");
        let public = create(&path).unwrap();
        assert_eq!(read(&path).unwrap().public(), public);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path).unwrap_err().code, codes::FILE_EXISTS);
        assert_eq!(read(&path).unwrap().public(), public);
    }

    #[test]
    fn other_files_are_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for text in ["", "ed25519-secret:", "ed25519-secret:AAAA", "ed25519:AAAA", "secret"] {
            files::write_private(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).err().map(|e| e.code), Some(codes::FILE_FORMAT), "{text}");
        }
        assert_eq!(read(&dir.path().join("y")).err().map(|e| e.code), Some(codes::FILE_NOT_FOUND));
    }
}
