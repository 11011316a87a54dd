//! The authority's log as this aggregator knows it, and as it shows it to devices.
//!
//! Proofs for a roster come from the authority and are checked before they are passed on.
//! Consistency proofs are made here, from tiles: a thousand devices that saw a thousand checkpoints
//! cost the authority a few files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealsum_attest::inclusion::{Consistency, Inclusion, MembersRequest};
use sealsum_attest::roster_proof::RosterProof;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::{ProveError, prove_consistency};
use sealsum_attest::tlog::tiles::{Tile, TileError, TileReader};
use sealsum_attest::tlog::witness::{Kept, Witness};
use sealsum_daemon::codes::Exit;
use sealsum_daemon::{Failure, codes, files, tls};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::authority::AuthorityClient;
use crate::config::Config;

/// The pinned key and the last checkpoint.
const KNOWN: &str = "authority-log.json";
/// Two checkpoints of two histories.
const FORK: &str = "log-fork.json";
const SETTLE: &str = "settle it with the authority's operator, then move the evidence away";
/// Longest of these files, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Tiles remembered: those of a million entries.
const TILES_MAX: usize = 4096;

/// What is pinned of the log, on disk before it counts.
pub struct AuthorityLog {
    dir: PathBuf,
    known: Mutex<Option<Witness>>,
    tiles: Mutex<BTreeMap<Tile, Vec<u8>>>,
}

/// The authority, asked about its log with our certificate.
pub struct Asked<'a> {
    log: &'a AuthorityLog,
    client: AuthorityClient,
}

impl AuthorityLog {
    /// What earlier runs left.
    ///
    /// # Errors
    /// `file_format` for a damaged file: it is not ignored, since it would hide a fork.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let dir = config.state_dir.clone();
        let known = read::<Kept>(&dir.join(KNOWN))?;
        let known = known.as_ref().map(Witness::try_from).transpose().map_err(|error| {
            Failure::new(
                codes::FILE_FORMAT,
                format!("{}: {error}", dir.join(KNOWN).display()),
                "restore it; or remove it, and the next start pins the log's key again",
            )
        })?;
        Ok(Self { dir, known: Mutex::new(known), tiles: Mutex::default() })
    }

    /// Whether a key is pinned.
    pub fn is_pinned(&self) -> bool {
        self.lock().is_some()
    }

    /// Evidence that the log was forked, which an operator has to settle.
    pub fn fork(&self) -> Option<String> {
        let path = self.dir.join(FORK);
        path.exists().then(|| format!("log of the authority: forked, see {}", path.display()))
    }

    /// Refuses whatever needs a log that is believed.
    ///
    /// # Errors
    /// `log_fork`.
    pub fn demand_one_history(&self) -> Result<(), Failure> {
        self.fork().map_or(Ok(()), |why| Err(Failure::new(codes::LOG_FORK, why, SETTLE)))
    }

    /// Demands that the log shows the certificate (DER) that the authority just issued; pins the
    /// first key.
    ///
    /// # Errors
    /// `log_invalid`, `log_fork`, `file_write`.
    pub fn take(
        &self,
        shown: &Inclusion,
        der: &[u8],
        client: &AuthorityClient,
    ) -> Result<(), Failure> {
        let mut known = self.lock();
        let Some(pinned) = known.as_ref() else {
            let first = Witness::begin(&shown.vkey, &shown.checkpoint).map_err(|e| invalid(&e))?;
            shown.verify(der, first.key()).map_err(|error| invalid(&error))?;
            return self.keep(&mut known, first);
        };
        if shown.vkey != pinned.key().to_string() {
            let pinned = pinned.key();
            return Err(invalid(&format_args!("it has another key than the one pinned, {pinned}")));
        }
        let checkpoint = shown.verify(der, pinned.key()).map_err(|error| invalid(&error))?;
        self.follow(&mut known, checkpoint, client)
    }

    /// To ask the authority over TLS.
    ///
    /// # Errors
    /// When the CA file cannot be read.
    pub fn ask(&self, config: &Config, own: &tls::Identity) -> Result<Asked<'_>, Failure> {
        Ok(Asked { log: self, client: AuthorityClient::identified(config, own)? })
    }

    /// Moves on to a checkpoint that is linked to the last one; keeps evidence if it is not.
    fn follow(
        &self,
        known: &mut Option<Witness>,
        shown: SignedCheckpoint,
        client: &AuthorityClient,
    ) -> Result<(), Failure> {
        let pinned = known.as_ref().ok_or_else(unpinned)?;
        let proof = match pinned.owed(&shown) {
            None => Vec::new(),
            Some((from, to)) => match client.consistency(from, to) {
                Ok(shown) => shown.proof,
                // The authority refuses to show it: then nothing links the two.
                Err(failure) if is_no(&failure) => Vec::new(),
                Err(failure) => return Err(failure),
            },
        };
        match pinned.admit(shown, &proof) {
            Ok(next) if next == *pinned => Ok(()),
            Ok(next) => self.keep(known, next),
            Err(refused) => {
                if let Some(evidence) = refused.evidence() {
                    write(&self.dir.join(FORK), evidence)?;
                }
                let message = format!("log of the authority: {refused}");
                Err(Failure::new(codes::LOG_FORK, message, SETTLE))
            }
        }
    }

    fn keep(&self, known: &mut Option<Witness>, next: Witness) -> Result<(), Failure> {
        write(&self.dir.join(KNOWN), &next.kept())?;
        *known = Some(next);
        Ok(())
    }

    /// Every change is one assignment, so a panic elsewhere leaves it sound.
    fn lock(&self) -> MutexGuard<'_, Option<Witness>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tiles(&self) -> MutexGuard<'_, BTreeMap<Tile, Vec<u8>>> {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked<'_> {
    /// The proof that these certificates (DER) are in the log.
    ///
    /// # Errors
    /// What the authority refused, `log_invalid`, `log_fork`, `unreachable` and the like.
    pub fn prove(&self, roster: &[Vec<u8>]) -> Result<RosterProof, Failure> {
        let request = MembersRequest::about(roster);
        let proof = self.client.members(&request)?;
        let mut known = self.log.lock();
        let key = known.as_ref().ok_or_else(unpinned)?.key();
        let checkpoint = proof.verify(roster, key).map_err(|error| invalid(&error))?;
        self.log.follow(&mut known, checkpoint, &self.client)?;
        Ok(RosterProof::new(request, proof))
    }

    /// The proof that the log of `from` entries grew to that of `to`, for devices to check.
    ///
    /// # Errors
    /// `not_found` beyond the last checkpoint seen here; when the authority cannot be reached.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Consistency, Failure> {
        let last = self.log.lock().as_ref().map_or(0, |known| known.last().head().size);
        if to > last {
            let message = format!("log of the authority: {to} entries were not seen here");
            return Err(Failure::new(codes::NOT_FOUND, message, "ask the authority"));
        }
        let reader = TileReader::new(to, |tile: &Tile| self.tile(tile));
        let proof = prove_consistency(&reader, from, to).map_err(|error| match error {
            ProveError::Store(TileError::Fetch(failure)) => failure,
            other => invalid(&other),
        })?;
        Ok(Consistency { from, to, proof })
    }

    fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.log.tiles().get(tile) {
            return Ok(bytes.clone());
        }
        let bytes = self.client.log_file(&tile.to_string())?;
        let mut tiles = self.log.tiles();
        if tiles.len() >= TILES_MAX {
            tiles.clear();
        }
        tiles.insert(*tile, bytes.clone());
        Ok(bytes)
    }
}

/// Whether the authority refused, as opposed to not being there, being busy or being broken.
fn is_no(failure: &Failure) -> bool {
    matches!(failure.code.exit(), Exit::Refused | Exit::Usage | Exit::Evidence)
}

fn unpinned() -> Failure {
    Failure::new(
        codes::LOG_INVALID,
        "log of the authority: its key is not pinned yet",
        "wait until the certificate of this aggregator is renewed",
    )
}

fn invalid(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        codes::LOG_INVALID,
        format!("log of the authority: {error}"),
        "report this to whoever runs the authority",
    )
}

fn read<T: DeserializeOwned>(path: &std::path::Path) -> Result<Option<T>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read_private(path, FILE_MAX)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::new(codes::FILE_FORMAT, message, "restore it")
    })
}

fn write(path: &std::path::Path, value: &impl Serialize) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Failure::bug(format!("{}: {error}", path.display())))?;
    files::write_private(path, &bytes)
}
