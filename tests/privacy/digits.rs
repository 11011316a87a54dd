//! A model learnt through the product's integers and noise is as good as published.

use sealsum_tests::example;
use serde_json::Value;

use crate::python;

#[test]
fn digits_are_learnt_as_well_as_their_epsilon_allows() {
    let output = python("digits.py").arg(example("private_sum")).arg("check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let accuracy = |name: &str| found[name].as_f64().unwrap();
    assert!(accuracy("none") >= 92.5, "{found}");
    assert!(accuracy("8") >= 90.5, "{found}");
    // Below: too much noise. Above: too little.
    assert!((80.0..=90.0).contains(&accuracy("2")), "{found}");
}
