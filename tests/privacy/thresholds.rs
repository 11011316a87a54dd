//! Every threshold of sampler tables, against 80 digits.

use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::variance::Variance;
use serde_json::{Value, json};

use crate::script;

/// Variances from below a unit to a table of some 14,000 entries.
const VARIANCES: [(u64, u64); 8] =
    [(1, 100), (1, 16), (1, 4), (1, 1), (5, 2), (64, 1), (10_000, 1), (1 << 20, 1)];

fn table(law: Law, (numerator, denominator): (u64, u64)) -> Value {
    let variance = Variance::new(numerator.into(), denominator.into()).unwrap();
    let sampler = Sampler::new(law, &variance);
    let (parts, thresholds) = sampler.thresholds();
    let thresholds: Vec<String> = thresholds.map(|threshold| format!("{threshold:x}")).collect();
    json!({
        "law": law.name(), "numerator": numerator, "denominator": denominator,
        "parts": parts, "thresholds": thresholds, "off_by_at_most": off_by_at_most(numerator),
    })
}

/// A table leaves out what is less likely than 2^-140 of the mode. Of ten thousand thresholds that
/// moves one or two past an integer.
fn off_by_at_most(numerator: u64) -> u8 {
    u8::from(numerator > 10_000)
}

#[test]
fn every_threshold_is_exact_to_the_last_of_127_bits() {
    let mut tables = Vec::new();
    for law in Law::ALL {
        tables.extend(VARIANCES.map(|variance| table(law, variance)));
    }
    let output = script("thresholds.py", &serde_json::to_vec(&tables).unwrap());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with(" thresholds, 0 differ\n"), "{said}");
}

#[test]
fn a_threshold_off_by_one_is_found() {
    let mut one = table(Law::Skellam, (64, 1));
    let text = one["thresholds"][3].as_str().unwrap();
    let changed = u128::from_str_radix(text, 16).unwrap() + 1;
    one["thresholds"][3] = format!("{changed:x}").into();
    let output = script("thresholds.py", &serde_json::to_vec(&[one]).unwrap());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("threshold 3 is off by 1\n"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
