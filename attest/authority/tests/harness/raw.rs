//! A bare TLS client: from an address of the test's choice, with whatever certificate and key, on
//! a connection that stays.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{ClientConfig, ResolvesClientCert, Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, HandshakeKind, RootCertStore, SignatureScheme, StreamOwned};
use sealsum_attest::certificate::chain_from_pem;
use tokio::net::TcpSocket;

const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate shown, with a key that need not be its own.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// How to speak TLS with the authority of this `ca.pem`. Resumes sessions where it can.
pub fn config(ca: &Path, client: Option<(&str, &str)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read_to_string(ca).unwrap();
    for der in chain_from_pem(&ca).unwrap() {
        roots.add(der.into()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(sealsum_daemon::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain: Vec<CertificateDer<'static>> =
                chain_from_pem(certificate).unwrap().into_iter().map(Into::into).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let key = sealsum_daemon::tls::signing_key(key).unwrap();
            builder
                .with_client_cert_resolver(Arc::new(Shown(Arc::new(CertifiedKey::new(chain, key)))))
        }
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// One connection.
pub struct RawClient(StreamOwned<ClientConnection, TcpStream>);

impl RawClient {
    /// Connects from `source`, an address of this machine.
    pub fn connect(
        source: IpAddr,
        server: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let stream =
            tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(server).await?.into_std()
            })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::from(server.ip());
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self(StreamOwned::new(session, stream)))
    }

    /// Sends one request and reads the answer: status and body.
    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: authority\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(&[head.as_bytes(), body].concat())?;
        self.0.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }

    /// Whether the TLS session was a new one.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.0.conn.handshake_kind()
    }
}
