//! What handlers take from a request. As axum's own, but a refusal is a [`Problem`].

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Problem;
use super::body::Slow;
use crate::codes;

/// The body as it came, within the route's limit.
#[derive(Clone, Debug)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Raw, Problem> {
        Bytes::from_request(request, state).await.map(Raw).map_err(|error| unread(&error))
    }
}

fn unread(error: &BytesRejection) -> Problem {
    if let BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) = error {
        return Problem::new(
            codes::BODY_TOO_LARGE,
            "request: the body is larger than this route takes",
            "a smaller body",
        );
    }
    if is_slow(error) {
        return Problem::new(
            codes::DEADLINE,
            "request: the body came too slowly",
            "again, over a better connection",
        )
        .with_status(StatusCode::REQUEST_TIMEOUT);
    }
    Problem::new(codes::BODY_INVALID, format!("request: {error}"), "again")
}

fn is_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Slow>())
}

/// A JSON body, whatever its content type; also a JSON answer.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Json).map_err(|error| {
            Problem::new(
                codes::BODY_INVALID,
                format!("request: not the JSON expected: {error}"),
                "compare it with the reference of this route",
            )
        })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The query of the URL.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Query(value)),
            Err(error) => Err(Problem::new(
                codes::BODY_INVALID,
                format!("query: {}", error.body_text()),
                "compare it with the reference of this route",
            )),
        }
    }
}

/// The variable parts of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(error) => Err(Problem::new(
                codes::NOT_FOUND,
                format!("path: {}", error.body_text()),
                "compare it with the reference of this route",
            )),
        }
    }
}
