//! The aggregator's memory in a round of a thousand devices with vectors of a million.

use std::process::{Command, Stdio};

use sealsum_protocol::mask::{Backend, Suite};
use serde_json::Value;

use crate::programs::program;
use crate::summary::Row;

const DEVICES: &str = "1000";
const COORDINATES: &str = "1000000";
/// What an aggregator may take whatever the vectors, in units of 10^6 bytes.
const BASE_MB: f64 = 64.0;

/// Its peak above the base, over one packed masked vector.
pub(crate) fn row() -> Row {
    let report = play();
    let number = |value: &Value| value.as_f64().expect("a number");
    let peak = number(&report["aggregator"]["peak_mb"]);
    let vector = number(&report["vector_bytes"]) / 1e6;
    Row {
        name: "aggregator_peak_over_vector".to_owned(),
        value: peak,
        unit: "MB".to_owned(),
        peer: format!(
            "VmHWM less {BASE_MB} MB over one masked vector of {vector:.1} MB: n={DEVICES} \
             d={COORDINATES}, one in ten lost"
        ),
        ratio: (peak - BASE_MB) / vector,
        higher_is_better: false,
        target: Some(4.0),
        backend: Backend::detect(Suite::ChaCha20).name().to_owned(),
    }
}

/// What the load generator, which checks the sum, reports of its one round.
fn play() -> Value {
    let output = Command::new(program("sealsum-loadgen"))
        .args(["--scenario", "scale", "--devices", DEVICES, "--coordinates", COORDINATES])
        .args(["--format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("the load generator");
    assert!(output.status.success(), "the load generator: {}", output.status);
    let mut envelope: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    envelope["data"].take()
}
