//! The authority's log, and what a double of the authority says about it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ed25519_dalek::{Signer as _, SigningKey};
use sealsum_attest::events::certificate_issued;
use sealsum_attest::ids::Fleet;
use sealsum_attest::inclusion::{Consistency, Inclusion, MembersProof, Place};
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::{Tree, prove_consistency, prove_inclusion};
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::tiles::{Tile, hashes};
use sealsum_attest::tlog::{Hash, batch};
use sealsum_daemon::{Failure, codes, files};
use sha2::{Digest, Sha256};

const TS: i64 = 1_800_000_000;

/// Longest log of a directory, in bytes: a line for each certificate.
const FILE_LIMIT: u64 = 64 << 20;

/// A log that a test may rewrite.
pub struct Log {
    signer: SigningKey,
    /// The verifier key.
    pub key: NoteKey,
    entries: Mutex<Entries>,
    places: Mutex<HashMap<String, Place>>,
}

#[derive(Default)]
struct Entries {
    hashes: Vec<Hash>,
    /// Where each is written before it is signed for.
    file: Option<File>,
}

impl Log {
    /// In memory.
    ///
    /// # Errors
    /// When the fleet's name does not serve for a log.
    pub fn new(fleet: &Fleet, seed: &[u8; 32]) -> Result<Self, Failure> {
        // Entries of another kind come first in a true log too.
        let hashes = vec![Hash::of_leaf(b"authority.created")];
        Self::with(fleet, seed, Entries { hashes, file: None })
    }

    /// Kept in a file, a line for each entry, made if it is missing.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is none of this kind.
    pub fn open(fleet: &Fleet, seed: &[u8; 32], path: &Path) -> Result<Self, Failure> {
        let text = if path.exists() { files::read_text(path, FILE_LIMIT)? } else { String::new() };
        // A last line without its end was not signed for: the program was killed before.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let hashes = whole.lines().map(|line| Hash::parse(line).ok_or_else(|| damaged(path)));
        let hashes: Vec<Hash> = hashes.collect::<Result<_, _>>()?;
        let options = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = options.map_err(|error| unwritable(&error))?;
        file.set_len(whole.len() as u64).map_err(|error| unwritable(&error))?;
        let mut entries = Entries { hashes, file: Some(file) };
        if entries.hashes.is_empty() {
            entries.push(Hash::of_leaf(b"authority.created"))?;
        }
        Self::with(fleet, seed, entries)
    }

    fn with(fleet: &Fleet, seed: &[u8; 32], entries: Entries) -> Result<Self, Failure> {
        let signer = SigningKey::from_bytes(seed);
        let name = format!("{fleet}/authority-log");
        let key = NoteKey::new(&name, signer.verifying_key().as_bytes());
        let key = key.map_err(|error| wrong(&error))?;
        Ok(Self { signer, key, entries: Mutex::new(entries), places: Mutex::default() })
    }

    /// Logs a certificate.
    ///
    /// # Errors
    /// When it is none, or the entry cannot be written down.
    pub fn issued(&self, der: &[u8]) -> Result<Place, Failure> {
        let mut entries = self.entries();
        let place = Place { index: entries.hashes.len() as u64, ts: TS };
        let entry = certificate_issued(der, place.index, TS);
        let entry = entry.map_err(|error| Failure::bug(format!("log: {error:?}")))?;
        entries.push(Hash::of_leaf(&entry))?;
        let name = sealsum_attest::hex::encode(&Sha256::digest(der));
        self.places().insert(name, place);
        Ok(place)
    }

    /// From now on the log tells its beginning otherwise.
    pub fn rewrite(&self) {
        self.entries().hashes[0] = Hash::of_leaf(b"another beginning");
    }

    /// Its signed head.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, Failure> {
        let sign = |text: &[u8]| Ok::<_, ()>(self.signer.sign(text).to_bytes());
        SignedCheckpoint::sign(self.tree().head(), &self.key, sign)
            .map_err(|error| Failure::bug(format!("log: {error:?}")))
    }

    /// That an entry is in it.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn inclusion(&self, place: Place) -> Result<Inclusion, Failure> {
        let tree = self.tree();
        let proof = prove_inclusion(&tree, place.index, tree.size());
        Ok(Inclusion {
            vkey: self.key.to_string(),
            checkpoint: self.checkpoint()?.to_string(),
            index: place.index,
            ts: place.ts,
            proof: proof.map_err(|error| Failure::bug(format!("log: {error:?}")))?,
        })
    }

    /// The proof for these certificates.
    ///
    /// # Errors
    /// `not_found` with the hash of the first that is not there.
    pub fn members(&self, certificates: &[String]) -> Result<MembersProof, Failure> {
        let places = self.places();
        let place = |name: &String| places.get(name).copied().ok_or_else(|| unknown(name));
        let members: Vec<Place> = certificates.iter().map(place).collect::<Result<_, _>>()?;
        let mut indices: Vec<u64> = members.iter().map(|place| place.index).collect();
        indices.sort_unstable();
        let tree = self.tree();
        let proof = batch::prove(&tree, &indices, tree.size());
        let proof = proof.map_err(|error| Failure::bug(format!("log: {error:?}")))?;
        Ok(MembersProof { checkpoint: self.checkpoint()?.to_string(), members, proof })
    }

    /// That it grew from one size to another; nothing if it is shorter.
    pub fn consistency(&self, from: u64, to: u64) -> Option<Consistency> {
        let tree = self.tree();
        let proof = (to <= tree.size()).then(|| prove_consistency(&tree, from, to).ok());
        proof.flatten().map(|proof| Consistency { from, to, proof })
    }

    /// A file of it.
    pub fn tile(&self, path: &str) -> Option<Vec<u8>> {
        hashes(&self.tree(), &Tile::parse(path)?).ok()
    }

    /// All of it.
    pub fn tree(&self) -> Tree {
        self.entries().hashes.iter().copied().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn push(&mut self, hash: Hash) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            let line = format!("{hash}\n");
            file.write_all(line.as_bytes()).map_err(|error| unwritable(&error))?;
        }
        self.hashes.push(hash);
        Ok(())
    }
}

fn unknown(name: &str) -> Failure {
    let message = format!("certificate {name}: is not in the log");
    Failure::new(codes::NOT_FOUND, message, "enrol")
}

fn damaged(path: &Path) -> Failure {
    let message = format!("{}: is no log of a staging authority", path.display());
    Failure::new(codes::FILE_FORMAT, message, "another --dir; this fleet cannot go on")
}

fn unwritable(error: &std::io::Error) -> Failure {
    let message = format!("log of the staging authority: cannot be written: {error}");
    Failure::new(codes::FILE_WRITE, message, "make room, or another --dir")
}

fn wrong(error: &dyn std::fmt::Display) -> Failure {
    Failure::bug(format!("log: {error}"))
}
