//! HTTP/1.1 over TLS and over Unix sockets, bounded in every direction.
//!
//! A program builds an [`axum::Router`] and gives it to [`serve_tls`], [`serve_unix`] or
//! [`serve_plain`]. Handlers find who is calling as the extensions [`Peer`] (TLS) and [`Caller`]
//! (Unix socket), and use [`Json`], [`Raw`], [`Query`] and [`Path`] from here, whose refusals are a
//! [`Problem`] like every other error.

mod body;
mod client;
mod connection;
mod extract;
mod file;
mod peer;
mod problem;
mod server;
mod socket;
mod stall;
mod unix;

use std::time::Duration;

pub use client::{Answer, UnixClient};
pub use extract::{Json, Path, Query, Raw};
pub use file::file_body;
pub use peer::{Caller, ConnectionHandle, Connections, Peer};
pub use problem::{Problem, failure_from_answer};
pub use server::{listen, serve_plain, serve_tls};
pub use socket::UnixSocket;
pub use unix::{owner_only, serve_unix};

/// The largest body of a route that does not say otherwise (with
/// [`DefaultBodyLimit::max`](axum::extract::DefaultBodyLimit::max) as a layer), bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// What a server grants a connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the end of an answer, or the handshake, to the end of the next request's header: how
    /// long a connection may idle, and how slowly a header may trickle in.
    pub idle: Duration,
    /// Between two pieces of a body, and between two pieces of an answer that the other side takes.
    pub stall: Duration,
    /// For a whole body.
    pub body: Duration,
    /// For the header of a request, bytes.
    pub header_bytes: usize,
    /// For requests under way once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(20),
            body: Duration::from_secs(120),
            header_bytes: 8 * 1024,
            drain: crate::shutdown::DRAIN,
        }
    }
}
