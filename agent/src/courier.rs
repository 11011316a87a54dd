//! The messages of one round, carried to the aggregator and back over one connection.
//!
//! Sending again is safe: the same bytes again count once. Every wait ends with the device's own
//! deadline, whatever the aggregator says.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use sealsum_attest::roster_proof::RosterProof;
use sealsum_daemon::{Failure, codes, time};
use sealsum_protocol::codec::{CodecError, Message};
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::Announcement;
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;

use crate::refusal;
use crate::upstream::{self, Answer, Backoff, Request, Upstream};

const OCTETS: &str = "application/octet-stream";
/// Longest proof: a place and a hash for each of 10,000 devices, as JSON, and the batch proof.
const PROOF_MAX: u64 = 8 << 20;
/// Longest that one request is held back by the server.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The time, for dates and for deadlines.
pub fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    Now {
        unix_s: u64::try_from(time::now_unix()).unwrap_or(0),
        steady_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Carries the messages of one round.
pub struct Courier {
    aggregator: Upstream,
    round: String,
}

impl Courier {
    /// For the round with this id.
    pub fn new(aggregator: Upstream, round: &str) -> Self {
        Self { aggregator, round: round.to_owned() }
    }

    /// Sends a message; it is taken when this returns.
    ///
    /// # Errors
    /// What the aggregator said, `deadline` if it could not be reached before `until_ms`.
    pub fn post(&self, step: &str, message: &impl Message, until_ms: u64) -> Result<(), Failure> {
        let bytes = message.to_bytes();
        let path = self.path(step);
        self.deliver(Request::post(&path, OCTETS, &bytes), until_ms)
    }

    /// Sends one chunk of the masked input.
    ///
    /// # Errors
    /// As [`Courier::post`].
    pub fn put_chunk(&self, index: usize, bytes: &[u8], until_ms: u64) -> Result<(), Failure> {
        let path = self.path(&format!("masked/{index}"));
        self.deliver(Request::put(&path, OCTETS, bytes), until_ms)
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// What the aggregator said, `deadline` if it did not come before `until_ms`, `encoding` if it
    /// is malformed.
    pub fn get<M: Message>(&self, step: &str, until_ms: u64) -> Result<M, Failure> {
        let body = self.wait_for(step, M::MAX_BYTES as u64, until_ms)?;
        M::from_bytes(&body).map_err(|error| malformed(step, &error))
    }

    fn wait_for(&self, step: &str, limit: u64, until_ms: u64) -> Result<Vec<u8>, Failure> {
        loop {
            let left = until_ms.saturating_sub(now().steady_ms);
            if left == 0 {
                return Err(self.late(step));
            }
            let wait = Duration::from_millis(left).min(WAIT_MAX);
            // Rounded up: a wait of 0 s would ask again and again within the last second.
            let path = self.path(&format!("{step}?wait={}", wait.as_secs().max(1)));
            let answer = self.persist(Request { wait, limit, ..Request::get(&path) }, until_ms)?;
            if answer.status != 204 {
                return Ok(answer.body);
            }
        }
    }

    /// Waits for the proof that the roster is in the authority's log.
    ///
    /// # Errors
    /// As [`Courier::get`]; `log_invalid` if it is malformed.
    pub fn roster_proof(&self, until_ms: u64) -> Result<RosterProof, Failure> {
        let body = self.wait_for("log", PROOF_MAX, until_ms)?;
        serde_json::from_slice(&body).map_err(|error| {
            Failure::new(
                codes::LOG_INVALID,
                format!("round {}: the proof of its roster is malformed: {error}", self.round),
                "report this to whoever runs the aggregator",
            )
        })
    }

    /// The aggregator itself.
    pub fn aggregator(&self) -> &Upstream {
        &self.aggregator
    }

    fn deliver(&self, request: Request<'_>, until_ms: u64) -> Result<(), Failure> {
        self.persist(request, until_ms).map(|_| ())
    }

    /// Repeats a request until it is answered or too late.
    fn persist(&self, request: Request<'_>, until_ms: u64) -> Result<Answer, Failure> {
        let mut backoff = Backoff::default();
        loop {
            match self.aggregator.demand(request) {
                Err(failure) if upstream::is_transient(&failure) => {
                    let pause = backoff.pause();
                    if now().steady_ms + pause.as_millis() as u64 >= until_ms {
                        return Err(failure);
                    }
                    tracing::info!(round = self.round, "{}; trying again", failure.message);
                    thread::sleep(pause);
                }
                answered => return answered,
            }
        }
    }

    /// Id of the round.
    pub fn round(&self) -> &str {
        &self.round
    }

    fn path(&self, step: &str) -> String {
        format!("/v1/rounds/{}/{step}", self.round)
    }

    fn late(&self, step: &str) -> Failure {
        Failure::new(
            codes::DEADLINE,
            format!("round {}: no {step} before this device's own deadline", self.round),
            "see the aggregator's log; raise deadlines_s of the task if devices are slow",
        )
    }
}

/// Rounds that this device could enter.
///
/// # Errors
/// What the aggregator said, `unreachable` and the like, `encoding`.
pub fn open_rounds(aggregator: &Upstream, wait: Duration) -> Result<Vec<RoundSpec>, Failure> {
    let path = format!("/v1/rounds/open?wait={}", wait.as_secs());
    let answer = aggregator.demand(Request {
        wait,
        limit: Announcement::MAX_BYTES as u64,
        ..Request::get(&path)
    })?;
    if answer.status == 204 {
        return Ok(Vec::new());
    }
    let announced = Announcement::from_bytes(&answer.body);
    announced.map(|announced| announced.rounds).map_err(|error| malformed("open", &error))
}

fn malformed(step: &str, error: &CodecError) -> Failure {
    refusal::failure(&Refusal::new(Guard::Encoding, format!("{step}: {error}")))
}
