//! `round start|list|show|wait|result|abort`.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealsum_daemon::cli::Shown;
use sealsum_daemon::codes;
use sealsum_daemon::progress::Progress;
use sealsum_daemon::{Failure, files};
use sealsum_protocol::ids::Hash;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Endpoint;
use super::endpoint::segment;
use crate::admin::{AnswerBody, ModelBody, ProgressBody, RoundsBody, StartRequest, StartedBody};
use crate::models::MODEL_LIMIT;
use crate::record::{RoundRecord, State};
use crate::tasks;

/// A round that was opened.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Started {
    body: StartedBody,
}

impl Started {
    /// The round's id.
    pub fn id(&self) -> String {
        self.body.record.round.to_string()
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.body.record;
        writeln!(f, "round {} of {}: {}", record.number, record.task, record.round)?;
        f.write_str(&self.body.cohorts.join("\n"))
    }
}

/// A round that has ended.
pub struct Waited {
    /// Its record.
    pub shown: Shown<RoundRecord>,
    /// Why it has no result, if it has none.
    pub failure: Option<Failure>,
}

impl Endpoint {
    /// Opens the next round of a task, from a model and its grant where the task wants one.
    ///
    /// # Errors
    /// When a file cannot be read, or the aggregator refuses.
    pub fn round_start(
        &self,
        task: &str,
        model: Option<(&Path, &Path)>,
    ) -> Result<Started, Failure> {
        let grant = match model {
            Some((model, grant)) => Some(self.bring_model(model, grant)?),
            None => None,
        };
        let body = self.post("/v1/rounds", &StartRequest { task: task.to_owned(), grant })?;
        Ok(Started { body })
    }

    /// Sends the model; returns the grant, base64.
    fn bring_model(&self, model: &Path, grant: &Path) -> Result<String, Failure> {
        let signed = files::read(grant, tasks::GRANT_LIMIT)?;
        let granted = tasks::decode_grant(&signed, &grant.display().to_string())?;
        let bytes = files::read(model, MODEL_LIMIT)?;
        let hash = Hash(Sha256::digest(&bytes).into());
        if granted.model != hash {
            return Err(Failure::new(
                crate::codes::GRANT_MISMATCH,
                format!("{}: the grant is for another model", model.display()),
                "the model that was granted, or a new grant (sealsum-aggregator task grant)",
            ));
        }
        let _: ModelBody = self.send(Method::PUT, &format!("/v1/models/{hash}"), bytes)?;
        Ok(STANDARD.encode(signed))
    }

    /// Lists the rounds.
    ///
    /// # Errors
    /// When the aggregator does not run.
    pub fn round_list(&self) -> Result<Shown<RoundsBody>, Failure> {
        let rounds: RoundsBody = self.get("/v1/rounds")?;
        let text = rounds.text();
        Ok(Shown::new(rounds, text))
    }

    /// Shows a round.
    ///
    /// # Errors
    /// `not_found`, or when the aggregator does not run.
    pub fn round_show(&self, id: &str) -> Result<Shown<RoundRecord>, Failure> {
        let record: RoundRecord = self.get(&round_path(id, ""))?;
        Ok(shown(record))
    }

    /// Waits for the end of a round, showing progress on stderr.
    ///
    /// # Errors
    /// `not_found`, `deadline` when `timeout` passes first, or when the aggregator does not run.
    pub fn round_wait(&self, id: &str, timeout: Option<Duration>) -> Result<Waited, Failure> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let mut progress = Progress::new();
        let (mut seen, mut shown_step) = (0, None);
        loop {
            let wait = match until {
                None => POLL,
                Some(until) => until.saturating_duration_since(Instant::now()).min(POLL),
            };
            let query = format!("/progress?seen={seen}&wait_ms={}", wait.as_millis());
            let now: ProgressBody = self.get(&round_path(id, &query))?;
            // A log wants a line per step, a terminal every change.
            if std::io::stderr().is_terminal() || shown_step != Some(now.step) {
                progress.show(&now.text());
                shown_step = Some(now.step);
            }
            if now.state != State::Running {
                break;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(still_running(&now));
            }
            seen = now.version;
        }
        drop(progress);
        let record: RoundRecord = self.get(&round_path(id, ""))?;
        let failure = record.demand_result().err();
        Ok(Waited { shown: shown(record), failure })
    }

    /// Writes the sum of a finished round to `out`.
    ///
    /// # Errors
    /// `not_finished`, the round's abort code, `not_found`; then nothing is written.
    pub fn round_result(&self, id: &str, out: &Path) -> Result<Shown<RoundRecord>, Failure> {
        let record: RoundRecord = self.get(&round_path(id, ""))?;
        record.demand_result()?;
        self.download(&round_path(id, "/result"), out)?;
        let text = format!("{}: the sum over {}", out.display(), contributors(&record));
        Ok(Shown::new(record, text))
    }

    /// Shows what the sum of a query says.
    ///
    /// # Errors
    /// As [`Endpoint::round_result`]; `usage` if the task sums vectors.
    pub fn round_answer(&self, id: &str) -> Result<Shown<AnswerBody>, Failure> {
        let answer: AnswerBody = self.get(&round_path(id, "/answer"))?;
        let text = answer.text();
        Ok(Shown::new(answer, text))
    }

    /// Ends a running round without a result.
    ///
    /// # Errors
    /// When it does not run.
    pub fn round_abort(&self, id: &str) -> Result<Shown<RoundRecord>, Failure> {
        let record: RoundRecord = self.post(&round_path(id, "/abort"), &())?;
        Ok(shown(record))
    }
}

/// How long one request waits for news.
const POLL: Duration = Duration::from_secs(10);

fn round_path(id: &str, rest: &str) -> String {
    format!("/v1/rounds/{}{rest}", segment(id))
}

fn shown(record: RoundRecord) -> Shown<RoundRecord> {
    let text = record.text();
    Shown::new(record, text)
}

fn contributors(record: &RoundRecord) -> String {
    match record.devices.contributors.len() {
        1 => "1 device".to_owned(),
        n => format!("{n} devices"),
    }
}

fn still_running(now: &ProgressBody) -> Failure {
    Failure::new(
        codes::DEADLINE,
        format!("round: still running after the time given ({})", now.text()),
        "sealsum-aggregator round wait, with a longer --timeout",
    )
}
