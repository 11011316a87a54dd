//! Whether a certificate from somebody else's CA is exactly the one that was asked for.

use jiff::Timestamp;
use sealsum_attest::certificate::{FleetCa, Role, chain_from_pem};
use sealsum_attest::ids::Fleet;
use sealsum_attest::names::Names;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1};
use x509_cert::der::{self, Decode};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};

use super::{Issued, Leaf};

/// What was asked for.
pub struct Wanted<'a> {
    /// The subject.
    pub leaf: &'a Leaf,
    /// Its fleet.
    pub fleet: &'a Fleet,
    /// The longest life, first to last second.
    pub lifetime_s: u64,
    /// The pinned CA.
    pub trust: &'a FleetCa,
}

/// Takes a certificate if it is what was asked for in every respect: chain, time, role, fleet, key,
/// X25519 key, names, uses, life, and no CA.
///
/// # Errors
/// What is wrong with it, and the setting of Vault's role that is for it.
pub fn accept(der: &[u8], wanted: &Wanted<'_>, now: Timestamp) -> Result<Issued, String> {
    let Wanted { leaf, fleet, lifetime_s, trust } = wanted;
    // A leaf that is a CA is refused here too.
    let identity = trust.verify(&[der], now).map_err(|error| format!("{error} (issuer_ref)"))?;
    let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
    if identity.role != leaf.role || identity.fleet != **fleet {
        let uri = identity.role.uri(&identity.fleet);
        return Err(format!("it is for {uri} (use_csr_sans, allowed_uri_sans)"));
    }
    if identity.public_key != leaf.public_key {
        return Err("it is for another key".into());
    }
    if identity.x25519 != leaf.x25519 {
        return Err("it is for another X25519 key (allowed_uri_sans)".into());
    }
    let names = Names::of_certificate(der).map_err(|error| error.to_string())?;
    if names != leaf.names(fleet) {
        return Err("it has other names than were asked for (use_csr_sans, \
             use_csr_common_name, exclude_cn_from_sans)"
            .into());
    }
    check_uses(&certificate, &leaf.role)?;
    let life = identity.not_after.duration_since(identity.not_before).as_secs();
    if u64::try_from(life).is_ok_and(|life| life > *lifetime_s) {
        return Err(format!(
            "it lives for {life} s, longer than {lifetime_s} s (max_ttl, not_before_duration)"
        ));
    }
    Ok(Issued::from_certificate(der.to_vec(), &identity))
}

fn check_uses(certificate: &Certificate, role: &Role) -> Result<(), String> {
    let (required, allowed): (&[_], &[_]) = match role {
        Role::Device(_) => (&[ID_KP_CLIENT_AUTH], &[ID_KP_CLIENT_AUTH]),
        Role::Aggregator(_) => {
            (&[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH], &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH])
        }
        Role::Authority => (&[ID_KP_SERVER_AUTH], &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]),
    };
    let uses = extension::<ExtendedKeyUsage>(certificate)?.map(|uses| uses.0).unwrap_or_default();
    let has = |purpose: &ObjectIdentifier| uses.contains(purpose);
    if !required.iter().all(has) || !uses.iter().all(|purpose| allowed.contains(purpose)) {
        return Err("it is for other uses (client_flag, server_flag, ext_key_usage)".into());
    }
    let key_usage = extension::<KeyUsage>(certificate)?.map(|usage| usage.0);
    if key_usage != Some(FlagSet::from(KeyUsages::DigitalSignature)) {
        return Err("its key is for more or less than signatures (key_usage)".into());
    }
    Ok(())
}

fn extension<'a, E: Decode<'a, Error = der::Error> + AssociatedOid>(
    certificate: &'a Certificate,
) -> Result<Option<E>, String> {
    let found = certificate.tbs_certificate().get_extension::<E>();
    Ok(found.map_err(|error| error.to_string())?.map(|(_, value)| value))
}

/// Takes the certificate of a CA that devices can pin: one, of a CA, with a key that they can verify
/// signatures of, valid now.
///
/// # Errors
/// What is wrong with it.
pub fn issuing_ca(pem: &str, now: Timestamp) -> Result<Vec<u8>, String> {
    let mut found = chain_from_pem(pem).map_err(|error| error.to_string())?;
    let (Some(der), true) = (found.pop(), found.is_empty()) else {
        return Err("more than one certificate".into());
    };
    let certificate = Certificate::from_der(&der).map_err(|error| error.to_string())?;
    if !extension::<BasicConstraints>(&certificate)?.is_some_and(|constraints| constraints.ca) {
        return Err("it is no CA".into());
    }
    let algorithm = &certificate.tbs_certificate().subject_public_key_info().algorithm;
    let curve = algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
    let known = curve.is_some_and(|curve| [SECP_256_R_1, SECP_384_R_1].contains(&curve));
    if algorithm.oid != ID_EC_PUBLIC_KEY || !known {
        return Err("its key is neither P-256 nor P-384".into());
    }
    let validity = certificate.tbs_certificate().validity();
    let second = u64::try_from(now.as_second()).unwrap_or(0);
    let valid = validity.not_before.to_unix_duration().as_secs()
        ..=validity.not_after.to_unix_duration().as_secs();
    if !valid.contains(&second) {
        return Err("it is not valid now".into());
    }
    Ok(der)
}

#[cfg(test)]
mod tests;
