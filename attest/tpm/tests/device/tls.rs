//! The device key as a TLS client key.

use crate::new_identity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use sealsum_attest::names::Names;
use sealsum_attest_tpm::{DeviceKey, TpmError};
use sealsum_test_support::{TpmFactory, wire};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A certificate authority for both sides of a connection.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }

    /// Signs what the device asked for.
    fn sign_request(&self, request: &[u8]) -> CertificateDer<'static> {
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request).unwrap();
        request.signed_by(&self.issuer).unwrap().der().clone()
    }

    /// A server that greets one authenticated client and returns the certificate it showed.
    fn serve_once(&self, answer: &'static [u8]) -> (u16, JoinHandle<Option<Vec<u8>>>) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots(), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = [0; 1024];
            stream.read(&mut request).ok().filter(|length| *length > 0)?;
            stream.write_all(answer).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            Some(stream.conn.peer_certificates()?[0].to_vec())
        });
        (port, serving)
    }

    fn connect(&self, port: u16, key: Arc<CertifiedKey>) -> std::io::Result<Vec<u8>> {
        #[derive(Debug)]
        struct Only(Arc<CertifiedKey>);
        impl rustls::client::ResolvesClientCert for Only {
            fn resolve(
                &self,
                _: &[&[u8]],
                _: &[rustls::SignatureScheme],
            ) -> Option<Arc<CertifiedKey>> {
                Some(self.0.clone())
            }
            fn has_certs(&self) -> bool {
                true
            }
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(self.roots())
                .with_client_cert_resolver(Arc::new(Only(key)));
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port))?);
        stream.write_all(b"hello")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn certified(certificate: CertificateDer<'static>, key: &DeviceKey) -> Arc<CertifiedKey> {
    Arc::new(CertifiedKey::new(vec![certificate], Arc::new(key.clone())))
}

#[test]
fn the_device_key_opens_mutual_tls() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let authority = Authority::new();
    let key = identity.device_key();
    let certificate = authority.sign_request(&key.certificate_request(&Names::default()).unwrap());
    let certified = certified(certificate.clone(), key);
    certified.keys_match().unwrap();
    let (port, serving) = authority.serve_once(b"welcome");
    assert_eq!(authority.connect(port, certified).unwrap(), b"welcome");
    assert_eq!(serving.join().unwrap().unwrap(), certificate.to_vec());
    assert_eq!(wire::loaded(chip.port()), (0, 0));
}

#[test]
fn a_certificate_for_another_key_is_noticed_and_refused() {
    let factory = TpmFactory::trusted();
    let chips = [factory.tpm(), factory.tpm()];
    let [a, b] = chips.each_ref().map(|chip| new_identity(chip).0);
    let authority = Authority::new();
    let of_a =
        authority.sign_request(&a.device_key().certificate_request(&Names::default()).unwrap());
    let mixed = certified(of_a, b.device_key());
    assert!(mixed.keys_match().is_err());
    let (port, serving) = authority.serve_once(b"never");
    assert!(authority.connect(port, mixed).is_err());
    assert!(serving.join().unwrap().is_none());
}

#[test]
fn a_tampered_request_is_refused() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let mut request = identity.device_key().certificate_request(&Names::default()).unwrap();
    *request.last_mut().unwrap() ^= 1;
    let request = CertificateSigningRequestDer::from(request);
    assert!(CertificateSigningRequestParams::from_der(&request).is_err());
}

#[test]
fn a_missing_tpm_fails_the_handshake_and_the_request() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let authority = Authority::new();
    let key = identity.device_key();
    let certificate = authority.sign_request(&key.certificate_request(&Names::default()).unwrap());
    chip.stop();
    let (port, serving) = authority.serve_once(b"never");
    let failed = authority.connect(port, certified(certificate, key)).unwrap_err();
    assert!(failed.to_string().contains("cannot be reached"), "{failed}");
    assert!(serving.join().unwrap().is_none());
    assert!(matches!(
        key.certificate_request(&Names::default()),
        Err(TpmError::Unreachable { .. })
    ));
}
