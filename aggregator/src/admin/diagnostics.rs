//! What stands out in the rounds of a task: nothing here sees a single device's part.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sealsum_protocol::ids::{DeviceId, RoundId};
use serde::{Deserialize, Serialize};

use crate::audit::NoiseAudit;
use crate::record::{RoundRecord, State};

/// `diagnostics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagnosticsBody {
    /// The task's name.
    pub task: String,
    /// Rounds looked at.
    pub rounds: u64,
    /// Those of them with a result.
    pub finished: u64,
    /// Contributors over roster, of all rounds with a roster.
    pub survival: Option<f64>,
    /// What stands out, oldest first.
    pub findings: Vec<Finding>,
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `norm_jump`, `noise_audit`, `round_aborted`, `device_blamed` or `device_drops_often`.
    pub code: String,
    /// The round, if it is about one.
    pub round: Option<RoundId>,
    /// The device, if it is about one.
    pub device: Option<DeviceId>,
    /// In words.
    pub message: String,
}

/// A norm this much above or below the last is worth a look.
const JUMP: f64 = 3.0;
/// A device lost in at least this many rounds, and in half of those that it joined.
const DROPS: u64 = 3;

/// Looks over the records of one task, oldest first.
pub fn diagnose(task: &str, records: &[RoundRecord]) -> DiagnosticsBody {
    let with_roster: Vec<&RoundRecord> =
        records.iter().filter(|record| !record.devices.roster.is_empty()).collect();
    let total = |count: fn(&RoundRecord) -> usize| -> f64 {
        with_roster.iter().map(|record| count(record) as f64).sum()
    };
    let joined = total(|record| record.devices.roster.len());
    let contributed = total(|record| record.devices.contributors.len());
    let mut findings: Vec<Finding> = records.iter().flat_map(findings_of_round).collect();
    findings.extend(frequent_losses(&with_roster));
    DiagnosticsBody {
        task: task.to_owned(),
        rounds: records.len() as u64,
        finished: records.iter().filter(|record| record.state == State::Finished).count() as u64,
        survival: (joined > 0.0).then(|| contributed / joined),
        findings,
    }
}

fn findings_of_round(record: &RoundRecord) -> Vec<Finding> {
    let finding = |code: &str, device: Option<DeviceId>, message: String| Finding {
        code: code.to_owned(),
        round: Some(record.round),
        device,
        message,
    };
    let number = record.number;
    let mut found = Vec::new();
    if let Some(abort) = &record.abort {
        let message = format!("round {number} was aborted: {} ({})", abort.message, abort.code);
        found.push(finding("round_aborted", None, message));
    }
    let ratio = record.result.as_ref().and_then(|result| result.norm_ratio);
    if let Some(ratio) = ratio.filter(|ratio| *ratio > JUMP || *ratio < 1.0 / JUMP) {
        let message = format!("the norm of round {number} is {ratio:.2} times the last");
        found.push(finding("norm_jump", None, message));
    }
    let audit = record.result.as_ref().and_then(|result| result.noise_audit);
    if let Some(audit) = audit.filter(NoiseAudit::strays) {
        let message = format!(
            "round {number} holds {:.0} % of the noise that was promised, where {:.0} % would be chance",
            audit.ratio * 100.0,
            audit.deviation * 100.0
        );
        found.push(finding("noise_audit", None, message));
    }
    found.extend(record.devices.blamed.iter().map(|blamed| {
        let message = format!("round {number}: device {} sent {}", blamed.device, blamed.code);
        finding("device_blamed", Some(blamed.device), message)
    }));
    found
}

fn frequent_losses(records: &[&RoundRecord]) -> Vec<Finding> {
    let mut counts: BTreeMap<DeviceId, (u64, u64)> = BTreeMap::new();
    for record in records {
        for device in &record.devices.roster {
            counts.entry(*device).or_default().1 += 1;
        }
        for dropped in &record.devices.dropped {
            counts.entry(dropped.device).or_default().0 += 1;
        }
    }
    let often = counts.into_iter().filter(|(_, (lost, of))| *lost >= DROPS && lost * 2 >= *of);
    often
        .map(|(device, (lost, of))| Finding {
            code: "device_drops_often".to_owned(),
            round: None,
            device: Some(device),
            message: format!("device {device} was lost in {lost} of {of} rounds"),
        })
        .collect()
}

impl DiagnosticsBody {
    /// For people.
    pub fn text(&self) -> String {
        let mut text =
            format!("task {}: {} rounds, {} finished", self.task, self.rounds, self.finished);
        if let Some(survival) = self.survival {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {:.0} % of devices stayed to the end", survival * 100.0);
        }
        for finding in &self.findings {
            let _ = write!(text, "\n{}: {}", finding.code, finding.message);
        }
        if self.findings.is_empty() {
            text.push_str("\nnothing stands out");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{result, running_record};
    use crate::record::{BlamedRecord, DroppedRecord, StepName};

    fn record(number: u64, lost: &[u8]) -> RoundRecord {
        let mut record = running_record(number);
        record.devices.roster = (0..4).map(|i| DeviceId([i; 32])).collect();
        record.devices.dropped = lost
            .iter()
            .map(|i| DroppedRecord { device: DeviceId([*i; 32]), step: StepName::Mask })
            .collect();
        record
    }

    #[test]
    fn quiet_rounds_have_no_findings() {
        let quiet = diagnose("t", &[record(1, &[2]), record(2, &[])]);
        assert_eq!((quiet.rounds, quiet.findings.len()), (2, 0));
        assert_eq!(diagnose("t", &[]).survival, None);
    }

    #[test]
    fn noise_that_strays_is_named() {
        let mut audited = record(1, &[]);
        let codes = |ratio: f64, audited: &mut RoundRecord| {
            let mut result = result();
            result.noise_audit = Some(NoiseAudit { ratio, deviation: 0.01 });
            audited.result = Some(result);
            diagnose("t", std::slice::from_ref(audited))
                .findings
                .into_iter()
                .map(|found| found.code)
                .collect()
        };
        let quiet: Vec<String> = codes(1.04, &mut audited);
        assert!(quiet.is_empty(), "{quiet:?}");
        assert_eq!(codes(0.9, &mut audited), ["noise_audit"]);
        assert_eq!(codes(1.1, &mut audited), ["noise_audit"]);
    }

    #[test]
    fn losses_and_blame_are_named() {
        let mut records: Vec<RoundRecord> = (1..=4).map(|n| record(n, &[3])).collect();
        records[0].devices.blamed =
            vec![BlamedRecord { device: DeviceId([1; 32]), code: "wrong_share".into() }];
        let found = diagnose("t", &records).findings;
        let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["device_blamed", "device_drops_often"]);
        assert_eq!(found[1].device, Some(DeviceId([3; 32])));
    }
}
