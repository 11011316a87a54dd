//! Lies about the round: a task or grant that its owner did not sign; any value of a signed task
//! changed (coordinates, scale, clip, devices, floors, corrupt share, noise, rounds); the owner's
//! own task below a device's floors, or with a ring that its sums overflow; the model of another
//! round, or another model; a round again, a round the task does not have, or too early, or of a
//! task that is over; thresholds that the aggregator chose.

use sealsum_protocol::codec::{Decode, Encode, Message};
use sealsum_protocol::dp::Law;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::Announcement;
use sealsum_protocol::policy::Policy;
use sealsum_protocol::signature::{SecretKey, Signature};
use sealsum_protocol::task::{Grant, ModelRule, Privacy, RoundSpec, SignedTask, Task, TaskFields};
use sealsum_test_fleet::*;

/// A device with a policy that hears announcements.
struct Listener {
    policy: Policy,
    marks: Marks,
}

impl Listener {
    fn new() -> Self {
        Self { policy: policy(), marks: Marks::default() }
    }

    /// Hears an announcement of one round, as bytes, and enters it or refuses.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let malformed = |error: sealsum_protocol::codec::CodecError| {
            Refusal::new(Guard::Encoding, error.to_string())
        };
        let announcement = Announcement::from_bytes(bytes).map_err(malformed)?;
        let spec = announcement.rounds[0].clone();
        let (device, update) = (Device::new(0), update(0, 5));
        let entered = WireDevice::enter(
            device,
            spec,
            &self.policy,
            &mut self.marks,
            update,
            START,
            entry_rng(0),
        );
        entered.map(drop)
    }
}

fn announced(spec: RoundSpec) -> Vec<u8> {
    Announcement { rounds: vec![spec] }.to_bytes()
}

fn noisy() -> Task {
    task(6, |fields| {
        fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 1000, delta: 1e-6 }
    })
}

/// The round is entered, and with the lie in it refused: nothing is said, no mark is left.
pub(crate) fn refused(honest: RoundSpec, lie: impl FnOnce(&mut RoundSpec), guard: Guard) {
    Listener::new().hear(&announced(honest.clone())).expect("the round without the lie");
    let mut spec = honest;
    lie(&mut spec);
    let mut listener = Listener::new();
    let refusal = listener.hear(&announced(spec)).expect_err("the lie was taken");
    assert_eq!(refusal.guard, guard, "{refusal}");
    assert_eq!(listener.marks.number(), None);
}

fn plain() -> RoundSpec {
    spec(task(6, |_| {}), 1)
}

/// Changes a signed task and leaves its signature.
pub(crate) fn altered(change: impl FnOnce(&mut TaskFields)) -> impl FnOnce(&mut RoundSpec) {
    |spec| {
        let mut fields = (*spec.signed_task.task).clone();
        change(&mut fields);
        spec.signed_task.task = Task::new(fields).expect("a task in its ranges");
    }
}

fn altered_task(change: impl FnOnce(&mut TaskFields)) {
    refused(spec(noisy(), 1), altered(change), Guard::OwnerSignature);
}

#[test]
fn a_vector_length_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.coordinates = 4);
}

#[test]
fn a_scale_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.scale = 128);
}

#[test]
fn a_clip_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.clip = 512.0);
}

#[test]
fn a_cohort_size_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.max_devices = 7);
}

#[test]
fn a_floor_of_contributors_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.min_contributors = 4);
}

#[test]
fn a_corrupt_share_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.corrupt_share_permille = 50);
}

#[test]
fn a_dropout_share_that_the_owner_did_not_sign() {
    altered_task(|fields| fields.dropout_share_permille = 100);
}

#[test]
fn less_noise_than_the_owner_signed() {
    altered_task(|fields| {
        fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 999, delta: 1e-6 };
    });
}

#[test]
fn no_noise_where_the_owner_signed_noise() {
    altered_task(|fields| {
        (fields.privacy, fields.name) = (Privacy::None, "test".to_owned());
    });
}

#[test]
fn more_rounds_than_the_owner_signed() {
    altered_task(|fields| fields.max_rounds = 101);
}

#[test]
fn longer_deadlines_than_the_owner_signed() {
    altered_task(|fields| fields.deadlines_s.mask = 20);
}

#[test]
fn a_task_without_its_owner_s_signature() {
    let no_signature = |spec: &mut RoundSpec| spec.signed_task.signature = Signature([0; 64]);
    refused(plain(), no_signature, Guard::OwnerSignature);
}

#[test]
fn a_task_signed_with_the_aggregator_s_own_key() {
    let own = SecretKey::from_seed(&[8; 32]);
    let resigned = |spec: &mut RoundSpec| {
        spec.signed_task = SignedTask::sign(spec.signed_task.task.clone(), &own);
    };
    refused(plain(), resigned, Guard::PolicyFloor);
    let forged = |spec: &mut RoundSpec| {
        let owner = spec.signed_task.owner;
        spec.signed_task = SignedTask::sign(spec.signed_task.task.clone(), &own);
        spec.signed_task.owner = owner;
    };
    refused(plain(), forged, Guard::OwnerSignature);
}

/// The owner colludes: it signs whatever the aggregator wants. The device's floors are its own.
fn below_a_floor(name: &str, wanted: Task, demand: impl FnOnce(&mut Policy)) {
    let announcement = announced(spec(wanted, 1));
    Listener::new().hear(&announcement).expect("a device without the floor");
    let mut listener = Listener::new();
    demand(&mut listener.policy);
    let refusal = listener.hear(&announcement).expect_err("below the floor");
    assert_eq!(refusal.guard, Guard::PolicyFloor);
    assert!(refusal.detail.starts_with(name), "{refusal}");
    assert_eq!(listener.marks.number(), None);
}

#[test]
fn an_owner_that_colludes_wants_fewer_contributors() {
    below_a_floor("min_contributors", task(6, |_| {}), |policy| policy.min_contributors = 4);
}

#[test]
fn an_owner_that_colludes_wants_fewer_corrupt_devices_assumed() {
    let wanted = task(6, |fields| fields.corrupt_share_permille = 99);
    below_a_floor("min_corrupt_share", wanted, |policy| policy.min_corrupt_share = 0.1);
}

#[test]
fn an_owner_that_colludes_wants_no_noise() {
    let unnoised = |policy: &mut Policy| policy.allow_without_noise.clear();
    below_a_floor("allow_without_noise", task(6, |_| {}), unnoised);
}

#[test]
fn an_owner_that_colludes_wants_too_little_noise() {
    below_a_floor("max_epsilon", noisy(), |policy| policy.max_epsilon = 1.0);
}

#[test]
fn an_owner_that_colludes_wants_a_longer_round() {
    below_a_floor("max_round_s", task(6, |_| {}), |policy| policy.max_round_s = 49);
}

/// Sums that overflow are wrong, and what a wrong sum says of its inputs nobody has looked at.
#[test]
fn an_owner_that_colludes_wants_a_ring_too_narrow() {
    let of_bits = |bits: u8| announced(spec(task(6, |fields| fields.ring_bits = bits), 1));
    Listener::new().hear(&of_bits(22)).expect("the fewest bits that hold");
    let refusal = Listener::new().hear(&of_bits(20)).expect_err("too narrow");
    assert_eq!(refusal.guard, Guard::Width);
}

fn granted() -> RoundSpec {
    let task = task(6, |fields| fields.model = ModelRule::Granted);
    let grant = Grant::sign(task.hash(), 1, Hash([3; 32]), &owner());
    RoundSpec { grant: Some(grant), ..spec(task, 1) }
}

#[test]
fn another_model_than_the_owner_granted() {
    let other = |spec: &mut RoundSpec| spec.grant.as_mut().unwrap().model = Hash([4; 32]);
    refused(granted(), other, Guard::OwnerSignature);
}

#[test]
fn the_model_of_another_round() {
    let replayed = |spec: &mut RoundSpec| {
        let task = spec.signed_task.task.hash();
        spec.grant = Some(Grant::sign(task, 2, Hash([3; 32]), &owner()));
    };
    refused(granted(), replayed, Guard::Grant);
}

#[test]
fn no_model_where_the_task_has_one() {
    refused(granted(), |spec| spec.grant = None, Guard::Grant);
}

#[test]
fn a_round_beyond_the_last() {
    refused(plain(), |spec| spec.number = 101, Guard::TaskWindow);
}

#[test]
fn a_task_that_is_over() {
    let of_old = |by: u64| spec(task(6, |fields| fields.not_after_s = START.unix_s - by), 1);
    Listener::new().hear(&announced(of_old(0))).expect("its last second");
    let refusal = Listener::new().hear(&announced(of_old(1))).expect_err("over");
    assert_eq!(refusal.guard, Guard::TaskWindow);
}

#[test]
fn a_round_before_its_interval_is_over() {
    let task = task(6, |fields| fields.min_interval_s = 60);
    let mut listener = Listener::new();
    listener.hear(&announced(spec(task.clone(), 1))).unwrap();
    let refusal = listener.hear(&announced(spec(task, 2))).expect_err("too early");
    assert_eq!(refusal.guard, Guard::TaskWindow);
    assert_eq!(listener.marks.number(), Some(1));
}

/// The same number with another nonce is the same round to the device, though not to the hash.
#[test]
fn a_round_run_again_under_another_nonce() {
    let mut listener = Listener::new();
    listener.hear(&announced(plain())).unwrap();
    let again = RoundSpec { nonce: [1; 32], ..plain() };
    let refusal = listener.hear(&announced(again)).expect_err("entered twice");
    assert_eq!(refusal.guard, Guard::RoundReplayed);
}

/// There is no field for k, t or Q. Whatever is put behind the round is no encoding of it.
#[test]
fn thresholds_that_the_aggregator_chose_have_no_place_in_an_announcement() {
    let honest = announced(plain());
    Listener::new().hear(&honest).unwrap();
    let smaller = [4u16, 2, 2].map(u16::to_le_bytes).concat();
    let (inside, behind) =
        ([&plain().encoded()[..], &smaller].concat(), [honest, smaller].concat());
    assert!(RoundSpec::decoded(&inside).is_err());
    let refusal = Listener::new().hear(&behind).expect_err("no encoding");
    assert_eq!(refusal.guard, Guard::Encoding);
}
