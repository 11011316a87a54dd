//! What the tool prints: a line for each round as it ends, and the whole at the end.

use std::fmt;
use std::io::{IsTerminal, Write};

use sealsum_daemon::Failure;
use sealsum_daemon::cli::Format;
use sealsum_daemon::codes::{Code, Exit};
use serde::Serialize;
use serde_json::Value;

use crate::memory::Memory;
use crate::rosters::{Checks, Rosters};
use crate::scenario::Scenario;

/// A round did not end as the protocol says.
const UNEXPECTED_ROUNDS: Code = Code::new("unexpected_rounds", Exit::Refused);

/// What came of one round.
#[derive(Clone, Debug, Serialize)]
pub struct RoundReport {
    /// Its number in this run.
    pub number: usize,
    /// What happened in it.
    pub what: String,
    /// Its id, if it was opened.
    pub round: Option<String>,
    /// Whether all came as it had to.
    pub as_expected: bool,
    /// What came of it.
    pub outcome: String,
    /// What is not as it had to be.
    pub wrong: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// How long each step of it took, as the aggregator says.
    pub steps: Value,
}

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What happened in the rounds.
    pub scenario: Scenario,
    /// Devices of a round.
    pub devices: usize,
    /// Coordinates of a vector.
    pub coordinates: u32,
    /// Bytes of one masked vector, as a device sends it.
    pub vector_bytes: Option<usize>,
    /// What all followed from.
    pub seed: u64,
    /// Rounds that ended as expected.
    pub as_expected: usize,
    /// Rounds that did not.
    pub not_as_expected: usize,
    /// Memory of the aggregator, if it is the tool's own.
    pub aggregator: Option<Memory>,
    /// Memory of the tool itself.
    pub loadgen: Option<Memory>,
    /// Who verified rosters.
    pub roster_checks: Checks,
    /// CPU seconds that it takes a device to verify a roster.
    pub roster_check_s: Option<f64>,
    /// Each of them, by number.
    pub rounds: Vec<RoundReport>,
}

impl Report {
    /// Of these rounds.
    pub fn new(
        scenario: Scenario,
        size: crate::task::Size,
        seed: u64,
        mut rounds: Vec<RoundReport>,
    ) -> Self {
        rounds.sort_by_key(|round| round.number);
        let as_expected = rounds.iter().filter(|round| round.as_expected).count();
        Self {
            scenario,
            devices: size.devices,
            coordinates: size.coordinates,
            vector_bytes: size.vector_bytes(),
            seed,
            as_expected,
            not_as_expected: rounds.len() - as_expected,
            aggregator: None,
            loadgen: None,
            roster_checks: Checks::Each,
            roster_check_s: None,
            rounds,
        }
    }

    /// With what the run took.
    pub fn with(self, aggregator: Option<Memory>, rosters: &Rosters) -> Self {
        Self {
            aggregator,
            loadgen: Memory::of(std::process::id()),
            roster_checks: rosters.checks(),
            roster_check_s: rosters.alone_s(),
            ..self
        }
    }

    /// The error of the program, if a round was not as expected.
    pub fn failure(&self) -> Option<Failure> {
        let message = format!(
            "{}: {} of {} rounds did not end as the protocol says",
            self.scenario.name(),
            self.not_as_expected,
            self.rounds.len()
        );
        let hint = format!("the lines FAIL above, or the same again with --seed {}", self.seed);
        (self.not_as_expected > 0).then(|| Failure::new(UNEXPECTED_ROUNDS, message, hint))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} with {} devices, {} coordinates, seed {}",
            self.scenario.name(),
            self.devices,
            self.coordinates,
            self.seed
        )?;
        if let Some(memory) = self.aggregator {
            let (peak, own) = (memory.peak_mb, memory.anonymous_mb);
            writeln!(f, "aggregator: {peak:.0} MB at most, {own:.0} MB of its own at the end")?;
        }
        if let (Checks::Once, Some(seconds)) = (self.roster_checks, self.roster_check_s) {
            writeln!(
                f,
                "one device verified the roster for all; for itself it takes each {seconds:.2} s of \
                 CPU"
            )?;
        }
        let (good, bad) = (self.as_expected, self.not_as_expected);
        write!(f, "loadgen: {good} rounds as expected, {bad} not")
    }
}

/// `ok 03 dropouts  3 of 12 lost after the upload: exact sum of 12`.
pub fn line(scenario: Scenario, round: &RoundReport) -> String {
    let wrong = match round.wrong.as_slice() {
        [] => String::new(),
        wrong => format!(". Not as expected: {}", wrong.join("; ")),
    };
    let RoundReport { number, what, outcome, .. } = round;
    format!("{number:02} {}  {what}: {outcome}{wrong}", scenario.name())
}

/// Prints the line of a round: on stdout, or on stderr where that is for the envelope.
pub fn print(format: Format, scenario: Scenario, round: &RoundReport) {
    let word = if round.as_expected { "ok" } else { "FAIL" };
    let coloured = |terminal: bool| {
        let welcome = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = if round.as_expected { 32 } else { 31 };
        if terminal && welcome { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.into() }
    };
    let line = line(scenario, round);
    // Whoever reads us may have seen enough; the exit code says the rest.
    let _ = match format {
        Format::Text => {
            let mut out = std::io::stdout().lock();
            let word = coloured(out.is_terminal());
            writeln!(out, "{word} {line}").and_then(|()| out.flush())
        }
        Format::Json => {
            let mut err = std::io::stderr().lock();
            let word = coloured(err.is_terminal());
            writeln!(err, "{word} {line}")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Size;

    fn round(number: usize, wrong: &[&str]) -> RoundReport {
        RoundReport {
            number,
            what: "1 of 6 lost before the roster".to_owned(),
            round: None,
            as_expected: wrong.is_empty(),
            outcome: "exact sum of 5".to_owned(),
            wrong: wrong.iter().map(|text| (*text).to_owned()).collect(),
            seconds: 1.0,
            steps: Value::Null,
        }
    }

    #[test]
    fn one_wrong_round_is_counted_shown_and_fails_the_program() {
        let size = Size { devices: 6, coordinates: 1 };
        let report = |rounds| Report::new(Scenario::Dropouts, size, 3, rounds);
        let good = report(vec![round(2, &[]), round(1, &[])]);
        assert!(good.to_string().ends_with("\nloadgen: 2 rounds as expected, 0 not"));
        assert_eq!(good.rounds[0].number, 1);
        assert!(good.failure().is_none());
        let bad = report(vec![round(1, &[]), round(2, &["the sum is another"])]);
        assert!(bad.to_string().ends_with("\nloadgen: 1 rounds as expected, 1 not"));
        assert_eq!(bad.failure().map(|failure| failure.exit_number()), Some(1));
    }

    #[test]
    fn a_line_says_what_happened_and_what_came_of_it() {
        let text = |round| line(Scenario::Dropouts, &round);
        let good = "03 dropouts  1 of 6 lost before the roster: exact sum of 5";
        assert_eq!(text(round(3, &[])), good);
        assert_eq!(text(round(3, &["a", "b"])), format!("{good}. Not as expected: a; b"));
    }
}
