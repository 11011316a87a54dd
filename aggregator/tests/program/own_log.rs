//! The aggregator's own log: each round is in it, and an export convinces somebody who has only
//! the log's key.

use std::path::Path;

use crate::lifecycle::health;
use crate::program::{Aggregator, exact_task, run};

fn verify(export: &Path, key: &Path) -> crate::program::Ran {
    let key = key.display().to_string();
    run(&["log", "verify", &export.display().to_string(), "--log-key", &key])
}

#[test]
fn rounds_are_logged_with_their_end_and_an_export_verifies_offline() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let finished = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    std::thread::scope(|scope| {
        for device in &mut devices {
            scope.spawn(|| device.take_part(&[1.0; 4]).unwrap());
        }
    });
    assert_eq!(aggregator.wait(&finished).exit, 0);
    let aborted = aggregator.open_round("exact");
    assert_eq!(aggregator.cli(&["round", "abort", &aborted]).exit, 0);
    aggregator.wait(&aborted);
    let status = aggregator.cli(&["status"]).data();
    assert_eq!(status["log"]["size"], 5, "opened, roster, finished, opened, aborted: {status}");
    let metrics = health(&aggregator, "/metrics").1;
    assert!(metrics.contains("sealsum_log_size 5"), "{metrics}");

    let key = aggregator.dir.path().join("agg/log.vkey");
    let export = aggregator.dir.path().join("export");
    let out = export.display().to_string();
    let exported = aggregator.cli(&["log", "export", "--out", &out]);
    assert_eq!(exported.exit, 0, "{exported:?}");
    let proof = aggregator.dir.path().join("proof");
    let written = aggregator.cli(&["log", "prove", "2", "--out", &proof.display().to_string()]);
    assert_eq!(written.exit, 0, "{written:?}");
    let head = aggregator.cli(&["log", "checkpoint"]).data();
    assert_eq!(head["origin"], "test/aggregator-log/aggregator");
    assert_eq!(head["root"], status["log"]["root"]);

    let verified = verify(&export, &key);
    assert_eq!(verified.exit, 0, "{verified:?}");
    let entries = &verified.data()["entries"];
    assert_eq!(
        *entries,
        serde_json::json!({
            "round.opened": 2, "round.roster": 1, "round.finished": 1, "round.aborted": 1,
        })
    );
    let entry = verify(&proof, &key).data()["entry"].clone();
    assert_eq!((&entry["type"], &entry["round"]), (&"round.finished".into(), &finished.into()));
    assert_eq!((&entry["contributors"], &entry["epsilon"]), (&6.into(), &serde_json::Value::Null));

    let bundle = export.join("tile/entries/000.p/5");
    let text = String::from_utf8_lossy(&std::fs::read(&bundle).unwrap()).into_owned();
    assert!(text.contains("\"contributors\":6"), "{text}");
    std::fs::write(&bundle, text.replace("\"contributors\":6", "\"contributors\":5")).unwrap();
    let refused = verify(&export, &key);
    assert_eq!((refused.exit, refused.code().as_str()), (7, "log_invalid"), "{refused:?}");
}
