//! What the privacy step costs a device, beside one mask in portable code.

#[path = "../../../protocol/examples/dp_step/step.rs"]
mod step;

use serde_json::Value;

use crate::clock::thread_cpu_s;
use crate::summary::Row;

/// Clip, rotate, round, check and add noise.
pub(crate) struct Step(Value);

impl Step {
    /// Of this moment, on the clock of this thread.
    pub(crate) fn now() -> Self {
        Self(step::measure(thread_cpu_s).as_json())
    }

    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().expect("a number")
    }

    /// Seconds for a vector of so many coordinates, with the table of the noise.
    pub(crate) fn of(&self, coordinates: usize) -> f64 {
        let share = coordinates as f64 / self.number("coordinates");
        (self.number("step_ms") * share + self.number("table_ms")) / 1e3
    }

    /// The step over one mask.
    pub(crate) fn row(&self) -> Row {
        Row {
            name: "dp_step_over_one_mask".to_owned(),
            value: self.number("step_ms"),
            unit: "ms".to_owned(),
            peer: format!("one ChaCha20 mask in portable code, d={}", self.0["coordinates"]),
            ratio: self.number("dp_step_over_one_mask"),
            higher_is_better: false,
            target: Some(8.0),
            backend: "portable".to_owned(),
        }
    }
}
