//! The models that rounds start from.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::codes;
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
    let missing = || {
        let text = format!("model {hash}: is not here");
        Problem::new(codes::NOT_FOUND, text, "the model that the round announces")
    };
    let path = app.models.find(hash).ok_or_else(missing)?;
    let bytes = tokio::fs::read(path).await.map_err(|_| missing())?;
    Ok(message(Bytes::from(bytes)))
}
