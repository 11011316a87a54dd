//! The innermost loops of a round cost as many instructions as recorded, as callgrind counts them:
//! what a busy machine does not move.
//!
//! Callgrind shows every CPU with AVX2 as the same one, without AVX-512, VAES and SHA extensions. So
//! the counts are of the code for that one, in the profile of tests, on any machine that has AVX2.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sealsum_tests::example;

/// A loop and the instructions of one turn on each line.
const RECORDED: &str = include_str!("instructions.txt");
/// What a compiler may do without anybody's asking.
const SLACK: f64 = 1.1;
/// Turns that are counted: no two need cost quite the same.
const TURNS: u64 = 4;

#[test]
fn the_innermost_loops_cost_as_many_instructions_as_recorded() {
    if !counts_are_of_this_cpu() {
        eprintln!("skipped: the recorded counts are of x86-64 CPUs with AVX2");
        return;
    }
    let program = example("innermost_loops");
    let counting: Vec<_> = names(&program).map(|name| (start(&program, &name), name)).collect();
    let counted: BTreeMap<String, u64> =
        counting.into_iter().map(|(child, name)| (name, instructions(child))).collect();
    let wrong = differences(&counted, &recorded(RECORDED));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_loop_that_costs_more_or_less_or_is_not_recorded_is_said() {
    let recorded = recorded("# a comment\nsame 1000\nmore 1000\nless 1000\ngone 1000\n");
    let counted = [("same", 1050), ("more", 1101), ("less", 908), ("new", 7)];
    let counted = counted.map(|(name, count)| (name.to_owned(), count)).into();
    let said = differences(&counted, &recorded);
    let starts = ["gone: no such loop", "less: 908", "more: 1101", "new: 7 instructions, none"];
    assert_eq!(said.len(), starts.len(), "{said:?}");
    assert!(said.iter().zip(starts).all(|(said, start)| said.starts_with(start)), "{said:?}");
    assert!(said[1].contains("the record is stale") && said[2].contains("a regression"));
}

fn counts_are_of_this_cpu() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn names(program: &Path) -> impl Iterator<Item = String> {
    let listed = Command::new(program).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    names.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Starts counting what the example's `counted_turn` does, as often as it is called.
fn start(program: &Path, name: &str) -> Child {
    Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*innermost_loops*counted_turn*")
        .arg(program)
        .args([name, &TURNS.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("valgrind: {error}. Try: sh packaging/deps.sh test"))
}

/// Of one turn.
fn instructions(child: Child) -> u64 {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = |line: &str| line.split_once("Collected : ")?.1.parse().ok();
    let count: Option<u64> = said.lines().find_map(collected);
    let count = count.filter(|count| *count > 0);
    count.unwrap_or_else(|| panic!("callgrind counted nothing: {said}")) / TURNS
}

fn recorded(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}

/// A sentence for each loop that costs something else than recorded, by name.
fn differences(counted: &BTreeMap<String, u64>, recorded: &BTreeMap<String, u64>) -> Vec<String> {
    let mut names: Vec<&String> = counted.keys().chain(recorded.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| difference(name, counted.get(name), recorded.get(name)))
        .collect()
}

fn difference(name: &str, counted: Option<&u64>, recorded: Option<&u64>) -> Option<String> {
    let Some(counted) = counted else {
        return Some(format!(
            "{name}: no such loop. Try: delete its line in tests/instructions.txt"
        ));
    };
    let line = format!("the line `{name} {counted}` in tests/instructions.txt");
    let Some(recorded) = recorded else {
        return Some(format!("{name}: {counted} instructions, none recorded. Try: {line}"));
    };
    let ratio = *counted as f64 / *recorded as f64;
    let what = format!("{name}: {counted} instructions, {recorded} recorded");
    if ratio > SLACK {
        return Some(format!(
            "{what}: a regression. Try: find it, or, if it has a good reason, {line}"
        ));
    }
    (ratio < 1.0 / SLACK).then(|| format!("{what}: the record is stale. Try: {line}"))
}
