//! The server on a Unix socket, which knows its callers from the kernel.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tokio::net::UnixStream;

use super::connection::{accept_all, converse, standard};
use super::{Caller, ConnectionHandle, Limits, Problem, UnixSocket};
use crate::codes;
use crate::shutdown::Shutdown;

/// Serves a router on a Unix socket until the server stops, with [`Caller`] in each request's
/// extensions. Whoever may open the socket's file is served: a handler judges by the caller, or
/// wrap the router in [`owner_only`].
pub async fn serve_unix(socket: UnixSocket, router: Router, limits: Limits, shutdown: Shutdown) {
    let router = standard(router);
    let handle = |stream: UnixStream| {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        async move {
            let caller = match stream.peer_cred() {
                Ok(peer) => Caller { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() },
                Err(error) => {
                    tracing::warn!(%error, "a caller without credentials");
                    return;
                }
            };
            let never_closed = ConnectionHandle::default();
            converse(stream, caller, &never_closed, router, limits, &shutdown).await;
        }
    };
    let accept = || async { socket.listener.accept().await.map(|(stream, _)| stream) };
    accept_all(accept, handle, limits, &shutdown).await;
}

/// Serves only root and the user of this process; others get 403 `caller_not_allowed`.
pub fn owner_only(router: Router) -> Router {
    router.layer(from_fn(refuse_others))
}

async fn refuse_others(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.is_owner() => next.run(request).await,
        caller => {
            let who = caller.map_or("unknown".to_owned(), |caller| format!("uid {}", caller.uid));
            tracing::warn!(caller = who, "refused on the administration socket");
            Problem::new(
                codes::CALLER_NOT_ALLOWED,
                format!("administration: not for {who}"),
                "as root or as the user of the service, with sudo -u",
            )
            .into_response()
        }
    }
}
