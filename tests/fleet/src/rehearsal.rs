//! A whole round in one process, a step at a time.
//!
//! Each step is a method, so that a test can stop anywhere, lose devices, or hand a client
//! something that an honest aggregator would not.

use rand_chacha::ChaCha20Rng;
use sealsum_protocol::client::{
    self, Acknowledged, Advertised, Answers, Checking, Masking, Sharing, Signed, SurvivorsAgreed,
    Unmasking,
};
use sealsum_protocol::codec::Message;
use sealsum_protocol::error::{AbortCode, Error, Refusal};
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::messages::{Reveal, Roster};
use sealsum_protocol::policy::Policy;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::{
    Event, Fetched, Incoming, Output, Recovery, Report, Round, Stage, State, Step,
};
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::{RoundSpec, Task, Weights};
use sealsum_protocol::time::Now;

use crate::START;
use crate::device::{Device, Marks, entry_rng, rng};
use crate::registry::{Registry, status_list};
use crate::task::{policy, spec};
use crate::vectors::{root_of, update};

/// Where one device is in the round.
#[allow(clippy::large_enum_variant, reason = "the devices of a test are few")]
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

/// Takes the client of one step out of a rehearsal.
#[macro_export]
macro_rules! take {
    ($rehearsal:expr, $index:expr, $step:ident) => {
        match std::mem::replace(&mut $rehearsal.clients[$index], $crate::Client::Out(None)) {
            $crate::Client::$step(client) => client,
            _ => panic!("device {} is not in {}", $index, stringify!($step)),
        }
    };
}

/// A whole round in one process.
pub struct Rehearsal {
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

impl Rehearsal {
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
        let mut rehearsal = Self {
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
            rehearsal.advertise(index, &policy(index));
        }
        rehearsal
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
                layout.add_from_wire(chunk, bytes, &mut words).unwrap();
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

/// Nobody is lost, at any of the five steps.
pub fn no_losses() -> [Vec<usize>; 5] {
    Default::default()
}
