//! What the TPM says to the authority, read by the authority's own parser.

use crate::{connect, new_identity};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealsum_attest::activation::make_credential;
use sealsum_attest::binding::ActivationSecret;
use sealsum_attest::tpm::{Attest, Attested, EcdsaSignature, Public, name_of, parse_selection};
use sealsum_attest_tpm::evidence::Statement;
use sealsum_attest_tpm::{EkAlgorithm, Identity, TpmError};
use sealsum_test_support::{TpmFactory, wire};
use sha2::{Digest, Sha256};

const EVERY_EK: [EkAlgorithm; 3] = [EkAlgorithm::Rsa2048, EkAlgorithm::P256, EkAlgorithm::P384];

/// The key a TPMT_PUBLIC of ours describes.
fn verifying_key(public: &[u8]) -> VerifyingKey {
    let point = Public::parse(public).unwrap().p256_point().unwrap();
    VerifyingKey::from_sec1_bytes(&point).unwrap()
}

fn signed_by(statement: &Statement, public: &[u8]) -> bool {
    let signature = EcdsaSignature::parse(&statement.signature).unwrap().to_p256().unwrap();
    let signature = Signature::from_slice(&signature).unwrap();
    verifying_key(public).verify(&statement.attest, &signature).is_ok()
}

fn secret(byte: u8) -> ActivationSecret {
    ActivationSecret::new(Box::new([byte; 32]))
}

#[test]
fn credentials_made_in_software_open_in_the_tpm() {
    let chip = TpmFactory::trusted().tpm();
    for algorithm in EVERY_EK {
        let (identity, _) = Identity::create(&connect(&chip), algorithm, &[7]).unwrap();
        let state = identity.state();
        let ek = Public::parse(&state.ek_public.0).unwrap();
        let ak_name = name_of(&state.ak_public.0).unwrap();
        for seed in 0..20 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let made = make_credential(&ek, &ak_name, &secret(seed as u8), &mut rng).unwrap();
            let opened = identity.activate(&made.blob, &made.encrypted_secret).unwrap();
            assert_eq!(opened.expose(), &[seed as u8; 32], "{algorithm:?}, seed {seed}");
        }
    }
    assert_eq!(wire::loaded(chip.port()), (0, 0));
    assert_eq!(wire::lockout_counter(chip.port()), 0);
}

#[test]
fn credentials_for_another_key_or_tpm_and_damaged_ones_do_not_open() {
    let factory = TpmFactory::trusted();
    let (chip, other_chip) = (factory.tpm(), factory.tpm());
    for algorithm in EVERY_EK {
        let create = |chip| Identity::create(&connect(chip), algorithm, &[7]).unwrap().0;
        let (identity, sibling, stranger) = (create(&chip), create(&chip), create(&other_chip));
        let make = |ek: &Identity, ak: &Identity| {
            let ek = Public::parse(&ek.state().ek_public.0).unwrap();
            let ak_name = name_of(&ak.state().ak_public.0).unwrap();
            make_credential(&ek, &ak_name, &secret(1), &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
        };
        let refused = |blob: &[u8], secret: &[u8]| {
            let refused = identity.activate(blob, secret).err();
            assert_eq!(refused, Some(TpmError::Credential), "{algorithm:?}");
        };
        let good = make(&identity, &identity);
        let other_ak = make(&identity, &sibling);
        refused(&other_ak.blob, &other_ak.encrypted_secret);
        let other_ek = make(&stranger, &identity);
        refused(&other_ek.blob, &other_ek.encrypted_secret);
        let mut changed = good.blob.clone();
        *changed.last_mut().unwrap() ^= 1;
        refused(&changed, &good.encrypted_secret);
        refused(&good.blob[..good.blob.len() - 1], &good.encrypted_secret);
        refused(&good.blob, &good.encrypted_secret[..good.encrypted_secret.len() - 1]);
        refused(&[], &[]);
        refused(&[0; 5000], &[0; 5000]);
        identity.activate(&good.blob, &good.encrypted_secret).unwrap();
    }
}

#[test]
fn a_quote_says_what_was_asked_and_what_is_measured() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 23];
    let quote = identity.quote(&[9; 32], &pcrs).unwrap();
    assert!(signed_by(&quote.statement, &identity.state().ak_public.0));
    let attest = Attest::parse(&quote.statement.attest).unwrap();
    assert_eq!(attest.to_bytes(), quote.statement.attest, "one encoding only");
    assert_eq!(attest.extra_data, [9; 32]);
    let Attested::Quote { selection, digest } = attest.attested else { panic!("not a quote") };
    assert_eq!(selection.len(), 1);
    assert_eq!(selection[0].indices(), pcrs);
    assert!(quote.pcrs.0.keys().copied().eq(pcrs));
    let values = quote.pcrs.0.values().fold(Sha256::new(), |hash, value| hash.chain_update(value));
    assert_eq!(digest, values.finalize().as_slice());
    assert_ne!(quote.pcrs.0[&7], [0; 32]);
    assert_eq!(quote.pcrs.0[&0], [0; 32]);
    // The selection is parsed as the policy of the sealed key writes it.
    assert_eq!(parse_selection(&[0, 0, 0, 1, 0, 11, 3, 128, 0, 0]).unwrap()[0].indices(), [7]);
}

#[test]
fn a_quote_counts_boots() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let boots = |identity: &Identity| {
        let quote = identity.quote(&[0; 32], &[7]).unwrap();
        Attest::parse(&quote.statement.attest).unwrap().clock.reset_count
    };
    let before = boots(&identity);
    chip.restart();
    assert_eq!(boots(&identity), before + 1);
}

#[test]
fn the_certification_names_the_device_key() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let statement = identity.certify(&[3; 32]).unwrap();
    assert!(signed_by(&statement, &identity.state().ak_public.0));
    let attest = Attest::parse(&statement.attest).unwrap();
    assert_eq!(attest.extra_data, [3; 32]);
    let Attested::Certify { name, .. } = attest.attested else { panic!("not a certification") };
    assert_eq!(name, name_of(&identity.state().dk_public.0).unwrap());
    let (other, _) = new_identity(&chip);
    assert!(!signed_by(&statement, &other.state().ak_public.0));
}

#[test]
fn the_device_key_signs_messages_for_its_public_key() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let key = verifying_key(&identity.state().dk_public.0);
    assert_eq!(identity.device_key().point(), key.to_sec1_point(false).as_bytes());
    let signature = identity.device_key().sign(b"a round entry").unwrap();
    let signature = Signature::from_slice(&signature).unwrap();
    key.verify(b"a round entry", &signature).unwrap();
    assert!(key.verify(b"another entry", &signature).is_err());
}
