//! A device that is none of ours: `foreign_device.sh` enrols with curl, openssl and tpm2-tools, as
//! `docs/enrolment.md` describes it, and what it showed is judged again offline.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use sealsum_test_support::{Process, SoftwareTpm, TpmFactory};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running authority that trusts the maker of the factory's TPMs.
struct Site {
    folder: TempDir,
    factory: TpmFactory,
    listen: String,
    _process: Process,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let factory = TpmFactory::trusted();
        // The maker's certificates exist once it made a TPM.
        drop(factory.tpm());
        let dir = folder.path().join("authority");
        let [root, intermediate] = factory.anchors();
        let mut init = authority(&dir);
        init.args(["init", "--fleet", "foreign", "--tpm-roots"]).arg(root);
        succeed(init.arg("--tpm-roots").arg(intermediate));
        let ready_file = folder.path().join("ready.json");
        let mut run = authority(&dir);
        run.arg("run").arg("--ready-file").arg(&ready_file);
        run.env("SEALSUM_AUTHORITY_LISTEN", "127.0.0.1:0");
        run.env("SEALSUM_AUTHORITY_HEALTH__LISTEN", "127.0.0.1:0");
        let mut process = Process::start(run, folder.path().join("authority.log"));
        let ready = process.wait_ready(&ready_file, PATIENCE);
        let listen = ready["listen"].as_str().unwrap().to_owned();
        Self { folder, factory, listen, _process: process }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        authority(&self.path("authority"))
    }

    fn token(&self) -> PathBuf {
        let made = succeed(self.command().args(["token", "create", "--role", "device"]));
        let path = self.path("token");
        fs::write(&path, made.stdout).unwrap();
        path
    }

    /// Runs the script against this TPM, in a new directory.
    fn enrol(&self, tpm: &SoftwareTpm, token: &Path, directory: &Path) -> Output {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign_device.sh"))
            .arg(&self.listen)
            .arg(self.path("authority/ca.pem"))
            .arg(token)
            .arg(directory)
            .env("TPM2TOOLS_TCTI", tpm.tcti())
            .output()
            .unwrap()
    }

    fn show(&self, device: &str) -> Value {
        let shown = succeed(self.command().args(["device", "show", device, "--format", "json"]));
        serde_json::from_slice::<Value>(&shown.stdout).unwrap()["data"].clone()
    }
}

#[test]
fn a_foreign_device_enrols_and_enrols_again() {
    let site = Site::new();
    let tpm = site.factory.tpm();
    let enrolled = site.enrol(&tpm, &site.token(), &site.path("first"));
    assert!(enrolled.status.success(), "{}", text(&enrolled));
    let device = String::from_utf8(enrolled.stdout).unwrap().trim().to_owned();
    let shown = site.show(&device);
    assert_eq!((&shown["state"], &shown["epoch"]), (&"active".into(), &1.into()));
    assert_eq!(shown["device"], device.as_str());

    // What the authority kept of it convinces an auditor too.
    let evidence = site.path("evidence");
    succeed(site.command().args(["device", "evidence", &device, "--out"]).arg(&evidence));
    let mut verify = site.command();
    verify.args(["evidence", "verify"]).arg(&evidence);
    for anchor in site.factory.anchors() {
        verify.arg("--tpm-roots").arg(anchor);
    }
    verify.arg("--authority-ca").arg(site.path("authority/ca.pem")).args(["--format", "json"]);
    let report: Value = serde_json::from_slice(&succeed(&mut verify).stdout).unwrap();
    assert_eq!(report["data"]["device"], device.as_str());
    assert_eq!(report["data"]["software"], true);

    let again = site.enrol(&tpm, &site.token(), &site.path("second"));
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(site.show(&device)["epoch"], 2);
}

#[test]
fn a_foreign_device_hears_why_it_is_refused() {
    let site = Site::new();
    let token = site.path("wrong-token");
    fs::write(&token, "never made\n").unwrap();
    let refused = site.enrol(&site.factory.tpm(), &token, &site.path("device"));
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused));
    assert!(text(&refused).contains("(check 9)"), "{}", text(&refused));
}

fn authority(dir: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("sealsum-authority");
    if !program.exists() {
        let build = ["build", "--package", "sealsum-authority"];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    }
    let mut command = Command::new(program);
    command.arg("--dir").arg(dir);
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    output
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}
