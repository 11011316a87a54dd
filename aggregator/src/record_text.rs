//! A round's record for people.

use std::fmt::Write as _;

use crate::record::{RoundRecord, State};

impl RoundRecord {
    /// Some lines.
    pub fn text(&self) -> String {
        let mut text = format!("round {} of {}: {}\n", self.number, self.task, self.state.name());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "id {}", self.round);
        let devices = &self.devices;
        let _ = writeln!(
            text,
            "devices: {} joined, {} shared, {} contributed, {} lost, {} signed",
            devices.roster.len(),
            devices.shared.len(),
            devices.contributors.len(),
            devices.dropped.len(),
            devices.signers.len()
        );
        for blamed in &devices.blamed {
            let _ = writeln!(text, "blamed: {} ({})", blamed.device, blamed.code);
        }
        match self.state {
            State::Running => {
                let step = self.step.map_or("starting", |step| step.name());
                let _ = writeln!(text, "step: {step}");
            }
            State::Aborted => {
                if let Some(abort) = &self.abort {
                    let _ = writeln!(text, "aborted: {} ({})", abort.message, abort.code);
                }
            }
            State::Finished => self.write_result(&mut text),
        }
        text
    }

    fn write_result(&self, text: &mut String) {
        if let Some(result) = &self.result {
            let _ =
                write!(text, "sum: {} coordinates, norm {:.6}", result.coordinates, result.norm);
            if let Some(ratio) = result.norm_ratio {
                let _ = write!(text, " ({ratio:.2} times the last)");
            }
            let _ = writeln!(text, ", sha256 {}", result.file_sha256);
            if let Some(deviation) = result.noise_deviation {
                let _ = write!(text, "noise: deviation {deviation:.3e} in each coordinate");
                if let Some(audit) = result.noise_audit {
                    let (found, chance) = (audit.ratio * 100.0, audit.deviation * 100.0);
                    let _ = write!(text, ", {found:.0} ± {chance:.0} % of it found in the padding");
                }
                text.push('\n');
            }
        }
        let privacy = &self.privacy;
        match (privacy.epsilon_round, privacy.epsilon_task, privacy.delta) {
            (Some(round), Some(task), Some(delta)) => {
                let _ = writeln!(
                    text,
                    "privacy: epsilon {round:.3} this round, {task:.3} so far, delta {delta:e}"
                );
            }
            _ => text.push_str("privacy: no noise\n"),
        }
    }
}
