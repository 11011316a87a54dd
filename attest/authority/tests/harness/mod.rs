//! An authority on real HTTPS with a clock that a test can move, and devices whose TPM is
//! software. Shared by several test targets, none of which uses all of it.
#![allow(dead_code, unreachable_pub, reason = "each test target uses another part")]

pub mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use sealsum_attest::binding::{Renewal, prove_possession};
use sealsum_attest::certificate::{FleetCa, Identity, chain_from_pem};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{
    Bytes, EnrolChallenge, EnrolGrant, Fixed, PROTOCOL_VERSION, PcrValues, RenewAnswer,
    RenewChallenge, RenewRequest, RotateAnswer, RotateChallenge,
};
use sealsum_attest::status::StatusList;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_authority::admin::{self, CreateToken, Token};
use sealsum_authority::authority::Authority;
use sealsum_authority::config::Config;
use sealsum_authority::devices::{DeviceView, Reason};
use sealsum_authority::http::Clock;
use sealsum_authority::policy::{Applied, Baselines, PolicySource};
use sealsum_authority::store::RoleKind;
use sealsum_authority::{http, run, setup};
use sealsum_daemon::http::{Connections, Limits, UnixClient, UnixSocket, serve_tls, serve_unix};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::{Failure, Program};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::common::device::key_pair;
use crate::common::{Device, Vendor, rng};

/// A running authority; everything ends with it.
pub struct Fleet {
    pub vendor: Vendor,
    pub authority: Arc<Authority>,
    https: Https,
    directory: TempDir,
    ahead_s: Arc<AtomicI64>,
    shutdown: Shutdown,
    runtime: Runtime,
}

/// A client of an authority.
pub struct Https {
    pub address: SocketAddr,
    /// `ca.pem`.
    pub ca: PathBuf,
}

impl Https {
    pub fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.send(path, &serde_json::to_vec(body).unwrap(), None).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(self.agent(None).get(self.url(path)).call().unwrap())
    }

    pub fn get_as(&self, client: &ClientCert, path: &str) -> Answer {
        answer(self.agent(Some(client)).get(self.url(path)).call().unwrap())
    }

    pub fn send(
        &self,
        path: &str,
        body: &[u8],
        client: Option<&ClientCert>,
    ) -> Result<Answer, ureq::Error> {
        self.agent(client).post(self.url(path)).send(body).map(answer)
    }

    /// First message of an enrolment.
    pub fn begin(&self, device: &Device, token: &str) -> Answer {
        let mut request = device.request();
        request.token = Some(token.to_owned());
        self.post("/v1/enroll", &request)
    }

    /// Second message, well done.
    pub fn finish(&self, device: &Device, challenge: &EnrolChallenge) -> Answer {
        let answer = device.answer(&device.request(), challenge, &self.authority_spki());
        self.post(&format!("/v1/enroll/{}", challenge.session), &answer)
    }

    /// A whole enrolment that must work.
    pub fn enrol(&self, device: &Device, token: &str) -> EnrolGrant {
        let challenge = self.begin(device, token).parsed();
        self.finish(device, &challenge).parsed()
    }

    /// SHA-256 of the authority's public key, from the certificate that its status list carries.
    pub fn authority_spki(&self) -> [u8; 32] {
        let list = self.get("/v1/status-list").json();
        let leaf: Bytes = serde_json::from_value(list["chain"][0].clone()).unwrap();
        Identity::parse(&leaf.0).unwrap().spki_sha256
    }

    pub fn trust(&self) -> FleetCa {
        FleetCa::from_pem(&std::fs::read_to_string(&self.ca).unwrap()).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    fn agent(&self, client: Option<&ClientCert>) -> ureq::Agent {
        let root = Certificate::from_pem(&std::fs::read(&self.ca).unwrap()).unwrap();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(client.cloned())
            .unversioned_rustls_crypto_provider(sealsum_daemon::tls::provider())
            .build();
        ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into()
    }
}

/// What the authority answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn parsed<T: serde::de::DeserializeOwned>(&self) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 200, "{text}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Demands this refusal, with this number of a check.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str, check: Option<&str>) {
        let body = self.json();
        let seen = (self.status, body["code"].as_str(), body["check"].as_str());
        assert_eq!(seen, (status, Some(code), check), "{body}");
        for key in ["message", "hint"] {
            assert!(!body[key].as_str().unwrap().is_empty(), "{body}");
        }
    }
}

impl Fleet {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a configuration that `change` changed.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(change, |policy| policy)
    }

    /// With a policy that `edit` edited.
    pub fn with_policy(edit: impl FnOnce(String) -> String) -> Self {
        Self::made(|_| {}, edit)
    }

    fn made(change: impl FnOnce(&mut Config), edit: impl FnOnce(String) -> String) -> Self {
        let vendor = Vendor::new("vendor");
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root.der");
        std::fs::write(&root, &vendor.root).unwrap();
        let dir = directory.path().join("authority");
        let path = dir.join("authority.toml");
        let fleet = "demo".parse().unwrap();
        setup::init(&path, Some(&dir), fleet, &[root], Timestamp::now()).unwrap();
        let mut config = Config::load(&path).unwrap();
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let fleet = Self::start(vendor, directory, config, runtime);
        fleet.apply_policy(|text| edit(for_software_devices(text))).unwrap();
        fleet
    }

    fn start(vendor: Vendor, directory: TempDir, config: Config, runtime: Runtime) -> Self {
        let socket = config.socket.clone();
        let authority = Arc::new(Authority::open(config, Timestamp::now()).unwrap());
        let ahead_s = Arc::new(AtomicI64::new(0));
        let shutdown = Shutdown::new();
        let address = runtime.block_on(serve(&authority, &socket, clock(&ahead_s), &shutdown));
        let https = Https { address, ca: directory.path().join("authority/ca.pem") };
        Self { vendor, authority, https, directory, ahead_s, shutdown, runtime }
    }

    pub fn dir(&self) -> PathBuf {
        self.directory.path().join("authority")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.https.address
    }

    /// `ca.pem`.
    pub fn ca(&self) -> PathBuf {
        self.https.ca.clone()
    }

    /// Moves the authority's clock.
    pub fn advance(&self, seconds: i64) {
        self.ahead_s.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        clock(&self.ahead_s)()
    }

    pub fn device(&self, seed: u64) -> Device {
        Device::new(&self.vendor, EkAlgorithm::P256, &mut rng(seed))
    }

    pub fn trust(&self) -> FleetCa {
        self.https.trust()
    }

    // The operator's side.

    pub fn admin(&self) -> UnixClient {
        UnixClient::new(Program::Authority, self.dir().join("admin.sock"))
    }

    pub fn token(&self) -> String {
        self.token_with(|_| {})
    }

    pub fn token_with(&self, change: impl FnOnce(&mut CreateToken)) -> String {
        let role = RoleKind::Device;
        let mut wanted = CreateToken { role, ttl_s: 600, uses: 1, ek_sha256: None, name: None };
        change(&mut wanted);
        let token: Token =
            self.runtime.block_on(self.admin().call(Method::POST, "/v1/tokens", &wanted)).unwrap();
        token.token
    }

    pub fn show(&self, device: &DeviceId) -> DeviceView {
        self.runtime.block_on(self.admin().get(&format!("/v1/devices/{device}"))).unwrap()
    }

    pub fn revoke(&self, device: &DeviceId) -> DeviceView {
        let path = format!("/v1/devices/{device}/revoke");
        let body = admin::Revoke { reason: Reason::Stolen };
        self.runtime.block_on(self.admin().call(Method::POST, &path, &body)).unwrap()
    }

    /// Edits the policy file and applies it, as `policy apply` does.
    pub fn apply_policy(&self, edit: impl FnOnce(String) -> String) -> Result<Applied, Failure> {
        let path = self.dir().join("policy.toml");
        let text = edit(std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        let source = PolicySource::read(&path)?;
        self.runtime.block_on(self.admin().call(Method::POST, "/v1/policy", &source))
    }

    pub fn baselines(&self) -> Baselines {
        self.runtime.block_on(self.admin().get("/v1/policy/baselines")).unwrap()
    }

    pub fn admin_get(&self, path: &str) -> Value {
        self.runtime.block_on(self.admin().get(path)).unwrap()
    }

    // The devices' side.

    pub fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.https.post(path, body)
    }

    pub fn post_as(&self, client: &ClientCert, path: &str, body: &impl Serialize) -> Answer {
        self.https.send(path, &serde_json::to_vec(body).unwrap(), Some(client)).unwrap()
    }

    pub fn send(&self, path: &str, body: &[u8]) -> Answer {
        self.https.send(path, body, None).unwrap()
    }

    /// Demands that the connection breaks in the handshake.
    pub fn gets_no_answer_as(&self, client: &ClientCert, path: &str) {
        if let Ok(answer) = self.https.send(path, b"{}", Some(client)) {
            panic!("{answer:?}");
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.https.get(path)
    }

    pub fn get_as(&self, client: &ClientCert, path: &str) -> Answer {
        self.https.get_as(client, path)
    }

    /// What the log says of one type, oldest first.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let registry = rusqlite::Connection::open(self.dir().join("registry.db")).unwrap();
        let mut rows = registry.prepare("SELECT entry FROM log ORDER BY position").unwrap();
        let entries = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        entries
            .map(|entry| serde_json::from_slice::<Value>(&entry.unwrap()).unwrap())
            .filter(|entry| entry["type"] == kind)
            .collect()
    }

    pub fn status_list(&self, last_number: Option<u64>) -> StatusList {
        let list = self.get("/v1/status-list").body;
        StatusList::verify(&list, &self.trust(), self.now(), last_number).unwrap()
    }

    pub fn begin(&self, device: &Device, token: &str) -> Answer {
        self.https.begin(device, token)
    }

    pub fn finish(&self, device: &Device, challenge: &EnrolChallenge) -> Answer {
        self.https.finish(device, challenge)
    }

    /// A whole enrolment that must work, with a new token.
    pub fn enrol(&self, device: &Device) -> EnrolGrant {
        self.enrol_with(device, &self.token())
    }

    pub fn enrol_with(&self, device: &Device, token: &str) -> EnrolGrant {
        self.https.enrol(device, token)
    }

    pub fn authority_spki(&self) -> [u8; 32] {
        self.https.authority_spki()
    }

    pub fn renewal_challenge(&self, client: &ClientCert) -> Answer {
        self.post_as(
            client,
            "/v1/renew",
            &json!({"step": "challenge", "protocol": PROTOCOL_VERSION}),
        )
    }

    pub fn rotation_challenge(&self, client: &ClientCert, new: &Device) -> Answer {
        let request = RenewRequest::Rotate {
            protocol: PROTOCOL_VERSION,
            dk_public: new.dk_public.to_bytes().into(),
            x25519_public: Fixed(new.x25519_public()),
        };
        self.post_as(client, "/v1/renew", &request)
    }

    /// The good answer to a rotation's challenge.
    pub fn rotation(
        &self,
        new: &Device,
        grant: &EnrolGrant,
        challenge: &RotateChallenge,
    ) -> RotateAnswer {
        let (csr, x25519, nonce) = (new.csr(), new.x25519_public(), &challenge.renewal.nonce.0);
        let dk_name = new.dk_public.name().unwrap();
        let transcript = Renewal {
            nonce,
            device: &grant.device,
            dk_name: &dk_name,
            x25519_public: &x25519,
            old_serial: &identity(grant).serial,
            csr: &csr,
        }
        .rotation(&challenge.x25519_challenge.0);
        let (quote_attest, quote_signature) = new.quote(&transcript.quote_data());
        let (certify_attest, certify_signature) = new.certify(&transcript.certify_data(), &dk_name);
        let ephemeral = &challenge.x25519_challenge.0;
        let proof = prove_possession(&new.x25519, ephemeral, nonce, &transcript).unwrap();
        RotateAnswer {
            renewal: RenewAnswer {
                session: challenge.renewal.session,
                quote_attest: quote_attest.into(),
                quote_signature: quote_signature.into(),
                pcrs: new.pcrs.clone(),
                csr: csr.into(),
                ledger_head: None,
            },
            certify_attest: certify_attest.into(),
            certify_signature: certify_signature.into(),
            x25519_proof: Fixed(proof),
        }
    }

    pub fn rotation_answer(&self, client: &ClientCert, answer: &RotateAnswer) -> Answer {
        let request = RenewRequest::RotateAnswer(Box::new(answer.clone()));
        self.post_as(client, "/v1/renew", &request)
    }

    pub fn renewal_answer(
        &self,
        client: &ClientCert,
        device: &Device,
        grant: &EnrolGrant,
        challenge: &RenewChallenge,
    ) -> Answer {
        let answer = renewal(device, grant, challenge);
        let mut body = serde_json::to_value(&answer).unwrap();
        body["step"] = "answer".into();
        self.post_as(client, "/v1/renew", &body)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// The policy that `init` wrote, for devices whose endorsement key is P-256.
pub fn for_software_devices(policy: String) -> String {
    policy.replace("rsa2048\"  ", "p256\"  ").replace("pcrs = [7]", "pcrs = [0, 7]")
}

/// The certificate of a grant with the key behind it, for mutual TLS.
pub fn client(device: &Device, grant: &EnrolGrant) -> ClientCert {
    client_with(&grant.certificate, &key_pair(&device.dk).serialize_pem())
}

pub fn client_with(certificate_pem: &str, key_pem: &str) -> ClientCert {
    let chain = chain_from_pem(certificate_pem).unwrap();
    let certificate = Certificate::from_der(&chain[0]).to_owned();
    ClientCert::new_with_certs(&[certificate], PrivateKey::from_pem(key_pem.as_bytes()).unwrap())
}

pub fn identity(grant: &EnrolGrant) -> Identity {
    Identity::parse(&chain_from_pem(&grant.certificate).unwrap()[0]).unwrap()
}

/// The good answer to a renewal's challenge.
pub fn renewal(device: &Device, grant: &EnrolGrant, challenge: &RenewChallenge) -> RenewAnswer {
    let identity = identity(grant);
    let (csr, x25519) = (device.csr(), device.x25519_public());
    let dk_name = device.dk_public.name().unwrap();
    let renewal = Renewal {
        nonce: &challenge.nonce.0,
        device: &grant.device,
        dk_name: &dk_name,
        x25519_public: &x25519,
        old_serial: &identity.serial,
        csr: &csr,
    };
    let blank = RenewAnswer {
        session: challenge.session,
        quote_attest: Bytes::default(),
        quote_signature: Bytes::default(),
        pcrs: PcrValues::default(),
        csr: Bytes(csr.clone()),
        ledger_head: None,
    };
    device.renew(&renewal, blank)
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let body = response.body_mut().read_to_vec().unwrap();
    Answer { status: response.status().as_u16(), body }
}

fn clock(ahead_s: &Arc<AtomicI64>) -> Clock {
    let ahead_s = Arc::clone(ahead_s);
    Arc::new(move || Timestamp::now() + SignedDuration::from_secs(ahead_s.load(Ordering::SeqCst)))
}

async fn serve(
    authority: &Arc<Authority>,
    socket: &Path,
    clock: Clock,
    shutdown: &Shutdown,
) -> SocketAddr {
    let listener = sealsum_daemon::http::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = admin::router(Arc::clone(authority), Arc::clone(&clock), address);
    let socket = UnixSocket::bind(socket, 0o600).unwrap();
    let limits = Limits::default();
    tokio::spawn(serve_unix(socket, admin, limits, shutdown.clone()));
    tokio::spawn(serve_tls(
        listener,
        run::tls_config(authority).unwrap(),
        http::router(Arc::clone(authority), clock),
        limits,
        Connections::default(),
        shutdown.clone(),
    ));
    address
}
