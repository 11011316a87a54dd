//! Step 1: who is in the round.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::http::{Path, Problem, Query};
use sealsum_protocol::ids::RoundId;

use super::answer::message_or_later;
use super::caller::Device;
use super::{App, Wait};
use sealsum_protocol::server::Stage;

pub(super) async fn show(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let found = app.rounds.await_message(round, device, Stage::Roster, wait.duration()).await?;
    Ok(message_or_later(found))
}
