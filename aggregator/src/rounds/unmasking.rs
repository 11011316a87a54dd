//! The sum, chunk by chunk: masked vectors from the disk, masks off, integers out.
//!
//! Runs on a thread of its own, which has [`sum`] use all cores. The whole sum is in memory if it is
//! to be rotated back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealsum_daemon::Failure;
use sealsum_protocol::encoding::ChunkWords;
use sealsum_protocol::server::Recovery;

use super::decoding::Decoding;
use super::live::Live;
use super::{ending, report};
use crate::audit::NoiseAudit;
use crate::codes;
use crate::privacy::Noise;
use crate::record::ResultRecord;
use crate::sum;
use crate::uploads::UploadError;

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
            live.recovered(wrong_chunks, |noise| unmasked.finish(live, noise));
        }
        Err(error) => live.failed(report::upload_failure(error)),
    }
}

/// A sum that is complete, or wrong.
struct Unmasked {
    sum: Decoding,
    contributors: usize,
    wrong_chunks: Vec<usize>,
}

fn unmask(live: &Live, recovery: &Recovery) -> Result<Unmasked, UploadError> {
    let layout = recovery.layout();
    let roster = live.roster();
    let path = ending::result_file(live.parts(), live.id());
    let mut decoding = Decoding::create(&path, live.spec())?;
    let mut wrong_chunks = Vec::new();
    let mut said = Instant::now();
    let add = |device: usize, chunk: usize, bytes: &mut Vec<u8>, sum: &mut ChunkWords| {
        live.uploads().read(roster[device], chunk, bytes)?;
        layout.add_from_wire(chunk, bytes, sum).map_err(UploadError::Shape)
    };
    live.unmasked(0, layout.chunks());
    sum::unmask(recovery, sum::threads(), add, |chunk, sum| {
        match recovery.decode_chunk(chunk, &sum) {
            Ok(integers) => decoding.push(&integers)?,
            Err(error) => {
                tracing::error!(round = %live.id(), %error, "canary");
                wrong_chunks.push(chunk);
            }
        }
        if said.elapsed() >= PROGRESS {
            live.unmasked(chunk + 1, layout.chunks());
            said = Instant::now();
        }
        Ok(())
    })?;
    if wrong_chunks.is_empty() {
        decoding.complete()?;
    }
    let contributors = recovery.contributors().len();
    Ok(Unmasked { sum: decoding, contributors, wrong_chunks })
}

impl Unmasked {
    fn finish(self, live: &Live, noise: Option<&Noise>) -> Result<ResultRecord, Failure> {
        let task = &live.spec().signed_task.task;
        let failure = |error: io::Error| report::upload_failure(error.into());
        let audit = noise.zip(self.sum.padding()).map(|(noise, padding)| {
            padding.audit(noise.variance_in_units() * self.contributors as f64)
        });
        if let Some(audit) = audit {
            demand_noise(&audit)?;
        }
        let decoded = self.sum.finish().map_err(failure)?;
        let norm = decoded.written.norm;
        let last = live.parts().store.last_norm(live.task())?;
        Ok(ResultRecord {
            file_sha256: decoded.written.sha256,
            coordinates: task.coordinates.into(),
            dtype: "f64".to_owned(),
            kind: "sum".to_owned(),
            weight_sum: decoded.weight,
            norm,
            norm_ratio: last.filter(|last| *last > 0.0).map(|last| norm / last),
            noise_deviation: noise.map(|noise| noise.deviation(task, self.contributors)),
            noise_audit: audit,
            canary_ok: true,
        })
    }
}

/// A sum that lacks its noise would be published at the contributors' cost.
fn demand_noise(audit: &NoiseAudit) -> Result<(), Failure> {
    if !audit.is_too_quiet() {
        return Ok(());
    }
    Err(Failure::new(
        codes::NOISE_MISSING,
        format!("the sum holds {:.0} % of the noise that was promised", audit.ratio * 100.0),
        "look for devices that run without noise: an old agent, or a changed one",
    ))
}
