//! A client's masks: keys agreed with its neighbours, all masks added to its vector, the chunks as
//! they go on the wire and their hashes. Clipping, rounding and noise come before, the roster's
//! verification before that; neither is in this.

use sealsum_protocol::client::Uploading;
use sealsum_protocol::mask::Backend;
use sealsum_test_fleet::{Rehearsal, take, task};

use crate::alternate::median;
use crate::clock::thread_cpu;
use crate::cohort::adapt;
use crate::model::Rates;
use crate::summary::Row;

const DEVICES: usize = 100;
const COORDINATES: usize = 1_000_000;
const ROUNDS: usize = 7;

/// One client's masks against the model.
pub(crate) fn row(backend: Backend) -> Row {
    let task = task(DEVICES, |fields| adapt(fields, DEVICES, COORDINATES));
    let mut rehearsal = Rehearsal::new(DEVICES, task);
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    let (mut cpu, mut ratios) = (Vec::new(), Vec::new());
    for index in 0..ROUNDS {
        let masking = take!(rehearsal, index, Masking);
        let update = vec![1.0 / COORDINATES as f64; COORDINATES];
        let quantized = masking.prepare(&update, None, &mut rehearsal.rng).expect("a vector");
        let once = &mut rehearsal.devices[index].once;
        let (seconds, bytes) = thread_cpu(|| {
            let uploading = masking.mask(quantized, once, rehearsal.now).expect("masks");
            upload(&uploading.with_backend(backend))
        });
        let rates = Rates::now(2);
        ratios.push(seconds / model(bytes, &rates));
        cpu.push(seconds);
    }
    Row {
        name: "client_masks_vs_model".to_owned(),
        value: median(cpu),
        unit: "s".to_owned(),
        peer: format!("cost model: n={DEVICES} k={} d={COORDINATES}", DEVICES - 1),
        ratio: median(ratios),
        higher_is_better: false,
        target: None,
        backend: backend.name().to_owned(),
    }
}

/// Every chunk as it would be sent.
fn upload(uploading: &Uploading) -> usize {
    (0..uploading.chunks()).map(|chunk| std::hint::black_box(uploading.chunk(chunk)).len()).sum()
}

/// k T + (k + 1) w / R, and w / A to put the vector into words.
fn model(bytes: usize, rates: &Rates) -> f64 {
    let (k, bytes) = ((DEVICES - 1) as f64, bytes as f64);
    k * rates.agreement + (k + 1.0) * bytes * rates.stream_byte + bytes * rates.added_byte
}
