//! What the devices of a round dealt, in a file without a name: gone with the round, or with this
//! program. The shares in it are sealed to other devices.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealsum_protocol::server::{Deals, Unkept};

/// The deals of one round; clones share them.
#[derive(Clone)]
pub struct DealFile(Arc<Mutex<Inner>>);

struct Inner {
    /// None once the round has ended.
    file: Option<File>,
    /// Of each deal, in bytes.
    length: u64,
    failure: Option<io::Error>,
}

impl DealFile {
    /// Makes the file, in this directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(round_dir: &Path) -> io::Result<Self> {
        let path = round_dir.join("deals");
        let file =
            OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        let inner = Inner { file: Some(file), length: 0, failure: None };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Why the round cannot go on, if the file failed; said once.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    /// Gives the room back at the end of the round.
    pub fn discard(&self) {
        self.lock().file = None;
    }

    fn attempt(&self, work: impl FnOnce(&File, u64) -> io::Result<()>) -> Result<(), Unkept> {
        let mut inner = self.lock();
        let file = inner.file.as_ref().ok_or(Unkept)?;
        let Err(error) = work(file, inner.length) else { return Ok(()) };
        inner.failure.get_or_insert(error);
        Err(Unkept)
    }

    /// No field is ever half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deals for DealFile {
    fn keep(&mut self, dealer: usize, bytes: &[u8]) -> Result<(), Unkept> {
        self.lock().length = bytes.len() as u64;
        self.attempt(|file, length| file.write_all_at(bytes, dealer as u64 * length))
    }

    fn read(&self, dealer: usize, from: usize, into: &mut [u8]) -> Result<(), Unkept> {
        let at = |length| dealer as u64 * length + from as u64;
        self.attempt(|file, length| file.read_exact_at(into, at(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deals() -> (tempfile::TempDir, DealFile) {
        let dir = tempfile::tempdir().unwrap();
        let deals = DealFile::create(dir.path()).unwrap();
        (dir, deals)
    }

    #[test]
    fn each_deal_is_read_back_in_part_and_no_name_is_left() {
        let (dir, mut deals) = deals();
        deals.keep(2, b"two").unwrap();
        deals.keep(0, b"one").unwrap();
        let mut read = [0; 2];
        deals.read(2, 1, &mut read).unwrap();
        assert_eq!(&read, b"wo");
        deals.read(0, 0, &mut read).unwrap();
        assert_eq!(&read, b"on");
        assert!(deals.take_failure().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_of_the_file_is_said_once_and_an_ended_round_has_none() {
        let (_dir, mut deals) = deals();
        deals.keep(0, b"one").unwrap();
        assert_eq!(deals.read(1, 0, &mut [0; 3]), Err(Unkept));
        let failure = deals.take_failure().unwrap();
        assert_eq!(failure.kind(), io::ErrorKind::UnexpectedEof);
        assert!(deals.take_failure().is_none());
        deals.discard();
        assert_eq!(deals.read(0, 0, &mut [0; 3]), Err(Unkept));
        assert_eq!(deals.keep(1, b"two"), Err(Unkept));
        assert!(deals.take_failure().is_none());
    }
}
