//! Subject alternative names (RFC 5280, 4.2.1.6): what a request asks for, what a certificate says.

use std::collections::BTreeSet;
use std::net::IpAddr;

use der::Decode;
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::certificate::{Role, x25519_uri};
use crate::ids::Fleet;

/// The names in a certificate or a request for one; equal when they name the same, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Uniform resource identifiers: the role, and the X25519 key of a device.
    pub uris: BTreeSet<String>,
    /// DNS names; of servers only.
    pub dns_names: BTreeSet<String>,
    /// Addresses; of servers only.
    pub addresses: BTreeSet<IpAddr>,
}

/// The names cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NamesError {
    /// Not DER, or not of the right structure.
    #[error("malformed names: {0}")]
    Malformed(String),
    /// An e-mail address, a directory name and the like.
    #[error("a name of another kind than URI, DNS name and address")]
    Kind,
}

impl Names {
    /// What a holder of `role` must be called so that a CA which signs the names of the request
    /// makes the right certificate. Servers add their DNS names and addresses.
    pub fn of_role(role: &Role, fleet: &Fleet, x25519: Option<&[u8; 32]>) -> Self {
        let uris = [role.uri(fleet)].into_iter().chain(x25519.map(x25519_uri)).collect();
        Self { uris, ..Self::default() }
    }

    /// The names of a certificate, DER; none if it has none.
    ///
    /// # Errors
    /// [`NamesError`].
    pub fn of_certificate(der: &[u8]) -> Result<Self, NamesError> {
        let certificate = Certificate::from_der(der).map_err(malformed)?;
        let found = certificate.tbs_certificate().get_extension::<SubjectAltName>();
        match found.map_err(malformed)? {
            Some((_, names)) => Self::read(&names),
            None => Ok(Self::default()),
        }
    }

    pub(crate) fn read(names: &SubjectAltName) -> Result<Self, NamesError> {
        let mut found = Self::default();
        for name in &names.0 {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => {
                    found.uris.insert(uri.to_string());
                }
                GeneralName::DnsName(dns) => {
                    found.dns_names.insert(dns.to_string());
                }
                GeneralName::IpAddress(octets) => {
                    let address = address(octets.as_bytes());
                    let wrong = || malformed("an address of neither 4 nor 16 octets");
                    found.addresses.insert(address.ok_or_else(wrong)?);
                }
                _ => return Err(NamesError::Kind),
            }
        }
        Ok(found)
    }
}

/// Four or sixteen octets (RFC 5280, 4.2.1.6).
fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn malformed(error: impl ToString) -> NamesError {
    NamesError::Malformed(error.to_string())
}
