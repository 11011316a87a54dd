//! What the documents say of tests and guards is so.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::collections::BTreeSet;
use std::process::Command;

use sealsum_protocol::guard::Guard;
use sealsum_tests::repository;

/// Documents that name tests, as: test `name`.
const NAME_TESTS: [&str; 3] = ["docs/protocol.md", "docs/review.md", "THREAT_MODEL.md"];

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The name of each function with `#[test]` in the repository.
fn tests() -> BTreeSet<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(repository())
        .output()
        .unwrap();
    let paths = String::from_utf8(listed.stdout).unwrap();
    let sources = paths.lines().filter(|path| repository().join(path).exists()).map(read);
    sources.flat_map(|source| tests_in(&source)).collect()
}

fn tests_in(source: &str) -> Vec<String> {
    let bodies = source.split("#[test]").skip(1);
    let name = |body: &str| Some(body.split_once("fn ")?.1.split_once('(')?.0.to_owned());
    bodies.filter_map(name).collect()
}

/// The words in backquotes behind each `before`.
fn quoted<'a>(document: &'a str, before: &str) -> Vec<&'a str> {
    let behind = document.split(before).skip(1);
    behind.filter_map(|rest| rest.strip_prefix('`')?.split('`').next()).collect()
}

#[test]
fn the_tests_that_documents_name_exist() {
    let tests = tests();
    for path in NAME_TESTS {
        let document = read(path);
        let named = quoted(&document, "test ");
        assert!(named.len() >= 10, "{path} names {} tests", named.len());
        for name in named {
            assert!(tests.contains(name), "{path}: there is no test {name}");
        }
    }
}

#[test]
fn the_threat_model_has_each_guard_by_id_and_name_and_no_other() {
    let document = read("THREAT_MODEL.md");
    let words: BTreeSet<&str> =
        document.split(['|', ',', ';', ':', '.', '(', ')']).map(str::trim).collect();
    for guard in Guard::ALL {
        let named = format!("{} {}", guard.id(), guard.name());
        assert!(words.contains(named.as_str()), "{named} is missing");
    }
    let known = |word: &&&str| Guard::ALL.iter().any(|g| word.starts_with(&format!("{} ", g.id())));
    let ids = words.iter().filter(|word| {
        word.len() > 4 && word.starts_with('G') && word[1..3].bytes().all(|b| b.is_ascii_digit())
    });
    ids.for_each(|word| assert!(known(&word), "{word} is no guard"));
}
