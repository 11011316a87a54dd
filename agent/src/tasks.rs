//! The signed tasks this device has seen: what `policy explain` explains and what the length of a
//! submitted vector is checked against. Only announcements that verified get here.

use std::path::Path;

use sealsum_daemon::{Failure, codes, files};
use sealsum_protocol::codec::Message;
use sealsum_protocol::task::SignedTask;

use crate::state::StateDir;

const DIRECTORY: &str = "tasks";

/// Keeps a task, in place of an earlier version of the same name.
///
/// # Errors
/// `file_write`.
pub fn remember(state: &StateDir, task: &SignedTask) -> Result<(), Failure> {
    let path = state.directory(DIRECTORY)?.join(&task.task.name);
    let bytes = task.to_bytes();
    if files::read_private(&path, bytes.len() as u64).is_ok_and(|known| *known == bytes) {
        return Ok(());
    }
    files::write_private(&path, &bytes)
}

/// The task of this name as last seen; `None` if none was, or if it is unreadable: it is only a
/// memory, and the next announcement renews it.
pub fn recall(state: &StateDir, name: &str) -> Option<SignedTask> {
    if !is_name(name) {
        return None;
    }
    let path = state.file(DIRECTORY).join(name);
    let bytes = files::read_private(&path, SignedTask::MAX_BYTES as u64).ok()?;
    SignedTask::from_bytes(&bytes).ok()
}

/// Reads a signed task as `sealsum-aggregator task sign` writes it.
///
/// # Errors
/// `file_not_found`; `file_format` if it is none or its signature is not its owner's.
pub fn read_file(path: &Path) -> Result<SignedTask, Failure> {
    let bytes = files::read(path, SignedTask::MAX_BYTES as u64)?;
    let wrong = |why: String| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {why}", path.display()),
            "a file that sealsum-aggregator task sign wrote",
        )
    };
    let task = SignedTask::from_bytes(&bytes).map_err(|error| wrong(error.to_string()))?;
    task.verify().map_err(|refusal| wrong(refusal.detail))?;
    Ok(task)
}

/// 1 to 63 of `[a-z0-9-]`: safe as the name of a file too.
pub fn is_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}
