//! `/readyz` and `/metrics` of an agent with `[health] listen`. No label names a device or a task.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sealsum_daemon::Program;
use sealsum_daemon::health::{self, Readiness};

use crate::clock;
use crate::service::Service;

/// The reasons why this device is not fit for rounds.
pub fn readiness(service: &Arc<Service>) -> Readiness {
    let service = service.clone();
    Arc::new(move || {
        let problems = service.status(clock::now()).problems;
        problems.into_iter().map(|problem| problem.message).collect()
    })
}

/// Build, certificate and waiting updates.
pub fn registry(service: &Arc<Service>) -> Arc<Registry> {
    let mut registry = health::registry(Program::Agent, env!("CARGO_PKG_VERSION"));
    registry.register_collector(Box::new(Present(service.clone())));
    Arc::new(registry)
}

/// Read when asked, so that nothing has to be kept up to date.
struct Present(Arc<Service>);

impl std::fmt::Debug for Present {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Present")
    }
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let left = self.0.device().certificate.not_after.duration_since(clock::now()).as_secs();
        let waiting = self.0.pending().list().len() as i64;
        let gauges = [
            ("sealsum_certificate_expiry_seconds", "Seconds until the certificate ends", left),
            ("sealsum_pending_updates", "Updates that wait for a round", waiting),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
