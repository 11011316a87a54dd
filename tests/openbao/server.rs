//! One OpenBao server on loopback, over TLS, with its data on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sealsum_test_support::Process;
use sealsum_tests::peer;
use serde_json::Value;

/// A started server takes less than four seconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server and the operator's secrets; ends with its guard.
pub struct OpenBao {
    folder: PathBuf,
    port: u16,
    unseal_key: String,
    root_token: String,
    process: Process,
}

impl OpenBao {
    /// A new server, initialised and unsealed, that keeps everything in `folder`.
    pub fn start(folder: &Path) -> Self {
        let ports = free_ports();
        make_certificate(folder);
        fs::create_dir(folder.join("data")).unwrap();
        fs::write(folder.join("bao.hcl"), configuration(folder, ports)).unwrap();
        let mut server = Self {
            folder: folder.to_owned(),
            port: ports[0],
            unseal_key: String::new(),
            root_token: String::new(),
            process: spawn(folder),
        };
        server.initialise();
        server.unseal();
        server
    }

    fn initialise(&mut self) {
        self.wait_for(|health| health["initialized"] == false);
        let one = ["operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"];
        let secrets: Value = serde_json::from_str(&self.run(&one)).unwrap();
        self.unseal_key = secrets["unseal_keys_b64"][0].as_str().unwrap().to_owned();
        self.root_token = secrets["root_token"].as_str().unwrap().to_owned();
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate it shows, to be trusted as it is.
    pub fn tls_certificate(&self) -> PathBuf {
        self.folder.join("tls.pem")
    }

    /// What the operator types after `bao`; gives what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(peer("bao")).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bao {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program in the operator's environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("BAO_ADDR", self.url())
            .env("BAO_CACERT", self.tls_certificate())
            .env("BAO_TOKEN", &self.root_token)
            .env("HOME", &self.folder)
            .stdin(Stdio::null());
        command
    }

    /// It answers everything with 503 from here on.
    pub fn seal(&self) {
        self.run(&["operator", "seal"]);
    }

    /// It answers again, once this returns.
    pub fn unseal(&self) {
        self.run(&["operator", "unseal", &self.unseal_key]);
        self.wait_for(|health| health["sealed"] == false && health["standby"] == false);
    }

    /// Ends the process, as a power cut does. Nobody listens on its port any more.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts the stopped process again, on the same port and data, and unseals it.
    pub fn restart(&mut self) {
        self.stop();
        self.process = spawn(&self.folder);
        self.wait_for(|health| health["sealed"] == true);
        self.unseal();
    }

    /// What anybody gets at this path of the API; empty when it does not answer.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let output = self
            .command("curl")
            .args(["--silent", "--cacert"])
            .arg(self.tls_certificate())
            .arg(format!("{}/v1/{path}", self.url()))
            .output()
            .unwrap();
        output.stdout
    }

    /// `sys/health`; null when it does not answer.
    fn health(&self) -> Value {
        serde_json::from_slice(&self.get("sys/health")).unwrap_or(Value::Null)
    }

    fn wait_for(&self, condition: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        while !condition(&self.health()) {
            assert!(started.elapsed() < PATIENCE, "{}", self.process.log_text());
            sleep(Duration::from_millis(50));
        }
    }
}

fn spawn(folder: &Path) -> Process {
    let mut command = Command::new(peer("bao"));
    command.arg("server").arg("-config").arg(folder.join("bao.hcl")).env("HOME", folder);
    Process::start(command, folder.join("bao.log"))
}

fn configuration(folder: &Path, [port, cluster_port]: [u16; 2]) -> String {
    let folder = folder.display();
    format!(
        r#"
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
storage "raft" {{
  path = "{folder}/data"
  node_id = "one"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = "{folder}/tls.pem"
  tls_key_file = "{folder}/tls.key"
}}
"#
    )
}

/// Self-signed, of a server and not of a CA: what is pinned is this server.
fn make_certificate(folder: &Path) {
    let settings = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = server\n\
                    [name]\nCN = OpenBao\n\
                    [server]\nbasicConstraints = critical,CA:FALSE\n\
                    subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth\n";
    fs::write(folder.join("tls.cnf"), settings).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-config", "tls.cnf", "-keyout", "tls.key", "-out", "tls.pem"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl makes no certificate");
}

/// Ports that nobody listens on.
fn free_ports() -> [u16; 2] {
    let bound = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port())
}
