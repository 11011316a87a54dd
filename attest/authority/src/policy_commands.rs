//! `sealsum-authority policy`: its commands, and their results as people read them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::http::Method;
use clap::Subcommand;
use sealsum_authority::policy::{
    Anchor, Applied, Baselines, BootState, Change, InForce, Judged, PolicySource, PolicyView,
    changes, notes, toml_of,
};
use sealsum_daemon::cli::{self, CommonArgs, Shown};
use sealsum_daemon::{Failure, time};
use serde_json::Value;

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a policy file and show what it would change; nothing is changed
    Check {
        /// The file, TOML
        file: PathBuf,
    },
    /// Put a policy file in force, whole or not at all
    Apply {
        /// The file, TOML
        file: PathBuf,
    },
    /// Print the policy in force as it was applied
    Show,
    /// Print the boot states of devices, ready for the policy file; those that wait come first
    Baselines,
}

pub(crate) async fn run(common: &CommonArgs, command: PolicyCommand) -> ExitCode {
    let format = common.format;
    match command {
        PolicyCommand::Check { file } => cli::finish(format, check(common, &file).await),
        PolicyCommand::Apply { file } => cli::finish(format, apply(common, &file).await),
        PolicyCommand::Show => cli::finish(format, show(common).await),
        PolicyCommand::Baselines => cli::finish(format, baselines(common).await),
    }
}

async fn check(common: &CommonArgs, file: &Path) -> Result<Shown<Judged>, Failure> {
    let policy = PolicyView::of(&PolicySource::read(file)?.policy(file)?);
    // The check itself needs no authority, nor the right to ask one.
    let in_force = in_force(common).await;
    let mut judged =
        Judged { notes: notes(&policy, time::now()), in_force: None, changes: Vec::new(), policy };
    if let Ok(in_force) = &in_force {
        judged.in_force = Some(in_force.policy.sha256.clone());
        judged.changes = changes(&in_force.policy, &judged.policy);
    }
    let text = judged_text(&judged, in_force.err().as_ref());
    Ok(Shown::new(judged, text))
}

async fn in_force(common: &CommonArgs) -> Result<InForce, Failure> {
    crate::running(common)?.get("/v1/policy").await
}

async fn apply(common: &CommonArgs, file: &Path) -> Result<Shown<Applied>, Failure> {
    let source = PolicySource::read(file)?;
    let client = crate::running(common)?;
    let applied: Applied = client.call(Method::POST, "/v1/policy", &source).await?;
    let text = applied_text(&applied);
    Ok(Shown::new(applied, text))
}

async fn show(common: &CommonArgs) -> Result<Shown<InForce>, Failure> {
    let in_force = in_force(common).await?;
    let text = in_force_text(&in_force);
    Ok(Shown::new(in_force, text))
}

async fn baselines(common: &CommonArgs) -> Result<Shown<Baselines>, Failure> {
    let baselines: Baselines = crate::running(common)?.get("/v1/policy/baselines").await?;
    let text = baselines_text(&baselines);
    Ok(Shown::new(baselines, text))
}

// Writing to a string does not fail.

fn judged_text(judged: &Judged, not_compared: Option<&Failure>) -> String {
    let mut text = policy_text(&judged.policy);
    for note in &judged.notes {
        let _ = writeln!(text, "note               {note}");
    }
    match &judged.in_force {
        None => {
            let why = not_compared.map(|failure| failure.message.as_str()).unwrap_or_default();
            let _ = write!(text, "\nNot compared with the policy in force: {why}.");
        }
        Some(_) if judged.changes.is_empty() => text.push_str("\nThis policy is in force."),
        Some(sha256) => {
            let _ = writeln!(text, "\nChanges to the policy in force ({sha256}):");
            text.push_str(changes_text(&judged.changes).trim_end());
        }
    }
    text
}

fn policy_text(policy: &PolicyView) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:18} {value}");
    };
    line("policy", policy.sha256.clone());
    line("tpm_roots", anchors_text(&policy.tpm_roots));
    line("software_tpm_roots", anchors_text(&policy.software_tpm_roots));
    line("tpm_intermediates", anchors_text(&policy.tpm_intermediates));
    let settings = &policy.settings;
    line("ek_algorithm", settings.ek_algorithm.clone());
    line("require", value_text(&serde_json::json!(settings.require)));
    line("allow", format!("{} devices", settings.allow.len()));
    line("pcrs", value_text(&serde_json::json!(settings.pcrs)));
    line("pcr_mode", value_text(&serde_json::json!(settings.pcr_mode)));
    line("pcr_baselines", settings.pcr_baselines.len().to_string());
    line("deny_firmware", value_text(&serde_json::json!(settings.deny_firmware)));
    line("min_firmware", value_text(&serde_json::json!(settings.min_firmware)));
    line("lifetime_s", settings.lifetime_s.to_string());
    text
}

fn anchors_text(anchors: &[Anchor]) -> String {
    if anchors.is_empty() {
        return "none".to_owned();
    }
    let each = anchors.iter().map(|anchor| format!("{anchor} until {}", anchor.not_after));
    // Further ones stand under the first.
    each.collect::<Vec<_>>().join("\n                   ")
}

fn applied_text(applied: &Applied) -> String {
    if !applied.changed {
        return format!("{} is in force already", applied.new_sha256);
    }
    let (new, index) = (&applied.new_sha256, applied.log_index);
    let changes = changes_text(&applied.changes);
    format!("{changes}{new} is in force (entry {index} of the log)")
}

fn changes_text(changes: &[Change]) -> String {
    let mut text = String::new();
    for Change { key, before, after } in changes {
        let (Value::Array(before), Value::Array(after)) = (before, after) else {
            let _ = writeln!(text, "  {key}: {} -> {}", value_text(before), value_text(after));
            continue;
        };
        let _ = writeln!(text, "  {key}:");
        for gone in before.iter().filter(|value| !after.contains(value)) {
            let _ = writeln!(text, "    - {}", value_text(gone));
        }
        for new in after.iter().filter(|value| !before.contains(value)) {
            let _ = writeln!(text, "    + {}", value_text(new));
        }
    }
    text
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn in_force_text(in_force: &InForce) -> String {
    let InForce { policy, source, applied_at, actor, log_index } = in_force;
    let who = actor.map_or_else(|| "the program".to_owned(), |uid| format!("uid {uid}"));
    let mut text = format!(
        "# {}\n# applied at {applied_at} by {who}, entry {log_index} of the log\n",
        policy.sha256
    );
    for (key, list) in [
        ("tpm_roots", &policy.tpm_roots),
        ("software_tpm_roots", &policy.software_tpm_roots),
        ("tpm_intermediates", &policy.tpm_intermediates),
    ] {
        for anchor in list {
            let _ = writeln!(text, "# {key}: {} {}", anchor.sha256, anchor.subject);
        }
    }
    text.push('\n');
    text.push_str(source.trim_end());
    text
}

fn baselines_text(baselines: &Baselines) -> String {
    let (known, unknown): (Vec<_>, Vec<_>) = baselines.states.iter().partition(|s| s.known);
    let mut text = String::new();
    for state in unknown {
        text.push_str(&state_text(state));
    }
    for state in known {
        let _ = writeln!(text, "# known: {}", members_text(state));
    }
    if text.is_empty() { "# no device has shown a state yet".to_owned() } else { text }
}

/// As lines of a policy file, comments included.
fn state_text(state: &BootState) -> String {
    let mut text = format!("# {}\n", members_text(state));
    for waiting in &state.waiting {
        let (device, since) = (waiting.device, waiting.since);
        let _ =
            writeln!(text, "# {device} waits since {since}, refused {} times", waiting.refusals);
    }
    let lines = toml_of(&state.pcrs);
    if state.approvable {
        text.push_str(&lines);
    } else {
        text.push_str("# cannot be approved: other PCRs than the policy's, or a PCR 7 of zero\n");
        for line in lines.lines() {
            let _ = writeln!(text, "# {line}");
        }
    }
    text.push('\n');
    text
}

fn members_text(state: &BootState) -> String {
    format!("{} members, {} waiting", state.devices.len(), state.waiting.len())
}
