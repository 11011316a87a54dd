//! How long a device's privacy step takes at 2^20 coordinates, beside one mask: JSON, milliseconds.
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::time::Instant;

mod step;

fn main() {
    let start = Instant::now();
    println!("{:#}", step::measure(|| start.elapsed().as_secs_f64()).as_json());
}
