//! HTTP within its bounds, over real sockets: what is too large, too slow, or not there.
#![allow(clippy::unwrap_used, reason = "tests, their helpers too")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Extension, Router};
use common::{serve_plain, soon};
use hyper::Method;
use sealsum_daemon::http::{
    self, Caller, Json, Limits, Path, Problem, Query, Raw, UnixClient, UnixSocket,
};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::{Program, codes, health};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Deserialize)]
struct Numbers {
    a: u32,
}

fn router() -> Router {
    Router::new()
        .route("/json", post(|Json(numbers): Json<Numbers>| async move { numbers.a.to_string() }))
        .route("/raw", post(|Raw(bytes): Raw| async move { bytes.len().to_string() }))
        .route(
            "/large",
            post(|Raw(bytes): Raw| async move { bytes.len().to_string() })
                .layer(DefaultBodyLimit::max(1024 * 1024)),
        )
        .route("/query", get(|Query(numbers): Query<Numbers>| async move { numbers.a.to_string() }))
        .route("/path/{a}", get(|Path(a): Path<u32>| async move { a.to_string() }))
        .route("/huge", get(|| async { Body::from(vec![0_u8; 64 * 1024 * 1024]) }))
        .route(
            "/refuses",
            get(|| async { Problem::new(codes::TOKEN_INVALID, "token: used up", "a new one") }),
        )
        .route("/hangs", get(|| async { std::future::pending::<()>().await }))
}

/// For tests that are not about time, which must pass on a busy machine too.
fn patient() -> Limits {
    Limits { header_bytes: 4096, ..Limits::default() }
}

fn quick() -> Limits {
    Limits {
        idle: Duration::from_millis(400),
        stall: Duration::from_millis(400),
        body: Duration::from_millis(1500),
        header_bytes: 4096,
        ..Limits::default()
    }
}

async fn exchange(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has refused may close before it has read everything.
    let _ = stream.write_all(request).await;
    answer(&mut stream).await
}

/// Status and body of the one answer on a connection.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = soon(stream.read(&mut buffer)).await {
        bytes.extend_from_slice(&buffer[..read]);
        if read == 0 || is_whole(&bytes) {
            break;
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    let status = text.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((header, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = header.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    length.is_some_and(|length| body.len() >= length.trim().parse().unwrap())
}

fn post_of(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn get_of(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

fn code(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no problem: {body}"));
    for key in ["code", "message", "hint", "check"] {
        assert!(json.get(key).is_some(), "{key} is missing: {body}");
    }
    json["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn good_requests_are_served() {
    let server = serve_plain(router(), patient()).await;
    let at = server.address;
    assert_eq!(exchange(at, &post_of("/json", "{\"a\":5}")).await, (200, "5".into()));
    assert_eq!(exchange(at, &post_of("/raw", "abc")).await, (200, "3".into()));
    assert_eq!(exchange(at, &get_of("/query?a=6")).await, (200, "6".into()));
    assert_eq!(exchange(at, &get_of("/path/7")).await, (200, "7".into()));
}

#[tokio::test]
async fn what_is_not_understood_is_a_problem() {
    let server = serve_plain(router(), patient()).await;
    for (request, status, expected) in [
        (post_of("/json", "{"), 400, "body_invalid"),
        (post_of("/json", "{\"a\":-1}"), 400, "body_invalid"),
        (get_of("/query?b=6"), 400, "body_invalid"),
        (get_of("/path/seven"), 404, "not_found"),
        (get_of("/nowhere"), 404, "not_found"),
        (get_of("/json"), 405, "not_found"),
        (get_of("/refuses"), 403, "token_invalid"),
    ] {
        let (got, body) = exchange(server.address, &request).await;
        assert_eq!((got, code(&body).as_str()), (status, expected), "{body}");
    }
}

#[tokio::test]
async fn a_body_is_bounded_by_its_route() {
    let server = serve_plain(router(), patient()).await;
    let at = server.address;
    let limit = http::BODY_LIMIT;
    assert_eq!(exchange(at, &post_of("/raw", &"x".repeat(limit))).await.0, 200);
    let (status, body) = exchange(at, &post_of("/raw", &"x".repeat(limit + 1))).await;
    assert_eq!((status, code(&body).as_str()), (413, "body_too_large"));
    let (status, body) = exchange(at, &post_of("/large", &"x".repeat(1024 * 1024))).await;
    assert_eq!((status, body), (200, (1024 * 1024).to_string()));
    assert_eq!(exchange(at, &post_of("/large", &"x".repeat(1024 * 1024 + 1))).await.0, 413);

    let piece = format!("{:x}\r\n{}\r\n", limit, "x".repeat(limit));
    let chunked = format!(
        "POST /raw HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{piece}{piece}0\r\n\r\n"
    );
    let (status, body) = exchange(at, chunked.as_bytes()).await;
    assert_eq!((status, code(&body).as_str()), (413, "body_too_large"), "without a length");
}

#[tokio::test]
async fn a_body_has_to_come_in_time() {
    let server = serve_plain(router(), quick()).await;
    let header = b"POST /raw HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";
    let (status, body) = exchange(server.address, header).await;
    assert_eq!((status, code(&body).as_str()), (408, "deadline"), "nothing comes");

    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let drip = tokio::spawn(async move {
        let _ = writing.write_all(header).await;
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut start = [0; 12];
    soon(reading.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 408", "a drip");
    drip.abort();
}

#[tokio::test]
async fn a_header_has_to_come_in_time_and_to_fit() {
    let server = serve_plain(router(), quick()).await;
    for start in [&b""[..], b"GET /who HTTP/1.1\r\nx-slow: "] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        soon(stream.read_to_end(&mut rest)).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "closed without service");
    }
    let large = format!("GET /path/7 HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(5000));
    assert_eq!(exchange(server.address, large.as_bytes()).await.0, 431);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let server = serve_plain(router(), quick()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&get_of("/huge")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut taken = 0;
    let mut buffer = vec![0; 1024 * 1024];
    while let Ok(read @ 1..) = soon(stream.read(&mut buffer)).await {
        taken += read;
    }
    assert!(taken < 64 * 1024 * 1024, "the server gave up before all {taken} bytes were taken");
}

struct Local {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    shutdown: Shutdown,
}

impl Local {
    fn serve(router: Router) -> Local {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        let shutdown = Shutdown::new();
        tokio::spawn(http::serve_unix(socket, router, patient(), shutdown.clone()));
        Local { _dir: dir, path, shutdown }
    }

    fn client(&self) -> UnixClient {
        UnixClient::new(Program::Aggregator, &self.path)
    }
}

#[tokio::test]
async fn the_kernel_says_who_calls() {
    let who = get(|Extension(caller): Extension<Caller>| async move {
        Json(json!({"uid": caller.uid, "gid": caller.gid, "pid": caller.pid}))
    });
    let local = Local::serve(http::owner_only(Router::new().route("/who", who)));
    let answer: Value = local.client().get("/who").await.unwrap();
    let expected = json!({
        "uid": rustix::process::geteuid().as_raw(),
        "gid": rustix::process::getegid().as_raw(),
        "pid": std::process::id(),
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn administration_is_for_the_owner() {
    use tower::ServiceExt as _;
    let router = http::owner_only(Router::new().route("/x", get(|| async { "served" })));
    let own = rustix::process::geteuid().as_raw();
    let caller = |uid| Caller { uid, gid: 0, pid: None };
    for (who, status) in [
        (Some(caller(own)), 200),
        (Some(caller(0)), 200),
        (Some(caller(own + 77)), 403),
        (None, 403),
    ] {
        let mut request = axum::extract::Request::builder().uri("/x").body(Body::empty()).unwrap();
        if let Some(who) = who {
            request.extensions_mut().insert(who);
        }
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{who:?}");
    }
}

#[tokio::test]
async fn the_client_brings_back_the_servers_error() {
    let local = Local::serve(router());
    let failure = local.client().get::<Value>("/refuses").await.unwrap_err();
    assert_eq!(failure.code, codes::TOKEN_INVALID);
    assert_eq!(failure.to_string(), "token: used up. Try: a new one");
    let answer = local.client().request(Method::POST, "/raw", "abcd").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"4"[..]));
    let number: u32 = local.client().call(Method::POST, "/json", &json!({"a": 9})).await.unwrap();
    assert_eq!(number, 9);
}

#[tokio::test]
async fn without_a_server_the_client_says_what_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    for (program, code) in [
        (Program::Agent, codes::AGENT_NOT_RUNNING),
        (Program::Aggregator, codes::UNREACHABLE),
        (Program::Authority, codes::UNREACHABLE),
    ] {
        let failure = UnixClient::new(program, &path).get::<Value>("/x").await.unwrap_err();
        assert_eq!(failure.exit_number(), 2);
        assert_eq!(failure.code, code);
        assert!(failure.hint.contains(program.binary()), "{failure}");
    }
}

#[tokio::test]
async fn the_clients_patience_ends() {
    let local = Local::serve(router());
    let client = local.client().with_patience(Duration::from_millis(200));
    let failure = client.get::<Value>("/hangs").await.unwrap_err();
    assert_eq!((failure.exit_number(), failure.code), (3, codes::DEADLINE));
}

#[tokio::test]
async fn a_download_is_whole_or_nothing() {
    let local = Local::serve(router());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("result.npy");
    let failure = local.client().download("/refuses", &path).await.unwrap_err();
    assert_eq!(failure.code, codes::TOKEN_INVALID);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    local.client().download("/huge", &path).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 64 * 1024 * 1024);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_stopped_server_takes_its_socket_with_it() {
    let local = Local::serve(router());
    local.client().request(Method::POST, "/raw", "x").await.unwrap();
    local.shutdown.trigger();
    soon(async {
        while local.path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn health_tells_life_readiness_and_numbers() {
    let reasons = Arc::new(std::sync::Mutex::new(vec!["no certificate".to_owned()]));
    let readiness: health::Readiness = {
        let reasons = Arc::clone(&reasons);
        Arc::new(move || reasons.lock().unwrap().clone())
    };
    let registry = Arc::new(health::registry(Program::Agent, "1.2.3"));
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(health::serve(listener, readiness, registry, Shutdown::new()));

    assert_eq!(exchange(at, &get_of("/livez")).await.0, 200);
    let (status, body) = exchange(at, &get_of("/readyz")).await;
    assert_eq!(status, 503);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({"ready": false, "reasons": ["no certificate"]}));
    reasons.lock().unwrap().clear();
    let (status, body) = exchange(at, &get_of("/readyz")).await;
    assert_eq!((status, body.as_str()), (200, "{\"ready\":true,\"reasons\":[]}"));
    let (_, metrics) = exchange(at, &get_of("/metrics")).await;
    let build = "sealsum_build_info{program=\"agent\",version=\"1.2.3\"} 1\n";
    assert!(metrics.contains(build) && metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let failure = http::listen(first.local_addr().unwrap()).await.unwrap_err();
    assert_eq!((failure.exit_number(), failure.code), (4, codes::ADDRESS_UNAVAILABLE));
}
