//! What `/metrics` counts. No label ever names a device.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use sealsum_daemon::{Program, health};
use sealsum_protocol::guard::Guard;

use crate::record::StepName;

/// The metrics of this program.
#[derive(Clone, Default)]
pub struct Metrics {
    rounds: Family<Outcome, Counter>,
    round_devices: Family<Step, Gauge>,
    verdicts: Family<Verdict, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: String,
    reason: String,
}

impl Metrics {
    /// The metrics, and the registry they are read from.
    pub fn register() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = health::registry(Program::Aggregator, env!("CARGO_PKG_VERSION"));
        registry.register(
            "sealsum_rounds",
            "Rounds that ended, by outcome: finished or an abort code",
            metrics.rounds.clone(),
        );
        registry.register(
            "sealsum_round_devices",
            "Devices that completed the step of the latest round that came to it",
            metrics.round_devices.clone(),
        );
        registry.register(
            "sealsum_attestation_verdicts",
            "Roster entries by verdict on their certificate and signature",
            metrics.verdicts.clone(),
        );
        metrics.begin();
        (metrics, registry)
    }

    /// A family without a member is not shown, and what is not shown cannot be watched.
    fn begin(&self) {
        drop(self.rounds.get_or_create(&Outcome { outcome: "finished".to_owned() }));
        use StepName::{Advertise, Check, Mask, Share, Unmask};
        for step in [Advertise, Share, Mask, Check, Unmask] {
            self.step_devices(step, 0);
        }
        let (verdict, reason) = ("affirming".to_owned(), "none".to_owned());
        drop(self.verdicts.get_or_create(&Verdict { verdict, reason }));
    }

    /// A round ended.
    pub fn round_ended(&self, outcome: &str) {
        self.rounds.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc();
    }

    /// So many devices have completed a step.
    pub fn step_devices(&self, step: StepName, devices: usize) {
        let devices = i64::try_from(devices).unwrap_or(i64::MAX);
        self.round_devices.get_or_create(&Step { step: step.name().to_owned() }).set(devices);
    }

    /// A roster entry was taken, or refused by a guard.
    pub fn entry(&self, refused: Option<Guard>) {
        let (verdict, reason) = match refused {
            None => ("affirming", "none"),
            Some(guard) => ("contraindicated", guard.name()),
        };
        let labels = Verdict { verdict: verdict.to_owned(), reason: reason.to_owned() };
        self.verdicts.get_or_create(&labels).inc();
    }
}

/// What is true at the moment of asking.
pub trait Present: Send + Sync {
    /// Devices that are connected, and devices that are revoked.
    fn devices(&self) -> (u64, u64);

    /// Seconds until this aggregator's certificate ends.
    fn certificate_left_s(&self) -> i64;

    /// Entries in this aggregator's own log.
    fn log_size(&self) -> u64;
}

/// Adds the gauges of what is true at the moment of asking.
pub fn register_present<P: Present + 'static>(present: &Arc<P>, registry: &mut Registry) {
    let present: Weak<dyn Present> = Arc::<P>::downgrade(present);
    registry.register_collector(Box::new(Gauges(present)));
}

struct Gauges(Weak<dyn Present>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(present) = self.0.upgrade() else { return Ok(()) };
        let kind = || MetricType::Gauge;
        let (active, revoked) = present.devices();
        let what = "Devices that are connected, and devices that are revoked";
        let mut states = encoder.encode_descriptor("sealsum_devices", what, None, kind())?;
        for (state, count) in [("active", active), ("revoked", revoked)] {
            ConstGauge::new(count).encode(states.encode_family(&[("state", state)])?)?;
        }
        let what = "Seconds until this aggregator's certificate ends";
        let name = "sealsum_certificate_expiry_seconds";
        let left = ConstGauge::new(present.certificate_left_s());
        left.encode(encoder.encode_descriptor(name, what, None, kind())?)?;
        let what = "Entries in this aggregator's own log";
        let size = ConstGauge::new(present.log_size());
        size.encode(encoder.encode_descriptor("sealsum_log_size", what, None, kind())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Now;

    impl Present for Now {
        fn devices(&self) -> (u64, u64) {
            (3, 1)
        }

        fn certificate_left_s(&self) -> i64 {
            600
        }

        fn log_size(&self) -> u64 {
            7
        }
    }

    #[test]
    fn the_promised_names_are_there() {
        let (metrics, mut registry) = Metrics::register();
        let now = Arc::new(Now);
        register_present(&now, &mut registry);
        metrics.round_ended("finished");
        metrics.step_devices(StepName::Mask, 9);
        metrics.entry(None);
        metrics.entry(Some(Guard::EntrySignature));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "sealsum_rounds_total{outcome=\"finished\"} 1",
            "sealsum_round_devices{step=\"mask\"} 9",
            "sealsum_devices{state=\"active\"} 3",
            "sealsum_attestation_verdicts_total{verdict=\"affirming\",reason=\"none\"} 1",
            "verdict=\"contraindicated\",reason=\"entry_signature\"} 1",
            "sealsum_certificate_expiry_seconds 600",
            "sealsum_log_size 7",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("sealsum_build_info{"), "{text}");
    }
}
