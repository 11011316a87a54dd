//! Step 2: a device deals shares, and fetches those dealt to it.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::http::{Path, Problem, Query, Raw};
use sealsum_protocol::ids::RoundId;
pub(super) use sealsum_protocol::messages::SharedKeys as Body;

use super::answer::{accepted, decode, message_or_later};
use super::caller::Device;
use super::{App, Wait};
use sealsum_protocol::server::{Incoming, Stage};

pub(super) async fn deal(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    let message = Incoming::Shares(decode::<Body>(&body)?);
    app.rounds.deliver(round, device, message, body).await?;
    Ok(accepted())
}

pub(super) async fn show(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let stage = Stage::InboundShares;
    let found = app.rounds.await_message(round, device, stage, wait.duration()).await?;
    Ok(message_or_later(found))
}
