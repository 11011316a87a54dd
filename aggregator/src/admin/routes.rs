//! The routes of the administration socket: decode, call, encode.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealsum_daemon::http::{Json, Path, Problem, Query, Raw, file_body, owner_only};
use sealsum_daemon::{Failure, codes};
use sealsum_log::routes::Keeper;
use sealsum_protocol::ids::Hash;
use serde::Deserialize;

use super::{
    AnswerBody, DiagnosticsBody, ModelBody, ProgressBody, RoundLine, RoundsBody, StartRequest,
    StartedBody, StatusBody, TaskBody, TasksBody, diagnose,
};
use crate::models::MODEL_LIMIT;
use crate::record::RoundRecord;
use crate::service::Service;
use crate::tasks;

/// The routes, for root and the user of this process.
pub fn router(service: Arc<Service>) -> Router {
    let models = put(keep_model).layer(DefaultBodyLimit::max(MODEL_LIMIT as usize));
    let keeper: Arc<dyn Keeper> = Arc::clone(&service.log) as _;
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/tasks", get(list_tasks).post(register_task))
        .route("/v1/tasks/{name}", get(show_task))
        .route("/v1/models/{sha256}", models)
        .route("/v1/rounds", get(list_rounds).post(start_round))
        .route("/v1/rounds/{id}", get(show_round))
        .route("/v1/rounds/{id}/progress", get(progress))
        .route("/v1/rounds/{id}/result", get(result))
        .route("/v1/rounds/{id}/answer", get(answer))
        .route("/v1/rounds/{id}/abort", post(abort))
        .route("/v1/diagnostics/{task}", get(diagnostics))
        .with_state(service)
        .merge(sealsum_log::routes::operator(keeper));
    owner_only(routes)
}

type Shared = State<Arc<Service>>;

async fn status(State(service): Shared) -> Result<Json<StatusBody>, Problem> {
    Ok(Json(blocking(move || service.status()).await?))
}

async fn register_task(State(service): Shared, Raw(body): Raw) -> Result<Json<TaskBody>, Problem> {
    let register = move || {
        let signed = tasks::register(&service.store, &body)?;
        tracing::info!(task = signed.task.name, version = signed.task.version, "task registered");
        tasks::describe(&service.store, &signed)
    };
    Ok(Json(blocking(register).await?))
}

async fn list_tasks(State(service): Shared) -> Result<Json<TasksBody>, Problem> {
    let list = move || -> Result<TasksBody, Failure> {
        Ok(TasksBody { tasks: tasks::describe_all(&service.store)? })
    };
    Ok(Json(blocking(list).await?))
}

async fn show_task(
    State(service): Shared,
    Path(name): Path<String>,
) -> Result<Json<TaskBody>, Problem> {
    let show = move || tasks::describe(&service.store, &tasks::find(&service.store, &name)?);
    Ok(Json(blocking(show).await?))
}

async fn keep_model(
    State(service): Shared,
    Path(hash): Path<Hash>,
    Raw(body): Raw,
) -> Result<Json<ModelBody>, Problem> {
    blocking(move || service.models.keep(hash, &body)).await?;
    Ok(Json(ModelBody { model_sha256: hash }))
}

async fn start_round(
    State(service): Shared,
    Json(request): Json<StartRequest>,
) -> Result<Json<StartedBody>, Problem> {
    let grant = request.grant.map(|grant| STANDARD.decode(grant)).transpose().map_err(|error| {
        let message = format!("grant: not base64: {error}");
        Problem::new(codes::BODY_INVALID, message, "sealsum-aggregator round start")
    })?;
    Ok(Json(service.rounds.start(&request.task, grant).await?))
}

async fn list_rounds(State(service): Shared) -> Result<Json<RoundsBody>, Problem> {
    let list = move || -> Result<RoundsBody, Failure> {
        let records = service.rounds.records(None)?;
        Ok(RoundsBody { rounds: records.iter().map(RoundLine::of).collect() })
    };
    Ok(Json(blocking(list).await?))
}

async fn show_round(
    State(service): Shared,
    Path(id): Path<String>,
) -> Result<Json<RoundRecord>, Problem> {
    let show = move || service.rounds.record(service.rounds.resolve(&id)?);
    Ok(Json(blocking(show).await?))
}

/// What `progress` waits for.
#[derive(Debug, Deserialize)]
struct Since {
    #[serde(default)]
    seen: u64,
    #[serde(default)]
    wait_ms: u64,
}

async fn progress(
    State(service): Shared,
    Path(id): Path<String>,
    Query(since): Query<Since>,
) -> Result<Json<ProgressBody>, Problem> {
    let rounds = Arc::clone(&service.rounds);
    let round = blocking(move || rounds.resolve(&id)).await?;
    let wait = Duration::from_millis(since.wait_ms).min(LONGEST_WAIT);
    Ok(Json(service.rounds.await_progress(round, since.seen, wait).await?))
}

async fn result(State(service): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    let rounds = Arc::clone(&service.rounds);
    let path = blocking(move || rounds.result_file(rounds.resolve(&id)?)).await?;
    let body = file_body(&path).await.map_err(|error| {
        Failure::bug(format!("result {}: cannot be read: {error}", path.display()))
    })?;
    Ok(([(CONTENT_TYPE, "application/x-npy")], body).into_response())
}

async fn answer(
    State(service): Shared,
    Path(id): Path<String>,
) -> Result<Json<AnswerBody>, Problem> {
    Ok(Json(blocking(move || service.answer(&id)).await?))
}

async fn abort(
    State(service): Shared,
    Path(id): Path<String>,
) -> Result<Json<RoundRecord>, Problem> {
    let abort = move || {
        let round = service.rounds.resolve(&id)?;
        service.rounds.abort(round)?;
        service.rounds.record(round)
    };
    Ok(Json(blocking(abort).await?))
}

async fn diagnostics(
    State(service): Shared,
    Path(task): Path<String>,
) -> Result<Json<DiagnosticsBody>, Problem> {
    let look = move || -> Result<DiagnosticsBody, Failure> {
        tasks::find(&service.store, &task)?;
        Ok(diagnose(&task, &service.rounds.records(Some(&task))?))
    };
    Ok(Json(blocking(look).await?))
}

/// Runs what waits for the disk where waiting is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Failure::bug(format!("request: {error}"))))
}

/// Longest poll.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
