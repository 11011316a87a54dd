//! What the round interface refuses, each beside what it takes.

use std::sync::{Arc, Mutex};

use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::{Advertise, ConsistencySignature, MaskedInput, ShareAck};

use crate::program::{Aggregator, exact_task};
use crate::rounds::{in_parallel, up_to_masked};
use sealsum_loadgen::device::Device;
use sealsum_loadgen::fleet::{DAY, FleetKeys, Validity};
use sealsum_loadgen::wire::{Connection, client_config};

fn with_round() -> (Aggregator, String) {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    (aggregator, round)
}

/// Whether a first request on a new connection is answered.
fn answered(address: &str, config: Arc<rustls::ClientConfig>) -> bool {
    // In TLS 1.3 a client learns of a refused certificate only after its handshake.
    Connection::open(address, config)
        .and_then(|mut connection| connection.request("GET", "/v1/rounds/open", &[]))
        .is_ok()
}

#[test]
fn only_certificates_of_this_fleets_devices_are_let_in() {
    let aggregator = Aggregator::start();
    let (fleet, address) = (&aggregator.fleet, &aggregator.address);
    let id = sealsum_attest::ids::DeviceId::from_bytes([1; 32]);
    let good = fleet.device(id, &[9; 32], DAY).unwrap();
    assert!(answered(address, client_config(fleet, Some(&good)).unwrap()));
    assert!(!answered(address, client_config(fleet, None).unwrap()), "no certificate");
    let aggregators = fleet.aggregator(&"another".parse().unwrap()).unwrap();
    assert!(!answered(address, client_config(fleet, Some(&aggregators)).unwrap()), "an aggregator");
    let over = Validity { from_s: -7200, to_s: -3600 };
    let expired = fleet.device(id, &[9; 32], over).unwrap();
    assert!(!answered(address, client_config(fleet, Some(&expired)).unwrap()), "expired");
    let foreign = FleetKeys::new("test").unwrap().device(id, &[9; 32], DAY).unwrap();
    assert!(!answered(address, client_config(fleet, Some(&foreign)).unwrap()), "another CA");
}

#[test]
fn a_certificate_that_expires_on_an_open_connection_is_over() {
    let aggregator = Aggregator::start();
    let soon = Validity { from_s: -60, to_s: 3 };
    let mut device = Device::new(&aggregator.home(), 1, soon).unwrap();
    assert_eq!(device.get("/v1/rounds/open").unwrap().status, 204);
    std::thread::sleep(std::time::Duration::from_secs(4));
    let answer = device.get("/v1/rounds/open").unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "certificate_expired"));
}

#[test]
fn an_entry_is_for_the_device_that_sends_it_and_is_sent_once() {
    let (aggregator, round) = with_round();
    let mut device = aggregator.device(1);
    let mut other = aggregator.device(2);
    let (_, _, body) = device.prepare_entry().unwrap();
    let path = format!("/v1/rounds/{round}/advertise");

    let answer = other.post(&path, &body).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "entry_foreign"));
    let mut tampered = Advertise::from_bytes(&body).unwrap();
    tampered.signed.entry.mask_key[5] ^= 1;
    let answer = device.post(&path, &tampered.to_bytes()).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "entry_signature"));
    let answer = device.post(&path, &body[..body.len() - 1]).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (400, "body_invalid"));
    let answer = device.post(&path, &vec![0; Advertise::MAX_BYTES + 1]).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    device.reconnect().unwrap();

    assert_eq!(device.post(&path, &body).unwrap().status, 202);
    assert_eq!(device.post(&path, &body).unwrap().status, 202, "the same again");
    let answer = device.post(&path, &tampered.to_bytes()).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (409, "different_resend"));
    let open = device.get("/v1/rounds/open").unwrap();
    assert_eq!(open.status, 204, "a round is not announced to who is in it");

    let unknown = format!("/v1/rounds/{}/advertise", Hash([7; 32]));
    assert_eq!(device.post(&unknown, &body).unwrap().status, 404);
    assert_eq!(device.get("/v1/nothing").unwrap().status, 404);
}

#[test]
fn a_device_outside_the_roster_and_a_late_one_are_refused() {
    let (aggregator, round) = with_round();
    let mut stranger = aggregator.device(9);
    let (_, _, late_entry) = stranger.prepare_entry().unwrap();
    let mut devices = aggregator.devices(6);
    let stranger = Mutex::new(stranger);
    up_to_masked(&mut devices, |index, _, _, _| {
        if index > 0 {
            return;
        }
        let mut stranger = stranger.lock().unwrap();
        let answer = stranger.post(&format!("/v1/rounds/{round}/advertise"), &late_entry).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (409, "late"));
        let answer = stranger.get(&format!("/v1/rounds/{round}/roster")).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (403, "not_in_roster"));
        let answer = stranger.put(&format!("/v1/rounds/{round}/masked/0"), &[0; 48]).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (403, "not_in_roster"));
    });
    assert_eq!(aggregator.cli(&["round", "abort", &round]).exit, 0);
    let answer = devices[0].get(&format!("/v1/rounds/{round}/survivors")).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (410, "cancelled"));
    let answer = devices[0].put(&format!("/v1/rounds/{round}/masked/0"), &[0; 48]).unwrap();
    assert_eq!(answer.status, 410);
}

#[test]
fn chunks_are_the_layouts_and_hash_to_what_was_signed() {
    let (aggregator, round) = with_round();
    let mut devices = aggregator.devices(6);
    up_to_masked(&mut devices, |index, device, id, mut uploading| {
        let chunk = uploading.chunk(0);
        let message = uploading.masked_input();
        let (masked, path) =
            (format!("/v1/rounds/{id}/masked"), format!("/v1/rounds/{id}/masked/0"));
        let code = |answer: sealsum_loadgen::wire::Answer| (answer.status, answer.code());
        let refused = |status, code: &str| (status, code.to_owned());
        if index == 0 {
            let answer = device.post(&masked, &message.to_bytes()).unwrap();
            assert_eq!(code(answer), refused(403, "chunk_missing"));
            let answer = device.put(&path, &chunk[..chunk.len() - 1]).unwrap();
            assert_eq!(code(answer), refused(400, "chunk_invalid"));
            let answer = device.put(&format!("{masked}/1"), &chunk).unwrap();
            assert_eq!(code(answer), refused(400, "chunk_invalid"));
            let answer = device.put(&path, &vec![0; 1 << 17]).unwrap();
            assert_eq!(code(answer), refused(413, "body_too_large"));
            device.reconnect().unwrap();
        }
        if index == 1 {
            // What is stored is not what is signed, for ever: this device is lost.
            let mut other = chunk.clone();
            other[0] ^= 1;
            assert_eq!(device.put(&path, &other).unwrap().status, 202);
            let answer = device.post(&masked, &message.to_bytes()).unwrap();
            assert_eq!(code(answer), refused(403, "masked_root"));
            let answer = device.put(&path, &chunk).unwrap();
            assert_eq!(code(answer), refused(409, "different_resend"));
            return;
        }
        if index == 2 {
            let forged = MaskedInput { root: message.root, ..message.clone() };
            let mut forged = forged;
            forged.signature.0[3] ^= 1;
            assert_eq!(device.put(&path, &chunk).unwrap().status, 202);
            let answer = device.post(&masked, &forged.to_bytes()).unwrap();
            assert_eq!(code(answer), refused(403, "masked_signature"));
        }
        assert_eq!(device.put(&path, &chunk).unwrap().status, 202);
        assert_eq!(device.put(&path, &chunk).unwrap().status, 202, "the same again");
        assert_eq!(device.post(&masked, &message.to_bytes()).unwrap().status, 202);
        let again = device.post(&masked, &message.to_bytes()).unwrap();
        assert!(again.status == 202 || again.code() == "late", "{again:?}");
        let checking = uploading.acknowledged();
        let signed = device.check(id, checking).unwrap();
        device.reveal(id, signed).unwrap();
    });
    let waited = aggregator.wait(&round);
    assert_eq!(waited.exit, 0, "{waited:?}");
    let record = aggregator.show(&round);
    assert_eq!(record["devices"]["contributors"].as_array().unwrap().len(), 5);
    assert_eq!(record["devices"]["dropped"][0]["device"], devices[1].id.to_string());
    assert_eq!(record["devices"]["dropped"][0]["step"], "mask");
}

/// All that a device can send in a round, but for chunks.
const STEPS: [&str; 6] = ["advertise", "shares", "acks", "masked", "consistency", "reveal"];

/// What is no message, and what is longer than any, of whatever step; then the round.
#[test]
fn bytes_that_are_no_message_are_refused_and_the_round_goes_on() {
    let (aggregator, round) = with_round();
    let mut devices = aggregator.devices(6);
    for step in STEPS {
        let path = format!("/v1/rounds/{round}/{step}");
        for bytes in [&[][..], &[1], &[0xff; 60], b"{\"code\":\"cancelled\"}"] {
            let answer = devices[0].post(&path, bytes).unwrap();
            assert_eq!((answer.status, answer.code().as_str()), (400, "body_invalid"), "{step}");
        }
    }
    let longest = [
        ("advertise", Advertise::MAX_BYTES),
        ("acks", ShareAck::MAX_BYTES),
        ("masked", MaskedInput::MAX_BYTES),
        ("consistency", ConsistencySignature::MAX_BYTES),
    ];
    for (step, longest) in longest {
        let path = format!("/v1/rounds/{round}/{step}");
        let answer = devices[0].post(&path, &vec![1; longest + 1]).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{step}");
        devices[0].reconnect().unwrap();
    }
    in_parallel(&mut devices, |_, device| device.take_part(&[1.0, 0.0, 0.0, 0.0]).unwrap());
    assert_eq!(aggregator.wait(&round).exit, 0);
    assert_eq!(aggregator.result(&round), [6.0, 0.0, 0.0, 0.0]);
}

/// One device sends chunks and messages without end over a second connection while the round runs.
#[test]
fn a_flood_of_one_device_does_not_stop_the_round() {
    let (aggregator, round) = with_round();
    let mut devices = aggregator.devices(6);
    let config = client_config(&aggregator.fleet, Some(&devices[0].leaf)).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut connection = Connection::open(&aggregator.address, config).unwrap();
            let mut sent = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let chunk = format!("/v1/rounds/{round}/masked/{}", sent + 1);
                let answer = connection.request("PUT", &chunk, &[7; 48]).unwrap();
                assert!(answer.status >= 400, "{answer:?}");
                let step = STEPS[1 + sent % 5];
                let path = format!("/v1/rounds/{round}/{step}");
                let answer = connection.request("POST", &path, &[7; 90]).unwrap();
                assert!(answer.status >= 400, "{answer:?}");
                sent += 1;
            }
            sent
        });
        in_parallel(&mut devices, |_, device| device.take_part(&[1.0, 0.0, 0.0, 0.0]).unwrap());
        assert_eq!(aggregator.wait(&round).exit, 0);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        flood.join().unwrap()
    });
    assert!(sent > 5, "no flood");
    assert_eq!(aggregator.result(&round), [6.0, 0.0, 0.0, 0.0]);
    let record = aggregator.show(&round);
    assert_eq!(record["devices"]["contributors"].as_array().unwrap().len(), 6);
    assert_eq!(record["devices"]["dropped"], serde_json::json!([]));
}
