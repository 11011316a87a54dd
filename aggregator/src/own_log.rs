//! This aggregator's own log: which rounds it opened, over whom, and what came of each.
//!
//! An entry is written in the transaction of the fact itself (`store`), so that there is no round
//! without its entries. What the log's key signed can be exported and verified by anybody who got
//! `log.vkey` when the aggregator was initialised.

use std::path::PathBuf;
use std::sync::Arc;

use sealsum_attest::events::aggregator_log;
use sealsum_attest::hex;
use sealsum_attest::ids::Fleet;
use sealsum_daemon::{Failure, codes, files};
use sealsum_log::key::{LogKey, SEED_BYTES};
use sealsum_log::routes::{Keeper, Work, with_log};
use sealsum_log::{check, table};

use crate::admin::LogHead;
use crate::config::Config;
use crate::store::Store;

/// The log and its key.
pub struct OwnLog {
    key: LogKey,
    store: Arc<Store>,
}

impl OwnLog {
    /// Opens the log and demands that nothing of it was changed since it was written.
    ///
    /// # Errors
    /// `log_invalid`, and those of the key's file.
    pub fn open(config: &Config, fleet: &Fleet, store: Arc<Store>) -> Result<Self, Failure> {
        let log = Self { key: key(config, fleet)?, store };
        with_log(&log, |tx, key| check::at_start(tx, key).map(|_| ()))?;
        Ok(log)
    }

    /// Size and root, as `status` shows them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn head(&self) -> Result<LogHead, Failure> {
        let head = with_log(self, |tx, _| table::head(tx))?;
        Ok(LogHead { size: head.size, root: hex::encode(&head.root.0) })
    }

    /// Number of entries.
    ///
    /// # Errors
    /// When the database fails.
    pub fn size(&self) -> Result<u64, Failure> {
        with_log(self, |tx, _| table::size(tx))
    }
}

impl Keeper for OwnLog {
    fn in_transaction(&self, work: Work<'_>) -> Result<(), Failure> {
        Ok(self.store.log_transaction(work)?)
    }

    fn log_key(&self) -> &LogKey {
        &self.key
    }
}

/// The log's key, made if there is none yet; its public half lies beside it.
///
/// # Errors
/// `file_permissions`, `file_format`, `file_write`.
pub fn key(config: &Config, fleet: &Fleet) -> Result<LogKey, Failure> {
    let path = config.state_dir.join("log.key");
    if !path.exists() {
        let seed = LogKey::draw_seed().map_err(|error| {
            Failure::bug(format!("{}: no random bytes: {error}", path.display()))
        })?;
        files::write_private(&path, &seed[..])?;
    }
    let seed = files::read_private(&path, SEED_BYTES as u64 + 1)?;
    let key = LogKey::from_seed(&aggregator_log(fleet, &config.name), &seed).ok_or_else(|| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: is not the key of a log", path.display()),
            "restore it from a backup",
        )
    })?;
    let vkey = format!("{}\n", key.verifier());
    let public = public_file(config);
    if files::read_text(&public, 4096).ok().as_deref() != Some(&vkey) {
        files::write_public(&public, vkey.as_bytes())?;
    }
    Ok(key)
}

/// Where the verifier key is.
pub fn public_file(config: &Config) -> PathBuf {
    config.state_dir.join("log.vkey")
}
