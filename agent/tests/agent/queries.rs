//! A query over agents: each submits a value, and pays for it from the one budget.

use serde_json::Value;

use crate::rounds::{COHORT, Fleet};

const AGES: &str = "name = \"age-histogram\"\nkind = \"histogram\"\nlow = 0\nhigh = 100\nbins = 10\n\
     start_when = 4\nmin_contributors = 3\nmax_devices = 10\ndropout_share = 0.0\nmax_rounds = 10\n\
     not_before = 2026-01-01T00:00:00Z\nnot_after = 2046-01-31T00:00:00Z\n[privacy]\n\
     mechanism = \"skellam\"\nnoise_multiplier = 2.0\ndelta = 1e-5\n[deadlines_s]\n\
     advertise = 30\nshare = 30\nmask = 30\ncheck = 30\nunmask = 30\n";

/// Exact sums over the same data, twice, would show who was missing the second time.
#[test]
fn data_is_given_to_a_task_without_noise_once() {
    let mut fleet = Fleet::new();
    let (start, end) = (AGES.find("[privacy]").unwrap(), AGES.find("[deadlines_s]").unwrap());
    let exact = [&AGES[..start], "[privacy]\nmechanism = \"none\"\n", &AGES[end..]].concat();
    fleet.publish_file("exact", &exact.replace("age-histogram", "exact"));
    let submit = |fleet: &Fleet, number: usize, epoch: &str| {
        let arguments = ["submit", "--task", "exact", "--value", "37", "--data-epoch", epoch];
        fleet.device(number).run(&arguments)
    };
    for number in 0..COHORT {
        submit(&fleet, number, "3").data();
    }
    let round = fleet.start("exact");
    assert_eq!(fleet.result(&round)[3], 4.0);
    fleet.last_round(0, |last| last["outcome"] == "contributed");
    for given in ["3", "2"] {
        let refused = submit(&fleet, 0, given);
        assert_eq!((refused.exit, refused.code()), (1, "data_epoch_given"));
    }
    assert_eq!(submit(&fleet, 0, "4").data()["state"], "queued");

    // Given meanwhile, to a round that failed: the device stays out of the next one from the start.
    fleet.restart(0, |dir| {
        std::fs::write(dir.join("state/epochs.json"), r#"{"given":{"exact":9}}"#).unwrap();
    });
    let round = fleet.start("exact");
    let last = fleet.last_round(0, |last| last["round"] == round.as_str());
    assert_eq!((&last["outcome"], &last["code"]), (&"refused".into(), &"data_epoch_given".into()));
    let entered = fleet.aggregator(&["round", "show", &round]).data()["devices"]["roster"].clone();
    assert_eq!(entered, Value::Array(Vec::new()));
}

#[test]
fn a_value_is_all_that_a_device_submits_to_a_query() {
    let fleet = Fleet::new();
    fleet.publish_file("age-histogram", AGES);
    for number in 0..COHORT {
        let device = fleet.device(number);
        let submitted = device.run(&["submit", "--task", "age-histogram", "--value", "37"]);
        assert_eq!(submitted.data()["state"], "queued");
    }
    let round = fleet.start("age-histogram");
    let sum = fleet.result(&round);
    let answer = fleet.aggregator(&["round", "answer", &round]).data().clone();
    let bars = answer["answer"]["bars"].as_array().unwrap().clone();
    assert_eq!(bars.len(), 10);
    assert!(bars.iter().zip(&sum).all(|(bar, count)| bar["count"]["value"] == *count));
    let deviation = bars[3]["count"]["deviation"].as_f64().unwrap();
    assert!((sum[3] - 4.0).abs() < 8.0 * deviation, "{answer}");
    for number in 0..COHORT {
        fleet.last_round(number, |last| last["outcome"] == "contributed");
        let budget = fleet.device(number).run(&["budget"]).data().clone();
        assert_eq!(budget["tasks"][0]["task"], "age-histogram");
        assert!(budget["epsilon"].as_f64().unwrap() > 0.5, "{budget}");
    }
    // The device knows the task now, and says at once what is wrong with a value or a vector.
    let device = fleet.device(0);
    let refused = |more: &[&str]| {
        let answer = device.run(&[&["submit", "--task", "age-histogram"], more].concat());
        answer.json["error"]["code"].clone()
    };
    assert_eq!(refused(&["--value", "old"]), Value::from("usage"));
    assert_eq!(refused(&["--value", "NaN"]), Value::from("usage"));
    let vector = fleet.path("ten.f64");
    std::fs::write(&vector, [0; 80]).unwrap();
    assert_eq!(refused(&[&vector]), Value::from("wrong_length"));
}
