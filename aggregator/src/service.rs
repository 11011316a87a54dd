//! The running program: what listens, what polls, and how it stops.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sealsum_attest::certificate::Identity;
use sealsum_daemon::cli::Text;
use sealsum_daemon::http::{self, Connections, Limits, UnixSocket};
use sealsum_daemon::shutdown::{self, Shutdown};
use sealsum_daemon::tls::{self, Clients, RoleCheck};
use sealsum_daemon::{Failure, files, health, lock, ready, time};

use crate::admin::{self, AnswerBody, DeviceCounts, RoundCounts, StatusBody};
use crate::authority::AuthorityClient;
use crate::authority_log::AuthorityLog;
use crate::certificate::{self, Own};
use crate::config::Config;
use crate::devices::Devices;
use crate::http::App;
use crate::metrics::{self, Metrics, Present};
use crate::models::Models;
use crate::own_log::OwnLog;
use crate::record::State;
use crate::rounds::{Authority, Rounds};
use crate::store::Store;
use crate::{tasks, vector_file};

/// The parts that requests work with.
pub struct Service {
    config: Config,
    listen: String,
    own: tls::Identity,
    identity: Mutex<Identity>,
    /// The database.
    pub store: Arc<Store>,
    /// What rounds start from.
    pub models: Models,
    /// Who may take part.
    pub devices: Arc<Devices>,
    /// This program's own log.
    pub log: Arc<OwnLog>,
    /// The authority's log.
    pub authority: Arc<Authority>,
    /// The rounds.
    pub rounds: Arc<Rounds>,
}

/// Between two looks at the authority's status list.
const STATUS_PERIOD: Duration = Duration::from_secs(15);
/// Between two looks at our certificate's age, and two attempts to renew it.
const RENEWAL_PERIOD: Duration = Duration::from_secs(30);

/// `run`: serves until SIGTERM.
///
/// # Errors
/// When it cannot start: `not_enrolled`, `already_running`, `address_unavailable` and the like.
pub fn run(config: &Path, ready_file: Option<&Path>) -> Result<Text, Failure> {
    let config = Config::load(config)?;
    files::create_private_dir(&config.state_dir)?;
    let _lock = lock::single_instance(&config.state_dir)?;
    ready::clear(ready_file)?;
    let own = certificate::open(&config)?;
    // Each device holds a connection; the usual 1024 would be the end of a large cohort.
    sealsum_daemon::allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::bug(format!("runtime: {error}")))?;
    runtime.block_on(serve(config, own, ready_file))?;
    // Whatever still waits for a disk or a peer does not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(Text(String::new()))
}

async fn serve(config: Config, own: Own, ready_file: Option<&Path>) -> Result<(), Failure> {
    let stop = shutdown::on_signals()
        .map_err(|error| Failure::bug(format!("signals: cannot be handled: {error}")))?;
    let listener = http::listen(config.listen).await?;
    let health_listener = http::listen(config.health.listen).await?;
    let socket_path = config.socket();
    let socket = UnixSocket::bind(&socket_path, files::PRIVATE)?;
    let listen = address(listener.local_addr())?;
    let health_address = address(health_listener.local_addr())?;

    let connections = Connections::default();
    let tls = server_tls(&config, &own)?;
    let (metrics, mut registry) = Metrics::register();
    let service = Service::open(config, own, connections.clone(), listen.to_string(), metrics)?;
    let service = Arc::new(service);
    metrics::register_present(&service, &mut registry);
    service.rounds.abandon_unfinished()?;
    service.fetch_status_list().await;

    let router = crate::http::router(service.app());
    let devices = http::serve_tls(listener, tls, router, for_devices(), connections, stop.clone());
    let router = admin::router(Arc::clone(&service));
    let admin = http::serve_unix(socket, router, Limits::default(), stop.clone());
    let health =
        health::serve(health_listener, readiness(&service), Arc::new(registry), stop.clone());
    let work = tokio::spawn({
        let service = Arc::clone(&service);
        let stop = stop.clone();
        async move { tokio::join!(service.poll_status(&stop), service.keep_certificate(&stop)) }
    });
    let ready = ready::Ready::new(Some(listen), Some(health_address), Some(socket_path));
    ready::announce(ready_file, &ready)?;
    tracing::info!(%listen, health = %health_address, "serving");
    let rounds = async {
        // First, so that nobody who waits for a round holds up the end.
        stop.wait().await;
        let rounds = Arc::clone(&service.rounds);
        if let Err(error) = tokio::task::spawn_blocking(move || rounds.stop()).await {
            tracing::error!(%error, "the rounds could not be ended");
        }
    };
    tokio::join!(rounds, devices, admin, health);
    work.abort();
    Ok(())
}

/// A whole cohort is connected at once; a device that computes for minutes must not be taken for
/// lost.
fn for_devices() -> Limits {
    Limits { connections: 12_000, idle: Duration::from_secs(300), ..Limits::default() }
}

fn address(bound: std::io::Result<std::net::SocketAddr>) -> Result<std::net::SocketAddr, Failure> {
    bound.map_err(|error| Failure::bug(format!("listener: has no address: {error}")))
}

/// Only certificates of this fleet's devices get through the handshake.
fn server_tls(config: &Config, own: &Own) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let fleet = own.identity.fleet.clone();
    let check: RoleCheck = Arc::new(move |certificate| {
        let identity = Identity::parse(certificate).map_err(|error| error.to_string())?;
        identity.device().map_err(|error| error.to_string())?;
        if identity.fleet == fleet {
            Ok(())
        } else {
            Err(format!("a device of the fleet {}", identity.fleet))
        }
    });
    let roots = tls::read_roots(&config.authority.ca)?;
    tls::server_config(&own.tls, Clients::Required(roots, check))
}

fn readiness(service: &Arc<Service>) -> health::Readiness {
    let service = Arc::clone(service);
    Arc::new(move || service.reasons())
}

impl Service {
    fn open(
        config: Config,
        own: Own,
        connections: Connections,
        listen: String,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        let store = Arc::new(Store::open(&config.database())?);
        let log = OwnLog::open(&config, &own.identity.fleet, Arc::clone(&store))?;
        let models = Models::open(&config.models_dir())?;
        let ca = certificate::fleet_ca(&config)?.for_fleet(own.identity.fleet.clone());
        let devices = Arc::new(Devices::open(ca, Arc::clone(&store), connections)?);
        let authority = Arc::new(Authority {
            log: AuthorityLog::open(&config)?,
            config: config.clone(),
            own: own.tls.clone(),
        });
        let rounds = Rounds::open(
            &config,
            Arc::clone(&store),
            models.clone(),
            Arc::clone(&devices),
            Arc::clone(&authority),
            metrics,
        )?;
        let identity = Mutex::new(own.identity);
        let own = own.tls;
        let log = Arc::new(log);
        Ok(Self { config, listen, own, identity, store, models, devices, log, authority, rounds })
    }

    fn app(&self) -> App {
        App {
            rounds: Arc::clone(&self.rounds),
            devices: Arc::clone(&self.devices),
            models: self.models.clone(),
        }
    }

    /// Why no round can be opened now; empty if one can.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Err(failure) = self.devices.fresh(time::now()) {
            reasons.push(failure.message);
        }
        reasons.extend(self.authority.log.fork());
        if self.identity().not_after < time::now() {
            reasons.push("certificate: has expired".to_owned());
        }
        reasons
    }

    /// What the sum of a query's round says.
    ///
    /// # Errors
    /// `not_found`, `not_finished`, the abort code, `usage` if the task sums vectors.
    pub fn answer(&self, round: &str) -> Result<AnswerBody, Failure> {
        let record = self.rounds.record(self.rounds.resolve(round)?)?;
        let file = self.rounds.result_file(record.round)?;
        let task = tasks::of_round(&self.store, &record)?.task;
        let unreadable = |error| Failure::bug(format!("result {}: {error}", file.display()));
        AnswerBody::of(&record, &task, &vector_file::read(&file).map_err(unreadable)?)
    }

    /// What `status` shows.
    ///
    /// # Errors
    /// When the database fails.
    pub fn status(&self) -> Result<StatusBody, Failure> {
        let reasons = self.reasons();
        let (active, revoked) = self.devices.counts();
        let identity = self.identity();
        Ok(StatusBody {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: self.listen.clone(),
            ready: reasons.is_empty(),
            reasons,
            fleet: identity.fleet.to_string(),
            name: self.config.name.to_string(),
            certificate_not_after: identity.not_after,
            status_list: self.devices.newest().map(|newest| newest.list.number),
            devices: DeviceCounts { active, revoked },
            rounds: RoundCounts {
                running: self.store.count_rounds(State::Running)?,
                finished: self.store.count_rounds(State::Finished)?,
                aborted: self.store.count_rounds(State::Aborted)?,
            },
            log: self.log.head()?,
        })
    }

    fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn poll_status(self: &Arc<Self>, stop: &Shutdown) {
        while pause(STATUS_PERIOD, stop).await {
            self.fetch_status_list().await;
        }
    }

    async fn fetch_status_list(self: &Arc<Self>) {
        let service = Arc::clone(self);
        let fetch = move || {
            let encoded = AuthorityClient::anonymous(&service.config)?.status_list()?;
            let newest = service.devices.admit(encoded)?;
            service.rounds.status_list(&newest);
            Ok::<u64, Failure>(newest.list.number)
        };
        match tokio::task::spawn_blocking(fetch).await {
            Ok(Ok(number)) => tracing::debug!(number, "status list"),
            Ok(Err(error)) => tracing::warn!(%error, "no new status list"),
            Err(error) => tracing::error!(%error, "the status list could not be fetched"),
        }
    }

    /// Renews the certificate at two thirds of its life, and tries until it works. A renewal also
    /// pins the authority's log where that is yet to be done.
    async fn keep_certificate(self: &Arc<Self>, stop: &Shutdown) {
        while pause(self.until_renewal(), stop).await {
            if !self.renewal_is_due() {
                continue;
            }
            let service = Arc::clone(self);
            let renew =
                move || certificate::renew(&service.config, &service.own, &service.authority.log);
            match tokio::task::spawn_blocking(renew).await {
                Ok(Ok(identity)) => self.take_over(identity),
                Ok(Err(error)) => tracing::warn!(%error, "the certificate was not renewed"),
                Err(error) => tracing::error!(%error, "the certificate was not renewed"),
            }
            if !pause(RENEWAL_PERIOD, stop).await {
                return;
            }
        }
    }

    fn take_over(&self, identity: Identity) {
        tracing::info!(not_after = %identity.not_after, "certificate renewed");
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    fn renewal_is_due(&self) -> bool {
        let due = certificate::renew_at(&self.identity()) <= time::now();
        due || !self.authority.log.is_pinned()
    }

    fn until_renewal(&self) -> Duration {
        let now: Timestamp = time::now();
        if self.renewal_is_due() {
            return Duration::from_secs(1);
        }
        let left = certificate::renew_at(&self.identity()).duration_since(now);
        Duration::try_from(left)
            .unwrap_or(Duration::ZERO)
            .clamp(Duration::from_secs(1), RENEWAL_PERIOD)
    }
}

impl Present for Service {
    fn devices(&self) -> (u64, u64) {
        self.devices.counts()
    }

    fn log_size(&self) -> u64 {
        self.log.size().unwrap_or_default()
    }

    fn certificate_left_s(&self) -> i64 {
        self.identity().not_after.duration_since(time::now()).as_secs()
    }
}

/// Waits; false when the program stops.
async fn pause(duration: Duration, stop: &Shutdown) -> bool {
    tokio::select! {
        () = tokio::time::sleep(duration) => true,
        () = stop.wait() => false,
    }
}
