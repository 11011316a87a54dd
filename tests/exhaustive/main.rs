//! Every choice of a lying aggregator for small cohorts, against the shipped client.
//!
//! What a device answers depends on nothing but its own draws and what it was shown. So its part
//! is run through the shipped decoder and client once for every local history over a finite
//! alphabet ([`local`]), and the aggregator's choices for all devices together are every
//! combination of those answers ([`union`]). A rank test over the masks that nobody can compute
//! then tells which combinations of the devices' vectors the union of all views determines.
//!
//! The alphabet: which neighbours' ciphertexts are forwarded, withheld or are garbage under a
//! corrupt dealer's good signature; any U2; each device called alive, lost, both or neither;
//! signatures with the masked input that match, do not match or are left out; any set of
//! signatures for the quorum; anybody absent at any step. At most one device is corrupt: it signs
//! whatever helps and hands over all that it holds.
//!
//! A roster without some devices is a round of its own: everything is bound to it, an honest device
//! takes one roster, and another's shares under it do not exist. So smaller rosters are smaller n.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod local;
mod stage;
mod union;

use std::sync::OnceLock;

use local::Behaviour;
use stage::Stage;
use union::{Rules, everything};

/// What each device answers to anything. All devices of a complete graph answer alike, up to their
/// names, so one of them stands for all; [`every_device_answers_as_the_first_does`] shows it.
fn behaviours(stage: &Stage) -> Vec<Behaviour> {
    let first = Behaviour::of(stage, 0);
    (0..stage.n()).map(|own| first.renamed(own)).collect()
}

fn of_five() -> &'static (Rules, Vec<Behaviour>) {
    static FIVE: OnceLock<(Rules, Vec<Behaviour>)> = OnceLock::new();
    FIVE.get_or_init(|| {
        let stage = Stage::new(5);
        (Rules::of(&stage), behaviours(&stage))
    })
}

fn total_or_nothing(behaviours: &[Behaviour], rules: &Rules) {
    let verdict = everything(behaviours, rules);
    println!("n={}: {verdict:?}", behaviours.len());
    assert_eq!(verdict.partial, 0, "{:?}", verdict.example);
    assert!(verdict.total > 0 && verdict.nothing > 0, "{verdict:?}");
}

#[test]
fn three_devices_give_the_total_or_nothing_whatever_is_shown_to_whom() {
    let stage = Stage::new(3);
    total_or_nothing(&behaviours(&stage), &Rules::of(&stage));
}

#[test]
fn four_devices_give_the_total_or_nothing_whatever_is_shown_to_whom() {
    let stage = Stage::new(4);
    total_or_nothing(&behaviours(&stage), &Rules::of(&stage));
}

#[test]
fn five_devices_give_the_total_or_nothing_whatever_is_shown_to_whom() {
    let (rules, behaviours) = of_five();
    total_or_nothing(behaviours, rules);
}

#[cfg(feature = "all")]
#[test]
fn six_devices_give_the_total_or_nothing_whatever_is_shown_to_whom() {
    let stage = Stage::new(6);
    total_or_nothing(&behaviours(&stage), &Rules::of(&stage));
}

#[test]
fn every_device_answers_as_the_first_does() {
    let largest = if cfg!(feature = "all") { 5 } else { 4 };
    for n in 3..=largest {
        let stage = Stage::new(n);
        let first = Behaviour::of(&stage, 0);
        for own in 1..n {
            assert!(Behaviour::of(&stage, own) == first.renamed(own), "device {own} of {n}");
        }
    }
}

#[test]
fn the_rank_test_sees_partial_sums_where_the_rules_are_weaker() {
    let (rules, behaviours) = of_five();
    let partial = |rules| everything(behaviours, &rules).partial;
    let weak = Rules { quorum: rules.quorum - 1, t: rules.t - 1, ..*rules };
    assert!(partial(weak) > 0, "two quorums give two sums");
    assert!(partial(Rules { t: rules.corrupt, ..*rules }) > 0, "the corrupt hold enough shares");
    assert!(partial(Rules { corrupt: 3, ..*rules }) > 0, "three are corrupt, one is assumed");
}
