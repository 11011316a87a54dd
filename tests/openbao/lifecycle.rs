//! From the first command to a revocation that Vault's own CRL shows.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sealsum_demo::words;
use sealsum_tests::program;

use crate::fleet::{Device, Fleet, openssl};

#[test]
fn a_fleet_lives_under_the_companys_pki() {
    let mut fleet = Fleet::prepared();
    the_operator_must_confirm_the_ca(&fleet);
    fleet.start();
    let (device, id) = fleet.enrolled("device");
    openssl_accepts_the_chain(&fleet, &device.certificate(), "sslclient");
    the_certificate_names_the_device_and_its_x25519_key(&device, &id);

    let first = fs::read(device.certificate()).unwrap();
    device.run(&["renew"]).unwrap();
    assert_ne!(fs::read(device.certificate()).unwrap(), first);
    openssl_accepts_the_chain(&fleet, &device.certificate(), "sslclient");

    an_aggregator_gets_its_certificate_too(&fleet);
    the_wrapped_secret_survives_a_restart(&mut fleet);

    assert_eq!(fleet.at_the_ca(&id)["revocation_time"], 0);
    fleet.authority(&["device", "revoke", &id, "--reason", "stolen"]).unwrap();
    fleet.await_revocation(&id);
    the_crl_shows_it(&fleet, &device);
}

fn the_operator_must_confirm_the_ca(fleet: &Fleet) {
    let fingerprint = fleet.fingerprint();
    let plain = fingerprint.replace(':', "").to_lowercase();
    let unconfirmed = fleet.init(&[]).unwrap_err();
    assert_eq!((unconfirmed.code.as_str(), unconfirmed.exit), ("refused", Some(1)));
    assert!(unconfirmed.to_string().contains(&plain), "{unconfirmed}");
    let wrong = fleet.init(&words!["--ca-sha256", &"0".repeat(64)]).unwrap_err();
    assert_eq!(wrong.code, "refused");
    assert!(!fleet.dir().join("ca.pem").exists());
    let created = fleet.init(&words!["--ca-sha256", &fingerprint]).unwrap();
    assert_eq!(created["ca_sha256"], *plain);
    assert!(!fleet.dir().join("ca.key").exists());
}

/// With the pinned CA alone, as devices do, and with the company's root, as everybody else does.
fn openssl_accepts_the_chain(fleet: &Fleet, certificate: &Path, purpose: &str) {
    let ca = fleet.dir().join("ca.pem");
    let root = fleet.pki("root.pem");
    let how = ["verify", "-x509_strict", "-purpose", purpose].map(OsStr::new);
    let pinned = words!["-partial_chain", "-CAfile", &ca, certificate];
    let rooted = words!["-CAfile", &root, "-untrusted", &ca, certificate];
    for trust in [&pinned[..], &rooted[..]] {
        openssl(&[&how[..], trust].concat(), &fleet.dir());
    }
}

fn the_certificate_names_the_device_and_its_x25519_key(device: &Device, id: &str) {
    let certificate = device.certificate();
    let shown = openssl(&words!["x509", "-noout", "-text", "-in", &certificate], &device.dir);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains(&format!("URI:spiffe://example/device/{id}, URI:x25519:")), "{text}");
    assert!(!text.contains("TLS Web Server"), "{text}");
}

fn an_aggregator_gets_its_certificate_too(fleet: &Fleet) {
    let dir = fleet.pki("aggregator");
    fs::create_dir(&dir).unwrap();
    let (url, ca, token) = (fleet.url(), fleet.dir().join("ca.pem"), fleet.token("aggregator"));
    let arguments =
        words!["init", "--authority", &url, "--authority-ca", &ca, "--token-file", &token];
    let aggregator = program("sealsum-aggregator");
    sealsum_demo::command::run(&aggregator, &dir, &arguments)
        .unwrap_or_else(|error| panic!("{error}\n{}", fleet.log()));
    let mut found = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let certificate = found.find(|path| {
        fs::read_to_string(path).is_ok_and(|text| text.starts_with("-----BEGIN CERTIFICATE"))
            && fs::read(path).unwrap() != fs::read(&ca).unwrap()
    });
    openssl_accepts_the_chain(fleet, &certificate.unwrap(), "sslserver");
}

fn the_wrapped_secret_survives_a_restart(fleet: &mut Fleet) {
    let wrapping_token = fs::read_to_string(fleet.pki("secret-id")).unwrap();
    let kept = fleet.dir().join("vault-secret-id");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fleet.log().contains(wrapping_token.trim()), "a secret is in the log");
    let logins = fleet.log().matches("logged in to Vault").count();
    fleet.stop();
    fleet.start();
    assert_eq!(fleet.log().matches("logged in to Vault").count(), logins + 1);
}

fn the_crl_shows_it(fleet: &Fleet, device: &Device) {
    let crl = fleet.bao.get("sealsum/crl/pem");
    fs::write(fleet.pki("crl.pem"), crl).unwrap();
    let ca = fleet.dir().join("ca.pem");
    let output = std::process::Command::new("openssl")
        .args(["verify", "-crl_check", "-partial_chain", "-CRLfile", "crl.pem", "-CAfile"])
        .arg(&ca)
        .arg(device.certificate())
        .current_dir(fleet.pki(""))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("certificate revoked"), "{errors}");
}
