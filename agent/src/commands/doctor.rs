//! `doctor`: what works, what does not, and the fix.

use std::fmt;
use std::path::Path;

use sealsum_attest_tpm::{Connection, Tpm};
use sealsum_daemon::Failure;
use serde::Serialize;

use super::{agent, wait_for};
use crate::access::Access;
use crate::clock;
use crate::config::Config;
use crate::device::{self, Device, tpm_failure};
use crate::state::StateDir;
use crate::status::Status;
use crate::upstream::Request;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Good.
    #[serde(rename = "ok")]
    Ok,
    /// It works, and somebody should look at it.
    #[serde(rename = "warn")]
    Warn,
    /// Rounds will not work.
    #[serde(rename = "FAIL")]
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub result: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do; null if nothing.
    pub fix: Option<String>,
}

/// All lines.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// In the order of how things depend on each other.
    pub checks: Vec<Check>,
    #[serde(skip)]
    failure: Option<Failure>,
}

impl Findings {
    /// The first thing that does not work, for the exit code.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.checks.push(Check { name, result: Verdict::Ok, detail, fix: None });
    }

    fn warn(&mut self, name: &'static str, detail: impl Into<String>, fix: impl Into<String>) {
        let (detail, fix) = (detail.into(), Some(fix.into()));
        self.checks.push(Check { name, result: Verdict::Warn, detail, fix });
    }

    fn fail(&mut self, name: &'static str, failure: Failure) {
        let (detail, fix) = (failure.message.clone(), Some(failure.hint.clone()));
        self.checks.push(Check { name, result: Verdict::Fail, detail, fix });
        self.failure.get_or_insert(failure);
    }

    fn note<T>(&mut self, name: &'static str, good: &str, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => {
                self.ok(name, good);
                Some(value)
            }
            Err(failure) => {
                self.fail(name, failure);
                None
            }
        }
    }
}

/// Looks at everything that can be looked at.
pub fn doctor(config_path: &Path) -> Findings {
    let mut findings = Findings { checks: Vec::new(), failure: None };
    let loaded = Config::load(config_path);
    let good = config_path.display().to_string();
    let Some(config) = findings.note("configuration", &good, loaded) else { return findings };
    check_policy(&mut findings, &config);
    let good = "only its owner can look inside";
    let state = findings.note("state directory", good, StateDir::open(&config.state_dir));
    let running: Result<Status, Failure> = wait_for(agent(&config).get("/v1/status"));
    match (running, state) {
        (Ok(status), _) => check_running(&mut findings, &status),
        (Err(failure), state) => {
            findings.warn("agent", failure.message, failure.hint);
            if let Some(state) = state {
                check_stopped(&mut findings, &config, &state);
            }
        }
    }
    findings
}

fn check_policy(findings: &mut Findings, config: &Config) {
    match config.policy.owners.len() {
        0 => findings.warn(
            "owners",
            "policy.owners is empty: every task is refused",
            "add the line that sealsum-aggregator owner create printed",
        ),
        count => findings.ok("owners", format!("{count} in policy.owners")),
    }
    if !config.policy.allow_without_noise.is_empty() {
        findings.warn(
            "noise",
            format!("tasks without noise: {}", config.policy.allow_without_noise.join(", ")),
            "take them out of policy.allow_without_noise when they are over",
        );
    }
    findings.note("local users", "every name is known", Access::new(&config.local.allow));
}

/// The running agent has the TPM; it says how it is.
fn check_running(findings: &mut Findings, status: &Status) {
    findings.ok("agent", "running");
    match status.failure() {
        None => findings.ok("health", "TPM, certificate and both servers work"),
        Some(failure) => findings.fail("health", failure),
    }
    for problem in status.problems.iter().skip(1) {
        findings.warn("health", problem.message.clone(), problem.hint.clone());
    }
}

fn check_stopped(findings: &mut Findings, config: &Config, state: &StateDir) {
    let tpm = match config.tpm.parse::<Connection>() {
        Ok(connection) => Tpm::new(connection),
        Err(error) => return findings.fail("TPM", tpm_failure(&error)),
    };
    let properties = tpm.properties().map_err(|error| tpm_failure(&error));
    let Some(properties) = findings.note("TPM", &config.tpm, properties) else { return };
    if properties.locked_out {
        findings.warn("TPM lockout", "in dictionary-attack lockout", "wait, or ask its owner");
    }
    let loaded = Device::load(config, state, &tpm);
    let good = "keys and certificate belong to this TPM";
    let Some(device) = findings.note("identity", good, loaded) else { return };
    check_certificate(findings, &device);
    let asked = device.authority(config).and_then(|a| a.demand(Request::get("/v1/info")));
    findings.note("authority", &config.authority.url, asked);
    let path = "/v1/rounds/open?wait=0";
    let asked = device.aggregator(config).and_then(|a| a.demand(Request::get(path)));
    findings.note("aggregator", &config.aggregator.url, asked);
}

fn check_certificate(findings: &mut Findings, device: &Device) {
    let (renew_at, ends) = (device.stored.renew_at, device.certificate.not_after);
    let now = clock::now();
    if now >= ends {
        findings.fail("certificate", device::expired(ends));
    } else if now >= renew_at {
        let detail = format!("due for renewal since {renew_at}");
        findings.warn("certificate", detail, "sealsum-agent renew, or start the agent");
    } else {
        findings.ok("certificate", format!("until {ends}"));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, result, detail, fix } in &self.checks {
            let word = match result {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            write!(f, "{word:<4}  {name:<16} {detail}")?;
            match fix {
                Some(fix) => writeln!(f, ". Try: {fix}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
