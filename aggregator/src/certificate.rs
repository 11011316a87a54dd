//! This aggregator's own key and certificate.

use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use rustls::sign::SigningKey;
use sealsum_attest::certificate::{FleetCa, Identity, Role};
use sealsum_attest::messages::AggregatorGrant;
use sealsum_attest::names::Names;
use sealsum_daemon::{Failure, codes, files, tls};
use zeroize::Zeroizing;

use crate::authority::AuthorityClient;
use crate::authority_log::AuthorityLog;
use crate::config::Config;

/// The certificate in use and what it says.
pub struct Own {
    /// Shared with the TLS server; renewals go through it.
    pub tls: tls::Identity,
    /// What the certificate says.
    pub identity: Identity,
}

/// Makes a key, has it certified for a token, and keeps both once the certificate is shown to be in
/// the authority's log.
///
/// # Errors
/// When the authority refuses, `log_invalid`, `log_fork`, or when a file cannot be written.
pub fn enrol(
    config: &Config,
    client: &AuthorityClient,
    token: &str,
) -> Result<AggregatorGrant, Failure> {
    let key = KeyPair::generate().map_err(|error| not_made(&error))?;
    let role = Role::Aggregator(config.name.clone());
    let names = Names {
        dns_names: config.dns_names.iter().cloned().collect(),
        addresses: config.addresses.iter().copied().collect(),
        ..Names::of_role(&role, &client.info()?.fleet, None)
    };
    let grant = client.enrol(config, token, request(&key, &names)?)?;
    verify(config, &grant.certificate)?;
    AuthorityLog::open(config)?.take(&grant.log, &leaf(&grant)?, client)?;
    files::write_private(&config.key_file(), Zeroizing::new(key.serialize_pem()).as_bytes())?;
    files::write_public(&config.certificate_file(), grant.certificate.as_bytes())?;
    Ok(grant)
}

/// Reads the key and the certificate that [`enrol`] kept.
///
/// # Errors
/// `not_enrolled` without them, `certificate_expired`, or when they are not the fleet's.
pub fn open(config: &Config) -> Result<Own, Failure> {
    let path = config.certificate_file();
    if !path.exists() {
        return Err(Failure::new(
            codes::NOT_ENROLLED,
            format!("{}: this aggregator has no certificate", path.display()),
            "sealsum-aggregator init",
        ));
    }
    let pem = files::read_text(&path, PEM_LIMIT)?;
    let identity = verify(config, &pem)?;
    let chain = tls::chain_from_pem(pem.as_bytes(), &path.display().to_string())?;
    let tls = tls::Identity::new(chain, key(config)?).map_err(|error| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {error}", config.key_file().display()),
            "sealsum-aggregator init, into another directory",
        )
    })?;
    Ok(Own { tls, identity })
}

/// Has the same key certified again and takes the new certificate into use.
///
/// # Errors
/// When the authority refuses, `log_invalid`, `log_fork`, or when a file cannot be written; the old
/// certificate stays.
pub fn renew(
    config: &Config,
    tls: &tls::Identity,
    log: &AuthorityLog,
) -> Result<Identity, Failure> {
    let pem = files::read_private(&config.key_file(), PEM_LIMIT)?;
    let pem = std::str::from_utf8(&pem).map_err(|error| not_made(&error))?;
    let pair = KeyPair::from_pem(pem).map_err(|error| not_made(&error))?;
    let own = tls.chain().and_then(|chain| chain.into_iter().next());
    let own = own.ok_or_else(|| not_made(&"there is no certificate to renew"))?;
    let names = Names::of_certificate(&own).map_err(|error| not_made(&error))?;
    let client = AuthorityClient::identified(config, tls)?;
    let grant = client.renew(request(&pair, &names)?)?;
    let identity = verify(config, &grant.certificate)?;
    log.take(&grant.log, &leaf(&grant)?, &client)?;
    let chain = tls::chain_from_pem(grant.certificate.as_bytes(), "renewed certificate")?;
    files::write_public(&config.certificate_file(), grant.certificate.as_bytes())?;
    tls.replace(chain, key(config)?)
        .map_err(|error| Failure::bug(format!("renewed certificate: {error}")))?;
    Ok(identity)
}

/// The certificate itself, DER.
fn leaf(grant: &AggregatorGrant) -> Result<Vec<u8>, Failure> {
    let chain = sealsum_attest::certificate::chain_from_pem(&grant.certificate);
    let chain = chain.map_err(|error| Failure::bug(format!("certificate: {error}")))?;
    chain.into_iter().next().ok_or_else(|| Failure::bug("certificate: the chain is empty"))
}

/// When two thirds of a certificate's life are over.
pub fn renew_at(identity: &Identity) -> Timestamp {
    let life = identity.not_after.duration_since(identity.not_before);
    identity.not_before.saturating_add(life * 2 / 3).unwrap_or(identity.not_after)
}

/// A certificate of our fleet's CA, with the role and the name that we asked for.
fn verify(config: &Config, pem: &str) -> Result<Identity, Failure> {
    let ca = fleet_ca(config)?;
    let verified = sealsum_attest::certificate::chain_from_pem(pem)
        .and_then(|chain| ca.verify(&chain, sealsum_daemon::time::now()));
    let identity = verified.map_err(|error| {
        use sealsum_attest::certificate::CertificateError::Expired;
        let code = if error == Expired { codes::CERTIFICATE_EXPIRED } else { codes::WRONG_CA };
        let message = format!("certificate of this aggregator: {error}");
        Failure::new(code, message, "sealsum-aggregator init, with a new token")
    })?;
    let named = identity.aggregator().is_ok_and(|name| *name == config.name);
    if !named {
        return Err(Failure::new(
            codes::CONFIG_INVALID,
            format!("certificate of this aggregator: is not for the name {}", config.name),
            "the name in the configuration as it was at init",
        ));
    }
    Ok(identity)
}

/// The pinned CA.
///
/// # Errors
/// When its file cannot be read.
pub fn fleet_ca(config: &Config) -> Result<FleetCa, Failure> {
    let path = &config.authority.ca;
    FleetCa::from_pem(&files::read_text(path, PEM_LIMIT)?).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::new(codes::FILE_FORMAT, message, "the ca.pem of the authority")
    })
}

fn key(config: &Config) -> Result<Arc<dyn SigningKey>, Failure> {
    tls::read_private_key(&config.key_file())
}

/// For these names: the authority decides, but a CA behind it may sign only what was asked for.
fn request(key: &KeyPair, names: &Names) -> Result<Vec<u8>, Failure> {
    let wrong = |error: rcgen::Error| not_made(&error);
    let mut params = CertificateParams::default();
    for uri in &names.uris {
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(wrong)?));
    }
    for dns in &names.dns_names {
        params.subject_alt_names.push(SanType::DnsName(dns.as_str().try_into().map_err(wrong)?));
    }
    params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key).map_err(wrong)?.der().to_vec())
}

fn not_made(error: &dyn std::fmt::Display) -> Failure {
    Failure::bug(format!("certificate request: {error}"))
}

/// Longest PEM file, in bytes.
const PEM_LIMIT: u64 = 64 * 1024;
