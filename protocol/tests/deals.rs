//! Dealt shares, kept by the caller of the aggregator's machine.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{InboundShares, Roster, SharedKeys};
use sealsum_protocol::server::{Deals, Incoming, Stage, Unkept};
use sealsum_test_fleet::*;

/// A caller's place for deals, which can lose them and find them again.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    deals: BTreeMap<usize, Vec<u8>>,
    is_broken: bool,
}

impl Place {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap()
    }
}

impl Deals for Place {
    fn keep(&mut self, dealer: usize, bytes: &[u8]) -> Result<(), Unkept> {
        let mut shelf = self.shelf();
        if shelf.is_broken {
            return Err(Unkept);
        }
        assert_eq!(shelf.deals.insert(dealer, bytes.to_vec()), None, "kept once");
        Ok(())
    }

    fn read(&self, dealer: usize, from: usize, into: &mut [u8]) -> Result<(), Unkept> {
        let shelf = self.shelf();
        if shelf.is_broken {
            return Err(Unkept);
        }
        into.copy_from_slice(&shelf.deals[&dealer][from..from + into.len()]);
        Ok(())
    }
}

fn rehearsal(n: usize) -> (Rehearsal, Place) {
    let (mut rehearsal, place) = (Rehearsal::new(n, task(n, |_| {})), Place::default());
    rehearsal.round.keep_deals(Box::new(place.clone()));
    (rehearsal, place)
}

fn inbound(rehearsal: &Rehearsal, index: usize) -> Option<InboundShares> {
    rehearsal.fetch(index, Stage::InboundShares)
}

#[test]
fn the_machine_has_no_copy_of_what_its_caller_keeps() {
    let (mut rehearsal, place) = rehearsal(6);
    rehearsal.share();
    assert_eq!(place.shelf().deals.len(), 6);
    let shares = inbound(&rehearsal, 0).unwrap();
    assert_eq!(shares.shares.len(), 5);
    place.shelf().is_broken = true;
    assert_eq!(inbound(&rehearsal, 0), None);
    place.shelf().is_broken = false;
    assert_eq!(inbound(&rehearsal, 0), Some(shares));
}

#[test]
fn kept_by_the_caller_or_by_the_machine_a_round_gives_the_same_messages_and_the_exact_sum() {
    for n in [7, 12] {
        let (mut elsewhere, _) = rehearsal(n);
        let mut in_memory = Rehearsal::new(n, task(n, |_| {}));
        elsewhere.share();
        in_memory.share();
        for index in 0..n {
            assert_eq!(inbound(&elsewhere, index), inbound(&in_memory, index));
        }
        elsewhere.run(&[vec![], vec![], vec![n - 1], vec![], vec![]]);
        assert_eq!(elsewhere.recover().expect("a sum"), elsewhere.expected());
    }
}

/// What a device deals, not sent yet.
fn dealt(rehearsal: &mut Rehearsal, index: usize) -> SharedKeys {
    let roster: Roster = rehearsal.fetch(index, Stage::Roster).unwrap();
    let client = take!(rehearsal, index, Advertised);
    let (identity, mut registry) = (&rehearsal.devices[index].identity, rehearsal.registry.clone());
    client.share(&roster, identity, &mut registry, rehearsal.now, &mut rehearsal.rng).unwrap().1
}

#[test]
fn a_deal_that_cannot_be_kept_has_not_come() {
    let (mut rehearsal, place) = rehearsal(6);
    let shared = dealt(&mut rehearsal, 0);
    place.shelf().is_broken = true;
    let refused = rehearsal.send(0, Incoming::Shares(shared.clone())).unwrap_err();
    assert_eq!(refused.guard, Guard::Late);
    assert!(place.shelf().deals.is_empty());
    place.shelf().is_broken = false;
    rehearsal.send(0, Incoming::Shares(shared)).unwrap();
    assert_eq!(place.shelf().deals.len(), 1);
}
