//! This device as its TPM and its authority know it.
//!
//! One file, `identity.json`, holds what the TPM gave out for safe keeping and what the authority
//! answered to it, so that keys and certificate always belong together.

use std::sync::Arc;

use jiff::Timestamp;
use sealsum_attest::certificate::{self, FleetCa, Role};
use sealsum_attest::ids::{DeviceId, Fleet};
use sealsum_attest::messages::EnrolGrant;
use sealsum_attest_tpm::{Identity, IdentityState, Tpm, TpmError, Vault};
use sealsum_daemon::codes::{self, Code};
use sealsum_daemon::tls::{self, RoleCheck};
use sealsum_daemon::{Failure, files};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::state::StateDir;
use crate::upstream::Upstream;

const FILE: &str = "identity.json";
/// Longest file of CA certificates.
const CA_MAX: u64 = 1 << 20;
/// Check of the refusal table: a state directory copied to another TPM.
const CLONED_STATE: &str = "44";

/// `identity.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The keys, none of them readable without this TPM.
    pub keys: IdentityState,
    /// The identity the authority computed from the endorsement key.
    pub device: DeviceId,
    /// The fleet.
    pub fleet: Fleet,
    /// Counts enrolments of this endorsement key, from 1.
    pub epoch: u64,
    /// The certificate chain, PEM, leaf first.
    pub certificate: String,
    /// The attestation result.
    pub result_jwt: String,
    /// Row of the authority's log that records the issuance.
    pub log_index: u64,
    /// When to renew.
    pub renew_at: Timestamp,
    /// When the device enrolled, as opposed to renewed.
    pub enrolled_at: Timestamp,
    /// When a renewal last replaced its keys; null if none did since.
    #[serde(default)]
    pub rotated_at: Option<Timestamp>,
}

impl Stored {
    /// Reads the file; `None` if the device never enrolled.
    ///
    /// # Errors
    /// As [`StateDir::read`].
    pub fn read(state: &StateDir) -> Result<Option<Self>, Failure> {
        state.read(FILE)
    }

    /// Since when the keys are in use.
    pub fn keys_since(&self) -> Timestamp {
        self.rotated_at.unwrap_or(self.enrolled_at)
    }

    /// Writes the file; it is on disk when this returns.
    ///
    /// # Errors
    /// `file_write`.
    pub fn write(&self, state: &StateDir) -> Result<(), Failure> {
        state.write(FILE, self)
    }

    /// Forgets keys and certificate.
    ///
    /// # Errors
    /// `file_write`.
    pub fn remove(state: &StateDir) -> Result<(), Failure> {
        state.remove(FILE)
    }

    /// Joins `keys` with the authority's answer, unless that answer is for somebody else.
    ///
    /// # Errors
    /// `refused`: the authority is at fault.
    pub fn from_grant(
        keys: IdentityState,
        grant: EnrolGrant,
        ca: &FleetCa,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(
                codes::REFUSED,
                format!("authority: its certificate for this device is unusable: {why}"),
                "check the clocks of both machines and the authority's log",
            )
        };
        let chain = certificate::chain_from_pem(&grant.certificate)
            .map_err(|error| wrong(error.to_string()))?;
        let issued = ca.verify(&chain, now).map_err(|error| wrong(error.to_string()))?;
        let ours = issued.role == Role::Device(keys.device())
            && grant.device == keys.device()
            && issued.fleet == grant.fleet
            && issued.x25519 == Some(keys.x25519_public.0);
        if !ours {
            return Err(wrong("it is for another device, fleet or channel key".into()));
        }
        Ok(Self {
            keys,
            device: grant.device,
            fleet: grant.fleet,
            epoch: grant.epoch,
            certificate: grant.certificate,
            result_jwt: grant.result_jwt,
            log_index: grant.log_index,
            renew_at: grant.renew_at,
            enrolled_at: now,
            rotated_at: None,
        })
    }
}

/// The enrolled device, its keys usable.
pub struct Device {
    /// What is on disk.
    pub stored: Stored,
    /// The keys in the TPM.
    pub identity: Identity,
    /// What the sealed key opens.
    pub vault: Arc<Vault>,
    /// The pinned CA, for this fleet only.
    pub ca: FleetCa,
    /// The parsed leaf certificate.
    pub certificate: certificate::Identity,
    tls: tls::Identity,
}

impl Device {
    /// Brings the stored device back, on the TPM that it enrolled with.
    ///
    /// # Errors
    /// `not_enrolled`; `evidence_refused` with check 44 on another TPM; `tpm_unreachable`;
    /// `config_invalid` if the certificate is of another fleet than the configuration.
    pub fn load(config: &Config, state: &StateDir, tpm: &Tpm) -> Result<Self, Failure> {
        let stored = Stored::read(state)?.ok_or_else(not_enrolled)?;
        if stored.fleet != config.fleet {
            return Err(Failure::new(
                codes::CONFIG_INVALID,
                format!("fleet: {} in agent.toml, {} enrolled", config.fleet, stored.fleet),
                "correct agent.toml, or enrol into the other fleet",
            ));
        }
        let ca = read_ca(config)?.for_fleet(stored.fleet.clone());
        let identity = Identity::load(tpm, stored.keys.clone()).map_err(|e| tpm_failure(&e))?;
        let vault = Arc::new(identity.open_vault().map_err(|error| tpm_failure(&error))?);
        let tls = tls::Identity::empty();
        let certificate = present(&tls, &identity, &stored)?;
        Ok(Self { stored, identity, vault, ca, certificate, tls })
    }

    /// Takes a renewed certificate into use, on disk first.
    ///
    /// # Errors
    /// `file_write`; `refused` if it does not belong to the device key.
    pub fn renewed(&mut self, stored: Stored, state: &StateDir) -> Result<(), Failure> {
        stored.write(state)?;
        self.certificate = present(&self.tls, &self.identity, &stored)?;
        self.stored = stored;
        Ok(())
    }

    /// Takes new keys and their certificate into use; they are on disk already. Connections from
    /// now on use them.
    ///
    /// # Errors
    /// `not_enrolled` if the certificate does not belong to the device key.
    pub fn replace(
        &mut self,
        identity: Identity,
        vault: Arc<Vault>,
        stored: Stored,
    ) -> Result<(), Failure> {
        self.certificate = present(&self.tls, &identity, &stored)?;
        (self.identity, self.vault, self.stored) = (identity, vault, stored);
        Ok(())
    }

    /// The authority, over mutual TLS.
    ///
    /// # Errors
    /// `file_not_found` or `file_format` for the CA's file.
    pub fn authority(&self, config: &Config) -> Result<Upstream, Failure> {
        let check = role_check(Some(&self.stored.fleet), |role| *role == Role::Authority);
        self.upstream(config, "authority", &config.authority.url, check)
    }

    /// The aggregator, over mutual TLS.
    ///
    /// # Errors
    /// `file_not_found` or `file_format` for the CA's file.
    pub fn aggregator(&self, config: &Config) -> Result<Upstream, Failure> {
        let check = role_check(Some(&self.stored.fleet), |r| matches!(r, Role::Aggregator(_)));
        self.upstream(config, "aggregator", &config.aggregator.url, check)
    }

    fn upstream(
        &self,
        config: &Config,
        who: &'static str,
        url: &str,
        check: RoleCheck,
    ) -> Result<Upstream, Failure> {
        let roots = tls::read_roots(&config.authority.ca)?;
        let tls = tls::client_config(roots, check, Some(&self.tls))?;
        Ok(Upstream::new(who, url, tls))
    }
}

/// Hands chain and TPM key to TLS and reads the leaf.
fn present(
    tls: &tls::Identity,
    identity: &Identity,
    stored: &Stored,
) -> Result<certificate::Identity, Failure> {
    let chain = tls::chain_from_pem(stored.certificate.as_bytes(), "the device certificate")?;
    let unusable = |why: String| {
        Failure::new(
            codes::NOT_ENROLLED,
            format!("device certificate: {why}"),
            "sealsum-agent enroll with a new token",
        )
    };
    let leaf = chain.first().ok_or_else(|| unusable("the chain is empty".into()))?;
    let parsed = certificate::Identity::parse(leaf).map_err(|error| unusable(error.to_string()))?;
    tls.replace(chain, Arc::new(identity.device_key().clone()))
        .map_err(|error| unusable(error.to_string()))?;
    Ok(parsed)
}

/// A check that the server at the other end has the role that `wanted` names, in this fleet.
pub fn role_check(
    fleet: Option<&Fleet>,
    wanted: impl Fn(&Role) -> bool + Send + Sync + 'static,
) -> RoleCheck {
    let fleet = fleet.cloned();
    Arc::new(move |der| {
        let server = certificate::Identity::parse(der).map_err(|error| error.to_string())?;
        if fleet.as_ref().is_some_and(|fleet| *fleet != server.fleet) {
            return Err(format!("it belongs to the fleet {}", server.fleet));
        }
        if wanted(&server.role) { Ok(()) } else { Err(format!("it is {}", server.role.kind())) }
    })
}

/// Reads the pinned CA.
///
/// # Errors
/// `file_not_found`, `file_format`.
pub fn read_ca(config: &Config) -> Result<FleetCa, Failure> {
    let path = &config.authority.ca;
    let text = files::read_text(path, CA_MAX)?;
    FleetCa::from_pem(&text).map_err(|error| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {error}", path.display()),
            "the ca.pem that sealsum-authority init wrote",
        )
    })
}

/// The failure of a device that never enrolled.
pub fn not_enrolled() -> Failure {
    Failure::new(
        codes::NOT_ENROLLED,
        "agent: this device is not enrolled",
        "sealsum-agent enroll with a token of sealsum-authority token create --role device",
    )
}

/// The failure of a device whose certificate ended at `when`.
pub fn expired(when: Timestamp) -> Failure {
    Failure::new(
        codes::CERTIFICATE_EXPIRED,
        format!("certificate of this device: it ended {when}"),
        "nothing while the agent runs: it enrols again by itself; else sealsum-agent renew",
    )
}

/// What a TPM error means for the operator.
pub fn tpm_failure(error: &TpmError) -> Failure {
    let hint = match error {
        TpmError::OtherTpm => "move the directory back, or enrol in a fresh one with a new token",
        TpmError::Cleared | TpmError::PcrChanged { .. } | TpmError::Damaged { .. } => {
            "nothing while the agent runs: it makes new keys and enrols again; else sealsum-agent renew"
        }
        TpmError::Connection { .. } => "device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321",
        TpmError::Lockout { .. } | TpmError::Password { .. } => "ask who administers this TPM",
        _ => "check tpm in agent.toml, that the TPM is on, and the group tss",
    };
    let code = codes::find(error.code()).unwrap_or(Code::remote(error.code(), 502));
    let failure = Failure::new(code, format!("TPM: {error}"), hint);
    if matches!(error, TpmError::OtherTpm) { failure.with_check(CLONED_STATE) } else { failure }
}
