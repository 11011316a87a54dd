//! HTTP/1.1 over one TLS connection that stays open, as an agent keeps it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sealsum_attest::certificate::Identity;
use sealsum_daemon::tls;

use crate::fleet::{FleetKeys, Leaf};

/// An open connection.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Trusts the fleet's CA, demands an aggregator, and shows this certificate if there is one.
pub(crate) fn client_config(fleet: &FleetKeys, own: Option<&Leaf>) -> Arc<ClientConfig> {
    let roots = tls::chain_from_pem(fleet.ca_pem.as_bytes(), "CA").unwrap();
    let roots = tls::roots(&roots, "CA").unwrap();
    let identity = own.map(|leaf| {
        let key = PrivatePkcs8KeyDer::from(leaf.key.serialize_der());
        let key = tls::signing_key(key.into()).unwrap();
        tls::Identity::new(vec![leaf.der.clone().into()], key).unwrap()
    });
    let role: tls::RoleCheck = Arc::new(|certificate| {
        let parsed = Identity::parse(certificate).map_err(|error| error.to_string())?;
        parsed.aggregator().map(|_| ()).map_err(|error| error.to_string())
    });
    tls::client_config(roots, role, identity.as_ref()).unwrap()
}

impl Connection {
    /// Connects and finishes the handshake, as far as a client can tell.
    pub(crate) fn open(address: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = ClientConnection::new(config, name).unwrap();
        let mut stream = StreamOwned::new(tls, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream })
    }

    /// What the server showed.
    pub(crate) fn server_certificate(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// Cuts the TCP connection.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.sock.shutdown(std::net::Shutdown::Both);
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: local\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        self.stream.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }
}
