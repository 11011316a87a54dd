//! A staging authority that is kept in a directory: an operator's aggregator enrols with it once
//! and knows it again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::KeyPair;
use sealsum_attest::ids::Fleet;
use sealsum_daemon::codes::{self, Code, Exit};
use sealsum_daemon::lock::{Lock, single_instance};
use sealsum_daemon::{Failure, files};
use serde::{Deserialize, Serialize};

use crate::authority::{Authority, Door};
use crate::fleet::{FleetKeys, Secrets, random};
use crate::log::Log;

/// The fleet of every staging authority; an aggregator of another is left alone.
pub const FLEET: &str = "sealsum-staging";

/// It is not the staging fleet's.
pub const NOT_STAGING: Code = Code::new("not_staging", Exit::Refused);

const SETTINGS: &str = "staging.json";
const CA: &str = "ca.pem";
const TOKEN: &str = "token";
const LOG: &str = "log";
const FILE_LIMIT: u64 = 64 * 1024;

/// Where a staging authority is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The DNS name that aggregators reach it by, if they do not use the address.
    pub host: Option<String>,
}

/// A staging authority that runs, until dropped.
pub struct Staging {
    /// Its directory.
    pub dir: PathBuf,
    /// The fleet.
    pub keys: Arc<FleetKeys>,
    /// What aggregators reach it by.
    pub url: String,
    /// Serves.
    pub authority: Authority,
    _lock: Lock,
}

impl Staging {
    /// Makes what is not there yet, and runs it. What `settings` names replaces what was there.
    ///
    /// # Errors
    /// `already_running`; `file_exists` in a directory of something else; `address_unavailable`.
    pub fn create_or_open(dir: &Path, settings: &Settings) -> Result<Self, Failure> {
        files::create_private_dir(dir)?;
        let lock = single_instance(dir)?;
        if !dir.join(SETTINGS).exists() {
            create(dir)?;
        }
        keep(dir, settings)?;
        Self::run(dir, lock)
    }

    /// Runs the one that is there, as it was run before.
    ///
    /// # Errors
    /// `not_staging` if there is none; `already_running`; `address_unavailable`.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        if !dir.join(SETTINGS).exists() {
            return Err(Failure::new(
                NOT_STAGING,
                format!("{}: is not the directory of a staging authority", dir.display()),
                format!("sealsum-loadgen authority --dir {}", dir.display()),
            ));
        }
        let lock = single_instance(dir)?;
        Self::run(dir, lock)
    }

    fn run(dir: &Path, lock: Lock) -> Result<Self, Failure> {
        let mut settings = settings(dir)?;
        let (fleet, host) = (fleet()?, settings.host.as_deref());
        let secrets = Secrets {
            ca: key(&dir.join("ca.key"))?,
            ca_pem: files::read_text(&dir.join(CA), FILE_LIMIT)?,
            authority: key(&dir.join("authority.key"))?,
        };
        let log = Log::open(&fleet, &seed(&dir.join("log.key"))?, &dir.join(LOG))?;
        let keys = Arc::new(FleetKeys::with(fleet, secrets, log, host)?);
        let token = text(&dir.join(TOKEN))?;
        let door = Door { listen: settings.listen, token };
        let authority = Authority::start(Arc::clone(&keys), door)?;
        // An aggregator will look for it there again, whatever port the system chose.
        settings.listen.set_port(authority.address.port());
        keep(dir, &settings)?;
        let url = match settings.host {
            Some(host) => format!("https://{host}:{}", authority.address.port()),
            None => format!("https://{}", authority.address),
        };
        Ok(Self { dir: dir.to_owned(), keys, url, authority, _lock: lock })
    }

    /// The CA's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join(CA)
    }

    /// What an aggregator enrols with.
    pub fn token_file(&self) -> PathBuf {
        self.dir.join(TOKEN)
    }

    /// The key of the owner of the tool's tasks.
    pub fn owner_key(&self) -> PathBuf {
        self.dir.join("owner.key")
    }
}

/// Where the staging authority of this directory listens; loopback if it is not there yet.
///
/// # Errors
/// When the file is damaged.
pub fn settings(dir: &Path) -> Result<Settings, Failure> {
    let path = dir.join(SETTINGS);
    if !path.exists() {
        return Ok(Settings { listen: ([127, 0, 0, 1], DEFAULT_PORT).into(), host: None });
    }
    let text = files::read_text(&path, FILE_LIMIT)?;
    serde_json::from_str(&text).map_err(|error| damaged(&path, &error))
}

/// Not the port of a true authority, which may be on the same machine.
const DEFAULT_PORT: u16 = 8461;

fn keep(dir: &Path, settings: &Settings) -> Result<(), Failure> {
    let text = serde_json::to_vec(settings).map_err(|error| Failure::bug(error.to_string()))?;
    files::write_private(&dir.join(SETTINGS), &text)
}

fn fleet() -> Result<Fleet, Failure> {
    FLEET.parse().map_err(|error| Failure::bug(format!("fleet {FLEET}: {error}")))
}

/// Never over a file: a directory of something else is left as it is.
fn create(dir: &Path) -> Result<(), Failure> {
    let secrets = Secrets::new(&fleet()?)?;
    let private =
        |name: &str, text: &str| files::create(&dir.join(name), text.as_bytes(), files::PRIVATE);
    private("ca.key", &secrets.ca.serialize_pem())?;
    private("authority.key", &secrets.authority.serialize_pem())?;
    private("log.key", &sealsum_attest::hex::encode(&random()?))?;
    private(TOKEN, &sealsum_attest::hex::encode(&random()?))?;
    private(LOG, "")?;
    files::create(&dir.join(CA), secrets.ca_pem.as_bytes(), files::PUBLIC)
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = files::read_private(path, FILE_LIMIT)?;
    String::from_utf8(bytes.to_vec()).map_err(|error| damaged(path, &error))
}

fn key(path: &Path) -> Result<KeyPair, Failure> {
    KeyPair::from_pem(&text(path)?).map_err(|error| damaged(path, &error))
}

fn seed(path: &Path) -> Result<[u8; 32], Failure> {
    sealsum_attest::hex::decode(&text(path)?).ok_or_else(|| damaged(path, &"not 32 bytes in hex"))
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    let message = format!("{}: {why}", path.display());
    Failure::new(codes::FILE_FORMAT, message, "another --dir; this fleet cannot go on")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics fails")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn anywhere() -> Settings {
        Settings { listen: ([127, 0, 0, 1], 0).into(), host: None }
    }

    #[test]
    fn what_ran_before_is_found_again_with_its_secrets_for_one_user_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = Staging::create_or_open(dir.path(), &anywhere()).unwrap();
        let certificate = first.keys.aggregator(&"a".parse().unwrap()).unwrap();
        first.keys.log.issued(&certificate.der).unwrap();
        let (ca, log) = (first.keys.ca_pem.clone(), first.keys.log.tree().head());
        assert_eq!(Staging::open(dir.path()).err().unwrap().code, codes::ALREADY_RUNNING);
        drop(first);
        let again = Staging::open(dir.path()).unwrap();
        assert_eq!((&again.keys.ca_pem, again.keys.log.tree().head()), (&ca, log));
        for name in ["ca.key", "authority.key", "log.key", LOG, TOKEN, SETTINGS] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn the_directory_of_something_else_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Staging::open(dir.path()).err().unwrap().code, NOT_STAGING);
        std::fs::write(dir.path().join("ca.key"), b"of a true authority").unwrap();
        let refused = Staging::create_or_open(dir.path(), &anywhere()).err().unwrap();
        assert_eq!(refused.code, codes::FILE_EXISTS);
        let left = std::fs::read(dir.path().join("ca.key")).unwrap();
        assert_eq!(left, b"of a true authority");
        assert!(!dir.path().join(SETTINGS).exists());
    }
}
