//! The README shows what the demo prints.

use sealsum_demo::CHECKS;

const README: &str = include_str!("../../../README.md");

#[test]
fn the_excerpt_has_every_check_in_its_order_and_passed() {
    let shown: Vec<&str> = README
        .lines()
        .filter(|line| line.starts_with("ok   ") || line.starts_with("FAIL "))
        .map(|line| line.split_whitespace().nth(2).unwrap_or_default())
        .collect();
    assert_eq!(shown, CHECKS);
    let last = format!("demo: {} passed, 0 failed", CHECKS.len());
    assert!(README.lines().any(|line| line == last));
}
