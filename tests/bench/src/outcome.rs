//! What a round was like, of ours or of a peer: one line of JSON.

use serde::{Deserialize, Serialize};

/// Figures of one round, whose result was right.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) peer: String,
    pub(crate) clients: usize,
    pub(crate) coordinates: usize,
    pub(crate) dropped: usize,
    /// All of the protocol's, if all of it was run.
    pub(crate) cpu_s: Option<f64>,
    /// The mean of a client.
    pub(crate) client_cpu_s: f64,
    pub(crate) server_cpu_s: f64,
    /// The most that a client sends.
    pub(crate) upload_bytes: usize,
    pub(crate) peak_mb: Option<f64>,
    /// The largest difference from the plain sum, where a peer rounds.
    pub(crate) error: f64,
    /// Of ours only.
    #[serde(flatten)]
    pub(crate) counts: Option<Counts>,
}

/// What the cost model counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Neighbours.
    pub(crate) k: usize,
    /// Shares that rebuild a secret.
    pub(crate) t: usize,
    /// Signatures before anybody reveals.
    pub(crate) quorum: usize,
    /// Masks that the server takes off.
    pub(crate) masks: usize,
    /// Of a masked vector.
    pub(crate) vector_bytes: usize,
    /// Coordinates after rotation.
    pub(crate) padded: usize,
}

impl Outcome {
    /// Ours alone has them.
    pub(crate) fn counts(&self) -> &Counts {
        self.counts.as_ref().expect("a round of ours")
    }
}
