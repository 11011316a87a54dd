//! Queries and rotated vectors: answers with error bars, and sums that lack their noise.

use sealsum_loadgen::device::Device;
use sealsum_protocol::client;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::ids::RoundId;
use sealsum_protocol::task::{Privacy, Task};
use serde_json::Value;

use crate::program::{Aggregator, exact_task};
use crate::rounds::in_parallel;

/// The exact task with these lines in place of its own vector's.
fn task(lines: &str, privacy: &str) -> String {
    exact_task("")
        .replace("coordinates = 4\nclip = 4096.0\nscale = 64\n", lines)
        .replace("mechanism = \"none\"", privacy)
}

/// With noise of this strength.
fn noise(multiplier: f64) -> String {
    format!("mechanism = \"skellam\"\nnoise_multiplier = {multiplier:?}\ndelta = 1e-5")
}

const AGES: &str = "kind = \"histogram\"\nlow = 0\nhigh = 100\nbins = 5\n";

/// A round in which device i submits values[i]: its id.
fn round_of(aggregator: &Aggregator, values: [f64; 6]) -> String {
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    in_parallel(&mut devices, |index, device| device.take_part(&[values[index]]).unwrap());
    let waited = aggregator.wait(&round);
    assert_eq!(waited.exit, 0, "{waited:?}");
    round
}

#[test]
fn a_histogram_without_noise_counts_exactly() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&task(AGES, "mechanism = \"none\"")).exit, 0);
    let round = round_of(&aggregator, [5.0, 25.0, 37.0, 39.9, 80.0, 130.0]);
    assert_eq!(aggregator.result(&round), [1.0, 3.0, 0.0, 0.0, 2.0]);
    let answer = aggregator.cli(&["round", "answer", &round]).data();
    assert_eq!(answer["contributors"], 6);
    assert_eq!(answer["answer"]["kind"], "histogram");
    let bars = answer["answer"]["bars"].as_array().unwrap();
    assert_eq!((&bars[1]["low"], &bars[1]["high"]), (&Value::from(20.0), &Value::from(40.0)));
    assert_eq!(bars[1]["count"], serde_json::json!({"value": 3.0, "deviation": 0.0}));
    let shown = aggregator.cli(&["task", "show", "exact"]).data();
    assert_eq!((&shown["kind"], &shown["coordinates"]), (&"histogram".into(), &5.into()));
}

#[test]
fn an_answer_s_error_bars_are_those_of_the_noise() {
    let aggregator = Aggregator::start();
    let mean = "kind = \"mean\"\nlow = 0\nhigh = 100\n";
    assert_eq!(aggregator.register(&task(mean, &noise(0.1))).exit, 0);
    let round = round_of(&aggregator, [20.0, 30.0, 40.0, 50.0, 60.0, 70.0]);
    let answer = aggregator.cli(&["round", "answer", &round]).data()["answer"].clone();
    let number = |name: &str, part: &str| answer[name][part].as_f64().unwrap();
    let deviation = aggregator.show(&round)["result"]["noise_deviation"].as_f64().unwrap();
    assert!(deviation > 0.0);
    assert!((number("mean", "deviation") - deviation / 6.0 * 50.0).abs() < 1e-12);
    // Six deviations: once in five hundred million runs.
    assert!((number("mean", "value") - 45.0).abs() < 6.0 * number("mean", "deviation"), "{answer}");
    let off = (number("variance", "value") - 1750.0 / 6.0).abs();
    assert!(off < 6.0 * number("variance", "deviation"), "{answer}");
}

#[test]
fn a_sum_of_vectors_answers_nothing() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    let early = aggregator.cli(&["round", "answer", &round]);
    assert_eq!((early.exit, early.code().as_str()), (3, "not_finished"));
    let mut devices = aggregator.devices(6);
    in_parallel(&mut devices, |_, device| device.take_part(&[1.0; 4]).unwrap());
    assert_eq!(aggregator.wait(&round).exit, 0);
    let refused = aggregator.cli(&["round", "answer", &round]);
    assert_eq!((refused.exit, refused.code().as_str()), (4, "usage"));
}

/// 600 coordinates and 424 of padding: the audit strays by 7 %.
const ROTATED: &str = "coordinates = 600\nclip = 1.0\nscale = 256\nrotation = \"hadamard\"\n";

#[test]
fn the_padding_of_a_rotated_sum_shows_its_noise() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&task(ROTATED, &noise(1.0))).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    in_parallel(&mut devices, |_, device| device.take_part(&[1.0 / 32.0; 600]).unwrap());
    assert_eq!(aggregator.wait(&round).exit, 0);
    let result = &aggregator.show(&round)["result"];
    let ratio = result["noise_audit"]["ratio"].as_f64().unwrap();
    assert!((0.6..1.4).contains(&ratio), "{result}");
    let sum = aggregator.result(&round);
    assert_eq!(sum.len(), 600);
    let deviation = result["noise_deviation"].as_f64().unwrap();
    let squares = sum.iter().map(|value| (value - 6.0 / 32.0).powi(2)).sum::<f64>() / 600.0;
    let measured = squares.sqrt() / deviation;
    assert!((0.8..1.2).contains(&measured), "{measured} of the deviation it says");
}

#[test]
fn a_sum_that_lacks_its_noise_is_not_published() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&task(ROTATED, &noise(1.0))).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    in_parallel(&mut devices, |_, device| take_part_without_noise(device));
    let waited = aggregator.wait(&round);
    assert_eq!((waited.exit, waited.code().as_str()), (1, "noise_missing"), "{waited:?}");
    let record = aggregator.show(&round);
    assert_eq!((&record["state"], &record["result"]), (&"aborted".into(), &Value::Null));
    let file = aggregator.path("agg/rounds").join(&round).join("result.npy");
    assert!(!file.exists(), "the sum is on the disk");
}

/// A device whose agent has forgotten its noise.
fn take_part_without_noise(device: &mut Device) -> RoundId {
    let (round, advertised) = device.enter().unwrap();
    let mut spec = advertised.spec().clone();
    let masking = device.share(round, advertised).unwrap();
    let mut fields = (*spec.signed_task.task).clone();
    fields.privacy = Privacy::None;
    spec.signed_task.task = Task::new(fields).unwrap();
    let quiet = Cohort::new(&spec, masking.seat().cohort().entries.clone(), 0).unwrap();
    let zeros = client::prepare(&[0.0; 600], None, &quiet, device.rng()).unwrap();
    let uploading = device.mask(masking, zeros).unwrap();
    let checking = device.upload_masked(round, uploading).unwrap();
    let signed = device.check(round, checking).unwrap();
    device.reveal(round, signed).unwrap();
    round
}
