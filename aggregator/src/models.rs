//! Models that rounds start from: one file each, named by its hash.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use sealsum_daemon::{Failure, codes, files};
use sealsum_protocol::ids::Hash;
use sha2::{Digest, Sha256};

/// Largest model, in bytes: 2^26 float64 and a header.
pub const MODEL_LIMIT: u64 = (1 << 29) + (1 << 20);

/// The directory of models.
#[derive(Clone, Debug)]
pub struct Models {
    dir: PathBuf,
    /// The model that was asked for last: a whole cohort fetches the same, and shares one copy.
    latest: Arc<Mutex<Option<(Hash, Bytes)>>>,
}

impl Models {
    /// Opens the directory, making it if it is not there.
    ///
    /// # Errors
    /// `file_write`.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        files::create_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), latest: Arc::default() })
    }

    /// Keeps a model under its hash; it is durable when this returns.
    ///
    /// # Errors
    /// `file_format` if these are not the bytes of that hash, `file_write`.
    pub fn keep(&self, hash: Hash, bytes: &[u8]) -> Result<(), Failure> {
        if Hash(Sha256::digest(bytes).into()) != hash {
            return Err(Failure::new(
                codes::FILE_FORMAT,
                format!("model {hash}: the bytes have another hash"),
                "send the model again",
            ));
        }
        let path = self.path(hash);
        if path.exists() { Ok(()) } else { files::write_private(&path, bytes) }
    }

    /// Whether a model is kept.
    pub fn has(&self, hash: Hash) -> bool {
        self.path(hash).exists()
    }

    /// The bytes of a model.
    ///
    /// # Errors
    /// `not_found`.
    pub fn bytes(&self, hash: Hash) -> Result<Bytes, Failure> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = latest.as_ref().filter(|(known, _)| *known == hash) {
            return Ok(bytes.clone());
        }
        let bytes = files::read(&self.path(hash), MODEL_LIMIT).map_err(|_| missing(hash))?;
        let bytes = Bytes::from(bytes);
        *latest = Some((hash, bytes.clone()));
        Ok(bytes)
    }

    fn path(&self, hash: Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }
}

/// The error for a model that is not kept.
pub fn missing(hash: Hash) -> Failure {
    Failure::new(
        codes::NOT_FOUND,
        format!("model {hash}: is not here"),
        "sealsum-aggregator round start --model FILE --grant GRANT",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_kept_under_its_own_hash_only() {
        let dir = tempfile::tempdir().unwrap();
        let models = Models::open(&dir.path().join("models")).unwrap();
        let hash = Hash(Sha256::digest(b"model").into());
        assert!(!models.has(hash));
        let refused = models.keep(hash, b"another").unwrap_err();
        assert_eq!(refused.code, codes::FILE_FORMAT);
        assert_eq!(models.bytes(hash).unwrap_err().code, codes::NOT_FOUND);
        models.keep(hash, b"model").unwrap();
        models.keep(hash, b"model").unwrap();
        assert!(models.has(hash));
        let other = Hash(Sha256::digest(b"other").into());
        models.keep(other, b"other").unwrap();
        for (hash, model) in [(hash, "model"), (hash, "model"), (other, "other"), (hash, "model")] {
            assert_eq!(models.bytes(hash).unwrap(), model);
        }
    }
}
