//! The models that rounds start from.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::Failure;
use sealsum_daemon::http::{Path, Problem};
use sealsum_protocol::ids::Hash;

use super::App;
use super::answer::message;
use super::caller::Device;

pub(super) async fn fetch(
    State(app): State<App>,
    Device(_): Device,
    Path(hash): Path<Hash>,
) -> Result<Response, Problem> {
    let read = tokio::task::spawn_blocking(move || app.models.bytes(hash)).await;
    let bytes = read.map_err(|error| Failure::bug(format!("model: {error}")))??;
    Ok(message(bytes))
}
