//! `/livez`, `/readyz` and `/metrics` on a plain, local port.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::Program;
use crate::codes;
use crate::http::{Limits, Problem, serve_plain};
use crate::shutdown::Shutdown;

/// Why the program is not ready, a sentence each; empty if it is. Called for each `/readyz`.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The metrics that every program has: `sealsum_build_info{program,version}`. Give it the
/// program's own `CARGO_PKG_VERSION`; register further metrics with names that begin `sealsum_`.
pub fn registry(program: Program, version: &'static str) -> Registry {
    let mut registry = Registry::default();
    let labels = Info::new(vec![("program", program.name()), ("version", version)]);
    registry.register("sealsum_build", "What runs here", labels);
    registry
}

#[derive(Clone)]
struct Health {
    readiness: Readiness,
    registry: Arc<Registry>,
}

/// The routes.
pub fn router(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Health { readiness, registry })
}

/// Serves the routes until the program stops.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: Arc<Registry>,
    shutdown: Shutdown,
) {
    let limits = Limits { connections: 64, ..Limits::default() };
    serve_plain(listener, router(readiness, registry), limits, shutdown).await;
}

async fn readyz(State(health): State<Health>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        ready: bool,
        reasons: Vec<String>,
    }
    let reasons = (health.readiness)();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(Ready { ready, reasons })).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &health.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => Problem::new(codes::BUG, format!("metrics: {error}"), "").into_response(),
    }
}
