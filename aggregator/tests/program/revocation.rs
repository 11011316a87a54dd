//! A device that is revoked is out at once: off its connection, and out of the round it is in.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::program::{Aggregator, exact_task};
use sealsum_loadgen::device::Device;
use sealsum_loadgen::wire::{Connection, client_config};

/// Longest until a revocation works: one period of the poll, and what closing takes.
const LIMIT: Duration = Duration::from_secs(25);

fn revoke(aggregator: &Aggregator, device: &Device) {
    aggregator.authority.revoke(sealsum_attest::ids::DeviceId::from_bytes(device.id.0));
}

#[test]
fn an_open_connection_is_closed_and_a_new_one_refused() {
    let aggregator = Aggregator::start();
    let mut device = aggregator.device(1);
    let mut other = aggregator.device(2);
    assert_eq!(device.get("/v1/rounds/open").unwrap().status, 204);
    revoke(&aggregator, &device);
    let started = Instant::now();
    // A request that waits is cut off in the middle.
    while device.connection.request("GET", "/v1/rounds/open?wait=5", &[]).is_ok() {
        assert!(started.elapsed() < LIMIT, "the connection stays open");
    }
    assert_eq!(other.get("/v1/rounds/open").unwrap().status, 204, "others stay");
    let config = client_config(&aggregator.fleet, Some(&device.leaf)).unwrap();
    let mut again = Connection::open(&aggregator.address, config).unwrap();
    let answer = again.request("GET", "/v1/rounds/open", &[]);
    if let Ok(answer) = answer {
        assert_eq!((answer.status, answer.code().as_str()), (403, "revoked"));
    }
    let status = aggregator.cli(&["status"]).data();
    assert_eq!(status["devices"]["revoked"], 1);
    assert_eq!(status["status_list"], 2);
}

#[test]
fn a_device_revoked_before_its_upload_is_not_in_the_sum() {
    revoked_within_a_round(false);
}

#[test]
fn a_device_revoked_after_its_upload_is_not_in_the_sum() {
    revoked_within_a_round(true);
}

/// Device 0 is revoked while the others have not yet sent their masked input.
fn revoked_within_a_round(uploads_first: bool) {
    let aggregator = Aggregator::start();
    let task = exact_task("").replace("mask = 8", "mask = 60");
    assert_eq!(aggregator.register(&task).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    let cut_off = Barrier::new(devices.len());
    std::thread::scope(|scope| {
        for (index, device) in devices.iter_mut().enumerate() {
            let (aggregator, cut_off) = (&aggregator, &cut_off);
            scope.spawn(move || {
                let (round, advertised) = device.enter().unwrap();
                let masking = device.share(round, advertised).unwrap();
                if index == 0 {
                    if uploads_first {
                        device.upload(round, masking, &[1.0, 0.0, 0.0, 0.0]).unwrap();
                    }
                    revoke(aggregator, device);
                    let started = Instant::now();
                    while device.connection.request("GET", "/v1/rounds/open?wait=5", &[]).is_ok() {
                        assert!(started.elapsed() < LIMIT, "the connection stays open");
                    }
                    cut_off.wait();
                    return;
                }
                cut_off.wait();
                let checking = device.upload(round, masking, &[1.0, 0.0, 0.0, 0.0]).unwrap();
                let signed = device.check(round, checking).unwrap();
                device.reveal(round, signed).unwrap();
            });
        }
    });
    let waited = aggregator.wait(&round);
    assert_eq!(waited.exit, 0, "{waited:?}");
    assert_eq!(aggregator.result(&round), [5.0, 0.0, 0.0, 0.0]);
    let record = aggregator.show(&round);
    let revoked = devices[0].id.to_string();
    let contributors = record["devices"]["contributors"].as_array().unwrap();
    assert!(contributors.iter().all(|device| *device != revoked));
    assert_eq!(record["devices"]["blamed"][0]["code"], "revoked");
    assert!(record["seconds"]["mask"].as_f64().unwrap() < 50.0, "nobody waits for it");
}

#[test]
fn a_status_list_whose_number_goes_back_is_not_believed() {
    let aggregator = Aggregator::start();
    let device = aggregator.device(1);
    revoke(&aggregator, &device);
    let started = Instant::now();
    while aggregator.cli(&["status"]).data()["status_list"] != 2 {
        assert!(started.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(500));
    }
    aggregator.authority.number(1);
    std::thread::sleep(Duration::from_secs(17));
    assert_eq!(aggregator.cli(&["status"]).data()["status_list"], 2);
}
