//! Which device is calling, for every request anew.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sealsum_daemon::Failure;
use sealsum_daemon::http::{Peer, Problem};
use sealsum_protocol::ids::DeviceId;

use super::App;

/// The device whose certificate this connection showed: of our fleet, in date and not revoked at
/// this moment. No body or path can name another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device(pub(super) DeviceId);

impl FromRequestParts<App> for Device {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let peer = parts
            .extensions
            .get::<Peer>()
            .ok_or_else(|| Failure::bug("request: without a TLS peer"))?;
        Ok(Self(app.devices.authorise(peer)?))
    }
}
