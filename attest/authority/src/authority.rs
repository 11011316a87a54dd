//! The authority: its records, its keys, its rules, and what is open at the moment.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rustls::pki_types::CertificateDer;
use sealsum_attest::certificate::{FleetCa, Role, chain_from_pem};
use sealsum_attest::events::authority_log;
use sealsum_attest::messages::Info;
use sealsum_attest::messages::PROTOCOL_VERSION;
use sealsum_attest::policy::EnrolmentPolicy;
use sealsum_attest::tlog::TreeHead;
use sealsum_attest::verify::AuthorityIdentity;
use sealsum_daemon::{Failure, codes, files, tls};
use sealsum_log::check;
use sealsum_log::key::LogKey;
use zeroize::Zeroizing;

use crate::ca::builtin::BuiltIn;
use crate::ca::vault::Vault;
use crate::ca::{Ca, CaError, Issued, Leaf};
use crate::config::{CaConfig, Config, StateFile};
use crate::keys::ServerKey;
use crate::log;
use crate::metrics::Metrics;
use crate::own::Own;
use crate::policy;
use crate::rate::{Comebacks, Limiter};
use crate::sessions::{Limits, Sessions};
use crate::store::{Counts, Store, StoreError, devices};
use crate::withdrawal;

/// The largest key or certificate file, bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// Enrolments and renewals open at a time.
const SESSIONS_MAX: usize = 4096;

/// Enrolments of one device open at a time, one from each address.
const SESSIONS_PER_DEVICE: usize = 8;

/// One fleet's authority. Its methods block; keep them off async threads.
pub struct Authority {
    pub(crate) config: Config,
    /// By which everything is judged that is not judged yet.
    pub(crate) policy: RwLock<Arc<EnrolmentPolicy>>,
    /// Held by who changes the policy. Nobody waits for the registry while holding `policy`.
    pub(crate) policy_change: Mutex<()>,
    pub(crate) store: Store,
    pub(crate) ca: Ca,
    pub(crate) enrolments: Sessions<crate::enrol::Open>,
    pub(crate) renewals: Sessions<crate::renew::Open>,
    pub(crate) rotations: Sessions<crate::rotate::Open>,
    pub(crate) limiter: Limiter,
    pub(crate) comebacks: Comebacks,
    pub(crate) metrics: Metrics,
    ca_der: Vec<u8>,
    server_key: ServerKey,
    pub(crate) log_key: LogKey,
    own: RwLock<Issued>,
    tls: tls::Identity,
}

/// Numbers for `status` and metrics.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Devices by state.
    pub devices: Counts,
    /// The log.
    pub log: TreeHead,
}

impl Authority {
    /// Opens the state that `init` made, verifies the log, and issues the authority's own
    /// certificate.
    ///
    /// # Errors
    /// `log_invalid` if the log was altered; `config_invalid`; `file_not_found`,
    /// `file_permissions` or `file_format` for a file of the state directory.
    pub fn open(config: Config, now: Timestamp) -> Result<Self, Failure> {
        let ca_der = read_ca_certificate(&config)?;
        let private = |file| files::read_private(&config.state_file(file), FILE_LIMIT);
        let ca = open_ca(&config, &ca_der)?;
        let server_key = ServerKey::from_pem(&private(StateFile::ServerKey)?)
            .map_err(|error| state_failure(&config, &error))?;
        let log_key =
            LogKey::from_seed(&authority_log(&config.fleet), &private(StateFile::LogKey)?)
                .ok_or_else(|| {
                    state_failure(&config, &CaError::Files("log.key: is not 32 bytes".into()))
                })?;
        let store = open_registry(&config, &log_key)?;
        let policy = policy::open(&store, now)?;
        let lifetime_s = policy.data().lifetime_s;
        let own = Own { config: &config, ca: &ca, key: &server_key, store: &store, lifetime_s };
        let own = own.first(now)?;
        let tls = tls::Identity::empty();
        let limits = Limits {
            per_address: config.enrolment.sessions_per_address,
            per_device: SESSIONS_PER_DEVICE,
            total: SESSIONS_MAX,
        };
        let authority = Self {
            enrolments: Sessions::new(limits),
            renewals: Sessions::new(limits),
            rotations: Sessions::new(limits),
            limiter: Limiter::default(),
            comebacks: Comebacks::default(),
            metrics: Metrics::default(),
            own: RwLock::new(own),
            config,
            policy: RwLock::new(Arc::new(policy)),
            policy_change: Mutex::new(()),
            store,
            ca,
            ca_der,
            server_key,
            log_key,
            tls,
        };
        authority.serve_own()?;
        Ok(authority)
    }

    /// Issues the authority's own next certificate and takes it into use.
    ///
    /// # Errors
    /// A [`Failure`] from the registry.
    pub fn renew_own(&self, now: Timestamp) -> Result<(), Failure> {
        let own = Own {
            config: &self.config,
            ca: &self.ca,
            key: &self.server_key,
            store: &self.store,
            lifetime_s: self.policy().data().lifetime_s,
        };
        let own = own.issue(now)?;
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
        self.serve_own()
    }

    /// When [`Authority::renew_own`] is due.
    #[must_use]
    pub fn own_renew_at(&self) -> Timestamp {
        self.own().renew_at()
    }

    /// The end of the authority's own certificate.
    #[must_use]
    pub fn own_not_after(&self) -> Timestamp {
        self.own().not_after
    }

    /// The certificate and key for the TLS server; renewed in place.
    #[must_use]
    pub fn tls_identity(&self) -> tls::Identity {
        self.tls.clone()
    }

    /// The CA certificate, DER: what client certificates chain to.
    #[must_use]
    pub fn ca_certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.ca_der.clone())
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<EnrolmentPolicy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What anybody may know.
    #[must_use]
    pub fn info(&self) -> Info {
        Info { fleet: self.config.fleet.clone(), protocol: PROTOCOL_VERSION }
    }

    /// Counts devices and log entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn summary(&self, now: Timestamp) -> Result<Summary, StoreError> {
        self.store.read(|view| {
            Ok(Summary { devices: devices::count(view, now.as_second())?, log: log::head(view)? })
        })
    }

    /// Whether the CA behind this authority can sign; if not, why.
    #[must_use]
    pub fn ca_problem(&self) -> Option<String> {
        self.ca.problem()
    }

    /// Stays logged in at the CA behind this authority, if there is one, and passes revocations on.
    ///
    /// # Errors
    /// A [`Failure`] from the registry.
    pub fn keep_ca(&self, now: Timestamp) -> Result<(), Failure> {
        if let Some(ca) = self.ca.external() {
            ca.maintain();
        }
        if self.ca.problem().is_none() {
            withdrawal::pass_on(self, now)?;
        }
        Ok(())
    }

    /// Has the CA sign a leaf for the request `csr`, whose signature was verified.
    pub(crate) fn issue(&self, leaf: &Leaf, csr: &[u8], now: Timestamp) -> Result<Issued, Failure> {
        Ok(self.ca.issue(leaf, csr, self.policy().data().lifetime_s, now)?)
    }

    /// The URI in the authority's certificate.
    pub(crate) fn uri(&self) -> String {
        Role::Authority.uri(&self.config.fleet)
    }

    pub(crate) fn identity(&self) -> AuthorityIdentity {
        AuthorityIdentity { id: self.uri(), spki_sha256: self.own().spki_sha256 }
    }

    /// What goes with everything that the authority signs.
    pub(crate) fn own_chain(&self) -> Vec<Vec<u8>> {
        vec![self.own().der]
    }

    /// ECDSA P-256 with SHA-256 by the key of the authority's certificate: r and s.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], CaError> {
        self.server_key.sign(message)
    }

    fn own(&self) -> Issued {
        self.own.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve_own(&self) -> Result<(), Failure> {
        let broken = |error: rustls::Error| Failure::bug(format!("own certificate: {error}"));
        let key = tls::signing_key(self.server_key.for_tls()).map_err(broken)?;
        self.tls.replace(vec![self.own().der.into()], key).map_err(broken)
    }
}

/// A generator for one session's secrets, seeded by the operating system.
pub(crate) fn generator() -> Result<ChaCha20Rng, CaError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

/// Runs blocking work of a request on a thread for it.
///
/// # Errors
/// Whatever `work` returns; `bug` if it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    authority: &Arc<Authority>,
    work: impl FnOnce(&Authority) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let authority = Arc::clone(authority);
    tokio::task::spawn_blocking(move || work(&authority))
        .await
        .map_err(|error| Failure::bug(format!("a request ended early: {error}")))?
}

fn read_ca_certificate(config: &Config) -> Result<Vec<u8>, Failure> {
    let path = config.state_file(StateFile::CaCertificate);
    let pem = files::read_text(&path, FILE_LIMIT)?;
    let mut chain = chain_from_pem(&pem)
        .map_err(|error| state_failure(config, &CaError::Files(format!("ca.pem: {error}"))))?;
    Ok(chain.swap_remove(0))
}

fn open_ca(config: &Config, certificate: &[u8]) -> Result<Ca, Failure> {
    let failed = |error: CaError| state_failure(config, &error);
    let fleet = config.fleet.clone();
    match &config.ca {
        CaConfig::BuiltIn => {
            let key = files::read_private(&config.state_file(StateFile::CaKey), FILE_LIMIT)?;
            let ca = BuiltIn::open(fleet, certificate, &text(&key)?).map_err(failed)?;
            Ok(Ca::BuiltIn(Box::new(ca)))
        }
        CaConfig::Vault(vault) => {
            let trust = FleetCa::from_der(&[certificate.to_owned()])
                .map_err(|error| failed(CaError::Files(format!("ca.pem: {error}"))))?;
            let unwrapped = config.state_file(StateFile::VaultSecretId);
            let vault = Vault::new(
                vault.as_ref().clone(),
                fleet.clone(),
                trust.for_fleet(fleet),
                unwrapped,
            )?;
            Ok(Ca::Vault(Box::new(vault)))
        }
    }
}

fn text(bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    std::str::from_utf8(bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| {
        Failure::new(codes::FILE_FORMAT, "ca.key: is not PEM", "restore it from a backup")
    })
}

pub(crate) fn state_failure(config: &Config, error: &CaError) -> Failure {
    let directory = config.state_dir.display();
    Failure::new(
        codes::FILE_FORMAT,
        format!("{directory}: {error}"),
        "restore the directory from a backup",
    )
}

fn open_registry(config: &Config, log_key: &LogKey) -> Result<Store, Failure> {
    let path = config.state_file(StateFile::Registry);
    let store = Store::open(&path).map_err(|error| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {error}", path.display()),
            "restore it from a backup",
        )
    })?;
    store.write("check_log", |tx| Ok::<_, StoreError>(check::at_start(tx, log_key)?))?;
    Ok(store)
}
