//! `run`: the daemon, from an empty process to the last request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use sealsum_daemon::http::{self, Limits, UnixSocket};
use sealsum_daemon::ready::{self, Ready};
use sealsum_daemon::shutdown::{self, Shutdown};
use sealsum_daemon::{Failure, Program, codes, health, lock};
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::service::Service;
use crate::state::StateDir;
use crate::{metrics, monitor, participate, recovery, socket, waiting, watch};

/// Callers are judged by who they are, not by the mode of the socket's file.
const SOCKET_MODE: u32 = 0o666;
/// The work is waiting; more threads would only take memory.
const WORKERS: usize = 2;

/// Runs the agent until it is told to stop.
///
/// # Errors
/// `already_running`, and those of [`Service::open`].
pub fn run(config_path: &Path, ready_file: Option<PathBuf>) -> Result<(), Failure> {
    forbid_core_dumps()?;
    ready::clear(ready_file.as_deref())?;
    let config = Config::load(config_path)?;
    let state = StateDir::open(&config.state_dir)?;
    let _lock = lock::single_instance(state.path())?;
    let runtime = runtime()?;
    let result = runtime.block_on(serve(config, state, ready_file));
    // Whatever still hangs in a TPM or a network ends with the process.
    runtime.shutdown_background();
    result
}

/// A core dump would write the secrets of a round to disk.
fn forbid_core_dumps() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)
        .map_err(|error| Failure::bug(format!("core dumps cannot be forbidden: {error}")))
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::bug(format!("runtime: {error}")))
}

async fn serve(
    config: Config,
    state: StateDir,
    ready_file: Option<PathBuf>,
) -> Result<(), Failure> {
    let shutdown = shutdown::on_signals()
        .map_err(|error| Failure::bug(format!("signal handlers: {error}")))?;
    let health_listener = match &config.health {
        Some(health) => Some(http::listen(health.listen).await?),
        None => None,
    };
    let Some(service) = open_or_recover(&config, &state, &shutdown).await? else { return Ok(()) };
    let socket = UnixSocket::bind(&service.config.socket, SOCKET_MODE)?;
    let health_address = health_listener.as_ref().and_then(|l| l.local_addr().ok());
    if let Some(listener) = health_listener {
        let (registry, readiness) = (metrics::registry(&service), metrics::readiness(&service));
        tokio::spawn(health::serve(listener, readiness, registry, shutdown.clone()));
    }
    monitor::start(&service);
    watch::start(&service);
    participate::start(&service);
    let ready = Ready::new(None, health_address, Some(socket.path().to_owned()));
    ready::announce(ready_file.as_deref(), &ready)?;
    let device = service.device().stored.device;
    tracing::info!(program = Program::Agent.binary(), %device, "ready");
    http::serve_unix(socket, socket::router(service), Limits::default(), shutdown).await;
    Ok(())
}

/// Opens the service; with lost keys, once the device has enrolled again.
async fn open_or_recover(
    config: &Config,
    state: &StateDir,
    shutdown: &Shutdown,
) -> Result<Option<Arc<Service>>, Failure> {
    match open(config.clone(), state.clone(), shutdown).await {
        Err(lost) if recovery::cures(&lost) => {
            waiting::until_enrolled(config, state, lost, SOCKET_MODE, shutdown).await?;
            if shutdown.is_triggered() {
                return Ok(None);
            }
            open(config.clone(), state.clone(), shutdown).await
        }
        opened => opened,
    }
}

/// Opens the service on a thread that may hang in the TPM; nothing if a signal came first.
async fn open(
    config: Config,
    state: StateDir,
    shutdown: &Shutdown,
) -> Result<Option<Arc<Service>>, Failure> {
    let for_service = shutdown.clone();
    let opening = tokio::task::spawn_blocking(move || Service::open(config, state, for_service));
    tokio::select! {
        opened = opening => {
            let opened = opened.map_err(|error| {
                Failure::new(codes::BUG, format!("start: {error}"), "report this with the log")
            })?;
            opened.map(|service| Some(Arc::new(service)))
        }
        () = shutdown.wait() => Ok(None),
    }
}
