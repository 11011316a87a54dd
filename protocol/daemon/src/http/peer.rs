//! Who is at the other end of a connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::CertificateDer;

use crate::shutdown::Shutdown;

/// The other end of a TLS connection; an extension of each of its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The verified chain, the end-entity certificate first; empty if it showed none.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// Its address.
    pub address: SocketAddr,
    /// The connection itself.
    pub connection: ConnectionHandle,
}

impl Peer {
    /// The end-entity certificate, if it showed one.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificates.first()
    }
}

/// Closes a connection from outside, in the middle of a request too.
#[derive(Clone, Debug, Default)]
pub struct ConnectionHandle(Shutdown);

impl ConnectionHandle {
    /// Closes the connection.
    pub fn close(&self) {
        self.0.trigger();
    }

    /// Returns once somebody closed it.
    pub(super) async fn closed(&self) {
        self.0.wait().await;
    }
}

/// The other end of a Unix socket, as the kernel knows it; an extension of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id at the time it connected.
    pub uid: u32,
    /// Primary group id at that time.
    pub gid: u32,
    /// Process id; for logs only, since a process may end and its id return.
    pub pid: Option<i32>,
}

impl Caller {
    /// Whether it is root or the user of this process.
    pub fn is_owner(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// The open TLS connections of a server; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Peer>>,
}

impl Connections {
    /// Closes every connection whose peer matches; says how many.
    pub fn close_where(&self, matches: impl Fn(&Peer) -> bool) -> usize {
        let open = self.lock();
        let matching = open.values().filter(|peer| matches(peer));
        matching.map(|peer| peer.connection.close()).count()
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Counts a connection in until the guard is dropped.
    pub(super) fn enter(&self, peer: Peer) -> Entered {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, peer);
        Entered { connections: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Peer>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Entered {
    connections: Connections,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.id);
    }
}
