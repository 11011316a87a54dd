//! Certificates of aggregators: the first one with a token of that role, the next ones with the
//! certificate in use.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::DnsName;
use sealsum_attest::certificate::Role;
use sealsum_attest::csr::requested_key;
use sealsum_attest::ids::Name;
use sealsum_attest::inclusion::Inclusion;
use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, PROTOCOL_VERSION,
};
use sealsum_attest::names::Names;
use sealsum_daemon::{Failure, codes};
use sealsum_log::prove;

use crate::authority::Authority;
use crate::ca::{Issued, Leaf};
use crate::client::Client;
use crate::failures::{evidence_refused, refused};
use crate::store::RoleKind;
use crate::{issuance, tokens};

/// Names of either kind in one certificate.
const NAMES_MAX: usize = 16;

/// Issues an aggregator's first certificate.
///
/// # Errors
/// `token_invalid`; `body_invalid` for names that fit no certificate; `evidence_refused` for a
/// request that its key did not sign.
pub fn enrol(
    authority: &Authority,
    now: Timestamp,
    request: &AggregatorEnrolRequest,
) -> Result<AggregatorGrant, Failure> {
    check_protocol(request.protocol)?;
    let second = now.as_second();
    let token =
        tokens::admit(&authority.store, second, &request.token, RoleKind::Aggregator, None)?;
    if token.name.as_deref().is_some_and(|name| name != request.name.as_str()) {
        return Err(Failure::new(
            codes::TOKEN_INVALID,
            format!("token: it is for another name than {}", request.name),
            "the name that the operator gave with it",
        ));
    }
    check_names(&request.dns_names, &request.addresses)?;
    let leaf = Leaf {
        role: Role::Aggregator(request.name.clone()),
        public_key: requested_key(&request.csr.0).map_err(evidence_refused)?,
        x25519: None,
        dns_names: request.dns_names.clone(),
        addresses: request.addresses.clone(),
    };
    let issued = authority.issue(&leaf, &request.csr.0, now)?;
    let log = authority.store.write("enrol_aggregator", |tx| {
        tokens::take(tx, &token)?;
        issuance::revoke_certificates(tx, &leaf.role, now)?;
        let log_index = issuance::record(tx, &leaf.role, 0, &issued, now)?;
        Ok::<_, Failure>(prove::inclusion(tx, &authority.log_key, log_index)?)
    })?;
    tracing::info!(aggregator = %request.name, log_index = log.index, "aggregator enrolled");
    Ok(grant(authority, request.name.clone(), &issued, log))
}

/// Issues the next certificate of an aggregator, with the names of the one that it shows.
///
/// # Errors
/// `refused` without a valid certificate of the role aggregator; `evidence_refused` for a request
/// that its key did not sign.
pub fn renew(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    request: &AggregatorRenewRequest,
) -> Result<AggregatorGrant, Failure> {
    check_protocol(request.protocol)?;
    let name = client.identity.aggregator().map_err(|error| refused(&error.to_string()))?.clone();
    client.check_not_revoked(authority, now)?;
    let public_key = requested_key(&request.csr.0).map_err(evidence_refused)?;
    let names = Names::of_certificate(&client.der)
        .map_err(|error| Failure::bug(format!("an own certificate: {error}")))?;
    let leaf = Leaf {
        role: Role::Aggregator(name.clone()),
        public_key,
        x25519: None,
        dns_names: names.dns_names.into_iter().collect(),
        addresses: names.addresses.into_iter().collect(),
    };
    let issued = authority.issue(&leaf, &request.csr.0, now)?;
    let log = authority.store.write("renew_aggregator", |tx| {
        let log_index = issuance::record(tx, &leaf.role, 0, &issued, now)?;
        Ok::<_, Failure>(prove::inclusion(tx, &authority.log_key, log_index)?)
    })?;
    tracing::info!(aggregator = %name, log_index = log.index, "aggregator renewed");
    Ok(grant(authority, name, &issued, log))
}

fn grant(authority: &Authority, name: Name, issued: &Issued, log: Inclusion) -> AggregatorGrant {
    AggregatorGrant {
        name,
        fleet: authority.config.fleet.clone(),
        certificate: issued.chain_pem.clone(),
        log_index: log.index,
        log,
        renew_at: issued.renew_at(),
    }
}

fn check_protocol(version: u32) -> Result<(), Failure> {
    if version == PROTOCOL_VERSION {
        return Ok(());
    }
    Err(Failure::new(
        codes::BODY_INVALID,
        format!("request: protocol {version}, this authority speaks {PROTOCOL_VERSION}"),
        "install the same version on both machines",
    ))
}

fn check_names(dns_names: &[String], addresses: &[IpAddr]) -> Result<(), Failure> {
    let invalid = |why: String| {
        Failure::new(codes::BODY_INVALID, format!("request: {why}"), "correct the names")
    };
    if dns_names.len() + addresses.len() > NAMES_MAX {
        return Err(invalid(format!("more than {NAMES_MAX} names")));
    }
    if dns_names.is_empty() && addresses.is_empty() {
        return Err(invalid("no DNS name and no address for agents to find".into()));
    }
    match dns_names.iter().find(|name| DnsName::try_from(name.as_str()).is_err()) {
        Some(name) => Err(invalid(format!("{name:?} is no DNS name"))),
        None => Ok(()),
    }
}
