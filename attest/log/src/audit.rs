//! Verification offline: of a whole export, or of one entry's proof. The key comes from outside;
//! nothing that lies in what is verified is believed for being there.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use sealsum_attest::events::Entry;
use sealsum_attest::hex;
use sealsum_attest::tlog::audit::{AuditError, audit, extends};
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::{Tree, prove_inclusion};
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::proof::{LogProof, PROOF_MAX};
use sealsum_attest::tlog::tiles::{Kind, Tile, TileReader, entries};
use sealsum_daemon::{Failure, codes, files};
use serde::Serialize;
use serde_json::Value;

use crate::export::{checkpoint_at, checkpoint_in, tile_in};

/// The largest file of a verifier key, bytes.
const KEY_LIMIT: u64 = 4096;

/// What an export was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree, hex.
    pub root: String,
    /// When the first entry was made.
    pub first_at: Option<Timestamp>,
    /// When the last entry was made.
    pub last_at: Option<Timestamp>,
    /// How many entries there are of each type.
    pub entries: BTreeMap<String, u64>,
    /// Size of the older head that the log was shown to extend.
    pub older: Option<u64>,
}

/// What a proof was found to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// Name of the log.
    pub origin: String,
    /// Number of entries when the proof was made.
    pub size: u64,
    /// Root of the tree, hex.
    pub root: String,
    /// Index of the entry.
    pub index: u64,
    /// The entry.
    pub entry: BTreeMap<String, Value>,
}

/// Reads the verifier key that what lies at `subject` is to be verified with; it must not lie
/// there itself.
///
/// # Errors
/// `usage` for a key inside `subject`; `file_not_found`, `file_format`.
pub fn key_from_outside(path: &Path, subject: &Path) -> Result<NoteKey, Failure> {
    let text = files::read_text(path, KEY_LIMIT)?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(path).starts_with(real(subject)) {
        return Err(Failure::new(
            codes::USAGE,
            format!("{}: the key lies in what it is to verify", path.display()),
            "a key that reached you another way than the log",
        ));
    }
    NoteKey::parse(text.trim_end()).map_err(|error| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {error}", path.display()),
            "give the file log.vkey that `init` wrote",
        )
    })
}

/// Verifies an export from its entries up; with `older`, a head that was signed before, also that
/// nothing of it was changed since.
///
/// # Errors
/// `log_invalid`; `log_fork` if `older` is signed by the same key and not a beginning of the log.
pub fn export(directory: &Path, key: &NoteKey, older: Option<&Path>) -> Result<Audited, Failure> {
    let checkpoint = checkpoint_in(directory, key)?;
    let older = older.map(|path| checkpoint_at(path, key)).transpose()?;
    let mut seen = Seen::default();
    let tree = audit(checkpoint.head(), |tile| tile_in(directory, tile), |i, e| seen.entry(i, e))
        .map_err(refused)?;
    if let Some(position) = seen.wrong {
        return Err(invalid(format!("entry {position} is not one that this log would write")));
    }
    if let Some(older) = &older {
        demand_extension(&tree, older)?;
    }
    Ok(Audited {
        origin: checkpoint.origin().to_owned(),
        size: tree.size(),
        root: hex::encode(&checkpoint.head().root.0),
        first_at: seen.first_at,
        last_at: seen.last_at,
        entries: seen.kinds,
        older: older.map(|older| older.head().size),
    })
}

/// Verifies one entry's proof, which carries the entry.
///
/// # Errors
/// `file_not_found`, `log_invalid`.
pub fn proof(path: &Path, key: &NoteKey) -> Result<Proved, Failure> {
    let bytes = files::read(path, PROOF_MAX as u64)?;
    proof_bytes(&bytes, key).map_err(|error| {
        let message = error.message.replacen("log:", &format!("{}:", path.display()), 1);
        Failure { message, ..error }
    })
}

/// The same for a proof in memory.
pub(crate) fn proof_bytes(bytes: &[u8], key: &NoteKey) -> Result<Proved, Failure> {
    let proof = LogProof::parse(bytes).map_err(|error| invalid(error.to_string()))?;
    let entry = proof.extra().ok_or_else(|| invalid("the proof comes without its entry".into()))?;
    let checkpoint = proof.verify(entry, key).map_err(|error| invalid(error.to_string()))?;
    let entry = Entry::parse(entry)
        .filter(|entry| entry.seq == proof.index())
        .ok_or_else(|| invalid("the entry is not one that this log would write".into()))?;
    Ok(Proved {
        origin: checkpoint.origin().to_owned(),
        size: checkpoint.head().size,
        root: hex::encode(&checkpoint.head().root.0),
        index: proof.index(),
        entry: entry.fields,
    })
}

/// Makes the proof of one entry of an export.
///
/// # Errors
/// `not_found` if the log is not that long; `log_invalid` if its files do not lead to the head.
pub fn prove(directory: &Path, key: &NoteKey, index: u64) -> Result<LogProof, Failure> {
    let checkpoint = checkpoint_in(directory, key)?;
    let size = checkpoint.head().size;
    if index >= size {
        let why = format!("log: it has {size} entries, none with the index {index}");
        return Err(Failure::new(codes::NOT_FOUND, why, "a smaller index"));
    }
    let reader = TileReader::new(size, |tile: &Tile| tile_in(directory, tile));
    let hashes = prove_inclusion(&reader, index, size).map_err(|e| invalid(e.to_string()))?;
    let proof =
        LogProof::new(index, hashes, &checkpoint).with_extra(entry_in(directory, size, index)?);
    // The files are not signed: only a proof that leads to the signed head is given out.
    proof_bytes(proof.to_string().as_bytes(), key)?;
    Ok(proof)
}

fn entry_in(directory: &Path, size: u64, index: u64) -> Result<Vec<u8>, Failure> {
    let width = u64::from(sealsum_attest::tlog::tiles::WIDTH);
    let missing = || invalid(format!("entry {index} is not in its bundle"));
    let tile = Tile::of(Kind::Entries, index / width, size).ok_or_else(missing)?;
    let bytes = tile_in(directory, &tile)?;
    let bundle = entries(&bytes, tile.width()).ok_or_else(missing)?;
    let entry = bundle.get((index - tile.first()) as usize).ok_or_else(missing)?;
    Ok(entry.to_vec())
}

/// What the entries of an export say by themselves.
#[derive(Default)]
struct Seen {
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    kinds: BTreeMap<String, u64>,
    wrong: Option<u64>,
}

impl Seen {
    fn entry(&mut self, index: u64, bytes: &[u8]) {
        let Some(entry) = Entry::parse(bytes).filter(|entry| entry.seq == index) else {
            self.wrong.get_or_insert(index);
            return;
        };
        let at = Timestamp::from_second(entry.ts).ok();
        self.first_at = self.first_at.or(at);
        self.last_at = at;
        *self.kinds.entry(entry.kind).or_default() += 1;
    }
}

fn demand_extension(tree: &Tree, older: &SignedCheckpoint) -> Result<(), Failure> {
    extends(tree, older.head()).map_err(|error| {
        Failure::new(
            codes::LOG_FORK,
            format!(
                "log: it does not extend the older head of {} entries by the same key: {error}",
                older.head().size
            ),
            "keep both heads as evidence and ask the operator for the other history",
        )
    })
}

fn refused(error: AuditError<Failure>) -> Failure {
    match error {
        AuditError::Fetch { error, .. } => error,
        AuditError::Bundle(_) | AuditError::Tile(_) | AuditError::Root => {
            invalid(error.to_string())
        }
    }
}

/// What was to be verified does not verify.
pub(crate) fn invalid(why: String) -> Failure {
    Failure::new(
        codes::LOG_INVALID,
        format!("log: {why}"),
        "do not trust it; get it again, and ask the operator",
    )
}
