//! A double of the authority: certificates for one token, and a status list that tests change.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use sealsum_attest::certificate::Identity;
use sealsum_attest::ids::{DeviceId, Name};
use sealsum_attest::inclusion::{Consistency, MEMBERS_BODY_MAX, MembersProof, MembersRequest};
use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, Info, PROTOCOL_VERSION,
};
use sealsum_attest::status::{PERIOD_S, StatusList};
use sealsum_daemon::http::{self, Connections, Json, Limits, Problem};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::tls::{self, Clients};
use sealsum_daemon::{Failure, codes};

use crate::fleet::{DAY, FleetKeys, Validity};

/// Where it is found, and who gets in.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What an aggregator enrols with, as often as it likes.
    pub token: String,
}

/// Runs until dropped.
pub struct Authority {
    /// `https://IP:PORT`.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Double>,
    stop: Shutdown,
    thread: Option<JoinHandle<()>>,
}

struct Double {
    keys: Arc<FleetKeys>,
    token: String,
    list: Mutex<StatusList>,
    validity: Mutex<Validity>,
    renewals: AtomicU32,
    silent: AtomicBool,
    misplaces: AtomicBool,
}

impl Door {
    /// On loopback, at any port.
    pub fn on_loopback(token: &str) -> Self {
        Self { listen: ([127, 0, 0, 1], 0).into(), token: token.to_owned() }
    }
}

impl Authority {
    /// Starts serving a fleet.
    ///
    /// # Errors
    /// `address_unavailable`; when the fleet's keys do not serve for TLS.
    pub fn start(keys: Arc<FleetKeys>, door: Door) -> Result<Self, Failure> {
        let list = StatusList {
            fleet: keys.fleet.clone(),
            number: 1,
            issued_at: Timestamp::now(),
            next_update: Timestamp::now(),
            revoked_devices: [].into(),
            revoked_serials: [].into(),
        };
        let state = Arc::new(Double {
            keys,
            token: door.token,
            list: Mutex::new(list),
            validity: Mutex::new(DAY),
            renewals: AtomicU32::new(0),
            silent: AtomicBool::new(false),
            misplaces: AtomicBool::new(false),
        });
        let stop = Shutdown::new();
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let (state, stop) = (Arc::clone(&state), stop.clone());
            move || serve(state, door.listen, stop, &send)
        });
        let started = receive.recv();
        let address = started.map_err(|_| Failure::bug("staging authority: did not start"))??;
        Ok(Self { url: format!("https://{address}"), address, state, stop, thread: Some(thread) })
    }

    /// From now on the device is on the list.
    pub fn revoke(&self, device: DeviceId) {
        let mut list = lock(&self.state.list);
        list.revoked_devices.insert(device);
        list.number += 1;
    }

    /// From now on the list counts from here: 0 makes it go back.
    pub fn number(&self, number: u64) {
        lock(&self.state.list).number = number;
    }

    /// How long certificates are good from now on.
    pub fn issue_for(&self, validity: Validity) {
        *lock(&self.state.validity) = validity;
    }

    /// From now on it answers nothing about its log.
    pub fn silence(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// From now on certificates are not where it says they are in its log.
    pub fn misplace(&self) {
        self.state.misplaces.store(true, Ordering::SeqCst);
    }

    /// How often a certificate was renewed.
    pub fn renewals(&self) -> u32 {
        self.state.renewals.load(Ordering::SeqCst)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.stop.trigger();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Started = Result<SocketAddr, Failure>;

fn serve(state: Arc<Double>, listen: SocketAddr, stop: Shutdown, started: &Sender<Started>) {
    // Whoever started us waits for this one word.
    let say = |word: Started| drop(started.send(word));
    let prepared = server_config(&state.keys).and_then(|config| Ok((config, runtime()?)));
    let (config, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return say(Err(failure)),
    };
    runtime.block_on(async {
        let listener = match http::listen(listen).await {
            Ok(listener) => listener,
            Err(failure) => return say(Err(failure)),
        };
        say(listener.local_addr().map_err(|error| bug(&error)));
        let connections = Connections::default();
        let limits = Limits::default();
        http::serve_tls(listener, config, router(state), limits, connections, stop).await;
    });
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| bug(&error))
}

fn server_config(keys: &FleetKeys) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let key = keys.authority_key.serialize_der();
    let key = tls::signing_key(rustls::pki_types::PrivatePkcs8KeyDer::from(key).into());
    let chain = vec![keys.authority_der.clone().into()];
    let identity = tls::Identity::new(chain, key.map_err(|error| bug(&error))?);
    let roots = tls::roots(&tls::chain_from_pem(keys.ca_pem.as_bytes(), "CA")?, "CA")?;
    let any: tls::RoleCheck = Arc::new(|_| Ok(()));
    let identity = identity.map_err(|error| bug(&error))?;
    tls::server_config(&identity, Clients::Optional(roots, any))
}

fn router(state: Arc<Double>) -> Router {
    let members = post(log_members).layer(DefaultBodyLimit::max(MEMBERS_BODY_MAX));
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/aggregator/enroll", post(enrol))
        .route("/v1/aggregator/renew", post(renew))
        .route("/v1/status-list", get(status_list))
        .route("/v1/log/members", members)
        .route("/v1/log/consistency", get(log_consistency))
        .route("/v1/log/{*path}", get(log_file))
        .with_state(state)
}

fn bug(error: &dyn std::fmt::Display) -> Failure {
    Failure::bug(format!("staging authority: {error}"))
}

async fn info(State(state): State<Arc<Double>>) -> Json<Info> {
    Json(Info { fleet: state.keys.fleet.clone(), protocol: PROTOCOL_VERSION })
}

async fn enrol(
    State(state): State<Arc<Double>>,
    Json(request): Json<AggregatorEnrolRequest>,
) -> Result<Json<AggregatorGrant>, Problem> {
    if request.protocol != PROTOCOL_VERSION {
        let message = "enrolment: another protocol version";
        return Err(Problem::new(codes::REFUSED, message, "an aggregator of this version"));
    }
    if request.token != state.token {
        let hint = "sealsum-authority token create";
        return Err(Problem::new(codes::TOKEN_INVALID, "token: is unknown", hint));
    }
    Ok(Json(state.grant(&request.name, &request.csr.0)?))
}

async fn renew(
    State(state): State<Arc<Double>>,
    axum::Extension(peer): axum::Extension<http::Peer>,
    Json(request): Json<AggregatorRenewRequest>,
) -> Result<Json<AggregatorGrant>, Problem> {
    let name = old_name(&peer).ok_or_else(stranger)?;
    state.renewals.fetch_add(1, Ordering::SeqCst);
    Ok(Json(state.grant(&name, &request.csr.0)?))
}

/// The name in the certificate that a renewal is asked for with.
fn old_name(peer: &http::Peer) -> Option<Name> {
    Identity::parse(peer.certificate()?).ok()?.aggregator().ok().cloned()
}

fn stranger() -> Problem {
    let message = "certificate: is not that of a member";
    Problem::new(codes::NOT_ENROLLED, message, "sealsum-aggregator init")
}

async fn status_list(State(state): State<Arc<Double>>) -> Result<Vec<u8>, Problem> {
    let mut list = lock(&state.list).clone();
    list.issued_at = Timestamp::now();
    list.next_update = list.issued_at + SignedDuration::from_secs(PERIOD_S);
    Ok(state.keys.sign_status(list)?)
}

async fn log_members(
    State(state): State<Arc<Double>>,
    axum::Extension(peer): axum::Extension<http::Peer>,
    Json(request): Json<MembersRequest>,
) -> Result<Json<MembersProof>, Problem> {
    // The log is for members of the fleet.
    peer.certificate().ok_or_else(stranger)?;
    if state.silent.load(Ordering::SeqCst) {
        return Err(Problem::new(codes::BUSY, "authority: has no time", "again later"));
    }
    Ok(Json(state.keys.log.members(&request.certificates)?))
}

#[derive(serde::Deserialize)]
struct Sizes {
    from: u64,
    to: u64,
}

async fn log_consistency(
    State(state): State<Arc<Double>>,
    http::Query(Sizes { from, to }): http::Query<Sizes>,
) -> Result<Json<Consistency>, Problem> {
    let shown = state.keys.log.consistency(from, to);
    shown.map(Json).ok_or_else(|| Problem::new(codes::NOT_FOUND, "log: it is shorter", "ask less"))
}

async fn log_file(
    State(state): State<Arc<Double>>,
    http::Path(path): http::Path<String>,
) -> Result<Vec<u8>, Problem> {
    let tile = state.keys.log.tile(&path);
    tile.ok_or_else(|| Problem::new(codes::NOT_FOUND, "log: no such file", "see its checkpoint"))
}

impl Double {
    fn grant(&self, name: &Name, csr: &[u8]) -> Result<AggregatorGrant, Failure> {
        let validity = *lock(&self.validity);
        let (certificate, mut log) = self.keys.certify_aggregator(name, csr, validity)?;
        log.ts += i64::from(self.misplaces.load(Ordering::SeqCst));
        Ok(AggregatorGrant {
            certificate,
            log,
            name: name.clone(),
            fleet: self.keys.fleet.clone(),
            log_index: 1,
            renew_at: Timestamp::now(),
        })
    }
}
