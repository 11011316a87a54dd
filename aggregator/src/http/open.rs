//! Which rounds a device could enter.

use axum::extract::State;
use axum::response::Response;
use sealsum_daemon::http::{Problem, Query};
use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::Announcement;

use super::answer::message_or_later;
use super::caller::Device;
use super::{App, Wait};

pub(super) async fn list(
    State(app): State<App>,
    Device(device): Device,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let rounds = app.rounds.await_open(device, wait.duration()).await;
    let body = (!rounds.is_empty()).then(|| Announcement { rounds }.to_bytes().into());
    Ok(message_or_later(body))
}
