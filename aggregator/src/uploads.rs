//! Masked vectors on their way in: one file per device, written chunk by chunk.
//!
//! No more than one chunk of a vector is in memory. A vector counts only once every chunk is there,
//! the chunks hash to the root that the device signed, and the file is durable under its final
//! name; until then it is `DEVICE.part`.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealsum_protocol::encoding::{Layout, WireError};
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::merkle;
use sealsum_protocol::transcript::chunk_leaf;

use crate::config::KeepMasked;
use crate::vector_file::sync_parent;

/// Why a chunk, or a whole vector, is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The vector has fewer chunks.
    #[error("there is no chunk {index}; the vector has {chunks}")]
    NoSuchChunk {
        /// The one that came.
        index: usize,
        /// How many the layout has.
        chunks: usize,
    },
    /// A chunk of another length, or with bits set that must not be.
    #[error(transparent)]
    Shape(WireError),
    /// A chunk that came before with other bytes.
    #[error("chunk {0} came before, with other bytes")]
    Different(usize),
    /// A chunk that never came.
    #[error("chunk {0} has not come")]
    Missing(usize),
    /// The chunks are not those that the device signed.
    #[error("the chunks do not hash to the root that was signed")]
    Root,
    /// The round has ended.
    #[error("the round is over")]
    Over,
    /// No room.
    #[error("the disk is full")]
    DiskFull,
    /// The file system failed.
    #[error("the file system fails: {0}")]
    Io(io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UploadError::DiskFull,
            _ => UploadError::Io(error),
        }
    }
}

/// The masked vectors of one round.
pub struct Uploads {
    dir: PathBuf,
    layout: Layout,
    keep: KeepMasked,
    /// None once the round has ended.
    devices: Mutex<Option<HashMap<DeviceId, Arc<Mutex<Upload>>>>>,
}

/// The vector of one device.
struct Upload {
    /// None once the vector is complete.
    file: Option<File>,
    leaves: Vec<Option<Hash>>,
}

impl Uploads {
    /// Makes the directory `ROUND_DIR/masked`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(round_dir: &Path, layout: Layout, keep: KeepMasked) -> Result<Self, UploadError> {
        let dir = round_dir.join("masked");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir, layout, keep, devices: Mutex::new(Some(HashMap::new())) })
    }

    /// How the vectors are cut.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes one chunk. The same bytes again change nothing.
    ///
    /// # Errors
    /// [`UploadError`]; nothing was stored.
    pub fn put(&self, device: DeviceId, index: usize, bytes: &[u8]) -> Result<(), UploadError> {
        length(&self.layout, index)?;
        self.layout.check_wire(index, bytes).map_err(UploadError::Shape)?;
        let leaf = chunk_leaf(index, bytes);
        let upload = self.upload(device)?;
        let mut upload = lock(&upload);
        match upload.leaves[index] {
            Some(known) if known == leaf => Ok(()),
            Some(_) => Err(UploadError::Different(index)),
            None => {
                let file = upload.file.as_ref().ok_or(UploadError::Over)?;
                file.write_all_at(bytes, offset(&self.layout, index))?;
                upload.leaves[index] = Some(leaf);
                Ok(())
            }
        }
    }

    /// Demands that the whole vector came and is the one of `root`, and makes it durable. Returns
    /// the root of what came.
    ///
    /// # Errors
    /// [`UploadError`]; the vector does not count.
    pub fn complete(&self, device: DeviceId, root: Hash) -> Result<Hash, UploadError> {
        let upload = self.upload(device)?;
        let mut upload = lock(&upload);
        let leaves = upload.leaves.iter().enumerate();
        let leaves: Vec<Hash> = leaves
            .map(|(index, leaf)| leaf.ok_or(UploadError::Missing(index)))
            .collect::<Result<_, _>>()?;
        let received = merkle::root(leaves);
        if received != root {
            return Err(UploadError::Root);
        }
        if let Some(file) = &upload.file {
            file.sync_all()?;
            let path = self.path(device);
            fs::rename(part_of(&path), &path)?;
            sync_parent(&path)?;
            upload.file = None;
        }
        Ok(received)
    }

    /// Reads a chunk of a complete vector into `bytes`, which is made to fit. Opens the file anew,
    /// so that a round of thousands needs no file handle for each.
    ///
    /// # Errors
    /// When the vector is not complete, there is no such chunk, or the file cannot be read.
    pub fn read(
        &self,
        device: DeviceId,
        index: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), UploadError> {
        bytes.resize(length(&self.layout, index)?, 0);
        let file = File::open(self.path(device))?;
        Ok(file.read_exact_at(bytes, offset(&self.layout, index))?)
    }

    /// What happens at the end of the round: everything goes, or incomplete vectors only.
    ///
    /// # Errors
    /// When the files cannot be removed.
    pub fn discard(&self) -> Result<(), UploadError> {
        let Some(uploads) = lock(&self.devices).take() else { return Ok(()) };
        if self.keep == KeepMasked::No {
            return ignore_missing(fs::remove_dir_all(&self.dir));
        }
        for (device, upload) in uploads {
            if lock(&upload).file.is_some() {
                ignore_missing(fs::remove_file(part_of(&self.path(device))))?;
            }
        }
        Ok(())
    }

    fn path(&self, device: DeviceId) -> PathBuf {
        self.dir.join(device.to_string())
    }

    fn upload(&self, device: DeviceId) -> Result<Arc<Mutex<Upload>>, UploadError> {
        let mut devices = lock(&self.devices);
        let devices = devices.as_mut().ok_or(UploadError::Over)?;
        if let Some(upload) = devices.get(&device) {
            return Ok(Arc::clone(upload));
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(part_of(&self.path(device)))?;
        let leaves = vec![None; self.layout.chunks()];
        let upload = Arc::new(Mutex::new(Upload { file: Some(file), leaves }));
        devices.insert(device, Arc::clone(&upload));
        Ok(upload)
    }
}

fn length(layout: &Layout, index: usize) -> Result<usize, UploadError> {
    if index >= layout.chunks() {
        return Err(UploadError::NoSuchChunk { index, chunks: layout.chunks() });
    }
    Ok(layout.chunk_wire_len(index))
}

/// All chunks but the last are as long as the first.
fn offset(layout: &Layout, index: usize) -> u64 {
    layout.chunk_wire_len(0) as u64 * index as u64
}

fn part_of(path: &Path) -> PathBuf {
    path.with_extension("part")
}

fn ignore_missing(result: io::Result<()>) -> Result<(), UploadError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => Ok(other?),
    }
}

/// A panic while the lock was held leaves at most a chunk that is not counted.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId([7; 32]);

    /// Three chunks, the last of them shorter.
    fn layout() -> Layout {
        let layout = Layout::new(20_000, 64).unwrap();
        assert_eq!(layout.chunks(), 3);
        layout
    }

    fn uploads(keep: KeepMasked) -> (tempfile::TempDir, Uploads) {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::create(dir.path(), layout(), keep).unwrap();
        (dir, uploads)
    }

    fn chunk(index: usize) -> Vec<u8> {
        vec![index as u8; layout().chunk_wire_len(index)]
    }

    fn put_all(uploads: &Uploads) -> Hash {
        for index in [2, 0, 1] {
            uploads.put(DEVICE, index, &chunk(index)).unwrap();
        }
        let leaves: Vec<Hash> = (0..3).map(|i| chunk_leaf(i, &chunk(i))).collect();
        merkle::root(leaves)
    }

    #[test]
    fn chunks_in_any_order_become_one_durable_file() {
        let (dir, uploads) = uploads(KeepMasked::Round);
        let root = put_all(&uploads);
        uploads.put(DEVICE, 1, &chunk(1)).unwrap();
        uploads.complete(DEVICE, root).unwrap();
        uploads.complete(DEVICE, root).unwrap();
        let file = dir.path().join("masked").join(DEVICE.to_string());
        assert_eq!(fs::read(&file).unwrap(), [chunk(0), chunk(1), chunk(2)].concat());
        let mut bytes = Vec::new();
        uploads.read(DEVICE, 2, &mut bytes).unwrap();
        assert_eq!(bytes, chunk(2));
        uploads.discard().unwrap();
        assert!(file.exists());
    }

    #[test]
    fn by_default_nothing_is_left() {
        let (dir, uploads) = uploads(KeepMasked::No);
        let root = put_all(&uploads);
        uploads.complete(DEVICE, root).unwrap();
        uploads.discard().unwrap();
        uploads.discard().unwrap();
        assert!(matches!(uploads.put(DEVICE, 0, &chunk(0)), Err(UploadError::Over)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_incomplete_vector_is_never_kept() {
        let (dir, uploads) = uploads(KeepMasked::Round);
        uploads.put(DEVICE, 0, &chunk(0)).unwrap();
        assert!(uploads.read(DEVICE, 0, &mut Vec::new()).is_err());
        uploads.discard().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("masked")).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_is_an_error_of_its_own() {
        let (dir, uploads) = uploads(KeepMasked::No);
        let part = dir.path().join("masked").join(format!("{DEVICE}.part"));
        std::os::unix::fs::symlink("/dev/full", part).unwrap();
        assert!(matches!(uploads.put(DEVICE, 0, &chunk(0)), Err(UploadError::DiskFull)));
        assert!(matches!(uploads.complete(DEVICE, Hash([0; 32])), Err(UploadError::Missing(0))));
    }

    #[test]
    fn wrong_chunks_are_refused() {
        let (_dir, uploads) = uploads(KeepMasked::No);
        let put = |index, bytes: &[u8]| uploads.put(DEVICE, index, bytes);
        assert!(matches!(put(3, &[]), Err(UploadError::NoSuchChunk { index: 3, chunks: 3 })));
        assert!(matches!(put(2, &chunk(0)), Err(UploadError::Shape(_))));
        assert!(matches!(put(0, b""), Err(UploadError::Shape(_))));
        put(0, &chunk(0)).unwrap();
        let mut other = chunk(0);
        other[5] ^= 1;
        assert!(matches!(put(0, &other), Err(UploadError::Different(0))));
        let root = Hash([0; 32]);
        assert!(matches!(uploads.complete(DEVICE, root), Err(UploadError::Missing(1))));
        put_all(&uploads);
        assert!(matches!(uploads.complete(DEVICE, root), Err(UploadError::Root)));
    }
}
