//! The log as a directory: `checkpoint`, and the files below `tile/` (C2SP tlog-tiles).

use std::path::{Path, PathBuf};

use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::tiles::{ENTRY_MAX, Tile, WIDTH, grown};
use sealsum_daemon::http::UnixClient;
use sealsum_daemon::{Failure, codes, files};

use crate::audit::invalid;

/// Name of the signed head in an export.
pub const CHECKPOINT: &str = "checkpoint";

/// The largest file of an export: a bundle of the longest entries, each behind its length.
const FILE_LIMIT: u64 = WIDTH as u64 * (ENTRY_MAX as u64 + 2);

/// Where a log is read from.
pub enum Source {
    /// The program that keeps it, over its administration socket.
    Running(UnixClient),
    /// An export, whose head is believed only if this key signed it.
    Export(PathBuf, NoteKey),
}

impl Source {
    /// The key that the log's head must be signed with.
    ///
    /// # Errors
    /// If the program does not answer.
    pub async fn key(&self) -> Result<NoteKey, Failure> {
        match self {
            Self::Export(_, key) => Ok(key.clone()),
            Self::Running(client) => {
                let vkey = text(get(client, "/v1/log/vkey").await?)?;
                NoteKey::parse(vkey.trim_end()).map_err(|error| Failure::bug(error.to_string()))
            }
        }
    }

    /// The signed head.
    ///
    /// # Errors
    /// `log_invalid` if it is not signed by the key.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, Failure> {
        match self {
            Self::Export(directory, key) => checkpoint_in(directory, key),
            Self::Running(client) => {
                let note = get(client, "/v1/log/checkpoint").await?;
                SignedCheckpoint::verify(&note, &self.key().await?)
                    .map_err(|error| invalid(error.to_string()))
            }
        }
    }

    async fn file(&self, tile: &Tile) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Export(directory, _) => tile_in(directory, tile),
            Self::Running(client) => get(client, &format!("/v1/log/{tile}")).await,
        }
    }
}

/// Writes the whole log into `out`, a new or empty directory; the signed head last, so that a
/// directory with one is complete.
///
/// # Errors
/// `file_exists`, `file_write`, and those of the source.
pub async fn write(source: &Source, out: &Path) -> Result<SignedCheckpoint, Failure> {
    demand_empty(out)?;
    let checkpoint = source.checkpoint().await?;
    files::create_private_dir(out)?;
    for tile in grown(0, checkpoint.head().size) {
        let path = out.join(tile.to_string());
        files::create_private_dir(path.parent().unwrap_or(out))?;
        files::create(&path, &source.file(&tile).await?, files::PUBLIC)?;
    }
    files::create(&out.join(CHECKPOINT), checkpoint.to_string().as_bytes(), files::PUBLIC)?;
    Ok(checkpoint)
}

fn demand_empty(out: &Path) -> Result<(), Failure> {
    let is_empty = std::fs::read_dir(out).map_or(true, |mut inside| inside.next().is_none());
    if is_empty {
        return Ok(());
    }
    Err(Failure::new(
        codes::FILE_EXISTS,
        format!("{}: is not an empty directory", out.display()),
        "another directory",
    ))
}

/// The signed head of an export.
///
/// # Errors
/// `file_not_found`; `log_invalid` if `key` did not sign it.
pub fn checkpoint_in(directory: &Path, key: &NoteKey) -> Result<SignedCheckpoint, Failure> {
    checkpoint_at(&directory.join(CHECKPOINT), key)
}

/// A signed head in a file.
///
/// # Errors
/// `file_not_found`; `log_invalid` if `key` did not sign it.
pub fn checkpoint_at(path: &Path, key: &NoteKey) -> Result<SignedCheckpoint, Failure> {
    SignedCheckpoint::verify(&files::read(path, FILE_LIMIT)?, key)
        .map_err(|error| invalid(format!("{}: {error}", path.display())))
}

/// A file of an export.
///
/// # Errors
/// `log_invalid` if it is missing: an export is complete or wrong.
pub fn tile_in(directory: &Path, tile: &Tile) -> Result<Vec<u8>, Failure> {
    files::read(&directory.join(tile.to_string()), FILE_LIMIT)
        .map_err(|error| invalid(error.message))
}

/// Asks the running program for the proof of one entry.
///
/// # Errors
/// `not_found` if the log is not that long.
pub(crate) async fn proof_of(client: &UnixClient, index: u64) -> Result<Vec<u8>, Failure> {
    get(client, &format!("/v1/log/proof/{index}")).await
}

async fn get(client: &UnixClient, target: &str) -> Result<Vec<u8>, Failure> {
    let answer = client.request(axum::http::Method::GET, target, Vec::new()).await?;
    client.accepted(&answer)?;
    Ok(answer.body.to_vec())
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| Failure::bug(format!("an answer: {error}")))
}
