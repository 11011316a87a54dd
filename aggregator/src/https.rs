//! HTTPS to the authority: ureq over a rustls configuration that checks the server's role.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sealsum_daemon::https::{self, TlsConnector};
use sealsum_daemon::{Failure, http};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
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
        let connector = Connector::<()>::chain(TcpConnector::default(), TlsConnector(config));
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
        https::failure(&self.target, error)
    }
}
