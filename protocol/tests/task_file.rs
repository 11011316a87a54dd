//! The task file: what becomes of each field, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::codec::{Decode, Encode, Reader};
use sealsum_protocol::dp::Law;
use sealsum_protocol::task::{Kind, ModelRule, Privacy, Task, TaskFile, Weights};
use serde_json::{Value, json};

fn example() -> Value {
    json!({
        "name": "penguins", "coordinates": 15, "clip": 1.0, "scale": 65536, "ring_bits": "auto",
        "weights": "equal", "start_when": 12, "min_contributors": 6, "max_devices": 100,
        "corrupt_share": 0.1, "dropout_share": 0.35, "mask_suite": "chacha20", "rotation": "none",
        "model": "none", "max_rounds": 30, "min_interval": "90s",
        "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-31T00:00:00Z",
        "privacy": { "mechanism": "skellam", "noise_multiplier": 3.0, "delta": 1e-5 },
        "deadlines_s": { "advertise": 20, "share": 20, "mask": 60, "check": 20, "unmask": 20 },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Task, String> {
    let mut file = example();
    change(&mut file);
    let file: TaskFile = serde_json::from_value(file).map_err(|error| error.to_string())?;
    file.into_task().map_err(|error| error.to_string())
}

#[test]
fn the_example_of_the_reference_is_a_task() {
    let task = with(|_| {}).unwrap();
    assert_eq!((task.corrupt_share_permille, task.dropout_share_permille), (100, 350));
    assert_eq!(task.privacy, Privacy::Noise { law: Law::Skellam, z_permille: 3000, delta: 1e-5 });
    assert_eq!((task.min_interval_s, task.version), (90, 1));
    assert_eq!((task.not_before_s, task.not_after_s), (1_767_225_600, 1_801_353_600));
    assert_eq!((task.weights, task.model), (Weights::Equal, ModelRule::None));
}

#[test]
fn auto_is_frozen_to_the_fewest_bits_that_hold() {
    let bits = with(|_| {}).unwrap().ring_bits;
    assert_eq!(with(|file| file["ring_bits"] = json!(bits)).unwrap().ring_bits, bits);
    let narrower = with(|file| file["ring_bits"] = json!(bits - 1)).unwrap_err();
    assert!(narrower.starts_with("ring_bits"), "{narrower}");
}

#[test]
fn a_time_of_toml_is_a_map_of_its_text() {
    let toml_form = json!({ "$__toml_private_datetime": "2026-01-01T00:00:00Z" });
    let task = with(|file| file["not_before"] = toml_form).unwrap();
    assert_eq!(task.not_before_s, 1_767_225_600);
}

#[test]
fn weights_and_models_have_their_forms() {
    let task = with(|file| {
        file["weights"] = json!({ "max": 100 });
        file["model"] = json!("granted");
    })
    .unwrap();
    assert_eq!((task.weights, task.model), (Weights::UpTo(100), ModelRule::Granted));
    assert_eq!(task.summed_coordinates(), 16);
}

#[test]
fn wrong_fields_are_refused_by_name() {
    let refused: [(&str, &str, Value); 12] = [
        ("corrupt_share", "corrupt_share", json!(0.1234)),
        ("dropout_share", "dropout_share", json!(-0.1)),
        ("mask_suite", "mask_suite", json!("rot13")),
        ("rotation", "rotation", json!("fourier")),
        ("model", "model", json!("some")),
        ("min_interval", "min_interval", json!("soon")),
        ("not_before", "2026", json!("2026-13-01T00:00:00Z")),
        ("ring_bits", "auto", json!("many")),
        ("weights", "max", json!({ "most": 3 })),
        ("name", "name", json!("Penguins")),
        ("scale", "scale", json!(1000)),
        ("privacy", "noise_multiplier", json!({ "mechanism": "skellam" })),
    ];
    for (field, named, value) in refused {
        let error = with(|file| file[field] = value.clone()).expect_err(field);
        assert!(error.contains(named), "{field} = {value}: {error}");
    }
    let unknown = with(|file| file["colour"] = json!("blue")).unwrap_err();
    assert!(unknown.contains("colour"), "{unknown}");
    let none = with(|file| file["privacy"] = json!({ "mechanism": "none" })).unwrap();
    assert_eq!(none.privacy, Privacy::None);
}

/// The example as a query of this kind.
fn query(kind: &str, more: &[(&str, Value)]) -> Result<Task, String> {
    with(|file| {
        let fields = file.as_object_mut().unwrap();
        for given in ["coordinates", "clip", "scale"] {
            fields.remove(given);
        }
        fields.insert("kind".into(), json!(kind));
        fields.extend(more.iter().map(|(field, value)| ((*field).to_owned(), value.clone())));
    })
}

fn range() -> [(&'static str, Value); 2] {
    [("low", json!(-1.5)), ("high", json!(4))]
}

fn bins(count: u32) -> Vec<(&'static str, Value)> {
    range().into_iter().chain([("bins", json!(count))]).collect()
}

#[test]
fn a_query_has_the_numbers_of_its_template() {
    let queries = [
        (query("count", &[]), 1, 1.0, 1),
        (query("mean", &range()), 2, std::f64::consts::SQRT_2, 65_536),
        (query("histogram", &bins(10)), 10, 1.0, 1),
        (query("quantiles", &bins(64)), 126, 6.0f64.sqrt(), 1),
    ];
    for (task, coordinates, clip, scale) in queries {
        let task = task.unwrap();
        assert_eq!((task.coordinates, task.clip, task.scale), (coordinates, clip, scale));
        assert_eq!(task.kind.submitted(task.coordinates), 1);
        let encoded = task.encoded();
        assert_eq!(Task::decode(&mut Reader::new(&encoded)).unwrap(), task);
    }
    let rotated = with(|file| file["rotation"] = json!("hadamard")).unwrap();
    assert!(rotated.kind.rotated() && rotated.summed_coordinates() == 16);
    assert_eq!(Task::decode(&mut Reader::new(&rotated.encoded())).unwrap(), rotated);
}

#[test]
fn a_histogram_needs_few_bits_and_a_rotation_saves_some() {
    let histogram = query("histogram", &bins(100)).unwrap();
    assert!(histogram.ring_bits <= 16, "{}", histogram.ring_bits);
    let long = |rotation: &str| {
        with(|file| {
            (file["coordinates"], file["rotation"]) = (json!(65_536), json!(rotation));
        })
        .unwrap()
        .ring_bits
    };
    assert!(long("hadamard") < long("none"), "{} {}", long("hadamard"), long("none"));
}

#[test]
fn what_another_kind_would_have_is_refused_by_name() {
    let refused = [
        ("kind", query("median", &[])),
        ("low", query("mean", &[("high", json!(1.0))])),
        ("bins", query("histogram", &range())),
        ("bins", query("quantiles", &bins(12))),
        ("bins", query("histogram", &bins(1))),
        ("bins", query("mean", &bins(4))),
        ("low", query("count", &range())),
        ("low", query("mean", &[("low", json!(2)), ("high", json!(2))])),
        ("rotation", query("count", &[("rotation", json!("hadamard"))])),
        ("coordinates", query("count", &[("coordinates", json!(1))])),
        ("clip", query("count", &[("clip", json!(1.0))])),
        ("scale", query("count", &[("scale", json!(1))])),
        ("alike", query("count", &[("weights", json!({ "max": 3 }))])),
        ("model", query("count", &[("model", json!("granted"))])),
        ("clip", with(|file| drop(file.as_object_mut().unwrap().remove("clip")))),
        ("low", with(|file| file["low"] = json!(1.0))),
    ];
    for (place, (named, task)) in refused.into_iter().enumerate() {
        let error = task.map(|task| task.kind).expect_err(&format!("{named}, {place}"));
        assert!(error.contains(named), "{place}: {error}");
    }
    assert_eq!(query("count", &[]).unwrap().kind, Kind::Count);
}
