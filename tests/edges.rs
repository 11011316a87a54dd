//! What may depend on what, under which licences: the architecture, read back from the manifests.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// For each crate, the crates of this workspace that it may use outside tests.
const EDGES: &[(&str, &[&str])] = &[
    ("sealsum-protocol", &[]),
    ("sealsum-daemon", &[]),
    ("sealsum-attest", &[]),
    ("sealsum-attest-tpm", &["sealsum-attest"]),
    ("sealsum-log", &["sealsum-attest", "sealsum-daemon"]),
    ("sealsum-authority", &["sealsum-attest", "sealsum-daemon", "sealsum-log"]),
    (
        "sealsum-aggregator",
        &["sealsum-attest", "sealsum-daemon", "sealsum-log", "sealsum-protocol"],
    ),
    (
        "sealsum-agent",
        &["sealsum-attest", "sealsum-attest-tpm", "sealsum-daemon", "sealsum-protocol"],
    ),
    (
        "sealsum-fuzz",
        &["sealsum-agent", "sealsum-attest", "sealsum-protocol", "sealsum-test-fleet"],
    ),
    ("sealsum-test-support", &[]),
    ("sealsum-test-fleet", &["sealsum-protocol"]),
    (
        "sealsum-loadgen",
        &["sealsum-attest", "sealsum-daemon", "sealsum-protocol", "sealsum-test-support"],
    ),
    ("sealsum-simulation", &["sealsum-protocol", "sealsum-test-fleet"]),
    ("sealsum-demo", &["sealsum-protocol", "sealsum-test-support"]),
    ("sealsum-tests", &[]),
];

/// Crates that must not be anywhere in the tree of the crate they stand behind.
const NEVER: &[(&str, &[&str])] = &[
    ("sealsum-aggregator", &["tss-esapi", "tss-esapi-sys", "openssl-sys"]),
    ("sealsum-authority", &["tss-esapi", "tss-esapi-sys", "openssl-sys"]),
    ("sealsum-protocol", &["getrandom", "rustls", "tokio", "ureq", "rusqlite", "tss-esapi"]),
    ("sealsum-attest", &["tokio", "ureq", "rusqlite", "tss-esapi"]),
    ("sealsum-agent", &["rusqlite", "openssl-sys"]),
];

/// The crates the owner fixed; each must be used by name in the sources of a program or library.
const FIXED: &[&str] =
    &["tss-esapi", "x25519-dalek", "zeroize", "rustls", "ureq", "rand_chacha", "serde"];

const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The workspace as cargo resolves it for this platform.
struct Workspace {
    metadata: Value,
}

impl Workspace {
    fn read() -> Self {
        let host = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
        let host = String::from_utf8(host.stdout).unwrap();
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
            .arg(host.trim())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { metadata: serde_json::from_slice(&output.stdout).unwrap() }
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.metadata["packages"].as_array().unwrap().iter()
    }

    fn members(&self) -> BTreeSet<&str> {
        let ids: BTreeSet<&str> = self.metadata["workspace_members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect();
        self.packages().filter(|p| ids.contains(text(p, "id"))).map(|p| text(p, "name")).collect()
    }

    /// Names of the packages that `name` uses directly outside tests.
    fn uses(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let names: BTreeMap<&str, &str> =
            self.packages().map(|p| (text(p, "id"), text(p, "name"))).collect();
        let nodes = self.metadata["resolve"]["nodes"].as_array().unwrap();
        let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for node in nodes {
            let used = node["deps"].as_array().unwrap().iter().filter(|dependency| {
                dependency["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null())
            });
            uses.entry(names[text(node, "id")])
                .or_default()
                .extend(used.map(|dependency| names[text(dependency, "pkg")]));
        }
        uses
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// Everything that linking `root` alone would link: cargo unifies features over the crates it is
/// asked to build, so `cargo metadata` would blame one crate for what another's tests turn on.
fn everything_below(root: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", root])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn every_edge_between_our_crates_is_a_designed_one() {
    let workspace = Workspace::read();
    let uses = workspace.uses();
    let designed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    assert_eq!(workspace.members(), designed.keys().copied().collect(), "a crate without a rule");
    for (name, allowed) in designed {
        let ours: BTreeSet<&str> =
            uses[name].iter().copied().filter(|used| used.starts_with("sealsum-")).collect();
        let excess: Vec<_> = ours.iter().filter(|used| !allowed.contains(used)).collect();
        assert!(name == "sealsum-tests" || excess.is_empty(), "{name} may not use {excess:?}");
    }
}

#[test]
fn what_must_stay_out_of_a_tree_is_out() {
    let agent = everything_below("sealsum-agent");
    assert!(agent.contains("tss-esapi"), "the walk over the tree finds nothing: {agent:?}");
    for (name, banned) in NEVER {
        let below = everything_below(name);
        let found: Vec<_> = banned.iter().filter(|crate_| below.contains(**crate_)).collect();
        assert!(found.is_empty(), "{name} must not link {found:?}");
    }
}

#[test]
fn every_licence_is_one_we_accept() {
    let workspace = Workspace::read();
    for package in workspace.packages() {
        let name = text(package, "name");
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name}: no licence"));
        assert!(accepted(licence), "{name}: {licence}");
    }
    assert!(!accepted("GPL-3.0-only") && !accepted("MIT AND GPL-3.0-only"));
}

/// Reads the SPDX operators that occur: every `AND` part needs one accepted `OR` alternative.
fn accepted(licence: &str) -> bool {
    licence.replace(['(', ')'], "").split(" AND ").all(|part| {
        part.replace('/', " OR ").split(" OR ").any(|one| LICENCES.contains(&one.trim()))
    })
}

#[test]
fn the_crates_the_owner_fixed_are_used() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for folder in ["protocol", "attest", "agent", "aggregator"] {
        collect_sources(&root.join(folder), &mut sources);
    }
    for name in FIXED {
        let path = format!("{}::", name.replace('-', "_"));
        assert!(sources.contains(&path), "{name} is in no source");
    }
}

fn collect_sources(folder: &std::path::Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            collect_sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
