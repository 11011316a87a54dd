//! A fleet whose authority asks OpenBao, all of it as docs/operating.md says.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sealsum_demo::command::{self, Refusal};
use sealsum_demo::words;
use sealsum_test_support::{Process, SoftwareTpm, TpmFactory};
use sealsum_tests::{peer, program, repository};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::OpenBao;

/// What a busy machine may take for anything that is awaited.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Nobody listens on the port that RFC 1078 took.
const NOBODY: &str = "https://127.0.0.1:1";

/// The company's PKI and the authority of the fleet `example` on it.
pub struct Fleet {
    authority: Option<Process>,
    pub bao: OpenBao,
    factory: TpmFactory,
    ports: [u16; 2],
    // Last: the processes are gone before their files.
    directory: TempDir,
}

/// A device: its TPM and its directory.
pub struct Device {
    tpm: SoftwareTpm,
    pub dir: PathBuf,
}

impl Fleet {
    /// The PKI is set up and the authority initialised and running.
    pub fn new() -> Self {
        let mut fleet = Self::prepared();
        fleet.init(&[OsStr::new("--ca-sha256"), fleet.fingerprint().as_ref()]).unwrap();
        fleet.start();
        fleet
    }

    /// The PKI is set up, and nothing else.
    pub fn prepared() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for folder in ["bao", "authority", "pki"] {
            fs::create_dir(path.join(folder)).unwrap();
        }
        let factory = TpmFactory::trusted();
        // The maker's certificates exist once it made a TPM.
        drop(factory.tpm());
        let bao = OpenBao::start(&path.join("bao"));
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|listener| listener.local_addr().unwrap().port());
        let fleet = Self { authority: None, bao, factory, ports, directory };
        fleet.set_up_pki();
        fleet
    }

    /// The company has a root; the rest is what the document tells whoever runs the PKI.
    fn set_up_pki(&self) {
        self.bao.run(&["secrets", "enable", "pki"]);
        self.bao.run(&["secrets", "tune", "-max-lease-ttl=87600h", "pki"]);
        let root = ["write", "-field=certificate", "pki/root/generate/internal"];
        let settings = ["common_name=Example root", "ttl=87600h", "key_type=ec", "key_bits=384"];
        let root = self.bao.run(&[&root[..], &settings[..]].concat());
        fs::write(self.pki("root.pem"), root).unwrap();
        let script = format!("set -eu\n{}", documented("bao secrets enable -path=sealsum"));
        let path = format!(
            "{}:{}",
            peer("bao").parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let output = self
            .bao
            .command("sh")
            .args(["-c", &script])
            .env("PATH", path)
            .current_dir(self.pki(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        self.write_settings();
    }

    /// `vault.toml` and the files it names.
    fn write_settings(&self) {
        let role_id = fs::read_to_string(self.pki("role-id")).unwrap();
        let secret_id = self.pki("secret-id");
        self.give_secret(&fs::read_to_string(&secret_id).unwrap());
        let mut text = documented("url = ");
        for (shown, real) in [
            ("https://vault.example.com:8200", self.bao.url()),
            ("/etc/sealsum/vault-tls.pem", self.bao.tls_certificate().display().to_string()),
            ("the text of role-id", role_id),
            // Relative to the file that names it.
            ("/etc/sealsum/secret-id", "secret-id".into()),
        ] {
            assert!(text.contains(shown), "{shown} is not in the document");
            text = text.replace(shown, &real);
        }
        fs::write(self.pki("vault.toml"), text).unwrap();
    }

    /// Puts another secret id, or wrapping token, where the authority looks for it.
    pub fn give_secret(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.pki("secret-id");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A file of the people who run the PKI.
    pub fn pki(&self, name: &str) -> PathBuf {
        self.directory.path().join("pki").join(name)
    }

    /// SHA-256 of the issuing CA as openssl prints it.
    pub fn fingerprint(&self) -> String {
        let shown = openssl(
            &["x509", "-noout", "-fingerprint", "-sha256", "-in", "sealsum.pem"],
            &self.pki(""),
        );
        let text = String::from_utf8(shown.stdout).unwrap();
        text.trim().rsplit_once('=').unwrap().1.to_owned()
    }

    /// `init --vault`.
    pub fn init(&self, more: &[&OsStr]) -> Result<Value, Refusal> {
        let [root, intermediate] = self.factory.anchors();
        let vault = self.pki("vault.toml");
        let fixed = words![
            "init",
            "--fleet",
            "example",
            "--tpm-roots",
            &root,
            "--tpm-roots",
            &intermediate,
            "--vault",
            &vault
        ];
        self.authority(&[&fixed[..], more].concat())
    }

    pub fn authority<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Value, Refusal> {
        command::run(&program("sealsum-authority"), &self.dir(), arguments)
    }

    /// The authority's directory.
    pub fn dir(&self) -> PathBuf {
        self.directory.path().join("authority")
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[0])
    }

    pub fn start(&mut self) {
        let ready = self.directory.path().join("ready");
        let _ = fs::remove_file(&ready);
        let mut process = self.spawn(&ready);
        process.wait_ready(&ready, PATIENCE);
        self.authority = Some(process);
    }

    /// Starts the authority without waiting for it.
    pub fn spawn(&self, ready_file: &Path) -> Process {
        let [port, health] = self.ports;
        let mut command = Command::new(program("sealsum-authority"));
        command
            .args(["run", "--dir"])
            .arg(self.dir())
            .arg("--ready-file")
            .arg(ready_file)
            .env("SEALSUM_AUTHORITY_LISTEN", format!("127.0.0.1:{port}"))
            .env("SEALSUM_AUTHORITY_HEALTH__LISTEN", format!("127.0.0.1:{health}"));
        Process::start(command, self.directory.path().join("authority.log"))
    }

    pub fn stop(&mut self) {
        self.authority = None;
    }

    /// What the authority wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("authority.log")).unwrap()
    }

    /// Waits until `/readyz` gives reasons that `wanted` likes; none when it is ready.
    #[track_caller]
    pub fn await_readiness(&self, wanted: impl Fn(&[String]) -> bool) {
        let started = Instant::now();
        loop {
            let reasons = self.readiness();
            if reasons.as_deref().is_some_and(&wanted) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{reasons:?}\n{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    fn readiness(&self) -> Option<Vec<String>> {
        let url = format!("http://127.0.0.1:{}/readyz", self.ports[1]);
        let output = Command::new("curl").args(["--silent", &url]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        serde_json::from_value(answer["reasons"].clone()).ok()
    }

    /// A file with a new token.
    pub fn token(&self, role: &str) -> PathBuf {
        let created = self.authority(&["token", "create", "--role", role]).unwrap();
        let file = tempfile::NamedTempFile::new_in(self.directory.path()).unwrap();
        fs::write(file.path(), created["token"].as_str().unwrap()).unwrap();
        file.into_temp_path().keep().unwrap()
    }

    /// A device that has not enrolled.
    pub fn device(&self, name: &str) -> Device {
        let dir = self.directory.path().join(name);
        fs::create_dir(&dir).unwrap();
        Device { tpm: self.factory.tpm(), dir }
    }

    pub fn enrol(&self, device: &Device, token: &Path) -> Result<Value, Refusal> {
        let (ca, tcti, url) = (self.dir().join("ca.pem"), device.tpm.tcti(), self.url());
        device.run(&words![
            "enroll",
            "--authority",
            &url,
            "--authority-ca",
            &ca,
            "--aggregator",
            NOBODY,
            "--token-file",
            token,
            "--tpm",
            &tcti
        ])
    }

    /// A device that has enrolled, and its id.
    pub fn enrolled(&self, name: &str) -> (Device, String) {
        let device = self.device(name);
        let enrolled = self.enrol(&device, &self.token("device"));
        let enrolled = enrolled.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        (device, enrolled["device"].as_str().unwrap().to_owned())
    }

    /// The device's newest certificate as Vault knows it.
    pub fn at_the_ca(&self, device: &str) -> Value {
        let shown = self.authority(&["device", "show", device]).unwrap();
        let serial = colons(shown["certificate"]["serial"].as_str().unwrap());
        let path = format!("sealsum/cert/{serial}");
        let answer: Value =
            serde_json::from_str(&self.bao.run(&["read", "-format=json", &path])).unwrap();
        answer["data"].clone()
    }

    /// Waits until the authority has renewed this token of Vault's.
    #[track_caller]
    pub fn await_renewal(&self, token: &str) {
        let started = Instant::now();
        loop {
            let text = self.bao.run(&["token", "lookup", "-format=json", token]);
            let state: Value = serde_json::from_str(&text).unwrap();
            if state["data"]["last_renewal_time"].is_u64() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{}", self.log());
            sleep(Duration::from_millis(500));
        }
    }

    /// Waits until Vault says that the device's certificate is revoked.
    #[track_caller]
    pub fn await_revocation(&self, device: &str) {
        let started = Instant::now();
        while self.at_the_ca(device)["revocation_time"].as_u64() == Some(0) {
            assert!(started.elapsed() < PATIENCE, "{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }
}

impl Device {
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Value, Refusal> {
        command::run(&program("sealsum-agent"), &self.dir, arguments)
    }

    /// Its certificate, a PEM file.
    pub fn certificate(&self) -> PathBuf {
        let identity = fs::read(self.dir.join("state/identity.json")).unwrap();
        let identity: Value = serde_json::from_slice(&identity).unwrap();
        let path = self.dir.join("certificate.pem");
        fs::write(&path, identity["certificate"].as_str().unwrap()).unwrap();
        path
    }
}

/// The fenced block of docs/operating.md that begins with these words.
fn documented(beginning: &str) -> String {
    let text = fs::read_to_string(repository().join("docs/operating.md")).unwrap();
    let mut blocks = text.split("```").skip(1).step_by(2);
    let block = blocks.find_map(|block| {
        let (_, body) = block.split_once('\n')?;
        body.starts_with(beginning).then(|| body.to_owned())
    });
    block.unwrap_or_else(|| panic!("no block of the document begins with {beginning}"))
}

/// `0a0b` as `0a:0b`.
pub fn colons(hex: &str) -> String {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let pairs: Vec<_> = pairs.skip_while(|pair| *pair == "00").collect();
    pairs.join(":")
}

/// openssl in a folder.
pub fn openssl<S: AsRef<OsStr>>(arguments: &[S], folder: &Path) -> Output {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}
