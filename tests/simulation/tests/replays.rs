//! Histories that once broke an invariant, or break one where a guard is missing, kept for ever.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::path::Path;

use sealsum_simulation::replay::Replay;

#[test]
fn no_kept_history_breaks_an_invariant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../replays");
    let mut told = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let replay = Replay::read(&path).unwrap();
        assert!(!replay.kills.is_empty(), "{} says not what it is kept for", path.display());
        let violation = replay.tell().violation;
        assert_eq!(violation, None, "{}, kept for: {}", path.display(), replay.kills);
        told += 1;
    }
    assert!(told >= 2, "{told} histories were kept");
}
