//! Servers on TCP: TLS for the world, plain for loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{accept_all, converse, standard};
use super::{ConnectionHandle, Connections, Limits, Peer};
use crate::codes;
use crate::failure::Failure;
use crate::shutdown::Shutdown;

/// Listens on an address; port 0 lets the system choose.
///
/// # Errors
/// `address_unavailable`.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            codes::ADDRESS_UNAVAILABLE,
            format!("{address}: cannot be listened on: {error}"),
            "another port in `listen`, or 0 to let the system choose",
        )
    })
}

/// Serves a router over TLS until the server stops, with [`Peer`] in each request's extensions.
///
/// Every connection is in `connections` while it is open, so that those of a revoked device can be
/// closed.
pub async fn serve_tls(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    router: Router,
    limits: Limits,
    connections: Connections,
    shutdown: Shutdown,
) {
    let acceptor = TlsAcceptor::from(config);
    let router = standard(router);
    let handle = |(stream, address): (TcpStream, SocketAddr)| {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        let (connections, shutdown) = (connections.clone(), shutdown.clone());
        async move {
            // In a box of its own: for as long as the connection lives, its task is as large as the
            // largest thing that it ever waits for.
            let handshake = Box::pin(shake_hands(&acceptor, stream, address, limits));
            let Some(stream) = handshake.await else { return };
            let peer = peer_of(&stream, address);
            let connection = peer.connection.clone();
            let _entered = connections.enter(peer.clone());
            converse(stream, peer, &connection, router, limits, &shutdown).await;
        }
    };
    accept_all(|| listener.accept(), handle, limits, &shutdown).await;
}

async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    limits: Limits,
) -> Option<Box<TlsStream<TcpStream>>> {
    // Without this each answer waits 40 ms for the other side's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "connection ended");
        return None;
    }
    match timeout(limits.handshake, acceptor.accept(stream)).await {
        // In a box: it is passed on more than once, and a future keeps room for each.
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::info!(%address, %error, "TLS handshake refused");
            None
        }
        Err(_) => {
            tracing::info!(%address, "TLS handshake took too long");
            None
        }
    }
}

fn peer_of(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Peer {
    let (_, session) = stream.get_ref();
    let certificates = session.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned());
    Peer { certificates: certificates.collect(), address, connection: ConnectionHandle::default() }
}

/// Serves a router without TLS until the server stops: for health and metrics on loopback.
pub async fn serve_plain(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let router = standard(router);
    let handle = |(stream, address): (TcpStream, SocketAddr)| {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        async move {
            let never_closed = ConnectionHandle::default();
            if stream.set_nodelay(true).is_ok() {
                converse(stream, address, &never_closed, router, limits, &shutdown).await;
            }
        }
    };
    accept_all(|| listener.accept(), handle, limits, &shutdown).await;
}
