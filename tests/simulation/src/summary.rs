//! What many histories came to, for people and for programs.

use std::fmt::Write as _;

use sealsum_simulation::liars::{AGGREGATOR, DEVICE};
use sealsum_simulation::run::Outcome;
use sealsum_simulation::tally::Counts;
use sealsum_simulation::world::Faults;
use serde_json::json;

/// From so many histories on, each lie and each fault must have happened.
const ENOUGH: u64 = 10_000;

/// Lies and faults that never happened though there was time enough.
pub(crate) fn never_happened(outcome: &Outcome) -> Vec<&'static str> {
    let tally = &outcome.tally;
    if tally.histories < ENOUGH {
        return Vec::new();
    }
    let lies = AGGREGATOR.iter().map(|lie| lie.name).chain(DEVICE.iter().map(|lie| lie.name));
    let untold = lies.filter(|name| !tally.lies.contains_key(*name));
    untold
        .chain(Faults::NAMES.into_iter().filter(|name| !tally.faults.contains_key(*name)))
        .collect()
}

/// The table.
pub(crate) fn table(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let sections: [(&str, &Counts); 7] = [
        ("rounds, by end", &tally.rounds),
        ("refusals of devices, by guard", &tally.device_refusals),
        ("refusals of the aggregator, by guard", &tally.aggregator_refusals),
        ("devices blamed, by guard", &tally.blamed),
        ("devices that fell out, by step", &tally.dropouts),
        ("lies told, by kind", &tally.lies),
        ("faults, by kind", &tally.faults),
    ];
    let mut text = String::new();
    for (title, counts) in sections {
        let _ = writeln!(text, "{title}");
        for (name, count) in counts {
            let _ = writeln!(text, "  {name:<24}{count:>10}");
        }
    }
    text
}

/// The last line: how many histories, how many violations.
pub(crate) fn verdict(outcome: &Outcome) -> String {
    format!("{} histories, {} violations", outcome.tally.histories, outcome.failures.len())
}

/// All of it for a program.
pub(crate) fn json(outcome: &Outcome) -> String {
    let failures = outcome.failures.iter().map(
        |failure| json!({"seed": failure.seed, "invariant": failure.invariant, "detail": failure.detail}),
    );
    let all = json!({
        "histories": outcome.tally.histories,
        "violations": outcome.failures.len(),
        "never_happened": never_happened(outcome),
        "failures": failures.collect::<Vec<_>>(),
        "met": outcome.tally,
    });
    all.to_string()
}
