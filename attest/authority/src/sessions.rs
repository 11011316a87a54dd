//! Enrolments and renewals between challenge and answer.
//!
//! They live in memory only: each holds secrets, and one that a restart loses is simply asked for
//! again. A session is taken by its first answer, right or wrong, and never given back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealsum_attest::ids::{DeviceId, SessionId};

/// How long an expired session is remembered, in seconds, so that a late answer is told why it is
/// refused.
const REMEMBERED_S: i64 = 120;

/// Bounds on what may be open at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions of one address.
    pub per_address: usize,
    /// Sessions of one device, from as many addresses: what opens one is public, and whoever
    /// copies it must not keep the device out.
    pub per_device: usize,
    /// Sessions altogether.
    pub total: usize,
}

/// Why no session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// The device has one that is still open, from this address or from too many others.
    SameDevice,
    /// This address has as many as it may have.
    Address,
    /// There are as many as there may be.
    Total,
}

/// The open sessions of one kind.
pub struct Sessions<T> {
    limits: Limits,
    open: Mutex<HashMap<SessionId, Session<T>>>,
}

struct Session<T> {
    device: DeviceId,
    address: IpAddr,
    expires_at: i64,
    state: T,
}

impl<T> Sessions<T> {
    /// None open yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::new(HashMap::new()) }
    }

    /// Says whether [`Sessions::open`] would work; cheap, so it comes before expensive checks.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn check_room(
        &self,
        now: i64,
        device: &DeviceId,
        address: IpAddr,
    ) -> Result<(), NotOpened> {
        self.room(&self.lock(), now, device, address)
    }

    /// Opens a session. Whoever takes it checks `expires_at` (Unix seconds) itself.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn open(
        &self,
        now: i64,
        id: SessionId,
        device: DeviceId,
        address: IpAddr,
        expires_at: i64,
        state: T,
    ) -> Result<(), NotOpened> {
        let mut open = self.lock();
        open.retain(|_, session| session.expires_at.saturating_add(REMEMBERED_S) > now);
        self.room(&open, now, &device, address)?;
        open.insert(id, Session { device, address, expires_at, state });
        Ok(())
    }

    /// Takes the session: whatever happens next, it is gone. None if it was never opened, was
    /// taken before, or expired long ago.
    pub fn take(&self, id: &SessionId) -> Option<T> {
        self.lock().remove(id).map(|session| session.state)
    }

    fn room(
        &self,
        open: &HashMap<SessionId, Session<T>>,
        now: i64,
        device: &DeviceId,
        address: IpAddr,
    ) -> Result<(), NotOpened> {
        let live = || open.values().filter(|session| session.expires_at >= now);
        let of_device = || live().filter(|session| session.device == *device);
        if of_device().any(|session| session.address == address)
            || of_device().count() >= self.limits.per_device
        {
            return Err(NotOpened::SameDevice);
        }
        if live().filter(|session| session.address == address).count() >= self.limits.per_address {
            return Err(NotOpened::Address);
        }
        // Remembered ones count here: this is the bound on memory.
        if open.len() >= self.limits.total {
            return Err(NotOpened::Total);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Session<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_address: 2, per_device: 2, total: 3 };

    fn id(n: u8) -> SessionId {
        SessionId::from_bytes([n; 16])
    }

    fn device(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 32])
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    /// Opens session `n` of device `n` for ten seconds.
    fn open(sessions: &Sessions<u8>, now: i64, n: u8, from: u8) -> Result<(), NotOpened> {
        sessions.open(now, id(n), device(n), address(from), now + 10, n)
    }

    #[test]
    fn a_session_is_taken_once() {
        let sessions = Sessions::new(LIMITS);
        open(&sessions, 0, 1, 1).unwrap();
        assert_eq!(sessions.take(&id(2)), None);
        assert_eq!(sessions.take(&id(1)), Some(1));
        assert_eq!(sessions.take(&id(1)), None);
    }

    #[test]
    fn one_device_has_one_session_from_its_address() {
        let sessions = Sessions::new(LIMITS);
        open(&sessions, 0, 1, 1).unwrap();
        let again = |now| sessions.open(now, id(2), device(1), address(1), now + 10, 2);
        assert_eq!(again(10), Err(NotOpened::SameDevice));
        assert_eq!(again(11), Ok(()));
    }

    #[test]
    fn strangers_at_other_addresses_do_not_keep_a_device_out_for_long() {
        let sessions = Sessions::new(LIMITS);
        let from = |n: u8| sessions.open(0, id(n), device(1), address(n), 10, n);
        assert_eq!(from(1), Ok(()));
        assert_eq!(from(2), Ok(()));
        assert_eq!(from(3), Err(NotOpened::SameDevice));
    }

    #[test]
    fn addresses_and_memory_are_bounded() {
        let sessions = Sessions::new(LIMITS);
        open(&sessions, 0, 1, 1).unwrap();
        open(&sessions, 0, 2, 1).unwrap();
        assert_eq!(sessions.check_room(0, &device(3), address(1)), Err(NotOpened::Address));
        open(&sessions, 0, 3, 2).unwrap();
        assert_eq!(open(&sessions, 0, 4, 3), Err(NotOpened::Total));
        // Expired ones are remembered for a while, then make room.
        assert_eq!(open(&sessions, 11, 4, 3), Err(NotOpened::Total));
        assert_eq!(open(&sessions, 131, 4, 3), Ok(()));
    }
}
