//! What a device refuses before it enters a round and when it is shown a roster.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::client::{self, Advertised, Answers, Sharing, VerifiedRoster};
use sealsum_protocol::dp::Law;
use sealsum_protocol::error::{Error, Refusal};
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::messages::{Roster, SharedKeys};
use sealsum_protocol::policy::{self, Policy};
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::*;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::*;

struct Announced {
    spec: RoundSpec,
    policy: Policy,
    answers: Answers,
    marks: Marks,
    now: Now,
}

impl Announced {
    fn new(task: Task) -> Self {
        let (policy, marks) = (policy(), Marks::default());
        Self { spec: spec(task, 1), policy, answers: Answers::default(), marks, now: START }
    }

    fn guard(&mut self) -> Option<Guard> {
        let device = Device::new(0);
        let entered = client::advertise(
            self.spec.clone(),
            &device.identity(),
            &self.policy,
            &self.answers,
            &mut self.marks,
            self.now,
            &mut rng(1),
        );
        entered.err().map(|refusal| refusal.guard)
    }
}

fn plain() -> Announced {
    Announced::new(task(6, |_| {}))
}

#[test]
fn an_honest_round_is_entered_and_its_number_written_down() {
    let mut announced = plain();
    assert_eq!(announced.guard(), None);
    assert_eq!(announced.marks.number(), Some(1));
}

#[test]
fn a_task_or_grant_that_the_owner_did_not_sign_is_refused() {
    let mut announced = plain();
    announced.spec.signed_task.task = task(6, |fields| fields.min_contributors = 4);
    assert_eq!(announced.guard(), Some(Guard::OwnerSignature));
    assert_eq!(announced.marks.number(), None, "a refused round leaves no mark");

    let mut announced = granted();
    announced.spec.grant.as_mut().unwrap().signature.0[5] ^= 1;
    assert_eq!(announced.guard(), Some(Guard::OwnerSignature));
}

fn granted() -> Announced {
    let mut announced = Announced::new(task(6, |fields| fields.model = ModelRule::Granted));
    let task = announced.spec.signed_task.task.hash();
    announced.spec.grant = Some(Grant::sign(task, 1, Hash([3; 32]), &owner()));
    announced.answers.model = Some(Hash([3; 32]));
    announced
}

#[test]
fn a_grant_is_for_this_round_of_this_task_and_no_other() {
    assert_eq!(granted().guard(), None);
    let task_hash = granted().spec.signed_task.task.hash();
    for grant in [
        None,
        Some(Grant::sign(task_hash, 2, Hash([3; 32]), &owner())),
        Some(Grant::sign(Hash([1; 32]), 1, Hash([3; 32]), &owner())),
    ] {
        let mut announced = granted();
        announced.spec.grant = grant;
        assert_eq!(announced.guard(), Some(Guard::Grant));
    }
    let mut announced = plain();
    announced.spec.grant = Some(Grant::sign(task_hash, 1, Hash([3; 32]), &owner()));
    assert_eq!(announced.guard(), Some(Guard::Grant));
}

#[test]
fn an_update_for_another_round_or_model_stays_home() {
    let mut announced = granted();
    announced.answers.model = Some(Hash([4; 32]));
    assert_eq!(announced.guard(), Some(Guard::Submission));
    let mut announced = granted();
    announced.answers.model = None;
    assert_eq!(announced.guard(), Some(Guard::Submission));
    let mut announced = plain();
    announced.answers.round = Some(2);
    assert_eq!(announced.guard(), Some(Guard::Submission));
}

#[test]
fn a_round_number_is_entered_once_and_never_goes_back() {
    for (last, refused) in [(1, true), (2, true), (0, false)] {
        let mut announced = plain();
        announced.marks = Marks::at(last, START.unix_s);
        assert_eq!(announced.guard(), refused.then_some(Guard::RoundReplayed));
    }
}

#[test]
fn the_nonce_is_not_part_of_the_round_id() {
    let (first, mut second) = (plain().spec, plain().spec);
    second.nonce = [1; 32];
    assert_eq!(first.round_id(), second.round_id());
    assert_ne!(first.params_hash(), second.params_hash());
}

#[test]
fn rounds_outside_the_task_s_window_are_refused() {
    for (number, unix_s) in [
        (101, START.unix_s),
        (0, START.unix_s),
        (1, START.unix_s - 11),
        (1, START.unix_s + 1_000_001),
    ] {
        let mut announced = plain();
        announced.spec.number = number;
        announced.now.unix_s = unix_s;
        assert_eq!(announced.guard(), Some(Guard::TaskWindow), "{number} {unix_s}");
    }
    for (seconds, refused) in [(59, true), (60, false)] {
        let mut announced = Announced::new(task(6, |fields| fields.min_interval_s = 60));
        announced.spec.number = 2;
        announced.marks = Marks::at(1, START.unix_s);
        announced.now.unix_s += seconds;
        assert_eq!(announced.guard(), refused.then_some(Guard::TaskWindow));
    }
}

#[test]
fn each_floor_refuses_by_name() {
    type Change = fn(&mut Policy);
    let floors: [(&str, Change); 5] = [
        ("owners", |policy| policy.owners = vec![SecretKey::from_seed(&[8; 32]).public()]),
        ("allow_without_noise", |policy| policy.allow_without_noise.clear()),
        ("min_contributors", |policy| policy.min_contributors = 4),
        ("min_corrupt_share", |policy| policy.min_corrupt_share = 0.101),
        ("max_coordinates", |policy| policy.max_coordinates = 4),
    ];
    for (name, change) in floors {
        let mut announced = plain();
        change(&mut announced.policy);
        check_floor(name, &mut announced);
    }
    let noisy = || {
        task(6, |fields| {
            fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 1000, delta: 1e-6 }
        })
    };
    let noise_floors: [(&str, Change); 3] = [
        ("max_round_s", |policy| policy.max_round_s = 49),
        ("delta", |policy| policy.delta = 1e-7),
        ("max_epsilon", |policy| policy.max_epsilon = 1.0),
    ];
    for (name, change) in noise_floors {
        let mut announced = Announced::new(noisy());
        assert_eq!(announced.guard(), None);
        announced.marks = Marks::default();
        change(&mut announced.policy);
        check_floor(name, &mut announced);
    }
}

fn check_floor(name: &str, announced: &mut Announced) {
    let failed: Vec<_> = policy::explain(&announced.policy, &announced.spec.signed_task)
        .into_iter()
        .filter(|floor| !floor.ok)
        .collect();
    assert_eq!(failed.len(), 1, "{name}: {failed:?}");
    assert_eq!(failed[0].name, name);
    assert_eq!(announced.guard(), Some(Guard::PolicyFloor), "{name}");
    let refusal = policy::check(&announced.policy, &announced.spec.signed_task).unwrap_err();
    assert!(refusal.detail.starts_with(name), "{refusal}");
}

const BINS: Bins = Bins { range: Range { low: 0.0, high: 1.0 }, count: 8 };

/// With the numbers that a query of eight bins has.
fn as_query(fields: &mut TaskFields, kind: Kind) {
    let template = Kind::Histogram(BINS).template().unwrap();
    fields.kind = kind;
    (fields.coordinates, fields.clip, fields.scale) =
        (template.coordinates, template.clip, template.scale);
}

#[test]
fn a_query_of_more_bins_than_the_device_allows_is_refused() {
    let mut announced = Announced::new(task(6, |fields| as_query(fields, Kind::Histogram(BINS))));
    announced.policy.max_bins = 8;
    assert_eq!(announced.guard(), None);
    announced.marks = Marks::default();
    announced.policy.max_bins = 7;
    check_floor("max_bins", &mut announced);
}

#[test]
fn a_ring_too_narrow_is_refused() {
    let mut announced = Announced::new(task(6, |fields| fields.ring_bits = 20));
    assert_eq!(announced.guard(), Some(Guard::Width));
    let mut announced = Announced::new(task(6, |fields| fields.ring_bits = 22));
    assert_eq!(announced.guard(), None);
}

#[test]
fn each_value_of_a_task_has_its_range() {
    let changes: [fn(&mut TaskFields); 22] = [
        |fields| fields.name = String::new(),
        |fields| fields.name = "Upper".to_owned(),
        |fields| fields.name = "a".repeat(64),
        |fields| fields.coordinates = 0,
        |fields| fields.coordinates = MAX_COORDINATES + 1,
        |fields| fields.ring_bits = 7,
        |fields| fields.ring_bits = 65,
        |fields| fields.clip = f64::NAN,
        |fields| fields.clip = -1.0,
        |fields| fields.scale = 3,
        |fields| fields.weights = Weights::UpTo(0),
        |fields| fields.min_contributors = 2,
        |fields| fields.max_devices = 10_001,
        |fields| fields.start_when = 2,
        |fields| fields.corrupt_share_permille = 1000,
        |fields| fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 0, delta: 1e-5 },
        // A query whose sensitivity is not its template's.
        |fields| fields.kind = Kind::Count,
        |fields| (fields.kind, fields.coordinates) = (Kind::Histogram(BINS), 8),
        |fields| {
            as_query(fields, Kind::Histogram(BINS));
            fields.clip = 1.5;
        },
        |fields| as_query(fields, Kind::Quantiles(Bins { count: 0, ..BINS })),
        |fields| fields.deadlines_s.check = 0,
        |fields| fields.not_after_s = fields.not_before_s,
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut fields = (*task(6, |_| {})).clone();
        change(&mut fields);
        let refused = Task::new(fields).map_err(|refusal| refusal.guard);
        assert_eq!(refused, Err(Guard::TaskInvalid), "change {place}");
    }
}

/// Device 0 with the roster that an honest aggregator shows it.
struct Shown {
    client: Advertised,
    roster: Roster,
    registry: Registry,
    identity: ExchangeKey,
    now: Now,
    others: Vec<Device>,
}

impl Shown {
    fn new(n: usize) -> Self {
        Self::of(n, task(n, |_| {}), policy())
    }

    fn of(n: usize, task: Task, policy: Policy) -> Self {
        let mut rehearsal = Rehearsal::with_policies(n, spec(task, 1), |_| policy.clone());
        let roster = rehearsal.fetch(0, Stage::Roster).expect("a roster");
        let client = take!(rehearsal, 0, Advertised);
        let registry = Registry::default();
        let mut others = rehearsal.devices;
        let identity = others.remove(0).identity;
        Self { client, roster, registry, identity, now: START, others }
    }

    fn share(mut self) -> Result<(Sharing, SharedKeys), Error> {
        let mut rng = rng(2);
        self.client.share(&self.roster, &self.identity, &mut self.registry, self.now, &mut rng)
    }

    fn refusal(self) -> Refusal {
        match self.share() {
            Err(Error::Refusal(refusal)) => refusal,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("not refused"),
        }
    }

    /// Changes device `index`'s entry and has the device's TPM sign the change.
    fn resign(&mut self, index: usize, change: impl FnOnce(&mut SignedEntry)) {
        let params_hash = self.client.spec().params_hash();
        let signed = &mut self.roster.entries[index];
        change(signed);
        let statement = signed.entry.statement(&params_hash);
        signed.signature = self.others[index - 1].tpm.sign(&statement).0.to_vec();
    }
}

#[test]
fn an_honest_roster_is_taken() {
    assert!(Shown::new(5).share().is_ok());
    let mut resigned = Shown::new(5);
    resigned.resign(2, |_| {});
    assert!(resigned.share().is_ok(), "the refusals below are not of the signing itself");
}

#[test]
fn a_roster_out_of_order_or_with_a_device_twice_is_refused() {
    let mut shown = Shown::new(5);
    shown.roster.entries.swap(1, 2);
    assert_eq!(shown.refusal().guard, Guard::RosterEncoding);
    let mut shown = Shown::new(5);
    shown.roster.entries[2] = shown.roster.entries[1].clone();
    assert_eq!(shown.refusal().guard, Guard::RosterEncoding);
}

#[test]
fn a_roster_without_the_own_entry_as_it_was_sent_is_refused() {
    let mut shown = Shown::new(5);
    shown.roster.entries.remove(0);
    assert_eq!(shown.refusal().guard, Guard::OwnEntry);
    let mut shown = Shown::new(5);
    shown.roster.entries[0].entry.mask_key[3] ^= 1;
    assert_eq!(shown.refusal().guard, Guard::OwnEntry);
    let mut shown = Shown::new(5);
    shown.roster.entries[0].signature.push(0);
    assert_eq!(shown.refusal().guard, Guard::OwnEntry);
}

#[test]
fn devices_of_one_host_share_a_verified_roster_and_each_finds_its_own_entry() {
    let verify = |shown: &mut Shown| {
        VerifiedRoster::new(&shown.client, &shown.roster, &mut shown.registry, shown.now).unwrap()
    };
    let share = |shown: Shown, verified: &VerifiedRoster| {
        shown.client.share_among(verified, &shown.identity, shown.now, &mut rng(2))
    };
    let mut shown = Shown::new(4);
    let verified = verify(&mut shown);
    let alone = Shown::new(4).share().unwrap().1;
    assert_eq!(share(shown, &verified).unwrap().1, alone, "the same shares either way");

    // Of the same round, but with another entry of this device.
    let mut other = Shown::new(4);
    other.client = entered_anew(other.client.spec().clone());
    let refused = share(other, &verified).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Refusal(refusal) if refusal.guard == Guard::OwnEntry));

    let another_round = Shown::of(4, task(4, |fields| fields.max_rounds = 7), policy());
    let refused = share(another_round, &verified).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Misuse(_)), "{refused}");
}

/// Device 0 in the same round, with other keys.
fn entered_anew(spec: RoundSpec) -> Advertised {
    let (device, mut marks) = (Device::new(0), Marks::default());
    let (identity, answers) = (device.identity(), Answers::default());
    let advertising =
        client::advertise(spec, &identity, &policy(), &answers, &mut marks, START, &mut rng(9));
    let advertising = advertising.unwrap();
    let signature = device.tpm.sign(advertising.statement()).0.to_vec();
    advertising.sign(signature).0
}

#[test]
fn keys_used_twice_are_refused_by_name() {
    let changes: [fn(&mut SignedEntry, &SignedEntry); 4] = [
        |entry, other| entry.entry.mask_key = other.entry.mask_key,
        |entry, other| entry.entry.mask_key = other.entry.channel_key,
        |entry, other| entry.entry.signing_key = other.entry.signing_key,
        |entry, other| entry.entry.certificate = other.entry.certificate,
    ];
    for change in changes {
        let mut shown = Shown::new(5);
        let other = shown.roster.entries[1].clone();
        shown.resign(3, |entry| change(entry, &other));
        let culprit = Some(shown.roster.entries[3].entry.device);
        let refusal = shown.refusal();
        assert_eq!((refusal.guard, refusal.culprit), (Guard::DuplicateKey, culprit));
    }
}

#[test]
fn unsound_keys_are_refused_by_name() {
    let low = |bytes: [u8; 2]| {
        let mut key = [0; 32];
        key[0] = bytes[0];
        key[31] = bytes[1];
        key
    };
    let set_mask_key = |entry: &mut SignedEntry, bad| entry.entry.mask_key = bad;
    let set_channel_key = |entry: &mut SignedEntry, bad| entry.entry.channel_key = bad;
    let set_signing_key = |entry: &mut SignedEntry, bad| entry.entry.signing_key.0 = bad;
    for bad in [low([0, 0]), low([1, 0]), [0xff; 32]] {
        refused_as_bad_key(|entry| set_mask_key(entry, bad));
        refused_as_bad_key(|entry| set_channel_key(entry, bad));
        refused_as_bad_key(|entry| set_signing_key(entry, bad));
    }
    // The base point of X25519 with the bit set that X25519 ignores.
    refused_as_bad_key(|entry| set_mask_key(entry, low([9, 0x80])));
}

fn refused_as_bad_key(change: impl FnOnce(&mut SignedEntry)) {
    let mut shown = Shown::new(5);
    shown.resign(4, change);
    let culprit = Some(shown.roster.entries[4].entry.device);
    let refusal = shown.refusal();
    assert_eq!((refusal.guard, refusal.culprit), (Guard::BadKey, culprit));
}

#[test]
fn a_cohort_of_another_size_than_the_task_s_is_refused() {
    let mut shown = Shown::of(5, task(5, |fields| fields.min_contributors = 5), policy());
    shown.roster.entries.pop();
    assert_eq!(shown.refusal().guard, Guard::CohortSize);

    let mut shown = Shown::of(5, task(5, |fields| fields.max_devices = 5), policy());
    let mut extra = shown.roster.entries[4].clone();
    extra.entry.device = DeviceId([9; 32]);
    shown.roster.entries.push(extra);
    assert_eq!(shown.refusal().guard, Guard::CohortSize);
}

#[test]
fn an_entry_that_its_tpm_did_not_sign_for_this_round_is_refused() {
    let mut shown = Shown::new(5);
    shown.roster.entries[2].entry.mask_key = ExchangeKey::draw(&mut rng(3)).public();
    let culprit = Some(shown.roster.entries[2].entry.device);
    let refusal = shown.refusal();
    assert_eq!((refusal.guard, refusal.culprit), (Guard::EntrySignature, culprit));

    // An entry of another round: same device, same keys, other h_P.
    let mut shown = Shown::new(5);
    let mut other = spec(task(5, |_| {}), 2);
    other.nonce = [1; 32];
    let statement = shown.roster.entries[2].entry.statement(&other.params_hash());
    shown.roster.entries[2].signature = shown.others[1].tpm.sign(&statement).0.to_vec();
    assert_eq!(shown.refusal().guard, Guard::EntrySignature);
}

#[test]
fn a_certificate_of_another_device_or_identity_is_refused() {
    let mut shown = Shown::new(5);
    shown.roster.entries[2].certificate.push(0);
    assert_eq!(shown.refusal().guard, Guard::Certificate);

    // A device that claims an X25519 identity which its certificate does not name.
    let mut shown = Shown::new(5);
    shown.resign(2, |signed| {
        signed.entry.static_key = ExchangeKey::draw(&mut rng(4)).public();
    });
    assert_eq!(shown.refusal().guard, Guard::Certificate);
}

#[test]
fn a_revoked_device_and_an_old_list_are_refused() {
    let mut shown = Shown::new(5);
    let revoked = shown.roster.entries[3].entry.device;
    shown.roster.status_list = status_list(2, &[revoked]);
    let refusal = shown.refusal();
    assert_eq!((refusal.guard, refusal.culprit), (Guard::Revoked, Some(revoked)));

    let mut shown = Shown::new(5);
    use sealsum_protocol::membership::Membership;
    shown.registry.admit_status_list(&status_list(7, &[]), 0).unwrap();
    shown.roster.status_list = status_list(6, &[]);
    assert_eq!(shown.refusal().guard, Guard::StatusList);
}

#[test]
fn a_cohort_without_parameters_or_with_too_few_honest_is_refused() {
    // This device assumes so many corrupt devices that no threshold protects five.
    let mut shown = Shown::new(5);
    let wary = Policy { corrupt_fleet: 4, ..policy() };
    shown.client = enter(&mut shown, wary);
    assert_eq!(shown.refusal().guard, Guard::Parameters);

    let mut shown = Shown::new(5);
    let shy = Policy { min_honest: 4, ..policy() };
    shown.client = enter(&mut shown, shy);
    assert_eq!(shown.refusal().guard, Guard::TooFewHonest);
}

/// Device 0 enters again under another policy, and the roster shows it so.
fn enter(shown: &mut Shown, policy: Policy) -> Advertised {
    let device = Device::new(0);
    let (answers, mut marks) = (Answers::default(), Marks::default());
    let advertising = client::advertise(
        shown.client.spec().clone(),
        &device.identity(),
        &policy,
        &answers,
        &mut marks,
        START,
        &mut rng(77),
    )
    .unwrap();
    let signature = device.tpm.sign(advertising.statement()).0.to_vec();
    let (client, message) = advertising.sign(signature);
    shown.roster.entries[0] = message.signed;
    client
}

#[test]
fn a_second_roster_is_told_from_the_first() {
    let shown = Shown::new(5);
    let (first, mut second) = (shown.roster.clone(), shown.roster.clone());
    second.entries.pop();
    let (sharing, _) = shown.share().unwrap();
    assert_eq!(sharing.same_roster(&first), Ok(()));
    assert_eq!(sharing.same_roster(&second).unwrap_err().guard, Guard::SecondRoster);
}

#[test]
fn a_roster_after_the_device_s_own_deadline_is_refused() {
    let mut shown = Shown::new(5);
    shown.now.steady_ms = shown.client.limits().roster + 1;
    assert_eq!(shown.refusal().guard, Guard::Deadline);
    let mut shown = Shown::new(5);
    shown.now.steady_ms = shown.client.limits().roster;
    assert!(shown.share().is_ok());
}
