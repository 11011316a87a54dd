//! The result of a round on the disk: a `.npy` file of float64, written as it is computed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sealsum_protocol::ids::Hash;
use sha2::{Digest, Sha256};

/// A vector file that grows. Dropped before [`VectorFile::finish`], it leaves nothing behind.
pub struct VectorFile {
    file: Option<BufWriter<File>>,
    hash: Sha256,
    squares: f64,
    missing: u64,
    temporary: PathBuf,
    path: PathBuf,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Written {
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// L2 norm of the vector.
    pub norm: f64,
}

impl VectorFile {
    /// Starts the file for a vector of `coordinates`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, coordinates: u64) -> io::Result<Self> {
        let temporary = path.with_extension("npy.part");
        let file = BufWriter::new(File::create(&temporary)?);
        let mut vector = Self {
            file: Some(file),
            hash: Sha256::new(),
            squares: 0.0,
            missing: coordinates,
            temporary,
            path: path.to_owned(),
        };
        vector.put(&header(coordinates))?;
        Ok(vector)
    }

    /// Appends coordinates.
    ///
    /// # Errors
    /// When the file cannot be written, or has more coordinates than it was started for.
    pub fn push(&mut self, values: &[f64]) -> io::Result<()> {
        self.missing = self
            .missing
            .checked_sub(values.len() as u64)
            .ok_or_else(|| io::Error::other("more coordinates than the vector has"))?;
        for value in values {
            self.squares += value * value;
            self.put(&value.to_le_bytes())?;
        }
        Ok(())
    }

    /// Makes the file durable under its name.
    ///
    /// # Errors
    /// When the file cannot be written, or coordinates are missing.
    pub fn finish(mut self) -> io::Result<Written> {
        if self.missing != 0 {
            return Err(io::Error::other("the vector is not complete"));
        }
        if let Some(file) = self.file.take() {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        fs::rename(&self.temporary, &self.path)?;
        sync_parent(&self.path)?;
        let sha256 = Hash(std::mem::take(&mut self.hash).finalize().into());
        Ok(Written { sha256, norm: self.squares.sqrt() })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }
}

impl Drop for VectorFile {
    fn drop(&mut self) {
        // After `finish` there is no temporary file, and that is no error.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Reads a file that was written here.
///
/// # Errors
/// When it cannot be read, or is none of ours.
pub fn read(path: &Path) -> io::Result<Vec<f64>> {
    let bytes = fs::read(path)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "is not a vector of ours");
    let length = bytes.get(PREFIX - 2..PREFIX).ok_or_else(damaged)?;
    let start = PREFIX + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (values, rest) = bytes.get(start..).ok_or_else(damaged)?.as_chunks::<8>();
    let vector: Vec<f64> = values.iter().map(|value| f64::from_le_bytes(*value)).collect();
    if rest.is_empty() && bytes[..start] == header(vector.len() as u64) {
        Ok(vector)
    } else {
        Err(damaged())
    }
}

/// Makes a rename in the directory of `path` durable.
///
/// # Errors
/// When the directory cannot be synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The header of NPY format version 1.0: the data begins at a multiple of 64 bytes.
fn header(coordinates: u64) -> Vec<u8> {
    let dictionary =
        format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({coordinates},), }}");
    let length = (PREFIX + dictionary.len() + 1).next_multiple_of(64) - PREFIX;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(dictionary.as_bytes());
    header.resize(PREFIX + length - 1, b' ');
    header.push(b'\n');
    header
}

/// Magic, version and length.
const PREFIX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_reads_what_was_written_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.npy");
        let mut vector = VectorFile::create(&path, 4).unwrap();
        vector.push(&[3.0, -0.5]).unwrap();
        vector.push(&[0.0, 4.0]).unwrap();
        let written = vector.finish().unwrap();

        let bytes = fs::read(&path).unwrap();
        assert_eq!(written.sha256.0, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(written.norm, (9.0f64 + 0.25 + 16.0).sqrt());
        let read = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(read.shape(), [4]);
        assert_eq!(read.into_vec::<f64>().unwrap(), [3.0, -0.5, 0.0, 4.0]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(super::read(&path).unwrap(), [3.0, -0.5, 0.0, 4.0]);
        for cut in [0, 9, 100, bytes.len() - 1, bytes.len() - 8] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(super::read(&path).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn an_incomplete_vector_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.npy");
        let mut vector = VectorFile::create(&path, 2).unwrap();
        assert!(vector.push(&[1.0; 3]).is_err());
        vector.push(&[1.0]).unwrap();
        assert!(vector.finish().is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
