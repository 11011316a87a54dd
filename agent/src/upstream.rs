//! One server over HTTPS: every time-out set, every failure named, one place that tries again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sealsum_daemon::codes::{self, Exit};
use sealsum_daemon::https::{self, TlsConnector};
use sealsum_daemon::{Failure, http};
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

/// The handshake may hold one signature by a slow TPM, whose own deadline is 9 s.
const CONNECT: Duration = Duration::from_secs(15);
const RESOLVE: Duration = Duration::from_secs(5);
/// For the head of a request and of its answer.
const HEAD: Duration = Duration::from_secs(15);
/// For a body of either direction: 2^26 coordinates at 100 Mbit/s take 43 s.
const BODY: Duration = Duration::from_secs(120);
/// A round's connection is quiet while a step waits, not longer.
const IDLE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A server. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Upstream {
    agent: ureq::Agent,
    base: String,
    who: &'static str,
}

/// What came back, whatever the status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A request, in the order of its lines.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// Path and query.
    pub path: &'a str,
    /// Content type and body.
    pub body: Option<(&'static str, &'a [u8])>,
    /// How long the server may hold the answer back.
    pub wait: Duration,
    /// Longest body read back, in bytes.
    pub limit: u64,
}

impl<'a> Request<'a> {
    /// Longest answer unless a request says otherwise.
    const LIMIT: u64 = 64 << 20;

    /// `GET path`.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, body: None, wait: Duration::ZERO, limit: Self::LIMIT }
    }

    /// `POST path` with a body.
    pub fn post(path: &'a str, content_type: &'static str, body: &'a [u8]) -> Self {
        Self { method: "POST", body: Some((content_type, body)), ..Self::get(path) }
    }

    /// `PUT path` with a body.
    pub fn put(path: &'a str, content_type: &'static str, body: &'a [u8]) -> Self {
        Self { method: "PUT", ..Self::post(path, content_type, body) }
    }
}

impl Upstream {
    /// The server `who` (`authority`, `aggregator`) at `url`, reached with these keys and roots.
    pub fn new(who: &'static str, url: &str, tls: Arc<ClientConfig>) -> Self {
        let config = Config::builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("sealsum-agent/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE)
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(HEAD))
            .timeout_send_body(Some(BODY))
            .timeout_recv_body(Some(BODY))
            .build();
        let connector = ().chain(TcpConnector::default()).chain(TlsConnector(tls));
        Self {
            agent: ureq::Agent::with_parts(config, connector, DefaultResolver::default()),
            base: url.trim_end_matches('/').to_owned(),
            who,
        }
    }

    /// Sends one request and reads the answer whole.
    ///
    /// # Errors
    /// `unreachable`, `wrong_ca`, `tls`; any HTTP status is an answer.
    pub fn send(&self, request: Request<'_>) -> Result<Answer, Failure> {
        self.try_send(request).map_err(|error| self.explain(&error))
    }

    fn try_send(&self, request: Request<'_>) -> Result<Answer, ureq::Error> {
        let answer_within = HEAD + request.wait;
        let builder = ureq::http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.base, request.path));
        let (content_type, body) = request.body.unwrap_or(("application/octet-stream", &[]));
        let message = builder.header("content-type", content_type).body(body)?;
        let message = self
            .agent
            .configure_request(message)
            .timeout_recv_response(Some(answer_within))
            .timeout_global(Some(CONNECT + RESOLVE + HEAD + BODY + answer_within + BODY))
            .allow_non_standard_methods(true)
            .build();
        let mut response = self.agent.run(message)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(request.limit).read_to_vec()?;
        Ok(Answer { status, body })
    }

    /// Sends one request; anything but a 2xx is the server's refusal.
    ///
    /// # Errors
    /// As [`Upstream::send`], and what the server said.
    pub fn demand(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let answer = self.send(request)?;
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    /// The server's no, in its own words.
    pub fn refusal(&self, answer: &Answer) -> Failure {
        http::failure_from_answer(
            &format!("{} {}", self.who, self.base),
            answer.status,
            &answer.body,
        )
    }

    fn explain(&self, error: &ureq::Error) -> Failure {
        https::failure(&format!("{} {}", self.who, self.base), error)
    }
}

/// Whether trying again may help by itself: nobody answered, or the server has no time.
pub fn is_transient(failure: &Failure) -> bool {
    let lasting = [codes::TLS, codes::WRONG_CA, codes::TPM_UNREACHABLE];
    failure.code.exit() == Exit::Unreachable && !lasting.contains(&failure.code)
}

/// Pauses that grow from 0.1 s to 5 s.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Backoff {
    /// The next pause; each is twice the last, within 25 % at random so that a fleet does not
    /// come back in step.
    pub fn pause(&mut self) -> Duration {
        let base = self.0;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        let mut byte = [128];
        // Without randomness the fleet is in step, which is no reason to stop.
        let _ = crate::random::fill(&mut byte);
        base.mul_f64(0.75 + f64::from(byte[0]) / 512.0)
    }
}

/// Repeats `attempt` while it fails transiently and `until` has not come.
///
/// # Errors
/// The last failure.
pub fn persist<T>(
    until: Instant,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut backoff = Backoff::default();
    loop {
        match attempt() {
            Err(failure) if is_transient(&failure) => {
                let pause = backoff.pause();
                if Instant::now() + pause >= until {
                    return Err(failure);
                }
                std::thread::sleep(pause);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: codes::Code) -> Failure {
        Failure::new(code, "a: b", "c")
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let soon = Instant::now() + Duration::from_secs(5);
        let mut calls = 0;
        let result = persist(soon, || {
            calls += 1;
            if calls < 3 { Err(failure(codes::UNREACHABLE)) } else { Ok(calls) }
        });
        assert_eq!(result, Ok(3));
        let mut calls = 0;
        let result: Result<(), _> = persist(soon, || {
            calls += 1;
            Err(failure(codes::WRONG_CA))
        });
        assert_eq!((result.unwrap_err().code, calls), (codes::WRONG_CA, 1));
    }

    #[test]
    fn trying_again_ends_with_the_deadline() {
        let started = Instant::now();
        let result: Result<(), _> =
            persist(started + Duration::from_millis(300), || Err(failure(codes::UNREACHABLE)));
        assert!(result.is_err());
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST_PAUSE.mul_f64(1.25));
        assert!(pauses[11] >= LONGEST_PAUSE.mul_f64(0.75));
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE.mul_f64(1.25)));
    }
}
