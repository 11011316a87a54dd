//! Which devices may take part, at every moment: certificates and the authority's status list.
//!
//! A TLS connection outlives a revocation, so a device is judged anew with each request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use sealsum_attest::certificate::{CertificateError, FleetCa, Identity};
use sealsum_attest::status::{MAX_AGE_S, StatusError, StatusList};
use sealsum_daemon::http::{Connections, Peer};
use sealsum_daemon::{Failure, codes as common, time};
use sealsum_protocol::bounds;
use sealsum_protocol::ids::DeviceId;
use sha2::{Digest, Sha256};

use crate::codes;
use crate::store::Store;

/// Judges devices.
pub struct Devices {
    ca: FleetCa,
    store: Arc<Store>,
    connections: Connections,
    newest: RwLock<Option<Arc<Newest>>>,
    verified: Mutex<HashMap<[u8; 32], Arc<Identity>>>,
}

/// The newest status list.
pub struct Newest {
    /// What it says.
    pub list: StatusList,
    /// As the authority signed it.
    pub encoded: Vec<u8>,
}

impl Newest {
    /// Whether a device is out for good.
    pub fn revokes(&self, device: DeviceId) -> bool {
        self.list.revoked_devices.contains(&sealsum_attest::ids::DeviceId::from_bytes(device.0))
    }
}

/// Verified certificates that are remembered; a full fleet and its renewals.
const REMEMBERED: usize = 30_000;

impl Devices {
    /// Judges by this CA, bound to its fleet, and by the list that an earlier run kept, if that is
    /// still good.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(ca: FleetCa, store: Arc<Store>, connections: Connections) -> Result<Self, Failure> {
        let kept = store.status_list()?;
        let devices =
            Self { ca, store, connections, newest: RwLock::default(), verified: Mutex::default() };
        let Some((number, encoded)) = kept else { return Ok(devices) };
        match StatusList::verify(&encoded, &devices.ca, time::now(), Some(number)) {
            Ok(list) => devices.replace(list, encoded),
            Err(error) => tracing::info!(%error, "the status list of the last run is not used"),
        }
        Ok(devices)
    }

    /// Takes a list that was fetched, if it is good, and closes the connections of whoever it
    /// revokes.
    ///
    /// # Errors
    /// `log_invalid` for a list that is not to be believed, `storage` when it cannot be kept.
    pub fn admit(&self, encoded: Vec<u8>) -> Result<Arc<Newest>, Failure> {
        if let Some(newest) = self.newest().filter(|newest| newest.encoded == encoded) {
            return Ok(newest);
        }
        let last = self.store.status_list()?.map(|(number, _)| number);
        let list = StatusList::verify(&encoded, &self.ca, time::now(), last)
            .map_err(|error| not_believed(&error))?;
        if encoded.len() > bounds::STATUS_LIST {
            return Err(Failure::new(
                common::LOG_INVALID,
                format!("status list: {} bytes do not fit into a roster", encoded.len()),
                "enrol the remaining devices into a new fleet",
            ));
        }
        self.store.keep_status_list(list.number, &encoded)?;
        self.replace(list, encoded);
        let newest = self.newest().ok_or_else(|| Failure::bug("status list: was not kept"))?;
        self.cut_off(&newest.list);
        Ok(newest)
    }

    /// The newest list, whatever its age.
    pub fn newest(&self) -> Option<Arc<Newest>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest list, young enough to open a round by.
    ///
    /// # Errors
    /// `status_list_stale`.
    pub fn fresh(&self, now: Timestamp) -> Result<Arc<Newest>, Failure> {
        let stale = |why: String| {
            Failure::new(
                codes::STATUS_LIST_STALE,
                format!("status list: {why}, so no round is opened"),
                "check that sealsum-authority runs and can be reached from here",
            )
        };
        let newest = self.newest().ok_or_else(|| stale("there is none yet".to_owned()))?;
        let age = now.duration_since(newest.list.issued_at).as_secs();
        if age > MAX_AGE_S {
            return Err(stale(format!("the newest is {age} s old")));
        }
        Ok(newest)
    }

    /// The device at the other end of a connection.
    ///
    /// # Errors
    /// `not_a_device`, `certificate_expired`, `revoked`. A revoked device's connection is closed.
    pub fn authorise(&self, peer: &Peer) -> Result<DeviceId, Failure> {
        let refuse = |error: &dyn std::fmt::Display| {
            let message = format!("certificate: {error}");
            Failure::new(codes::NOT_A_DEVICE, message, "the certificate of an enrolled device")
        };
        let certificate = peer.certificate().ok_or_else(|| refuse(&"none was shown"))?;
        let identity = match self.identity(certificate, time::now()) {
            Ok(identity) => identity,
            Err(CertificateError::Expired) => {
                return Err(Failure::new(
                    common::CERTIFICATE_EXPIRED,
                    "certificate: has expired",
                    "sealsum-agent renew",
                ));
            }
            Err(error) => return Err(refuse(&error)),
        };
        let device = identity.device().map_err(|error| refuse(&error))?;
        if self.revokes(&identity) {
            peer.connection.close();
            return Err(Failure::new(
                common::REVOKED,
                format!("device {device}: is revoked"),
                "ask the operator of the authority",
            ));
        }
        Ok(DeviceId(*device.as_bytes()))
    }

    /// What a leaf certificate of this fleet says. Verified once, then remembered by its hash for
    /// its life.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn identity(&self, der: &[u8], now: Timestamp) -> Result<Arc<Identity>, CertificateError> {
        let hash: [u8; 32] = Sha256::digest(der).into();
        let mut verified = self.verified();
        if let Some(known) = verified.get(&hash) {
            return if now > known.not_after {
                Err(CertificateError::Expired)
            } else {
                Ok(Arc::clone(known))
            };
        }
        let identity = Arc::new(self.ca.verify(&[der], now)?);
        if verified.len() >= REMEMBERED {
            verified.retain(|_, known| known.not_after >= now);
        }
        if verified.len() < REMEMBERED {
            verified.insert(hash, Arc::clone(&identity));
        }
        Ok(identity)
    }

    /// Whether the newest list revokes the holder of a certificate.
    pub fn revokes(&self, identity: &Identity) -> bool {
        self.newest().is_some_and(|newest| newest.list.revokes(identity))
    }

    /// The devices that have a connection open.
    pub fn connected(&self) -> HashSet<DeviceId> {
        let connected = Mutex::default();
        let now = time::now();
        // Looks at all and closes none.
        self.connections.close_where(|peer| {
            let device = peer
                .certificate()
                .and_then(|der| self.identity(der, now).ok())
                .and_then(|identity| identity.device().ok());
            let mut connected: MutexGuard<'_, HashSet<DeviceId>> =
                connected.lock().unwrap_or_else(PoisonError::into_inner);
            connected.extend(device.map(|device| DeviceId(*device.as_bytes())));
            false
        });
        connected.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many devices are connected, and how many are revoked.
    pub fn counts(&self) -> (u64, u64) {
        let revoked = self.newest().map_or(0, |newest| newest.list.revoked_devices.len());
        (self.connected().len() as u64, revoked as u64)
    }

    fn replace(&self, list: StatusList, encoded: Vec<u8>) {
        let newest = Some(Arc::new(Newest { list, encoded }));
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    fn cut_off(&self, list: &StatusList) {
        let closed = self.connections.close_where(|peer| {
            peer.certificate()
                .and_then(|der| Identity::parse(der).ok())
                .is_some_and(|identity| list.revokes(&identity))
        });
        if closed > 0 {
            tracing::info!(closed, "connections of revoked devices closed");
        }
    }

    /// The map holds whole entries only, so a panic elsewhere leaves it sound.
    fn verified(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Identity>>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_believed(error: &StatusError) -> Failure {
    Failure::new(
        common::LOG_INVALID,
        format!("status list: {error}"),
        "compare the clocks; check that authority.ca is the CA of this fleet",
    )
}
