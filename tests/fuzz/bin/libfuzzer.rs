//! One target under libFuzzer: the one that `SEALSUM_FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sealsum_fuzz::{Target, target, targets};

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("SEALSUM_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| {
            let names: Vec<&str> = targets().map(|target| target.name).collect();
            eprintln!("SEALSUM_FUZZ_TARGET: one of {}", names.join(" "));
            std::process::exit(2)
        })
    })
}

fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));
