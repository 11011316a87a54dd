//! `init`: the keys, the CA certificate, the registry, the policy and the configuration of a new
//! fleet.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealsum_attest::events::{Event, authority_log};
use sealsum_attest::hex;
use sealsum_attest::ids::Fleet;
use sealsum_daemon::{Failure, codes, files};
use sealsum_log::key::LogKey;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ca::vault::VaultConfig;
use crate::ca::{self, CaError, builtin};
use crate::config::{CaConfig, StateFile};
use crate::keys::ServerKey;
use crate::log;
use crate::policy::{self, PolicySource, certificates_at};
use crate::store::Store;

/// State of a packaged installation.
const PACKAGED_STATE: &str = "/var/lib/sealsum-authority";

/// Where the copies of the TPM roots lie, beside the configuration.
const ROOTS_DIRECTORY: &str = "tpm-roots";

/// The policy, beside the configuration.
const POLICY_FILE: &str = "policy.toml";

/// What `init` made.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    /// The fleet.
    pub fleet: Fleet,
    /// SHA-256 of the CA certificate, hex: what devices are told to expect.
    pub ca_sha256: String,
    /// The configuration file.
    pub config: PathBuf,
    /// The policy that was put in force.
    pub policy: PathBuf,
    /// The CA certificate.
    pub ca: PathBuf,
    /// The verifier key of the log.
    pub log_vkey: PathBuf,
    /// How many TPM root certificates are installed.
    pub tpm_roots: usize,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fleet           {}", self.fleet)?;
        writeln!(f, "CA fingerprint  {}", self.ca_sha256)?;
        writeln!(f, "CA certificate  {}", self.ca.display())?;
        writeln!(f, "log verifier    {}", self.log_vkey.display())?;
        writeln!(f, "configuration   {}", self.config.display())?;
        writeln!(f, "policy          {}", self.policy.display())?;
        write!(f, "TPM roots       {}", self.tpm_roots)?;
        if self.tpm_roots == 0 {
            write!(f, " (no device can enrol; name some in the policy and apply it)")?;
        }
        Ok(())
    }
}

/// Who signs the certificates of a new fleet.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A key that `init` makes.
    BuiltIn,
    /// Vault's or OpenBao's PKI, and the CA certificate (DER) that devices will pin.
    Vault(Box<VaultConfig>, Vec<u8>),
}

/// Sets up a fleet with the built-in CA.
///
/// # Errors
/// As [`init_under`].
pub fn init(
    config_path: &Path,
    dir: Option<&Path>,
    fleet: Fleet,
    tpm_roots: &[PathBuf],
    now: Timestamp,
) -> Result<Created, Failure> {
    init_under(&Signer::BuiltIn, config_path, dir, fleet, tpm_roots, now)
}

/// Sets up a fleet. With `dir`, everything goes inside it; otherwise the configuration goes to
/// `config_path` and the state to its packaged place. The TPM roots go into a policy beside the
/// configuration, which is put in force.
///
/// # Errors
/// `file_exists` if there is a configuration already; `file_format` for a root that is no
/// certificate; `file_write`.
pub fn init_under(
    signer: &Signer,
    config_path: &Path,
    dir: Option<&Path>,
    fleet: Fleet,
    tpm_roots: &[PathBuf],
    now: Timestamp,
) -> Result<Created, Failure> {
    refuse_existing(config_path)?;
    let beside = config_path.parent().unwrap_or(Path::new(""));
    let (state_dir, written_state) = match dir {
        Some(dir) => (dir.to_owned(), PathBuf::from(".")),
        None => (PathBuf::from(PACKAGED_STATE), PathBuf::from(PACKAGED_STATE)),
    };
    let roots = read_roots(tpm_roots)?;
    files::create_private_dir(&state_dir)?;
    files::create_private_dir(beside)?;
    copy_roots(beside, &roots)?;
    let policy_path = beside.join(POLICY_FILE);
    let source = PolicySource::new(policy_text(!roots.is_empty()), &policy_path)?;
    files::create(&policy_path, source.text.as_bytes(), files::PUBLIC)?;
    let ca_sha256 = create_keys(&state_dir, &fleet, signer, now)?;
    create_registry(&state_dir, &fleet, &ca_sha256, source, now)?;
    // Last: a directory with a configuration is a complete one.
    let text = configuration(&fleet, &written_state) + &ca_section(signer)?;
    files::create(config_path, text.as_bytes(), files::PUBLIC)?;
    Ok(Created {
        fleet,
        ca_sha256,
        config: config_path.to_owned(),
        policy: policy_path,
        ca: in_state(&state_dir, StateFile::CaCertificate),
        log_vkey: in_state(&state_dir, StateFile::LogVerifier),
        tpm_roots: roots.len(),
    })
}

fn refuse_existing(config_path: &Path) -> Result<(), Failure> {
    if !config_path.exists() {
        return Ok(());
    }
    Err(Failure::new(
        codes::FILE_EXISTS,
        format!("{}: this authority is set up already", config_path.display()),
        "another --dir, or sealsum-authority run",
    ))
}

fn read_roots(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut roots = Vec::new();
    for path in paths {
        let found = certificates_at(path)?;
        if found.is_empty() {
            return Err(Failure::new(
                codes::FILE_NOT_FOUND,
                format!("{}: holds no certificate", path.display()),
                "give the TPM vendor's root certificates",
            ));
        }
        roots.extend(found);
    }
    Ok(roots)
}

/// Copies the roots, so that the policy and what it names can be kept together.
fn copy_roots(beside: &Path, roots: &[Vec<u8>]) -> Result<(), Failure> {
    if roots.is_empty() {
        return Ok(());
    }
    let directory = beside.join(ROOTS_DIRECTORY);
    files::create_private_dir(&directory)?;
    for root in roots {
        let name = format!("{}.der", &hex::encode(&Sha256::digest(root))[..16]);
        files::write_public(&directory.join(name), root)?;
    }
    Ok(())
}

/// Writes all keys and returns the fingerprint of the CA.
fn create_keys(
    state: &Path,
    fleet: &Fleet,
    signer: &Signer,
    now: Timestamp,
) -> Result<String, Failure> {
    let log_seed = LogKey::draw_seed().map_err(|error| not_created(error.into()))?;
    let log_key = LogKey::from_seed(&authority_log(fleet), log_seed.as_ref())
        .ok_or_else(|| not_created(CaError::Files("log.key".into())))?;
    let server_key = ServerKey::draw().map_err(not_created)?;
    let secret = |file, bytes: &[u8]| files::create(&in_state(state, file), bytes, files::PRIVATE);
    let public = |file, bytes: &[u8]| files::create(&in_state(state, file), bytes, files::PUBLIC);
    let certificate = match signer {
        Signer::BuiltIn => {
            let ca = builtin::create(fleet, now).map_err(not_created)?;
            secret(StateFile::CaKey, ca.key_pem.as_bytes())?;
            ca.certificate_der
        }
        Signer::Vault(_, certificate) => certificate.clone(),
    };
    secret(StateFile::ServerKey, server_key.as_bytes())?;
    secret(StateFile::LogKey, log_seed.as_ref())?;
    public(StateFile::LogVerifier, format!("{}\n", log_key.verifier()).as_bytes())?;
    public(StateFile::CaCertificate, ca::pem("CERTIFICATE", &certificate).as_bytes())?;
    Ok(ca_fingerprint(&certificate))
}

/// SHA-256 of a CA certificate, hex.
#[must_use]
pub fn ca_fingerprint(der: &[u8]) -> String {
    hex::encode(&Sha256::digest(der))
}

fn create_registry(
    state: &Path,
    fleet: &Fleet,
    ca_sha256: &str,
    source: PolicySource,
    now: Timestamp,
) -> Result<(), Failure> {
    let policy = source.policy(Path::new(POLICY_FILE))?;
    let store = Store::open(&in_state(state, StateFile::Registry))?;
    let event =
        Event::AuthorityCreated { fleet: fleet.to_string(), ca_sha256: ca_sha256.to_owned() };
    store.write("create_authority", |tx| {
        log::append(tx, now.as_second(), &event)?;
        policy::record(tx, &policy, source, Some(sealsum_daemon::own_uid()), now)
    })?;
    Ok(())
}

fn in_state(state: &Path, file: StateFile) -> PathBuf {
    state.join(file.name())
}

fn not_created(error: CaError) -> Failure {
    Failure::bug(format!("init: {error}"))
}

/// `[ca]`, if it is not what there is without it.
fn ca_section(signer: &Signer) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Section {
        ca: CaConfig,
    }
    let Signer::Vault(vault, _) = signer else { return Ok(String::new()) };
    let section = Section { ca: CaConfig::Vault(vault.clone()) };
    let text = toml::to_string(&section).map_err(|error| Failure::bug(format!("[ca]: {error}")))?;
    Ok(format!("\n# Who signs certificates.\n{text}"))
}

fn configuration(fleet: &Fleet, state_dir: &Path) -> String {
    let quoted = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned()).to_string();
    format!(
        r#"# Written by `sealsum-authority init`. Relative paths are relative to this file.
# Which devices may join is in {POLICY_FILE}: `sealsum-authority policy apply {POLICY_FILE}`.
fleet = "{fleet}"
state_dir = {state_dir}
socket = {socket}
listen = "127.0.0.1:8441"
# What devices and the aggregator call this machine; goes into its certificate.
names = ["localhost", "127.0.0.1", "::1"]

[health]
listen = "127.0.0.1:8451"
"#,
        state_dir = quoted(state_dir),
        socket = quoted(&state_dir.join("admin.sock")),
    )
}

fn policy_text(with_roots: bool) -> String {
    let roots = if with_roots { format!("\"{ROOTS_DIRECTORY}\"") } else { String::new() };
    format!(
        r#"# Which devices may join. Written by `sealsum-authority init`; keep it under version control.
# It is in force as it was last applied: `sealsum-authority policy check FILE`, then
# `sealsum-authority policy apply FILE`. Relative paths are relative to this file.

# Who vouches for TPMs: files or directories of certificates, PEM or DER.
tpm_roots = [{roots}]
# Who vouches for software TPMs, which prove nothing about hardware.
# PRODUCTION: remove this line and apply the policy.
software_tpm_roots = [{roots}]

ek_algorithm = "rsa2048"    # one for the fleet: rsa2048, p256 or p384
require = "token"           # or "allow-list", "token-or-allow-list", with allow = ["DEVICE ID"]
pcrs = [7]                  # of the SHA-256 bank; quoted at every enrolment and renewal
pcr_mode = "monitor"        # or "enforce"; `sealsum-authority policy baselines` prints the states
lifetime_s = 86400          # of certificates; at most a day, renewed at two thirds
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn init_in(dir: &Path) -> Result<Created, Failure> {
        let fleet = "demo".parse().unwrap();
        init(&dir.join("authority.toml"), Some(dir), fleet, &[], Timestamp::now())
    }

    #[test]
    fn what_is_written_can_be_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().join("deep/er");
        let created = init_in(&dir).unwrap();
        let config = Config::load(&created.config).unwrap();
        assert_eq!(config.fleet.as_str(), "demo");
        assert_eq!(
            config.state_file(StateFile::CaCertificate).canonicalize().unwrap(),
            created.ca.canonicalize().unwrap()
        );
        let policy = PolicySource::read(&created.policy).unwrap();
        assert!(policy.policy(&created.policy).unwrap().anchors().is_empty());
    }

    #[test]
    fn keys_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        init_in(directory.path()).unwrap();
        for file in [StateFile::CaKey, StateFile::ServerKey, StateFile::LogKey] {
            let path = in_state(directory.path(), file);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn a_fleet_under_vault_has_no_ca_key_and_pins_vaults_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let fleet: Fleet = "demo".parse().unwrap();
        let certificate = builtin::create(&fleet, Timestamp::now()).unwrap().certificate_der;
        let text = r#"
            url = "https://vault.example:8200"
            tls_ca = "/etc/ssl/vault.pem"
            [approle]
            role_id = "r"
            secret_id = "credential:vault-secret-id"
            wrapped = true
        "#;
        let vault: VaultConfig = toml::from_str(text).unwrap();
        let signer = Signer::Vault(Box::new(vault), certificate.clone());
        let (dir, path) = (directory.path(), directory.path().join("authority.toml"));
        let created = init_under(&signer, &path, Some(dir), fleet, &[], Timestamp::now()).unwrap();
        assert_eq!(created.ca_sha256, ca_fingerprint(&certificate));
        assert!(!in_state(dir, StateFile::CaKey).exists());
        let CaConfig::Vault(vault) = Config::load(&path).unwrap().ca else { panic!("built in") };
        assert_eq!((vault.mount.as_str(), vault.approle.unwrap().wrapped), ("pki", true));
    }

    #[test]
    fn a_fleet_is_never_set_up_over_another() {
        let directory = tempfile::tempdir().unwrap();
        let first = init_in(directory.path()).unwrap();
        assert_eq!(init_in(directory.path()).unwrap_err().code, codes::FILE_EXISTS);
        std::fs::remove_file(&first.config).unwrap();
        assert_eq!(init_in(directory.path()).unwrap_err().code, codes::FILE_EXISTS);
    }

    #[test]
    fn a_root_that_is_no_certificate_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root.pem");
        std::fs::write(&root, "not a certificate").unwrap();
        let dir = directory.path().join("authority");
        let failure = init(
            &dir.join("authority.toml"),
            Some(&dir),
            "demo".parse().unwrap(),
            &[root],
            Timestamp::now(),
        )
        .unwrap_err();
        assert_eq!(failure.code, codes::FILE_FORMAT);
        assert!(failure.message.contains("root.pem"), "{failure}");
        assert!(!dir.join("ca.key").exists());
    }
}
