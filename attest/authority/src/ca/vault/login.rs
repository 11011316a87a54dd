//! A token for Vault: from AppRole or a file, kept alive, got anew when it is lost.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealsum_attest::hex;
use sealsum_daemon::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::client::{Client, Fault, parse};
use super::secret::Secret;
use super::{Answer, AppRole, VaultConfig};

/// Where tokens come from, and the one in use.
pub(super) struct Login {
    source: Source,
    current: Mutex<Option<Secret>>,
}

enum Source {
    /// A file that somebody else writes.
    File(String),
    AppRole(AppRole, Unwrapped),
}

impl Login {
    pub(super) fn new(config: &VaultConfig, unwrapped: PathBuf) -> Self {
        let source = match (&config.token, &config.approle) {
            (_, Some(approle)) => Source::AppRole(approle.clone(), Unwrapped { path: unwrapped }),
            (token, None) => Source::File(token.clone().unwrap_or_default()),
        };
        Self { source, current: Mutex::new(None) }
    }

    /// The token in use, or a new one.
    pub(super) fn token(&self, client: &Client) -> Result<Secret, Fault> {
        let mut current = self.lock();
        if let Some(token) = &*current {
            return Ok(token.clone());
        }
        let token = match &self.source {
            Source::File(source) => Secret::read(source).map_err(unreadable)?,
            Source::AppRole(approle, unwrapped) => log_in(client, approle, unwrapped)?,
        };
        *current = Some(token.clone());
        Ok(token)
    }

    /// Has `token` replaced the next time one is needed.
    pub(super) fn forget(&self, token: &Secret) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| current.is(token)) {
            *current = None;
        }
    }

    /// Asks Vault about the token, with a new one if it is no longer good, and renews it when a
    /// third of its life is over.
    pub(super) fn keep_alive(&self, client: &Client) -> Result<(), Fault> {
        let (token, state) = match self.look_up(client) {
            Err(Fault::Denied(_)) => self.look_up(client)?,
            other => other?,
        };
        if !state.is_due() {
            return Ok(());
        }
        let renewed = if state.renewable { renew(client, &token)? } else { 0 };
        // Near the end of the longest life that it may have, renewing it adds little.
        if renewed < state.creation_ttl / 2 {
            self.forget(&token);
        }
        Ok(())
    }

    fn look_up(&self, client: &Client) -> Result<(Secret, TokenState), Fault> {
        let token = self.token(client)?;
        let answer = client.call("GET", "auth/token/lookup-self", Some(&token), &[]);
        let answer = answer.inspect_err(|fault| {
            if matches!(fault, Fault::Denied(_)) {
                self.forget(&token);
            }
        })?;
        let state: Answer<TokenState> = parse(&answer)?;
        Ok((token, state.data))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Secret>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `lookup-self` says; seconds.
#[derive(Deserialize)]
struct TokenState {
    /// Left; 0 for a token that never ends.
    ttl: u64,
    creation_ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl TokenState {
    const fn is_due(&self) -> bool {
        self.ttl > 0 && self.ttl < self.creation_ttl / 3 * 2
    }
}

#[derive(Deserialize)]
struct Granted {
    auth: Token,
}

#[derive(Deserialize)]
struct Token {
    client_token: Secret,
    lease_duration: u64,
}

/// Gives the seconds that it is now good for.
fn renew(client: &Client, token: &Secret) -> Result<u64, Fault> {
    let answer = client.call("POST", "auth/token/renew-self", Some(token), b"{}")?;
    let renewed: Granted = parse(&answer)?;
    tracing::debug!(seconds = renewed.auth.lease_duration, "token of Vault renewed");
    Ok(renewed.auth.lease_duration)
}

fn log_in(client: &Client, approle: &AppRole, unwrapped: &Unwrapped) -> Result<Secret, Fault> {
    #[derive(Serialize)]
    struct Request<'a> {
        role_id: &'a str,
        secret_id: &'a Secret,
    }
    let given = Secret::read(&approle.secret_id).map_err(unreadable)?;
    let secret_id = match approle.wrapped {
        true => unwrapped.secret_id(client, approle, &given)?,
        false => given,
    };
    let body = json(&Request { role_id: &approle.role_id, secret_id: &secret_id })?;
    let path = format!("auth/{}/login", approle.mount);
    let answer = client.call("POST", &path, None, &body).map_err(|fault| match fault {
        // A wrong role id or secret id is 400 here.
        Fault::Rejected(why) => Fault::Denied(format!("AppRole log-in: {why}")),
        other => other,
    })?;
    let granted: Granted = parse(&answer)?;
    tracing::info!(seconds = granted.auth.lease_duration, "logged in to Vault");
    Ok(granted.auth.client_token)
}

/// A secret id that came response-wrapped: it can be unwrapped once, and is needed at every log-in.
struct Unwrapped {
    path: PathBuf,
}

/// The file it is kept in.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Which wrapping token it came in, so that a new one is noticed.
    wrapping_token_sha256: String,
    secret_id: Secret,
}

impl Unwrapped {
    fn secret_id(
        &self,
        client: &Client,
        approle: &AppRole,
        wrapping: &Secret,
    ) -> Result<Secret, Fault> {
        let digest = hex::encode(&Sha256::digest(wrapping.expose().as_bytes()));
        if let Some(kept) = read_kept(&self.path)
            && kept.wrapping_token_sha256 == digest
        {
            return Ok(kept.secret_id);
        }
        let secret_id = unwrap(client, approle, wrapping)?;
        let kept = Kept { wrapping_token_sha256: digest, secret_id };
        files::write_private(&self.path, &json(&kept)?).map_err(unreadable)?;
        Ok(kept.secret_id)
    }
}

fn read_kept(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&files::read_private(path, 64 * 1024).ok()?).ok()
}

/// Looks first where the wrapping token was made: one from elsewhere would hand us a secret id of
/// somebody else's choice.
fn unwrap(client: &Client, approle: &AppRole, wrapping: &Secret) -> Result<Secret, Fault> {
    #[derive(Serialize)]
    struct LookUp<'a> {
        token: &'a Secret,
    }
    #[derive(Deserialize)]
    struct Origin {
        creation_path: String,
    }
    #[derive(Deserialize)]
    struct Wrapped {
        secret_id: Secret,
    }
    let gone = |fault| match fault {
        Fault::Transient(_) => fault,
        other => Fault::Denied(format!(
            "the wrapped secret id is used up or expired; if nobody used it knowingly, revoke its \
             accessor and make a new one: {other}"
        )),
    };
    let body = json(&LookUp { token: wrapping })?;
    let answer = client.call("POST", "sys/wrapping/lookup", None, &body).map_err(gone)?;
    let origin: Answer<Origin> = parse(&answer)?;
    let path = &origin.data.creation_path;
    let made_here = path
        .strip_prefix(&format!("auth/{}/role/", approle.mount))
        .is_some_and(|rest| rest.ends_with("/secret-id"));
    if !made_here {
        return Err(Fault::Denied(format!("the wrapped secret id comes from {path}")));
    }
    let answer = client.call("POST", "sys/wrapping/unwrap", Some(wrapping), b"{}").map_err(gone)?;
    let wrapped: Answer<Wrapped> = parse(&answer)?;
    Ok(wrapped.data.secret_id)
}

fn json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    serde_json::to_vec(value)
        .map(Zeroizing::new)
        .map_err(|error| Fault::Rejected(format!("a request to Vault: {error}")))
}

fn unreadable(failure: sealsum_daemon::Failure) -> Fault {
    Fault::Denied(failure.to_string())
}
