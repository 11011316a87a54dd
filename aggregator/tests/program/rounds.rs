//! Whole rounds, driven by the protocol's own client.

use std::thread;

use sealsum_protocol::client::Uploading;
use sealsum_protocol::ids::RoundId;

use crate::program::{Aggregator, exact_task};
use sealsum_loadgen::device::Device;

/// What device `index` puts in: a value that only it has, and a negative one.
fn update(index: usize) -> Vec<f64> {
    vec![f64::from(1 << index), -0.25, index as f64 / 64.0, 3.0]
}

fn sum_of(indices: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.0; 4];
    for index in indices {
        for (total, value) in sum.iter_mut().zip(update(*index)) {
            *total += value;
        }
    }
    sum
}

/// Everybody in parallel; how far each goes is its own affair.
pub(crate) fn in_parallel<T: Send>(
    devices: &mut [Device],
    work: impl Fn(usize, &mut Device) -> T + Sync,
) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = devices
            .iter_mut()
            .enumerate()
            .map(|(index, device)| scope.spawn(move || work(index, device)))
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

#[test]
fn the_sum_of_all_is_exact_and_the_record_complete() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    in_parallel(&mut devices, |index, device| device.take_part(&update(index)).unwrap());

    let waited = aggregator.wait(&round);
    assert_eq!(waited.exit, 0, "{waited:?}");
    assert_eq!(aggregator.result(&round), sum_of(&[0, 1, 2, 3, 4, 5]));

    let record = aggregator.show(&round);
    assert_eq!(record["state"], "finished");
    assert_eq!(record["step"], serde_json::Value::Null);
    assert_eq!(record["number"], 1);
    for set in ["roster", "shared", "contributors", "signers", "revealers"] {
        assert_eq!(record["devices"][set].as_array().unwrap().len(), 6, "{set}");
    }
    assert_eq!(record["devices"]["dropped"], serde_json::json!([]));
    let parameters = &record["parameters"];
    assert_eq!(parameters["quorum"], 4);
    assert_eq!(parameters["t"], 4);
    assert_eq!(parameters["a_min"], 5);
    assert_eq!(parameters["mechanism"], "none");
    assert_eq!(record["proof"]["signatures"], 6);
    assert_eq!(record["result"]["canary_ok"], true);
    assert_eq!(record["result"]["coordinates"], 4);
    let norm = sum_of(&[0, 1, 2, 3, 4, 5]).iter().map(|v| v * v).sum::<f64>().sqrt();
    assert_eq!(record["result"]["norm"], norm);
    assert_eq!(record["result"]["norm_ratio"], serde_json::Value::Null);
    assert!(record["bytes_up_max"].as_u64().unwrap() > 500);
    assert!(record["bytes_down_max"].as_u64().unwrap() > 1000);
    for step in ["advertise", "share", "mask", "check", "unmask"] {
        assert!(record["seconds"][step].is_f64(), "{step}: {record}");
    }
    let masked = aggregator.path("agg/rounds").join(&round).join("masked");
    assert!(!masked.exists(), "masked vectors outlive their round");
    let list = aggregator.cli(&["round", "list"]).data();
    assert_eq!(list["rounds"][0]["contributors"], 6);
}

#[test]
fn a_second_round_is_numbered_and_compared() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let mut devices = aggregator.devices(6);
    for (number, factor) in [(1, 1.0), (2, 2.0)] {
        let round = aggregator.open_round("exact");
        in_parallel(&mut devices, |_, device| device.take_part(&[factor, 0.0, 0.0, 0.0]).unwrap());
        assert_eq!(aggregator.wait(&round).exit, 0);
        assert_eq!(aggregator.result(&round), [6.0 * factor, 0.0, 0.0, 0.0]);
        assert_eq!(aggregator.show(&round)["number"], number);
    }
    let rounds = aggregator.cli(&["round", "list"]).data();
    let second = rounds["rounds"][1]["round"].as_str().unwrap().to_owned();
    assert_eq!(aggregator.show(&second)["result"]["norm_ratio"], 2.0);
    let prefix = &second[..8];
    assert_eq!(aggregator.show(prefix)["number"], 2);
}

#[test]
fn devices_lost_at_each_step_are_named_and_the_sum_is_that_of_the_others() {
    let aggregator = Aggregator::start();
    let task = exact_task("")
        .replace("start_when = 6", "start_when = 12")
        .replace("dropout_share = 0.17", "dropout_share = 0.34");
    assert_eq!(aggregator.register(&task).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(12);
    // 12 devices survive any 4 losses: two after sharing, one after its upload, one after signing.
    in_parallel(&mut devices, |index, device| {
        let (round, advertised) = device.enter().unwrap();
        let masking = device.share(round, advertised).unwrap();
        if index < 2 {
            return device.disconnect();
        }
        let checking = device.upload(round, masking, &update(index)).unwrap();
        if index == 2 {
            return device.disconnect();
        }
        let signed = device.check(round, checking).unwrap();
        if index == 3 {
            return device.disconnect();
        }
        device.reveal(round, signed).unwrap();
    });
    let waited = aggregator.wait(&round);
    assert_eq!(waited.exit, 0, "{waited:?}");
    assert_eq!(aggregator.result(&round), sum_of(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    let record = aggregator.show(&round);
    assert_eq!(record["devices"]["contributors"].as_array().unwrap().len(), 10);
    let dropped: Vec<(String, String)> = record["devices"]["dropped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| {
            let text = |key: &str| lost[key].as_str().unwrap().to_owned();
            (text("device"), text("step"))
        })
        .collect();
    let expected: Vec<(String, String)> = ["mask", "mask", "check", "unmask"]
        .iter()
        .enumerate()
        .map(|(index, step)| (devices[index].id.to_string(), (*step).to_owned()))
        .collect();
    assert_eq!(dropped, expected);
}

#[test]
fn too_few_contributors_give_no_result_and_exit_3() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    // Six survive one loss; three are lost.
    in_parallel(&mut devices, |index, device| {
        let (round, advertised) = device.enter().unwrap();
        let masking = device.share(round, advertised).unwrap();
        if index < 3 {
            return device.disconnect();
        }
        device.upload(round, masking, &update(index)).unwrap();
        let answer = device.poll(&format!("/v1/rounds/{round}/survivors?wait=20")).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (410, "too_few_contributors"));
    });
    let waited = aggregator.wait(&round);
    assert_eq!((waited.exit, waited.code().as_str()), (3, "too_few_contributors"));
    assert_eq!(waited.data()["state"], "aborted");
    let out = aggregator.path("none.npy");
    let result = aggregator.cli(&["round", "result", &round, "--out", out.to_str().unwrap()]);
    assert_eq!((result.exit, result.code().as_str()), (3, "too_few_contributors"));
    assert!(!out.exists());
    let left = aggregator.path("agg/rounds").join(&round);
    assert!(!left.exists(), "an aborted round leaves nothing");
}

#[test]
fn too_few_devices_end_the_round_at_its_deadline() {
    let aggregator = Aggregator::start();
    let task = exact_task("").replace("advertise = 8", "advertise = 2");
    assert_eq!(aggregator.register(&task).exit, 0);
    let mut device = aggregator.device(1);
    let started = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            aggregator.cli(&["round", "start", "--task", "exact", "--wait", "--timeout", "60"])
        });
        device.enter().unwrap();
        waiting.join().unwrap()
    });
    assert_eq!((started.exit, started.code().as_str()), (3, "too_few_devices"));
    assert_eq!(started.stderr.matches("advertise: ").count(), 1, "{}", started.stderr);
    assert!(started.stderr.contains("survives"), "{}", started.stderr);
}

#[test]
fn an_unfinished_round_has_no_result_and_can_be_aborted() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    let out = aggregator.path("none.npy");
    let result = aggregator.cli(&["round", "result", &round, "--out", out.to_str().unwrap()]);
    assert_eq!((result.exit, result.code().as_str()), (3, "not_finished"));
    assert!(!out.exists());
    let waited = aggregator.cli(&["round", "wait", &round, "--timeout", "1"]);
    assert_eq!((waited.exit, waited.code().as_str()), (3, "deadline"));
    let second = aggregator.cli(&["round", "start", "--task", "exact"]);
    assert_eq!((second.exit, second.code().as_str()), (1, "round_running"));
    let aborted = aggregator.cli(&["round", "abort", &round]);
    assert_eq!(aborted.exit, 0);
    assert_eq!(aborted.data()["abort"]["code"], "cancelled");
    assert_eq!(aggregator.wait(&round).exit, 1);
    assert_eq!(aggregator.cli(&["round", "abort", &round]).code(), "conflict");
    assert_eq!(aggregator.cli(&["round", "show", "00000000"]).code(), "not_found");
}

#[test]
fn two_tasks_run_at_once() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let other = exact_task("").replace("name = \"exact\"", "name = \"other\"");
    assert_eq!(aggregator.register(&other).exit, 0);
    let first = aggregator.open_round("exact");
    let second = aggregator.open_round("other");
    let mut device = aggregator.device(1);
    let open = device.poll("/v1/rounds/open?wait=5").unwrap();
    let open: sealsum_protocol::messages::Announcement =
        sealsum_protocol::codec::Message::from_bytes(&open.body).unwrap();
    let ids: Vec<String> = open.rounds.iter().map(|spec| spec.round_id().to_string()).collect();
    assert!(ids.contains(&first) && ids.contains(&second), "{ids:?}");
}

#[test]
fn with_noise_the_price_is_in_the_record() {
    let aggregator = Aggregator::start();
    let task = exact_task("").replace("name = \"exact\"", "name = \"noisy\"").replace(
        "mechanism = \"none\"",
        "mechanism = \"skellam\"\nnoise_multiplier = 2.0\ndelta = 1e-5",
    );
    assert_eq!(aggregator.register(&task).exit, 0);
    let mut devices = aggregator.devices(6);
    let mut epsilons = Vec::new();
    for _ in 0..2 {
        let round = aggregator.open_round("noisy");
        in_parallel(&mut devices, |index, device| device.take_part(&update(index)).unwrap());
        assert_eq!(aggregator.wait(&round).exit, 0);
        let record = aggregator.show(&round);
        assert!(record["parameters"]["noise_variance"].as_str().unwrap().contains('/'));
        let privacy = &record["privacy"];
        assert_eq!(privacy["delta"], 1e-5);
        let number = |key: &str| privacy[key].as_f64().unwrap();
        assert!(number("rho") > 0.0 && number("epsilon_if_alone") > number("epsilon_round"));
        epsilons.push((number("epsilon_round"), number("epsilon_task")));
    }
    assert_eq!(epsilons[0].0, epsilons[0].1);
    assert_eq!(epsilons[0].0, epsilons[1].0);
    assert!(epsilons[1].1 > epsilons[1].0, "{epsilons:?}");
    assert!(epsilons[1].1 < 2.0 * epsilons[1].0, "{epsilons:?}");
}

#[test]
fn weights_multiply_the_vectors_and_are_summed_beside_them() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("weights = { max = 8 }")).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    let weights = [1.0, 2.0, 4.0, 8.0, 1.0, 2.0];
    in_parallel(&mut devices, |index, device| {
        device.weight = Some(weights[index]);
        device.take_part(&[1.0, -2.0, 0.0, index as f64]).unwrap()
    });
    assert_eq!(aggregator.wait(&round).exit, 0);
    let last: f64 = weights.iter().enumerate().map(|(index, weight)| index as f64 * weight).sum();
    assert_eq!(aggregator.result(&round), [18.0, -36.0, 0.0, last]);
    let result = &aggregator.show(&round)["result"];
    assert_eq!(result["weight_sum"], 18.0);
    assert_eq!(result["coordinates"], 4);
}

#[test]
fn masked_vectors_are_kept_where_the_operator_says_so() {
    let mut aggregator = Aggregator::new();
    aggregator.launch(&[("SEALSUM_AGGREGATOR_STORAGE__KEEP_MASKED", "round")]);
    let task = exact_task("").replace("coordinates = 4", "coordinates = 40000");
    assert_eq!(aggregator.register(&task).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    let update: Vec<f64> = (0..40_000).map(|i| f64::from(i % 3) / 64.0).collect();
    in_parallel(&mut devices, |_, device| device.take_part(&update).unwrap());
    assert_eq!(aggregator.wait(&round).exit, 0);
    let sum = aggregator.result(&round);
    assert!(sum.iter().zip(&update).all(|(sum, value)| *sum == value * 6.0));
    let masked = aggregator.path("agg/rounds").join(&round).join("masked");
    let files: Vec<_> = std::fs::read_dir(&masked).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 6);
    let one = std::fs::read(masked.join(devices[0].id.to_string())).unwrap();
    let ones: u32 = one.iter().map(|byte| byte.count_ones()).sum();
    let share = f64::from(ones) / (one.len() as f64 * 8.0);
    assert!((0.49..0.51).contains(&share), "masked bits are not even: {share}");
}

/// Used by the refusal tests too.
pub(crate) fn up_to_masked(
    devices: &mut [Device],
    stop: impl Fn(usize, &mut Device, RoundId, Uploading) + Sync,
) {
    in_parallel(devices, |index, device| {
        let (round, advertised) = device.enter().unwrap();
        let masking = device.share(round, advertised).unwrap();
        let uploading = device.prepare_upload(masking, &update(index)).unwrap();
        stop(index, device, round, uploading);
    });
}
