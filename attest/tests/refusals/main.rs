//! `tests/refusals.toml` applied to good evidence: each mutation is refused by the check that the
//! file names, or accepted where it says so. Without a mutation evidence is good.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unreachable_pub, dead_code, reason = "the table is shared with an example")]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod endorsement;
mod keys;
mod quotes;
mod renewals;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{World, authority};
use sealsum_attest::messages::{EnrolAnswer, EnrolRequest, RenewAnswer};
use sealsum_attest::refusals::{self, Refusal};
use sealsum_attest::verify::{Known, Session};

/// What is done to good evidence. The text is an element of the row's `with`, or empty.
#[derive(Clone, Copy)]
pub enum Mutation {
    /// To device, vendor or policy, before anything is said.
    World(fn(&mut World, &str)),
    /// To the first message.
    Request(fn(&mut World, &str, &mut EnrolRequest)),
    /// To the second message, in its session.
    Answer(fn(&mut World, &str, &Session, &mut EnrolAnswer)),
    /// To what is on record of a renewing device, or to the device.
    Known(fn(&mut World, &str, &mut Known)),
    /// To a renewal's answer.
    Renewal(fn(&str, &mut RenewAnswer)),
    /// A conversation that goes otherwise altogether.
    Whole(fn(&mut World, &str) -> Result<(), Refusal>),
}

type Named = (&'static str, Mutation);

fn mutations() -> BTreeMap<&'static str, Mutation> {
    let all = [
        endorsement::MUTATIONS,
        keys::MUTATIONS,
        answers::MUTATIONS,
        quotes::MUTATIONS,
        renewals::MUTATIONS,
    ];
    all.concat().into_iter().collect()
}

/// Enrols, or enrols and renews, with this change to it.
fn judge(mutation: Mutation, with: &str) -> Result<(), Refusal> {
    let mut world = World::new(100);
    match mutation {
        Mutation::Whole(conversation) => conversation(&mut world, with),
        Mutation::Known(bend) => {
            renewals::renew(&mut world, |world, known| bend(world, with, known), |_| ())
        }
        Mutation::Renewal(bend) => {
            renewals::renew(&mut world, |_, _| (), |answer| bend(with, answer))
        }
        Mutation::World(bend) => {
            bend(&mut world, with);
            enrol(&mut world, |_, _| (), |_, _, _| ())
        }
        Mutation::Request(bend) => {
            enrol(&mut world, |world, request| bend(world, with, request), |_, _, _| ())
        }
        Mutation::Answer(bend) => {
            let bend = |world: &mut World, session: &Session, answer: &mut EnrolAnswer| {
                bend(world, with, session, answer);
            };
            enrol(&mut world, |_, _| (), bend)
        }
    }
}

fn enrol(
    world: &mut World,
    bend_request: impl FnOnce(&mut World, &mut EnrolRequest),
    bend_answer: impl FnOnce(&mut World, &Session, &mut EnrolAnswer),
) -> Result<(), Refusal> {
    let mut request = world.device.request();
    bend_request(world, &mut request);
    let session = world.challenge(&request)?;
    let mut answer = world.device.answer(&request, session.challenge(), &authority().spki_sha256);
    bend_answer(world, &session, &mut answer);
    world.judge(session, &answer).map(|_| ())
}

#[test]
fn each_mutation_is_judged_as_its_row_says() {
    let mutations = mutations();
    let mut failed = Vec::new();
    for row in rows::read() {
        let Some(name) = &row.mutation else { continue };
        let mutation = mutations.get(name.as_str()).unwrap_or_else(|| panic!("no mutation {name}"));
        let variants = if row.with.is_empty() { vec![String::new()] } else { row.with.clone() };
        for with in variants {
            let seen = judge(*mutation, &with).map_err(|refusal| refusal.check.number).err();
            let expected = if row.code == "accepted" { None } else { row.answered() };
            if seen != expected {
                failed.push(format!("{name} {with:?}: {seen:?}, not {expected:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn without_a_mutation_evidence_is_good() {
    assert_eq!(judge(Mutation::World(|_, _| ()), ""), Ok(()));
    assert_eq!(judge(Mutation::Known(|_, _, _| ()), ""), Ok(()));
}

#[test]
fn every_mutation_is_used_and_every_row_has_one_or_a_test() {
    let rows = rows::read();
    let used: BTreeSet<&str> = rows.iter().filter_map(|row| row.mutation.as_deref()).collect();
    let known = mutations();
    assert_eq!(used, known.keys().copied().collect());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for row in &rows {
        let Some(test) = &row.test else {
            assert!(row.mutation.is_some(), "{}", row.title);
            continue;
        };
        assert!(row.mutation.is_none(), "{}", row.title);
        let (file, function) = test.split_once("::").unwrap();
        let source = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(source.contains(&format!("#[test]\nfn {function}() {{")), "{test}");
    }
}

#[test]
fn every_check_is_covered() {
    let rows = rows::read();
    let covered: BTreeSet<u8> = rows.iter().filter_map(rows::Row::answered).collect();
    let numbered: BTreeSet<u8> = rows.iter().map(|row| row.number).collect();
    for check in refusals::ALL {
        assert!(
            covered.contains(&check.number) || numbered.contains(&check.number),
            "no row for {check:?}"
        );
    }
    for check in &covered {
        assert!(refusals::by_number(*check).is_some(), "check {check}");
    }
    // Every case of the list that the checks come from; boot event logs (36) are not read.
    for number in (1..=55).filter(|number| *number != 36) {
        assert!(numbered.contains(&number), "no row numbered {number}");
    }
}

#[test]
fn the_documentation_shows_this_table() {
    let docs = include_str!("../../../docs/enrolment.md");
    let (_, rest) = docs.split_once("<!-- refusals: begin -->\n").expect("a beginning");
    let (table, _) = rest.split_once("<!-- refusals: end -->").expect("an end");
    assert!(
        table == rows::render(),
        "docs/enrolment.md is behind. Put there what this prints: cargo run -p sealsum-attest \
         --example refusals"
    );
}
