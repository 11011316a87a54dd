//! Files that survive a power cut and secrets that others cannot read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::codes;
use crate::failure::Failure;

/// The mode of a secret's file.
pub const PRIVATE: u32 = 0o600;
/// The mode of a file that everybody may read, such as a CA certificate.
pub const PUBLIC: u32 = 0o644;

/// Writes a secret: mode 0600, complete or not at all, on disk before it returns.
///
/// # Errors
/// `file_write`, also when the directory does not exist.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace(path, bytes, PRIVATE)
}

/// Writes a file that everybody may read: mode 0644, complete or not at all, on disk before it
/// returns.
///
/// # Errors
/// `file_write`, also when the directory does not exist.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace(path, bytes, PUBLIC)
}

/// Like [`write_private`] and [`write_public`], but never over a file that is there.
///
/// # Errors
/// `file_exists`, `file_write`.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let replacement = Replacement::filled(path, bytes, mode)?;
    // A hard link fails if the name is taken; a rename would replace the file.
    let linked = replacement.file.sync_all();
    match linked.and_then(|()| fs::hard_link(&replacement.temporary, path)) {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::new(
            codes::FILE_EXISTS,
            format!("{}: exists already and is not replaced", path.display()),
            "another name, or move the file away",
        )),
        Err(error) => Err(write_failure(path, &error)),
    }
}

/// Writes to a temporary file beside `path`, syncs it, renames it and syncs the directory.
///
/// # Errors
/// `file_write`.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    Replacement::filled(path, bytes, mode)?.finish()
}

/// A file in the making, beside the one that it replaces when it is finished. Dropped before that,
/// it leaves nothing.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl Replacement {
    /// Begins an empty file of this mode.
    ///
    /// # Errors
    /// `file_write`.
    pub fn begin(path: &Path, mode: u32) -> Result<Replacement, Failure> {
        let temporary = temporary_beside(path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .map_err(|error| write_failure(path, &error))?;
        let replacement = Replacement { path: path.to_owned(), temporary, file };
        // The umask must not decide: a public file stays public, a private one private.
        let mode = fs::Permissions::from_mode(mode);
        replacement.file.set_permissions(mode).map_err(|error| write_failure(path, &error))?;
        Ok(replacement)
    }

    fn filled(path: &Path, bytes: &[u8], mode: u32) -> Result<Replacement, Failure> {
        let mut replacement = Replacement::begin(path, mode)?;
        replacement.file.write_all(bytes).map_err(|error| write_failure(path, &error))?;
        Ok(replacement)
    }

    /// Puts it on disk, in the place of the old one.
    ///
    /// # Errors
    /// `file_write`; the old file is still there.
    pub fn finish(self) -> Result<(), Failure> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.path))
            .map_err(|error| write_failure(&self.path, &error))?;
        sync_directory(&self.path)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Removes a file if it is there, and syncs the directory so that it stays away.
///
/// # Errors
/// `file_write`.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(write_failure(path, &error)),
    }
}

/// A name that no other writer uses: one process, one counter.
fn temporary_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{number}.tmp", std::process::id()))
}

fn sync_directory(path: &Path) -> Result<(), Failure> {
    File::open(parent(path)).and_then(|dir| dir.sync_all()).map_err(|e| write_failure(path, &e))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// `file_write` for an error while writing `path`.
pub fn write_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        codes::FILE_WRITE,
        format!("{}: cannot be written: {error}", path.display()),
        "check that the directory exists, is writable and has room",
    )
}

/// Creates a directory for state and secrets, with its parents, mode 0700; an existing one is left
/// as it is.
///
/// # Errors
/// `file_write`.
pub fn create_private_dir(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| write_failure(path, &error))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// `file_not_found` if it is not there or may not be read, `file_format` if it is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|error| read_failure(path, &error))?;
    read_limited(file, &path.display().to_string(), limit)
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], and `file_format` if it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, limit)?).map_err(|_| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: is not a text in UTF-8", path.display()),
            "check that it is the right file",
        )
    })
}

/// Reads a secret of at most `limit` bytes that only its owner may be able to read.
///
/// # Errors
/// `file_permissions` if its mode lets the group or others in, or it belongs to neither root nor
/// the user of this process; otherwise as [`read`].
pub fn read_private(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let file = File::open(path).map_err(|error| read_failure(path, &error))?;
    // On the open file, so that it cannot be exchanged between the check and the reading.
    let metadata = file.metadata().map_err(|error| read_failure(path, &error))?;
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(Failure::new(
            codes::FILE_PERMISSIONS,
            format!("{}: a secret that belongs to another user (uid {owner})", path.display()),
            format!("chown it to the user that runs this program: {}", path.display()),
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(Failure::new(
            codes::FILE_PERMISSIONS,
            format!("{}: a secret that others may use (mode {mode:04o})", path.display()),
            format!("chmod 600 {}", path.display()),
        ));
    }
    read_limited(file, &path.display().to_string(), limit).map(Zeroizing::new)
}

fn read_limited(source: impl Read, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    // Room for any secret from the start, since a buffer that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(limit.min(64 * 1024) as usize + 64);
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|error| {
        Failure::new(
            codes::FILE_NOT_FOUND,
            format!("{name}: cannot be read: {error}"),
            "check the path",
        )
    })?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(
            codes::FILE_FORMAT,
            format!("{name}: larger than {limit} bytes"),
            "check that it is the right file",
        ));
    }
    Ok(bytes)
}

fn read_failure(path: &Path, error: &io::Error) -> Failure {
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such file".to_owned(), "check the path"),
        io::ErrorKind::PermissionDenied => {
            ("this user may not read it".to_owned(), "another user, or change its permissions")
        }
        _ => (format!("cannot be read: {error}"), "check the path"),
    };
    Failure::new(codes::FILE_NOT_FOUND, format!("{}: {why}", path.display()), hint)
}

/// A secret given on the command line by where it is: a file, `-` for stdin, or `credential:NAME`
/// for a systemd credential. Never the secret itself, which `ps` would show.
///
/// At most 64 KiB, of which white space around it is no part.
///
/// # Errors
/// As [`read_text`]; `file_format` if it is empty; `file_not_found` without credentials of that
/// name.
pub fn read_secret(source: &str) -> Result<Zeroizing<String>, Failure> {
    const LIMIT: u64 = 64 * 1024;
    let bytes = match source.strip_prefix("credential:") {
        _ if source == "-" => read_limited(io::stdin().lock(), "standard input", LIMIT)?,
        Some(name) => read(&credential(name)?, LIMIT)?,
        None => read(Path::new(source), LIMIT)?,
    };
    let bytes = Zeroizing::new(bytes);
    let wrong = |why: &str| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{source}: {why}"),
            "a file that holds the secret and nothing else, or - for standard input",
        )
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not a text in UTF-8"))?;
    match text.trim() {
        "" => Err(wrong("is empty")),
        secret => Ok(Zeroizing::new(secret.to_owned())),
    }
}

fn credential(name: &str) -> Result<PathBuf, Failure> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Failure::new(
            codes::FILE_NOT_FOUND,
            format!("credential {name}: this process has no systemd credentials"),
            "LoadCredential= in the unit, or a file",
        )
    })?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Failure::new(
            codes::FILE_NOT_FOUND,
            format!("credential {name}: not a name of a credential"),
            "the name that the unit gives in LoadCredential=",
        ));
    }
    Ok(Path::new(&directory).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn code<T>(result: Result<T, Failure>) -> codes::Code {
        result.err().expect("refused").code
    }

    #[test]
    fn a_private_file_is_private_whole_and_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, b"old and much longer").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(&*read_private(&path, 100).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn a_public_file_is_readable_by_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        write_public(&path, b"x").unwrap();
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"").unwrap();
        assert_eq!(code(write_private(&path, b"x")), codes::FILE_WRITE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(code(write_private(&dir.path().join("no/where"), b"x")), codes::FILE_WRITE);
    }

    #[test]
    fn create_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner.key");
        create(&path, b"first", PRIVATE).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(code(create(&path, b"second", PRIVATE)), codes::FILE_EXISTS);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_private(&path, b"secret").unwrap();
        for open in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let failure = read_private(&path, 100).unwrap_err();
            assert_eq!(failure.code, codes::FILE_PERMISSIONS, "{open:o}");
            assert!(failure.hint.starts_with("chmod 600 "), "{failure}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read_private(&path, 100).unwrap();
    }

    #[test]
    fn missing_and_oversized_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(code(read(&path, 10)), codes::FILE_NOT_FOUND);
        assert_eq!(code(read_private(&path, 10)), codes::FILE_NOT_FOUND);
        fs::write(&path, [b'x'; 11]).unwrap();
        assert_eq!(code(read(&path, 10)), codes::FILE_FORMAT);
        assert_eq!(read(&path, 11).unwrap().len(), 11);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(code(read_text(&path, 10)), codes::FILE_FORMAT);
        assert_eq!(code(read(dir.path(), 10)), codes::FILE_NOT_FOUND, "a directory");
    }

    #[test]
    fn a_secret_comes_without_its_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let source = path.to_str().unwrap().to_owned();
        assert_eq!(code(read_secret(&source)), codes::FILE_NOT_FOUND);
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(read_secret(&source).unwrap().as_str(), "abc");
        fs::write(&path, " \n").unwrap();
        assert_eq!(code(read_secret(&source)), codes::FILE_FORMAT);
        assert_eq!(code(read_secret("credential:x")), codes::FILE_NOT_FOUND);
    }

    #[test]
    fn a_private_directory_is_0700() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_private_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        create_private_dir(&path).unwrap();
    }
}
