//! The client of a program's Unix socket, for its own commands.

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{problem::failure_from_answer, socket};
use crate::codes;
use crate::failure::Failure;
use crate::{Program, files};

/// How long a connection to a socket on this machine may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the answer may take unless the client says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer that is kept in memory, bytes.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Calls a program over its Unix socket; a connection per request.
#[derive(Clone, Debug)]
pub struct UnixClient {
    program: Program,
    path: PathBuf,
    patience: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, such as `Sealsum-Round`.
    pub headers: HeaderMap,
    /// The body; empty if it went elsewhere.
    pub body: Bytes,
}

impl UnixClient {
    /// Of the program that listens at `path`.
    pub fn new(program: Program, path: impl Into<PathBuf>) -> UnixClient {
        UnixClient { program, path: path.into(), patience: PATIENCE }
    }

    /// Waits this long for an answer: more than the server may take to answer a long poll.
    pub fn with_patience(mut self, patience: Duration) -> UnixClient {
        self.patience = patience;
        self
    }

    /// Sends a request and reads the answer, of at most 64 MiB. `target` is the path with its
    /// query.
    ///
    /// # Errors
    /// `agent_not_running` or `unreachable` if nobody listens, `deadline` if no answer comes in
    /// time, `caller_not_allowed` if this user may not connect.
    pub async fn request(
        &self,
        method: Method,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Failure> {
        self.within_patience(async {
            let (parts, incoming) = self.send(method, target, body.into()).await?.into_parts();
            let body = http_body_util::Limited::new(incoming, ANSWER_LIMIT)
                .collect()
                .await
                .map_err(|error| self.broken(&*error))?
                .to_bytes();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        })
        .await
    }

    /// Sends JSON and reads JSON.
    ///
    /// # Errors
    /// As [`request`](UnixClient::request), and whatever error the program answers with.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let json = serde_json::to_vec(body)
            .map_err(|error| Failure::bug(format!("request: cannot be written: {error}")))?;
        let answer = self.request(method, target, json).await?;
        self.accepted(&answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::bug(format!("{}: an answer that cannot be read: {error}", self.name()))
        })
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// As [`call`](UnixClient::call).
    pub async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        self.call(Method::GET, target, &()).await
    }

    /// Reads an answer of any size into a file, whole or not at all; nothing is written unless the
    /// status is 200.
    ///
    /// # Errors
    /// As [`call`](UnixClient::call), and `file_write`.
    pub async fn download(&self, target: &str, path: &Path) -> Result<HeaderMap, Failure> {
        self.within_patience(async {
            let response = self.send(Method::GET, target, Bytes::new()).await?;
            let (parts, mut body) = response.into_parts();
            if parts.status != hyper::StatusCode::OK {
                let body = http_body_util::Limited::new(body, ANSWER_LIMIT).collect().await;
                let body = body.map_err(|error| self.broken(&*error))?.to_bytes();
                return Err(failure_from_answer(self.name(), parts.status.as_u16(), &body));
            }
            let mut file = files::Replacement::begin(path, files::PUBLIC)?;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.broken(&error))?;
                if let Some(data) = frame.data_ref() {
                    file.write_all(data).map_err(|error| files::write_failure(path, &error))?;
                }
            }
            file.finish()?;
            Ok(parts.headers)
        })
        .await
    }

    /// The error that an answer other than 2xx stands for.
    ///
    /// # Errors
    /// That one.
    pub fn accepted(&self, answer: &Answer) -> Result<(), Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(failure_from_answer(self.name(), answer.status, &answer.body))
    }

    const fn name(&self) -> &'static str {
        self.program.binary()
    }

    async fn within_patience<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::time::timeout(self.patience, work).await.unwrap_or_else(|_| {
            Err(Failure::new(
                codes::DEADLINE,
                format!("{}: no answer within {} s", self.name(), self.patience.as_secs()),
                "again later; its log says what it is doing",
            ))
        })
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = match tokio::time::timeout(CONNECT, socket::connect(&self.path)).await {
            Ok(connected) => connected.map_err(|error| self.not_connected(&error))?,
            Err(_) => return Err(self.not_connected(&io::ErrorKind::TimedOut.into())),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // Ends with the sender or with the connection; its error reaches us through the sender.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(hyper::header::HOST, "local")
            .body(Full::new(body))
            .map_err(|error| Failure::bug(format!("request {target}: {error}")))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    fn not_connected(&self, error: &io::Error) -> Failure {
        let path = self.path.display();
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Failure::new(
                codes::CALLER_NOT_ALLOWED,
                format!("{path}: this user may not talk to {}", self.name()),
                "as root or as the user of the service, with sudo -u",
            );
        }
        let (code, hint) = match self.program {
            Program::Agent => (codes::AGENT_NOT_RUNNING, "systemctl start sealsum-agent"),
            Program::Aggregator => (codes::UNREACHABLE, "systemctl start sealsum-aggregator"),
            Program::Authority => (codes::UNREACHABLE, "systemctl start sealsum-authority"),
        };
        Failure::new(
            code,
            format!("{}: is not running: {path}: {error}", self.name()),
            format!("{hint}, or {} run with the same --dir", self.name()),
        )
    }

    fn broken(&self, error: &dyn std::error::Error) -> Failure {
        Failure::new(
            codes::UNREACHABLE,
            format!("{}: the connection broke: {error}", self.name()),
            "again; its log says what happened",
        )
    }
}
