//! A device: the protocol's client over a real connection, with software keys instead of a TPM.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use sealsum_attest::certificate::FleetCa;
use sealsum_attest::roster_proof::RosterProof;
use sealsum_attest::status::StatusList;
use sealsum_protocol::client::{
    self, Advertised, Answers, Checking, Identity, Mark, Masking, Once, OnceCounter, RoundMarks,
    Signed,
};
use sealsum_protocol::codec::Message;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::{DeviceId, Hash, RoundId};
use sealsum_protocol::membership::{Member, Membership, MembershipError, Voucher};
use sealsum_protocol::messages::{Announcement, InboundShares, Quorum, Roster, Sharers, Survivors};
use sealsum_protocol::policy::Policy;
use sealsum_protocol::signature::PublicKey;
use sealsum_protocol::time::Now;

use crate::fleet::{FleetKeys, Leaf, Validity};
use crate::wire::{Answer, Connection, client_config};

/// One device of a fleet.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) leaf: Leaf,
    fleet: Arc<FleetKeys>,
    address: String,
    x25519: ExchangeKey,
    policy: Policy,
    rng: ChaCha20Rng,
    marks: Marks,
    once: Once<Counter>,
    pub(crate) weight: Option<f64>,
    pub(crate) connection: Connection,
}

impl Device {
    /// Number `index` of the fleet, connected.
    pub(crate) fn new(
        fleet: &Arc<FleetKeys>,
        address: &str,
        owner: PublicKey,
        index: u8,
        validity: Validity,
    ) -> Self {
        Self::with_leaf(fleet, address, owner, index, |id, x25519| {
            fleet.device(id, x25519, validity)
        })
    }

    /// One whose certificate `issue` makes.
    pub(crate) fn with_leaf(
        fleet: &Arc<FleetKeys>,
        address: &str,
        owner: PublicKey,
        index: u8,
        issue: impl FnOnce(sealsum_attest::ids::DeviceId, &[u8; 32]) -> Leaf,
    ) -> Self {
        let id = DeviceId([index; 32]);
        let mut rng = ChaCha20Rng::from_seed([index; 32]);
        let x25519 = ExchangeKey::draw(&mut rng);
        let attested = sealsum_attest::ids::DeviceId::from_bytes(id.0);
        let leaf = issue(attested, &x25519.public());
        let connection = Connection::open(address, client_config(fleet, Some(&leaf))).unwrap();
        let policy = serde_json::from_value(serde_json::json!({
            "owners": [owner], "min_contributors": 3, "allow_without_noise": ["exact"],
            "max_epsilon": 1000.0,
        }));
        Self {
            id,
            leaf,
            fleet: Arc::clone(fleet),
            address: address.to_owned(),
            x25519,
            policy: policy.unwrap(),
            rng,
            marks: Marks::default(),
            once: Once::new(Counter(0), 0),
            weight: None,
            connection,
        }
    }

    /// Is lost, as a device whose power fails.
    pub(crate) fn disconnect(&mut self) {
        self.connection.close();
    }

    /// Connects again.
    pub(crate) fn reconnect(&mut self) {
        let config = client_config(&self.fleet, Some(&self.leaf));
        self.connection = Connection::open(&self.address, config).unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.connection.request("GET", path, &[]).unwrap()
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.connection.request("POST", path, body).unwrap()
    }

    pub(crate) fn put(&mut self, path: &str, body: &[u8]) -> Answer {
        self.connection.request("PUT", path, body).unwrap()
    }

    /// Waits for a message of the aggregator.
    pub(crate) fn fetch<M: Message>(&mut self, round: RoundId, what: &str) -> M {
        let answer = self.poll(&format!("/v1/rounds/{round}/{what}?wait=20"));
        assert_eq!(answer.status, 200, "{what}: {}", String::from_utf8_lossy(&answer.body));
        M::from_bytes(&answer.body).unwrap()
    }

    /// Asks until there is something else than "later".
    pub(crate) fn poll(&mut self, path: &str) -> Answer {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(path);
            if answer.status != 204 || Instant::now() > until {
                return answer;
            }
        }
    }

    pub(crate) fn send<M: Message>(&mut self, round: RoundId, what: &str, message: &M) {
        let answer = self.post(&format!("/v1/rounds/{round}/{what}"), &message.to_bytes());
        assert_eq!(answer.status, 202, "{what}: {}", String::from_utf8_lossy(&answer.body));
    }

    /// Waits for an open round and enters it.
    pub(crate) fn enter(&mut self) -> (RoundId, Advertised) {
        let (round, advertised, body) = self.prepare_entry();
        let answer = self.post(&format!("/v1/rounds/{round}/advertise"), &body);
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        (round, advertised)
    }

    /// Everything of [`Device::enter`] but sending.
    pub(crate) fn prepare_entry(&mut self) -> (RoundId, Advertised, Vec<u8>) {
        let open = self.poll("/v1/rounds/open?wait=20");
        assert_eq!(open.status, 200);
        let announced = Announcement::from_bytes(&open.body).unwrap();
        let spec = announced.rounds.into_iter().next().unwrap();
        let identity = Identity {
            device: self.id,
            certificate: &self.leaf.der,
            static_key: self.x25519.public(),
        };
        let answers = Answers { round: None, model: spec.model() };
        let round = spec.round_id();
        let advertising = client::advertise(
            spec,
            &identity,
            &self.policy,
            &answers,
            &mut self.marks,
            now(),
            &mut self.rng,
        )
        .unwrap();
        let signature = sign(&self.leaf, advertising.statement());
        let (advertised, message) = advertising.sign(signature);
        (round, advertised, message.to_bytes())
    }

    /// From the roster to U2.
    pub(crate) fn share(&mut self, round: RoundId, advertised: Advertised) -> Masking {
        let roster: Roster = self.fetch(round, "roster");
        self.demand_logged(round, &roster);
        let mut members = Members { ca: self.fleet.ca(), list: None };
        let (sharing, dealt) =
            advertised.share(&roster, &self.x25519, &mut members, now(), &mut self.rng).unwrap();
        self.send(round, "shares", &dealt);
        let inbound: InboundShares = self.fetch(round, "shares");
        let (acknowledged, ack) = sharing.receive(&inbound, now()).unwrap();
        self.send(round, "acks", &ack);
        let sharers: Sharers = self.fetch(round, "sharers");
        acknowledged.sharers(&sharers, now()).unwrap()
    }

    fn demand_logged(&mut self, round: RoundId, roster: &Roster) {
        let answer = self.poll(&format!("/v1/rounds/{round}/log?wait=20"));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let proof: RosterProof = serde_json::from_slice(&answer.body).unwrap();
        let certificates: Vec<&[u8]> =
            roster.entries.iter().map(|signed| signed.certificate.as_slice()).collect();
        let (_, proven) = proof.verify(&certificates, &self.fleet.log.key).unwrap();
        assert_eq!(proven.len(), certificates.len());
    }

    /// Masks and uploads.
    pub(crate) fn upload(&mut self, round: RoundId, masking: Masking, update: &[f64]) -> Checking {
        let quantized = masking.prepare(update, self.weight, &mut self.rng).unwrap();
        let mut uploading = masking.mask(quantized, &mut self.once, now()).unwrap();
        for index in 0..uploading.chunks() {
            let chunk = uploading.chunk(index);
            let answer = self.put(&format!("/v1/rounds/{round}/masked/{index}"), &chunk);
            assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        }
        let message = uploading.masked_input();
        self.send(round, "masked", &message);
        uploading.acknowledged()
    }

    /// Signs the survivors.
    pub(crate) fn check(&mut self, round: RoundId, checking: Checking) -> Signed {
        let survivors: Survivors = self.fetch(round, "survivors");
        let (signed, signature) = checking.agree(&survivors, &mut self.once, now()).unwrap();
        self.send(round, "consistency", &signature);
        signed
    }

    /// Reveals.
    pub(crate) fn reveal(&mut self, round: RoundId, signed: Signed) {
        let quorum: Quorum = self.fetch(round, "quorum");
        let (unmasking, agreed) = signed.quorum(&quorum, now()).unwrap();
        let reveal = unmasking.reveal(agreed, &mut self.once, now()).unwrap();
        self.send(round, "reveal", &reveal);
    }

    /// A whole round.
    pub(crate) fn take_part(&mut self, update: &[f64]) -> RoundId {
        let (round, advertised) = self.enter();
        let masking = self.share(round, advertised);
        let checking = self.upload(round, masking, update);
        let signed = self.check(round, checking);
        self.reveal(round, signed);
        round
    }

    pub(crate) fn mask_for_test(&mut self, masking: Masking, update: &[f64]) -> client::Uploading {
        let quantized = masking.prepare(update, None, &mut self.rng).unwrap();
        masking.mask(quantized, &mut self.once, now()).unwrap()
    }
}

/// A leaf's signature, r and s.
pub(crate) fn sign(leaf: &Leaf, statement: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pkcs8 = leaf.key.serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
    key.unwrap().sign(&random, statement).unwrap().as_ref().to_vec()
}

pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Now { unix_s: unix.as_secs(), steady_ms: u64::try_from(unix.as_millis()).unwrap() }
}

/// A counter in memory.
struct Counter(u64);

impl OnceCounter for Counter {
    fn read(&mut self) -> Result<u64, String> {
        Ok(self.0)
    }

    fn increment(&mut self) -> Result<(), String> {
        self.0 += 1;
        Ok(())
    }
}

#[derive(Default)]
struct Marks(HashMap<Hash, Mark>);

impl RoundMarks for Marks {
    fn last(&self, task: &Hash) -> Result<Option<Mark>, String> {
        Ok(self.0.get(task).copied())
    }

    fn raise(&mut self, task: &Hash, mark: Mark) -> Result<(), String> {
        self.0.insert(*task, mark);
        Ok(())
    }
}

/// A device's own judgement of the others.
struct Members {
    ca: FleetCa,
    list: Option<StatusList>,
}

fn timestamp(seconds: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap()
}

impl Membership for Members {
    fn admit_status_list(&mut self, list: &[u8], now_s: u64) -> Result<(), MembershipError> {
        let verified = StatusList::verify(list, &self.ca, timestamp(now_s), None);
        self.list = Some(verified.map_err(|e| MembershipError::StatusList(e.to_string()))?);
        Ok(())
    }

    fn verify(&self, voucher: &Voucher<'_>, now_s: u64) -> Result<Member, MembershipError> {
        let identity = self
            .ca
            .verify(&[voucher.certificate], timestamp(now_s))
            .map_err(|error| MembershipError::Certificate(error.to_string()))?;
        if self.list.as_ref().unwrap().revokes(&identity) {
            return Err(MembershipError::Revoked);
        }
        identity
            .public_key
            .verify(voucher.statement, voucher.signature)
            .map_err(|_| MembershipError::Signature)?;
        Ok(Member { static_key: identity.x25519.unwrap() })
    }
}
