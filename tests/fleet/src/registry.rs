//! The authority of a test, without X.509.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use sealsum_protocol::codec::Decode;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::membership::{Member, Membership, MembershipError, Voucher};
use sealsum_protocol::signature::{PublicKey, Signature};

/// Certificates and status lists of the test: a certificate is the device's id, its X25519
/// identity and an Ed25519 key that stands for its TPM's; a status list is a number and ids.
#[derive(Clone, Default)]
pub struct Registry {
    status: Arc<Mutex<Status>>,
    verified: Arc<Mutex<HashSet<Vec<u8>>>>,
}

#[derive(Default)]
struct Status {
    number: u64,
    revoked: BTreeSet<DeviceId>,
    /// Devices whose certificates the authority's log does not show.
    unlogged: BTreeSet<DeviceId>,
}

pub fn status_list(number: u64, revoked: &[DeviceId]) -> Vec<u8> {
    let mut list = number.to_le_bytes().to_vec();
    revoked.iter().for_each(|device| list.extend(device.0));
    list
}

impl Registry {
    /// A registry with a status list of its own that need not verify again what `other` verified.
    pub fn beside(other: &Self) -> Self {
        Self { verified: other.verified.clone(), ..Self::default() }
    }

    /// The authority's log shows no certificate of this device.
    pub fn miss_in_the_log(&self, device: DeviceId) {
        self.status.lock().unwrap().unlogged.insert(device);
    }

    fn signed(&self, key: PublicKey, voucher: &Voucher<'_>) -> bool {
        let seen = [&key.0, voucher.signature, voucher.statement].concat();
        if self.verified.lock().unwrap().contains(&seen) {
            return true;
        }
        let signature = Signature::decoded(voucher.signature);
        let good = signature.is_ok_and(|signature| key.verifies(voucher.statement, &signature));
        if good {
            self.verified.lock().unwrap().insert(seen);
        }
        good
    }
}

impl Membership for Registry {
    fn admit_status_list(&mut self, list: &[u8], _: u64) -> Result<(), MembershipError> {
        let bad = |why: &str| MembershipError::StatusList(why.to_owned());
        let (number, revoked) = list.split_first_chunk::<8>().ok_or_else(|| bad("too short"))?;
        let mut status = self.status.lock().unwrap();
        if u64::from_le_bytes(*number) < status.number {
            return Err(bad("older than one seen before"));
        }
        status.number = u64::from_le_bytes(*number);
        status.revoked = revoked.chunks(32).map(|id| DeviceId(id.try_into().unwrap())).collect();
        Ok(())
    }

    fn verify(&self, voucher: &Voucher<'_>, _: u64) -> Result<Member, MembershipError> {
        let [device, static_key, tpm] = split_certificate(voucher.certificate)
            .ok_or_else(|| MembershipError::Certificate("unreadable".to_owned()))?;
        if device != voucher.device.0 {
            return Err(MembershipError::Certificate("another device's".to_owned()));
        }
        if self.status.lock().unwrap().revoked.contains(&voucher.device) {
            return Err(MembershipError::Revoked);
        }
        if self.status.lock().unwrap().unlogged.contains(&voucher.device) {
            return Err(MembershipError::Certificate("not in the authority's log".to_owned()));
        }
        if !self.signed(PublicKey(tpm), voucher) {
            return Err(MembershipError::Signature);
        }
        Ok(Member { static_key })
    }
}

fn split_certificate(bytes: &[u8]) -> Option<[[u8; 32]; 3]> {
    let parts: Vec<[u8; 32]> = bytes.chunks_exact(32).map(|p| p.try_into().unwrap()).collect();
    parts.try_into().ok()
}
