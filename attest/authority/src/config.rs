//! `authority.toml`, and the files that `init` puts beside it. Which devices may join is no matter
//! of the process: that is in the policy ([`crate::policy`]).
//!
//! A relative path is relative to the directory of the configuration file, so a directory made
//! with `init --dir` can be moved as a whole.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sealsum_attest::ids::Fleet;
use sealsum_daemon::{Failure, Program, config};
use serde::{Deserialize, Serialize};

use crate::ca::vault::VaultConfig;

/// What the operator decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fleet: 1 to 63 of `[a-z0-9.-]`, in every certificate.
    pub fleet: Fleet,
    /// Keys, certificates and the registry.
    pub state_dir: PathBuf,
    /// Where admin commands reach the running authority.
    pub socket: PathBuf,
    /// Where devices and aggregators reach it (TLS).
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// DNS names and addresses that its certificate is good for, besides the one it listens on.
    #[serde(default = "default_names")]
    pub names: Vec<String>,
    /// `/livez`, `/readyz` and `/metrics`.
    #[serde(default)]
    pub health: Health,
    /// How many may enrol at a time.
    #[serde(default)]
    pub enrolment: Enrolment,
    /// Who signs certificates.
    #[serde(default)]
    pub ca: CaConfig,
}

/// Who signs certificates.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CaConfig {
    /// This program, with a key file of its own.
    #[default]
    BuiltIn,
    /// Vault's or OpenBao's PKI.
    Vault(Box<VaultConfig>),
}

/// The plain HTTP endpoint for the machine itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// A loopback address, normally.
    #[serde(default = "default_health_listen")]
    pub listen: SocketAddr,
}

/// How many may enrol at a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Open enrolments of one address.
    #[serde(default = "default_sessions_per_address")]
    pub sessions_per_address: usize,
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// `file_not_found`, `config_unknown_key`, `config_invalid`.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let mut loaded: Self = config::load(Program::Authority, path)?;
        loaded.check(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        for written in [&mut loaded.state_dir, &mut loaded.socket] {
            // By components, so that no `/./` is left.
            *written = base.join(&*written).components().collect();
        }
        if let CaConfig::Vault(vault) = &mut loaded.ca {
            vault.resolve(base);
        }
        Ok(loaded)
    }

    fn check(&self, path: &Path) -> Result<(), Failure> {
        if self.enrolment.sessions_per_address == 0 {
            let why = "nobody could enrol";
            return Err(config::invalid(path, "enrolment.sessions_per_address", why, "write 64"));
        }
        if let CaConfig::Vault(vault) = &self.ca
            && let Err((key, why)) = vault.check()
        {
            let hint = "see \"The company's own PKI\" in docs/operating.md";
            return Err(config::invalid(path, key, why, hint));
        }
        Ok(())
    }

    /// DNS names for the authority's own certificate.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        self.names.iter().filter(|name| name.parse::<IpAddr>().is_err()).cloned().collect()
    }

    /// Addresses for the authority's own certificate.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> =
            self.names.iter().filter_map(|name| name.parse().ok()).collect();
        let own = self.listen.ip();
        if !own.is_unspecified() && !addresses.contains(&own) {
            addresses.push(own);
        }
        addresses
    }

    /// A file of the state directory.
    #[must_use]
    pub fn state_file(&self, file: StateFile) -> PathBuf {
        self.state_dir.join(file.name())
    }
}

/// The files of the state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFile {
    /// The CA's certificate; everybody pins it.
    CaCertificate,
    /// The key of the built-in CA.
    CaKey,
    /// The secret id for Vault that could be unwrapped only once.
    VaultSecretId,
    /// The key of the authority's own certificate; signs status lists and results too.
    ServerKey,
    /// The Ed25519 seed that signs the head of the log.
    LogKey,
    /// The public half, as a C2SP signed-note verifier key.
    LogVerifier,
    /// The registry.
    Registry,
}

impl StateFile {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaCertificate => "ca.pem",
            Self::CaKey => "ca.key",
            Self::VaultSecretId => "vault-secret-id",
            Self::ServerKey => "authority.key",
            Self::LogKey => "log.key",
            Self::LogVerifier => "log.vkey",
            Self::Registry => "registry.db",
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { listen: default_health_listen() }
    }
}

impl Default for Enrolment {
    fn default() -> Self {
        Self { sessions_per_address: default_sessions_per_address() }
    }
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8441).into()
}

fn default_health_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8451).into()
}

fn default_names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

const fn default_sessions_per_address() -> usize {
    64
}
