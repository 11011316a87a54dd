//! Makers of software TPMs: a certificate authority and chips with EK certificates.

use crate::swtpm::{INSTALL, SoftwareTpm};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A certificate authority of `swtpm_localca` (a root and one intermediate, RSA) and the TPMs it
/// vouched for. Each TPM has EK certificates for RSA-2048 and P-384.
#[derive(Debug)]
pub struct Manufacturer {
    directory: PathBuf,
}

impl Manufacturer {
    /// A manufacturer that lives in `directory`, made if it is not there, and stays.
    pub fn in_directory(directory: &Path) -> Self {
        fs::create_dir_all(directory)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        let directory = directory.canonicalize().expect("the directory was just made");
        Self { directory }
    }

    /// The manufacturer of that name that all tests of one build share. Its TPMs are made once
    /// and kept with the build, so that a test costs a copy.
    pub fn shared(name: &str) -> Self {
        Self::in_directory(&build_directory().join("tmp/software-tpms").join(name))
    }

    /// The root and the intermediate certificate, PEM files. There once a TPM was made.
    pub fn anchors(&self) -> [PathBuf; 2] {
        [self.root(), self.intermediate()]
    }

    /// The self-signed root certificate, a PEM file.
    pub fn root(&self) -> PathBuf {
        self.directory.join("ca/swtpm-localca-rootca-cert.pem")
    }

    /// The certificate that signed the EK certificates, a PEM file.
    pub fn intermediate(&self) -> PathBuf {
        self.directory.join("ca/issuercert.pem")
    }

    /// The state directory of the TPM called `name`, manufactured at the first call. For use as
    /// a template or, by one process at a time, as it is. Safe to call from many threads.
    pub fn tpm(&self, name: &str) -> PathBuf {
        let finished = self.directory.join("tpms").join(name);
        if finished.is_dir() {
            return finished;
        }
        let lock = File::create(self.directory.join(format!("{name}.lock")))
            .expect("a lock file can be made");
        lock.lock().expect("a lock file can be locked");
        if !finished.is_dir() {
            self.manufacture(name, &finished);
        }
        finished
    }

    fn manufacture(&self, name: &str, finished: &Path) {
        self.make_authority();
        let making = self.directory.join("making").join(name);
        let _ = fs::remove_dir_all(&making);
        fs::create_dir_all(&making).expect("a directory can be made");
        self.run_setup(&making);
        fs::create_dir_all(self.directory.join("tpms")).expect("a directory can be made");
        fs::rename(&making, finished).expect("a finished TPM can be moved into its place");
    }

    /// Makes the certificate authority before the first TPM: swtpm_localca would make it by
    /// itself, and leave half of it behind when killed.
    fn make_authority(&self) {
        let lock = File::create(self.directory.join("ca.lock")).expect("a lock file can be made");
        lock.lock().expect("a lock file can be locked");
        if self.directory.join("ca").is_dir() {
            return;
        }
        let making = self.directory.join("ca.making");
        let _ = fs::remove_dir_all(&making);
        fs::create_dir_all(&making).expect("a directory can be made");
        let first = making.join("first");
        fs::create_dir_all(&first).expect("a directory can be made");
        setup(&making, &first);
        fs::remove_dir_all(&first).expect("the TPM that only served to make the authority goes");
        fs::rename(&making, self.directory.join("ca")).expect("the authority moves into place");
    }

    fn run_setup(&self, state: &Path) {
        setup(&self.directory.join("ca"), state);
    }
}

/// Hands out running TPMs, each a different chip. One per test: what two factories of the same
/// manufacturer hand out are copies of the same chips, in the same order.
#[derive(Debug)]
pub struct TpmFactory {
    manufacturer: Manufacturer,
    made: AtomicUsize,
}

impl TpmFactory {
    /// The manufacturer that tests trust.
    pub fn trusted() -> Self {
        Self::of(Manufacturer::shared("trusted"))
    }

    /// Another, independent manufacturer.
    pub fn foreign() -> Self {
        Self::of(Manufacturer::shared("foreign"))
    }

    /// TPMs of `manufacturer`.
    pub fn of(manufacturer: Manufacturer) -> Self {
        Self { manufacturer, made: AtomicUsize::new(0) }
    }

    /// The next TPM, running: no other that this factory handed out has its EK.
    pub fn tpm(&self) -> SoftwareTpm {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        SoftwareTpm::from_template(&self.manufacturer.tpm(&format!("tpm-{number:03}")))
    }

    /// Who makes them.
    pub fn manufacturer(&self) -> &Manufacturer {
        &self.manufacturer
    }

    /// Shorthand for [`Manufacturer::anchors`], there once a TPM was made.
    pub fn anchors(&self) -> [PathBuf; 2] {
        self.manufacturer.anchors()
    }
}

/// Copies the files of a TPM's state, which has no directories.
pub(crate) fn copy_state(from: &Path, to: &Path) {
    let entries = fs::read_dir(from)
        .unwrap_or_else(|error| panic!("no TPM state in {}: {error}", from.display()));
    for entry in entries {
        let path = entry.expect("a directory can be read").path();
        if path.extension().is_some_and(|kind| kind == OsStr::new("permall")) {
            let name = path.file_name().expect("a listed file has a name");
            fs::copy(&path, to.join(name)).expect("a state file can be copied");
        }
    }
}

/// Runs swtpm_setup for the new TPM in `state`, with the certificate authority in `authority`.
fn setup(authority: &Path, state: &Path) {
    let local_ca = state.join("localca.conf");
    let ca = authority.display();
    write(
        &local_ca,
        &format!(
            "statedir = {ca}\nsigningkey = {ca}/signkey.pem\n\
             issuercert = {ca}/issuercert.pem\ncertserial = {ca}/certserial\n"
        ),
    );
    let options = state.join("localca.options");
    write(
        &options,
        "--platform-manufacturer sealsum\n--platform-version 1\n--platform-model test\n",
    );
    let configuration = state.join("setup.conf");
    write(
        &configuration,
        &format!(
            "create_certs_tool = {}\ncreate_certs_tool_config = {}\n\
             create_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
            find_program("swtpm_localca").display(),
            local_ca.display(),
            options.display()
        ),
    );
    let output = Command::new("swtpm_setup")
        .current_dir(state)
        .args(["--tpm2", "--tpmstate", "dir://.", "--create-ek-cert", "--create-platform-cert"])
        .args(["--lock-nvram", "--overwrite", "--config"])
        .arg(&configuration)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("swtpm_setup: {error}. Try: {INSTALL}"));
    assert!(
        output.status.success(),
        "swtpm_setup failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn find_program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is missing. Try: {INSTALL}"))
}

/// Cargo's target directory of the running test, found by the tag that cargo puts there.
fn build_directory() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .unwrap_or_else(|| panic!("{} is not in a cargo target directory", program.display()))
        .to_path_buf()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
