//! A whole round of ours in one process: real clients, a real server, bytes between them.
//!
//! Devices have software keys in place of a TPM's, and each verifies every signature of the roster
//! itself, as a device does; certificates are plain, not X.509. Messages go by a call, encoded and
//! decoded; there is no network and nothing is written to disk. The sum is compared in every
//! coordinate.

mod clients;
mod server;
mod vectors;

use rand_core::SeedableRng;
use sealsum_protocol::mask::{Backend, Suite};
use sealsum_protocol::task::Task;
use sealsum_test_fleet::task;

use crate::memory;
use crate::outcome::{Counts, Outcome};
use clients::Clients;
use server::Server;

/// What is summed by whom.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) clients: usize,
    pub(crate) coordinates: usize,
    /// Lost after they shared their keys, before they upload.
    pub(crate) dropped: usize,
    pub(crate) ring_bits: u8,
    pub(crate) suite: Suite,
    /// Clipped to 1, rotated, with noise; or exact integers.
    pub(crate) private: bool,
}

impl Shape {
    /// ChaCha20, a ring of 21 bits, exact integers.
    pub(crate) fn new(clients: usize, coordinates: usize, dropped: usize) -> Self {
        let suite = Suite::ChaCha20;
        Self { clients, coordinates, dropped, ring_bits: 21, suite, private: false }
    }

    fn task(&self) -> Task {
        task(self.clients, |fields| vectors::adapt(fields, self))
    }
}

/// Runs the round and checks its sum.
pub(crate) fn run(shape: &Shape, backend: Backend) -> Outcome {
    let mut server = Server::open(shape.clients, shape.task());
    let mut clients =
        Clients { shape: *shape, backend, client_s: 0.0, sent: vec![0; shape.clients] };
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let devices = clients.enter(&mut server);
    let checking = clients.upload(&mut server, devices, &mut rng);
    clients.reveal(&mut server, checking);
    let recovered = server.recover(backend);
    let cohort = server.machine.cohort();
    Outcome {
        peer: "sealsum".to_owned(),
        clients: shape.clients,
        coordinates: shape.coordinates,
        dropped: shape.dropped,
        cpu_s: Some(clients.client_s + server.server_s),
        client_cpu_s: clients.client_s / shape.clients as f64,
        server_cpu_s: server.server_s,
        upload_bytes: *clients.sent.iter().max().expect("clients"),
        peak_mb: memory::of(std::process::id(), "VmHWM"),
        error: 0.0,
        counts: Some(Counts {
            k: cohort.parameters.k,
            t: cohort.parameters.t,
            quorum: cohort.parameters.quorum,
            masks: recovered.masks,
            vector_bytes: recovered.vector_bytes,
            padded: cohort.layout.coordinates(),
        }),
    }
}
