//! Routes for the operator, over the administration socket: decode, call, encode. The commands of
//! `sealsum-authority` are their clients.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use jiff::Timestamp;
use sealsum_attest::events::Event;
use sealsum_attest::hex;
use sealsum_attest::ids::{DeviceId, Name};
use sealsum_attest::messages::Bytes;
use sealsum_daemon::http::{Caller, Json, Path, Problem, owner_only};
use sealsum_daemon::{Failure, codes};
use sealsum_log::routes;
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::devices::{self, DeviceList, DeviceView, Reason};
use crate::http::{Clock, Service};
use crate::log;
use crate::policy::{self, Applied, Baselines, InForce, PolicySource};
use crate::store::{RoleKind, StoreError, TokenRow};
use crate::tokens;

/// `token create`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is good for: a device or an aggregator.
    pub role: RoleKind,
    /// Seconds until it is refused.
    pub ttl_s: i64,
    /// How many enrolments it lets through.
    pub uses: u32,
    /// The one endorsement key that may use it.
    pub ek_sha256: Option<DeviceId>,
    /// The name that whoever uses it gets.
    pub name: Option<Name>,
}

/// A new token, shown this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// The token itself.
    pub token: String,
    /// What it is good for.
    pub role: RoleKind,
    /// When it will be refused.
    pub expires_at: Timestamp,
    /// How many enrolments it lets through.
    pub uses: u32,
}

/// `device revoke`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Why.
    pub reason: Reason,
}

/// `device evidence`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvidenceFiles {
    /// The files of the evidence directory.
    pub files: Vec<NamedFile>,
}

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedFile {
    /// Its name.
    pub name: String,
    /// Its contents.
    pub bytes: Bytes,
}

/// `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// The TLS address.
    pub listen: SocketAddr,
    /// Whether requests are served.
    pub ready: bool,
    /// How many there are.
    pub devices: DeviceCounts,
    /// An authority runs no rounds.
    pub rounds: Option<()>,
    /// The log.
    pub log: LogStatus,
}

/// Devices by state.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct DeviceCounts {
    /// With a valid certificate.
    pub active: u64,
    /// Shut out by an operator.
    pub revoked: u64,
    /// Shut out because two machines act as it: an alarm.
    pub cloned: u64,
}

/// The head of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogStatus {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them, hex.
    pub root: String,
}

/// The largest request, bytes: a policy with the certificates of every maker there is.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// All routes of the socket, for root and the authority's own user only.
pub fn router(authority: Arc<Authority>, clock: Clock, listen: SocketAddr) -> Router {
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/tokens", post(create_token))
        .route("/v1/policy", get(show_policy).post(apply_policy))
        .route("/v1/policy/baselines", get(show_baselines))
        .route("/v1/devices", get(list_devices))
        .route("/v1/devices/{prefix}", get(show_device))
        .route("/v1/devices/{prefix}/revoke", post(revoke_device))
        .route("/v1/devices/{prefix}/evidence", get(device_evidence))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(Extension(Listening(listen)))
        .with_state(Service { authority: Arc::clone(&authority), clock })
        .merge(routes::operator(authority));
    owner_only(routes)
}

#[derive(Clone, Copy)]
struct Listening(SocketAddr);

async fn status(
    State(service): State<Service>,
    Extension(Listening(listen)): Extension<Listening>,
) -> Result<Answer<Status>, Problem> {
    let work = move |authority: &Authority, now| {
        let summary = authority.summary(now)?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen,
            ready: authority.own_not_after() > now,
            devices: DeviceCounts {
                cloned: summary.devices.cloned,
                active: summary.devices.active,
                revoked: summary.devices.revoked,
            },
            rounds: None,
            log: LogStatus { size: summary.log.size, root: hex::encode(&summary.log.root.0) },
        })
    };
    Ok(Answer(service.call(work).await?))
}

async fn create_token(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<CreateToken>,
) -> Result<Answer<Token>, Problem> {
    let token =
        service.call(move |authority, now| create(authority, &wanted, caller.uid, now)).await?;
    Ok(Answer(token))
}

fn create(
    authority: &Authority,
    wanted: &CreateToken,
    actor: u32,
    now: Timestamp,
) -> Result<Token, Failure> {
    check(wanted)?;
    let token = tokens::draw().map_err(|error| Failure::bug(format!("token: {error}")))?;
    let row = TokenRow {
        token_sha256: tokens::fingerprint(&token),
        role: wanted.role,
        expires_at: now.as_second().saturating_add(wanted.ttl_s),
        uses_left: wanted.uses,
        ek_sha256: wanted.ek_sha256,
        name: wanted.name.as_ref().map(Name::to_string),
    };
    let event = Event::TokenCreated {
        token_sha256: hex::encode(&row.token_sha256),
        role: row.role,
        uses: row.uses_left,
        expires_at: row.expires_at,
        ek_sha256: row.ek_sha256.map(|id| id.to_string()),
        actor,
    };
    authority.store.write("create_token", |tx| {
        tokens::put(tx, &row, now.as_second())?;
        Ok::<_, StoreError>(log::append(tx, now.as_second(), &event)?)
    })?;
    let expires_at = Timestamp::from_second(row.expires_at)
        .map_err(|error| Failure::bug(format!("token: {error}")))?;
    Ok(Token { token: token.to_string(), role: row.role, expires_at, uses: row.uses_left })
}

fn check(wanted: &CreateToken) -> Result<(), Failure> {
    let usage = |why: String, hint: &str| Err(Failure::new(codes::USAGE, why, hint));
    if wanted.role == RoleKind::Authority {
        return usage("token: there are none for the role authority".into(), "device, aggregator");
    }
    if !(1..=tokens::TTL_MAX_S).contains(&wanted.ttl_s) {
        return usage(format!("token: a life of {} s", wanted.ttl_s), "--ttl from 1s to 7d");
    }
    if !(1..=tokens::USES_MAX).contains(&wanted.uses) {
        return usage(format!("token: {} uses", wanted.uses), "--uses from 1 to 100000");
    }
    if wanted.role == RoleKind::Aggregator && wanted.ek_sha256.is_some() {
        let why = "token: an aggregator has no endorsement key";
        return usage(why.into(), "the command without --ek-sha256");
    }
    Ok(())
}

async fn show_policy(State(service): State<Service>) -> Result<Answer<InForce>, Problem> {
    Ok(Answer(service.call(|authority, _| policy::in_force(authority)).await?))
}

async fn apply_policy(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Json(source): Json<PolicySource>,
) -> Result<Answer<Applied>, Problem> {
    let applied = service
        .call(move |authority, now| policy::apply(authority, source, caller.uid, now))
        .await?;
    Ok(Answer(applied))
}

async fn show_baselines(State(service): State<Service>) -> Result<Answer<Baselines>, Problem> {
    Ok(Answer(service.call(|authority, _| policy::baselines(authority)).await?))
}

async fn list_devices(State(service): State<Service>) -> Result<Answer<DeviceList>, Problem> {
    Ok(Answer(service.call(devices::list).await?))
}

async fn show_device(
    State(service): State<Service>,
    Path(prefix): Path<String>,
) -> Result<Answer<DeviceView>, Problem> {
    let view = service.call(move |authority, now| devices::show(authority, &prefix, now)).await?;
    Ok(Answer(view))
}

async fn revoke_device(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(prefix): Path<String>,
    Json(Revoke { reason }): Json<Revoke>,
) -> Result<Answer<DeviceView>, Problem> {
    let view = service
        .call(move |authority, now| devices::revoke(authority, &prefix, reason, caller.uid, now))
        .await?;
    Ok(Answer(view))
}

async fn device_evidence(
    State(service): State<Service>,
    Path(prefix): Path<String>,
) -> Result<Answer<EvidenceFiles>, Problem> {
    let files = service.call(move |authority, _| devices::evidence_of(authority, &prefix)).await?;
    let files = files.into_iter().map(|(name, bytes)| NamedFile { name, bytes: Bytes(bytes) });
    Ok(Answer(EvidenceFiles { files: files.collect() }))
}
