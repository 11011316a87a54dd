//! Who is a member, judged by the pinned CA, the authority's log and its newest status list.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sealsum_attest::certificate::{FleetCa, Identity, Role};
use sealsum_attest::status::{MAX_AGE_S, StatusList};
use sealsum_daemon::{Failure, codes};
use sealsum_protocol::membership::{Member, Membership, MembershipError, Voucher};
use sha2::{Digest, Sha256};

use crate::state::StateDir;

const FILE: &str = "status-list.json";
/// Certificates remembered as verified: a few of the largest rosters.
const CACHE_MAX: usize = 32_768;

/// The newest status list seen; shared by all who check one, on disk so that none goes back.
#[derive(Clone)]
pub struct StatusLists {
    ca: FleetCa,
    state: StateDir,
    newest: Arc<Mutex<Newest>>,
}

#[derive(Default)]
struct Newest {
    number: Option<u64>,
    list: Option<Arc<StatusList>>,
}

impl StatusLists {
    /// With the number that earlier runs reached.
    ///
    /// # Errors
    /// As [`StateDir::read`].
    pub fn open(state: &StateDir, ca: &FleetCa) -> Result<Self, Failure> {
        let newest = Newest { number: state.read(FILE)?, list: None };
        Ok(Self { ca: ca.clone(), state: state.clone(), newest: Arc::new(Mutex::new(newest)) })
    }

    /// Checks signature, age and number of an encoded list, and keeps its number on disk.
    ///
    /// # Errors
    /// `status_list` if it is not believed, `file_write`.
    pub fn admit(&self, encoded: &[u8], now: Timestamp) -> Result<Arc<StatusList>, Failure> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let list = StatusList::verify(encoded, &self.ca, now, newest.number).map_err(|error| {
            Failure::new(
                codes::LOG_INVALID,
                format!("status list: {error}"),
                "check the clock of this device; otherwise somebody hides a revocation",
            )
        })?;
        if newest.number != Some(list.number) {
            self.state.write(FILE, &list.number)?;
            newest.number = Some(list.number);
        }
        let list = Arc::new(list);
        newest.list = Some(list.clone());
        Ok(list)
    }

    /// Checks the list that came with a roster and returns the one to judge members by. For some
    /// seconds after a revocation, the aggregator's list may be older than the one that this
    /// device fetched itself; then it judges by its own, so an old list hides nothing.
    ///
    /// # Errors
    /// As [`StatusLists::admit`].
    pub fn judge_by(&self, encoded: &[u8], now: Timestamp) -> Result<Arc<StatusList>, Failure> {
        let shown = StatusList::verify(encoded, &self.ca, now, None);
        match (shown, self.fresh(now)) {
            (Ok(shown), Some(own)) if shown.number < own.number => Ok(own),
            _ => self.admit(encoded, now),
        }
    }

    /// The newest list in memory, while it is young enough to judge by.
    fn fresh(&self, now: Timestamp) -> Option<Arc<StatusList>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let list = newest.list.clone()?;
        (now.duration_since(list.issued_at).as_secs() <= MAX_AGE_S).then_some(list)
    }
}

/// The members of one round.
pub struct Members {
    lists: StatusLists,
    proven: HashSet<[u8; 32]>,
    list: Option<Arc<StatusList>>,
    verified: Mutex<HashMap<[u8; 32], Identity>>,
}

impl Members {
    /// Those whose certificates (SHA-256) are proven to be in the log; the status list is yet to
    /// come.
    pub fn new(lists: &StatusLists, proven: HashSet<[u8; 32]>) -> Self {
        Self { lists: lists.clone(), proven, list: None, verified: Mutex::new(HashMap::new()) }
    }

    fn identity(&self, certificate: &[u8], now: Timestamp) -> Result<Identity, MembershipError> {
        let hash: [u8; 32] = Sha256::digest(certificate).into();
        if !self.proven.contains(&hash) {
            let why = "not shown to be in the authority's log".to_owned();
            return Err(MembershipError::Certificate(why));
        }
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = verified.get(&hash)
            && now < identity.not_after
        {
            return Ok(identity.clone());
        }
        let identity = self
            .lists
            .ca
            .verify(&[certificate], now)
            .map_err(|error| MembershipError::Certificate(error.to_string()))?;
        if verified.len() < CACHE_MAX {
            verified.insert(hash, identity.clone());
        }
        Ok(identity)
    }
}

impl Membership for Members {
    fn admit_status_list(&mut self, list: &[u8], now_unix_s: u64) -> Result<(), MembershipError> {
        let list = self
            .lists
            .judge_by(list, timestamp(now_unix_s)?)
            .map_err(|failure| MembershipError::StatusList(failure.message))?;
        self.list = Some(list);
        Ok(())
    }

    fn verify(&self, voucher: &Voucher<'_>, now_unix_s: u64) -> Result<Member, MembershipError> {
        let identity = self.identity(voucher.certificate, timestamp(now_unix_s)?)?;
        let wrong = |why: &str| MembershipError::Certificate(why.to_owned());
        let Role::Device(device) = identity.role else { return Err(wrong("not of a device")) };
        if *device.as_bytes() != voucher.device.0 {
            return Err(wrong("of another device"));
        }
        let list = self.list.as_ref();
        let list = list.ok_or(MembershipError::StatusList("there is none yet".to_owned()))?;
        if list.revokes(&identity) {
            return Err(MembershipError::Revoked);
        }
        identity
            .public_key
            .verify(voucher.statement, voucher.signature)
            .map_err(|_| MembershipError::Signature)?;
        let static_key = identity.x25519.ok_or(wrong("without a channel key"))?;
        Ok(Member { static_key })
    }
}

fn timestamp(unix_s: u64) -> Result<Timestamp, MembershipError> {
    let seconds = i64::try_from(unix_s).ok();
    seconds
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(MembershipError::Certificate("the clock shows no time".to_owned()))
}

#[cfg(test)]
mod tests;
