//! `status`: the JSON of INTERFACE, and a page for people.

use std::fmt;

use jiff::Timestamp;
use sealsum_daemon::codes::{Code, Exit};
use sealsum_daemon::{Failure, codes};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::device::Stored;
use crate::ledger::Spent;
use crate::rounds::{Outcome, Record};

/// Whether the device is fit for rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It never enrolled, or it left.
    NotEnrolled,
    /// All is well.
    Enrolled,
    /// The certificate is over.
    Expired,
    /// The authority withdrew it.
    Revoked,
    /// The TPM is another one than the device enrolled with; the operator decides.
    IdentityLost,
    /// A member, but something it needs is missing; `problems` says what.
    Degraded,
}

/// `data` of `sealsum-agent status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The device id; null if it never enrolled.
    pub device: Option<String>,
    /// The fleet.
    pub fleet: Option<String>,
    /// In one word.
    pub state: State,
    /// What is wrong, worst first.
    pub problems: Vec<Problem>,
    /// The TPM.
    pub tpm: TpmStatus,
    /// The authority.
    pub authority: ServerStatus,
    /// The aggregator.
    pub aggregator: ServerStatus,
    /// The certificate; null if there is none.
    pub certificate: Option<CertificateStatus>,
    /// The id of the round in progress; null between rounds.
    pub round: Option<String>,
    /// Updates that wait for a round.
    pub pending: Vec<PendingStatus>,
    /// How the last round ended for this device; null before the first.
    pub last_round: Option<LastRound>,
    /// Privacy spent in this epoch, by task.
    pub privacy: Vec<Spent>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code.
    pub code: String,
    /// What and why.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// What is known of the TPM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TpmStatus {
    /// Whether it answers; null if it was not asked yet.
    pub reachable: Option<bool>,
    /// How it is reached; null without a configuration.
    pub tcti: Option<String>,
    /// Whether it is in dictionary-attack lockout; null if it does not say.
    pub lockout: Option<bool>,
}

/// What is known of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address; null without a configuration.
    pub url: Option<String>,
    /// Whether it answers; null if it was not asked yet.
    pub reachable: Option<bool>,
}

/// The certificate's times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// When it ends.
    pub not_after: Timestamp,
    /// When it is renewed.
    pub renew_at: Timestamp,
}

/// An update that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingStatus {
    /// The task it is for.
    pub task: String,
    /// Names the submission.
    pub receipt: String,
    /// When it came.
    pub since: Timestamp,
}

/// How a round ended for this device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastRound {
    /// Round id.
    pub round: String,
    /// Name of the task.
    pub task: String,
    /// How.
    pub outcome: Outcome,
    /// Why; null for a round that went well.
    pub code: Option<String>,
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.name().to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        }
    }
}

impl From<&Record> for LastRound {
    fn from(record: &Record) -> Self {
        Self {
            round: record.round.clone(),
            task: record.task.clone(),
            outcome: record.outcome,
            code: record.code.clone(),
        }
    }
}

impl Status {
    /// Of a device that is no member, with what its configuration says if it has one.
    pub fn not_enrolled(
        why: &Failure,
        tcti: Option<String>,
        urls: Option<(String, String)>,
    ) -> Self {
        let (authority, aggregator) = urls.unzip();
        let server = |url| ServerStatus { url, reachable: None };
        Self {
            device: None,
            fleet: None,
            state: State::NotEnrolled,
            problems: vec![why.into()],
            tpm: TpmStatus { reachable: None, tcti, lockout: None },
            authority: server(authority),
            aggregator: server(aggregator),
            certificate: None,
            round: None,
            pending: Vec::new(),
            last_round: None,
            privacy: Vec::new(),
        }
    }

    /// Of a device that enrols again because of `lost`; `last` is why it has not worked yet.
    pub fn recovering(
        config: &Config,
        stored: &Stored,
        lost: &Failure,
        last: Option<&Failure>,
    ) -> Self {
        let urls = (config.authority.url.clone(), config.aggregator.url.clone());
        let (state, problems) = match last {
            Some(last) if last.code == codes::REVOKED => (State::Revoked, vec![last, lost]),
            Some(last) => (State::Degraded, vec![lost, last]),
            None => (State::Degraded, vec![lost]),
        };
        Self {
            device: Some(stored.device.to_string()),
            fleet: Some(stored.fleet.to_string()),
            state,
            problems: problems.into_iter().map(Problem::from).collect(),
            ..Self::not_enrolled(lost, Some(config.tpm.clone()), Some(urls))
        }
    }

    /// The error that goes with an unhealthy status: exit code 6 if the device is no member, 7 if
    /// the authority's log is not to be believed, else 2. Nothing if it is healthy.
    pub fn failure(&self) -> Option<Failure> {
        let first = self.problems.first();
        let message = first.map_or("agent: not healthy".to_owned(), |p| p.message.clone());
        let hint = first.map_or("sealsum-agent doctor".to_owned(), |p| p.hint.clone());
        let code = match self.state {
            State::Enrolled => return None,
            State::NotEnrolled => codes::NOT_ENROLLED,
            State::Expired => codes::CERTIFICATE_EXPIRED,
            State::Revoked => codes::REVOKED,
            State::IdentityLost => codes::IDENTITY_LOST,
            State::Degraded => first
                .and_then(|problem| codes::find(&problem.code))
                .filter(|code: &Code| {
                    matches!(code.exit(), Exit::Unreachable | Exit::Evidence | Exit::NotEnrolled)
                })
                .unwrap_or(codes::UNREACHABLE),
        };
        Some(Failure::new(code, message, hint))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_owned();
        let state = serde_json::to_value(self.state).ok();
        let state = state.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        writeln!(f, "device      {}", self.device.as_deref().unwrap_or("not enrolled"))?;
        writeln!(f, "fleet       {}", self.fleet.as_deref().unwrap_or("none"))?;
        writeln!(f, "state       {}", state.replace('_', " "))?;
        let reach = |reachable: Option<bool>| match reachable {
            Some(true) => "reachable",
            Some(false) => "NOT reachable",
            None => "not asked yet",
        };
        let tcti = self.tpm.tcti.clone().unwrap_or_else(unknown);
        writeln!(f, "TPM         {tcti} ({})", reach(self.tpm.reachable))?;
        for (name, server) in [("authority", &self.authority), ("aggregator", &self.aggregator)] {
            let url = server.url.clone().unwrap_or_else(unknown);
            writeln!(f, "{name:<11} {url} ({})", reach(server.reachable))?;
        }
        if let Some(certificate) = &self.certificate {
            let (until, renew) = (certificate.not_after, certificate.renew_at);
            writeln!(f, "certificate until {until}, renewed at {renew}")?;
        }
        writeln!(f, "round       {}", self.round.as_deref().unwrap_or("none in progress"))?;
        for pending in &self.pending {
            writeln!(f, "waiting     {} since {}", pending.task, pending.since)?;
        }
        if let Some(last) = &self.last_round {
            let why = last.code.as_ref().map_or(String::new(), |code| format!(" ({code})"));
            writeln!(f, "last round  {}: {}{why}", last.task, outcome_word(last.outcome))?;
        }
        for spent in &self.privacy {
            let (epsilon, limit) = (spent.epsilon, spent.limit);
            writeln!(f, "privacy     {}: epsilon {epsilon:.3} of {limit} for all", spent.task)?;
        }
        for problem in &self.problems {
            writeln!(f, "problem     {}. Try: {}", problem.message, problem.hint)?;
        }
        Ok(())
    }
}

/// The outcome as people read it.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Contributed => "contributed",
        Outcome::Dropped => "dropped",
        Outcome::Refused => "refused",
        Outcome::Aborted => "aborted",
    }
}
