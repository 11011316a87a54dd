//! Many challenges at once: each its own, good once and in time; and none of a flood from one
//! address keeps an honest device from enrolling.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use common::Device;
use harness::Fleet;
use harness::raw::{RawClient, config};
use sealsum_attest::messages::{EnrolChallenge, EnrolGrant, EnrolRequest};
use sealsum_authority::enrol;
use sealsum_daemon::Failure;

const THREADS: usize = 8;
const CHALLENGES: usize = 1000;
const FLOOD: usize = 5000;

/// A device's request with this token.
fn request(device: &Device, token: &str) -> EnrolRequest {
    EnrolRequest { token: Some(token.to_owned()), ..device.request() }
}

fn begin(
    fleet: &Fleet,
    device: &Device,
    token: &str,
    address: IpAddr,
) -> Result<EnrolChallenge, Failure> {
    enrol::begin(&fleet.authority, fleet.now(), address, request(device, token))
}

fn finish(
    fleet: &Fleet,
    device: &Device,
    token: &str,
    challenge: &EnrolChallenge,
    spki: &[u8; 32],
) -> Result<EnrolGrant, Failure> {
    let answer = device.answer(&request(device, token), challenge, spki);
    enrol::finish(&fleet.authority, fleet.now(), &challenge.session, &answer)
}

/// Runs `work` for each number below `count`, on several threads; the results by number.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let one = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= count {
                return done;
            }
            done.push((number, work(number)));
        }
    };
    let by_number: BTreeMap<usize, T> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    by_number.into_values().collect()
}

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + u32::try_from(number).unwrap()).into()
}

#[test]
fn a_thousand_challenges_are_distinct_and_good_once_and_in_time() {
    let fleet = Fleet::new();
    let (token, spki) = (fleet.token_with(|token| token.uses = 2000), fleet.authority_spki());
    let devices = each(CHALLENGES, |number| fleet.device(number as u64));
    let challenges = each(CHALLENGES, |number| {
        begin(&fleet, &devices[number], &token, address(number)).unwrap()
    });
    let distinct = |part: fn(&EnrolChallenge) -> Vec<u8>| {
        let seen: BTreeSet<Vec<u8>> = challenges.iter().map(part).collect();
        assert_eq!(seen.len(), CHALLENGES);
    };
    distinct(|challenge| challenge.session.as_bytes().to_vec());
    distinct(|challenge| challenge.nonce.0.to_vec());
    distinct(|challenge| challenge.x25519_challenge.0.to_vec());
    distinct(|challenge| challenge.credential_blob.0.clone());
    distinct(|challenge| challenge.encrypted_secret.0.clone());

    // Each of these is answered twice at the same time: one answer counts.
    let raced = 100;
    let outcomes = each(2 * raced, |number| {
        let device = number / 2;
        finish(&fleet, &devices[device], &token, &challenges[device], &spki)
            .map_err(|failure| failure.check)
    });
    for pair in outcomes.chunks(2) {
        let good = pair.iter().filter(|outcome| outcome.is_ok()).count();
        let replayed = pair.iter().filter(|o| **o == Err(Some("24".to_owned()))).count();
        assert_eq!((good, replayed), (1, 1), "{pair:?}");
    }
    // A good answer in another device's session is none, and ends that one.
    let answer =
        devices[raced].answer(&request(&devices[raced], &token), &challenges[raced], &spki);
    let other = challenges[raced + 1].session;
    let crossed = || enrol::finish(&fleet.authority, fleet.now(), &other, &answer).unwrap_err();
    assert_eq!(crossed().check.as_deref(), Some("22"));
    assert_eq!(crossed().check.as_deref(), Some("24"));

    fleet.advance(121);
    let late = each(50, |number| {
        let device = raced + 2 + number;
        finish(&fleet, &devices[device], &token, &challenges[device], &spki).unwrap_err().check
    });
    assert!(late.iter().all(|check| check.as_deref() == Some("25")), "{late:?}");
    assert_eq!(fleet.admin_get("/v1/status")["devices"]["active"], raced);
}

#[test]
fn whoever_holds_all_the_sessions_of_an_address_holds_no_other() {
    // The flood that gets past the limit on requests: what bounds it is the sessions themselves.
    let fleet = Fleet::new();
    let token = fleet.token_with(|token| token.uses = 10_000);
    let attackers = each(200, |number| fleet.device(number as u64));
    let started = Instant::now();
    let outcomes = each(FLOOD, |number| {
        let attacker = &attackers[number % attackers.len()];
        begin(&fleet, attacker, &token, address(0)).map_err(|failure| failure.code.to_string())
    });
    let open = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    println!("{FLOOD} challenges asked for, {open} open, after {:?}", started.elapsed());
    assert_eq!(open, 64);

    let (honest, spki) = (fleet.device(9999), fleet.authority_spki());
    let started = Instant::now();
    let challenge = begin(&fleet, &honest, &token, address(1)).unwrap();
    finish(&fleet, &honest, &token, &challenge, &spki).unwrap();
    println!("an honest enrolment beside them took {:?}", started.elapsed());
}

#[test]
fn a_flood_from_one_address_does_not_keep_others_from_enrolling() {
    let fleet = Fleet::new();
    let token = fleet.token_with(|token| token.uses = 10_000);
    let honest = fleet.device(9999);
    let flooded = AtomicUsize::new(0);
    let bodies = each(100, |number| {
        serde_json::to_vec(&request(&fleet.device(number as u64), &token)).unwrap()
    });
    let tls = config(&fleet.ca(), None);
    let flood = |first: usize| {
        let connect =
            || RawClient::connect(Ipv4Addr::new(127, 0, 0, 2).into(), fleet.address(), &tls);
        let mut client = connect().unwrap();
        let mut statuses = BTreeMap::<u16, usize>::new();
        for number in (first..FLOOD).step_by(THREADS) {
            let body = &bodies[number % bodies.len()];
            match client.post("/v1/enroll", body) {
                Ok((status, _)) => *statuses.entry(status).or_default() += 1,
                Err(_) => client = connect().unwrap(),
            }
            flooded.fetch_add(1, Ordering::SeqCst);
        }
        statuses
    };
    let statuses = thread::scope(|scope| {
        let floods: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn({
                    let flood = &flood;
                    move || flood(first)
                })
            })
            .collect();
        // In the middle of it.
        while flooded.load(Ordering::SeqCst) < FLOOD / 10 {
            thread::yield_now();
        }
        let started = Instant::now();
        fleet.enrol_with(&honest, &token);
        println!("an honest enrolment in the flood took {:?}", started.elapsed());
        let mut total = BTreeMap::<u16, usize>::new();
        for statuses in floods.into_iter().map(|flood| flood.join().unwrap()) {
            for (status, count) in statuses {
                *total.entry(status).or_default() += count;
            }
        }
        total
    });
    println!("the flood was answered {statuses:?}");
    assert!(statuses.get(&200).copied().unwrap_or(0) <= 64, "{statuses:?}");
    assert!(statuses.get(&429).copied().unwrap_or(0) > FLOOD / 2, "{statuses:?}");
}
