//! One running program per directory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::codes;
use crate::failure::Failure;

/// The name of the lock file in the directory.
pub const LOCK_FILE: &str = "lock";

/// Held for as long as the program runs; the kernel releases it however the program ends.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    _file: File,
}

/// Takes the lock of a state directory.
///
/// # Errors
/// `already_running` if another process holds it, `file_write` if the file cannot be made.
pub fn single_instance(dir: &Path) -> Result<Lock, Failure> {
    let path = dir.join(LOCK_FILE);
    let opened =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let mut file = opened.map_err(|error| {
        Failure::new(
            codes::FILE_WRITE,
            format!("{}: cannot be locked: {error}", path.display()),
            "check that the directory exists and is writable",
        )
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(already_running(dir, &path)),
        Err(error) => {
            return Err(Failure::new(
                codes::FILE_WRITE,
                format!("{}: cannot be locked: {error}", path.display()),
                "a directory on a local file system",
            ));
        }
    }
    // The process id is for people; nothing depends on it.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}

fn already_running(dir: &Path, lock: &Path) -> Failure {
    let holder = crate::files::read_text(lock, 32).unwrap_or_default();
    let holder = match holder.trim() {
        "" => String::new(),
        pid => format!(" (process {pid})"),
    };
    Failure::new(
        codes::ALREADY_RUNNING,
        format!("{}: another process runs on this directory{holder}", dir.display()),
        "stop it first, or another --dir",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = single_instance(dir.path()).unwrap();
        let failure = single_instance(dir.path()).unwrap_err();
        assert_eq!((&failure.code, failure.exit_number()), (&codes::ALREADY_RUNNING, 4));
        let process = format!("process {}", std::process::id());
        assert!(failure.message.contains(&process), "{failure}");
        drop(first);
        let _again = single_instance(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let failure = single_instance(&dir.path().join("none")).unwrap_err();
        assert_eq!(failure.code, codes::FILE_WRITE);
    }
}
