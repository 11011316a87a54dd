//! What `/metrics` shows. Counters are counted as things happen, gauges are read when asked for.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sealsum_daemon::Failure;

use crate::authority::Authority;

/// One verdict on a device's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
    /// The error code, with the number of the check if there is one.
    reason: String,
}

/// The counters.
pub struct Metrics {
    verdicts: Family<Verdict, Counter>,
}

impl Default for Metrics {
    /// All zero, and shown as such before the first verdict.
    fn default() -> Self {
        let verdicts = Family::<Verdict, Counter>::default();
        drop(verdicts.get_or_create(&Verdict { verdict: "accepted", reason: "none".into() }));
        Self { verdicts }
    }
}

impl Metrics {
    /// Counts the outcome of an enrolment or renewal.
    pub(crate) fn count_verdict<T>(&self, outcome: &Result<T, Failure>) {
        let (verdict, reason) = match outcome {
            Ok(_) => ("accepted", "none".to_owned()),
            Err(failure) => ("refused", reason(failure)),
        };
        self.verdicts.get_or_create(&Verdict { verdict, reason }).inc();
    }
}

fn reason(failure: &Failure) -> String {
    match &failure.check {
        Some(check) => format!("{}_{check}", failure.code.name()),
        None => failure.code.name().to_owned(),
    }
}

/// Adds the authority's metrics to `registry`.
pub fn register(authority: &Arc<Authority>, registry: &mut Registry) {
    registry.register(
        "sealsum_attestation_verdicts",
        "Judged enrolments and renewals",
        authority.metrics.verdicts.clone(),
    );
    registry.register_collector(Box::new(Gauges(Arc::downgrade(authority))));
}

struct Gauges(Weak<Authority>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(authority) = self.0.upgrade() else { return Ok(()) };
        let now = sealsum_daemon::time::now();
        let summary = authority.summary(now).map_err(|error| {
            tracing::error!(%error, "metrics could not be read");
            fmt::Error
        })?;
        let devices = summary.devices;
        let mut states =
            encoder.encode_descriptor("sealsum_devices", "Enrolled devices", None, kind())?;
        for (state, count) in [
            ("active", devices.active),
            ("expired", devices.expired),
            ("revoked", devices.revoked),
            ("cloned", devices.cloned),
        ] {
            let gauge = ConstGauge::new(count);
            gauge.encode(states.encode_family(&[("state", state)])?)?;
        }
        let expiry = ConstGauge::new(authority.own_not_after().duration_since(now).as_secs());
        let what = "Seconds until the authority's own certificate ends";
        let name = "sealsum_certificate_expiry_seconds";
        expiry.encode(encoder.encode_descriptor(name, what, None, kind())?)?;
        let size = ConstGauge::new(summary.log.size);
        let what = "Entries of the log";
        size.encode(encoder.encode_descriptor("sealsum_log_size", what, None, kind())?)
    }
}

const fn kind() -> prometheus_client::metrics::MetricType {
    prometheus_client::metrics::MetricType::Gauge
}
