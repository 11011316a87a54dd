//! The sum, chunk by chunk: masked vectors from the disk, masks off, integers out.
//!
//! Runs on a thread of its own. In memory are one chunk of the sum and one of a device.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealsum_daemon::Failure;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::server::Recovery;
use sealsum_protocol::task::{Task, Weights};

use super::live::Live;
use super::{ending, report};
use crate::record::ResultRecord;
use crate::uploads::UploadError;
use crate::vector_file::VectorFile;

/// Between two words about progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// Starts unmasking; the round hears of the end.
pub(super) fn start(live: Arc<Live>, recovery: Recovery) {
    let spawned = std::thread::Builder::new().name("unmask".to_owned()).spawn({
        let live = Arc::clone(&live);
        move || run(&live, &recovery)
    });
    if let Err(error) = spawned {
        // On this thread the round's lock is held; the end must come from another.
        tracing::error!(round = %live.id(), %error, "no thread to unmask with");
        tokio::task::spawn_blocking(move || {
            live.failed(Failure::bug(format!("unmasking: no thread: {error}")));
        });
    }
}

fn run(live: &Arc<Live>, recovery: &Recovery) {
    match unmask(live, recovery) {
        Ok(unmasked) => {
            let wrong_chunks = unmasked.wrong_chunks.clone();
            live.recovered(wrong_chunks, || unmasked.finish(live));
        }
        Err(error) => live.failed(report::upload_failure(error)),
    }
}

/// A sum that is complete, or wrong.
struct Unmasked {
    vector: VectorFile,
    weight: Option<f64>,
    wrong_chunks: Vec<usize>,
}

fn unmask(live: &Live, recovery: &Recovery) -> Result<Unmasked, UploadError> {
    let task = &live.spec().signed_task.task;
    let layout = recovery.layout();
    let roster = live.roster();
    let contributors: Vec<DeviceId> =
        recovery.contributors().iter().map(|index| roster[*index]).collect();
    let path = ending::result_file(live.parts(), live.id());
    let mut vector = VectorFile::create(&path, task.coordinates.into())?;
    let mut weight = None;
    let mut wrong_chunks = Vec::new();
    let mut said = Instant::now();
    let mut bytes = Vec::new();
    for chunk in 0..layout.chunks() {
        let mut sum = layout.zero_chunk(chunk);
        for device in &contributors {
            live.uploads().read(*device, chunk, &mut bytes)?;
            sum.add_assign(&layout.from_wire(chunk, &bytes).map_err(UploadError::Shape)?);
        }
        recovery.unmask_chunk(chunk, &mut sum);
        match recovery.decode_chunk(chunk, &sum) {
            Ok(integers) => {
                let values = values(task, &integers);
                let start = layout.chunk_coordinates(chunk).start;
                let own = (task.coordinates as usize).saturating_sub(start).min(values.len());
                vector.push(&values[..own])?;
                // Behind the vector's coordinates there is the weight, or nothing.
                weight = values.get(own).copied().or(weight);
            }
            Err(error) => {
                tracing::error!(round = %live.id(), %error, "canary");
                wrong_chunks.push(chunk);
            }
        }
        if said.elapsed() >= PROGRESS {
            live.unmasked(chunk + 1, layout.chunks());
            said = Instant::now();
        }
    }
    Ok(Unmasked { vector, weight, wrong_chunks })
}

/// The sum in the task's own units: of vectors, or of vectors times their weights.
fn values(task: &Task, integers: &[i64]) -> Vec<f64> {
    let largest_weight = match task.weights {
        Weights::Equal => 1.0,
        Weights::UpTo(max) => f64::from(max),
    };
    let unit = largest_weight / task.scale as f64;
    integers.iter().map(|integer| *integer as f64 * unit).collect()
}

impl Unmasked {
    fn finish(self, live: &Live) -> Result<ResultRecord, Failure> {
        let failure = |error: io::Error| report::upload_failure(error.into());
        let written = self.vector.finish().map_err(failure)?;
        let last = live.parts().store.last_norm(live.task())?;
        Ok(ResultRecord {
            file_sha256: written.sha256,
            coordinates: live.spec().signed_task.task.coordinates.into(),
            dtype: "f64".to_owned(),
            kind: "sum".to_owned(),
            weight_sum: self.weight,
            norm: written.norm,
            norm_ratio: last.filter(|last| *last > 0.0).map(|last| written.norm / last),
            canary_ok: true,
        })
    }
}
