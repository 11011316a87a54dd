//! Vault is sealed or gone: nothing is lost, and everybody is told.

use crate::fleet::Fleet;

#[test]
fn a_sealed_vault_keeps_devices_waiting_and_loses_nothing() {
    let fleet = Fleet::new();
    let (old, _) = fleet.enrolled("old");
    fleet.await_readiness(<[_]>::is_empty);
    fleet.bao.seal();
    fleet.await_readiness(|reasons| reasons.iter().any(|reason| reason.contains("sealed")));

    let device = fleet.device("new");
    let token = fleet.token("device");
    let refusal = fleet.enrol(&device, &token).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.exit), ("busy", Some(2)), "{refusal}");
    assert!(refusal.to_string().contains("sealed"), "{refusal}");
    assert_eq!(old.run(&["renew"]).unwrap_err().code, "busy");

    fleet.bao.unseal();
    fleet.await_readiness(<[_]>::is_empty);
    // The token was not used up, and the old certificate is as good as before.
    fleet.enrol(&device, &token).unwrap();
    old.run(&["renew"]).unwrap();
    assert_eq!(fleet.enrol(&device, &token).unwrap_err().code, "token_invalid");
}

#[test]
fn an_authority_without_its_vault_restarts_and_revokes() {
    let mut fleet = Fleet::new();
    let (_, id) = fleet.enrolled("device");
    fleet.bao.stop();
    fleet.await_readiness(|reasons| reasons.iter().any(|reason| reason.contains("no answer")));
    fleet.stop();
    fleet.start();
    assert!(fleet.log().contains("certificate of the last run"), "{}", fleet.log());
    let revoked = fleet.authority(&["device", "revoke", &id, "--reason", "stolen"]).unwrap();
    assert_eq!(revoked["state"], "revoked");

    fleet.bao.restart();
    fleet.await_readiness(<[_]>::is_empty);
    fleet.await_revocation(&id);
    fleet.enrolled("next");
}
