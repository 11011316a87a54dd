//! The clients of a round, one after the other, on the clock.

use sealsum_protocol::client::{
    self, Acknowledged, Advertised, Answers, Checking, Masking, Sharing, Signed,
};
use sealsum_protocol::codec::Message;
use sealsum_protocol::error::Error;
use sealsum_protocol::mask::Backend;
use sealsum_protocol::messages::{
    Advertise, InboundShares, MaskedInput, Quorum, Roster, Sharers, Survivors,
};
use sealsum_protocol::server::{Incoming, Stage};
use sealsum_test_fleet::{Device, Marks, Registry, START, entry_rng, policy};

use super::server::Server;
use super::{Shape, vectors};
use crate::clock::thread_cpu;

/// Each with its place and where it is in the round.
pub(super) type Each<T> = Vec<(usize, Device, T)>;
type Rng = rand_chacha::ChaCha20Rng;

/// What the clients have cost.
pub(super) struct Clients {
    pub(super) shape: Shape,
    pub(super) backend: Backend,
    /// CPU seconds of all.
    pub(super) client_s: f64,
    /// Bytes sent by each.
    pub(super) sent: Vec<usize>,
}

impl Clients {
    /// A client's work on the clock.
    fn timed<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (seconds, result) = thread_cpu(work);
        self.client_s += seconds;
        result
    }

    /// A step: each reads a stage, and says something.
    fn step<A, M: Message, B, R: Message>(
        &mut self,
        server: &mut Server,
        clients: Each<A>,
        stage: Stage,
        mut work: impl FnMut(A, &M, &mut Device) -> Result<(B, R), Error>,
        incoming: impl Fn(R) -> Incoming,
    ) -> Each<B> {
        let mut next = Vec::with_capacity(clients.len());
        for (index, mut device, client) in clients {
            let heard = server.fetch(device.id, stage);
            let (client, said) = self.timed(|| {
                let heard = M::from_bytes(&heard).expect("a message");
                let (client, said) = work(client, &heard, &mut device).expect("an honest server");
                (client, said.to_bytes())
            });
            self.sent[index] += said.len();
            server.receive(device.id, &said, &incoming);
            next.push((index, device, client));
        }
        next
    }

    /// A step in which each only hears.
    fn hear<A, M: Message, B>(
        &mut self,
        server: &mut Server,
        clients: Each<A>,
        stage: Stage,
        work: impl Fn(A, &M) -> Result<B, Error>,
    ) -> Each<B> {
        let hear = |(index, device, client): (usize, Device, A)| {
            let heard = server.fetch(device.id, stage);
            let client = self.timed(|| {
                let heard = M::from_bytes(&heard).expect("a message");
                work(client, &heard).expect("an honest server")
            });
            (index, device, client)
        };
        clients.into_iter().map(hear).collect()
    }

    /// Everybody enters, with keys signed.
    pub(super) fn enter(&mut self, server: &mut Server) -> Each<Advertised> {
        let (spec, policy) = (server.machine.round.spec().clone(), policy());
        let mut entered = Vec::new();
        for index in 0..self.shape.clients {
            let device = Device::new(index);
            let answers = Answers { round: None, model: spec.model() };
            let (advertised, said) = self.timed(|| {
                let (identity, mut marks) = (device.identity(), Marks::default());
                let rng = &mut entry_rng(index);
                let spec = spec.clone();
                let advertising =
                    client::advertise(spec, &identity, &policy, &answers, &mut marks, START, rng)
                        .expect("a task to take part in");
                let signature = device.tpm.sign(advertising.statement()).0.to_vec();
                let (advertised, message) = advertising.sign(signature);
                (advertised, message.to_bytes())
            });
            self.sent[index] += said.len();
            server.receive(device.id, &said, |message: Advertise| {
                Incoming::Advertise(Box::new(message))
            });
            entered.push((index, device, advertised));
        }
        entered
    }

    /// Shares are dealt, taken and acknowledged; then all but the lost upload.
    pub(super) fn upload(
        &mut self,
        server: &mut Server,
        entered: Each<Advertised>,
        rng: &mut Rng,
    ) -> Each<Checking> {
        let share = |client: Advertised, roster: &Roster, device: &mut Device| {
            // A registry of its own has verified nothing yet.
            let mut registry = Registry::default();
            client.share(roster, &device.identity, &mut registry, START, rng)
        };
        let sharing = self.step(server, entered, Stage::Roster, share, Incoming::Shares);
        let receive = |client: Sharing, inbound: &InboundShares, _: &mut Device| {
            client.receive(inbound, START)
        };
        let held = self.step(server, sharing, Stage::InboundShares, receive, Incoming::Ack);
        let sharers = |client: Acknowledged, sharers: &Sharers| client.sharers(sharers, START);
        let mut masking = self.hear(server, held, Stage::Sharers, sharers);
        drop(masking.drain(..self.shape.dropped));
        let masked = |(index, device, client)| self.mask(server, index, device, client, rng);
        let checking = masking.into_iter().map(masked).collect();
        server.pass_deadline();
        checking
    }

    fn mask(
        &mut self,
        server: &mut Server,
        index: usize,
        mut device: Device,
        client: Masking,
        rng: &mut Rng,
    ) -> (usize, Device, Checking) {
        let steps = vectors::steps(&self.shape, index);
        let update = vectors::update(&self.shape, &steps);
        let quantized = self.timed(|| client.prepare(&update, None, rng).expect("a vector"));
        drop(update);
        if self.shape.private {
            server.expect_quantized(&quantized);
        } else {
            server.expect(&steps);
        }
        let backend = self.backend;
        let (chunks, uploading, said) = self.timed(|| {
            let uploading = client.mask(quantized, &mut device.once, START).expect("masks");
            let mut uploading = uploading.with_backend(backend);
            let chunks: Vec<Vec<u8>> =
                (0..uploading.chunks()).map(|chunk| uploading.chunk(chunk)).collect();
            let said = uploading.masked_input().to_bytes();
            (chunks, uploading, said)
        });
        self.sent[index] += said.len() + chunks.iter().map(Vec::len).sum::<usize>();
        let received_root = server.store(index, chunks);
        server.receive(device.id, &said, |message: MaskedInput| Incoming::Masked {
            message,
            received_root,
        });
        (index, device, uploading.acknowledged())
    }

    /// The survivors sign the sets, take the quorum and reveal.
    pub(super) fn reveal(&mut self, server: &mut Server, checking: Each<Checking>) {
        let agree = |client: Checking, survivors: &Survivors, device: &mut Device| {
            client.agree(survivors, &mut device.once, START)
        };
        let signed = self.step(server, checking, Stage::Survivors, agree, Incoming::Consistency);
        let reveal = |client: Signed, quorum: &Quorum, device: &mut Device| {
            let (unmasking, agreed) = client.quorum(quorum, START)?;
            Ok(((), unmasking.reveal(agreed, &mut device.once, START)?))
        };
        self.step(server, signed, Stage::Quorum, reveal, Incoming::Reveal);
    }
}
