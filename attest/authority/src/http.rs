//! Routes for devices and aggregators, over TLS: decode, call, encode.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use jiff::Timestamp;
use sealsum_attest::ids::SessionId;
use sealsum_attest::inclusion::{MEMBERS_BODY_MAX, MembersProof, MembersRequest};
use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, EnrolAnswer, EnrolChallenge,
    EnrolGrant, EnrolRequest, Info, RenewRequest,
};
use sealsum_daemon::Failure;
use sealsum_daemon::http::{Json, Path, Peer, Problem};
use sealsum_log::routes;

use crate::authority::{Authority, blocking};
use crate::client::Client;
use crate::failures::busy;
use crate::{aggregators, enrol, log, renew, rotate, status_list};

/// Tells the time; the program's tells the true one.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The authority and its clock, as handlers see them.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Clock,
}

impl Service {
    /// Runs `work` off the async threads, with the time.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Authority, Timestamp) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Problem> {
        let now = (self.clock)();
        Ok(blocking(&self.authority, move |authority| work(authority, now)).await?)
    }
}

/// All routes that TLS serves.
pub fn router(authority: Arc<Authority>, clock: Clock) -> Router {
    let service = Service { authority, clock };
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/enroll", post(begin_enrolment))
        .route("/v1/enroll/{session}", post(finish_enrolment))
        .route("/v1/renew", post(renew_device))
        .route("/v1/aggregator/enroll", post(enrol_aggregator))
        .route("/v1/aggregator/renew", post(renew_aggregator))
        .route("/v1/status-list", get(status_list))
        .with_state(service.clone())
        .merge(log_routes(&service))
        .layer(from_fn_with_state(service, limit_rate))
}

/// The log: its head and how it grew for everybody, what is in it for members.
fn log_routes(service: &Service) -> Router {
    let members = Router::new()
        .route("/v1/log/members", post(prove_members))
        .layer(DefaultBodyLimit::max(MEMBERS_BODY_MAX))
        .with_state(service.clone())
        .merge(routes::tiles(service.authority.clone()))
        .layer(from_fn_with_state(service.clone(), members_only));
    routes::public(service.authority.clone()).merge(members)
}

/// Before the body is read.
async fn members_only(
    State(service): State<Service>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    service.call(move |authority, now| Client::check_member(authority, &peer, now)).await?;
    Ok(next.run(request).await)
}

async fn prove_members(
    State(service): State<Service>,
    Json(request): Json<MembersRequest>,
) -> Result<Answer<MembersProof>, Problem> {
    Ok(Answer(service.call(move |authority, _| log::prove_members(authority, &request)).await?))
}

/// Before the body is read.
async fn limit_rate(
    State(service): State<Service>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if service.authority.limiter.allows(peer.address.ip(), Instant::now()) {
        return next.run(request).await;
    }
    Problem::from(busy("this address asks too often"))
        .with_status(StatusCode::TOO_MANY_REQUESTS)
        .into_response()
}

async fn info(State(service): State<Service>) -> Answer<Info> {
    Answer(service.authority.info())
}

async fn begin_enrolment(
    State(service): State<Service>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<EnrolRequest>,
) -> Result<Answer<EnrolChallenge>, Problem> {
    let address = peer.address.ip();
    let challenge =
        service.call(move |authority, now| enrol::begin(authority, now, address, request)).await?;
    Ok(Answer(challenge))
}

async fn finish_enrolment(
    State(service): State<Service>,
    Path(session): Path<SessionId>,
    Json(answer): Json<EnrolAnswer>,
) -> Result<Answer<EnrolGrant>, Problem> {
    let grant = service
        .call(move |authority, now| enrol::finish(authority, now, &session, &answer))
        .await?;
    Ok(Answer(grant))
}

async fn renew_device(
    State(service): State<Service>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<RenewRequest>,
) -> Result<Response, Problem> {
    let work = move |authority: &Authority, now| {
        let client = Client::of(authority, &peer)?;
        Ok(match request {
            RenewRequest::Challenge { protocol } => {
                let address = peer.address.ip();
                let challenge = renew::begin(authority, now, address, &client, protocol)?;
                Answer(challenge).into_response()
            }
            RenewRequest::Answer(answer) => {
                Answer(renew::finish(authority, now, &client, &answer)?).into_response()
            }
            RenewRequest::Rotate { protocol, dk_public, x25519_public } => {
                let (dk_public, x25519_public) = (&dk_public.0[..], &x25519_public.0);
                let (address, keys) =
                    (peer.address.ip(), rotate::NewKeys { dk_public, x25519_public });
                let challenge = rotate::begin(authority, now, address, &client, protocol, &keys)?;
                Answer(challenge).into_response()
            }
            RenewRequest::RotateAnswer(answer) => {
                Answer(rotate::finish(authority, now, &client, &answer)?).into_response()
            }
        })
    };
    service.call(work).await
}

async fn enrol_aggregator(
    State(service): State<Service>,
    Json(request): Json<AggregatorEnrolRequest>,
) -> Result<Answer<AggregatorGrant>, Problem> {
    let grant =
        service.call(move |authority, now| aggregators::enrol(authority, now, &request)).await?;
    Ok(Answer(grant))
}

async fn renew_aggregator(
    State(service): State<Service>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<AggregatorRenewRequest>,
) -> Result<Answer<AggregatorGrant>, Problem> {
    let work = move |authority: &Authority, now| {
        aggregators::renew(authority, now, &Client::of(authority, &peer)?, &request)
    };
    Ok(Answer(service.call(work).await?))
}

async fn status_list(
    State(service): State<Service>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    let list = service.call(move |authority, now| status_list::show(authority, now, &peer)).await?;
    Ok(([(CONTENT_TYPE, "application/json")], list).into_response())
}
