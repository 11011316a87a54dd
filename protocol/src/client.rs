//! The device's side of a round: one type for each step, each consumed by the next.
//!
//! ```text
//! advertise ──▶ Advertising ─ sign ─▶ Advertised          TPM signs the entry in between
//!                                       │ share(roster)
//!                                    Sharing ─ receive ─▶ Acknowledged
//!                                                           │ sharers(U2)
//!                                                        Masking ─ prepare, mask ─▶ Uploading
//!                                                                                     │ acknowledged
//!               reveal ◀─ (Unmasking, SurvivorsAgreed) ◀─ quorum ─ Signed ◀─ agree ─ Checking
//! ```
//!
//! A step that fails consumes its state: the secrets are erased and the device is out of the
//! round. A state cannot be cloned, stored or taken twice, so nothing is signed, masked or revealed
//! twice from one memory; against copies of the memory there is [`once::Once`]. The answers are
//! values; to send one again, send the same bytes again.

pub mod advertise;
pub mod check;
pub mod mask;
pub mod once;
pub mod roster;
pub mod share;
pub mod unmask;

pub use advertise::{Advertised, Advertising, Answers, Identity, Mark, RoundMarks, advertise};
pub use check::{Checking, Signed, SurvivorsAgreed};
pub use mask::{Masking, Quantized, Uploading, prepare};
pub use once::{Once, OnceCounter};
pub use roster::VerifiedRoster;
pub use share::{Acknowledged, Sharing};
pub use unmask::Unmasking;

use std::sync::Arc;

use crate::bitmap::Bitmap;
use crate::cohort::Cohort;
use crate::error::{Refusal, require};
use crate::guard::Guard;
use crate::signature::SecretKey;
use crate::task::Deadlines;
use crate::time::Now;

/// How much later than the aggregator's deadline a message may arrive, in milliseconds.
pub const GRACE_MS: u64 = 5_000;

/// The device's own last moments for each message of the aggregator, in steady milliseconds. The
/// device entered after the round opened, so the sums of the task's deadlines bound them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the roster.
    pub roster: u64,
    /// For the shares of the neighbours.
    pub inbound: u64,
    /// For the set that shared.
    pub sharers: u64,
    /// For the survivors.
    pub survivors: u64,
    /// For the quorum.
    pub quorum: u64,
    /// For the answer to it; everything is erased by then.
    pub end: u64,
}

impl Limits {
    fn new(started_ms: u64, deadlines: &Deadlines) -> Self {
        let mut at = started_ms + GRACE_MS;
        let mut after = |seconds: u32| {
            at += u64::from(seconds) * 1000;
            at
        };
        Self {
            roster: after(deadlines.advertise),
            inbound: after(deadlines.share),
            sharers: after(deadlines.share),
            survivors: after(deadlines.mask),
            quorum: after(deadlines.check),
            end: after(deadlines.unmask),
        }
    }
}

/// A device's place in a round, from the roster on.
pub struct Seat {
    cohort: Arc<Cohort>,
    own: usize,
    signing: SecretKey,
    limits: Limits,
}

impl Seat {
    /// The roster and what follows from it.
    pub fn cohort(&self) -> &Cohort {
        &self.cohort
    }

    /// This device's place in the roster.
    pub fn own(&self) -> usize {
        self.own
    }

    /// The device's own deadlines.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn neighbours_in(&self, set: &Bitmap) -> Vec<usize> {
        self.cohort.neighbours_in(self.own, set).collect()
    }

    fn check_size(&self, set: &Bitmap, guard: Guard) -> Result<(), Refusal> {
        let n = self.cohort.size();
        require(set.len() == n, guard, || format!("a set of {} places, not {n}", set.len()))
    }
}

fn in_time(now: Now, limit_ms: u64, what: &str) -> Result<(), Refusal> {
    require(now.steady_ms <= limit_ms, Guard::Deadline, || {
        format!("{what} came {} ms too late", now.steady_ms.saturating_sub(limit_ms))
    })
}
