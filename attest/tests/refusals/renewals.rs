//! Renewals, and mutations of them.

use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use rcgen::CertificateParams;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::RenewAnswer;
use sealsum_attest::refusals::Refusal;
use sealsum_attest::verify::{self, Known, RenewalSession};

use super::common::device::csr;
use super::common::{World, now, rng};
use super::{Mutation, Named};

pub const MUTATIONS: &[Named] = &[
    ("counters", Mutation::Known(counters)),
    ("rebooted", Mutation::Known(rebooted)),
    ("renewal_binding", Mutation::Known(renewal_binding)),
    ("renewal_csr", Mutation::Renewal(renewal_csr)),
    ("renewal_signer", Mutation::Known(renewal_signer)),
];

/// Enrols, then renews with good evidence that the caller may bend.
pub fn renew(
    world: &mut World,
    bend_known: impl FnOnce(&mut World, &mut Known),
    bend_answer: impl FnOnce(&mut RenewAnswer),
) -> Result<(), Refusal> {
    let session = world.session();
    let answer = world.answer(&session);
    let verified = world.judge(session, &answer)?;
    let mut known = world.known(&verified);
    let seen = known.clone();
    bend_known(world, &mut known);
    let session = RenewalSession::new(known, &world.policy, now(), &mut world.rng);
    let mut answer = world.renewal_answer(&session, &seen);
    bend_answer(&mut answer);
    verify::judge_renewal(session, &answer, &world.policy, now()).map(|_| ())
}

/// The counter on record is one more than the TPM shows.
fn counters(_: &mut World, which: &str, known: &mut Known) {
    match which {
        "reset" => known.last.reset_count += 1,
        "restart" => known.last.restart_count += 1,
        "clock" => known.last.clock_ms += 1,
        _ => known.last.firmware_version += 1,
    }
}

fn rebooted(world: &mut World, _: &str, _: &mut Known) {
    world.device.clock.reset_count += 1;
    world.device.clock.restart_count = 0;
    world.device.clock.clock = 0;
}

/// On record is something else than what the device quotes over.
fn renewal_binding(_: &mut World, what: &str, known: &mut Known) {
    match what {
        "device" => known.device = DeviceId::from_bytes([9; 32]),
        "x25519" => known.keys.x25519_public[0] ^= 1,
        _ => known.serial[0] = 9,
    }
}

fn renewal_csr(_: &str, answer: &mut RenewAnswer) {
    let stranger = SigningKey::generate_from_rng(&mut rng(3));
    answer.csr.0 = csr(&stranger, &CertificateParams::default());
}

fn renewal_signer(world: &mut World, _: &str, _: &mut Known) {
    world.device.ak = SigningKey::generate_from_rng(&mut world.rng);
}
