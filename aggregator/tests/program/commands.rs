//! The command line: offline commands, wrong files, exit codes.

use sealsum_protocol::codec::Message;
use sealsum_protocol::task::SignedTask;

use crate::program::{Aggregator, exact_task, run};

struct Owner {
    dir: tempfile::TempDir,
}

impl Owner {
    fn new() -> Self {
        let owner = Self { dir: tempfile::tempdir().unwrap() };
        assert_eq!(run(&["owner", "create", "--out", &owner.path("key")]).exit, 0);
        owner
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn sign(&self, task: &str, out: &str) -> crate::program::Ran {
        let file = self.write("task.toml", task);
        let (key, out) = (self.path("key"), self.path(out));
        run(&["task", "sign", &file, "--owner-key", &key, "--out", &out])
    }
}

const GRANTED: &str = "model = \"granted\"";

#[test]
fn usage_errors_exit_with_4() {
    for wrong in
        [&["nonsense"][..], &["round", "start"], &["round", "start", "--task", "t", "--model", "m"]]
    {
        let ran = run(wrong);
        assert_eq!((ran.exit, ran.code().as_str()), (4, "usage"), "{wrong:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().display().to_string();
    let ran = run(&["run", "--dir", &dir]);
    assert_eq!((ran.exit, ran.code().as_str()), (4, "file_not_found"));
    std::fs::write(format!("{dir}/aggregator.toml"), "lisen = 1\n").unwrap();
    let ran = run(&["run", "--dir", &dir]);
    assert_eq!((ran.exit, ran.code().as_str()), (4, "config_unknown_key"));
    let good = "state_dir = '.'\n[authority]\nurl = 'https://127.0.0.1:1'\nca = 'ca.pem'\n";
    std::fs::write(format!("{dir}/aggregator.toml"), good).unwrap();
    let ran = run(&["run", "--dir", &dir]);
    assert_eq!((ran.exit, ran.code().as_str()), (6, "not_enrolled"));
    std::fs::write(format!("{dir}/aggregator.toml"), good.replace("https", "http")).unwrap();
    let ran = run(&["run", "--dir", &dir]);
    assert_eq!((ran.exit, ran.code().as_str()), (4, "config_invalid"));
}

#[test]
fn init_needs_the_right_token_ca_and_authority() {
    let aggregator = Aggregator::new();
    let init = |url: &str, ca: &str, token: &str| {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("agg").display().to_string();
        run(&[
            "init",
            "--dir",
            &dir,
            "--authority",
            url,
            "--authority-ca",
            ca,
            "--token-file",
            token,
        ])
    };
    let (url, ca) = (aggregator.authority.url.clone(), aggregator.text_path("pinned.pem"));
    let token = aggregator.text_path("token");
    let ran = init(&url, &ca, &token);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(ran.data()["fleet"], "test");

    let wrong = aggregator.text_path("wrong");
    std::fs::write(&wrong, "another-token").unwrap();
    let ran = init(&url, &ca, &wrong);
    assert_eq!((ran.exit, ran.code().as_str()), (1, "token_invalid"));
    let foreign = sealsum_loadgen::fleet::FleetKeys::new("test").unwrap();
    std::fs::write(&wrong, &foreign.ca_pem).unwrap();
    let ran = init(&url, &wrong, &token);
    assert_eq!((ran.exit, ran.code().as_str()), (2, "wrong_ca"));
    let ran = init("https://127.0.0.1:1", &ca, &token);
    assert_eq!((ran.exit, ran.code().as_str()), (2, "unreachable"));
    let ran = init(&url, "/nowhere/ca.pem", &token);
    assert_eq!((ran.exit, ran.code().as_str()), (4, "file_not_found"));
    let again = aggregator.cli(&[
        "init",
        "--authority",
        &url,
        "--authority-ca",
        &ca,
        "--token-file",
        &token,
    ]);
    assert_eq!((again.exit, again.code().as_str()), (4, "file_exists"));

    // What lost its certificate is initialised again, and keeps its configuration.
    std::fs::remove_file(aggregator.path("agg/tls.pem")).unwrap();
    let before = std::fs::read(aggregator.path("agg/aggregator.toml")).unwrap();
    let init_again = |url: &str| {
        let ran = aggregator.cli(&[
            "init",
            "--authority",
            url,
            "--authority-ca",
            &ca,
            "--token-file",
            &token,
        ]);
        (ran.exit, ran.code())
    };
    assert_eq!(init_again("https://127.0.0.1:1"), (4, "config_invalid".to_owned()));
    assert_eq!(init_again(&url), (0, String::new()));
    assert_eq!(std::fs::read(aggregator.path("agg/aggregator.toml")).unwrap(), before);
}

#[test]
fn a_task_is_planned_signed_and_frozen() {
    let owner = Owner::new();
    let noisy = exact_task("ring_bits = \"auto\"").replace(
        "mechanism = \"none\"",
        "mechanism = \"skellam\"\nnoise_multiplier = 2.0\ndelta = 1e-5",
    );
    let file = owner.write("noisy.toml", &noisy);
    let plan = run(&["task", "plan", &file]);
    assert_eq!(plan.exit, 0, "{plan:?}");
    let plan = plan.data();
    let bits = plan["ring_bits"].as_u64().unwrap();
    assert_eq!(plan["ring_bits_needed"], bits);
    let cohorts = plan["cohorts"].as_array().unwrap();
    assert_eq!(cohorts.len(), 3);
    assert_eq!(cohorts[1]["devices"], 6);
    assert_eq!(cohorts[1]["survives"], 1);
    assert_eq!(cohorts[1]["a_min"], 5);
    let (round, task) = (&cohorts[1]["epsilon_round"], &cohorts[1]["epsilon_task"]);
    assert!(task.as_f64().unwrap() > round.as_f64().unwrap());
    assert!(cohorts[1]["sum_deviation"].as_f64().unwrap() > 0.0);

    let signed = owner.sign(&noisy, "signed");
    assert_eq!(signed.exit, 0, "{signed:?}");
    assert_eq!(signed.data()["ring_bits"], bits);
    let bytes = std::fs::read(owner.path("signed")).unwrap();
    let task = SignedTask::from_bytes(&bytes).unwrap();
    assert_eq!(u64::from(task.task.ring_bits), bits);
    assert_eq!(run(&["task", "plan", &owner.path("signed")]).data(), plan);
}

#[test]
fn wrong_task_files_and_keys_are_refused() {
    let owner = Owner::new();
    let refused = |task: &str| {
        let ran = owner.sign(task, "none");
        assert!(!std::path::Path::new(&owner.path("none")).exists());
        (ran.exit, ran.code())
    };
    let task = exact_task("");
    let code = |code: &str| (4, code.to_owned());
    assert_eq!(refused(&task.replace("clip =", "klip =")), code("config_unknown_key"));
    assert_eq!(refused(&task.replace("scale = 64", "scale = 63")), code("task_invalid"));
    assert_eq!(refused(&exact_task("ring_bits = 8")), code("task_invalid"));
    assert_eq!(refused("not toml"), code("config_invalid"));
    let promises = task.replace("dropout_share = 0.17", "dropout_share = 0.9");
    assert_eq!(refused(&promises), code("task_invalid"));

    let key = owner.path("key");
    let file = owner.write("good.toml", &task);
    let sign = |key: &str| {
        let ran = run(&["task", "sign", &file, "--owner-key", key, "--out", &owner.path("s")]);
        (ran.exit, ran.code())
    };
    assert_eq!(sign("/nowhere"), code("file_not_found"));
    assert_eq!(sign(&file), code("file_permissions"));
    assert_eq!(sign(&key), (0, String::new()));
    let again = run(&["owner", "create", "--out", &key]);
    assert_eq!((again.exit, again.code().as_str()), (4, "file_exists"));
}

#[test]
fn tasks_that_their_owner_did_not_sign_are_not_registered() {
    let aggregator = Aggregator::start();
    let owner = Owner::new();
    assert_eq!(owner.sign(&exact_task(""), "signed").exit, 0);
    let good = std::fs::read(owner.path("signed")).unwrap();
    let create = |bytes: &[u8]| {
        let ran = aggregator.cli(&["task", "create", &owner.write("try", bytes)]);
        (ran.exit, ran.code())
    };
    let mut tampered = SignedTask::from_bytes(&good).unwrap();
    tampered.signature.0[0] ^= 1;
    assert_eq!(create(&tampered.to_bytes()), (1, "owner_signature".to_owned()));
    let other = Owner::new();
    assert_eq!(other.sign(&exact_task(""), "signed").exit, 0);
    let foreign = std::fs::read(other.path("signed")).unwrap();
    let mut swapped = SignedTask::from_bytes(&good).unwrap();
    swapped.owner = SignedTask::from_bytes(&foreign).unwrap().owner;
    assert_eq!(create(&swapped.to_bytes()), (1, "owner_signature".to_owned()));
    assert_eq!(create(&good[..good.len() - 1]), (4, "file_format".to_owned()));
    assert_eq!(create(b""), (4, "file_format".to_owned()));

    assert_eq!(create(&good), (0, String::new()));
    assert_eq!(create(&good), (0, String::new()), "the very same again");
    assert_eq!(create(&foreign), (1, "conflict".to_owned()), "another owner, the same name");
    let tasks = aggregator.cli(&["task", "list"]).data();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1);
    let shown = aggregator.cli(&["task", "show", "exact"]).data();
    assert_eq!(shown["last_round"], 0);
    assert_eq!(aggregator.cli(&["task", "show", "nothing"]).code(), "not_found");
    assert_eq!(aggregator.cli(&["diagnostics", "--task", "exact"]).exit, 0);
    assert_eq!(aggregator.cli(&["diagnostics", "--task", "nothing"]).code(), "not_found");
}

#[test]
fn a_model_needs_the_owners_grant_for_this_round() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task(GRANTED)).exit, 0);
    let model = aggregator.text_path("model");
    std::fs::write(&model, b"weights").unwrap();
    let other = aggregator.text_path("other");
    std::fs::write(&other, b"other weights").unwrap();
    let (key, signed) = (aggregator.text_path("owner.key"), aggregator.text_path("task.signed"));
    let grant = |task: &str, number: &str, model: &str, key: &str| {
        let out = aggregator.text_path(&format!("grant-{number}"));
        let ran = aggregator.cli(&[
            "task",
            "grant",
            task,
            "--number",
            number,
            "--model",
            model,
            "--owner-key",
            key,
            "--out",
            &out,
        ]);
        (ran.exit, ran.code(), out)
    };
    let (exit, _, first) = grant(&signed, "1", &model, &key);
    assert_eq!(exit, 0);
    let (exit, _, second) = grant("exact", "2", &model, &key);
    assert_eq!(exit, 0, "by the name of a registered task");
    assert_eq!(grant("exact", "99", &model, &key).1, "grant_mismatch");
    let stranger = Owner::new();
    assert_eq!(grant("exact", "1", &model, &stranger.path("key")).1, "grant_mismatch");

    let start = |model: &str, grant: &str| {
        aggregator.cli(&["round", "start", "--task", "exact", "--model", model, "--grant", grant])
    };
    let bare = aggregator.cli(&["round", "start", "--task", "exact"]);
    assert_eq!((bare.exit, bare.code().as_str()), (1, "grant_mismatch"));
    assert_eq!(start(&other, &first).code(), "grant_mismatch");
    assert_eq!(start(&model, &model).code(), "file_format");
    let started = start(&model, &second);
    assert_eq!(started.exit, 0, "{started:?}");
    let record = started.data();
    assert_eq!(record["number"], 2);
    let hash = record["parameters"]["model_sha256"].as_str().unwrap().to_owned();

    let mut device = aggregator.device(1);
    let fetched = device.get(&format!("/v1/models/{hash}")).unwrap();
    assert_eq!((fetched.status, fetched.body.as_slice()), (200, &b"weights"[..]));
    assert_eq!(device.get(&format!("/v1/models/{}", "0".repeat(64))).unwrap().status, 404);
    let round = record["round"].as_str().unwrap();
    assert_eq!(aggregator.cli(&["round", "abort", round]).exit, 0);
    assert_eq!(start(&model, &first).code(), "grant_mismatch", "an earlier number");
    assert_eq!(start(&model, &second).code(), "grant_mismatch", "a number used up");
}

#[test]
fn the_tasks_terms_bind_the_aggregator() {
    let aggregator = Aggregator::start();
    let task = exact_task("min_interval = \"1h\"");
    assert_eq!(aggregator.register(&task).exit, 0);
    let round = aggregator.open_round("exact");
    assert_eq!(aggregator.cli(&["round", "abort", &round]).exit, 0);
    let soon = aggregator.cli(&["round", "start", "--task", "exact"]);
    assert_eq!((soon.exit, soon.code().as_str()), (1, "task_terms"));
    let over = exact_task("")
        .replace("name = \"exact\"", "name = \"over\"")
        .replace("2100-01-01", "2021-01-01");
    assert_eq!(aggregator.register(&over).exit, 0);
    let late = aggregator.cli(&["round", "start", "--task", "over"]);
    assert_eq!((late.exit, late.code().as_str()), (1, "task_terms"));
    let none = aggregator.cli(&["round", "start", "--task", "nothing"]);
    assert_eq!((none.exit, none.code().as_str()), (1, "not_found"));
}
