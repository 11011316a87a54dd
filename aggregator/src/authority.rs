//! What this program asks of the authority.

use std::sync::Arc;

use sealsum_attest::certificate::Identity;
use sealsum_attest::inclusion::{Consistency, MembersProof, MembersRequest};
use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, Info, PROTOCOL_VERSION,
};
use sealsum_daemon::tls::{self, RoleCheck};
use sealsum_daemon::{Failure, codes};

use crate::config::Config;
use crate::https::Client;

/// The authority, reached over TLS that admits no other role as its server.
pub struct AuthorityClient {
    client: Client,
}

impl AuthorityClient {
    /// Without a certificate of our own: enrolment and the status list.
    ///
    /// # Errors
    /// When the CA file cannot be read.
    pub fn anonymous(config: &Config) -> Result<Self, Failure> {
        Self::new(config, None)
    }

    /// With our certificate: renewal and the log.
    ///
    /// # Errors
    /// When the CA file cannot be read.
    pub fn identified(config: &Config, identity: &tls::Identity) -> Result<Self, Failure> {
        Self::new(config, Some(identity))
    }

    fn new(config: &Config, identity: Option<&tls::Identity>) -> Result<Self, Failure> {
        let roots = tls::read_roots(&config.authority.ca)?;
        let tls = tls::client_config(roots, authority_only(), identity)?;
        Ok(Self { client: Client::new("authority", &config.authority.url, tls) })
    }

    /// The signed status list, not yet verified.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    pub fn status_list(&self) -> Result<Vec<u8>, Failure> {
        self.client.get("/v1/status-list")
    }

    /// Who the authority is.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    pub fn info(&self) -> Result<Info, Failure> {
        let answer = self.client.get("/v1/info")?;
        serde_json::from_slice(&answer).map_err(|error| {
            Failure::new(
                codes::REFUSED,
                format!("authority: its answer to /v1/info is malformed: {error}"),
                "install the same version on both machines",
            )
        })
    }

    /// One proof that many certificates are in the log, not yet verified.
    ///
    /// # Errors
    /// When the authority cannot be reached or does not know one of them.
    pub fn members(&self, request: &MembersRequest) -> Result<MembersProof, Failure> {
        self.client.post("/v1/log/members", request)
    }

    /// The proof that the log of `from` entries grew to that of `to`, not yet verified.
    ///
    /// # Errors
    /// When the authority cannot be reached or refuses.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Consistency, Failure> {
        let bytes = self.client.get(&format!("/v1/log/consistency?from={from}&to={to}"))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::bug(format!("consistency proof of the authority: {error}")))
    }

    /// A file of the log (C2SP tlog-tiles) by its path below the log's prefix.
    ///
    /// # Errors
    /// When the authority cannot be reached or refuses.
    pub fn log_file(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.client.get(&format!("/v1/log/{path}"))
    }

    /// A first certificate for a token.
    ///
    /// # Errors
    /// When the authority cannot be reached or refuses.
    pub fn enrol(
        &self,
        config: &Config,
        token: &str,
        csr: Vec<u8>,
    ) -> Result<AggregatorGrant, Failure> {
        let request = AggregatorEnrolRequest {
            protocol: PROTOCOL_VERSION,
            token: token.to_owned(),
            name: config.name.clone(),
            csr: csr.into(),
            dns_names: config.dns_names.clone(),
            addresses: config.addresses.clone(),
        };
        self.client.post("/v1/aggregator/enroll", &request)
    }

    /// The next certificate, for the one this connection shows.
    ///
    /// # Errors
    /// When the authority cannot be reached or refuses.
    pub fn renew(&self, csr: Vec<u8>) -> Result<AggregatorGrant, Failure> {
        let request = AggregatorRenewRequest { protocol: PROTOCOL_VERSION, csr: csr.into() };
        self.client.post("/v1/aggregator/renew", &request)
    }
}

fn authority_only() -> RoleCheck {
    Arc::new(|certificate| {
        Identity::parse(certificate)
            .and_then(|identity| identity.authority())
            .map_err(|error| error.to_string())
    })
}
