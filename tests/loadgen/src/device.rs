//! A device: the protocol's client over a real connection, with software keys instead of a TPM.
//!
//! Each step is there twice: as what a device does (`enter`, `deal`, `upload`, …), and as the
//! message that it would send (`prepare_…`), for one that sends something else.

mod error;
mod members;
mod memory;

pub use error::DeviceError;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealsum_attest::ids::DeviceId as AttestedId;
use sealsum_attest::roster_proof::RosterProof;
use sealsum_daemon::Failure;
use sealsum_protocol::client::{
    self, Acknowledged, Advertised, Answers, Checking, Identity, Masking, Once, Quantized, Sharing,
    Signed, Uploading, VerifiedRoster,
};
use sealsum_protocol::codec::Message;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::{DeviceId, Hash, RoundId};
use sealsum_protocol::messages::{
    Advertise, Announcement, ConsistencySignature, InboundShares, Quorum, Reveal, Roster, ShareAck,
    SharedKeys, Sharers, Survivors,
};
use sealsum_protocol::policy::Policy;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::signature::{PublicKey, SecretKey};
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;
use sha2::{Digest, Sha256};

use self::error::{demand, refused, unreadable};
use self::members::Members;
use self::memory::{Counter, Marks};
use crate::fleet::{FleetKeys, Leaf, Validity};
use crate::rosters::{Checks, Rosters};
use crate::wire::{Answer, Connection, client_config};

/// Longest that a device asks for what is not there yet.
const PATIENCE: Duration = Duration::from_secs(600);

/// What all devices of a fleet have in common.
pub struct Home {
    /// Who certifies them.
    pub fleet: Arc<FleetKeys>,
    /// The aggregator.
    pub address: String,
    /// What they take part in.
    pub policy: Policy,
    /// Their secrets follow from it.
    pub seed: u64,
    /// Who verifies rosters.
    pub rosters: Rosters,
}

impl Home {
    /// A fleet that takes the tasks of this owner, without noise those of these names.
    ///
    /// # Errors
    /// When they make no policy.
    pub fn new(
        fleet: Arc<FleetKeys>,
        address: &str,
        owner: PublicKey,
        without_noise: &[String],
        seed: u64,
    ) -> Result<Self, Failure> {
        let policy = serde_json::from_value(serde_json::json!({
            "owners": [owner], "min_contributors": 3, "allow_without_noise": without_noise,
            "max_epsilon": 1000.0,
        }));
        let policy = policy.map_err(|error| Failure::bug(format!("policy: {error}")))?;
        let rosters = Rosters::new(Checks::Each);
        Ok(Self { fleet, address: address.to_owned(), policy, seed, rosters })
    }
}

/// The id of device `number`; they are ordered as the numbers are.
pub fn device_id(number: u32) -> DeviceId {
    let mut id = [0; 32];
    id.chunks_mut(4).for_each(|chunk| chunk.copy_from_slice(&number.to_be_bytes()));
    DeviceId(id)
}

/// One device of a fleet.
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its certificate.
    pub leaf: Leaf,
    home: Arc<Home>,
    x25519: ExchangeKey,
    rng: ChaCha20Rng,
    /// As it was when the keys of the round were drawn.
    rng_at_entry: ChaCha20Rng,
    marks: Marks,
    once: Once<Counter>,
    /// What its vector counts, in a task that has weights.
    pub weight: Option<f64>,
    /// Its connection to the aggregator.
    pub connection: Connection,
    lost: bool,
}

/// The secrets that a device drew for its entry: what a device that lies works with.
pub struct EntrySecrets {
    /// Its mask key comes from it.
    pub mask: SecretScalar,
    /// For the ciphertexts.
    pub channel: ExchangeKey,
    /// Signs all but the entry.
    pub signing: SecretKey,
}

impl Device {
    /// Number `number` of the fleet, connected.
    ///
    /// # Errors
    /// When it cannot be certified or cannot connect.
    pub fn new(home: &Arc<Home>, number: u32, validity: Validity) -> Result<Self, DeviceError> {
        Self::with_leaf(home, number, |id, x25519| home.fleet.device(id, x25519, validity))
    }

    /// One whose certificate `issue` makes.
    ///
    /// # Errors
    /// When it cannot be certified or cannot connect.
    pub fn with_leaf(
        home: &Arc<Home>,
        number: u32,
        issue: impl FnOnce(AttestedId, &[u8; 32]) -> Result<Leaf, Failure>,
    ) -> Result<Self, DeviceError> {
        let id = device_id(number);
        let seed = Sha256::new().chain_update(home.seed.to_le_bytes()).chain_update(id.0);
        let mut rng = ChaCha20Rng::from_seed(seed.finalize().into());
        let x25519 = ExchangeKey::draw(&mut rng);
        let leaf = issue(AttestedId::from_bytes(id.0), &x25519.public())?;
        let connection = connect(home, &leaf)?;
        Ok(Self {
            id,
            leaf,
            home: Arc::clone(home),
            x25519,
            rng_at_entry: rng.clone(),
            rng,
            marks: Marks::default(),
            once: Once::new(Counter::default(), 0),
            weight: None,
            connection,
            lost: false,
        })
    }

    /// Is lost, as a device whose power fails.
    pub fn disconnect(&mut self) {
        self.connection.close();
        self.lost = true;
    }

    /// Connects again.
    ///
    /// # Errors
    /// When it cannot.
    pub fn reconnect(&mut self) -> Result<(), DeviceError> {
        self.connection = connect(&self.home, &self.leaf)?;
        self.lost = false;
        Ok(())
    }

    /// Connects again if it was lost.
    ///
    /// # Errors
    /// When it cannot.
    pub fn return_if_lost(&mut self) -> Result<(), DeviceError> {
        if self.lost { self.reconnect() } else { Ok(()) }
    }

    /// `GET`.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn get(&mut self, path: &str) -> Result<Answer, DeviceError> {
        self.request("GET", path, &[])
    }

    /// `POST`.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer, DeviceError> {
        self.request("POST", path, body)
    }

    /// `PUT`.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn put(&mut self, path: &str, body: &[u8]) -> Result<Answer, DeviceError> {
        self.request("PUT", path, body)
    }

    /// A connection that idled for long may have been closed, so once more on a new one; what a
    /// device sends twice counts once.
    fn request(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer, DeviceError> {
        let first = self.connection.request(method, path, body);
        let answer = match first {
            Err(error) if !self.lost && error.kind() != io::ErrorKind::WouldBlock => {
                self.reconnect()?;
                self.connection.request(method, path, body)
            }
            other => other,
        };
        answer.map_err(|error| DeviceError::Wire { what: path.to_owned(), error })
    }

    /// Waits for a message of the aggregator.
    ///
    /// # Errors
    /// When the aggregator answers with an error, or with no such message.
    pub fn fetch<M: Message>(&mut self, round: RoundId, what: &str) -> Result<M, DeviceError> {
        let answer = self.poll(&format!("/v1/rounds/{round}/{what}?wait=20"))?;
        let answer = demand(answer, 200, what)?;
        M::from_bytes(&answer.body).map_err(|error| unreadable(what, &error))
    }

    /// Asks until there is something else than "later".
    ///
    /// # Errors
    /// When the connection fails.
    pub fn poll(&mut self, path: &str) -> Result<Answer, DeviceError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path)?;
            if answer.status != 204 || Instant::now() > until {
                return Ok(answer);
            }
        }
    }

    /// Sends a message of a round.
    ///
    /// # Errors
    /// When the aggregator does not take it.
    pub fn send<M: Message>(
        &mut self,
        round: RoundId,
        what: &str,
        message: &M,
    ) -> Result<(), DeviceError> {
        self.send_bytes(round, what, &message.to_bytes())
    }

    /// Sends the bytes of a message of a round.
    ///
    /// # Errors
    /// When the aggregator does not take it.
    pub fn send_bytes(
        &mut self,
        round: RoundId,
        what: &str,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let answer = self.post(&format!("/v1/rounds/{round}/{what}"), bytes)?;
        demand(answer, 202, what).map(|_| ())
    }

    /// Sends one chunk of its masked input.
    ///
    /// # Errors
    /// When the aggregator does not take it.
    pub fn send_chunk(
        &mut self,
        round: RoundId,
        index: usize,
        chunk: &[u8],
    ) -> Result<(), DeviceError> {
        let answer = self.put(&format!("/v1/rounds/{round}/masked/{index}"), chunk)?;
        demand(answer, 202, "chunk").map(|_| ())
    }

    /// Waits for an open round and enters it.
    ///
    /// # Errors
    /// When there is none, or it is refused by either side.
    pub fn enter(&mut self) -> Result<(RoundId, Advertised), DeviceError> {
        let (round, advertised, body) = self.prepare_entry()?;
        self.send_bytes(round, "advertise", &body)?;
        Ok((round, advertised))
    }

    /// Everything of [`Device::enter`] but sending.
    ///
    /// # Errors
    /// When there is no round, or the device refuses it.
    pub fn prepare_entry(&mut self) -> Result<(RoundId, Advertised, Vec<u8>), DeviceError> {
        let spec = self.open_rounds()?.into_iter().next();
        let spec = spec.ok_or_else(|| unreadable("rounds/open", &"no round"))?;
        let round = spec.round_id();
        let (advertised, message) = self.prepare_entry_to(spec)?;
        Ok((round, advertised, message.to_bytes()))
    }

    /// The rounds that are open to it.
    ///
    /// # Errors
    /// When the aggregator does not say.
    pub fn open_rounds(&mut self) -> Result<Vec<RoundSpec>, DeviceError> {
        let what = "rounds/open";
        let answer = demand(self.poll("/v1/rounds/open?wait=20")?, 200, what)?;
        let announced = Announcement::from_bytes(&answer.body);
        Ok(announced.map_err(|error| unreadable(what, &error))?.rounds)
    }

    /// Its entry to this round.
    ///
    /// # Errors
    /// When the device refuses the round.
    pub fn prepare_entry_to(
        &mut self,
        spec: RoundSpec,
    ) -> Result<(Advertised, Advertise), DeviceError> {
        self.rng_at_entry = self.rng.clone();
        let static_key = self.x25519.public();
        let identity = Identity { device: self.id, certificate: &self.leaf.der, static_key };
        let answers = Answers { round: None, model: spec.model() };
        let (policy, marks) = (&self.home.policy, &mut self.marks);
        let advertising =
            client::advertise(spec, &identity, policy, &answers, marks, now(), &mut self.rng);
        let advertising = advertising.map_err(|error| refused("entry", error))?;
        let signature = self.leaf.sign(advertising.statement())?;
        Ok(advertising.sign(signature))
    }

    /// What it drew for its entry, drawn again.
    pub fn entry_secrets(&self) -> EntrySecrets {
        let mut rng = self.rng_at_entry.clone();
        EntrySecrets {
            mask: SecretScalar::random(&mut rng),
            channel: ExchangeKey::draw(&mut rng),
            signing: SecretKey::draw(&mut rng),
        }
    }

    /// Its X25519 identity.
    pub fn static_key(&self) -> &ExchangeKey {
        &self.x25519
    }

    /// Its generator.
    pub fn rng(&mut self) -> &mut ChaCha20Rng {
        &mut self.rng
    }

    /// From the roster to U2.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn share(
        &mut self,
        round: RoundId,
        advertised: Advertised,
    ) -> Result<Masking, DeviceError> {
        let (sharing, dealt) = self.prepare_deal(round, advertised)?;
        self.send(round, "shares", &dealt)?;
        let (acknowledged, ack) = self.prepare_ack(round, sharing)?;
        self.send(round, "acks", &ack)?;
        self.sharers(round, acknowledged)
    }

    /// Takes the roster, each member of which must be in the authority's log; its shares.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn prepare_deal(
        &mut self,
        round: RoundId,
        advertised: Advertised,
    ) -> Result<(Sharing, SharedKeys), DeviceError> {
        let answer = self.poll(&format!("/v1/rounds/{round}/roster?wait=20"))?;
        let bytes = demand(answer, 200, "roster")?.body;
        let home = Arc::clone(&self.home);
        let hash = Hash(Sha256::digest(&bytes).into());
        let verified = home.rosters.of(round, hash, || self.verify(round, &advertised, &bytes))?;
        let (identity, rng) = (&self.x25519, &mut self.rng);
        let shared = advertised.share_among(&verified, identity, now(), rng);
        shared.map_err(|error| refused("roster", error))
    }

    fn verify(
        &mut self,
        round: RoundId,
        advertised: &Advertised,
        roster: &[u8],
    ) -> Result<VerifiedRoster, DeviceError> {
        let roster = Roster::from_bytes(roster).map_err(|error| unreadable("roster", &error))?;
        self.demand_logged(round, &roster)?;
        let mut members = Members::of(self.home.fleet.ca()?);
        let verified = VerifiedRoster::new(advertised, &roster, &mut members, now());
        verified.map_err(|refusal| refused("roster", refusal))
    }

    fn demand_logged(&mut self, round: RoundId, roster: &Roster) -> Result<(), DeviceError> {
        let what = "log";
        let answer = self.poll(&format!("/v1/rounds/{round}/log?wait=20"))?;
        let answer = demand(answer, 200, what)?;
        let proof: RosterProof =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(what, &error))?;
        let certificates: Vec<&[u8]> =
            roster.entries.iter().map(|signed| signed.certificate.as_slice()).collect();
        let proven = proof.verify(&certificates, &self.home.fleet.log.key);
        let (_, proven) = proven.map_err(|error| unreadable(what, &error))?;
        if proven.len() == certificates.len() {
            return Ok(());
        }
        Err(unreadable(what, &"a member is not in the log"))
    }

    /// Opens what its neighbours dealt; its acknowledgement.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn prepare_ack(
        &mut self,
        round: RoundId,
        sharing: Sharing,
    ) -> Result<(Acknowledged, ShareAck), DeviceError> {
        let inbound: InboundShares = self.fetch(round, "shares")?;
        sharing.receive(&inbound, now()).map_err(|error| refused("shares", error))
    }

    /// Takes U2.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn sharers(
        &mut self,
        round: RoundId,
        acknowledged: Acknowledged,
    ) -> Result<Masking, DeviceError> {
        let sharers: Sharers = self.fetch(round, "sharers")?;
        acknowledged.sharers(&sharers, now()).map_err(|error| refused("sharers", error))
    }

    /// Masks and uploads.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn upload(
        &mut self,
        round: RoundId,
        masking: Masking,
        update: &[f64],
    ) -> Result<Checking, DeviceError> {
        let uploading = self.prepare_upload(masking, update)?;
        self.upload_masked(round, uploading)
    }

    /// Uploads what is masked.
    ///
    /// # Errors
    /// When the aggregator refuses.
    pub fn upload_masked(
        &mut self,
        round: RoundId,
        mut uploading: Uploading,
    ) -> Result<Checking, DeviceError> {
        for index in 0..uploading.chunks() {
            let chunk = uploading.chunk(index);
            self.send_chunk(round, index, &chunk)?;
        }
        let message = uploading.masked_input();
        self.send(round, "masked", &message)?;
        Ok(uploading.acknowledged())
    }

    /// Masks its vector.
    ///
    /// # Errors
    /// When the vector does not suit the task, or the device is too late.
    pub fn prepare_upload(
        &mut self,
        masking: Masking,
        update: &[f64],
    ) -> Result<Uploading, DeviceError> {
        let quantized = masking.prepare(update, self.weight, &mut self.rng);
        let quantized = quantized.map_err(|error| refused("vector", error))?;
        self.mask(masking, quantized)
    }

    /// Masks integers, whatever they are.
    ///
    /// # Errors
    /// When they do not suit the task, or the device is too late.
    pub fn mask(
        &mut self,
        masking: Masking,
        quantized: Quantized,
    ) -> Result<Uploading, DeviceError> {
        let masked = masking.mask(quantized, &mut self.once, now());
        masked.map_err(|error| refused("vector", error))
    }

    /// Signs the survivors.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn check(&mut self, round: RoundId, checking: Checking) -> Result<Signed, DeviceError> {
        let (signed, signature) = self.prepare_signature(round, checking)?;
        self.send(round, "consistency", &signature)?;
        Ok(signed)
    }

    /// Checks the survivors; its signature on them.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn prepare_signature(
        &mut self,
        round: RoundId,
        checking: Checking,
    ) -> Result<(Signed, ConsistencySignature), DeviceError> {
        let survivors: Survivors = self.fetch(round, "survivors")?;
        let agreed = checking.agree(&survivors, &mut self.once, now());
        agreed.map_err(|error| refused("survivors", error))
    }

    /// Reveals.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn reveal(&mut self, round: RoundId, signed: Signed) -> Result<(), DeviceError> {
        let reveal = self.prepare_reveal(round, signed)?;
        self.send(round, "reveal", &reveal)
    }

    /// Checks the quorum; its shares.
    ///
    /// # Errors
    /// When either side refuses.
    pub fn prepare_reveal(
        &mut self,
        round: RoundId,
        signed: Signed,
    ) -> Result<Reveal, DeviceError> {
        let quorum: Quorum = self.fetch(round, "quorum")?;
        let agreed = signed.quorum(&quorum, now());
        let (unmasking, agreed) = agreed.map_err(|error| refused("quorum", error))?;
        let reveal = unmasking.reveal(agreed, &mut self.once, now());
        reveal.map_err(|error| refused("quorum", error))
    }

    /// A whole round.
    ///
    /// # Errors
    /// When either side refuses a step of it.
    pub fn take_part(&mut self, update: &[f64]) -> Result<RoundId, DeviceError> {
        let (round, advertised) = self.enter()?;
        let masking = self.share(round, advertised)?;
        let checking = self.upload(round, masking, update)?;
        let signed = self.check(round, checking)?;
        self.reveal(round, signed)?;
        Ok(round)
    }
}

fn connect(home: &Home, leaf: &Leaf) -> Result<Connection, DeviceError> {
    let config = client_config(&home.fleet, Some(leaf))?;
    let what = || format!("aggregator {}", home.address);
    Connection::open(&home.address, config)
        .map_err(|error| DeviceError::Wire { what: what(), error })
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let steady_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
    Now { unix_s: unix.as_secs(), steady_ms }
}
