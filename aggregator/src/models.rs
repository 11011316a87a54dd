//! Models that rounds start from: one file each, named by its hash.

use std::path::{Path, PathBuf};

use sealsum_daemon::{Failure, codes, files};
use sealsum_protocol::ids::Hash;
use sha2::{Digest, Sha256};

/// Largest model, in bytes: 2^26 float64 and a header.
pub const MODEL_LIMIT: u64 = (1 << 29) + (1 << 20);

/// The directory of models.
#[derive(Clone, Debug)]
pub struct Models {
    dir: PathBuf,
}

impl Models {
    /// Opens the directory, making it if it is not there.
    ///
    /// # Errors
    /// `file_write`.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        files::create_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned() })
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

    /// The file of a model, if it is kept.
    pub fn find(&self, hash: Hash) -> Option<PathBuf> {
        Some(self.path(hash)).filter(|path| path.exists())
    }

    fn path(&self, hash: Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_kept_under_its_own_hash_only() {
        let dir = tempfile::tempdir().unwrap();
        let models = Models::open(&dir.path().join("models")).unwrap();
        let hash = Hash(Sha256::digest(b"model").into());
        assert_eq!(models.find(hash), None);
        let refused = models.keep(hash, b"another").unwrap_err();
        assert_eq!(refused.code, codes::FILE_FORMAT);
        assert_eq!(models.find(hash), None);
        models.keep(hash, b"model").unwrap();
        models.keep(hash, b"model").unwrap();
        assert_eq!(std::fs::read(models.find(hash).unwrap()).unwrap(), b"model");
    }
}
