//! An error as a server sends it: a status and `{"code","message","hint","check"}`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::codes::{self, Code, Exit};
use crate::failure::Failure;

/// The answer to a request that failed.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    failure: Failure,
}

impl Problem {
    /// With the status that belongs to the code.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Failure::new(code, message, hint).into()
    }

    /// With another status.
    pub fn with_status(mut self, status: StatusCode) -> Problem {
        self.status = status;
        self
    }

    /// The status it is sent with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem { status: status_of(&failure.code), failure }
    }
}

fn status_of(code: &Code) -> StatusCode {
    if *code == codes::NOT_FOUND {
        StatusCode::NOT_FOUND
    } else if *code == codes::CONFLICT {
        StatusCode::CONFLICT
    } else if *code == codes::BODY_TOO_LARGE {
        StatusCode::PAYLOAD_TOO_LARGE
    } else if *code == codes::BUSY {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::from_u16(code.exit().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[derive(Serialize)]
struct Sent<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
    check: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Failure { code, message, hint, check, index } = &self.failure;
        if code.exit() == Exit::Bug {
            tracing::error!(%code, message, "a request met a bug");
        }
        let sent =
            Sent { code: code.name(), message, hint, check: check.as_deref(), index: *index };
        (self.status, axum::Json(sent)).into_response()
    }
}

/// The error in a server's answer that is not 2xx. `what` is who answered, for an answer that is
/// not one of ours (a proxy's page, say).
pub fn failure_from_answer(what: &str, status: u16, body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Received {
        code: String,
        message: String,
        hint: String,
        #[serde(default)]
        check: Option<String>,
        #[serde(default)]
        index: Option<u64>,
    }
    match serde_json::from_slice(body) {
        Ok(Received { code, message, hint, check, index }) => {
            Failure { code: Code::remote(&code, status), message, hint, check, index }
        }
        Err(_) => Failure::new(
            Code::remote("unexpected_answer", if status < 500 { 502 } else { status }),
            format!("{what}: answered with HTTP status {status} and no explanation"),
            "check that the address is the server's own and no proxy changes what it says",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(problem: Problem) -> (u16, Vec<u8>) {
        let response = problem.into_response();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        (status, body.to_vec())
    }

    #[tokio::test]
    async fn a_failure_survives_the_wire() {
        let refused = Failure::new(codes::EVIDENCE_REFUSED, "a: b", "c").with_check("44");
        let infinite = Failure::new(codes::NOT_FINITE, "a: b", "c").with_index(3);
        for failure in [refused, infinite, Failure::new(codes::REVOKED, "a: b", "c")] {
            let (status, body) = sent(failure.clone().into()).await;
            assert_eq!(failure_from_answer("x", status, &body), failure);
        }
    }

    #[tokio::test]
    async fn the_body_has_its_four_keys() {
        let (status, body) = sent(Problem::new(codes::TOKEN_INVALID, "m", "h")).await;
        assert_eq!(status, 403);
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!(
            {"code": "token_invalid", "message": "m", "hint": "h", "check": null});
        assert_eq!(json, expected);
    }

    #[test]
    fn statuses_follow_the_codes() {
        let status = |code| Problem::new(code, "", "").status().as_u16();
        assert_eq!(status(codes::NOT_FOUND), 404);
        assert_eq!(status(codes::CONFLICT), 409);
        assert_eq!(status(codes::BODY_TOO_LARGE), 413);
        assert_eq!(status(codes::BODY_INVALID), 400);
        assert_eq!(status(codes::BUSY), 503);
        assert_eq!(status(codes::BUG), 500);
        let gone = Problem::new(codes::CANARY, "", "").with_status(StatusCode::GONE);
        assert_eq!(gone.status(), StatusCode::GONE);
    }

    #[test]
    fn an_answer_that_is_not_ours_is_the_other_sides_fault() {
        let failure = failure_from_answer("authority", 404, b"<html>nginx</html>");
        assert_eq!(failure.code.exit(), Exit::Unreachable);
        assert!(failure.message.contains("authority") && failure.message.contains("404"));
    }
}
