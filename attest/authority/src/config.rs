//! `authority.toml`, and the files that `init` puts beside it.
//!
//! A relative path is relative to the directory of the configuration file, so a directory made
//! with `init --dir` can be moved as a whole.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sealsum_attest::certificate::chain_from_pem;
use sealsum_attest::endorsement::Anchors;
use sealsum_attest::ids::Fleet;
use sealsum_attest::policy::{EnrolmentPolicy, PolicyData};
use sealsum_daemon::{Failure, Program, codes, config, files};
use serde::Deserialize;
use x509_cert::der::Decode as _;

/// The largest file of TPM root certificates, bytes.
const ROOTS_LIMIT: u64 = 16 * 1024 * 1024;

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
    /// Who vouches for TPMs, and how many may enrol at a time.
    #[serde(default)]
    pub enrolment: Enrolment,
    /// Which evidence is good enough.
    #[serde(default)]
    pub policy: PolicyData,
}

/// The plain HTTP endpoint for the machine itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// A loopback address, normally.
    #[serde(default = "default_health_listen")]
    pub listen: SocketAddr,
}

/// Who vouches for TPMs, and how many may enrol at a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Files, or directories of files, with the certificates (PEM or DER) that endorsement key
    /// certificates must chain to. Without any, every device is refused.
    #[serde(default)]
    pub tpm_roots: Vec<PathBuf>,
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
        let own = [&mut loaded.state_dir, &mut loaded.socket];
        for written in own.into_iter().chain(&mut loaded.enrolment.tpm_roots) {
            // By components, so that no `/./` is left.
            *written = base.join(&*written).components().collect();
        }
        Ok(loaded)
    }

    fn check(&self, path: &Path) -> Result<(), Failure> {
        if self.enrolment.sessions_per_address == 0 {
            let why = "nobody could enrol";
            return Err(config::invalid(path, "enrolment.sessions_per_address", why, "write 64"));
        }
        Ok(())
    }

    /// The policy with these anchors, checked.
    ///
    /// # Errors
    /// `config_invalid` naming the key.
    pub fn policy(&self, tpm_roots: &[Vec<u8>]) -> Result<EnrolmentPolicy, Failure> {
        let invalid = |why: String| {
            let hint = "correct it in authority.toml";
            Failure::new(codes::CONFIG_INVALID, format!("policy: {why}"), hint)
        };
        let anchors = Anchors::from_der(tpm_roots).map_err(|error| invalid(error.to_string()))?;
        EnrolmentPolicy::new(self.policy.clone(), anchors)
            .map_err(|error| invalid(error.to_string()))
    }

    /// The certificates that endorsement key certificates must chain to, DER.
    ///
    /// # Errors
    /// `file_not_found` or `file_format`, naming the file.
    pub fn tpm_roots(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut roots = Vec::new();
        for path in &self.enrolment.tpm_roots {
            roots.extend(certificates_at(path)?);
        }
        Ok(roots)
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
    /// The CA's key.
    CaKey,
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
            Self::ServerKey => "authority.key",
            Self::LogKey => "log.key",
            Self::LogVerifier => "log.vkey",
            Self::Registry => "registry.db",
        }
    }
}

/// All certificates in a file (PEM or DER), or in the files of a directory.
///
/// # Errors
/// `file_not_found` or `file_format`, naming the file.
pub fn certificates_at(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    if !path.is_dir() {
        return certificates_in(path);
    }
    let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| {
            Failure::new(
                codes::FILE_NOT_FOUND,
                format!("{}: cannot be listed: {error}", path.display()),
                "check the path",
            )
        })?;
    inside.retain(|path| path.is_file());
    inside.sort();
    let mut certificates = Vec::new();
    for file in inside {
        certificates.extend(certificates_in(&file)?);
    }
    Ok(certificates)
}

fn certificates_in(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = files::read(path, ROOTS_LIMIT)?;
    if x509_cert::Certificate::from_der(&bytes).is_ok() {
        return Ok(vec![bytes]);
    }
    std::str::from_utf8(&bytes).ok().and_then(|text| chain_from_pem(text).ok()).ok_or_else(|| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: holds no X.509 certificate in PEM or DER", path.display()),
            "give the TPM vendor's root certificates",
        )
    })
}

impl Default for Health {
    fn default() -> Self {
        Self { listen: default_health_listen() }
    }
}

impl Default for Enrolment {
    fn default() -> Self {
        Self { tpm_roots: Vec::new(), sessions_per_address: default_sessions_per_address() }
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
