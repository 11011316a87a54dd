//! One round in the place of another: each message of an old round in a new one; the same round
//! again without one device, to take the difference, under its number, with another nonce, and
//! from a database restored to before it ended; the next round of a task that has no more; a round
//! that the aggregator ends early, at each step.

use sealsum_protocol::codec::Message;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::{RoundSpec, Task};
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, of, sum_of};

const STAGES: [Stage; 5] =
    [Stage::Roster, Stage::InboundShares, Stage::Sharers, Stage::Survivors, Stage::Quorum];

fn in_round(number: u64) -> Liar {
    Liar::among(&[0, 1, 2, 3, 4, 5], &spec(task(6, |_| {}), number), &[5], &policy())
}

/// What device 0 is told at a stage of an honest round.
fn honest_message(liar: &Liar, stage: Stage) -> Vec<u8> {
    let (all, none) = (liar.everybody(), liar.set([]));
    match stage {
        Stage::Roster => liar.roster().to_bytes(),
        Stage::InboundShares => liar.inbound(0).to_bytes(),
        Stage::Sharers => liar.sharers(&all).to_bytes(),
        Stage::Survivors => liar.survivors(0, &all, &none).to_bytes(),
        Stage::Quorum => liar.quorum(&all, &all, &none).to_bytes(),
    }
}

/// U2 alone is the same bytes in every round: what it means is in what is signed after it.
fn replayed(stage: Stage, guard: Guard) {
    let (mut old, mut new) = (in_round(1), in_round(2));
    old.honestly_until(stage);
    new.honestly_until(stage);
    let bytes = honest_message(&old, stage);
    old.tell_bytes(0, stage, &bytes).expect("the message in its own round");
    bytes_refused(&mut new, 0, stage, &bytes, guard);
}

#[test]
fn the_roster_of_an_old_round() {
    replayed(Stage::Roster, Guard::OwnEntry);
}

#[test]
fn the_shares_of_an_old_round() {
    replayed(Stage::InboundShares, Guard::ForeignShare);
}

#[test]
fn the_survivors_of_an_old_round() {
    replayed(Stage::Survivors, Guard::NeighbourView);
}

#[test]
fn the_quorum_of_an_old_round() {
    replayed(Stage::Quorum, Guard::Quorum);
}

/// Devices that keep their marks, and enter `spec` if they may.
struct Fleet {
    marks: Vec<Marks>,
}

impl Fleet {
    fn new() -> Self {
        Self { marks: (0..6).map(|_| Marks::default()).collect() }
    }

    fn enter(&mut self, devices: &[usize], spec: &RoundSpec) -> Result<Liar, Refusal> {
        let (mut members, mut entries) = (Vec::new(), Vec::new());
        for index in devices {
            let marks = &mut self.marks[*index];
            let (device, entry) = enter(*index, spec, &policy(), marks)?;
            members.push(Member::Honest(Box::new(device)));
            entries.push(entry);
        }
        Ok(Liar::over(spec, members, entries))
    }
}

fn finish(liar: &mut Liar) -> Option<Vec<i64>> {
    liar.honestly_until(Stage::Quorum);
    let (all, none) = (liar.everybody(), liar.set([]));
    assert!(liar.tell_each(|liar, _| liar.quorum(&all, &all, &none)).is_empty());
    liar.expose(&liar.honest())
}

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
const WITHOUT_ONE: [usize; 5] = [0, 1, 2, 3, 4];

fn difference(larger: &[i64], smaller: &[i64]) -> Vec<i64> {
    larger.iter().zip(smaller).map(|(larger, smaller)| larger - smaller).collect()
}

/// With devices that forget, the difference of the two sums is one device's input; with devices
/// that remember, there is no second sum.
#[test]
fn the_same_round_again_without_one_device() {
    let once = spec(task(6, |_| {}), 1);
    let again = RoundSpec { nonce: [1; 32], ..once.clone() };
    let mut fleet = Fleet::new();
    let all = finish(&mut fleet.enter(&ALL, &once).unwrap()).unwrap();
    let forgetful = finish(&mut Fleet::new().enter(&WITHOUT_ONE, &again).unwrap()).unwrap();
    assert_eq!(difference(&all, &forgetful), units(5, 5));
    for replay in [&once, &again] {
        let refusal = fleet.enter(&WITHOUT_ONE, replay).err().expect("entered twice");
        assert_eq!(refusal.guard, Guard::RoundReplayed);
    }
}

/// The next number is another round, if the owner signed so many.
#[test]
fn the_next_round_of_a_task_that_has_no_more() {
    let task_of = |rounds: u64| -> Task { task(6, |fields| fields.max_rounds = rounds) };
    for (rounds, expected) in [(1, Some(Guard::TaskWindow)), (2, None)] {
        let mut fleet = Fleet::new();
        finish(&mut fleet.enter(&ALL, &spec(task_of(rounds), 1)).unwrap()).unwrap();
        let next = fleet.enter(&WITHOUT_ONE, &spec(task_of(rounds), 2));
        assert_eq!(next.err().map(|refusal| refusal.guard), expected);
    }
}

/// More rounds than the owner signed, with a number that they have: the task is another then.
#[test]
fn the_next_round_of_a_task_that_the_aggregator_lengthened() {
    let mut fleet = Fleet::new();
    finish(&mut fleet.enter(&ALL, &spec(task(6, |fields| fields.max_rounds = 1), 1)).unwrap());
    let lengthened = spec(task(6, |fields| fields.max_rounds = 2), 2);
    Fleet::new().enter(&ALL, &lengthened).map(drop).expect("if the owner had signed it");
    let mut forged = lengthened;
    let own = SecretKey::from_seed(&[8; 32]);
    let signed = sealsum_protocol::task::SignedTask::sign(forged.signed_task.task.clone(), &own);
    forged.signed_task.signature = signed.signature;
    let refusal = fleet.enter(&ALL, &forged).err().expect("not the owner's");
    assert_eq!(refusal.guard, Guard::OwnerSignature);
}

/// The aggregator's database is restored to before each stage of a round that ended, and the round
/// finished with other sets: no device says another word, and there is no second sum.
#[test]
fn a_restored_database_does_not_finish_a_round_twice() {
    let mut liar = of(6, &[5], Stage::Quorum);
    let (all, none) = (liar.everybody(), liar.set([]));
    assert!(liar.tell_each(|liar, _| liar.quorum(&all, &all, &none)).is_empty());
    let sum = Leak::Sum(WITHOUT_ONE.to_vec());
    assert_eq!(liar.leaks(), sum);
    let before: Vec<usize> = liar.heard.iter().map(|heard| heard.count).collect();
    let (a, d) = (liar.set([0, 1, 2, 3, 5]), liar.set([4]));
    for index in WITHOUT_ONE {
        for stage in STAGES {
            let bytes = match stage {
                Stage::Sharers => liar.sharers(&a).to_bytes(),
                Stage::Survivors => liar.survivors(index, &a, &d).to_bytes(),
                Stage::Quorum => liar.quorum(&all, &a, &d).to_bytes(),
                Stage::Roster | Stage::InboundShares => honest_message(&liar, stage),
            };
            liar.tell_bytes(index, stage, &bytes).unwrap();
        }
    }
    let after: Vec<usize> = liar.heard.iter().map(|heard| heard.count).collect();
    assert_eq!(before, after);
    assert_eq!(liar.leaks(), sum);
    assert_eq!(liar.expose(&WITHOUT_ONE), Some(sum_of(&WITHOUT_ONE)));
    assert_eq!(liar.expose(&[0, 1, 2, 3]), None);
}

/// An early end, in the form in which the aggregator's program says it, is no message of the
/// protocol: the device is out, and what it held is erased, not revealed.
#[test]
fn a_round_ended_early_reveals_nothing() {
    let ended = br#"{"code":"cancelled","message":"by hand"}"#;
    for stage in STAGES {
        let mut liar = of(6, &[5], stage);
        for index in WITHOUT_ONE {
            bytes_refused(&mut liar, index, stage, ended, Guard::Encoding);
        }
        assert_eq!(liar.leaks(), Leak::Nothing, "{stage:?}");
        assert!((0..5).all(|index| liar.self_mask(index).is_none()), "{stage:?}");
        assert!((0..5).all(|index| liar.mask_key(index).is_none()), "{stage:?}");
    }
}
