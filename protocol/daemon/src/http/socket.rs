//! Unix sockets by path, also where the path is longer than the 108 bytes of `sockaddr_un`.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

use crate::codes;
use crate::failure::Failure;

/// Longer paths go through the directory's file descriptor. Below `sockaddr_un`'s 108 with room
/// for a temporary name.
const SHORT: usize = 80;

/// A Unix socket that we listen on; its file is removed when this is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to remove no other.
    file: (u64, u64),
}

impl UnixSocket {
    /// Listens at `path` with the given file mode (0600 if only the owner may connect; 0666 if
    /// callers are judged by their credentials). Replaces the file of a program that is gone.
    ///
    /// # Errors
    /// `already_running` if somebody listens there; `file_exists` if it is another kind of file;
    /// `address_unavailable`.
    pub fn bind(path: &Path, mode: u32) -> Result<UnixSocket, Failure> {
        check_free(path)?;
        let unavailable = |error: io::Error| {
            Failure::new(
                codes::ADDRESS_UNAVAILABLE,
                format!("{}: cannot be listened on: {error}", path.display()),
                "check that the directory exists and is writable",
            )
        };
        // Under another name until its mode is right, so that nobody connects before.
        let near = Near::new(path).map_err(unavailable)?;
        let temporary = temporary_beside(&near.path);
        let _ = fs::remove_file(&temporary);
        let listener = bind_at(&temporary, &near.path, mode).map_err(|error| {
            let _ = fs::remove_file(&temporary);
            unavailable(error)
        })?;
        let metadata = fs::symlink_metadata(&near.path).map_err(unavailable)?;
        let file = (metadata.dev(), metadata.ino());
        Ok(UnixSocket { listener, path: path.to_owned(), file })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn bind_at(temporary: &Path, path: &Path, mode: u32) -> io::Result<UnixListener> {
    let listener = StdListener::bind(temporary)?;
    fs::set_permissions(temporary, fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    fs::rename(temporary, path)?;
    UnixListener::from_std(listener)
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let still_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if still_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Nothing there, or the socket of a program that is gone.
fn check_free(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(Failure::new(
            codes::FILE_EXISTS,
            format!("{}: is there and is no socket", path.display()),
            "another path in `socket`, or move the file away",
        )),
        Ok(_) => match connect_std(path) {
            Ok(_) => Err(Failure::new(
                codes::ALREADY_RUNNING,
                format!("{}: another process listens there", path.display()),
                "stop it first, or another --dir",
            )),
            Err(_) => Ok(()),
        },
    }
}

fn connect_std(path: &Path) -> io::Result<StdStream> {
    StdStream::connect(&Near::new(path)?.path)
}

/// Connects to the socket at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let near = Near::new(path)?;
    UnixStream::connect(&near.path).await
}

/// A path short enough for the kernel, valid while this lives.
struct Near {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Near {
    fn new(path: &Path) -> io::Result<Near> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= SHORT {
            return Ok(Near { path: path.to_owned(), _directory: None });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Near { path, _directory: Some(directory) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn the_file_has_its_mode_and_goes_with_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let _first = UnixSocket::bind(&path, 0o600).unwrap();
        let failure = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert_eq!(failure.code, codes::ALREADY_RUNNING);
        connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_but_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file");
        let socket = UnixSocket::bind(&path, 0o666).unwrap();
        connect(&path).await.unwrap();
        assert_eq!(mode(&path), 0o666);
        drop(socket);

        fs::write(&path, "data").unwrap();
        assert_eq!(UnixSocket::bind(&path, 0o600).unwrap_err().code, codes::FILE_EXISTS);
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[tokio::test]
    async fn a_successor_keeps_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let old = UnixSocket::bind(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let _new = UnixSocket::bind(&path, 0o600).unwrap();
        drop(old);
        connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_deep_path_works() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("admin.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        connect(&path).await.unwrap();
        assert_eq!(UnixSocket::bind(&path, 0o600).unwrap_err().code, codes::ALREADY_RUNNING);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let failure = UnixSocket::bind(&dir.path().join("none/a.sock"), 0o600).unwrap_err();
        assert_eq!(failure.code, codes::ADDRESS_UNAVAILABLE);
    }
}
