//! Step 3: a device sends its masked vector, chunk by chunk, and then what it signed of it.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::http::{Path, Problem, Raw};
use sealsum_protocol::encoding::CHUNK_STREAM;
use sealsum_protocol::ids::RoundId;
pub(super) use sealsum_protocol::messages::MaskedInput as Body;

use super::App;
use super::answer::{accepted, decode};
use super::caller::Device;

/// Longest chunk of any layout, in bytes.
pub(super) const CHUNK_LIMIT: usize = CHUNK_STREAM;

pub(super) async fn chunk(
    State(app): State<App>,
    Device(device): Device,
    Path((round, chunk)): Path<(RoundId, usize)>,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    app.rounds.put_chunk(round, device, chunk, body).await?;
    Ok(accepted())
}

pub(super) async fn complete(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    let message = decode::<Body>(&body)?;
    app.rounds.complete_upload(round, device, message, body).await?;
    Ok(accepted())
}
