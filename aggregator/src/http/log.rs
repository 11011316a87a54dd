//! The authority's log: the proof for a round's members, and that the log only grew.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sealsum_attest::inclusion::Consistency;
use sealsum_daemon::http::{Json, Path, Problem, Query};
use sealsum_protocol::ids::RoundId;
use serde::Deserialize;

use super::caller::Device;
use super::{App, Wait};

pub(super) async fn roster_proof(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let proof = app.rounds.await_roster_proof(round, device, wait.duration()).await?;
    Ok(match proof {
        Some(proof) => ([(CONTENT_TYPE, "application/json")], proof).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Two sizes of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: u64,
}

pub(super) async fn consistency(
    State(app): State<App>,
    Device(_): Device,
    Query(Sizes { from, to }): Query<Sizes>,
) -> Result<Json<Consistency>, Problem> {
    Ok(Json(app.rounds.log_consistency(from, to).await?))
}
