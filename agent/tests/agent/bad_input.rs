//! Each wrong input of INTERFACE's table, with the code and the exit code promised for it.

use std::fs;
use std::path::{Path, PathBuf};

use sealsum_protocol::codec::Message;
use sealsum_protocol::dp::Law;
use sealsum_protocol::mask::Suite;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::{
    Deadlines, Kind, ModelRule, Privacy, Rotation, SignedTask, Task, TaskFields, Weights,
};

use crate::world::{Device, NOBODY, World, agent, enrol};

const TASK: &str = "penguins";
const COORDINATES: u32 = 3;

/// A task as the agent remembers it once a round of it was announced.
fn task(owner: &SecretKey, name: &str, min_contributors: u32) -> SignedTask {
    let fields = TaskFields {
        name: name.into(),
        version: 1,
        coordinates: COORDINATES,
        ring_bits: 32,
        clip: 1.0,
        scale: 65536,
        weights: Weights::UpTo(10),
        privacy: Privacy::Noise { law: Law::Skellam, z_permille: 3000, delta: 1e-5 },
        start_when: 12,
        min_contributors,
        max_devices: 100,
        corrupt_share_permille: 100,
        dropout_share_permille: 350,
        mask_suite: Suite::ChaCha20,
        kind: Kind::Vector(Rotation::None),
        model: ModelRule::None,
        max_rounds: 10,
        min_interval_s: 0,
        not_before_s: 0,
        not_after_s: u64::MAX,
        deadlines_s: Deadlines { advertise: 20, share: 20, mask: 20, check: 20, unmask: 20 },
    };
    SignedTask::sign(Task::new(fields).unwrap(), owner)
}

fn remember(device: &Device, signed: &SignedTask) {
    let directory = device.dir.join("state/tasks");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(&signed.task.name);
    sealsum_daemon::files::write_private(&path, &signed.to_bytes()).unwrap();
}

fn file(device: &Device, name: &str, bytes: &[u8]) -> PathBuf {
    let path = device.dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn submit<'a>(task: &'a str, file: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["submit", "--task", task, file.to_str().unwrap()];
    arguments.extend(more);
    arguments
}

#[test]
fn every_wrong_vector_has_its_code() {
    let world = World::new();
    let device = world.enrolled("device");
    let owner = SecretKey::from_seed(&[1; 32]);
    device.edit("owners", &format!("[\"{}\"]", owner.public()));
    remember(&device, &task(&owner, TASK, 6));
    remember(&device, &task(&owner, "below-floor", 5));
    remember(&device, &task(&SecretKey::from_seed(&[2; 32]), "stranger", 6));
    let _agent = device.start();

    let good = file(&device, "good.f64", &f64s(&[0.5, 0.25, -0.5]));
    let queued = device.run(&submit(TASK, &good, &["--weight", "2"]));
    assert_eq!(queued.data()["state"], "queued");

    let npy = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }";
    for (name, bytes, code, exit) in [
        ("nan.f64", f64s(&[0.0, f64::NAN, 0.0]), "not_finite", 4),
        ("infinity.f64", f64s(&[0.0, 0.0, f64::INFINITY]), "not_finite", 4),
        ("short.f64", f64s(&[0.0, 0.0]), "wrong_length", 4),
        ("long.f64", f64s(&[0.0; 4]), "wrong_length", 4),
        ("cut.f64", f64s(&[0.0; 3])[..23].to_vec(), "file_truncated", 4),
        ("cut.npy", npy.to_vec(), "file_truncated", 4),
        ("empty.f32", Vec::new(), "file_truncated", 4),
        ("text.npy", b"1, 2, 3".to_vec(), "file_format", 4),
        ("vector.csv", b"1, 2, 3".to_vec(), "file_format", 4),
        ("vector", f64s(&[0.0; 3]), "file_format", 4),
        ("garbage.safetensors", vec![0xff; 64], "file_format", 4),
    ] {
        let path = file(&device, name, &bytes);
        let answer = device.run(&submit(TASK, &path, &["--weight", "2"]));
        assert_eq!((answer.code(), answer.exit), (code, exit), "{name}: {answer:?}");
    }
    let nan = device.dir.join("nan.f64");
    let answer = device.run(&submit(TASK, &nan, &["--weight", "2"]));
    assert_eq!(answer.json["error"]["index"], 1, "the index is named: {answer:?}");
    let missing = device.dir.join("missing.f64");
    device.run(&submit(TASK, &missing, &[])).refused("file_not_found", 4);

    for weight in ["0", "11"] {
        device.run(&submit(TASK, &good, &["--weight", weight])).refused("usage", 4);
    }
    device.run(&submit(TASK, &good, &[])).refused("usage", 4);
    device.run(&submit("UPPER", &good, &[])).refused("usage", 4);
    let impatient = submit(TASK, &good, &["--weight", "2", "--wait", "--timeout", "1"]);
    device.run(&impatient).refused("deadline", 3);
    device.run(&submit("below-floor", &good, &["--weight", "2"])).refused("policy_floor", 1);
    device.run(&submit("stranger", &good, &["--weight", "2"])).refused("policy_floor", 1);

    let explained = device.run(&["policy", "explain", "below-floor"]);
    assert_eq!(explained.data()["ok"], false);
    let floors = explained.data()["floors"].as_array().unwrap();
    let refused: Vec<_> = floors.iter().filter(|floor| floor["ok"] == false).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["name"], "min_contributors");
    assert_eq!(device.run(&["policy", "explain", TASK]).data()["ok"], true);
    device.run(&["policy", "explain", "unheard-of"]).refused("not_found", 1);
}

#[test]
fn nobody_listens() {
    let world = World::new();
    let device = world.enrolled("device");
    let good = file(&device, "good.f64", &f64s(&[0.5]));
    device.run(&submit(TASK, &good, &[])).refused("agent_not_running", 2);
    device.run(&["status"]).refused("agent_not_running", 2);
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let mut world = World::new();
    let (device, late) = (world.enrolled("device"), world.device("late"));
    let (token, ca) = (world.token(), world.ca());
    world.stop_authority();
    device.run(&["renew"]).refused("unreachable", 2);
    enrol(&late, &world.url, &ca, NOBODY, &token).refused("unreachable", 2);
}

#[test]
fn a_tpm_that_is_not_there_is_unreachable() {
    let world = World::new();
    let mut device = world.enrolled("device");
    device.tpm.kill();
    device.run(&["run"]).refused("tpm_unreachable", 2);
    device.run(&["renew"]).refused("tpm_unreachable", 2);
    world.enrol(&device).refused("tpm_unreachable", 2);
    device.edit("tpm", "\"device:/dev/no-such-tpm\"");
    device.run(&["run"]).refused("tpm_unreachable", 2);
}

#[test]
fn wrong_configurations_name_the_key() {
    let world = World::new();
    let device = world.enrolled("device");
    let path = device.dir.join("agent.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to, code) in [
        ("min_contributors", "min_contributers", "config_unknown_key"),
        ("[policy]", "[polices]", "config_unknown_key"),
        ("min_contributors = 6", "min_contributors = \"six\"", "config_invalid"),
        ("min_contributors = 6", "min_contributors = 1", "config_invalid"),
        ("owners = []", "owners = [\"ed25519:AAAA\"]", "config_invalid"),
        ("seal_pcrs = [7]", "seal_pcrs = [24]", "config_invalid"),
        ("mask_threads = 1", "mask_threads = 1025", "config_invalid"),
        ("url = \"https", "url = \"http", "config_invalid"),
        ("allow = []", "allow = [{ tasks = [\"a\"] }]", "config_invalid"),
        ("allow = []", "allow = [{ user = \"no-such-user\" }]", "config_invalid"),
        ("fleet = \"test\"", "fleet = \"other\"", "config_invalid"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&path, good.replace(from, to)).unwrap();
        let answer = device.run(&["run"]);
        assert_eq!((answer.code(), answer.exit), (code, 4), "{to}: {answer:?}");
        if code == "config_unknown_key" {
            assert!(
                answer.json["error"]["hint"]
                    .as_str()
                    .unwrap()
                    .contains(from.trim_matches(['[', ']']))
            );
        }
    }
    // swtpm:path= would silently be another TPM.
    fs::write(&path, &good).unwrap();
    device.edit("tpm", "\"swtpm:path=/run/tpm.sock\"");
    device.run(&["run"]).refused("config_invalid", 4);
}

#[test]
fn a_wrong_command_line_is_usage_and_help_is_none() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["sbmit"][..], &["submit"], &["run", "--reedy-file", "x"], &["policy"]] {
        agent(dir.path(), arguments).refused("usage", 4);
    }
    let mut help = std::process::Command::new(crate::world::AGENT);
    assert_eq!(help.arg("--help").output().unwrap().status.code(), Some(0));
    agent(dir.path(), &["run"]).refused("not_enrolled", 6);
    agent(dir.path(), &["renew"]).refused("not_enrolled", 6);
}

#[test]
fn a_state_directory_open_to_others_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let device = world.enrolled("device");
    let state = device.dir.join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    device.run(&["run"]).refused("file_permissions", 4);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let identity = state.join("identity.json");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).unwrap();
    device.run(&["run"]).refused("file_permissions", 4);
}
