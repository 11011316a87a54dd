//! `aggregator.toml`: what the operator decides.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use sealsum_attest::ids::Name;
use sealsum_daemon::{Failure, Program, config};
use serde::{Deserialize, Serialize};

/// `aggregator.toml`. Unknown keys are refused. A relative path is relative to the directory of
/// the file, so a directory made with `init --dir` can be moved as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name in this aggregator's certificate.
    #[serde(default = "default_name")]
    pub name: Name,
    /// Where devices connect; port 0 lets the system choose.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Database, models, results and this program's key.
    pub state_dir: PathBuf,
    /// The socket of the administration commands; `admin.sock` in the state directory by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// DNS names that devices reach it by.
    #[serde(default = "default_dns_names")]
    pub dns_names: Vec<String>,
    /// Addresses that devices reach it by.
    #[serde(default = "default_addresses")]
    pub addresses: Vec<IpAddr>,
    /// Who vouches for devices.
    pub authority: Authority,
    /// Liveness, readiness and metrics.
    #[serde(default)]
    pub health: Health,
    /// How rounds are run.
    #[serde(default)]
    pub rounds: Rounds,
    /// What is kept.
    #[serde(default)]
    pub storage: Storage,
}

/// How rounds are run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// Corrupt devices assumed in the whole fleet: the largest number in any device's policy.
    /// With less, quorums are collected that those devices do not accept.
    #[serde(default)]
    pub corrupt_fleet: u32,
}

/// Who vouches for devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The fleet's CA certificate, PEM.
    pub ca: PathBuf,
}

/// Liveness, readiness and metrics, over plain HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Where; keep it on loopback.
    #[serde(default = "default_health_listen")]
    pub listen: SocketAddr,
}

/// What is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Whether masked vectors outlive their round.
    #[serde(default)]
    pub keep_masked: KeepMasked,
}

/// Whether masked vectors outlive their round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepMasked {
    /// Deleted when the round ends.
    #[default]
    No,
    /// Kept under `rounds/ID/masked/DEVICE`, for inspection.
    Round,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `file_not_found`, `config_unknown_key`, `config_invalid`.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let mut loaded: Self = config::load(Program::Aggregator, path)?;
        if !loaded.authority.url.starts_with("https://") {
            let hint = "write https://HOST:PORT";
            return Err(config::invalid(path, "authority.url", "is not https", hint));
        }
        let base = path.parent().unwrap_or(Path::new(""));
        loaded.state_dir = beside(base, &loaded.state_dir);
        loaded.socket = loaded.socket.map(|socket| beside(base, &socket));
        loaded.authority.ca = beside(base, &loaded.authority.ca);
        Ok(loaded)
    }

    /// What `init` writes.
    pub fn new(authority: Authority, state_dir: PathBuf) -> Self {
        Self {
            name: default_name(),
            listen: default_listen(),
            state_dir,
            socket: None,
            dns_names: default_dns_names(),
            addresses: default_addresses(),
            authority,
            health: Health::default(),
            rounds: Rounds::default(),
            storage: Storage::default(),
        }
    }

    /// The socket of the administration commands.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.state_dir.join("admin.sock"))
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("aggregator.db")
    }

    /// The private key of this aggregator's certificate.
    pub fn key_file(&self) -> PathBuf {
        self.state_dir.join("tls.key")
    }

    /// This aggregator's certificate chain.
    pub fn certificate_file(&self) -> PathBuf {
        self.state_dir.join("tls.pem")
    }

    /// One directory per round.
    pub fn rounds_dir(&self) -> PathBuf {
        self.state_dir.join("rounds")
    }

    /// One file per model, named by its hash.
    pub fn models_dir(&self) -> PathBuf {
        self.state_dir.join("models")
    }
}

/// A path of the file, without the `.` that `init` writes.
fn beside(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().collect()
}

impl Default for Health {
    fn default() -> Self {
        Self { listen: default_health_listen() }
    }
}

/// The name asked for when none is given.
pub fn default_name() -> Name {
    "aggregator".parse().expect("the literal is a name")
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8442))
}

fn default_health_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8452))
}

fn default_dns_names() -> Vec<String> {
    vec!["localhost".to_owned()]
}

fn default_addresses() -> Vec<IpAddr> {
    vec![IpAddr::from([127, 0, 0, 1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_is_read_back() {
        let authority = Authority { url: "https://a:8441".into(), ca: "ca.pem".into() };
        let written = toml::to_string(&Config::new(authority, ".".into())).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aggregator.toml");
        std::fs::write(&path, written).unwrap();
        let read = Config::load(&path).unwrap();
        assert_eq!(read.socket(), dir.path().join("admin.sock"));
        assert_eq!(read.authority.ca, dir.path().join("ca.pem"));
        assert_eq!(read.listen.port(), 8442);
        assert_eq!(read.storage.keep_masked, KeepMasked::No);
    }

    #[test]
    fn few_keys_are_needed_and_unknown_ones_refused() {
        let needed = "state_dir = '/s'\n[authority]\nurl = 'https://a'\nca = '/c'\n";
        assert!(toml::from_str::<Config>(needed).is_ok());
        assert!(toml::from_str::<Config>(&format!("lisen = '::1'\n{needed}")).is_err());
        assert!(toml::from_str::<Config>("state_dir = '/s'").is_err());
    }
}
