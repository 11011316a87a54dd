//! Who shows a client certificate.

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Identity;
use sealsum_daemon::http::Peer;
use sealsum_daemon::{Failure, codes};

use crate::authority::Authority;
use crate::failures::{refused, replaced, revoked, shut_out};
use crate::store::{CertificateRow, certificates, devices};

/// The holder of a certificate that the TLS handshake verified.
pub struct Client {
    /// What it says.
    pub identity: Identity,
    /// The certificate.
    pub der: Vec<u8>,
}

impl Client {
    /// The client of a connection.
    ///
    /// # Errors
    /// `refused` if it showed no certificate of this fleet.
    pub fn of(authority: &Authority, peer: &Peer) -> Result<Self, Failure> {
        let Some(certificate) = peer.certificate() else {
            return Err(refused("the request came without a client certificate"));
        };
        let identity = Identity::parse(certificate).map_err(|error| refused(&error.to_string()))?;
        if identity.fleet != authority.config.fleet {
            return Err(refused(&format!("the certificate is of the fleet {}", identity.fleet)));
        }
        Ok(Self { identity, der: certificate.to_vec() })
    }

    /// Its certificate as issued here.
    ///
    /// # Errors
    /// `refused`.
    pub(crate) fn row(&self, view: &Connection) -> Result<CertificateRow, Failure> {
        certificates::find(view, &self.identity.serial)?
            .filter(|row| row.der == self.der)
            .ok_or_else(|| refused("this certificate was not issued here"))
    }

    /// Demands that whoever asks is a device or an aggregator of the fleet at this moment.
    ///
    /// # Errors
    /// `refused`, `revoked`, `certificate_expired`.
    pub(crate) fn check_member(
        authority: &Authority,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<(), Failure> {
        // The authority's own certificate is for servers: the handshake refuses it.
        Self::of(authority, peer)?.check_not_revoked(authority, now)
    }

    /// Looks its certificate up: issued here, still valid, not revoked. The connection may be
    /// older than a revocation, so every request asks again.
    ///
    /// # Errors
    /// `revoked`, `certificate_replaced`, `certificate_expired` or `refused`.
    pub(crate) fn check_not_revoked(
        &self,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let (row, member) = authority.store.read(|view| {
            let member = match self.identity.device() {
                Ok(device) => devices::find(view, &device)?,
                Err(_) => None,
            };
            Ok::<_, Failure>((self.row(view)?, member))
        })?;
        if let Some(why) = member.as_ref().and_then(|member| member.revoked.as_ref()) {
            let device = self.identity.device().map_err(|error| refused(&error.to_string()))?;
            return Err(shut_out(why, &device));
        }
        if row.revoked_at.is_some() {
            return Err(if member.is_some() { replaced() } else { revoked("this certificate") });
        }
        if row.not_after <= now.as_second() {
            return Err(Failure::new(
                codes::CERTIFICATE_EXPIRED,
                "request: this certificate has expired",
                "enrol again",
            ));
        }
        Ok(())
    }
}
