//! The process: what listens, what is renewed, how it stops.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sealsum_attest::certificate::Identity;
use sealsum_daemon::http::{Connections, Limits, UnixSocket, listen, serve_tls, serve_unix};
use sealsum_daemon::ready::{self, Ready};
use sealsum_daemon::shutdown::{self, Shutdown};
use sealsum_daemon::tls::{self, Clients};
use sealsum_daemon::{Failure, Program, health, lock, time};
use tokio::net::TcpListener;

use crate::authority::{Authority, blocking};
use crate::config::Config;
use crate::http::Clock;
use crate::{admin, http, metrics};

/// Only root and the authority's own user may connect.
const SOCKET_MODE: u32 = 0o600;

/// How often the authority looks whether its own certificate is due.
const RENEWAL_CHECK: Duration = Duration::from_secs(30);

/// How often it looks whether the CA behind it, if there is one, can sign.
const CA_CHECK: Duration = Duration::from_secs(5);

/// Runs the authority until a signal ends it.
///
/// # Errors
/// `already_running`, `address_unavailable`, and those of [`Authority::open`].
pub async fn run(config: Config, ready_file: Option<&Path>) -> Result<(), Failure> {
    ready::clear(ready_file)?;
    let _lock = lock::single_instance(&config.state_dir)?;
    let shutdown = shutdown::on_signals()
        .map_err(|error| Failure::bug(format!("signal handlers: {error}")))?;
    let sockets = Sockets::open(&config).await?;
    let authority = Arc::new(Authority::open(config, time::now())?);
    let ready = sockets.ready()?;
    let servers = sockets.serve(&authority, Arc::new(time::now), &shutdown)?;
    let renewal = tokio::spawn(renew_own(Arc::clone(&authority), shutdown.clone()));
    let ca = tokio::spawn(keep_ca(Arc::clone(&authority), shutdown.clone()));
    ready::announce(ready_file, &ready)?;
    tracing::info!(fleet = %authority.info().fleet, listen = ?ready.listen, "authority ready");
    for task in servers.into_iter().chain([renewal, ca]) {
        task.await.map_err(|error| Failure::bug(format!("a server ended early: {error}")))?;
    }
    Ok(())
}

/// Everything that listens.
struct Sockets {
    tls: TcpListener,
    health: TcpListener,
    admin: UnixSocket,
}

type Task = tokio::task::JoinHandle<()>;

impl Sockets {
    async fn open(config: &Config) -> Result<Self, Failure> {
        Ok(Self {
            tls: listen(config.listen).await?,
            health: listen(config.health.listen).await?,
            admin: UnixSocket::bind(&config.socket, SOCKET_MODE)?,
        })
    }

    fn ready(&self) -> Result<Ready, Failure> {
        let (tls, health) = (address(&self.tls)?, address(&self.health)?);
        Ok(Ready::new(Some(tls), Some(health), Some(self.admin.path().to_owned())))
    }

    fn serve(
        self,
        authority: &Arc<Authority>,
        clock: Clock,
        shutdown: &Shutdown,
    ) -> Result<[Task; 3], Failure> {
        let limits = Limits::default();
        let listening = address(&self.tls)?;
        let admin_routes = admin::router(Arc::clone(authority), Arc::clone(&clock), listening);
        let tls = serve_tls(
            self.tls,
            tls_config(authority)?,
            http::router(Arc::clone(authority), clock),
            limits,
            Connections::default(),
            shutdown.clone(),
        );
        let admin = serve_unix(self.admin, admin_routes, limits, shutdown.clone());
        let mut registry = health::registry(Program::Authority, env!("CARGO_PKG_VERSION"));
        metrics::register(authority, &mut registry);
        let readiness = readiness(authority);
        let health = health::serve(self.health, readiness, Arc::new(registry), shutdown.clone());
        Ok([tokio::spawn(tls), tokio::spawn(admin), tokio::spawn(health)])
    }
}

/// Clients without a certificate may enrol; one that shows a certificate must be a member.
///
/// # Errors
/// If the CA's certificate is unusable.
pub fn tls_config(authority: &Authority) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let roots = tls::roots(&[authority.ca_certificate()], "ca.pem")?;
    let fleet = authority.info().fleet;
    let check: tls::RoleCheck = Arc::new(move |certificate| {
        let identity = Identity::parse(certificate).map_err(|error| error.to_string())?;
        match identity.fleet == fleet {
            true => Ok(()),
            false => Err(format!("a certificate of the fleet {}", identity.fleet)),
        }
    });
    tls::server_config(&authority.tls_identity(), Clients::Optional(roots, check))
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::bug(format!("own address: {error}")))
}

fn readiness(authority: &Arc<Authority>) -> health::Readiness {
    let authority = Arc::clone(authority);
    Arc::new(move || {
        let now = time::now();
        let mut reasons = Vec::new();
        if authority.own_not_after() <= now {
            reasons.push("the authority's own certificate has expired".to_owned());
        }
        if let Err(error) = authority.summary(now) {
            reasons.push(error.to_string());
        }
        reasons
            .extend(authority.ca_problem().map(|problem| format!("the CA cannot sign: {problem}")));
        reasons
    })
}

async fn renew_own(authority: Arc<Authority>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(RENEWAL_CHECK) => {}
        }
        let now = time::now();
        if !due(authority.own_renew_at(), now) {
            continue;
        }
        match blocking(&authority, move |authority| authority.renew_own(now)).await {
            Ok(()) => tracing::info!("own certificate renewed"),
            Err(error) => tracing::error!(%error, "own certificate not renewed"),
        }
    }
}

/// Stays logged in at the CA behind the authority and passes revocations on to it.
async fn keep_ca(authority: Arc<Authority>, shutdown: Shutdown) {
    loop {
        let kept = blocking(&authority, |authority| authority.keep_ca(time::now())).await;
        if let Err(error) = kept {
            tracing::error!(%error, "revocations not passed on");
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(CA_CHECK) => {}
        }
    }
}

fn due(renew_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(renew_at) >= SignedDuration::ZERO
}
