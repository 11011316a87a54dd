//! What `/metrics` counts. No label ever names a device.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealsum_daemon::{Program, health};
use sealsum_protocol::guard::Guard;

use crate::record::StepName;

/// The metrics of this program.
#[derive(Clone, Default)]
pub struct Metrics {
    rounds: Family<Outcome, Counter>,
    round_devices: Family<Step, Gauge>,
    devices: Family<DeviceState, Gauge>,
    certificate_expiry: Gauge<f64, AtomicU64>,
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
struct DeviceState {
    state: String,
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
        registry.register("sealsum_devices", "Devices by state", metrics.devices.clone());
        registry.register(
            "sealsum_certificate_expiry_seconds",
            "When this aggregator's certificate ends, in seconds since 1970",
            metrics.certificate_expiry.clone(),
        );
        registry.register(
            "sealsum_attestation_verdicts",
            "Roster entries by verdict on their certificate and signature",
            metrics.verdicts.clone(),
        );
        metrics.set_devices(0, 0);
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

    /// Devices connected and revoked.
    pub fn set_devices(&self, active: u64, revoked: u64) {
        for (state, count) in [("active", active), ("revoked", revoked)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.devices.get_or_create(&DeviceState { state: state.to_owned() }).set(count);
        }
    }

    /// When our certificate ends.
    pub fn set_certificate_expiry(&self, seconds: i64) {
        self.certificate_expiry.set(seconds as f64);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_names_are_there() {
        let (metrics, registry) = Metrics::register();
        metrics.round_ended("finished");
        metrics.step_devices(StepName::Mask, 9);
        metrics.entry(None);
        metrics.entry(Some(Guard::EntrySignature));
        metrics.set_certificate_expiry(1_800_000_000);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "sealsum_rounds_total{outcome=\"finished\"} 1",
            "sealsum_round_devices{step=\"mask\"} 9",
            "sealsum_devices{state=\"active\"} 0",
            "sealsum_attestation_verdicts_total{verdict=\"affirming\",reason=\"none\"} 1",
            "verdict=\"contraindicated\",reason=\"entry_signature\"} 1",
            "sealsum_certificate_expiry_seconds 1800000000",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("sealsum_build_info{"), "{text}");
    }
}
