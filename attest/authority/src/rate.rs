//! How many requests an address may make: a token bucket each, for as many as fit a bound.
//!
//! Behind every enrolment request stands an RSA verification or two; this is the check before
//! the first byte of a body is parsed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sealsum_attest::ids::DeviceId;

/// Requests at once.
const BURST: f64 = 100.0;

/// Requests a second, lasting.
const PER_SECOND: f64 = 20.0;

/// Addresses remembered at a time; full buckets are forgotten first.
const ADDRESSES_MAX: usize = 16 * 1024;

/// The buckets of all addresses. An IPv6 /64 counts as one address.
#[derive(Default)]
pub struct Limiter {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    /// Whether `address` may make one more request at `now`.
    pub fn allows(&self, address: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let address = site(address);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| bucket.at_time(now) < BURST);
            if buckets.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let bucket = buckets.entry(address).or_insert(Bucket { left: BURST, at: now });
        let left = bucket.at_time(now);
        let allowed = left >= 1.0;
        *bucket = Bucket { left: if allowed { left - 1.0 } else { left }, at: now };
        allowed
    }
}

impl Bucket {
    fn at_time(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + seconds * PER_SECOND).min(BURST)
    }
}

/// When each device last came back without a token. Every entry is of a device that showed its
/// TPM, so they are as many as the fleet.
#[derive(Default)]
pub struct Comebacks(Mutex<HashMap<DeviceId, i64>>);

impl Comebacks {
    /// Seconds between two; agents wait a minute.
    const PAUSE_S: i64 = 30;

    /// Whether `device` may come back at `now`, in Unix seconds.
    pub fn allows(&self, device: &DeviceId, now: i64) -> bool {
        let last = self.lock().get(device).copied();
        last.is_none_or(|last| now.saturating_sub(last) >= Self::PAUSE_S)
    }

    /// It did.
    pub fn note(&self, device: DeviceId, now: i64) {
        self.lock().insert(device, now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64.
pub(crate) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_cut_and_recovers() {
        let limiter = Limiter::default();
        let start = Instant::now();
        let flood = |now| (0..200).filter(|_| limiter.allows([192, 0, 2, 1].into(), now)).count();
        assert_eq!(flood(start), 100);
        assert_eq!(flood(start + Duration::from_secs(1)), 20);
        assert!(limiter.allows([192, 0, 2, 2].into(), start));
    }

    #[test]
    fn a_whole_ipv6_site_has_one_bucket() {
        let limiter = Limiter::default();
        let now = Instant::now();
        let host = |n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        assert_eq!((0..200).filter(|n| limiter.allows(host(*n), now)).count(), 100);
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::default();
        let now = Instant::now();
        let address = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        assert!((0..ADDRESSES_MAX).all(|n| limiter.allows(address(n), now)));
        assert!(!limiter.allows(address(ADDRESSES_MAX), now));
        assert!(limiter.allows(address(ADDRESSES_MAX), now + Duration::from_secs(1)));
    }
}
