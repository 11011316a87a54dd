//! The authority's own certificate.

use jiff::Timestamp;
use sealsum_attest::certificate::{Identity, Role};
use sealsum_attest::names::Names;
use sealsum_daemon::{Failure, codes};

use crate::authority::state_failure;
use crate::ca::{Ca, CaError, Issued, Leaf};
use crate::config::Config;
use crate::issuance;
use crate::keys::ServerKey;
use crate::store::{Store, certificates};

/// What it is made from.
pub(crate) struct Own<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ca: &'a Ca,
    pub(crate) key: &'a ServerKey,
    pub(crate) store: &'a Store,
    pub(crate) lifetime_s: u64,
}

impl Own<'_> {
    /// A new one; while the CA does not answer, the one of the last run, if it still fits.
    pub(crate) fn first(&self, now: Timestamp) -> Result<Issued, Failure> {
        let failure = match self.issue(now) {
            Err(failure) if failure.code == codes::BUSY => failure,
            other => return other,
        };
        match self.last(now)? {
            Some(last) => {
                tracing::warn!(%failure, "the certificate of the last run serves on");
                Ok(last)
            }
            None => Err(failure),
        }
    }

    /// A new one, on record.
    pub(crate) fn issue(&self, now: Timestamp) -> Result<Issued, Failure> {
        let leaf = self.leaf()?;
        let request = self.key.request(&leaf.names(&self.config.fleet))?;
        let issued = self.ca.issue(&leaf, &request, self.lifetime_s, now)?;
        self.store.write("issue_own", |tx| issuance::record(tx, &leaf.role, 0, &issued, now))?;
        Ok(issued)
    }

    fn last(&self, now: Timestamp) -> Result<Option<Issued>, Failure> {
        let leaf = self.leaf()?;
        let role = &leaf.role;
        let row =
            self.store.read(|view| certificates::latest(view, role.kind(), &role.subject()))?;
        let Some(row) = row else { return Ok(None) };
        let corrupt = |error: String| state_failure(self.config, &CaError::Files(error));
        let identity = Identity::parse(&row.der).map_err(|error| corrupt(error.to_string()))?;
        let names = Names::of_certificate(&row.der).map_err(|error| corrupt(error.to_string()))?;
        let fits = row.revoked_at.is_none()
            && identity.not_after > now
            && identity.public_key == leaf.public_key
            && names == leaf.names(&self.config.fleet);
        Ok(fits.then(|| Issued::from_certificate(row.der, &identity)))
    }

    fn leaf(&self) -> Result<Leaf, Failure> {
        let key = self.key.public_key();
        Ok(Leaf {
            role: Role::Authority,
            public_key: key
                .map_err(|error| state_failure(self.config, &CaError::Files(error.to_string())))?,
            x25519: None,
            dns_names: self.config.dns_names(),
            addresses: self.config.addresses(),
        })
    }
}
