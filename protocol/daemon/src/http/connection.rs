//! What happens on one connection, and on all connections of one listener.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::body::Timed;
use super::peer::ConnectionHandle;
use super::stall::StallLimit;
use super::{BODY_LIMIT, Limits, Problem};
use crate::codes;
use crate::shutdown::Shutdown;

/// Bytes that a connection holds before whoever reads them asks for more; the least that hyper takes.
/// By itself it lets this grow to 400 KB for each device that once sent a vector.
const BUFFER: usize = 8 * 1024;

/// The router with what every server has: a bound on bodies, and a [`Problem`] for what does not
/// exist.
pub(super) fn standard(router: Router) -> Router {
    router
        .fallback(|| async { Problem::new(codes::NOT_FOUND, "path: there is no such route", "") })
        .method_not_allowed_fallback(|| async {
            Problem::new(codes::NOT_FOUND, "method: not one of this route", "")
                .with_status(axum::http::StatusCode::METHOD_NOT_ALLOWED)
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// Answers the requests of one connection until it ends, is closed or the server stops. `who` is
/// put into each request's extensions.
pub(super) async fn converse<S, W>(
    stream: S,
    who: W,
    closed: &ConnectionHandle,
    router: Router,
    limits: Limits,
    shutdown: &Shutdown,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    W: Clone + Send + Sync + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        answer(router.clone(), who.clone(), request, limits)
    });
    let io = TokioIo::new(StallLimit::new(stream, limits.stall));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle)
            .max_header_size(limits.header_bytes)
            .max_buf_size(BUFFER)
            .serve_connection(io, service)
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = closed.closed() => return,
            () = shutdown.wait(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer<W: Clone + Send + Sync + 'static>(
    router: Router,
    who: W,
    request: hyper::Request<Incoming>,
    limits: Limits,
) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(who);
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        Body::new(Timed::new(body, limits.stall, limits.body))
    };
    router.oneshot(Request::from_parts(parts, body)).await
}

/// Accepts connections until the server stops, then lets those under way end within the drain
/// time and drops the rest.
pub(super) async fn accept_all<S, A, F, H, T>(
    mut accept: A,
    mut handle: H,
    limits: Limits,
    shutdown: &Shutdown,
) where
    A: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
    H: FnMut(S) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut tasks = JoinSet::new();
    let stop = shutdown.wait();
    let mut stop = pin!(stop);
    loop {
        while let Some(ended) = tasks.try_join_next() {
            report_panic(ended);
        }
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.as_mut() => break,
        };
        match accepted {
            Ok(stream) => {
                let conversation = handle(stream);
                tasks.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, say: the listener is whole, but in no hurry.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let drained = tokio::time::timeout(limits.drain, async {
        while let Some(ended) = tasks.join_next().await {
            report_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::info!(
            connections = tasks.len(),
            "closing connections that did not end by themselves"
        );
        tasks.shutdown().await;
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(code = codes::BUG.name(), "a request ended its connection by a panic");
    }
}
