//! TLS as the programs speak it, over real sockets: who is let in, who is not, and why.
#![allow(clippy::unwrap_used, reason = "tests, their helpers too")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::routing::get as route;
use axum::{Extension, Router};
use common::{Ca, Client, Counting, Running, get, role, serve, soon};
use rustls::ClientConfig;
use sealsum_daemon::codes::{self, Code};
use sealsum_daemon::http::{Limits, Peer};
use sealsum_daemon::tls::{self, Clients, Identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Says how many certificates the caller showed, and can be slow.
fn router() -> Router {
    Router::new()
        .route(
            "/who",
            route(|Extension(peer): Extension<Peer>| async move {
                assert_eq!(peer.certificate(), peer.certificates.first());
                peer.certificates.len().to_string()
            }),
        )
        .route("/slow", route(|| async { tokio::time::sleep(Duration::from_secs(1)).await }))
        .route("/hangs", route(|| async { std::future::pending::<()>().await }))
}

async fn aggregator(ca: &Ca) -> Running {
    let clients = Clients::Required(ca.roots(), role("device"));
    let config = tls::server_config(&ca.identity("aggregator"), clients).unwrap();
    serve(config, router(), Limits::default()).await
}

async fn authority(ca: &Ca) -> Running {
    let clients = Clients::Optional(ca.roots(), role("device"));
    let config = tls::server_config(&ca.identity("authority"), clients).unwrap();
    serve(config, router(), Limits::default()).await
}

fn client(trusted: &Ca, server: &'static str, identity: Option<&Identity>) -> Arc<ClientConfig> {
    tls::client_config(trusted.roots(), role(server), identity).unwrap()
}

/// The code of the failure, and its sentence.
async fn refused(server: &Running, config: Arc<ClientConfig>) -> (Code, String) {
    let error = soon(get(server.address, config, "/who")).await.expect_err("refused");
    let failure = tls::connection_failure("aggregator", &*error);
    (failure.code.clone(), failure.to_string())
}

#[tokio::test]
async fn both_sides_show_the_right_certificate() {
    let ca = Ca::new();
    let server = aggregator(&ca).await;
    let device = ca.identity("device");
    let answer = soon(get(server.address, client(&ca, "aggregator", Some(&device)), "/who")).await;
    assert_eq!(answer.unwrap(), (200, "1".to_owned()));
}

#[tokio::test]
async fn a_server_of_another_ca_is_wrong_ca() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = aggregator(&ca).await;
    let (code, text) = refused(&server, client(&other, "aggregator", None)).await;
    assert_eq!(code, codes::WRONG_CA, "{text}");
}

#[tokio::test]
async fn a_server_of_another_role_is_refused_although_its_ca_is_right() {
    let ca = Ca::new();
    let device = ca.identity("device");
    let server = aggregator(&ca).await;
    let (code, text) = refused(&server, client(&ca, "authority", Some(&device))).await;
    assert_eq!(code, codes::TLS);
    assert!(text.contains("it is not the authority"), "{text}");
}

#[tokio::test]
async fn a_server_under_another_address_is_refused() {
    let ca = Ca::new();
    let server = aggregator(&ca).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "elsewhere.example".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(client(&ca, "aggregator", None));
    let error = connector.connect(name, stream).await.expect_err("refused");
    assert_eq!(tls::connection_failure("aggregator", &error).code, codes::TLS);
}

#[tokio::test]
async fn an_expired_server_is_refused() {
    let ca = Ca::new();
    let (chain, key) = ca.issue_until("aggregator", 2001);
    let identity = Identity::new(chain, key).unwrap();
    let config = tls::server_config(&identity, Clients::Anonymous).unwrap();
    let server = serve(config, router(), Limits::default()).await;
    let (code, text) = refused(&server, client(&ca, "aggregator", None)).await;
    assert_eq!(code, codes::TLS);
    assert!(text.contains("expired"), "{text}");
}

#[tokio::test]
async fn who_must_have_a_certificate_is_not_served_without() {
    let ca = Ca::new();
    let server = aggregator(&ca).await;
    let (code, text) = refused(&server, client(&ca, "aggregator", None)).await;
    assert_eq!(code, codes::NOT_ENROLLED, "{text}");
    let empty = Identity::empty();
    let (code, _) = refused(&server, client(&ca, "aggregator", Some(&empty))).await;
    assert_eq!(code, codes::NOT_ENROLLED);
}

#[tokio::test]
async fn a_client_of_another_ca_role_or_time_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (chain, key) = ca.issue_until("device", 2001);
    let expired = Identity::new(chain, key).unwrap();
    let cases = [
        (other.identity("device"), codes::TLS),
        (ca.identity("aggregator"), codes::TLS),
        (expired, codes::CERTIFICATE_EXPIRED),
    ];
    for server in [aggregator(&ca).await, authority(&ca).await] {
        for (identity, expected) in &cases {
            let any: tls::RoleCheck = Arc::new(|_| Ok(()));
            let config = tls::client_config(ca.roots(), any, Some(identity)).unwrap();
            let (code, text) = refused(&server, config).await;
            assert_eq!(code, *expected, "{text}");
        }
    }
}

#[tokio::test]
async fn where_certificates_are_optional_both_are_served() {
    let ca = Ca::new();
    let server = authority(&ca).await;
    let answer = soon(get(server.address, client(&ca, "authority", None), "/who")).await;
    assert_eq!(answer.unwrap().1, "0");
    let device = ca.identity("device");
    let answer = soon(get(server.address, client(&ca, "authority", Some(&device)), "/who")).await;
    assert_eq!(answer.unwrap().1, "1");
}

/// A role's identity on `ca` that counts its signatures.
fn counted(ca: &Ca, role: &str) -> (Identity, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (chain, key) = ca.issue(role);
    let key = Arc::new(Counting(key, Arc::clone(&count)));
    (Identity::new(chain, key).unwrap(), count)
}

async fn connect_three_times(server: &Running, config: &Arc<ClientConfig>) {
    for _ in 0..3 {
        let mut client = Client::connect(server.address, Arc::clone(config)).await.unwrap();
        soon(client.get("/who")).await.unwrap();
        soon(client.get("/who")).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_never_resumes_even_where_the_server_would() {
    let ca = Ca::new();
    let (device, signatures) = counted(&ca, "device");
    let clients = Clients::Required(ca.roots(), role("device"));
    let config = tls::server_config(&ca.identity("aggregator"), clients).unwrap();
    let mut willing = (*config).clone();
    willing.send_tls13_tickets = 2;
    willing.session_storage = rustls::server::ServerSessionMemoryCache::new(8);
    let server = serve(Arc::new(willing), router(), Limits::default()).await;
    connect_three_times(&server, &client(&ca, "aggregator", Some(&device))).await;
    assert_eq!(signatures.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_never_resumes_even_where_the_client_would() {
    let ca = Ca::new();
    let (aggregator, signatures) = counted(&ca, "aggregator");
    let clients = Clients::Required(ca.roots(), role("device"));
    let config = tls::server_config(&aggregator, clients).unwrap();
    let server = serve(config, router(), Limits::default()).await;
    let mut willing = (*client(&ca, "aggregator", Some(&ca.identity("device")))).clone();
    willing.resumption = rustls::client::Resumption::in_memory_sessions(8);
    connect_three_times(&server, &Arc::new(willing)).await;
    assert_eq!(signatures.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let (old, new) = (Ca::new(), Ca::new());
    let identity = old.identity("aggregator");
    let config = tls::server_config(&identity, Clients::Anonymous).unwrap();
    let server = serve(config, router(), Limits::default()).await;
    soon(get(server.address, client(&old, "aggregator", None), "/who")).await.unwrap();
    let (chain, key) = new.issue("aggregator");
    identity.replace(chain.clone(), key).unwrap();
    assert_eq!(identity.chain(), Some(chain));
    soon(get(server.address, client(&new, "aggregator", None), "/who")).await.unwrap();
    refused(&server, client(&old, "aggregator", None)).await;
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_and_the_old_one_stays() {
    let ca = Ca::new();
    let identity = ca.identity("aggregator");
    let before = identity.chain();
    let ((chain, _), (_, foreign)) = (ca.issue("aggregator"), ca.issue("aggregator"));
    identity.replace(chain, foreign).expect_err("refused");
    assert_eq!(identity.chain(), before);
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let ca = Ca::new();
    let server = aggregator(&ca).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&client_hello_1_2()).await.unwrap();
    let mut alert = Vec::new();
    soon(stream.read_to_end(&mut alert)).await.unwrap();
    // Record type alert, fatal, protocol_version (RFC 8446, 6.2).
    assert_eq!((alert[0], &alert[5..]), (21, &[2, 70][..]));
}

/// TLS 1.2 with ECDHE-ECDSA-AES128-GCM, P-256, and no word of 1.3.
fn client_hello_1_2() -> Vec<u8> {
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..], // supported_groups: secp256r1
        &[0, 11, 0, 2, 1, 0],            // ec_point_formats: uncompressed
        &[0, 13, 0, 4, 0, 2, 4, 3],      // signature_algorithms: ecdsa_secp256r1_sha256
        &[0, 23, 0, 0],                  // extended_master_secret
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, extensions.len() as u8]);
    body.extend(extensions);
    let mut record = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    record.extend(body);
    record
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends() {
    let ca = Ca::new();
    let config = tls::server_config(&ca.identity("authority"), Clients::Anonymous).unwrap();
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let server = serve(config, router(), limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut nothing = [0];
    assert_eq!(soon(stream.read(&mut nothing)).await.unwrap(), 0, "closed");
}

#[tokio::test]
async fn the_connections_of_one_device_can_be_closed() {
    let ca = Ca::new();
    let server = aggregator(&ca).await;
    let (revoked, good) = (ca.identity("device"), ca.identity("device"));
    let config = |identity| client(&ca, "aggregator", Some(identity));
    let mut stays = Client::connect(server.address, config(&good)).await.unwrap();
    soon(stays.get("/who")).await.unwrap();
    let mut goes = Client::connect(server.address, config(&revoked)).await.unwrap();
    soon(goes.get("/who")).await.unwrap();
    let hanging = tokio::spawn(async move { goes.get("/hangs").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.connections.count(), 2);

    let certificate = revoked.chain().unwrap().remove(0);
    let closed = server.connections.close_where(|peer| peer.certificate() == Some(&certificate));
    assert_eq!(closed, 1);
    soon(hanging).await.unwrap().expect_err("cut off");
    soon(stays.get("/who")).await.unwrap();
    assert_eq!(server.connections.count(), 1);
}

#[tokio::test]
async fn stopping_lets_requests_end_but_not_for_ever() {
    let ca = Ca::new();
    let config = tls::server_config(&ca.identity("authority"), Clients::Anonymous).unwrap();
    let limits = Limits { drain: Duration::from_secs(3), ..Limits::default() };
    let server = serve(config, router(), limits).await;
    let config = client(&ca, "authority", None);
    let mut idle = Client::connect(server.address, Arc::clone(&config)).await.unwrap();
    soon(idle.get("/who")).await.unwrap();
    let slow = tokio::spawn(get(server.address, Arc::clone(&config), "/slow"));
    let hangs = tokio::spawn(get(server.address, Arc::clone(&config), "/hangs"));
    soon(async {
        while server.connections.count() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    server.shutdown.trigger();
    assert_eq!(soon(slow).await.unwrap().unwrap().0, 200);
    soon(hangs).await.unwrap().expect_err("dropped after the drain time");
    soon(idle.get("/who")).await.expect_err("closed");
    soon(server.task).await.unwrap();
    soon(get(server.address, config, "/who")).await.expect_err("nobody listens");
}

#[tokio::test]
async fn one_connection_too_many_waits() {
    let ca = Ca::new();
    let config = tls::server_config(&ca.identity("authority"), Clients::Anonymous).unwrap();
    let server = serve(config, router(), Limits { connections: 1, ..Limits::default() }).await;
    let config = client(&ca, "authority", None);
    let mut first = Client::connect(server.address, Arc::clone(&config)).await.unwrap();
    soon(first.get("/who")).await.unwrap();
    let mut second = tokio::spawn(get(server.address, config, "/who"));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "it has to wait");
    drop(first);
    assert_eq!(soon(second).await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let free = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let ca = Ca::new();
    let error = get(free, client(&ca, "authority", None), "/").await.expect_err("nobody");
    assert_eq!(tls::connection_failure("authority", &*error).code, codes::UNREACHABLE);
}

#[test]
fn files_that_are_no_certificates_or_keys_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let code = |path| tls::read_roots(path).err().unwrap().code;
    assert_eq!(code(&path), codes::FILE_NOT_FOUND);
    for wrong in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        sealsum_daemon::files::write_private(&path, wrong.as_bytes()).unwrap();
        assert_eq!(code(&path), codes::FILE_FORMAT, "{wrong}");
        assert_eq!(tls::read_private_key(&path).unwrap_err().code, codes::FILE_FORMAT, "{wrong}");
    }
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    sealsum_daemon::files::write_public(&path, key.as_bytes()).unwrap();
    assert_eq!(tls::read_private_key(&path).unwrap_err().code, codes::FILE_PERMISSIONS);
    sealsum_daemon::files::write_private(&path, key.as_bytes()).unwrap();
    tls::read_private_key(&path).unwrap();
}
