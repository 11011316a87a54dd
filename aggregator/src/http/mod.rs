//! The round interface for devices, over mutual TLS: one file per resource; decode, call, encode.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/rounds/open?wait=S` | | [`Announcement`] of the rounds this device has not entered |
//! | `POST /v1/rounds/{id}/advertise` | [`Advertise`] | 202 |
//! | `GET /v1/rounds/{id}/roster?wait=S` | | [`Roster`] |
//! | `GET /v1/rounds/{id}/log?wait=S` | | [`RosterProof`], JSON |
//! | `POST /v1/rounds/{id}/shares` | [`SharedKeys`] | 202 |
//! | `GET /v1/rounds/{id}/shares?wait=S` | | [`InboundShares`] |
//! | `POST /v1/rounds/{id}/acks` | [`ShareAck`] | 202 |
//! | `GET /v1/rounds/{id}/sharers?wait=S` | | [`Sharers`] |
//! | `PUT /v1/rounds/{id}/masked/{chunk}` | a chunk as [`Layout::to_wire`] writes it | 202 |
//! | `POST /v1/rounds/{id}/masked` | [`MaskedInput`], after the last chunk | 202 |
//! | `GET /v1/rounds/{id}/survivors?wait=S` | | [`Survivors`] |
//! | `POST /v1/rounds/{id}/consistency` | [`ConsistencySignature`] | 202 |
//! | `GET /v1/rounds/{id}/quorum?wait=S` | | [`Quorum`] |
//! | `POST /v1/rounds/{id}/reveal` | [`Reveal`] | 202 |
//! | `GET /v1/models/{sha256}` | | the model |
//! | `GET /v1/log/consistency?from=N&to=M` | | [`Consistency`] of the authority's log, JSON |
//!
//! Bodies are messages of the protocol's codec, `application/octet-stream`, where nothing else is
//! said.
//!
//! A `GET` with nothing to say yet waits up to `wait` seconds (at most 30) and answers 204: ask
//! again. The same body again is taken as if it came once. Errors are JSON with `code`, `message`,
//! `hint`: 400 not a message; 403 refused, or no device of this fleet; 404 no such round; 409 the
//! step is over (`late`) or the body differs from the one sent before (`different_resend`); 410 the
//! round is aborted, `code` being its abort code.
//!
//! [`Announcement`]: sealsum_protocol::messages::Announcement
//! [`RosterProof`]: sealsum_attest::roster_proof::RosterProof
//! [`Consistency`]: sealsum_attest::inclusion::Consistency
//! [`Advertise`]: sealsum_protocol::messages::Advertise
//! [`Roster`]: sealsum_protocol::messages::Roster
//! [`SharedKeys`]: sealsum_protocol::messages::SharedKeys
//! [`InboundShares`]: sealsum_protocol::messages::InboundShares
//! [`ShareAck`]: sealsum_protocol::messages::ShareAck
//! [`Sharers`]: sealsum_protocol::messages::Sharers
//! [`Layout::to_wire`]: sealsum_protocol::encoding::Layout::to_wire
//! [`MaskedInput`]: sealsum_protocol::messages::MaskedInput
//! [`Survivors`]: sealsum_protocol::messages::Survivors
//! [`ConsistencySignature`]: sealsum_protocol::messages::ConsistencySignature
//! [`Quorum`]: sealsum_protocol::messages::Quorum
//! [`Reveal`]: sealsum_protocol::messages::Reveal

mod acks;
mod advertise;
mod answer;
mod caller;
mod consistency;
mod log;
mod masked;
mod models;
mod open;
mod quorum;
mod reveal;
mod roster;
mod sharers;
mod shares;
mod survivors;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post, put};
use sealsum_protocol::codec::Message;
use serde::Deserialize;

use crate::devices::Devices;
use crate::models::Models;
use crate::rounds::Rounds;

/// What the handlers work with.
#[derive(Clone)]
pub struct App {
    /// The rounds, running and past.
    pub rounds: Arc<Rounds>,
    /// Who may take part.
    pub devices: Arc<Devices>,
    /// What rounds start from.
    pub models: Models,
}

/// The routes above.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/rounds/open", get(open::list))
        .route("/v1/rounds/{id}/advertise", taking::<advertise::Body>(post(advertise::enter)))
        .route("/v1/rounds/{id}/roster", get(roster::show))
        .route(
            "/v1/rounds/{id}/shares",
            taking::<shares::Body>(post(shares::deal)).merge(get(shares::show)),
        )
        .route("/v1/rounds/{id}/acks", taking::<acks::Body>(post(acks::acknowledge)))
        .route("/v1/rounds/{id}/sharers", get(sharers::show))
        .route(
            "/v1/rounds/{id}/masked/{chunk}",
            put(masked::chunk).layer(DefaultBodyLimit::max(masked::CHUNK_LIMIT)),
        )
        .route("/v1/rounds/{id}/masked", taking::<masked::Body>(post(masked::complete)))
        .route("/v1/rounds/{id}/survivors", get(survivors::show))
        .route("/v1/rounds/{id}/consistency", taking::<consistency::Body>(post(consistency::sign)))
        .route("/v1/rounds/{id}/quorum", get(quorum::show))
        .route("/v1/rounds/{id}/reveal", taking::<reveal::Body>(post(reveal::answer)))
        .route("/v1/rounds/{id}/log", get(log::roster_proof))
        .route("/v1/models/{sha256}", get(models::fetch))
        .route("/v1/log/consistency", get(log::consistency))
        .with_state(app)
}

/// No more of a body is read than a message of this kind can have.
fn taking<M: Message>(route: MethodRouter<App>) -> MethodRouter<App> {
    route.layer(DefaultBodyLimit::max(M::MAX_BYTES))
}

/// How long a `GET` may wait for something to say.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Wait {
    /// Seconds.
    #[serde(default)]
    wait: u32,
}

impl Wait {
    fn duration(self) -> Duration {
        Duration::from_secs(self.wait.min(LONGEST_WAIT_S).into())
    }
}

/// Shorter than what connections may idle, so that no proxy in between gives up first.
const LONGEST_WAIT_S: u32 = 30;
