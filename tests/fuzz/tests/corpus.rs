//! Every committed input of every target, without libFuzzer.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use sealsum_fuzz::targets;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(corpus().join(target));
    folder.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let names: BTreeSet<String> = targets().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), targets().count(), "two targets of one name");
    let folders: BTreeSet<String> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, names);
    for name in names {
        assert!(!inputs(&name).is_empty(), "{name} has no corpus");
    }
}

#[test]
fn no_input_of_the_corpus_is_a_finding() {
    let mut findings = Vec::new();
    for target in targets() {
        for input in inputs(target.name) {
            let bytes = fs::read(&input).unwrap();
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                findings.push(format!("{}: {}", target.name, input.display()));
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}
