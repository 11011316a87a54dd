//! Answers, and messages out of bodies.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sealsum_daemon::codes;
use sealsum_daemon::http::Problem;
use sealsum_protocol::codec::Message;

use crate::refused::Refused;

/// 200 with a message.
pub(super) fn message(bytes: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

/// A message if there is one, or 204: ask again.
pub(super) fn message_or_later(bytes: Option<Bytes>) -> Response {
    bytes.map_or_else(|| StatusCode::NO_CONTENT.into_response(), message)
}

/// 202.
pub(super) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// The message that a body is.
pub(super) fn decode<M: Message>(body: &[u8]) -> Result<M, Refused> {
    M::from_bytes(body).map_err(|error| {
        let message = format!("message: {error}");
        Problem::new(codes::BODY_INVALID, message, "a device of the same protocol version").into()
    })
}
