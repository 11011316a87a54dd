//! Step 1: a device enters a round.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::http::{Path, Problem, Raw};
use sealsum_protocol::ids::RoundId;
pub(super) use sealsum_protocol::messages::Advertise as Body;

use super::App;
use super::answer::{accepted, decode};
use super::caller::Device;
use sealsum_protocol::server::Incoming;

pub(super) async fn enter(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    let message = Incoming::Advertise(Box::new(decode::<Body>(&body)?));
    app.rounds.deliver(round, device, message, body).await?;
    Ok(accepted())
}
