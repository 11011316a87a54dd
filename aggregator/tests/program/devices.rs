//! Who is a member, judged by certificates and status list, without a network.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sealsum_aggregator::devices::Devices;
use sealsum_aggregator::membership::Members;
use sealsum_aggregator::store::Store;
use sealsum_attest::ids::DeviceId as AttestedId;
use sealsum_attest::status::StatusList;
use sealsum_daemon::http::Connections;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::membership::{Membership, MembershipError, Voucher};

use sealsum_loadgen::fleet::{DAY, FleetKeys, Leaf};

struct Bench {
    dir: tempfile::TempDir,
    fleet: FleetKeys,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), fleet: FleetKeys::new("test").unwrap() }
    }

    fn devices(&self) -> Arc<Devices> {
        let store = Arc::new(Store::open(&self.dir.path().join("db")).unwrap());
        Arc::new(Devices::open(self.fleet.ca().unwrap(), store, Connections::default()).unwrap())
    }

    fn list(&self, number: u64, age_s: i64, revoked: &[u8]) -> Vec<u8> {
        let issued_at = Timestamp::now() - SignedDuration::from_secs(age_s);
        let revoked: BTreeSet<AttestedId> =
            revoked.iter().map(|index| AttestedId::from_bytes([*index; 32])).collect();
        let list = StatusList {
            fleet: self.fleet.fleet.clone(),
            number,
            issued_at,
            next_update: issued_at,
            revoked_devices: revoked,
            revoked_serials: BTreeSet::new(),
        };
        self.fleet.sign_status(list).unwrap()
    }

    fn leaf(&self, index: u8) -> Leaf {
        self.fleet.device(AttestedId::from_bytes([index; 32]), &[index; 32], DAY).unwrap()
    }
}

fn voucher<'a>(index: u8, leaf: &'a Leaf, signature: &'a [u8]) -> Voucher<'a> {
    Voucher {
        device: DeviceId([index; 32]),
        certificate: &leaf.der,
        statement: b"statement",
        signature,
    }
}

fn now_s() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap()
}

#[test]
fn no_round_is_opened_without_a_list_or_on_an_old_one() {
    let bench = Bench::new();
    let devices = bench.devices();
    let code = |age_s| {
        let later = Timestamp::now() + SignedDuration::from_secs(age_s);
        devices.fresh(later).err().map(|failure| failure.code.name().to_owned())
    };
    assert_eq!(code(0).as_deref(), Some("status_list_stale"));
    devices.admit(bench.list(1, 0, &[])).unwrap();
    assert_eq!(code(290), None);
    assert_eq!(code(310).as_deref(), Some("status_list_stale"));
}

#[test]
fn a_list_is_signed_fresh_and_never_goes_back_even_over_a_restart() {
    let bench = Bench::new();
    let devices = bench.devices();
    devices.admit(bench.list(5, 0, &[])).unwrap();
    let refused = |list: Vec<u8>| devices.admit(list).err().map(|f| f.code.name().to_owned());
    assert_eq!(refused(bench.list(4, 0, &[])).as_deref(), Some("log_invalid"));
    assert_eq!(refused(bench.list(6, 400, &[])).as_deref(), Some("log_invalid"));
    let foreign = Bench::new().list(6, 0, &[]);
    assert_eq!(refused(foreign).as_deref(), Some("log_invalid"));
    let mut tampered = bench.list(6, 0, &[]);
    let at = tampered.windows(8).position(|window| window == b"revoked_").unwrap();
    tampered[at] = b'R';
    assert_eq!(refused(tampered).as_deref(), Some("log_invalid"));
    drop(devices);

    let devices = bench.devices();
    assert_eq!(devices.newest().unwrap().list.number, 5);
    assert!(devices.admit(bench.list(4, 0, &[])).is_err());
    devices.admit(bench.list(6, 0, &[])).unwrap();
}

#[test]
fn an_entry_needs_a_good_certificate_of_its_device_and_its_keys_signature() {
    let bench = Bench::new();
    let devices = bench.devices();
    devices.admit(bench.list(1, 0, &[])).unwrap();
    let mut members = Members::new(Arc::clone(&devices));
    let leaf = bench.leaf(1);
    let signature = leaf.sign(b"statement").unwrap();
    let member = members.verify(&voucher(1, &leaf, &signature), now_s()).unwrap();
    assert_eq!(member.static_key, [1; 32]);

    let other = members.verify(&voucher(2, &leaf, &signature), now_s());
    assert!(matches!(other, Err(MembershipError::Certificate(_))));
    let foreign = Bench::new().leaf(1);
    let signed = foreign.sign(b"statement").unwrap();
    let other = members.verify(&voucher(1, &foreign, &signed), now_s());
    assert!(matches!(other, Err(MembershipError::Certificate(_))));
    let expired = members.verify(&voucher(1, &leaf, &signature), now_s() + 90_000);
    assert!(matches!(expired, Err(MembershipError::Certificate(_))));
    let stolen = bench.leaf(1).sign(b"statement").unwrap();
    let other = members.verify(&voucher(1, &leaf, &stolen), now_s());
    assert_eq!(other, Err(MembershipError::Signature));
    let else_signed = leaf.sign(b"another statement").unwrap();
    let other = members.verify(&voucher(1, &leaf, &else_signed), now_s());
    assert_eq!(other, Err(MembershipError::Signature));

    members.admit_status_list(&bench.list(2, 0, &[1]), now_s()).unwrap();
    let revoked = members.verify(&voucher(1, &leaf, &signature), now_s());
    assert_eq!(revoked, Err(MembershipError::Revoked));
}
