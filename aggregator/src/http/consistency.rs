//! Step 4: a device signs the survivors that it saw.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::http::{Path, Problem, Raw};
use sealsum_protocol::ids::RoundId;
pub(super) use sealsum_protocol::messages::ConsistencySignature as Body;

use super::App;
use super::answer::{accepted, decode};
use super::caller::Device;
use sealsum_protocol::server::Incoming;

pub(super) async fn sign(
    State(app): State<App>,
    Device(device): Device,
    Path(round): Path<RoundId>,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    let message = Incoming::Consistency(decode::<Body>(&body)?);
    app.rounds.deliver(round, device, message, body).await?;
    Ok(accepted())
}
