//! The certificates of a fleet: their profile, how one is read, how a chain is checked.
//!
//! | role | URI SAN | extended key usage |
//! |---|---|---|
//! | device | `spiffe://FLEET/device/ID` | clientAuth |
//! | aggregator | `spiffe://FLEET/aggregator/NAME` | serverAuth, clientAuth |
//! | authority | `spiffe://FLEET/authority` | serverAuth |
//!
//! All keys are P-256. A device's certificate carries its X25519 identity in one of two ways: in
//! the private extension [`X25519_EXTENSION`], not critical, 32 raw bytes in an OCTET STRING (the
//! built-in CA); or as a second URI SAN `x25519:` with 64 lower-case hexadecimal digits
//! ([`x25519_uri`]), for a CA that copies names from a request, but no extension it does not know.

use std::fmt;

use der::asn1::OctetStringRef;
use der::{Decode, Encode};
use jiff::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate, Version};

use crate::ids::{DeviceId, Fleet, Name};

/// Arcs of the extension that carries a device's X25519 public key.
///
/// An arc below 2.25 that fits 31 bits: the usual 128-bit UUID arcs overflow what common X.509
/// libraries hold. It was drawn from a hash, not registered.
pub const X25519_EXTENSION_ARCS: [u64; 3] = [2, 25, 354_633_422];

/// The same as an object identifier.
pub const X25519_EXTENSION: der::asn1::ObjectIdentifier =
    der::asn1::ObjectIdentifier::new_unwrap("2.25.354633422");

/// Longest life of a device's or an aggregator's certificate, in seconds.
pub const LIFETIME_MAX_S: u64 = 24 * 60 * 60;

/// Most certificates a chain is read with, leaf included.
const CHAIN_MAX: usize = 4;

const SCHEME: &str = "spiffe://";

const X25519_SCHEME: &str = "x25519:";

/// What a certificate entitles its holder to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes part in rounds.
    Device(DeviceId),
    /// Runs rounds.
    Aggregator(Name),
    /// Enrols devices; signs status lists and results.
    Authority,
}

impl Role {
    /// The URI SAN of this role in `fleet`.
    pub fn uri(&self, fleet: &Fleet) -> String {
        match self {
            Self::Device(id) => format!("{SCHEME}{fleet}/device/{id}"),
            Self::Aggregator(name) => format!("{SCHEME}{fleet}/aggregator/{name}"),
            Self::Authority => format!("{SCHEME}{fleet}/authority"),
        }
    }

    /// Which of the three.
    pub const fn kind(&self) -> RoleKind {
        match self {
            Self::Device(_) => RoleKind::Device,
            Self::Aggregator(_) => RoleKind::Aggregator,
            Self::Authority => RoleKind::Authority,
        }
    }

    /// Who, as the registry and the log file it: a device's id, a server's name.
    pub fn subject(&self) -> String {
        match self {
            Self::Device(id) => id.to_string(),
            Self::Aggregator(name) => name.to_string(),
            Self::Authority => "authority".to_owned(),
        }
    }
}

/// Whom a certificate speaks for. Agents accept one role as a server, never the other two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleKind {
    /// A device, by its endorsement key.
    Device,
    /// An aggregator of the fleet, by name.
    Aggregator,
    /// The authority itself.
    Authority,
}

impl RoleKind {
    /// As stored, logged and written in SAN URIs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Aggregator => "aggregator",
            Self::Authority => "authority",
        }
    }

    /// Reads what [`RoleKind::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Device, Self::Aggregator, Self::Authority]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a certificate, a chain or a signature under one is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Not the DER of an X.509 certificate, or not PEM.
    #[error("not a certificate: {0}")]
    Malformed(String),
    /// It has no URI of a role, or more than one, or one of another form.
    #[error("the certificate names no role of a fleet")]
    NoRole,
    /// Its key is not an uncompressed P-256 point.
    #[error("the certificate's key is not P-256")]
    Key,
    /// A device without its X25519 key or with two, another role with one, or a malformed one.
    #[error("the certificate's X25519 key does not fit its role")]
    X25519,
    /// It does not chain to the pinned certificate authority at this time for this role's use.
    #[error("the certificate is not valid under the pinned authority: {0}")]
    Untrusted(String),
    /// It was valid, but is no longer.
    #[error("the certificate has expired")]
    Expired,
    /// It belongs to another fleet.
    #[error("the certificate is of the fleet {0}")]
    OtherFleet(Fleet),
    /// It is of another role than the caller needs.
    #[error("the certificate is of the role {0}")]
    OtherRole(RoleKind),
    /// The signature does not verify under the certificate's key.
    #[error("the signature is not by this certificate's key")]
    Signature,
}

/// A leaf certificate read, **not** verified; [`FleetCa::verify`] returns one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who the holder is.
    pub role: Role,
    /// In which fleet.
    pub fleet: Fleet,
    /// The X25519 identity: of a device always, of another role never.
    pub x25519: Option<[u8; 32]>,
    /// Serial number, big-endian bytes as in the DER.
    pub serial: Vec<u8>,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
    /// The P-256 key, uncompressed SEC1.
    pub public_key: PublicKey,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

impl Identity {
    /// Reads a leaf certificate of a fleet.
    ///
    /// # Errors
    /// [`CertificateError`] if it is not of the profile above.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_der(der).map_err(malformed)?;
        let tbs = certificate.tbs_certificate();
        // RFC 5280, 4.1.2.1.
        if tbs.version() != Version::V3 {
            return Err(CertificateError::Malformed("extensions, and not version 3".into()));
        }
        // X.690, 11.5: DER leaves defaults out, and the reader takes them all the same.
        if certificate.to_der().map_err(malformed)? != der {
            return Err(CertificateError::Malformed("not in DER".into()));
        }
        let uris = uris_of(&certificate)?;
        let (role, fleet) = role_of(&uris)?;
        let x25519 = x25519_of(&certificate, &uris)?;
        if x25519.is_some() != matches!(role, Role::Device(_)) {
            return Err(CertificateError::X25519);
        }
        let spki = tbs.subject_public_key_info().to_der().map_err(malformed)?;
        Ok(Self {
            role,
            fleet,
            x25519,
            serial: tbs.serial_number().as_bytes().to_vec(),
            not_before: timestamp(&tbs.validity().not_before),
            not_after: timestamp(&tbs.validity().not_after),
            public_key: PublicKey::from_spki(&spki)?,
            spki_sha256: Sha256::digest(&spki).into(),
        })
    }

    /// The device, if the holder is one.
    ///
    /// # Errors
    /// [`CertificateError::OtherRole`].
    pub fn device(&self) -> Result<DeviceId, CertificateError> {
        match &self.role {
            Role::Device(id) => Ok(*id),
            other => Err(CertificateError::OtherRole(other.kind())),
        }
    }

    /// The aggregator's name, if the holder is one.
    ///
    /// # Errors
    /// [`CertificateError::OtherRole`].
    pub fn aggregator(&self) -> Result<&Name, CertificateError> {
        match &self.role {
            Role::Aggregator(name) => Ok(name),
            other => Err(CertificateError::OtherRole(other.kind())),
        }
    }

    /// Demands that the holder is the authority.
    ///
    /// # Errors
    /// [`CertificateError::OtherRole`].
    pub fn authority(&self) -> Result<(), CertificateError> {
        match &self.role {
            Role::Authority => Ok(()),
            other => Err(CertificateError::OtherRole(other.kind())),
        }
    }
}

/// A P-256 public key, 65 bytes of uncompressed SEC1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 65]);

/// DER of a P-256 SubjectPublicKeyInfo up to the point (RFC 5480): the only form accepted.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl PublicKey {
    /// Takes an uncompressed point that lies on the curve.
    ///
    /// # Errors
    /// [`CertificateError::Key`].
    pub fn from_sec1(point: &[u8]) -> Result<Self, CertificateError> {
        let bytes: [u8; 65] = point.try_into().map_err(|_| CertificateError::Key)?;
        p256::PublicKey::from_sec1_bytes(&bytes).map_err(|_| CertificateError::Key)?;
        Ok(Self(bytes))
    }

    /// Takes the DER of a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`CertificateError::Key`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, CertificateError> {
        let point = spki.strip_prefix(&P256_SPKI_PREFIX).ok_or(CertificateError::Key)?;
        Self::from_sec1(point)
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        [&P256_SPKI_PREFIX[..], &self.0].concat()
    }

    /// The uncompressed point.
    pub const fn as_sec1(&self) -> &[u8; 65] {
        &self.0
    }

    /// Verifies ECDSA with SHA-256; `signature` is r and s, 32 bytes each.
    ///
    /// # Errors
    /// [`CertificateError::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), CertificateError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0)
            .verify(message, signature)
            .map_err(|_| CertificateError::Signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", crate::hex::encode(&self.0))
    }
}

/// The pinned certificate authority of a fleet, and the fleet if it is known already.
#[derive(Clone, Debug)]
pub struct FleetCa {
    anchors: Vec<TrustAnchor<'static>>,
    fleet: Option<Fleet>,
}

impl FleetCa {
    /// Trusts these certificates, DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], also for an empty list.
    pub fn from_der(certificates: &[Vec<u8>]) -> Result<Self, CertificateError> {
        if certificates.is_empty() {
            return Err(CertificateError::Malformed("no certificate".into()));
        }
        let anchors = certificates.iter().map(|der| {
            anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
                .map(|anchor| anchor.to_owned())
                .map_err(malformed)
        });
        Ok(Self { anchors: anchors.collect::<Result<_, _>>()?, fleet: None })
    }

    /// Trusts the certificates of a PEM file.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        Self::from_der(&chain_from_pem(text)?)
    }

    /// From now on refuses certificates of any other fleet.
    #[must_use]
    pub fn for_fleet(self, fleet: Fleet) -> Self {
        Self { fleet: Some(fleet), ..self }
    }

    /// Verifies a chain, leaf first, for the use of the leaf's role: a device as TLS client,
    /// the others as TLS server. Revocation is [`crate::status`]'s part.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify<C: AsRef<[u8]>>(
        &self,
        chain: &[C],
        now: Timestamp,
    ) -> Result<Identity, CertificateError> {
        let [leaf, rest @ ..] = chain else {
            return Err(CertificateError::Malformed("empty chain".into()));
        };
        if chain.len() > CHAIN_MAX {
            return Err(CertificateError::Untrusted("the chain is too long".into()));
        }
        let identity = Identity::parse(leaf.as_ref())?;
        self.verify_path(leaf.as_ref(), rest, usage(&identity.role), now)?;
        match &self.fleet {
            Some(fleet) if *fleet != identity.fleet => {
                Err(CertificateError::OtherFleet(identity.fleet))
            }
            _ => Ok(identity),
        }
    }

    fn verify_path<C: AsRef<[u8]>>(
        &self,
        leaf: &[u8],
        rest: &[C],
        usage: KeyUsage,
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let rest: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
        let leaf = CertificateDer::from(leaf);
        let algorithms = &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ECDSA_P384_SHA384];
        EndEntityCert::try_from(&leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(algorithms, &self.anchors, &rest, now, usage, None, None)
                    .map(|_| ())
            })
            .map_err(|error| match error {
                webpki::Error::CertExpired { .. } => CertificateError::Expired,
                other => CertificateError::Untrusted(other.to_string()),
            })
    }
}

fn usage(role: &Role) -> KeyUsage {
    match role {
        Role::Device(_) => KeyUsage::client_auth(),
        Role::Aggregator(_) | Role::Authority => KeyUsage::server_auth(),
    }
}

/// The DER of each certificate in a PEM text, in its order.
///
/// # Errors
/// [`CertificateError::Malformed`], also if there is none.
pub fn chain_from_pem(text: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|der| der.map(|der| der.to_vec()).map_err(malformed))
        .collect::<Result<_, _>>()?;
    if chain.is_empty() {
        return Err(CertificateError::Malformed("no certificate in the PEM text".into()));
    }
    Ok(chain)
}

/// The value of [`X25519_EXTENSION`] for this key: the DER of an OCTET STRING.
pub fn x25519_extension_value(public: &[u8; 32]) -> Vec<u8> {
    [&[0x04, 0x20], &public[..]].concat()
}

/// The URI SAN that carries a device's X25519 key.
pub fn x25519_uri(public: &[u8; 32]) -> String {
    format!("{X25519_SCHEME}{}", crate::hex::encode(public))
}

fn uris_of(certificate: &Certificate) -> Result<Vec<String>, CertificateError> {
    let (_, names) = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .map_err(malformed)?
        .ok_or(CertificateError::NoRole)?;
    let uri = |name: &GeneralName| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
        _ => None,
    };
    Ok(names.0.iter().filter_map(uri).collect())
}

fn role_of(uris: &[String]) -> Result<(Role, Fleet), CertificateError> {
    let mut roles = uris.iter().filter(|uri| !uri.starts_with(X25519_SCHEME));
    match (roles.next(), roles.next()) {
        (Some(uri), None) => parse_uri(uri).ok_or(CertificateError::NoRole),
        _ => Err(CertificateError::NoRole),
    }
}

/// Reads the URI SAN of a role; `None` for anything that [`Role::uri`] would not write.
pub fn parse_uri(uri: &str) -> Option<(Role, Fleet)> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    let fleet = parts.next()?.parse().ok()?;
    let role = match (parts.next()?, parts.next(), parts.next()) {
        ("authority", None, None) => Role::Authority,
        ("device", Some(id), None) => Role::Device(id.parse().ok()?),
        ("aggregator", Some(name), None) => Role::Aggregator(name.parse().ok()?),
        _ => return None,
    };
    Some((role, fleet))
}

/// The key from wherever it is; two are refused, even if they are the same.
fn x25519_of(
    certificate: &Certificate,
    uris: &[String],
) -> Result<Option<[u8; 32]>, CertificateError> {
    let extensions = certificate.tbs_certificate().extensions();
    let extensions = extensions.into_iter().flatten().filter(|e| e.extn_id == X25519_EXTENSION);
    let carried =
        extensions.map(|extension| x25519_from_extension(extension.extn_value.as_bytes()));
    let named = uris.iter().filter_map(|uri| uri.strip_prefix(X25519_SCHEME));
    let mut found = carried.chain(named.map(crate::hex::decode));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(Some(key)), None) => Ok(Some(key)),
        _ => Err(CertificateError::X25519),
    }
}

fn x25519_from_extension(value: &[u8]) -> Option<[u8; 32]> {
    let inner = <&OctetStringRef>::from_der(value).ok()?;
    inner.as_bytes().try_into().ok()
}

/// Times beyond what can be represented, such as the end of 9999, are cut to the last one.
pub(crate) fn timestamp(time: &x509_cert::time::Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn malformed(error: impl fmt::Display) -> CertificateError {
    CertificateError::Malformed(error.to_string())
}
