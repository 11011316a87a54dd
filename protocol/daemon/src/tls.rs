//! TLS 1.3 (RFC 8446) as the three programs speak it: ring, no resumption, no early data, roles
//! checked in the handshake.
//!
//! Resumption is off because a resumed session would skip the certificate and its key.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    Error, OtherError, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::codes;
use crate::failure::Failure;
use crate::files;

/// Looks at the other side's certificate, already verified to come from the CA, and says why it is
/// not the one wanted (another role, another fleet).
pub type RoleCheck = Arc<dyn Fn(&CertificateDer<'_>) -> Result<(), String> + Send + Sync>;

/// The largest PEM file, bytes.
const PEM_LIMIT: u64 = 1024 * 1024;

/// The cryptography of every connection: ring.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads the certificates to trust from a PEM file.
///
/// # Errors
/// `file_not_found`; `file_format` if there is no usable certificate in it.
pub fn read_roots(path: &Path) -> Result<RootCertStore, Failure> {
    roots(&read_chain(path)?, &path.display().to_string())
}

/// The certificates to trust; `name` is for the error.
///
/// # Errors
/// `file_format` if one cannot be used as a trust anchor.
pub fn roots(
    certificates: &[CertificateDer<'static>],
    name: &str,
) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).map_err(|error| {
            pem_failure(name, &format!("holds an unusable certificate: {error}"))
        })?;
    }
    Ok(store)
}

/// Reads the certificates of a PEM file, in their order; at least one.
///
/// # Errors
/// `file_not_found`; `file_format`.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    chain_from_pem(&files::read(path, PEM_LIMIT)?, &path.display().to_string())
}

/// The certificates of a PEM text, in their order; at least one. `name` is for the error.
///
/// # Errors
/// `file_format`.
pub fn chain_from_pem(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| pem_failure(name, &format!("is damaged: {error}")))?;
    if chain.is_empty() {
        return Err(pem_failure(name, "holds no certificate"));
    }
    Ok(chain)
}

fn pem_failure(name: &str, why: &str) -> Failure {
    let hint = "a PEM file that begins with -----BEGIN CERTIFICATE-----";
    Failure::new(codes::FILE_FORMAT, format!("{name}: {why}"), hint)
}

/// Reads a private key (PEM) that only its owner may be able to read.
///
/// # Errors
/// `file_not_found`, `file_permissions`, `file_format`.
pub fn read_private_key(path: &Path) -> Result<Arc<dyn SigningKey>, Failure> {
    let pem = files::read_private(path, PEM_LIMIT)?;
    let wrong = |why: String| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {why}", path.display()),
            "a PEM file with a private key in PKCS #8",
        )
    };
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| wrong(format!("holds no private key: {error}")))?;
    signing_key(key).map_err(|error| wrong(error.to_string()))
}

/// A private key in memory, ready to sign handshakes.
///
/// # Errors
/// If ring cannot use it.
pub fn signing_key(key: PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, Error> {
    rustls::crypto::ring::sign::any_supported_type(&key)
}

/// Our certificate and key, replaceable while connections come and go; clones share them.
///
/// It starts with a certificate, or [`empty`](Identity::empty) on a device that has none yet.
#[derive(Clone)]
pub struct Identity(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl Identity {
    /// No certificate yet: a client goes without, a server refuses every handshake.
    pub fn empty() -> Identity {
        Identity(Arc::new(RwLock::new(None)))
    }

    /// A chain, our certificate first, and its key, in software or in a TPM.
    ///
    /// # Errors
    /// If the key does not belong to the certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<Identity, Error> {
        let identity = Identity::empty();
        identity.replace(chain, key)?;
        Ok(identity)
    }

    /// Takes a renewed certificate into use for every handshake from now on.
    ///
    /// # Errors
    /// If the key does not belong to the certificate; the old one stays.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<(), Error> {
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// The chain in use, our certificate first.
    pub fn chain(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.current().map(|certified| certified.cert.clone())
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current().filter(|certified| certified.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        self.current().is_some()
    }
}

/// Whom a server lets in.
#[derive(Clone)]
pub enum Clients {
    /// Everybody; certificates are not asked for.
    Anonymous,
    /// Everybody; but who shows a certificate must show a good one.
    Optional(RootCertStore, RoleCheck),
    /// Only who has a certificate from these roots that passes the check.
    Required(RootCertStore, RoleCheck),
}

/// How a server speaks TLS.
///
/// # Errors
/// If there are no roots to verify clients by.
pub fn server_config(identity: &Identity, clients: Clients) -> Result<Arc<ServerConfig>, Failure> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Failure::bug(format!("TLS: {error}")))?;
    let builder = match clients {
        Clients::Anonymous => builder.with_no_client_auth(),
        Clients::Optional(roots, check) => {
            builder.with_client_cert_verifier(client_verifier(roots, check, false)?)
        }
        Clients::Required(roots, check) => {
            builder.with_client_cert_verifier(client_verifier(roots, check, true)?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(identity.clone()));
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// How a client speaks TLS: whom it trusts, which role the server must have, and its own
/// certificate if it has one.
///
/// # Errors
/// If there are no roots.
pub fn client_config(
    roots: RootCertStore,
    server_role: RoleCheck,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, Failure> {
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| no_roots(&error))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Failure::bug(format!("TLS: {error}")))?
        .dangerous()
        // Not less strict than rustls' own, which it calls first; it also demands the role.
        .with_custom_certificate_verifier(Arc::new(ServerRole { inner, check: server_role }));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.clone())),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_verifier(
    roots: RootCertStore,
    check: RoleCheck,
    required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let inner = builder.build().map_err(|error| no_roots(&error))?;
    Ok(Arc::new(ClientRole { inner, check }))
}

fn no_roots(error: &dyn StdError) -> Failure {
    Failure::new(
        codes::CONFIG_INVALID,
        format!("trusted certificates: {error}"),
        "a PEM file with the CA's certificate",
    )
}

/// The certificate is genuine and not for this use.
#[derive(Debug)]
struct WrongRole(String);

impl fmt::Display for WrongRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for WrongRole {}

fn demand(check: &RoleCheck, certificate: &CertificateDer<'_>) -> Result<(), Error> {
    check(certificate).map_err(|why| {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(WrongRole(why)))))
    })
}

struct ServerRole {
    inner: Arc<WebPkiServerVerifier>,
    check: RoleCheck,
}

impl fmt::Debug for ServerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerRole(..)")
    }
}

impl ServerCertVerifier for ServerRole {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        demand(&self.check, end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

struct ClientRole {
    inner: Arc<dyn ClientCertVerifier>,
    check: RoleCheck,
}

impl fmt::Debug for ClientRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientRole(..)")
    }
}

impl ClientCertVerifier for ClientRole {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        demand(&self.check, end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Why talking to `target` ("authority https://…") failed, as a person can use it: `wrong_ca`,
/// `tls`, `certificate_expired`, `revoked`, or `unreachable` if no TLS error is the cause.
///
/// Looks for the rustls error in the whole chain of causes, inside IO errors too.
pub fn connection_failure(target: &str, error: &(dyn StdError + 'static)) -> Failure {
    match tls_cause(error) {
        Some(Error::InvalidCertificate(why)) => bad_server(target, why),
        Some(Error::AlertReceived(alert)) => refused_by_server(target, *alert),
        Some(other) => Failure::new(
            codes::TLS,
            format!("{target}: no TLS connection: {other}"),
            "check that the address is that of the TLS port",
        ),
        None => Failure::new(
            codes::UNREACHABLE,
            format!("{target}: no answer: {error}"),
            "check that it runs, the address, and the network",
        ),
    }
}

fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(tls);
        }
        // An IO error does not name what it wraps as its source, but that one's source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

fn bad_server(target: &str, why: &CertificateError) -> Failure {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Failure::new(
            codes::WRONG_CA,
            format!("{target}: its certificate is not from the CA that is trusted"),
            "the ca.pem of this fleet's authority",
        ),
        CertificateError::Other(OtherError(wrong)) => Failure::new(
            codes::TLS,
            format!("{target}: the wrong server: {wrong}"),
            "check the address; if it is right, somebody stands in its place",
        ),
        other => Failure::new(
            codes::TLS,
            format!("{target}: its certificate is not accepted: {other}"),
            "check the address, the clocks, and the server's certificate",
        ),
    }
}

fn refused_by_server(target: &str, alert: AlertDescription) -> Failure {
    match alert {
        AlertDescription::CertificateExpired => Failure::new(
            codes::CERTIFICATE_EXPIRED,
            format!("{target}: our certificate has expired"),
            "sealsum-agent renew",
        ),
        AlertDescription::CertificateRevoked => Failure::new(
            codes::REVOKED,
            format!("{target}: our certificate is revoked"),
            "ask the operator of the authority",
        ),
        AlertDescription::CertificateRequired => Failure::new(
            codes::NOT_ENROLLED,
            format!("{target}: it wants a certificate and we have none"),
            "enrol first",
        ),
        other => Failure::new(
            codes::TLS,
            format!("{target}: it refused the connection: {other:?}"),
            "check that both sides belong to the same fleet",
        ),
    }
}
