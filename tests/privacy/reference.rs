//! What `dp_reference` prints, against dp-accounting.

use std::process::Command;

use sealsum_tests::example;

use crate::script;

fn printed() -> Vec<u8> {
    let output = Command::new(example("dp_reference")).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn every_epsilon_is_that_of_another_accountant_or_above_the_exact_one() {
    let output = script("reference.py", &printed());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.ends_with("62 rows, 0 differ\n"), "{said}");
}

#[test]
fn an_epsilon_that_is_off_is_named() {
    let mut rows: serde_json::Value = serde_json::from_slice(&printed()).unwrap();
    let epsilon = &mut rows["gauss_z4_T10_1e-5"];
    *epsilon = (epsilon.as_f64().unwrap() * 0.998).into();
    let output = script("reference.py", &serde_json::to_vec(&rows).unwrap());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("gauss_z4_T10_1e-5 is 3.609"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
