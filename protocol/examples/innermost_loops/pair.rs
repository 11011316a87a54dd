//! Two devices that agree on the seed of a mask. `tests/bench` includes this file.

use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::mask::Suite;
use sealsum_protocol::transcript::{SharedTranscript, Transcript};

/// One of the two, and what it knows of the other.
pub(crate) struct Pair {
    key: ExchangeKey,
    peer: [u8; 32],
    shared: SharedTranscript,
}

impl Pair {
    /// Always the same.
    pub(crate) fn new() -> Self {
        let key = ExchangeKey::from_bytes(&[1; 32]);
        let peer = ExchangeKey::from_bytes(&[2; 32]).public();
        let transcript = Transcript { params_hash: Hash([1; 32]), roster_root: Hash([2; 32]) };
        Self { key, peer, shared: SharedTranscript { transcript, sharers_hash: Hash([3; 32]) } }
    }

    /// One agreement and the seed that follows from it.
    pub(crate) fn agrees(&self) -> bool {
        let seed = self.shared.pair_seed(Suite::ChaCha20, (0, &self.key), (1, &self.peer));
        std::hint::black_box(seed).is_ok()
    }
}
