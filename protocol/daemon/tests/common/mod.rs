//! A small CA, a server and a client, for tests over real sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{Signer, SigningKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureAlgorithm, SignatureScheme};
use sealsum_daemon::http::{self, Connections, Limits};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::tls::{self, Identity, RoleCheck};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Ca {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn roots(&self) -> RootCertStore {
        let certificate: &rcgen::Certificate = self.0.as_ref();
        tls::roots(&[certificate.der().clone()], "test CA").unwrap()
    }

    /// `spiffe://demo/ROLE` on loopback, for both ends of TLS.
    pub fn issue(&self, role: &str) -> (Vec<CertificateDer<'static>>, Arc<dyn SigningKey>) {
        self.issue_until(role, 4000)
    }

    pub fn issue_until(
        &self,
        role: &str,
        year: i32,
    ) -> (Vec<CertificateDer<'static>>, Arc<dyn SigningKey>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::URI(format!("spiffe://demo/{role}").try_into().unwrap()),
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], tls::signing_key(der).unwrap())
    }

    pub fn identity(&self, role: &str) -> Identity {
        let (chain, key) = self.issue(role);
        Identity::new(chain, key).unwrap()
    }
}

/// Wants `spiffe://demo/ROLE` among the certificate's bytes.
pub fn role(role: &'static str) -> RoleCheck {
    Arc::new(move |certificate| {
        let wanted = format!("spiffe://demo/{role}");
        let found = certificate.windows(wanted.len()).any(|bytes| bytes == wanted.as_bytes());
        if found { Ok(()) } else { Err(format!("it is not the {role}")) }
    })
}

/// Counts what it signs.
#[derive(Debug)]
pub struct Counting(pub Arc<dyn SigningKey>, pub Arc<AtomicUsize>);

impl SigningKey for Counting {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(CountingSigner(signer, Arc::clone(&self.1))))
    }
    fn public_key(&self) -> Option<rustls::pki_types::SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct CountingSigner(Box<dyn Signer>, Arc<AtomicUsize>);

impl Signer for CountingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sign(message)
    }
    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub connections: Connections,
    pub shutdown: Shutdown,
    pub task: JoinHandle<()>,
}

pub async fn serve(config: Arc<ServerConfig>, router: Router, limits: Limits) -> Running {
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, shutdown) = (Connections::default(), Shutdown::new());
    let served =
        http::serve_tls(listener, config, router, limits, connections.clone(), shutdown.clone());
    Running { address, connections, shutdown, task: tokio::spawn(served) }
}

pub async fn serve_plain(router: Router, limits: Limits) -> Running {
    let listener: TcpListener = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let task = tokio::spawn(http::serve_plain(listener, router, limits, shutdown.clone()));
    Running { address, connections: Connections::default(), shutdown, task }
}

pub type Failed = Box<dyn std::error::Error + Send + Sync>;

pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Client, Failed> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Client(sender))
    }

    pub async fn get(&mut self, path: &str) -> Result<(u16, String), Failed> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header("host", "test")
            .body(Full::default())?;
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec())?))
    }
}

/// One request on a connection of its own.
pub async fn get(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    path: &str,
) -> Result<(u16, String), Failed> {
    Client::connect(address, config).await?.get(path).await
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("within ten seconds")
}
