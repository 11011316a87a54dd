//! One device that hears bytes and says bytes: the shipped decoder, then the shipped client.

use rand_chacha::ChaCha20Rng;
use sealsum_protocol::client::{self, Answers, Limits};
use sealsum_protocol::codec::{CodecError, Message};
use sealsum_protocol::error::{Error, Refusal};
use sealsum_protocol::guard::Guard;
use sealsum_protocol::policy::Policy;
use sealsum_protocol::server::Stage;
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;

use crate::device::{Device, Marks};
use crate::registry::Registry;
use crate::rehearsal::Client;

/// What leaves a device: a message in its encoding, or a chunk as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Advertise(Vec<u8>),
    Shares(Vec<u8>),
    Ack(Vec<u8>),
    Chunk { index: usize, bytes: Vec<u8> },
    Masked(Vec<u8>),
    Consistency(Vec<u8>),
    Reveal(Vec<u8>),
}

/// A device in a round. It has a status list and a memory of its own, and trusts nobody.
pub struct WireDevice {
    pub device: Device,
    pub registry: Registry,
    update: Vec<f64>,
    weight: Option<f64>,
    rng: ChaCha20Rng,
    limits: Limits,
    client: Client,
}

impl WireDevice {
    /// Enters a round with `update`; what it draws follows from `rng`.
    ///
    /// # Errors
    /// The guard that kept the device out; nothing was said.
    pub fn enter(
        device: Device,
        spec: RoundSpec,
        policy: &Policy,
        marks: &mut Marks,
        update: Vec<f64>,
        now: Now,
        mut rng: ChaCha20Rng,
    ) -> Result<(Self, Said), Refusal> {
        let answers = Answers { round: None, model: spec.model() };
        let identity = device.identity();
        let advertising =
            client::advertise(spec, &identity, policy, &answers, marks, now, &mut rng)?;
        let signature = device.tpm.sign(advertising.statement()).0.to_vec();
        let (advertised, message) = advertising.sign(signature);
        let limits = *advertised.limits();
        let client = Client::Advertised(advertised);
        let registry = Registry::default();
        let entered = Self { device, registry, update, weight: None, rng, limits, client };
        Ok((entered, Said::Advertise(message.to_bytes())))
    }

    /// Counts with this weight, in a task that has weights.
    #[must_use]
    pub fn weighing(self, weight: f64) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// The stage that the device asks the aggregator for next; none once it is out or done.
    pub fn awaits(&self) -> Option<Stage> {
        match self.client {
            Client::Advertised(_) => Some(Stage::Roster),
            Client::Sharing(_) => Some(Stage::InboundShares),
            Client::Acknowledged(_) => Some(Stage::Sharers),
            Client::Checking(_) => Some(Stage::Survivors),
            Client::Signed(_) => Some(Stage::Quorum),
            Client::Masking(_) | Client::Unmasking(..) | Client::Done | Client::Out(_) => None,
        }
    }

    /// The device's own deadlines.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the device revealed its shares.
    pub fn is_done(&self) -> bool {
        matches!(self.client, Client::Done)
    }

    /// Why the device is out of the round, if it is.
    pub fn refused(&self) -> Option<Guard> {
        match self.client {
            Client::Out(guard) => guard,
            _ => None,
        }
    }

    /// The device restarts, or its power fails: what the round needs was in memory only.
    pub fn lose(&mut self) {
        self.client = Client::Out(None);
    }

    /// Hears what the aggregator answers when asked for a stage, and says what follows, in order.
    /// A stage that the device did not ask for is not heard.
    ///
    /// # Errors
    /// The guard that refused; the device is out of the round, says nothing now and nothing later.
    pub fn hear(&mut self, stage: Stage, bytes: &[u8], now: Now) -> Result<Vec<Said>, Refusal> {
        if self.awaits() != Some(stage) {
            return Ok(Vec::new());
        }
        self.answer(bytes, now).map_err(|error| {
            let Error::Refusal(refusal) = error else { panic!("{error}") };
            self.client = Client::Out(Some(refusal.guard));
            refusal
        })
    }

    fn answer(&mut self, bytes: &[u8], now: Now) -> Result<Vec<Said>, Error> {
        match std::mem::replace(&mut self.client, Client::Out(None)) {
            Client::Advertised(client) => {
                let (identity, membership) = (&self.device.identity, &mut self.registry);
                let (client, message) =
                    client.share(&decoded(bytes)?, identity, membership, now, &mut self.rng)?;
                self.client = Client::Sharing(client);
                Ok(vec![Said::Shares(message.to_bytes())])
            }
            Client::Sharing(client) => {
                let (client, message) = client.receive(&decoded(bytes)?, now)?;
                self.client = Client::Acknowledged(client);
                Ok(vec![Said::Ack(message.to_bytes())])
            }
            Client::Acknowledged(client) => {
                let client = client.sharers(&decoded(bytes)?, now)?;
                self.mask(client, now)
            }
            Client::Checking(client) => {
                let once = &mut self.device.once;
                let (client, message) = client.agree(&decoded(bytes)?, once, now)?;
                self.client = Client::Signed(client);
                Ok(vec![Said::Consistency(message.to_bytes())])
            }
            Client::Signed(client) => {
                let (client, agreed) = client.quorum(&decoded(bytes)?, now)?;
                let message = client.reveal(agreed, &mut self.device.once, now)?;
                self.client = Client::Done;
                Ok(vec![Said::Reveal(message.to_bytes())])
            }
            other => {
                self.client = other;
                Ok(Vec::new())
            }
        }
    }

    fn mask(&mut self, client: client::Masking, now: Now) -> Result<Vec<Said>, Error> {
        let quantized = client.prepare(&self.update, self.weight, &mut self.rng)?;
        let mut uploading = client.mask(quantized, &mut self.device.once, now)?;
        let mut said: Vec<Said> = (0..uploading.chunks())
            .map(|index| Said::Chunk { index, bytes: uploading.chunk(index) })
            .collect();
        said.push(Said::Masked(uploading.masked_input().to_bytes()));
        self.client = Client::Checking(uploading.acknowledged());
        Ok(said)
    }
}

/// A message of the aggregator, or the refusal that the agent makes of bytes that are none.
fn decoded<M: Message>(bytes: &[u8]) -> Result<M, Refusal> {
    let malformed = |error: CodecError| Refusal::new(Guard::Encoding, error.to_string());
    M::from_bytes(bytes).map_err(malformed)
}
