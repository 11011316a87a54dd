//! A fleet in one process: devices, an aggregator, and what stands between them in a test.
//!
//! Device i has roster index i. Each step is a method, so that a test can stop anywhere, lose
//! devices, or hand a client something that an honest aggregator would not.
#![allow(dead_code, unused_macros, reason = "each test program uses its own part")]
#![allow(unreachable_pub, reason = "a module of test programs, which export nothing")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::client::{self, *};
use sealsum_protocol::codec::{Decode, Message};
use sealsum_protocol::error::{AbortCode, Error, Refusal};
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::mask::Suite;
use sealsum_protocol::membership::{Member, Membership, MembershipError, Voucher};
use sealsum_protocol::merkle;
use sealsum_protocol::messages::*;
use sealsum_protocol::policy::Policy;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::{
    Event, Fetched, Incoming, Output, Recovery, Report, Round, Stage, State, Step,
};
use sealsum_protocol::signature::{SecretKey, Signature};
use sealsum_protocol::task::*;
use sealsum_protocol::time::Now;
use sealsum_protocol::transcript::chunk_leaf;

/// When every test begins.
pub const START: Now = Now { unix_s: 1_800_000_000, steady_ms: 1_000 };

/// Certificates and status lists of the test: a certificate is the device's id, its X25519
/// identity and an Ed25519 key that stands for its TPM's; a status list is a number and ids.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Status>>);

#[derive(Default)]
struct Status {
    number: u64,
    revoked: BTreeSet<DeviceId>,
}

pub fn status_list(number: u64, revoked: &[DeviceId]) -> Vec<u8> {
    let mut list = number.to_le_bytes().to_vec();
    revoked.iter().for_each(|device| list.extend(device.0));
    list
}

impl Membership for Registry {
    fn admit_status_list(&mut self, list: &[u8], _: u64) -> Result<(), MembershipError> {
        let bad = |why: &str| MembershipError::StatusList(why.to_owned());
        let (number, revoked) = list.split_first_chunk::<8>().ok_or_else(|| bad("too short"))?;
        let mut status = self.0.lock().unwrap();
        if u64::from_le_bytes(*number) < status.number {
            return Err(bad("older than one seen before"));
        }
        status.number = u64::from_le_bytes(*number);
        status.revoked = revoked.chunks(32).map(|id| DeviceId(id.try_into().unwrap())).collect();
        Ok(())
    }

    fn verify(&self, voucher: &Voucher<'_>, _: u64) -> Result<Member, MembershipError> {
        let [device, static_key, tpm] = split_certificate(voucher.certificate)
            .ok_or_else(|| MembershipError::Certificate("unreadable".to_owned()))?;
        if device != voucher.device.0 {
            return Err(MembershipError::Certificate("another device's".to_owned()));
        }
        if self.0.lock().unwrap().revoked.contains(&voucher.device) {
            return Err(MembershipError::Revoked);
        }
        let key = sealsum_protocol::signature::PublicKey(tpm);
        let signature =
            Signature::decoded(voucher.signature).map_err(|_| MembershipError::Signature)?;
        if !key.verifies(voucher.statement, &signature) {
            return Err(MembershipError::Signature);
        }
        Ok(Member { static_key })
    }
}

fn split_certificate(bytes: &[u8]) -> Option<[[u8; 32]; 3]> {
    let parts: Vec<[u8; 32]> = bytes.chunks_exact(32).map(|p| p.try_into().unwrap()).collect();
    parts.try_into().ok()
}

/// Where a device remembers its rounds.
#[derive(Default)]
pub struct Marks(Option<Mark>);

impl Marks {
    pub fn at(number: u64, at_unix_s: u64) -> Self {
        Self(Some(Mark { number, at_unix_s }))
    }

    pub fn number(&self) -> Option<u64> {
        self.0.map(|mark| mark.number)
    }
}

impl RoundMarks for Marks {
    fn last(&self, _: &Hash) -> Result<Option<Mark>, String> {
        Ok(self.0)
    }

    fn raise(&mut self, _: &Hash, mark: Mark) -> Result<(), String> {
        self.0 = Some(mark);
        Ok(())
    }
}

/// A TPM counter that two copies of a device share.
#[derive(Clone, Default)]
pub struct Counter(pub Rc<Cell<u64>>);

impl OnceCounter for Counter {
    fn read(&mut self) -> Result<u64, String> {
        Ok(self.0.get())
    }

    fn increment(&mut self) -> Result<(), String> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

/// What a device has for life.
pub struct Device {
    pub id: DeviceId,
    pub identity: ExchangeKey,
    pub tpm: SecretKey,
    pub certificate: Vec<u8>,
    pub counter: Counter,
    pub once: Once<Counter>,
}

impl Device {
    pub fn new(index: usize) -> Self {
        let mut rng = rng(1_000_000 + index as u64);
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let (identity, tpm) = (ExchangeKey::draw(&mut rng), SecretKey::draw(&mut rng));
        let certificate = [id, identity.public(), tpm.public().0].concat();
        let counter = Counter::default();
        let once = Once::new(counter.clone(), 0);
        Self { id: DeviceId(id), identity, tpm, certificate, counter, once }
    }

    pub fn identity(&self) -> Identity<'_> {
        Identity {
            device: self.id,
            certificate: &self.certificate,
            static_key: self.identity.public(),
        }
    }
}

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn entry_rng(index: usize) -> ChaCha20Rng {
    rng(2_000_000 + index as u64)
}

pub fn owner() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// A small task without noise, which `change` adapts.
pub fn task(n: usize, change: impl FnOnce(&mut TaskFields)) -> Task {
    let mut fields = TaskFields {
        name: "test".to_owned(),
        version: 1,
        coordinates: 5,
        ring_bits: 32,
        clip: 1024.0,
        scale: 256,
        weights: Weights::Equal,
        privacy: Privacy::None,
        start_when: n as u32,
        min_contributors: 3,
        max_devices: n as u32,
        corrupt_share_permille: 100,
        dropout_share_permille: 200,
        mask_suite: Suite::ChaCha20,
        rotation: Rotation::None,
        model: ModelRule::None,
        max_rounds: 100,
        min_interval_s: 0,
        not_before_s: START.unix_s - 10,
        not_after_s: START.unix_s + 1_000_000,
        deadlines_s: Deadlines { advertise: 10, share: 10, mask: 10, check: 10, unmask: 10 },
    };
    change(&mut fields);
    Task::new(fields).expect("a valid task")
}

pub fn policy() -> Policy {
    Policy {
        owners: vec![owner().public()],
        min_contributors: 3,
        min_corrupt_share: 0.0,
        corrupt_fleet: 0,
        max_epsilon: 1e9,
        epoch_days: 90,
        delta: 1e-5,
        allow_without_noise: vec!["test".to_owned()],
        max_coordinates: MAX_COORDINATES,
        min_honest: 2,
        max_round_s: 86_400,
    }
}

pub fn spec(task: Task, number: u64) -> RoundSpec {
    let signed_task = SignedTask::sign(task, &owner());
    RoundSpec { signed_task, number, nonce: [9; 32], grant: None }
}

/// Where one device is in the round.
pub enum Client {
    Advertised(Advertised),
    Sharing(Sharing),
    Acknowledged(Acknowledged),
    Masking(Masking),
    Checking(Checking),
    Signed(Signed),
    Unmasking(Unmasking, SurvivorsAgreed),
    Done,
    /// Lost, or refused.
    Out(Option<Guard>),
}

/// Takes the client of one step out of a simulation.
#[macro_export]
macro_rules! take {
    ($simulation:expr, $index:expr, $step:ident) => {
        match std::mem::replace(&mut $simulation.clients[$index], fleet::Client::Out(None)) {
            fleet::Client::$step(client) => client,
            _ => panic!("device {} is not in {}", $index, stringify!($step)),
        }
    };
}

/// A whole round in one process.
pub struct Simulation {
    pub round: Round,
    pub devices: Vec<Device>,
    pub clients: Vec<Client>,
    pub registry: Registry,
    pub updates: Vec<Vec<f64>>,
    pub chunks: Vec<Vec<Vec<u8>>>,
    pub now: Now,
    pub rng: ChaCha20Rng,
    pub finished: bool,
    pub recovery: Option<Recovery>,
    pub wake_at: u64,
    pub blamed: Vec<(DeviceId, Guard)>,
}

impl Simulation {
    /// `n` devices that have entered the first round of `task`.
    pub fn new(n: usize, task: Task) -> Self {
        Self::with_spec(n, spec(task, 1))
    }

    pub fn with_spec(n: usize, spec: RoundSpec) -> Self {
        Self::with_policies(n, spec, |_| policy())
    }

    pub fn with_policies(n: usize, spec: RoundSpec, policy: impl Fn(usize) -> Policy) -> Self {
        let devices: Vec<Device> = (0..n).map(Device::new).collect();
        let registry = Registry::default();
        let list = status_list(1, &[]);
        let fleet = (0..n).map(|index| policy(index).corrupt_fleet).max().unwrap_or(0);
        let round =
            Round::open(spec.clone(), fleet, Box::new(registry.clone()), list, START).unwrap();
        let coordinates = spec.signed_task.task.coordinates as usize;
        let mut simulation = Self {
            round,
            clients: Vec::new(),
            registry,
            updates: (0..n).map(|index| update(index, coordinates)).collect(),
            chunks: vec![Vec::new(); n],
            now: START,
            rng: rng(5),
            finished: false,
            recovery: None,
            wake_at: 0,
            blamed: Vec::new(),
            devices,
        };
        for index in 0..n {
            simulation.advertise(index, &policy(index));
        }
        simulation
    }

    fn advertise(&mut self, index: usize, policy: &Policy) {
        let device = &self.devices[index];
        let spec = self.round.spec().clone();
        let answers = Answers { round: None, model: spec.model() };
        let mut marks = Marks::default();
        let advertising = client::advertise(
            spec,
            &device.identity(),
            policy,
            &answers,
            &mut marks,
            self.now,
            &mut entry_rng(index),
        )
        .unwrap();
        let signature = device.tpm.sign(advertising.statement()).0.to_vec();
        let (advertised, message) = advertising.sign(signature);
        self.clients.push(Client::Advertised(advertised));
        self.send(index, Incoming::Advertise(Box::new(message))).unwrap();
    }

    /// The key of a corrupt device that works for the aggregator: it is drawn third.
    pub fn round_key(&self, index: usize) -> SecretKey {
        let mut rng = entry_rng(index);
        let _ = (SecretScalar::random(&mut rng), ExchangeKey::draw(&mut rng));
        let key = SecretKey::draw(&mut rng);
        let entry = &self.round.cohort().expect("a roster").entries[index];
        assert_eq!(entry.signing_key, key.public());
        key
    }

    pub fn n(&self) -> usize {
        self.devices.len()
    }

    pub fn send(&mut self, index: usize, message: Incoming) -> Result<(), Refusal> {
        let from = self.devices[index].id;
        self.event(Event::Received { from, message })
    }

    pub fn event(&mut self, event: Event) -> Result<(), Refusal> {
        let outcome = self.round.handle(self.now, event);
        self.drain();
        outcome
    }

    fn drain(&mut self) {
        while let Some(output) = self.round.poll() {
            match output {
                Output::WakeAt(at) => self.wake_at = at,
                Output::Blame { device, guard } => self.blamed.push((device, guard)),
                Output::Recover(recovery) => self.recovery = Some(recovery),
                Output::Finished => self.finished = true,
                Output::Persist(_) | Output::Publish(_) | Output::Aborted(_) => {}
            }
        }
    }

    /// Lets the deadline of the running step pass, if the step waits for anybody.
    pub fn pass_deadline(&mut self, step: Step) {
        if self.round.step() == step {
            self.now.steady_ms = self.wake_at;
            self.event(Event::Tick).unwrap();
        }
    }

    /// Devices that are lost from here on, silently.
    pub fn lose(&mut self, devices: &[usize]) {
        for index in devices {
            self.clients[*index] = Client::Out(None);
        }
    }

    pub fn fetch<M: Message>(&self, index: usize, stage: Stage) -> Option<M> {
        match self.round.fetch(self.devices[index].id, stage).unwrap() {
            Fetched::Ready(bytes) => Some(M::from_bytes(&bytes).unwrap()),
            Fetched::NotYet | Fetched::Aborted(_) => None,
        }
    }

    fn settle<T>(&mut self, index: usize, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.clients[index] = Client::Out(error.guard());
                None
            }
        }
    }

    fn take(&mut self, index: usize) -> Client {
        std::mem::replace(&mut self.clients[index], Client::Out(None))
    }

    pub fn share(&mut self) {
        for index in 0..self.n() {
            let Client::Advertised(_) = &self.clients[index] else { continue };
            let Some(roster) = self.fetch::<Roster>(index, Stage::Roster) else { continue };
            let Client::Advertised(client) = self.take(index) else { unreachable!() };
            let (identity, mut registry) = (&self.devices[index].identity, self.registry.clone());
            let shared = client.share(&roster, identity, &mut registry, self.now, &mut self.rng);
            if let Some((client, message)) = self.settle(index, shared) {
                self.clients[index] = Client::Sharing(client);
                self.send(index, Incoming::Shares(message)).unwrap();
            }
        }
        self.pass_deadline(Step::Share);
    }

    pub fn acknowledge(&mut self) {
        for index in 0..self.n() {
            let Client::Sharing(_) = &self.clients[index] else { continue };
            let Some(inbound) = self.fetch(index, Stage::InboundShares) else { continue };
            let Client::Sharing(client) = self.take(index) else { unreachable!() };
            let received = client.receive(&inbound, self.now);
            if let Some((client, message)) = self.settle(index, received) {
                self.clients[index] = Client::Acknowledged(client);
                self.send(index, Incoming::Ack(message)).unwrap();
            }
        }
        self.pass_deadline(Step::Acknowledge);
    }

    pub fn take_sharers(&mut self) {
        for index in 0..self.n() {
            let Client::Acknowledged(_) = &self.clients[index] else { continue };
            let Some(sharers) = self.fetch(index, Stage::Sharers) else { continue };
            let Client::Acknowledged(client) = self.take(index) else { unreachable!() };
            let masking = client.sharers(&sharers, self.now);
            if let Some(client) = self.settle(index, masking) {
                self.clients[index] = Client::Masking(client);
            }
        }
    }

    pub fn mask(&mut self) {
        for index in 0..self.n() {
            self.mask_of(index);
        }
        self.pass_deadline(Step::Mask);
    }

    pub fn mask_of(&mut self, index: usize) {
        let Client::Masking(_) = &self.clients[index] else { return };
        let Client::Masking(client) = self.take(index) else { unreachable!() };
        let quantized =
            client.prepare(&self.updates[index], self.weight(index), &mut self.rng).unwrap();
        let masked = client.mask(quantized, &mut self.devices[index].once, self.now);
        let Some(mut uploading) = self.settle(index, masked) else { return };
        let chunks: Vec<Vec<u8>> =
            (0..uploading.chunks()).map(|chunk| uploading.chunk(chunk)).collect();
        let received_root = root_of(&chunks);
        self.chunks[index] = chunks;
        let message = uploading.masked_input();
        self.clients[index] = Client::Checking(uploading.acknowledged());
        self.send(index, Incoming::Masked { message, received_root }).unwrap();
    }

    fn weight(&self, index: usize) -> Option<f64> {
        match self.round.spec().signed_task.task.weights {
            Weights::Equal => None,
            Weights::UpTo(max) => Some(f64::from(1 + index as u32 % max)),
        }
    }

    pub fn check(&mut self) {
        for index in 0..self.n() {
            let Client::Checking(_) = &self.clients[index] else { continue };
            let Some(survivors) = self.fetch(index, Stage::Survivors) else { continue };
            let Client::Checking(client) = self.take(index) else { unreachable!() };
            let agreed = client.agree(&survivors, &mut self.devices[index].once, self.now);
            if let Some((client, message)) = self.settle(index, agreed) {
                self.clients[index] = Client::Signed(client);
                self.send(index, Incoming::Consistency(message)).unwrap();
            }
        }
        self.pass_deadline(Step::Check);
    }

    pub fn take_quorum(&mut self) {
        for index in 0..self.n() {
            let Client::Signed(_) = &self.clients[index] else { continue };
            let Some(quorum) = self.fetch(index, Stage::Quorum) else { continue };
            let Client::Signed(client) = self.take(index) else { unreachable!() };
            let agreed = client.quorum(&quorum, self.now);
            if let Some((client, witness)) = self.settle(index, agreed) {
                self.clients[index] = Client::Unmasking(client, witness);
            }
        }
    }

    pub fn unmask(&mut self) {
        for index in 0..self.n() {
            let Some(message) = self.reveal(index) else { continue };
            self.send(index, Incoming::Reveal(message)).unwrap();
        }
        self.pass_deadline(Step::Unmask);
    }

    pub fn reveal(&mut self, index: usize) -> Option<Reveal> {
        let Client::Unmasking(..) = &self.clients[index] else { return None };
        let Client::Unmasking(client, witness) = self.take(index) else { unreachable!() };
        let reveal = client.reveal(witness, &mut self.devices[index].once, self.now);
        let message = self.settle(index, reveal)?;
        self.clients[index] = Client::Done;
        Some(message)
    }

    /// All steps from the roster on, with the devices of `losses[s]` lost before step s.
    pub fn run(&mut self, losses: &[Vec<usize>; 5]) {
        self.lose(&losses[0]);
        self.share();
        self.lose(&losses[1]);
        self.acknowledge();
        self.take_sharers();
        self.lose(&losses[2]);
        self.mask();
        self.lose(&losses[3]);
        self.check();
        self.take_quorum();
        self.lose(&losses[4]);
        self.unmask();
    }

    /// Unmasks the sum as the aggregator's program does, and says so.
    pub fn recover(&mut self) -> Option<Vec<i64>> {
        let recovery = self.recovery.take()?;
        let layout = recovery.layout();
        let (mut sum, mut wrong_chunks) = (Vec::new(), Vec::new());
        for chunk in 0..layout.chunks() {
            let mut words = layout.zero_chunk(chunk);
            for index in recovery.contributors() {
                let bytes = &self.chunks[*index][chunk];
                words.add_assign(&layout.from_wire(chunk, bytes).unwrap());
            }
            recovery.unmask_chunk(chunk, &mut words);
            match recovery.decode_chunk(chunk, &words) {
                Ok(values) => sum.extend(values),
                Err(_) => wrong_chunks.push(chunk),
            }
        }
        self.event(Event::Recovered { wrong_chunks }).unwrap();
        self.finished.then_some(sum)
    }

    /// The exact sum of the vectors of the contributors that the report names.
    pub fn expected(&self) -> Vec<i64> {
        let task = &self.round.spec().signed_task.task;
        let mut sum = vec![0; task.coordinates as usize];
        for device in self.report().contributors {
            let index = self.devices.iter().position(|d| d.id == device).unwrap();
            for (total, value) in sum.iter_mut().zip(&self.updates[index]) {
                *total += (value * task.scale as f64) as i64;
            }
        }
        sum
    }

    pub fn report(&self) -> Report {
        self.round.report()
    }

    pub fn abort_code(&self) -> Option<AbortCode> {
        match self.report().state {
            State::Aborted(abort) => Some(abort.code),
            State::Running(_) | State::Finished => None,
        }
    }
}

pub fn root_of(chunks: &[Vec<u8>]) -> Hash {
    let leaves = chunks.iter().enumerate().map(|(index, bytes)| chunk_leaf(index, bytes));
    merkle::root(leaves.collect())
}

/// Multiples of 1/256 that no subset of devices shares a sum of, some negative.
pub fn update(index: usize, coordinates: usize) -> Vec<f64> {
    let value = |coordinate: usize| {
        let units = match coordinate {
            0 if index < 18 => 1i64 << index,
            1 => -(index as i64) - 1,
            _ => (index as i64 * 31 + coordinate as i64 * 17) % 257 - 128,
        };
        units as f64 / 256.0
    };
    (0..coordinates).map(value).collect()
}

pub fn no_losses() -> [Vec<usize>; 5] {
    Default::default()
}
