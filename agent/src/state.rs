//! The state directory: small files, each replaced whole and synced before anybody relies on it.
//!
//! | file | what |
//! |---|---|
//! | `keys.json`, … | what the TPM gave out for safe keeping ([`sealsum_attest_tpm`]) |
//! | `enrolment.json`, `device.pem`, `result.jwt` | what the authority answered |
//! | `rounds.json` | highest round per task, the round in progress, history ([`crate::rounds`]) |
//! | `epochs.json` | data given to tasks without noise ([`crate::epochs`]) |
//! | `ledger.json` | privacy spent ([`crate::ledger`]) |
//! | `pending/TASK`, `receipts.json` | updates that wait, encrypted ([`crate::pending`]) |
//! | `tasks/NAME` | the signed task as last seen |
//! | `status-list.json` | number of the newest status list |
//! | `authority-log.json` | the log's key and its last checkpoint ([`crate::witness`]) |
//! | `log-fork.json` | evidence that the log has two histories; `log-fork-TIME.json` when settled |

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sealsum_daemon::{Failure, codes, files};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest small file read back, in bytes; the history is bounded far below it.
const SMALL_FILE_MAX: u64 = 16 << 20;

/// A directory that only the agent's user can look into.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Makes the directory if it is missing, then opens it.
    ///
    /// # Errors
    /// As [`StateDir::open`]; `file_write` if it cannot be made.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        files::create_private_dir(path)?;
        Self::open(path)
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// `not_enrolled` if it is not there, `file_permissions` if others could look inside.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let metadata = fs::metadata(path).map_err(|error| {
            Failure::new(
                codes::NOT_ENROLLED,
                format!("state directory {}: {error}", path.display()),
                "sealsum-agent enroll",
            )
        })?;
        if metadata.mode() & 0o077 != 0 {
            return Err(Failure::new(
                codes::FILE_PERMISSIONS,
                format!("state directory {}: others can look inside", path.display()),
                format!("chmod 700 {}", path.display()),
            ));
        }
        let owner = metadata.uid();
        let me = rustix::process::geteuid().as_raw();
        if owner != me && me != 0 {
            return Err(Failure::new(
                codes::FILE_PERMISSIONS,
                format!("state directory {}: it belongs to user {owner}", path.display()),
                "run the command as that user",
            ));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name inside.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A subdirectory, made if it is missing.
    ///
    /// # Errors
    /// `file_write`.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.file(name);
        files::create_private_dir(&path)?;
        Ok(path)
    }

    /// Reads a document; `None` if it is not there.
    ///
    /// # Errors
    /// `file_permissions`; `file_format` if it cannot be understood, which is never ignored: a
    /// forgotten mark or charge would be spent twice.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read_private(&path, SMALL_FILE_MAX)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::new(
                codes::FILE_FORMAT,
                format!("{}: damaged: {error}", path.display()),
                "restore the file from a backup of today; do not delete it",
            )
        })
    }

    /// Replaces a document; it is on disk when this returns.
    ///
    /// # Errors
    /// `file_write`.
    pub fn write<T: Serialize>(&self, name: &str, document: &T) -> Result<(), Failure> {
        let bytes = serde_json::to_vec_pretty(document)
            .map_err(|error| Failure::bug(format!("{name}: cannot be written: {error}")))?;
        files::write_private(&self.file(name), &bytes)
    }

    /// Removes a document if it is there.
    ///
    /// # Errors
    /// `file_write`.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        files::remove(&self.file(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        StateDir::create(&path).unwrap();
        for mode in [0o750, 0o705, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = StateDir::open(&path).unwrap_err();
            assert_eq!(failure.code, codes::FILE_PERMISSIONS, "{mode:o}");
        }
        assert_eq!(StateDir::open(&dir.path().join("none")).unwrap_err().code, codes::NOT_ENROLLED);
    }

    #[test]
    fn a_damaged_document_is_an_error_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state")).unwrap();
        assert_eq!(state.read::<u64>("n").unwrap(), None);
        state.write("n", &7_u64).unwrap();
        assert_eq!(state.read::<u64>("n").unwrap(), Some(7));
        files::write_private(&state.file("n"), b"7 8").unwrap();
        assert_eq!(state.read::<u64>("n").unwrap_err().code, codes::FILE_FORMAT);
    }
}
