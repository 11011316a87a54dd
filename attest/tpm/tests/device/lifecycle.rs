//! What happens to the keys when something happens to the TPM.

use crate::{connect, new_identity};
use sealsum_attest_tpm::{EkAlgorithm, Identity, IdentityState, TpmError};
use sealsum_test_support::{TpmFactory, wire};

/// As the agent does it: through the stored form.
fn stored(state: &IdentityState) -> IdentityState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

#[test]
fn keys_survive_a_reboot_and_a_power_cut() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, vault) = new_identity(&chip);
    let state = stored(identity.state());
    assert_eq!(&state, identity.state());
    for cut in [false, true] {
        if cut {
            chip.kill();
        }
        chip.restart();
        let loaded = Identity::load(&connect(&chip), state.clone()).unwrap();
        assert_eq!(loaded.open_vault().unwrap().x25519_public(), vault.x25519_public());
        // The handle from before the reboot finds its keys again too.
        identity.device_key().sign(b"still here").unwrap();
    }
}

#[test]
fn two_identities_of_one_tpm_share_only_the_device_id() {
    let chip = TpmFactory::trusted().tpm();
    let [(a, _), (b, _)] = [new_identity(&chip), new_identity(&chip)];
    assert_eq!(a.device(), b.device());
    assert_eq!(a.state().srk_name, b.state().srk_name);
    assert_ne!(a.state().ak_public, b.state().ak_public);
    assert_ne!(a.state().dk_public, b.state().dk_public);
    assert_ne!(a.state().x25519_public, b.state().x25519_public);
}

#[test]
fn every_ek_algorithm_gives_an_identity() {
    let chip = TpmFactory::trusted().tpm();
    let tpm = connect(&chip);
    let mut devices = std::collections::BTreeSet::new();
    for (algorithm, certified) in
        [(EkAlgorithm::Rsa2048, true), (EkAlgorithm::P384, true), (EkAlgorithm::P256, false)]
    {
        let (identity, _) = Identity::create(&tpm, algorithm, &[7]).unwrap();
        assert_eq!(identity.state().ek_certificate.is_some(), certified, "{algorithm:?}");
        devices.insert(identity.device());
    }
    assert_eq!(devices.len(), 3);
}

#[test]
fn a_changed_pcr_closes_the_vault_until_it_is_back() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, vault) = new_identity(&chip);
    chip.extend_pcr(7, b"another boot loader");
    let closed = identity.open_vault().unwrap_err();
    assert_eq!(closed, TpmError::PcrChanged { pcrs: vec![7] });
    assert!(closed.needs_new_keys() && !closed.is_transient());
    assert_eq!(wire::lockout_counter(chip.port()), 0);
    // Signing does not depend on the boot: the device can still say who it is.
    identity.device_key().sign(b"hello").unwrap();
    chip.restart();
    assert_eq!(identity.open_vault().unwrap().x25519_public(), vault.x25519_public());
}

#[test]
fn other_pcrs_and_no_pcrs_can_be_sealed_to() {
    let chip = TpmFactory::trusted().tpm();
    let tpm = connect(&chip);
    let (bound, _) =
        Identity::create(&tpm, EkAlgorithm::P384, &[7, 16, 0, 1, 2, 3, 4, 5, 6, 8]).unwrap();
    let (free, _) = Identity::create(&tpm, EkAlgorithm::P384, &[]).unwrap();
    bound.open_vault().unwrap();
    chip.extend_pcr(16, b"something");
    assert!(matches!(bound.open_vault(), Err(TpmError::PcrChanged { .. })));
    free.open_vault().unwrap();
    let none_such = Identity::create(&tpm, EkAlgorithm::P384, &[24]).unwrap_err();
    assert_eq!(none_such, TpmError::NoPcr { pcrs: vec![24] });
}

#[test]
fn state_copied_to_another_tpm_is_refused_by_name() {
    let factory = TpmFactory::trusted();
    let (chip, other) = (factory.tpm(), factory.tpm());
    let (identity, _) = new_identity(&chip);
    let refused = Identity::load(&connect(&other), stored(identity.state())).unwrap_err();
    assert_eq!(refused, TpmError::OtherTpm);
    assert_eq!(refused.code(), "evidence_refused");
    // A copied TPM is the same TPM to every test that a TPM can do; the authority's epoch tells.
    let twin = chip.clone_state();
    Identity::load(&connect(&twin), stored(identity.state())).unwrap();
}

#[test]
fn a_cleared_tpm_is_named_and_keeps_its_device_id() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    wire::clear(chip.port());
    let cleared = Identity::load(&connect(&chip), stored(identity.state())).unwrap_err();
    assert_eq!(cleared, TpmError::Cleared);
    assert!(cleared.needs_new_keys());
    assert_eq!(identity.open_vault().unwrap_err(), TpmError::Cleared);
    assert_eq!(identity.device_key().sign(b"x").unwrap_err(), TpmError::Cleared);
    // The attestation key is not in the owner hierarchy and outlives the clearing.
    identity.quote(&[1; 32], &[7]).unwrap();
    let (again, _) = new_identity(&chip);
    assert_eq!(again.device(), identity.device());
}

#[test]
fn damaged_and_unknown_state_is_named() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let tpm = connect(&chip);
    let refuse = |change: fn(&mut IdentityState)| {
        let mut state = identity.state().clone();
        change(&mut state);
        Identity::load(&tpm, state).and_then(|identity| identity.open_vault()).unwrap_err()
    };
    let damaged = |what| TpmError::Damaged { what };
    assert_eq!(refuse(|s| s.version = 2), TpmError::StateVersion { found: 2, known: 1 });
    assert_eq!(refuse(|s| *s.dk_private.0.last_mut().unwrap() ^= 1), damaged("the device key"));
    assert_eq!(refuse(|s| s.dk_private.0.truncate(9)), damaged("the device key"));
    assert_eq!(refuse(|s| s.dk_public.0.truncate(9)), damaged("the device key"));
    assert_eq!(refuse(|s| *s.sealed_private.0.last_mut().unwrap() ^= 1), damaged("the sealed key"));
    assert_eq!(refuse(|s| s.x25519_encrypted.0[40] ^= 1), damaged("the X25519 identity"));
    assert_eq!(refuse(|s| s.x25519_public.0[0] ^= 1), damaged("the X25519 identity"));
    assert_eq!(refuse(|s| s.ak_unique.0[0] ^= 1), TpmError::OtherTpm);
    // Whoever offers another storage root key is not given anything.
    assert_eq!(refuse(|s| s.srk_name.0[5] ^= 1), TpmError::Cleared);
}

#[test]
fn power_cuts_count_towards_no_lockout() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    for _ in 0..20 {
        identity.open_vault().unwrap();
        identity.device_key().sign(b"before the cut").unwrap();
        chip.kill();
        chip.restart();
    }
    let properties = identity.tpm().properties().unwrap();
    assert_eq!((properties.lockout_counter, properties.locked_out), (0, false));
    assert_eq!(properties.manufacturer, "IBM");
    identity.open_vault().unwrap();
}
