//! What `make install` puts on a device or a server.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealsum_tests::{program, repository};
use serde_json::Value;

const PROGRAMS: [&str; 3] = ["agent", "aggregator", "authority"];

/// Highest exposure (0 to 10) that `systemd-analyze security` may find.
const EXPOSURE_LIMITS: [(&str, f64); 3] = [("agent", 2.0), ("aggregator", 1.5), ("authority", 1.5)];

fn sample(name: &str) -> PathBuf {
    repository().join(format!("packaging/config/{name}.toml"))
}

/// The exit code and the error code of `status` with this configuration.
fn status(name: &str, configuration: &Path) -> (Option<i32>, String) {
    let output = Command::new(program(&format!("sealsum-{name}")))
        .args(["status", "--format", "json", "--config"])
        .arg(configuration)
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {output:?}"));
    (output.status.code(), answer["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn every_sample_configuration_is_read() {
    let expected = [(6, "not_enrolled"), (2, "unreachable"), (2, "unreachable")];
    for (name, (exit, code)) in PROGRAMS.into_iter().zip(expected) {
        assert_eq!(status(name, &sample(name)), (Some(exit), code.into()), "{name}");
    }
}

#[test]
fn a_misspelt_key_in_a_sample_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        let text = fs::read_to_string(sample(name)).unwrap();
        let misspelt = folder.path().join(format!("{name}.toml"));
        fs::write(&misspelt, text.replacen("state_dir", "state_dri", 1)).unwrap();
        assert_eq!(status(name, &misspelt), (Some(4), "config_unknown_key".into()), "{name}");
    }
}

/// What `policy check` says of this policy beside a maker's root certificate.
fn policy_check(text: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tpm-roots")).unwrap();
    let root = repository().join("attest/tests/vectors/swtpm-root.pem");
    fs::copy(root, folder.path().join("tpm-roots/root.pem")).unwrap();
    fs::write(folder.path().join("policy.toml"), text).unwrap();
    Command::new(program("sealsum-authority"))
        .args(["policy", "check", "policy.toml", "--format", "json"])
        .current_dir(folder.path())
        .output()
        .unwrap()
}

#[test]
fn the_sample_policy_is_a_good_one() {
    let text = fs::read_to_string(sample("policy")).unwrap();
    let output = policy_check(&text);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{answer}");
    let policy = &answer["data"]["policy"];
    assert_eq!(policy["tpm_roots"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(policy["software_tpm_roots"], serde_json::json!([]));
    // Every key that there is stands in it.
    for key in policy["settings"].as_object().unwrap().keys() {
        assert!(text.contains(key.as_str()), "{key}");
    }
    let approved = text.replace("# [[pcr_baselines]]\n# 7", "[[pcr_baselines]]\n7");
    let approved = approved.replace("# \"id:49465800\"", "\"id:49465800\"");
    let approved = approved.replace("\"monitor\"", "\"enforce\"");
    assert!(policy_check(&approved).status.success());
    let misspelt = text.replace("require", "requires");
    assert_eq!(policy_check(&misspelt).status.code(), Some(4));
}

fn install(root: &Path) -> Output {
    // Built, in the profile that is installed.
    program("sealsum-agent");
    Command::new("make")
        .args(["install", "BUILD=debug"])
        .arg(format!("DESTDIR={}", root.display()))
        .current_dir(repository())
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap()
}

#[test]
fn the_installed_units_verify_and_are_hardened() {
    let folder = tempfile::tempdir().unwrap();
    let output = install(folder.path());
    assert!(output.status.success(), "{output:?}");
    for (name, limit) in EXPOSURE_LIMITS {
        let unit = installed_unit(folder.path(), name);
        let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
        assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
        let exposure = exposure(&unit);
        assert!(exposure <= limit, "{name}: exposure {exposure}, allowed {limit}");
    }
}

#[test]
fn the_load_generator_is_installed_beside_the_aggregator_without_a_unit() {
    let folder = tempfile::tempdir().unwrap();
    let output = install(folder.path());
    assert!(output.status.success(), "{output:?}");
    let tool = folder.path().join("usr/bin/sealsum-loadgen");
    let ran = Command::new(&tool).args(["--scenario", "plain", "--devices", "6"]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(said.lines().last(), Some("loadgen: 1 rounds as expected, 0 not"), "{ran:?}");
    let units: Vec<String> = fs::read_dir(folder.path().join("lib/systemd/system"))
        .unwrap()
        .map(|unit| unit.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(units.len(), PROGRAMS.len(), "{units:?}");
}

/// The installed unit with the path that its program has below the installation's root, so that
/// systemd finds what it would start.
fn installed_unit(root: &Path, name: &str) -> PathBuf {
    let unit = root.join(format!("lib/systemd/system/sealsum-{name}.service"));
    let bin = root.join("usr/bin");
    assert!(bin.join(format!("sealsum-{name}")).is_file());
    let text = fs::read_to_string(&unit).unwrap();
    let run = format!("ExecStart=/usr/bin/sealsum-{name} run");
    assert!(text.contains(&run), "{text}");
    fs::write(&unit, text.replace("/usr/bin/", &format!("{}/", bin.display()))).unwrap();
    unit
}

fn exposure(unit: &Path) -> f64 {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("Overall exposure level"));
    let words = line.unwrap_or_else(|| panic!("{output:?}")).split_whitespace();
    words.filter_map(|word| word.parse().ok()).next_back().unwrap()
}
