//! An evidence directory is judged again with trust from outside, and anything bent is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::thread;

use common::device::fixed_signature;
use common::fleet::TestFleet;
use common::{Vendor, World, now};
use jiff::{SignedDuration, Timestamp};
use sealsum_attest::certificate::Role;
use sealsum_attest::endorsement::Anchors;
use sealsum_attest::evidence::{self, FILES, Files, RESULT, Report};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::refusals::{
    ATTESTATION_RESULT, CERTIFIED_OTHER, Check, EVIDENCE_FILES, NONCE, PCR_VALUES, Refusal,
    UNKNOWN_ROOT,
};
use sealsum_attest::result::Claims;
use sealsum_attest::verify::{self, AuthorityIdentity, Verified};

/// One enrolment, judged and kept by the authority of a fleet.
struct Kept {
    world: World,
    fleet: TestFleet,
    verified: Verified,
    files: Files,
}

impl Kept {
    fn new() -> Self {
        let mut world = World::new(80);
        let fleet = TestFleet::new("demo");
        let identity = sealsum_attest::certificate::Identity::parse(&fleet.authority).unwrap();
        let authority = AuthorityIdentity {
            id: Role::Authority.uri(&fleet.name),
            spki_sha256: identity.spki_sha256,
        };
        let request = world.device.request();
        let session = verify::admit(request, &world.policy, now())
            .unwrap()
            .challenge(&authority, &world.policy, now(), &mut world.rng)
            .unwrap();
        let answer =
            world.device.answer(session.request(), session.challenge(), &authority.spki_sha256);
        let files = evidence::of_enrolment(&session, &answer, &authority);
        let verified = world.judge(session, &answer).unwrap();
        let mut kept = Self { world, fleet, verified, files };
        kept.files = kept.signed(kept.files.clone());
        kept
    }

    /// These files with a result about them, by the authority.
    fn signed(&self, files: Files) -> Files {
        self.signed_with(files, |_| ())
    }

    fn signed_with(&self, mut files: Files, bend: impl FnOnce(&mut Claims)) -> Files {
        let issuer = Role::Authority.uri(&self.fleet.name);
        let digest = evidence::digest(&files);
        let expires = now() + SignedDuration::from_hours(24);
        let mut claims =
            Claims::about(&self.verified, &digest, &self.fleet.name, issuer, 1, expires);
        bend(&mut claims);
        let sign = |bytes: &[u8]| Ok::<_, ()>(fixed_signature(&self.fleet.authority_key, bytes));
        let token = claims.sign(std::slice::from_ref(&self.fleet.authority), sign).unwrap();
        files.insert(RESULT.to_owned(), token.into_bytes());
        files
    }

    fn verify(&self, files: &Files) -> Result<Report, Refusal> {
        self.verify_at(files, now())
    }

    fn verify_at(&self, files: &Files, at: Timestamp) -> Result<Report, Refusal> {
        evidence::verify(files, &self.world.vendor.anchors(), &self.fleet.trust(), at)
    }

    #[track_caller]
    fn refuses(&self, files: &Files, check: Check) {
        assert_eq!(self.verify(files).unwrap_err().check, check);
    }

    /// Refuses these files although the authority signed a result about them.
    #[track_caller]
    fn refuses_signed(&self, check: Check, bend: impl FnOnce(&mut Files)) {
        let mut files = self.files.clone();
        bend(&mut files);
        self.refuses(&self.signed(files), check);
    }
}

#[test]
fn good_evidence_is_judged_again_at_any_later_time() {
    let kept = Kept::new();
    assert_eq!(kept.files.keys().collect::<Vec<_>>(), FILES.iter().collect::<Vec<_>>());
    for years in [0, 20] {
        let later = now() + SignedDuration::from_hours(years * 365 * 24);
        let report = kept.verify_at(&kept.files, later).unwrap();
        let device = DeviceId::from_ek_public(&kept.world.device.ek_public.to_bytes());
        assert_eq!((report.device, report.epoch, report.judged_at), (device, 1, now()));
        assert_eq!(report.manufacturer.as_deref(), Some("id:53544D20"));
        assert!(!report.software);
    }
    let earlier = now() - SignedDuration::from_hours(1);
    assert_eq!(kept.verify_at(&kept.files, earlier).unwrap_err().check, ATTESTATION_RESULT);
}

#[test]
fn every_flipped_byte_of_every_file_is_refused() {
    let kept = Kept::new();
    each_flip(&kept, |name, files| {
        assert!(kept.verify(files).is_err(), "{name}");
    });
}

#[test]
fn the_checks_refuse_every_flipped_byte_even_if_the_authority_signs_it() {
    // So it is not the digest in the result alone that protects the evidence.
    let kept = Kept::new();
    each_flip(&kept, |name, files| {
        if name != RESULT {
            assert!(kept.verify(&kept.signed(files.clone())).is_err(), "{name}");
        }
    });
}

/// Shows each file with each byte changed in one bit, the files side by side.
fn each_flip(kept: &Kept, judge: impl Fn(&str, &Files) + Sync) {
    thread::scope(|scope| {
        for (name, bytes) in &kept.files {
            let judge = &judge;
            scope.spawn(move || {
                let mut files = kept.files.clone();
                for (at, byte) in bytes.iter().enumerate() {
                    files.get_mut(name).unwrap()[at] = byte ^ 1 << (at % 8);
                    judge(name, &files);
                    files.get_mut(name).unwrap()[at] = *byte;
                }
            });
        }
    });
}

#[test]
fn every_truncation_of_every_file_is_refused() {
    let kept = Kept::new();
    for (name, bytes) in &kept.files {
        let mut files = kept.files.clone();
        for length in (0..bytes.len()).step_by(7) {
            files.insert(name.clone(), bytes[..length].to_vec());
            assert!(kept.verify(&files).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn trust_never_comes_from_the_bundle() {
    let kept = Kept::new();
    // Its own roots and keys beside the evidence, or no evidence at all.
    for name in ["roots.pem", "ca.pem", "authority.pem"] {
        let mut files = kept.files.clone();
        files.insert(name.into(), kept.world.vendor.root.clone());
        kept.refuses(&files, EVIDENCE_FILES);
    }
    for name in FILES {
        let mut files = kept.files.clone();
        files.remove(name);
        kept.refuses(&files, EVIDENCE_FILES);
    }
    // Another vendor's root installed, or none.
    let ca = kept.fleet.trust();
    let stranger = Vendor::new("stranger").anchors();
    let nobody = Anchors::from_der::<Vec<u8>>(&[]).unwrap();
    for anchors in [stranger, nobody] {
        let refusal = evidence::verify(&kept.files, &anchors, &ca, now()).unwrap_err();
        assert_eq!(refusal.check, UNKNOWN_ROOT);
    }
    // A result by an authority of the same name under another CA, which it brings along in x5c.
    let other = TestFleet::new("demo");
    let anchors = kept.world.vendor.anchors();
    let refusal = evidence::verify(&kept.files, &anchors, &other.trust(), now()).unwrap_err();
    assert_eq!(refusal.check, ATTESTATION_RESULT);
}

#[test]
fn a_root_inside_the_chain_vouches_for_nothing() {
    let kept = Kept::new();
    let mut files = kept.files.clone();
    let chain = String::from_utf8(files["ek_chain.pem"].clone()).unwrap();
    let root = pem(&kept.world.vendor.root);
    files.insert("ek_chain.pem".into(), format!("{chain}{root}").into_bytes());
    let files = kept.signed(files);
    assert!(kept.verify(&files).is_ok());
    let stranger = Vendor::new("stranger").anchors();
    let refusal = evidence::verify(&files, &stranger, &kept.fleet.trust(), now()).unwrap_err();
    assert_eq!(refusal.check, UNKNOWN_ROOT);
}

#[test]
fn evidence_of_two_devices_does_not_mix() {
    let kept = Kept::new();
    let other = World::new(81).device;
    let (attest, signature) = other.quote(&[0; 32]);
    kept.refuses_signed(sealsum_attest::refusals::QUOTE_SIGNATURE, |files| {
        files.insert("quote.attest".into(), attest);
        files.insert("quote.sig".into(), signature);
    });
    // The same attestation key, but for another session.
    let (attest, signature) = kept.world.device.quote(&[0; 32]);
    kept.refuses_signed(NONCE, |files| {
        files.insert("quote.attest".into(), attest);
        files.insert("quote.sig".into(), signature);
    });
    let text = String::from_utf8(kept.files["transcript.json"].clone()).unwrap();
    let transcript = serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let transcript = transcript["transcript"].as_str().unwrap();
    kept.refuses_signed(EVIDENCE_FILES, |files| {
        let bent = text.replace(transcript, &"ab".repeat(32));
        files.insert("transcript.json".into(), bent.into_bytes());
    });
    kept.refuses_signed(PCR_VALUES, |files| {
        let pcrs = String::from_utf8(files["pcrs.json"].clone()).unwrap();
        files.insert("pcrs.json".into(), pcrs.replace("77", "78").into_bytes());
    });
    // Another object certified, for this session.
    let certify = sealsum_attest::tpm::Attest::parse(&kept.files["certify.attest"]).unwrap();
    let (attest, signature) = kept.world.device.certify(&certify.extra_data, &[0, 11]);
    kept.refuses_signed(CERTIFIED_OTHER, |files| {
        files.insert("certify.attest".into(), attest);
        files.insert("certify.sig".into(), signature);
    });
}

#[test]
fn a_file_in_another_form_is_refused_though_it_means_the_same() {
    let kept = Kept::new();
    for name in ["transcript.json", "pcrs.json"] {
        kept.refuses_signed(EVIDENCE_FILES, |files| {
            let value: serde_json::Value = serde_json::from_slice(&files[name]).unwrap();
            files.insert(name.into(), value.to_string().into_bytes());
        });
    }
    kept.refuses_signed(EVIDENCE_FILES, |files| {
        let text = String::from_utf8(files["ek_chain.pem"].clone()).unwrap();
        files.insert("ek_chain.pem".into(), text.replace('\n', "\r\n").into_bytes());
    });
}

#[test]
fn a_result_about_something_else_is_refused() {
    let kept = Kept::new();
    let bends: [fn(&mut Claims); 6] = [
        |claims| claims.sub = DeviceId::from_bytes([1; 32]),
        |claims| claims.eat_nonce = "AAAA".into(),
        |claims| claims.submods.tpm.pcrs.0.clear(),
        |claims| claims.submods.tpm.vector.hardware = 32,
        |claims| claims.evidence_sha256 = "00".repeat(32),
        |claims| claims.aud = "spiffe://other".into(),
    ];
    for bend in bends {
        kept.refuses(&kept.signed_with(kept.files.clone(), bend), ATTESTATION_RESULT);
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
