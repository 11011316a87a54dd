//! HTTP/1.1 over one TLS connection that stays open, as an agent keeps it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sealsum_attest::certificate::Identity;
use sealsum_daemon::{Failure, tls};

use crate::fleet::{FleetKeys, Leaf};

/// Longest wait for a piece of an answer.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest answer: more than any roster of this tool.
const BODY_LIMIT: usize = 64 << 20;
/// Longest header of an answer.
const HEAD_LIMIT: usize = 16 << 10;

/// An open connection.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The code of an error.
    pub fn code(&self) -> String {
        self.word("code")
    }

    /// The message of an error.
    pub fn message(&self) -> String {
        self.word("message")
    }

    fn word(&self, key: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body[key].as_str().unwrap_or_default().to_owned()
    }
}

/// Trusts the fleet's CA, demands an aggregator, and shows this certificate if there is one.
///
/// # Errors
/// When the CA or the certificate does not serve for TLS.
pub fn client_config(fleet: &FleetKeys, own: Option<&Leaf>) -> Result<Arc<ClientConfig>, Failure> {
    let roots = tls::roots(&tls::chain_from_pem(fleet.ca_pem.as_bytes(), "CA")?, "CA")?;
    let identity = own.map(identity).transpose()?;
    let role: tls::RoleCheck = Arc::new(|certificate| {
        let parsed = Identity::parse(certificate).map_err(|error| error.to_string())?;
        parsed.aggregator().map(|_| ()).map_err(|error| error.to_string())
    });
    tls::client_config(roots, role, identity.as_ref())
}

fn identity(leaf: &Leaf) -> Result<tls::Identity, Failure> {
    let bug = |error: rustls::Error| Failure::bug(format!("certificate: {error}"));
    let key = PrivatePkcs8KeyDer::from(leaf.key.serialize_der());
    let key = tls::signing_key(key.into()).map_err(bug)?;
    tls::Identity::new(vec![leaf.der.clone().into()], key).map_err(bug)
}

impl Connection {
    /// Connects and finishes the handshake, as far as a client can tell.
    ///
    /// # Errors
    /// When nobody listens, or it is not an aggregator of this fleet.
    pub fn open(address: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream })
    }

    /// What the server showed.
    pub fn server_certificate(&self) -> Option<Vec<u8>> {
        Some(self.stream.conn.peer_certificates()?.first()?.to_vec())
    }

    /// Cuts the TCP connection.
    pub fn close(&mut self) {
        let _ = self.stream.sock.shutdown(std::net::Shutdown::Both);
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When the connection fails or is cut.
    pub fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: local\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        self.stream.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of HTTP/1.1");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
            if head.len() > HEAD_LIMIT {
                return Err(malformed());
            }
        }
        let head = String::from_utf8(head).map_err(|_| malformed())?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(Ok(0), |length| length.trim().parse().map_err(|_| malformed()));
        let length = length?;
        if length > BODY_LIMIT {
            return Err(malformed());
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status: status.ok_or_else(malformed)?, body })
    }
}
