//! Requests to Vault's HTTP API: every time-out set, every failure sorted by what helps.

use std::fmt;
use std::time::Duration;

use sealsum_daemon::{Failure, codes, files, https, tls};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderValue, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::super::CaError;
use super::VaultConfig;
use super::secret::Secret;

const CONNECT: Duration = Duration::from_secs(3);
/// One request, from the first packet to the last.
const WHOLE: Duration = Duration::from_secs(5);
/// The longest answer that is read, bytes.
const ANSWER_LIMIT: u64 = 1 << 20;
/// As much of an error of Vault's as fits a line.
const REASON_LIMIT: usize = 300;

/// Why Vault did not do it.
#[derive(Debug)]
pub(super) enum Fault {
    /// Sealed, unreachable, a standby, overloaded: later it may.
    Transient(String),
    /// The token, the secret id or the token's policy is not good for this.
    Denied(String),
    /// The request cannot be fulfilled: a role or a path that does not exist, names that the role
    /// does not allow.
    Rejected(String),
}

impl Fault {
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }

    pub(super) fn into_error(self, doing: &str) -> CaError {
        match self {
            Self::Transient(why) => CaError::Unavailable(why),
            Self::Denied(why) | Self::Rejected(why) => CaError::Refused(format!("{doing}: {why}")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Transient(why) | Self::Denied(why) | Self::Rejected(why)) = self;
        f.write_str(why)
    }
}

/// A Vault server. Has no `Debug`: the namespace is nobody's business, tokens even less.
pub(super) struct Client {
    agent: ureq::Agent,
    base: String,
    namespace: Option<String>,
}

impl Client {
    pub(super) fn new(config: &VaultConfig) -> Result<Self, Failure> {
        let name = config.tls_ca.display().to_string();
        let roots = tls::chain_from_pem(&files::read(&config.tls_ca, ANSWER_LIMIT)?, &name)?;
        let roots: Vec<_> =
            roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(tls::provider())
            .build();
        let settings = ureq::Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            // A redirect would take the token to wherever it points.
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("sealsum-authority/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WHOLE))
            .max_idle_age(Duration::from_secs(10))
            .build();
        Ok(Self {
            agent: settings.into(),
            base: format!("{}/v1", config.url.trim_end_matches('/')),
            namespace: config.namespace.clone(),
        })
    }

    /// One request; the answer's body if it went well.
    pub(super) fn call(
        &self,
        method: &'static str,
        path: &str,
        token: Option<&Secret>,
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let request = self.request(method, path, token)?;
        let answer = match method {
            "GET" => self.agent.run(request.body(()).map_err(unsendable)?),
            _ => self.agent.run(request.body(body).map_err(unsendable)?),
        };
        let mut answer = answer.map_err(|error| self.unreached(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec();
        let body = Zeroizing::new(body.map_err(|error| self.unreached(&error))?);
        match status {
            200 | 204 => Ok(body),
            status => Err(fault(&self.base, status, &body)),
        }
    }

    fn request(
        &self,
        method: &'static str,
        path: &str,
        token: Option<&Secret>,
    ) -> Result<ureq::http::request::Builder, Fault> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header("content-type", "application/json")
            .header("x-vault-request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|_| Fault::Denied("the token of Vault is not one word".into()))?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        Ok(request)
    }

    fn unreached(&self, error: &ureq::Error) -> Fault {
        let target = format!("Vault {}", self.base.trim_end_matches("/v1"));
        let failure = https::failure(&target, error);
        Fault::Transient(failure.message)
    }
}

fn unsendable(error: ureq::http::Error) -> Fault {
    Fault::Rejected(format!("the request to Vault cannot be sent: {error}"))
}

/// Reads a successful answer.
pub(super) fn parse<A: DeserializeOwned>(body: &[u8]) -> Result<A, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Fault::Rejected(format!("an answer of Vault's cannot be read: {error}")))
}

/// Sorts an HTTP status. Sealed is 503, standby 307, 429, 472 or 473, a wrong token 403, an
/// unknown role 400, an unknown path 404.
fn fault(base: &str, status: u16, body: &[u8]) -> Fault {
    let text = format!("Vault {}: {}", base.trim_end_matches("/v1"), reason(status, body));
    match status {
        401 | 403 => Fault::Denied(text),
        307 | 408 | 412 | 425 | 429 | 472 | 473 | 500.. => Fault::Transient(text),
        _ => Fault::Rejected(text),
    }
}

/// Vault's own words, on one line.
fn reason(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|found| found.errors.join("; "));
    let text: String = errors
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(REASON_LIMIT)
        .collect();
    if text.is_empty() { format!("status {status}") } else { format!("{text} ({status})") }
}

/// The certificate of the CA that signs at this mount (`GET MOUNT/ca/pem`, open to everybody).
///
/// # Errors
/// `unreachable` and `tls`; `config_invalid` if there is no CA at the mount.
pub fn issuing_ca(config: &VaultConfig) -> Result<String, Failure> {
    let path = format!("{}/ca/pem", config.mount);
    let answer = Client::new(config)?.call("GET", &path, None, &[]).map_err(|fault| {
        let code = if fault.is_transient() { codes::UNREACHABLE } else { codes::CONFIG_INVALID };
        Failure::new(
            code,
            fault.to_string(),
            "check ca.url, ca.tls_ca, ca.mount and that Vault is unsealed",
        )
    })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16) -> &'static str {
        match fault("https://v/v1", status, br#"{"errors":["one\n * two"]}"#) {
            Fault::Transient(_) => "transient",
            Fault::Denied(_) => "denied",
            Fault::Rejected(_) => "rejected",
        }
    }

    #[test]
    fn a_status_is_sorted_by_what_helps() {
        for status in [503, 500, 502, 429, 472, 473, 307, 412] {
            assert_eq!(kind(status), "transient", "{status}");
        }
        assert_eq!((kind(403), kind(401)), ("denied", "denied"));
        assert_eq!((kind(400), kind(404), kind(405)), ("rejected", "rejected", "rejected"));
    }

    #[test]
    fn vaults_words_fit_a_line() {
        let fault = fault("https://v:8200/v1", 400, br#"{"errors":["one\n * two","three"]}"#);
        assert_eq!(fault.to_string(), "Vault https://v:8200: one * two; three (400)");
        let long = format!(r#"{{"errors":["{}"]}}"#, "x".repeat(5000));
        assert!(reason(400, long.as_bytes()).len() < 320);
        assert_eq!(reason(502, b"<html>"), "status 502");
    }
}
