//! All that a client computes in a round with noise: its keys, the roster, the privacy step, masks,
//! hashes, signatures.

use sealsum_protocol::mask::Backend;

use crate::dp_step::Step;
use crate::round::{Shape, run};
use crate::round_model::Primitives;
use crate::summary::Row;

const CLIENTS: usize = 100;
const COORDINATES: usize = 1_000_000;

/// The mean client against the model.
pub(crate) fn row(backend: Backend, step: &Step) -> Row {
    let shape = Shape { private: true, ..Shape::new(CLIENTS, COORDINATES, 0) };
    let round = run(&shape, backend);
    let (k, t) = (round.counts().k, round.counts().t);
    let model = Primitives::now(k, t).client(&round, Some(step));
    Row {
        name: "client_vs_model".to_owned(),
        value: round.client_cpu_s,
        unit: "s".to_owned(),
        peer: format!(
            "cost model: n={CLIENTS} k={k} Q={} d={COORDINATES}, with noise",
            round.counts().quorum
        ),
        ratio: round.client_cpu_s / model,
        higher_is_better: false,
        target: Some(1.3),
        backend: backend.name().to_owned(),
    }
}
