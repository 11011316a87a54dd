//! What goes wrong in the PKI's settings is refused, and said so that it can be put right.

use std::fs;

use crate::fleet::{Device, Fleet};

/// The device cannot enrol, and is told by the name of the role what is wrong.
#[track_caller]
fn refused(fleet: &Fleet, device: &Device, why: &[&str]) {
    let refusal = fleet.enrol(device, &fleet.token("device")).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.exit), ("ca_refused", Some(1)), "{refusal}");
    for part in why {
        assert!(refusal.to_string().contains(part), "{part} is not in: {refusal}");
    }
}

#[test]
fn a_role_that_is_not_as_documented_is_refused_by_name() {
    let fleet = Fleet::new();
    let device = fleet.device("device");
    let role = "sealsum/roles/sealsum-device";
    for (wrong, right, why) in [
        ("server_flag=true", "server_flag=false", "server_flag"),
        ("key_usage=DigitalSignature,KeyAgreement", "key_usage=DigitalSignature", "key_usage"),
        ("not_before_duration=48h", "not_before_duration=5m", "not_before_duration"),
        (
            "allowed_uri_sans=spiffe://other/device/*,x25519:*",
            "allowed_uri_sans=spiffe://example/device/*,x25519:*",
            "URI",
        ),
        ("use_csr_sans=false", "use_csr_sans=true", "names no role"),
    ] {
        fleet.bao.run(&["patch", role, wrong]);
        refused(&fleet, &device, &["sealsum-device", why]);
        fleet.bao.run(&["patch", role, right]);
    }
    // A shorter life is Vault's to decide.
    fleet.bao.run(&["patch", role, "max_ttl=1h", "ttl=1h"]);
    fleet.enrol(&device, &fleet.token("device")).unwrap();

    let issuer = ["sealsum/root/generate/internal", "common_name=another", "key_type=ec"];
    let made = fleet.bao.run(&[&["write", "-field=issuer_id"][..], &issuer[..]].concat());
    fleet.bao.run(&["patch", role, &format!("issuer_ref={}", made.trim())]);
    refused(&fleet, &device, &["sealsum-device", "pinned", "issuer_ref"]);
    fleet.bao.run(&["delete", role]);
    refused(&fleet, &device, &["sealsum-device", "unknown role"]);
}

#[test]
fn a_lost_token_is_replaced_and_a_lost_permission_is_reported() {
    let mut fleet = Fleet::new();
    fleet.enrolled("first");
    fleet.bao.run(&["token", "revoke", "-mode=path", "auth/approle"]);
    fleet.enrolled("second");

    fleet.bao.run(&["policy", "delete", "sealsum-authority"]);
    refused(&fleet, &fleet.device("third"), &["sealsum-device", "permission denied"]);

    // A used wrapping token is a sign that somebody else has the secret.
    let used = fs::read_to_string(fleet.pki("secret-id")).unwrap();
    fleet.stop();
    fs::remove_file(fleet.dir().join("vault-secret-id")).unwrap();
    let ready_file = fleet.pki("ready");
    let mut process = fleet.spawn(&ready_file);
    let ended = process.wait(crate::fleet::PATIENCE);
    assert!(ended.is_some_and(|status| status.code() == Some(1)), "{}", fleet.log());
    assert!(fleet.log().contains("used up or expired"), "{}", fleet.log());

    let approle = "auth/approle/role/sealsum-authority/secret-id";
    let fresh = ["write", "-wrap-ttl=10m", "-field=wrapping_token", "-f", approle];
    let fresh = fleet.bao.run(&fresh);
    assert_ne!(fresh.trim(), used.trim());
    fleet.give_secret(&fresh);
    let policy = "path \"sealsum/*\" { capabilities = [\"update\"] }";
    fs::write(fleet.pki("policy.hcl"), policy).unwrap();
    let policy = fleet.pki("policy.hcl").display().to_string();
    fleet.bao.run(&["policy", "write", "sealsum-authority", &policy]);
    fleet.start();
    fleet.enrolled("fourth");
}

#[test]
fn a_token_that_somebody_else_keeps_is_read_again_when_it_changes() {
    let mut fleet = Fleet::prepared();
    let settings = fs::read_to_string(fleet.pki("vault.toml")).unwrap();
    let (settings, _) = settings.split_once("[approle]").unwrap();
    fs::write(fleet.pki("vault.toml"), format!("{settings}\ntoken = \"secret-id\"\n")).unwrap();
    let token = |ttl: &str| {
        let ttl = format!("-ttl={ttl}");
        let create = ["token", "create", "-policy=sealsum-authority", "-field=token", &ttl];
        fleet.bao.run(&create)
    };
    let (first, second) = (token("30s"), token("10m"));
    fleet.give_secret(&first);
    let fingerprint = fleet.fingerprint();
    fleet.init(&["--ca-sha256".as_ref(), fingerprint.as_ref()]).unwrap();
    fleet.start();
    fleet.await_renewal(first.trim());
    fleet.enrolled("first");
    fleet.bao.run(&["token", "revoke", first.trim()]);
    fleet.await_readiness(|reasons| !reasons.is_empty());
    fleet.give_secret(&second);
    fleet.await_readiness(<[_]>::is_empty);
    fleet.enrolled("second");
}
