//! A double of the authority: certificates for one token, and a status list that tests change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::inclusion::{Consistency, MembersProof, MembersRequest};
use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, Info, PROTOCOL_VERSION,
};
use sealsum_attest::status::{PERIOD_S, StatusList};
use sealsum_daemon::codes;
use sealsum_daemon::http::{self, Connections, Json, Limits, Problem};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::tls::{self, Clients};

use crate::fleet::{DAY, FleetKeys, Validity};

pub(crate) const TOKEN: &str = "the-token-of-this-test";

/// Runs until dropped.
pub(crate) struct Authority {
    pub(crate) url: String,
    state: Arc<Double>,
    stop: Shutdown,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Double {
    keys: Arc<FleetKeys>,
    list: Mutex<StatusList>,
    validity: Mutex<Validity>,
    name: Mutex<Option<sealsum_attest::ids::Name>>,
    renewals: Mutex<u32>,
    silent: AtomicBool,
    misplaces: AtomicBool,
}

impl Authority {
    pub(crate) fn start(keys: Arc<FleetKeys>) -> Self {
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
            list: Mutex::new(list),
            validity: Mutex::new(DAY),
            name: Mutex::default(),
            renewals: Mutex::default(),
            silent: AtomicBool::new(false),
            misplaces: AtomicBool::new(false),
        });
        let stop = Shutdown::new();
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let (state, stop) = (Arc::clone(&state), stop.clone());
            move || serve(state, stop, &send)
        });
        let address: std::net::SocketAddr = receive.recv().unwrap();
        Self { url: format!("https://{address}"), state, stop, thread: Some(thread) }
    }

    /// From now on the device is on the list.
    pub(crate) fn revoke(&self, device: DeviceId) {
        let mut list = self.state.list.lock().unwrap();
        list.revoked_devices.insert(device);
        list.number += 1;
    }

    /// From now on the list counts from here: 0 makes it go back.
    pub(crate) fn number(&self, number: u64) {
        self.state.list.lock().unwrap().number = number;
    }

    /// How long certificates are good from now on.
    pub(crate) fn issue_for(&self, validity: Validity) {
        *self.state.validity.lock().unwrap() = validity;
    }

    /// From now on it answers nothing about its log.
    pub(crate) fn silence(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// From now on certificates are not where it says they are in its log.
    pub(crate) fn misplace(&self) {
        self.state.misplaces.store(true, Ordering::SeqCst);
    }

    /// How often a certificate was renewed.
    pub(crate) fn renewals(&self) -> u32 {
        *self.state.renewals.lock().unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.stop.trigger();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn serve(
    state: Arc<Double>,
    stop: Shutdown,
    started: &std::sync::mpsc::Sender<std::net::SocketAddr>,
) {
    let key = state.keys.authority_key.serialize_der();
    let key = tls::signing_key(rustls::pki_types::PrivatePkcs8KeyDer::from(key).into()).unwrap();
    let chain = vec![state.keys.authority_der.clone().into()];
    let identity = tls::Identity::new(chain, key).unwrap();
    let roots = tls::chain_from_pem(state.keys.ca_pem.as_bytes(), "CA").unwrap();
    let roots = tls::roots(&roots, "CA").unwrap();
    let any: tls::RoleCheck = Arc::new(|_| Ok(()));
    let config = tls::server_config(&identity, Clients::Optional(roots, any)).unwrap();
    let router = Router::new()
        .route("/v1/info", get(info))
        .route("/v1/aggregator/enroll", post(enrol))
        .route("/v1/aggregator/renew", post(renew))
        .route("/v1/status-list", get(status_list))
        .route("/v1/log/members", post(log_members))
        .route("/v1/log/consistency", get(log_consistency))
        .route("/v1/log/{*path}", get(log_file))
        .with_state(state);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = http::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        started.send(listener.local_addr().unwrap()).unwrap();
        let connections = Connections::default();
        http::serve_tls(listener, config, router, Limits::default(), connections, stop).await;
    });
}

async fn info(State(state): State<Arc<Double>>) -> Json<Info> {
    Json(Info { fleet: state.keys.fleet.clone(), protocol: PROTOCOL_VERSION })
}

async fn enrol(
    State(state): State<Arc<Double>>,
    Json(request): Json<AggregatorEnrolRequest>,
) -> Result<Json<AggregatorGrant>, Problem> {
    assert_eq!(request.protocol, PROTOCOL_VERSION);
    if request.token != TOKEN {
        let hint = "sealsum-authority token create";
        return Err(Problem::new(codes::TOKEN_INVALID, "token: is unknown", hint));
    }
    *state.name.lock().unwrap() = Some(request.name.clone());
    Ok(Json(state.grant(&request.csr.0)))
}

async fn renew(
    State(state): State<Arc<Double>>,
    axum::Extension(peer): axum::Extension<http::Peer>,
    Json(request): Json<AggregatorRenewRequest>,
) -> Json<AggregatorGrant> {
    assert!(peer.certificate().is_some(), "a renewal shows the old certificate");
    *state.renewals.lock().unwrap() += 1;
    Json(state.grant(&request.csr.0))
}

async fn status_list(State(state): State<Arc<Double>>) -> Vec<u8> {
    let mut list = state.list.lock().unwrap().clone();
    list.issued_at = Timestamp::now();
    list.next_update = list.issued_at + SignedDuration::from_secs(PERIOD_S);
    state.keys.sign_status(list)
}

fn busy() -> Problem {
    Problem::new(codes::BUSY, "authority: has no time", "again later")
}

async fn log_members(
    State(state): State<Arc<Double>>,
    axum::Extension(peer): axum::Extension<http::Peer>,
    Json(request): Json<MembersRequest>,
) -> Result<Json<MembersProof>, Problem> {
    assert!(peer.certificate().is_some(), "the log is for members of the fleet");
    if state.silent.load(Ordering::SeqCst) {
        return Err(busy());
    }
    let unknown = |name: String| {
        Problem::new(codes::NOT_FOUND, format!("certificate {name}: is not in the log"), "enrol")
    };
    Ok(Json(state.keys.log.members(&request.certificates).map_err(unknown)?))
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
    fn grant(&self, csr: &[u8]) -> AggregatorGrant {
        let name = self.name.lock().unwrap().clone().unwrap();
        let validity = *self.validity.lock().unwrap();
        let (certificate, mut log) = self.keys.certify_aggregator(&name, csr, validity);
        log.ts += i64::from(self.misplaces.load(Ordering::SeqCst));
        AggregatorGrant {
            certificate,
            log,
            name,
            fleet: self.keys.fleet.clone(),
            log_index: 1,
            renew_at: Timestamp::now(),
        }
    }
}
