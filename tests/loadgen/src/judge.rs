//! Whether what came of a round is what had to.

use std::collections::BTreeMap;

use sealsum_protocol::ids::DeviceId;
use serde_json::Value;

use crate::conduct::Conduct;
use crate::crowd::{Ended, Experience, Part};
use crate::expected::{End, Expected};
use crate::scenario::Case;

/// What the aggregator says of a round that is over. Devices are named by their index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// `finished` or `aborted`.
    pub state: String,
    /// The code of its abort.
    pub code: Option<String>,
    /// Who is named as the culprit of its abort.
    pub culprits: Vec<usize>,
    /// Whose vectors are in the sum.
    pub contributors: Vec<usize>,
    /// Who was lost, and at which step.
    pub dropped: Vec<(usize, String)>,
    /// Who is blamed, and for what.
    pub blamed: Vec<(usize, String)>,
    /// The sum, if there is one.
    pub sum: Option<Vec<f64>>,
}

/// The judgement of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What came of it, in words.
    pub outcome: String,
    /// What is not as it had to be; nothing if all is.
    pub wrong: Vec<String>,
}

impl Observed {
    /// Reads the record of `round show`, and the sum beside it.
    pub fn of(record: &Value, sum: Option<Vec<f64>>, ids: &[DeviceId]) -> Self {
        let index: BTreeMap<String, usize> =
            ids.iter().enumerate().map(|(index, id)| (id.to_string(), index)).collect();
        // A device that is none of ours is one too many, whatever its name is.
        let known = |id: &Value| id.as_str().and_then(|id| index.get(id)).copied();
        let known = |id: &Value| known(id).unwrap_or(usize::MAX);
        let list = |value: &Value| -> Vec<Value> { value.as_array().cloned().unwrap_or_default() };
        let named = |value: &Value, key: &str| -> Vec<(usize, String)> {
            let pair = |one: &Value| (known(&one["device"]), text(&one[key]));
            let mut pairs: Vec<_> = list(value).iter().map(pair).collect();
            pairs.sort();
            pairs
        };
        let indices = |value: &Value| -> Vec<usize> {
            let mut indices: Vec<usize> = list(value).iter().map(known).collect();
            indices.sort_unstable();
            indices
        };
        let (devices, abort) = (&record["devices"], &record["abort"]);
        Self {
            state: text(&record["state"]),
            code: abort["code"].as_str().map(str::to_owned),
            culprits: indices(&abort["culprits"]),
            contributors: indices(&devices["contributors"]),
            dropped: named(&devices["dropped"], "step"),
            blamed: named(&devices["blamed"], "code"),
            sum,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Holds what came of a round against what had to.
pub fn judge(case: &Case, observed: &Observed, experiences: &[Experience]) -> Verdict {
    let expected = &case.expected;
    let mut wrong = Vec::new();
    match &expected.end {
        End::Sum { contributors, dropped } => {
            judge_sum(&case.parts, contributors, observed, &mut wrong);
            judge_dropped(dropped, observed, &mut wrong);
        }
        End::Abort { codes, culprits } => judge_abort(codes, culprits, observed, &mut wrong),
    }
    judge_blamed(expected, observed, &mut wrong);
    judge_told(expected, experiences, &mut wrong);
    judge_honest(case, observed, experiences, &mut wrong);
    Verdict { outcome: outcome(observed, wrong.is_empty()), wrong }
}

fn outcome(observed: &Observed, as_expected: bool) -> String {
    let named = observed.blamed.iter().map(|(_, code)| format!("blamed for {code}"));
    let named = named.chain(observed.dropped.iter().map(|(_, step)| format!("lost at {step}")));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    named.for_each(|name| *counts.entry(name).or_default() += 1);
    let end = match (&observed.code, as_expected) {
        (Some(code), _) => format!("no sum: {code}"),
        (None, true) => format!("exact sum of {}", observed.contributors.len()),
        (None, false) => {
            format!("{}, {} contributors", observed.state, observed.contributors.len())
        }
    };
    let named = counts.into_iter().map(|(name, count)| format!(", {count} {name}"));
    named.fold(end, |line, one| line + &one)
}

fn judge_sum(parts: &[Part], contributors: &[usize], observed: &Observed, wrong: &mut Vec<String>) {
    if observed.state != "finished" {
        let code = observed.code.as_deref().unwrap_or("no code");
        wrong.push(format!("a sum was expected, the round is {}: {code}", observed.state));
        return;
    }
    if observed.contributors != contributors {
        wrong.push(format!(
            "contributors are {:?}, expected {contributors:?}",
            observed.contributors
        ));
    }
    let exact = exact_sum(parts, &observed.contributors);
    if observed.sum.as_ref() != Some(&exact) {
        wrong.push("the sum is not that of the reported contributors".to_owned());
    }
}

/// Sums of few multiples of 1/64 are exact in an f64.
fn exact_sum(parts: &[Part], contributors: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.0; parts.first().map_or(0, |part| part.vector.coordinates())];
    for part in contributors.iter().filter_map(|index| parts.get(*index)) {
        sum.iter_mut().zip(part.vector.values()).for_each(|(total, value)| *total += value);
    }
    sum
}

fn judge_dropped(
    expected: &[(usize, &'static [&'static str])],
    observed: &Observed,
    wrong: &mut Vec<String>,
) {
    let right = expected.len() == observed.dropped.len()
        && expected
            .iter()
            .zip(&observed.dropped)
            .all(|((index, steps), (seen, step))| index == seen && steps.contains(&step.as_str()));
    if !right && observed.state == "finished" {
        wrong.push(format!("lost are {:?}, expected {expected:?}", observed.dropped));
    }
}

fn judge_abort(codes: &[&str], culprits: &[usize], observed: &Observed, wrong: &mut Vec<String>) {
    match &observed.code {
        Some(code) if codes.contains(&code.as_str()) => {}
        Some(code) => wrong.push(format!("no sum by {code}, expected {}", codes.join(" or "))),
        None => wrong.push(format!("a sum, expected {}", codes.join(" or "))),
    }
    if observed.culprits != culprits {
        wrong.push(format!("culprits are {:?}, expected {culprits:?}", observed.culprits));
    }
}

fn judge_blamed(expected: &Expected, observed: &Observed, wrong: &mut Vec<String>) {
    let blamed: Vec<(usize, &str)> =
        observed.blamed.iter().map(|(index, code)| (*index, code.as_str())).collect();
    if blamed != expected.blamed {
        wrong.push(format!("blamed are {blamed:?}, expected {:?}", expected.blamed));
    }
}

/// What liars are told; who is not expected to be told anything must not be.
fn judge_told(expected: &Expected, experiences: &[Experience], wrong: &mut Vec<String>) {
    for (index, experience) in experiences.iter().enumerate() {
        let due = expected.told.iter().find(|(liar, _)| *liar == index);
        let due = due.map_or(&[][..], |(_, codes)| codes);
        if experience.told != due {
            let told = &experience.told;
            wrong.push(format!("device {index} was told {told:?}, expected {due:?}"));
        }
    }
}

/// Honest devices come to the end of the round, or hear why there is none; nobody meets anything
/// that is no part of the protocol.
fn judge_honest(
    case: &Case,
    observed: &Observed,
    experiences: &[Experience],
    wrong: &mut Vec<String>,
) {
    for (index, (part, experience)) in case.parts.iter().zip(experiences).enumerate() {
        let right = match (&experience.ended, part.conduct) {
            (Ended::Done, _) => true,
            (Ended::Refused(code), _) => observed.code.as_ref() == Some(code),
            (Ended::Out, conduct) => conduct != Conduct::Honest,
            (Ended::Broken(_), _) => false,
        };
        if !right {
            wrong.push(format!("device {index}: {:?}", experience.ended));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics fails")]

    use serde_json::json;

    use super::*;
    use crate::device::device_id;
    use crate::scenario::{Scenario, cases};
    use crate::task::Size;

    const SIX: Size = Size { devices: 6, coordinates: 3 };

    /// A round that had to end with the sum of all, and did.
    fn plain() -> (Case, Observed, Vec<Experience>) {
        let case = cases(Scenario::Plain, SIX, None, 7).unwrap().remove(0);
        let all: Vec<usize> = (0..6).collect();
        let observed = Observed {
            state: "finished".to_owned(),
            sum: Some(exact_sum(&case.parts, &all)),
            contributors: all,
            ..Observed::default()
        };
        let done = Experience { ended: Ended::Done, told: Vec::new() };
        (case, observed, vec![done; 6])
    }

    /// The case of one kind, with the liar's index.
    fn lie_named(what: &str) -> (Case, usize) {
        let mut cases = cases(Scenario::Liars, SIX, None, 7).unwrap();
        cases.retain(|case| case.what.starts_with(what));
        let liar = cases[0].parts.iter().position(|part| part.conduct != Conduct::Honest);
        (cases.remove(0), liar.unwrap())
    }

    fn complaints(case: &Case, observed: &Observed, experiences: &[Experience]) -> Vec<String> {
        judge(case, observed, experiences).wrong
    }

    #[test]
    fn what_had_to_come_is_as_expected() {
        let (case, observed, experiences) = plain();
        let verdict = judge(&case, &observed, &experiences);
        assert_eq!((verdict.outcome.as_str(), verdict.wrong.len()), ("exact sum of 6", 0));
    }

    #[test]
    fn a_sum_wrong_in_one_unit_is_not_as_expected() {
        let (case, mut observed, experiences) = plain();
        observed.sum.as_mut().unwrap()[2] += 1.0 / 64.0;
        assert_eq!(complaints(&case, &observed, &experiences).len(), 1);
        observed.sum = None;
        assert_eq!(complaints(&case, &observed, &experiences).len(), 1);
    }

    #[test]
    fn the_exact_sum_of_others_than_expected_is_not_as_expected() {
        let (case, mut observed, experiences) = plain();
        observed.contributors.pop();
        observed.sum = Some(exact_sum(&case.parts, &observed.contributors));
        let wrong = complaints(&case, &observed, &experiences);
        assert!(wrong.len() == 1 && wrong[0].starts_with("contributors"), "{wrong:?}");
    }

    #[test]
    fn an_abort_where_a_sum_was_due_and_a_sum_where_none_was_are_not_as_expected() {
        let (case, mut observed, experiences) = plain();
        let (canary, _) = lie_named("canary");
        assert_eq!(complaints(&canary, &observed, &experiences).len(), 1);
        observed.state = "aborted".to_owned();
        observed.code = Some("canary".to_owned());
        assert!(!complaints(&case, &observed, &experiences).is_empty());
        assert_eq!(complaints(&canary, &observed, &experiences), [""; 0]);
        observed.code = Some("no_consensus".to_owned());
        assert_eq!(complaints(&canary, &observed, &experiences).len(), 1);
    }

    #[test]
    fn a_liar_that_is_not_named_or_not_told_is_not_as_expected() {
        let (case, liar) = lie_named("wrong shares");
        let (_, mut observed, experiences) = plain();
        observed.sum = Some(exact_sum(&case.parts, &observed.contributors));
        assert_eq!(complaints(&case, &observed, &experiences).len(), 1);
        observed.blamed = vec![(liar, "wrong_share".to_owned())];
        assert_eq!(complaints(&case, &observed, &experiences), [""; 0]);
        observed.blamed = vec![((liar + 1) % 6, "wrong_share".to_owned())];
        assert_eq!(complaints(&case, &observed, &experiences).len(), 1);

        let (case, liar) = lie_named("root that does not match");
        let (_, mut observed, mut experiences) = plain();
        observed.contributors.retain(|index| *index != liar);
        observed.sum = Some(exact_sum(&case.parts, &observed.contributors));
        observed.dropped = vec![(liar, "mask".to_owned())];
        experiences[liar] = Experience { ended: Ended::Out, told: vec!["masked_root".to_owned()] };
        assert_eq!(complaints(&case, &observed, &experiences), [""; 0]);
        experiences[liar].told = vec!["accepted".to_owned()];
        assert_eq!(complaints(&case, &observed, &experiences).len(), 1);
        experiences[liar].told = vec!["masked_root".to_owned()];
        observed.dropped = vec![(liar, "check".to_owned())];
        assert_eq!(complaints(&case, &observed, &experiences).len(), 1);
    }

    #[test]
    fn an_honest_device_that_failed_is_not_as_expected() {
        let (case, observed, mut experiences) = plain();
        for ended in [
            Ended::Broken("the connection failed".to_owned()),
            Ended::Refused("sharers_self".to_owned()),
            Ended::Out,
        ] {
            experiences[4].ended = ended;
            assert_eq!(complaints(&case, &observed, &experiences).len(), 1);
        }
    }

    #[test]
    fn a_record_is_read_by_the_index_of_its_devices() {
        let ids: Vec<DeviceId> = (1..=3).map(device_id).collect();
        let id = |index: usize| ids[index].to_string();
        let record = json!({
            "state": "finished", "abort": null,
            "devices": {
                "contributors": [id(0), id(1), device_id(9).to_string()],
                "dropped": [{"device": id(2), "step": "mask"}],
                "blamed": [{"device": id(1), "code": "wrong_share"}],
            },
        });
        let observed = Observed::of(&record, None, &ids);
        assert_eq!(observed.contributors, [0, 1, usize::MAX], "a stranger is seen");
        assert_eq!(observed.dropped, [(2, "mask".to_owned())]);
        assert_eq!(observed.blamed, [(1, "wrong_share".to_owned())]);
        assert_eq!((observed.code, observed.culprits.len()), (None, 0));
    }
}
