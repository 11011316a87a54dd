//! The aggregator's state machine, obeyed, on the clock; and what the sum must be.

use std::num::NonZero;
use std::sync::Arc;

use sealsum_aggregator::sum;
use sealsum_protocol::client::Quantized;
use sealsum_protocol::codec::Message;
use sealsum_protocol::encoding::ChunkWords;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::mask::Backend;
use sealsum_protocol::server::{Event, Fetched, Incoming, Stage};
use sealsum_protocol::task::Task;
use sealsum_test_fleet::root_of;

use crate::clock::process_cpu;
use crate::obeyed::Obeyed;

/// The aggregator of one round.
pub(super) struct Server {
    pub(super) machine: Obeyed,
    /// CPU seconds so far.
    pub(super) server_s: f64,
    uploads: Vec<Vec<Vec<u8>>>,
    expected: Vec<i64>,
}

/// What was unmasked.
pub(super) struct Recovered {
    pub(super) masks: usize,
    pub(super) vector_bytes: usize,
}

impl Server {
    pub(super) fn open(devices: usize, task: Task) -> Self {
        Self {
            machine: Obeyed::open(task),
            server_s: 0.0,
            uploads: vec![Vec::new(); devices],
            expected: Vec::new(),
        }
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let (seconds, result) = process_cpu(|| work(self));
        self.server_s += seconds;
        result
    }

    pub(super) fn fetch(&mut self, device: DeviceId, stage: Stage) -> Arc<[u8]> {
        match self.timed(|server| server.machine.round.fetch(device, stage)) {
            Ok(Fetched::Ready(bytes)) => bytes,
            other => panic!("{stage:?}: {other:?}"),
        }
    }

    /// A message as it came.
    pub(super) fn receive<M: Message>(
        &mut self,
        from: DeviceId,
        bytes: &[u8],
        incoming: impl Fn(M) -> Incoming,
    ) {
        self.timed(|server| {
            let message = incoming(M::from_bytes(bytes).expect("a message"));
            server.machine.receive(from, message);
        });
    }

    pub(super) fn pass_deadline(&mut self) {
        if self.fetchable(Stage::Survivors) {
            return;
        }
        self.timed(|server| server.machine.pass_deadline());
    }

    fn fetchable(&self, stage: Stage) -> bool {
        let device = self.machine.cohort().device(0);
        matches!(self.machine.round.fetch(device, stage), Ok(Fetched::Ready(_)))
    }

    /// Adds a vector to what the sum must be.
    pub(super) fn expect(&mut self, steps: &[i64]) {
        self.expected.resize(steps.len(), 0);
        self.expected.iter_mut().zip(steps).for_each(|(sum, value)| *sum += value);
    }

    /// The same of a vector with noise, which is in nobody's hands but its client's.
    pub(super) fn expect_quantized(&mut self, quantized: &Quantized) {
        let layout = &self.machine.cohort().layout;
        let decode = |chunk| {
            let words = quantized.words(layout, chunk);
            layout.decode_chunk(chunk, &words, 1).expect("one canary")
        };
        let integers: Vec<i64> = (0..layout.chunks()).flat_map(decode).collect();
        self.expect(&integers);
    }

    /// Keeps a masked vector, and hashes it as it came.
    pub(super) fn store(&mut self, index: usize, chunks: Vec<Vec<u8>>) -> Hash {
        let root = self.timed(|_| root_of(&chunks));
        self.uploads[index] = chunks;
        root
    }

    /// Unmasks on one thread, and compares.
    pub(super) fn recover(&mut self, backend: Backend) -> Recovered {
        let recovery = self.machine.recovery.take().expect("enough answers").with_backend(backend);
        let layout = recovery.layout();
        let add = |device: usize, chunk: usize, bytes: &mut Vec<u8>, sum: &mut ChunkWords| {
            bytes.clone_from(&self.uploads[device][chunk]);
            layout.add_from_wire(chunk, bytes, sum).expect("an upload");
            Ok(())
        };
        let mut sum = Vec::with_capacity(layout.coordinates());
        let (seconds, unmasked) = process_cpu(|| -> std::io::Result<()> {
            sum::unmask(&recovery, NonZero::<usize>::MIN, add, |chunk, words| {
                sum.extend(recovery.decode_chunk(chunk, &words).expect("canaries that count"));
                Ok(())
            })
        });
        unmasked.expect("a thread");
        assert!(sum == self.expected, "a wrong sum");
        let vector_bytes = (0..layout.chunks()).map(|chunk| layout.chunk_wire_len(chunk)).sum();
        let masks = recovery.masks();
        self.server_s += seconds;
        self.timed(|server| server.machine.event(Event::Recovered { wrong_chunks: Vec::new() }));
        Recovered { masks, vector_bytes }
    }
}
