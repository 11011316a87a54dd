//! The real aggregator in this process, behind something that changes its answers.
//!
//! It has the fleet's certificate for an aggregator, as a lying aggregator would: TLS is no help.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use sealsum_aggregator::authority::AuthorityClient;
use sealsum_aggregator::authority_log::AuthorityLog;
use sealsum_aggregator::certificate;
use sealsum_aggregator::config::Config;
use sealsum_aggregator::devices::Devices;
use sealsum_aggregator::http::App;
use sealsum_aggregator::metrics::Metrics;
use sealsum_aggregator::models::Models;
use sealsum_aggregator::rounds::{Authority, Rounds};
use sealsum_aggregator::store::Store;
use sealsum_aggregator::tasks;
use sealsum_attest::certificate::Identity;
use sealsum_daemon::http::{self, Connections, Limits};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::tls::{self, Clients};
use tokio::runtime::Runtime;

use crate::world::World;

/// Changes the bytes of one kind of message.
pub(crate) type Lie = fn(&mut Vec<u8>);

/// The aggregator.
pub(crate) struct Liar {
    store: Arc<Store>,
    rounds: Arc<Rounds>,
    telling: Arc<Telling>,
    stop: Shutdown,
    runtime: Runtime,
}

/// What is told instead of the truth, and what devices said.
#[derive(Default)]
struct Telling {
    /// The last part of a path, and what is done to the answer.
    lie: Mutex<Option<(&'static str, Lie)>>,
    /// Method and path of each request with a body.
    said: Mutex<Vec<String>>,
}

impl Liar {
    /// Takes the certificate of the world's aggregator; devices that enrol from now on know it.
    pub(crate) fn start(world: &mut World) -> Self {
        world.init_aggregator();
        let config = Config::load(&world.aggregator_dir().join("aggregator.toml")).unwrap();
        sealsum_daemon::files::create_private_dir(&config.state_dir).unwrap();
        let own = certificate::open(&config).unwrap();
        let ca = certificate::fleet_ca(&config).unwrap().for_fleet(own.identity.fleet.clone());
        let store = Arc::new(Store::open(&config.database()).unwrap());
        let connections = Connections::default();
        let devices = Devices::open(ca, Arc::clone(&store), connections.clone()).unwrap();
        let devices = Arc::new(devices);
        devices.admit(AuthorityClient::anonymous(&config).unwrap().status_list().unwrap()).unwrap();
        let models = Models::open(&config.models_dir()).unwrap();
        let authority = Arc::new(Authority {
            log: AuthorityLog::open(&config).unwrap(),
            config: config.clone(),
            own: own.tls.clone(),
        });
        let (metrics, _) = Metrics::register();
        let rounds = Rounds::open(
            &config,
            Arc::clone(&store),
            models.clone(),
            Arc::clone(&devices),
            authority,
            metrics,
        )
        .unwrap();
        let telling = Arc::new(Telling::default());
        let router =
            sealsum_aggregator::http::router(App { rounds: Arc::clone(&rounds), devices, models })
                .layer(middleware::from_fn_with_state(Arc::clone(&telling), tell));
        let roots = tls::read_roots(&config.authority.ca).unwrap();
        let device: tls::RoleCheck = Arc::new(|certificate| {
            let identity = Identity::parse(certificate).map_err(|error| error.to_string())?;
            identity.device().map(drop).map_err(|error| error.to_string())
        });
        let clients = Clients::Required(roots, device);
        let tls = tls::server_config(&own.tls, clients).unwrap();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(http::listen("127.0.0.1:0".parse().unwrap())).unwrap();
        world.aggregator_url = Some(format!("https://{}", listener.local_addr().unwrap()));
        let stop = Shutdown::new();
        let limits = Limits::default();
        runtime.spawn(http::serve_tls(listener, tls, router, limits, connections, stop.clone()));
        Self { store, rounds, telling, stop, runtime }
    }

    /// Registers a signed task.
    pub(crate) fn register(&self, signed: &[u8]) {
        tasks::register(&self.store, signed).unwrap();
    }

    /// Opens the next round of a task, in which one kind of answer is a lie.
    pub(crate) fn open(&self, task: &str, lie: Option<(&'static str, Lie)>) -> String {
        *self.telling.lie.lock().unwrap() = lie;
        self.telling.said.lock().unwrap().clear();
        let started = self.runtime.block_on(self.rounds.start(task, None)).unwrap();
        started.record.round.to_string()
    }

    /// What devices sent since the round was opened: `METHOD step` for each request with a body.
    pub(crate) fn said(&self) -> Vec<String> {
        self.telling.said.lock().unwrap().clone()
    }

    /// Ends a round.
    pub(crate) fn abort(&self, round: &str) {
        self.rounds.abort(self.rounds.resolve(round).unwrap()).unwrap();
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.trigger();
        self.rounds.stop();
    }
}

async fn tell(State(telling): State<Arc<Telling>>, request: Request, next: Next) -> Response {
    let asks = request.method() == Method::GET;
    let step = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    if !asks {
        telling.said.lock().unwrap().push(format!("{} {step}", request.method()));
    }
    let answer = next.run(request).await;
    let lie = *telling.lie.lock().unwrap();
    match lie {
        Some((of_step, lie)) if asks && of_step == step && answer.status() == StatusCode::OK => {
            let (mut head, body) = answer.into_parts();
            let mut bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            lie(&mut bytes);
            head.headers.remove("content-length");
            Response::from_parts(head, Body::from(bytes))
        }
        _ => answer,
    }
}
