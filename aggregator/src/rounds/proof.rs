//! The proof that the members of a round are in the authority's log: had once, when the roster is
//! fixed, and shown to each of them. Without it the round ends.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use sealsum_daemon::codes::Exit;
use sealsum_daemon::{Failure, codes as common};
use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::Roster;

use super::live::Live;
use crate::codes;

/// Between two attempts while the authority cannot be reached.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts asking; the round hears of the end.
pub(super) fn start(live: Arc<Live>, roster: Arc<[u8]>) {
    let spawned = thread::Builder::new().name("roster-proof".to_owned()).spawn({
        let live = Arc::clone(&live);
        move || match ask(&live, &roster) {
            Ok(proof) => live.proven(proof),
            Err(failure) => live.failed(failure),
        }
    });
    if let Err(error) = spawned {
        // On this thread the round's lock is held; the end must come from another.
        tokio::task::spawn_blocking(move || {
            live.failed(Failure::bug(format!("roster proof: no thread: {error}")));
        });
    }
}

fn ask(live: &Live, roster: &[u8]) -> Result<Bytes, Failure> {
    let roster = Roster::from_bytes(roster)
        .map_err(|error| Failure::bug(format!("roster proof: {error}")))?;
    let certificates: Vec<Vec<u8>> =
        roster.entries.into_iter().map(|signed| signed.certificate).collect();
    let until = Instant::now() + patience(live);
    loop {
        match live.parts().prove(&certificates) {
            Ok(proof) => {
                let encoded = serde_json::to_vec(&proof);
                let encoded = encoded.map_err(|error| Failure::bug(format!("proof: {error}")))?;
                return Ok(encoded.into());
            }
            Err(failure) if failure.code.exit() == Exit::Unreachable => {
                tracing::warn!(round = %live.id(), %failure, "no proof for the roster yet");
                if Instant::now() + PAUSE >= until || !live.is_running() {
                    return Err(no_proof(failure));
                }
                thread::sleep(PAUSE);
            }
            Err(failure) => return Err(no_proof(failure)),
        }
    }
}

/// Nearly the time that devices have to share: the end must say why, not only that it is late.
fn patience(live: &Live) -> Duration {
    let share_s = live.spec().signed_task.task.deadlines_s.share;
    Duration::from_secs(share_s.into()).mul_f64(0.9)
}

/// Why the round ends.
fn no_proof(failure: Failure) -> Failure {
    let code = match failure.code.exit() {
        Exit::Unreachable => common::UNREACHABLE,
        _ if failure.code == common::LOG_FORK => common::LOG_FORK,
        _ => codes::LOG_UNPROVEN,
    };
    let message = format!("its members are not shown to be in the log: {}", failure.message);
    Failure::new(code, message, failure.hint)
}
