//! What the sum of a query says, as numbers with error bars and as a picture.

use std::fmt::Write as _;

use sealsum_daemon::{Failure, codes};
use sealsum_protocol::analytics::{self, Answer, Bar, Estimate, Quantile};
use sealsum_protocol::ids::RoundId;
use sealsum_protocol::task::Task;
use serde::{Deserialize, Serialize};

use crate::record::RoundRecord;

/// `round answer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerBody {
    /// The round.
    pub round: RoundId,
    /// Its task.
    pub task: String,
    /// Devices in the sum; this number is exact.
    pub contributors: u64,
    /// What the sum says. A deviation is that of the noise.
    pub answer: Answer,
}

/// Characters of the longest bar.
const WIDTH: f64 = 40.0;
/// Deviations to each side of an error bar of 95 %.
const DEVIATIONS: f64 = 1.96;

impl AnswerBody {
    /// Reads the sum of a finished round.
    ///
    /// # Errors
    /// `usage` if the task sums vectors.
    pub fn of(record: &RoundRecord, task: &Task, sum: &[f64]) -> Result<Self, Failure> {
        let contributors = record.devices.contributors.len();
        let deviation = record.result.as_ref().and_then(|result| result.noise_deviation);
        let answer = analytics::answer(&task.kind, sum, contributors, deviation.unwrap_or(0.0));
        let answer = answer.ok_or_else(|| {
            Failure::new(
                codes::USAGE,
                format!("task {}: sums vectors and asks nothing", task.name),
                format!("sealsum-aggregator round result {} --out FILE", record.round),
            )
        })?;
        Ok(Self {
            round: record.round,
            task: record.task.clone(),
            contributors: contributors as u64,
            answer,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}, of {} devices\n", self.task, self.contributors);
        // Writing to a string cannot fail.
        let _ = match &self.answer {
            Answer::Count { count, share } => {
                write!(text, "count {}\nshare {}", interval(count), interval(share))
            }
            Answer::Mean { mean, variance } => {
                write!(text, "mean {}\nvariance {}", interval(mean), interval(variance))
            }
            Answer::Histogram { bars } => write!(text, "{}", picture(bars)),
            Answer::Quantiles { quantiles } => write!(text, "{}", lines(quantiles)),
        };
        text
    }
}

/// The value and how far the noise may have moved it.
fn interval(estimate: &Estimate) -> String {
    let bar = DEVIATIONS * estimate.deviation;
    let digits = decimals(if bar > 0.0 { bar } else { estimate.value });
    format!("{:.digits$} ± {bar:.digits$}", estimate.value)
}

/// Decimals that show two digits of this size.
fn decimals(size: f64) -> usize {
    if size == 0.0 { 0 } else { (1.0 - size.abs().log10().floor()).clamp(0.0, 9.0) as usize }
}

/// A bar for each bin; a mark where the noise alone could have made it.
fn picture(bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.count.value).fold(0.0, f64::max);
    let digits = bars.first().map_or(0, |bar| decimals(bar.high - bar.low));
    let mut text = String::new();
    for bar in bars {
        let share = if most > 0.0 { bar.count.value.max(0.0) / most } else { 0.0 };
        let filled = "#".repeat((share * WIDTH).round() as usize);
        let doubt = if bar.is_certain() || bar.count.deviation == 0.0 { "" } else { "  ?" };
        let _ = writeln!(
            text,
            "{:>10.digits$} to {:<10.digits$} {:>18} {filled}{doubt}",
            bar.low,
            bar.high,
            interval(&bar.count)
        );
    }
    text.push_str("?: within three deviations of nothing");
    text
}

fn lines(quantiles: &[Quantile]) -> String {
    let spread = quantiles.iter().map(|quantile| quantile.high - quantile.low).fold(0.0, f64::max);
    let digits = decimals(spread);
    let line = |quantile: &Quantile| {
        format!(
            "{:>4.0} %  {:>12.digits$}  {:.digits$} to {:.digits$}",
            quantile.share * 100.0,
            quantile.value,
            quantile.low,
            quantile.high
        )
    };
    quantiles.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: Answer) -> String {
        AnswerBody { round: RoundId([1; 32]), task: "ages".into(), contributors: 40, answer }.text()
    }

    #[test]
    fn numbers_come_with_their_error_bars() {
        let estimate = |value, deviation| Estimate { value, deviation };
        let text =
            body(Answer::Mean { mean: estimate(37.25, 0.5), variance: estimate(90.0, 12.0) });
        assert!(text.contains("mean 37.25 ± 0.98") && text.contains("variance 90 ± 24"), "{text}");
        let exact = body(Answer::Count { count: estimate(12.0, 0.0), share: estimate(0.3, 0.0) });
        assert!(exact.contains("count 12 ± 0") && exact.contains("share 0.30 ± 0.00"), "{exact}");
    }

    #[test]
    fn a_histogram_shows_which_bars_may_be_noise() {
        let bar = |low: f64, value| Bar {
            low,
            high: low + 10.0,
            count: Estimate { value, deviation: 2.0 },
        };
        let text =
            body(Answer::Histogram { bars: vec![bar(0.0, 30.0), bar(10.0, 5.0), bar(20.0, -3.0)] });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with(&"#".repeat(40)), "{text}");
        assert!(lines[2].ends_with("#######  ?") && lines[3].ends_with("  ?"), "{text}");
    }

    #[test]
    fn quantiles_show_where_they_may_lie() {
        let median = Quantile { share: 0.5, value: 37.5, low: 36.0, high: 40.0 };
        let text = body(Answer::Quantiles { quantiles: vec![median] });
        assert!(text.contains("50 %") && text.contains("37.5  36.0 to 40.0"), "{text}");
    }
}
