//! The local interface: HTTP/1.1 on a Unix socket, for applications and for our own commands.
//!
//! | request | who | answer |
//! |---|---|---|
//! | `POST /v1/updates?task=T[&round=N][&weight=W]` | allowed for T | 202 with a receipt |
//! | `GET /v1/updates/RECEIPT` | allowed for its task | the receipt |
//! | `GET /v1/tasks/T/next?wait=S` | allowed for T | 200 model and `Sealsum-Round`, 204 none |
//! | `GET /v1/status`, `GET /v1/budget` | allowed at all | the status, the budget |
//! | `POST /v1/renew`, `/v1/leave`, `/v1/log/accept`, `/v1/budget/resume` | root, the agent's user | 200 |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use sealsum_daemon::http::{Caller, Json, Path, Problem, Query, Raw};
use sealsum_daemon::{Failure, codes};
use serde::Deserialize;

use crate::access::Peer;
use crate::clock;
use crate::intake::Format;
use crate::ledger::Budget;
use crate::pending::Receipt;
use crate::service::Service;
use crate::status::Status;
use crate::{participate, submission};

/// Header with the number of the round that a model belongs to.
const ROUND_HEADER: &str = "Sealsum-Round";
/// Longest `wait`.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Beside the coordinates: the header of a file.
const HEADER_MAX: usize = 2 << 20;
const COORDINATE_MAX: usize = 8;

type App = State<Arc<Service>>;

/// All routes.
pub fn router(service: Arc<Service>) -> Router {
    let coordinates = service.config.policy.max_coordinates as usize;
    let limit = coordinates.saturating_mul(COORDINATE_MAX).saturating_add(HEADER_MAX);
    Router::new()
        .route("/v1/updates", post(submit).layer(DefaultBodyLimit::max(limit)))
        .route("/v1/updates/{receipt}", get(receipt))
        .route("/v1/tasks/{task}/next", get(next))
        .route("/v1/status", get(status))
        .route("/v1/budget", get(budget))
        .route("/v1/budget/resume", post(resume))
        .route("/v1/renew", post(renew))
        .route("/v1/leave", post(leave))
        .route("/v1/log/accept", post(accept_log))
        .with_state(service)
}

async fn submit(
    State(service): App,
    Extension(caller): Extension<Caller>,
    Query(query): Query<submission::Query>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let format = format_of(&query, &headers)?;
    let receipt = blocking(move || {
        let receipt = submission::accept(&service, peer(caller), &query, format, &body)?;
        participate::join_ready(&service);
        Ok(receipt)
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}

fn format_of(query: &submission::Query, headers: &HeaderMap) -> Result<Format, Failure> {
    if let Some(ending) = &query.format {
        return Format::of_file(std::path::Path::new(&format!("update.{ending}")));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.and_then(Format::of_content_type).ok_or_else(|| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("update: content type {}", content_type.unwrap_or("missing")),
            "application/x-npy, application/x-safetensors, application/x-f32 or application/x-f64",
        )
    })
}

async fn receipt(
    State(service): App,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Receipt>, Problem> {
    service.access.check(peer(caller))?;
    let found = service.pending().receipt(&name).cloned();
    let allowed = found.filter(|r| service.access.check_task(peer(caller), &r.task).is_ok());
    // The same answer whether it is another's or nobody's.
    let receipt = allowed.ok_or_else(|| {
        Failure::new(codes::NOT_FOUND, format!("receipt {name}: unknown"), "check the receipt")
    })?;
    Ok(Json(receipt))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    wait: u64,
}

async fn next(
    State(service): App,
    Extension(caller): Extension<Caller>,
    Path(task): Path<String>,
    Query(Wait { wait }): Query<Wait>,
) -> Result<Response, Problem> {
    service.access.check_task(peer(caller), &task)?;
    let wait = Duration::from_secs(wait).min(WAIT_MAX);
    let offer = tokio::select! {
        offer = service.offers.next(&task, wait) => offer,
        () = service.shutdown.wait() => None,
    };
    let Some(offer) = offer else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let headers = [
        (ROUND_HEADER, offer.number.to_string()),
        ("Content-Type", "application/octet-stream".to_owned()),
    ];
    Ok((headers, offer.model).into_response())
}

async fn status(
    State(service): App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Status>, Problem> {
    service.access.check(peer(caller))?;
    Ok(Json(blocking(move || Ok(service.status(clock::now()))).await?))
}

async fn budget(
    State(service): App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Budget>, Problem> {
    service.access.check(peer(caller))?;
    Ok(Json(blocking(move || Ok(service.ledger().budget(clock::now()))).await?))
}

async fn resume(
    State(service): App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Budget>, Problem> {
    owner_only(&service, caller)?;
    let resumed = blocking(move || {
        service.ledger().resume()?;
        Ok(service.ledger().budget(clock::now()))
    });
    Ok(Json(resumed.await?))
}

async fn renew(
    State(service): App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<serde_json::Value>, Problem> {
    owner_only(&service, caller)?;
    let renewed = blocking(move || service.renew()).await?;
    Ok(Json(serde_json::json!({ "renew_at": renewed.renew_at, "log_index": renewed.log_index })))
}

async fn leave(
    State(service): App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<serde_json::Value>, Problem> {
    owner_only(&service, caller)?;
    let device = service.device().stored.device;
    blocking(move || service.leave()).await?;
    Ok(Json(serde_json::json!({ "device": device })))
}

async fn accept_log(
    State(service): App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<serde_json::Value>, Problem> {
    owner_only(&service, caller)?;
    let size = blocking(move || service.accept_log()).await?;
    Ok(Json(serde_json::json!({ "size": size })))
}

fn owner_only(service: &Service, caller: Caller) -> Result<(), Failure> {
    if service.access.is_owner(peer(caller)) {
        return Ok(());
    }
    Err(Failure::new(
        codes::CALLER_NOT_ALLOWED,
        format!("user {}: only root and the agent's own user may do this", caller.uid),
        "sudo",
    ))
}

fn peer(caller: Caller) -> Peer {
    Peer { uid: caller.uid, gid: caller.gid }
}

/// Runs what waits for a disk or a TPM where it holds nobody up.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(job)
        .await
        .unwrap_or_else(|error| Err(Failure::bug(format!("request: {error}"))))
}
