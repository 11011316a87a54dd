//! Real agents and an aggregator of their fleet that lies in one step of a round.

use std::collections::BTreeSet;
use std::fs;

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::{InboundShares, Quorum, Survivors};

use crate::liar::{Liar, Lie};
use crate::rounds::{COHORT, Fleet, Settings};
use crate::world::World;

/// One lie: in which answer, what, the guard that refuses it, and what is not said any more.
struct Case {
    answer: &'static str,
    lie: Lie,
    guard: &'static str,
    never: &'static [&'static str],
}

fn changed<M: Message>(bytes: &mut Vec<u8>, change: impl FnOnce(&mut M)) {
    let mut message = M::from_bytes(bytes).unwrap();
    change(&mut message);
    *bytes = message.to_bytes();
}

const CASES: [Case; 3] = [
    Case {
        answer: "shares",
        lie: |bytes| {
            changed(bytes, |shown: &mut InboundShares| shown.shares[0].dealt.sealed[40] ^= 1)
        },
        guard: "foreign_share",
        never: &["POST acks", "PUT 0", "POST masked", "POST consistency", "POST reveal"],
    },
    Case {
        answer: "survivors",
        lie: |bytes| changed(bytes, |shown: &mut Survivors| shown.lost.insert(1)),
        guard: "sets",
        never: &["POST consistency", "POST reveal"],
    },
    Case {
        answer: "quorum",
        lie: |bytes| changed(bytes, |shown: &mut Quorum| shown.signatures.truncate(2)),
        guard: "quorum",
        never: &["POST reveal"],
    },
];

#[test]
fn an_agent_refuses_a_lie_by_its_guard_and_says_nothing_after_it() {
    let mut world = World::new();
    let liar = Liar::start(&mut world);
    let fleet = Fleet::over(world);
    liar.register(&fs::read(fleet.sign("exact", &Settings::EXACT)).unwrap());
    let play = |lie| {
        for number in 0..COHORT {
            fleet.submit(number, "exact", &[1.0; 3]).data();
        }
        liar.open("exact", lie)
    };
    let outcome = |number: usize, round: &str| {
        let last = fleet.last_round(number, |last| last["round"] == round);
        (last["outcome"].as_str().unwrap().to_owned(), last["code"].clone())
    };

    let round = play(None);
    for number in 0..COHORT {
        assert_eq!(outcome(number, &round), ("contributed".to_owned(), serde_json::Value::Null));
    }
    assert_eq!(liar.said().iter().filter(|said| *said == "POST reveal").count(), COHORT);

    for case in CASES {
        let round = play(Some((case.answer, case.lie)));
        for number in 0..COHORT {
            assert_eq!(outcome(number, &round), ("refused".to_owned(), case.guard.into()));
        }
        let said: BTreeSet<String> = liar.said().into_iter().collect();
        assert!(said.contains("POST shares"), "{said:?}");
        assert!(case.never.iter().all(|never| !said.contains(*never)), "{said:?}");
        liar.abort(&round);
    }
}
