//! A log over HTTP: for everybody its head and how it grew, for members its entries, for the
//! operator the proof of one.
//!
//! | route | answer |
//! |---|---|
//! | `GET /v1/log/checkpoint` | the signed note |
//! | `GET /v1/log/consistency?from=N&to=M` | [`Consistency`] |
//! | `GET /v1/log/tile/{path}` | the bytes of a tile or bundle (C2SP tlog-tiles) |
//! | `GET /v1/log/vkey` | the verifier key |
//! | `GET /v1/log/proof/{index}` | the proof of one entry (C2SP tlog-proof) |

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json as Answer, Router};
use rusqlite::Connection;
use sealsum_attest::inclusion::Consistency;
use sealsum_attest::tlog::tiles::Tile;
use sealsum_daemon::http::{Path, Problem, Query};
use sealsum_daemon::{Failure, codes};
use serde::Deserialize;

use crate::key::LogKey;
use crate::{LogError, checkpoint, prove};

/// What is done with the log inside a transaction.
pub type Work<'a> = &'a mut dyn FnMut(&Connection) -> Result<(), LogError>;

/// A program that keeps a log.
pub trait Keeper: Send + Sync + 'static {
    /// Runs `work` in one transaction of the database that may write, and commits it if `work`
    /// succeeds. Blocks.
    ///
    /// # Errors
    /// Those of `work` and of the database.
    fn in_transaction(&self, work: Work<'_>) -> Result<(), Failure>;

    /// The log's key.
    fn log_key(&self) -> &LogKey;
}

type Shared = Arc<dyn Keeper>;

/// What everybody may ask: nothing of it names anybody.
pub fn public(keeper: Shared) -> Router {
    Router::new()
        .route("/v1/log/checkpoint", get(checkpoint))
        .route("/v1/log/consistency", get(consistency))
        .with_state(keeper)
}

/// What members of the fleet may ask: the caller checks that they are.
pub fn tiles(keeper: Shared) -> Router {
    Router::new().route("/v1/log/tile/{*path}", get(tile)).with_state(keeper)
}

/// What the operator may ask besides, over the administration socket.
pub fn operator(keeper: Shared) -> Router {
    Router::new()
        .route("/v1/log/vkey", get(vkey))
        .route("/v1/log/proof/{index}", get(proof))
        .with_state(Arc::clone(&keeper))
        .merge(public(Arc::clone(&keeper)))
        .merge(tiles(keeper))
}

async fn checkpoint(State(keeper): State<Shared>) -> Result<Response, Problem> {
    let note = call(keeper, |tx, key| Ok(checkpoint::current(tx, key)?.to_string())).await?;
    Ok(text(note))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    from: u64,
    to: u64,
}

async fn consistency(
    State(keeper): State<Shared>,
    Query(Sizes { from, to }): Query<Sizes>,
) -> Result<Answer<Consistency>, Problem> {
    Ok(Answer(call(keeper, move |tx, _| prove::consistency(tx, from, to)).await?))
}

async fn tile(State(keeper): State<Shared>, Path(path): Path<String>) -> Result<Response, Problem> {
    let Some(tile) = Tile::parse(&format!("tile/{path}")) else {
        let why = format!("tile/{path}: is no path of a tile");
        return Err(Problem::new(codes::NOT_FOUND, why, "C2SP tlog-tiles defines them"));
    };
    let bytes = call(keeper, move |tx, _| prove::tile(tx, &tile)).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

async fn vkey(State(keeper): State<Shared>) -> Response {
    text(format!("{}\n", keeper.log_key().verifier()))
}

async fn proof(State(keeper): State<Shared>, Path(index): Path<u64>) -> Result<Response, Problem> {
    let proof = call(keeper, move |tx, key| prove::file(tx, key, index)).await?;
    Ok(text(proof.to_string()))
}

fn text(text: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Runs `work` off the async threads.
async fn call<T: Send + 'static>(
    keeper: Shared,
    work: impl Fn(&Connection, &LogKey) -> Result<T, LogError> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(move || with_log(&*keeper, work))
        .await
        .map_err(|error| Failure::bug(format!("a request ended early: {error}")))?
}

/// Runs `work` in one transaction of the keeper's database.
///
/// # Errors
/// Those of `work` and of the database.
pub fn with_log<T>(
    keeper: &(impl Keeper + ?Sized),
    work: impl Fn(&Connection, &LogKey) -> Result<T, LogError>,
) -> Result<T, Failure> {
    let mut value = None;
    keeper.in_transaction(&mut |tx| {
        value = Some(work(tx, keeper.log_key())?);
        Ok(())
    })?;
    value.ok_or_else(|| Failure::bug("a transaction without its work"))
}
