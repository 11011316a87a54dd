//! The judgement on a device: good evidence passes, and each way to be wrong is refused by name.

mod common;

use common::{World, now};
use sealsum_attest::templates::EkAlgorithm;

#[test]
fn good_evidence_passes_for_each_endorsement_key() {
    for algorithm in [EkAlgorithm::Rsa2048, EkAlgorithm::P256, EkAlgorithm::P384] {
        let mut world = World::with(1, algorithm, common::policy_data());
        let session = world.session();
        let answer = world.answer(&session);
        let verified = world.judge(session, &answer).unwrap();
        assert_eq!(verified.at(), now());
        assert_eq!(verified.pcrs(), &world.device.pcrs);
        assert_eq!(verified.keys().x25519_public, world.device.x25519_public());
        assert!(!verified.software());
    }
}
