//! The whole evidence of an enrolment from a TPM, judged by the authority's own verifier.

use crate::{connect, new_identity};
use jiff::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealsum_attest::binding::{Renewal, Transcript, prove_possession};
use sealsum_attest::endorsement::Anchors;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{
    Bytes, EnrolAnswer, EnrolRequest, Fixed, PROTOCOL_VERSION, PcrValues, RenewAnswer,
};
use sealsum_attest::names::Names;
use sealsum_attest::policy::{EnrolmentPolicy, PcrMode, PolicyData};
use sealsum_attest::refusals::Refusal;
use sealsum_attest::tpm::{Attest, Attested, EcdsaSignature, PcrBank, alg};
use sealsum_attest::verify::{
    AuthorityIdentity, Known, RenewalSession, Session, ShownEndorsement, Verified, admit, judge,
    judge_renewal,
};
use sealsum_attest_tpm::{EkAlgorithm, Identity, TpmError, Vault};
use sealsum_test_support::TpmFactory;
use std::fs;

const PCRS: [u8; 2] = [4, 7];

/// An authority that trusts the root of one manufacturer; the device sends the rest.
struct Authority {
    policy: EnrolmentPolicy,
    itself: AuthorityIdentity,
}

impl Authority {
    fn trusting(factory: &TpmFactory, change: impl FnOnce(&mut PolicyData)) -> Self {
        let mut data = PolicyData { pcrs: PCRS.into(), ..PolicyData::default() };
        change(&mut data);
        let root = fs::read_to_string(factory.manufacturer().root()).unwrap();
        let root = sealsum_attest::certificate::chain_from_pem(&root).unwrap();
        let anchors = Anchors::default().with_software(&root).unwrap();
        let id = "spiffe://test/authority".into();
        Self {
            policy: EnrolmentPolicy::new(data, anchors).unwrap(),
            itself: AuthorityIdentity { id, spki_sha256: [5; 32] },
        }
    }

    fn challenge(&self, request: &EnrolRequest) -> Result<Session, Refusal> {
        let (now, mut rng) = (Timestamp::now(), ChaCha20Rng::from_seed([1; 32]));
        admit(request.clone(), &self.policy, now)?.challenge(
            &self.itself,
            &self.policy,
            now,
            &mut rng,
        )
    }

    fn judge(&self, session: Session, answer: &EnrolAnswer) -> Result<Verified, Refusal> {
        judge(session, answer, &self.policy, Timestamp::now())
    }
}

/// A device that enrols, as the agent does it.
struct Device<'a> {
    identity: &'a Identity,
    vault: &'a Vault,
}

impl Device<'_> {
    fn request(&self, factory: &TpmFactory) -> EnrolRequest {
        let state = self.identity.state().clone();
        let intermediate = fs::read_to_string(factory.manufacturer().intermediate()).unwrap();
        let chain = sealsum_attest::certificate::chain_from_pem(&intermediate).unwrap();
        EnrolRequest {
            protocol: PROTOCOL_VERSION,
            token: Some("a token".into()),
            ek_certificate: state.ek_certificate.unwrap(),
            ek_chain: chain.into_iter().map(|der| Bytes(der.to_vec())).collect(),
            ek_public: state.ek_public,
            ak_public: state.ak_public,
            dk_public: state.dk_public,
            x25519_public: state.x25519_public,
            srk_name: state.srk_name,
            client_random: Fixed([2; 32]),
        }
    }

    fn answer(&self, session: &Session) -> Result<EnrolAnswer, TpmError> {
        let challenge = session.challenge();
        let transcript = Transcript::of(session.request(), challenge, &[5; 32]).unwrap();
        let secret =
            self.identity.activate(&challenge.credential_blob.0, &challenge.encrypted_secret.0)?;
        let quote = self.identity.quote(&transcript.quote_data(), &challenge.pcr_selection)?;
        let certify = self.identity.certify(&transcript.certify_data())?;
        let (nonce, theirs) = (&challenge.nonce.0, &challenge.x25519_challenge.0);
        let proof = prove_possession(self.vault.x25519(), theirs, nonce, &transcript).unwrap();
        Ok(EnrolAnswer {
            quote_attest: quote.statement.attest.into(),
            quote_signature: quote.statement.signature.into(),
            pcrs: quote.pcrs,
            certify_attest: certify.attest.into(),
            certify_signature: certify.signature.into(),
            csr: self.identity.device_key().certificate_request(&Names::default())?.into(),
            activation_proof: Fixed(transcript.activation_proof(&secret)),
            x25519_proof: Fixed(proof),
        })
    }
}

fn check_number<T>(result: Result<T, Refusal>) -> u8 {
    result.err().expect("this must be refused").check.number
}

#[test]
fn evidence_of_a_tpm_is_good_evidence() {
    let factory = TpmFactory::trusted();
    let chip = factory.tpm();
    for (algorithm, name) in [(EkAlgorithm::Rsa2048, "rsa2048"), (EkAlgorithm::P384, "p384")] {
        let authority = Authority::trusting(&factory, |data| data.ek_algorithm = name.into());
        let (identity, vault) = Identity::create(&connect(&chip), algorithm, &[7]).unwrap();
        let device = Device { identity: &identity, vault: &vault };
        let session = authority.challenge(&device.request(&factory)).unwrap();
        let answer = device.answer(&session).unwrap();
        let verified = authority.judge(session, &answer).unwrap();
        assert_eq!(*verified.device(), DeviceId::from_ek_public(&identity.state().ek_public.0));
        assert_eq!(verified.key().as_sec1(), identity.device_key().point());
        assert_eq!(verified.keys().x25519_public, vault.x25519_public());
        assert!(verified.software(), "swtpm says of itself that it is software");
    }
}

#[test]
fn a_tpm_of_another_manufacturer_is_refused() {
    let (trusted, foreign) = (TpmFactory::trusted(), TpmFactory::foreign());
    let (chip, foreign_chip) = (trusted.tpm(), foreign.tpm());
    let authority = Authority::trusting(&trusted, |_| {});
    let (identity, vault) = new_identity(&foreign_chip);
    let request = Device { identity: &identity, vault: &vault }.request(&foreign);
    assert_eq!(check_number(authority.challenge(&request)), 1);
    // With somebody else's good certificate it fares no better.
    let (honest, honest_vault) = new_identity(&chip);
    let good = Device { identity: &honest, vault: &honest_vault }.request(&trusted);
    let stolen =
        EnrolRequest { ek_certificate: good.ek_certificate, ek_chain: good.ek_chain, ..request };
    assert_eq!(check_number(authority.challenge(&stolen)), 2);
}

#[test]
fn keys_of_one_tpm_under_the_ek_of_another_cannot_answer() {
    let factory = TpmFactory::trusted();
    let (chip, other_chip) = (factory.tpm(), factory.tpm());
    let authority = Authority::trusting(&factory, |_| {});
    let (a, a_vault) = new_identity(&chip);
    let (b, b_vault) = new_identity(&other_chip);
    let (a, b) =
        (Device { identity: &a, vault: &a_vault }, Device { identity: &b, vault: &b_vault });
    let of_a = a.request(&factory);
    let mixed = EnrolRequest {
        ek_certificate: of_a.ek_certificate,
        ek_public: of_a.ek_public,
        ..b.request(&factory)
    };
    let session = authority.challenge(&mixed).unwrap();
    assert_eq!(b.answer(&session).err(), Some(TpmError::Credential));
    // An accomplice with the right EK does not hold the attestation key that the secret is for.
    assert_eq!(a.answer(&session).err(), Some(TpmError::Credential));
}

#[test]
fn statements_of_another_session_key_or_tpm_are_refused() {
    let factory = TpmFactory::trusted();
    let chip = factory.tpm();
    let authority = Authority::trusting(&factory, |_| {});
    let (identity, vault) = new_identity(&chip);
    let device = Device { identity: &identity, vault: &vault };
    let request = device.request(&factory);
    let later = EnrolRequest { client_random: Fixed([3; 32]), ..request.clone() };
    let (sibling, sibling_vault) = new_identity(&chip);
    let sibling = Device { identity: &sibling, vault: &sibling_vault };
    let foreign_session = authority.challenge(&sibling.request(&factory)).unwrap();
    let foreign = sibling.answer(&foreign_session).unwrap();

    let refused = |change: &dyn Fn(&mut EnrolAnswer, EnrolAnswer)| {
        let (old, new) =
            (authority.challenge(&request).unwrap(), authority.challenge(&later).unwrap());
        let mut answer = device.answer(&new).unwrap();
        change(&mut answer, device.answer(&old).unwrap());
        check_number(authority.judge(new, &answer))
    };
    assert_eq!(refused(&|answer, old| answer.activation_proof = old.activation_proof), 22);
    assert_eq!(refused(&|answer, old| answer.x25519_proof = old.x25519_proof), 40);
    let old_quote = |answer: &mut EnrolAnswer, old: EnrolAnswer| {
        answer.quote_attest = old.quote_attest;
        answer.quote_signature = old.quote_signature;
    };
    assert_eq!(refused(&old_quote), 30);
    let old_certify = |answer: &mut EnrolAnswer, old: EnrolAnswer| {
        answer.certify_attest = old.certify_attest;
        answer.certify_signature = old.certify_signature;
    };
    assert_eq!(refused(&old_certify), 30);
    let by_sibling = |answer: &mut EnrolAnswer, _| {
        answer.certify_attest = foreign.certify_attest.clone();
        answer.certify_signature = foreign.certify_signature.clone();
    };
    assert_eq!(refused(&by_sibling), 27);
    let swapped = |answer: &mut EnrolAnswer, _| {
        answer.quote_attest = answer.certify_attest.clone();
        answer.quote_signature = answer.certify_signature.clone();
    };
    assert_eq!(refused(&swapped), 29);
    assert_eq!(refused(&|answer, _| answer.csr = foreign.csr.clone()), 18);
    let wrong_value = |answer: &mut EnrolAnswer, _| answer.pcrs.0.get_mut(&7).unwrap()[0] ^= 1;
    assert_eq!(refused(&wrong_value), 34);
}

#[test]
fn a_quote_forged_with_an_unrestricted_key_is_signed_well_and_refused() {
    let factory = TpmFactory::trusted();
    let chip = factory.tpm();
    let authority = Authority::trusting(&factory, |_| {});
    let (identity, vault) = new_identity(&chip);
    // The device key signs whatever it is given, also a statement that the TPM never made.
    let genuine = identity.quote(&[1; 32], &PCRS).unwrap().statement;
    let mut forged = Attest::parse(&genuine.attest).unwrap();
    let bitmap = vec![1 << 4 | 1 << 7, 0, 0];
    forged.attested = Attested::Quote {
        selection: vec![PcrBank { hash: alg::SHA256, bitmap }],
        digest: vec![0xaa; 32],
    };
    let forged = forged.to_bytes();
    let signature = identity.device_key().sign(&forged).unwrap();
    let (r, s) = (signature[..32].to_vec(), signature[32..].to_vec());
    let wire = EcdsaSignature { hash: alg::SHA256, r, s }.to_bytes();
    let parsed = EcdsaSignature::parse(&wire).unwrap().to_p256().unwrap();
    let key =
        sealsum_attest::certificate::PublicKey::from_spki(identity.device_key().spki()).unwrap();
    key.verify(&forged, &parsed).unwrap();
    // So only the attributes of the key tell, and they are told by its name, which the TPM keeps.
    let request = Device { identity: &identity, vault: &vault }.request(&factory);
    let unrestricted = EnrolRequest { ak_public: request.dk_public.clone(), ..request };
    assert_eq!(check_number(authority.challenge(&unrestricted)), 12);
}

#[test]
fn an_enforced_boot_policy_admits_what_it_names_only() {
    let factory = TpmFactory::trusted();
    let chip = factory.tpm();
    let (identity, vault) = new_identity(&chip);
    let device = Device { identity: &identity, vault: &vault };
    let PcrValues(known) = identity.quote(&[0; 32], &PCRS).unwrap().pcrs;
    let authority = Authority::trusting(&factory, |data| {
        data.pcr_mode = PcrMode::Enforce;
        data.pcr_baselines = vec![PcrValues(known)];
    });
    let enrol = || {
        let session = authority.challenge(&device.request(&factory)).unwrap();
        let answer = device.answer(&session).unwrap();
        authority.judge(session, &answer)
    };
    enrol().unwrap();
    chip.extend_pcr(4, b"another kernel");
    assert_eq!(check_number(enrol()), 35);
}

#[test]
fn a_renewal_needs_the_tpm_again() {
    let factory = TpmFactory::trusted();
    let mut chip = factory.tpm();
    let authority = Authority::trusting(&factory, |_| {});
    let (identity, vault) = new_identity(&chip);
    let device = Device { identity: &identity, vault: &vault };
    let request = device.request(&factory);
    let session = authority.challenge(&request).unwrap();
    let answer = device.answer(&session).unwrap();
    let verified = authority.judge(session, &answer).unwrap();
    chip.restart();
    let known = Known {
        device: *verified.device(),
        keys: verified.keys().clone(),
        shown: ShownEndorsement {
            certificate: request.ek_certificate.0,
            chain: request.ek_chain.into_iter().map(|der| der.0).collect(),
            at: Timestamp::now(),
        },
        last: verified.state(),
        serial: vec![1],
    };
    let renew = |known: &Known, serial: &[u8], identity: &Identity| {
        let mut rng = ChaCha20Rng::from_seed([8; 32]);
        let now = Timestamp::now();
        let session = RenewalSession::new(known.clone(), &authority.policy, now, &mut rng);
        let csr = identity.device_key().certificate_request(&Names::default()).unwrap();
        let renewal = Renewal {
            nonce: &session.challenge().nonce.0,
            device: &known.device,
            dk_name: &known.keys.dk_name,
            x25519_public: &known.keys.x25519_public,
            old_serial: serial,
            csr: &csr,
        };
        let quote = identity.quote(&renewal.quote_data(), &PCRS).unwrap();
        let answer = RenewAnswer {
            session: session.id(),
            quote_attest: quote.statement.attest.into(),
            quote_signature: quote.statement.signature.into(),
            pcrs: quote.pcrs,
            csr: csr.into(),
            ledger_head: None,
        };
        judge_renewal(session, &answer, &authority.policy, now)
    };
    let renewed = renew(&known, &[1], &identity).unwrap();
    assert_eq!(renewed.state().reset_count, known.last.reset_count + 1);
    assert_eq!(check_number(renew(&known, &[2], &identity)), 30);
    assert_eq!(check_number(renew(&known, &[1], &new_identity(&chip).0)), 31);
    let mut rolled_back = known.clone();
    rolled_back.last.reset_count += 2;
    assert_eq!(check_number(renew(&rolled_back, &[1], &identity)), 37);
}
