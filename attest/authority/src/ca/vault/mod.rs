//! Vault's or OpenBao's PKI as the CA of a fleet.
//!
//! The certificate is made by `POST MOUNT/sign/ROLE` from the subject's own request, so that the
//! names a role allows are enforced there, whatever happens to this program. There is one role for
//! devices and one for servers. Nothing that comes back is used before [`check`] has accepted it.

mod client;
mod login;
mod secret;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealsum_attest::certificate::{FleetCa, Role, chain_from_pem};
use sealsum_attest::csr::requested_names;
use sealsum_attest::ids::Fleet;
use sealsum_daemon::Failure;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::check::{self, Wanted};
use super::{CLOCK_SKEW_S, CaError, Issued, Leaf, pem};
use client::{Client, Fault};
use login::Login;

pub use client::issuing_ca;

/// Everything that one request may take: less than a device waits for its answer.
const PATIENCE: Duration = Duration::from_secs(9);
/// Before a request is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// `[ca]` of the configuration with `kind = "vault"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// Its address, `https://host:8200`.
    pub url: String,
    /// Who vouches for its TLS certificate, PEM.
    pub tls_ca: PathBuf,
    /// The namespace, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Where the PKI is mounted.
    #[serde(default = "default_mount")]
    pub mount: String,
    /// The PKI role that signs devices.
    #[serde(default = "default_device_role")]
    pub device_role: String,
    /// The PKI role that signs the authority and aggregators.
    #[serde(default = "default_server_role")]
    pub server_role: String,
    /// File with a token that somebody else keeps valid, or `credential:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How this program gets a token for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approle: Option<AppRole>,
}

/// Log-in with a role and a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRole {
    /// Where AppRole is mounted.
    #[serde(default = "default_approle_mount")]
    pub mount: String,
    /// The role's id; no secret.
    pub role_id: String,
    /// File with the secret id, or `credential:NAME`.
    pub secret_id: String,
    /// Whether the file holds a wrapping token instead, to be unwrapped once.
    #[serde(default)]
    pub wrapped: bool,
}

impl VaultConfig {
    /// Checks what can be checked without asking.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let host = self.url.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            return Err(("ca.url", "is not https://host:port"));
        }
        let paths = [
            ("ca.mount", &self.mount),
            ("ca.device_role", &self.device_role),
            ("ca.server_role", &self.server_role),
        ];
        let approle = self.approle.as_ref().map(|approle| ("ca.approle.mount", &approle.mount));
        for (key, path) in paths.into_iter().chain(approle) {
            if !is_path(path) {
                return Err((key, "is not a path of [A-Za-z0-9._-] and /"));
            }
        }
        match (&self.token, &self.approle) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err(("ca", "needs either token or [ca.approle]")),
        }
    }

    /// Makes relative paths absolute, or relative to something else.
    pub fn resolve(&mut self, base: &std::path::Path) {
        self.tls_ca = base.join(&self.tls_ca);
        let approle = self.approle.as_mut().map(|approle| &mut approle.secret_id);
        for source in self.token.iter_mut().chain(approle) {
            if !source.starts_with("credential:") {
                *source = base.join(&*source).to_string_lossy().into_owned();
            }
        }
    }

    fn role(&self, role: &Role) -> &str {
        match role {
            Role::Device(_) => &self.device_role,
            Role::Aggregator(_) | Role::Authority => &self.server_role,
        }
    }
}

fn is_path(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(allowed))
}

/// The PKI of one Vault, logged in when needed.
pub struct Vault {
    config: VaultConfig,
    fleet: Fleet,
    trust: FleetCa,
    client: Client,
    login: Login,
    health: Mutex<Health>,
}

/// What the last exchange showed.
#[derive(Default)]
struct Health {
    problem: Option<String>,
    /// It does not answer at all: not worth keeping another request waiting.
    down: bool,
}

impl Vault {
    /// For `fleet`, whose devices pin the CA certificates `trust`. Does not ask Vault yet;
    /// `unwrapped` is where a secret that could be unwrapped once only is kept.
    ///
    /// # Errors
    /// For a TLS CA file that cannot be used.
    pub fn new(
        config: VaultConfig,
        fleet: Fleet,
        trust: FleetCa,
        unwrapped: PathBuf,
    ) -> Result<Self, Failure> {
        let client = Client::new(&config)?;
        let login = Login::new(&config, unwrapped);
        Ok(Self { config, fleet, trust, client, login, health: Mutex::default() })
    }

    /// Has the subject's request signed, and checks what comes back.
    ///
    /// # Errors
    /// [`CaError::Names`] if the request does not ask for exactly the names of `leaf`;
    /// [`CaError::Unavailable`]; [`CaError::Refused`] naming the role.
    pub fn issue(
        &self,
        leaf: &Leaf,
        csr: &[u8],
        lifetime_s: u64,
        now: Timestamp,
    ) -> Result<Issued, CaError> {
        self.check_names(leaf, csr)?;
        if let Health { problem: Some(problem), down: true } = &*self.lock() {
            return Err(CaError::Unavailable(problem.clone()));
        }
        let role = self.config.role(&leaf.role);
        let path = format!("{}/sign/{role}", self.config.mount);
        let ttl_s = lifetime_s.saturating_sub(CLOCK_SKEW_S).max(1);
        let signed: Answer<Signed> = self
            .authorised("POST", &path, &SignRequest::new(csr, ttl_s))
            .and_then(|answer| client::parse(&answer))
            .map_err(|fault| fault.into_error(&format!("role {role}")))?;
        let wanted = Wanted { leaf, fleet: &self.fleet, lifetime_s, trust: &self.trust };
        let chain = chain_from_pem(&signed.data.certificate);
        let der = chain.map_err(|error| error.to_string()).map(|mut chain| chain.swap_remove(0));
        der.and_then(|der| check::accept(&der, &wanted, now)).map_err(|why| {
            CaError::Refused(format!("Vault's role {role} made a certificate that is wrong: {why}"))
        })
    }

    /// The role must find in the request what the authority found in the evidence.
    fn check_names(&self, leaf: &Leaf, csr: &[u8]) -> Result<(), CaError> {
        let names = requested_names(csr).map_err(|error| CaError::Names(error.to_string()))?;
        let own = leaf.names(&self.fleet);
        if names == own {
            return Ok(());
        }
        let list = |names: &std::collections::BTreeSet<String>| {
            names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        Err(CaError::Names(format!(
            "it asks for the names [{}], not for [{}], which the CA of this fleet takes from it",
            list(&names.uris),
            list(&own.uris)
        )))
    }

    /// Withdraws a certificate, so that Vault's CRL and OCSP say it too. Done twice, it is done.
    ///
    /// # Errors
    /// [`CaError::Unavailable`] or [`CaError::Refused`].
    pub fn revoke(&self, serial: &[u8]) -> Result<(), CaError> {
        #[derive(Serialize)]
        struct Request {
            serial_number: String,
        }
        let request = Request { serial_number: serial_number(serial) };
        let path = format!("{}/revoke", self.config.mount);
        self.authorised("POST", &path, &request)
            .map(|_| ())
            .map_err(|fault| fault.into_error("revocation"))
    }

    /// Looks whether Vault answers and the token is good, and renews the token when it is due.
    pub fn maintain(&self) {
        let outcome = self.login.keep_alive(&self.client);
        let health = match outcome {
            Ok(()) => Health::default(),
            Err(fault) => Health { problem: Some(fault.to_string()), down: fault.is_transient() },
        };
        let before = std::mem::replace(&mut *self.lock(), health);
        match (before.problem, self.problem()) {
            (None, Some(problem)) => tracing::error!(problem, "the CA cannot sign"),
            (Some(_), None) => tracing::info!("the CA can sign again"),
            _ => {}
        }
    }

    /// Why it cannot sign at the moment, if it cannot.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// One request with a token: again for as long as there is patience if nobody answers, and
    /// with a new token if this one is no longer good.
    fn authorised(
        &self,
        method: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let body = serde_json::to_vec(body).map_err(|error| Fault::Rejected(error.to_string()))?;
        let (until, mut pause) = (Instant::now() + PATIENCE, FIRST_PAUSE);
        let mut fresh_token = false;
        loop {
            let attempt = self.login.token(&self.client).and_then(|token| {
                self.client.call(method, path, Some(&token), &body).inspect_err(|fault| {
                    if matches!(fault, Fault::Denied(_)) {
                        self.login.forget(&token);
                    }
                })
            });
            match attempt {
                Err(Fault::Denied(_)) if !std::mem::replace(&mut fresh_token, true) => {}
                Err(fault) if fault.is_transient() && Instant::now() + pause < until => {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(fault) => {
                    if fault.is_transient() {
                        *self.lock() = Health { problem: Some(fault.to_string()), down: true };
                    }
                    return Err(fault);
                }
                Ok(answer) => return Ok(answer),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Vault wraps every answer.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Serialize)]
struct SignRequest {
    csr: String,
    ttl: String,
    format: &'static str,
    /// Otherwise a common name becomes a DNS name.
    exclude_cn_from_sans: bool,
}

impl SignRequest {
    fn new(csr: &[u8], ttl_s: u64) -> Self {
        let csr = pem("CERTIFICATE REQUEST", csr);
        Self { csr, ttl: format!("{ttl_s}s"), format: "pem", exclude_cn_from_sans: true }
    }
}

#[derive(Deserialize)]
struct Signed {
    certificate: String,
}

/// As Vault writes it: the number's bytes in hex, colons between.
fn serial_number(serial: &[u8]) -> String {
    let significant = serial.iter().skip_while(|byte| **byte == 0);
    significant.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn default_mount() -> String {
    "pki".into()
}

fn default_device_role() -> String {
    "sealsum-device".into()
}

fn default_server_role() -> String {
    "sealsum-server".into()
}

fn default_approle_mount() -> String {
    "approle".into()
}

#[cfg(test)]
mod tests;
