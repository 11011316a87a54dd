//! HTTPS to the authority: ureq over a rustls configuration that checks the server's role.
//!
//! ureq's own TLS takes no certificate verifier, so the connector here does its part of the work.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sealsum_daemon::{Failure, http, tls};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};
use ureq::{Agent, Body};

/// Longest a request may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes: a status list of a large fleet.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;

/// A client of one server.
pub struct Client {
    agent: Agent,
    url: String,
    target: String,
}

impl Client {
    /// Talks to `url`; `name` is for errors.
    pub fn new(name: &str, url: &str, config: Arc<ClientConfig>) -> Self {
        let connector = Connector::<()>::chain(TcpConnector::default(), TlsConnector { config });
        let settings = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_age(Duration::from_secs(1))
            .build();
        let url = url.trim_end_matches('/').to_owned();
        Self {
            agent: Agent::with_parts(settings, connector, DefaultResolver::default()),
            target: format!("{name} {url}"),
            url,
        }
    }

    /// The bytes of `GET path`.
    ///
    /// # Errors
    /// When the server cannot be reached, is the wrong one, or says no.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        self.bytes(answer)
    }

    /// The JSON answer to `POST path` with a JSON body.
    ///
    /// # Errors
    /// When the server cannot be reached, is the wrong one, says no, or answers something else.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let answer = self.agent.post(format!("{}{path}", self.url)).send_json(body);
        let bytes = self.bytes(answer)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::bug(format!("{}: an answer that cannot be read: {error}", self.target))
        })
    }

    fn bytes(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, Failure> {
        let mut answer = answer.map_err(|error| self.unreached(&error))?;
        let body = answer.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec();
        let bytes = body.map_err(|error| self.unreached(&error))?;
        match answer.status().as_u16() {
            200 => Ok(bytes),
            status => Err(http::failure_from_answer(&self.target, status, &bytes)),
        }
    }

    fn unreached(&self, error: &ureq::Error) -> Failure {
        match error {
            ureq::Error::Io(error) => tls::connection_failure(&self.target, error),
            ureq::Error::Rustls(error) => tls::connection_failure(&self.target, error),
            other => tls::connection_failure(&self.target, other),
        }
    }
}

/// Puts TLS on a TCP connection.
struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector(..)")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<TlsTransport>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(host).map_err(|_| ureq::Error::BadUri(details.uri.to_string()))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name)?;
        let mut socket =
            TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) }))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport(..)")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
