//! Rounds with the real aggregator: four devices, no simulation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealsum_test_support::Process;
use serde_json::Value;

use crate::local_socket::{exchange, request};
use crate::world::{Answer, Device, STOP_LIMIT, World};

pub(crate) const COHORT: usize = 4;
/// Longest wait for anything in a round; five times what was measured on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Devices that play rounds.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) devices: Vec<Device>,
    pub(crate) agents: Vec<Process>,
    key: PathBuf,
}

impl Fleet {
    /// Four devices whose policy takes the owner's tasks of three contributors and more.
    pub(crate) fn new() -> Self {
        Self::over(World::new().with_aggregator())
    }

    /// The same in a world that has an aggregator.
    pub(crate) fn over(world: World) -> Self {
        let key = world.dir.path().join("owner.key");
        let created = world.aggregator(&["owner", "create", "--out", key.to_str().unwrap()]);
        let owner = owner_of(&created);
        let devices: Vec<Device> =
            (0..COHORT).map(|number| world.enrolled(&format!("device-{number}"))).collect();
        for device in &devices {
            device.edit("owners", &format!("[\"{owner}\"]"));
            device.edit("min_contributors", "3");
            device.edit("allow_without_noise", "[\"exact\", \"cut\", \"small\"]");
        }
        let agents = devices.iter().map(Device::start).collect();
        Self { world, devices, agents, key }
    }

    pub(crate) fn device(&self, number: usize) -> &Device {
        &self.devices[number]
    }

    /// Kills an agent and starts it again on what `meanwhile` made of its directory.
    pub(crate) fn restart(&mut self, number: usize, meanwhile: impl FnOnce(&Path)) {
        self.agents[number].kill();
        meanwhile(&self.devices[number].dir);
        self.agents[number] = self.devices[number].start();
    }

    pub(crate) fn aggregator(&self, arguments: &[&str]) -> Answer {
        self.world.aggregator(arguments)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.world.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Signs and publishes a task.
    pub(crate) fn publish(&self, name: &str, settings: &Settings) {
        self.publish_file(name, &settings.task(name));
    }

    /// Signs and publishes a task from its file's text.
    pub(crate) fn publish_file(&self, name: &str, text: &str) {
        let signed = self.sign_file(name, text);
        self.world.aggregator(&["task", "create", &signed]).data();
    }

    /// Signs a task; where the file is.
    pub(crate) fn sign(&self, name: &str, settings: &Settings) -> String {
        self.sign_file(name, &settings.task(name))
    }

    fn sign_file(&self, name: &str, text: &str) -> String {
        let (file, signed) =
            (self.path(&format!("{name}.toml")), self.path(&format!("{name}.signed")));
        fs::write(&file, text).unwrap();
        let key = self.key.to_str().unwrap();
        self.world
            .aggregator(&["task", "sign", &file, "--owner-key", key, "--out", &signed])
            .data();
        signed
    }

    pub(crate) fn submit(&self, number: usize, task: &str, values: &[f64]) -> Answer {
        let file = self.path(&format!("{task}-{number}.f64"));
        fs::write(&file, le(values)).unwrap();
        self.devices[number].run(&["submit", "--task", task, &file])
    }

    pub(crate) fn start(&self, task: &str) -> String {
        let started = self.world.aggregator(&["round", "start", "--task", task]);
        started.data()["round"].as_str().unwrap().to_owned()
    }

    fn show(&self, round: &str) -> Value {
        self.world.aggregator(&["round", "show", round]).json["data"].clone()
    }

    #[track_caller]
    pub(crate) fn await_round(
        &self,
        round: &str,
        what: &str,
        reached: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = Instant::now();
        loop {
            let record = self.show(round);
            if reached(&record) {
                return record;
            }
            let running = record["state"] == "running" && started.elapsed() < PATIENCE;
            assert!(running, "no {what}: {record}\n{}", self.agents[0].log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The sum of a round that finished.
    pub(crate) fn result(&self, round: &str) -> Vec<f64> {
        self.await_round(round, "end", |record| record["state"] == "finished");
        let file = self.path("result.npy");
        self.world.aggregator(&["round", "result", round, "--out", &file]).data();
        let bytes = fs::read(file).unwrap();
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        bytes[header..].as_chunks().0.iter().map(|word| f64::from_le_bytes(*word)).collect()
    }

    #[track_caller]
    pub(crate) fn last_round(&self, number: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        let status = self.devices[number]
            .await_status(PATIENCE, |answer| wanted(&answer.json["data"]["last_round"]));
        status.json["data"]["last_round"].clone()
    }
}

/// What tasks differ in.
pub(crate) struct Settings {
    pub(crate) noise: Option<f64>,
    pub(crate) model: &'static str,
    pub(crate) min_contributors: u32,
    pub(crate) advertise_s: u32,
    pub(crate) scale: u32,
    pub(crate) step_s: u32,
}

impl Settings {
    pub(crate) const EXACT: Self = Self {
        noise: None,
        model: "none",
        min_contributors: 3,
        advertise_s: 30,
        scale: 65536,
        step_s: 30,
    };

    fn task(&self, name: &str) -> String {
        let privacy = match self.noise {
            Some(z) => format!("mechanism = \"skellam\"\nnoise_multiplier = {z:?}\ndelta = 1e-5"),
            None => "mechanism = \"none\"".to_owned(),
        };
        let Self { model, min_contributors, advertise_s, scale, step_s, .. } = self;
        format!(
            "name = \"{name}\"\ncoordinates = 3\nclip = 8.0\nscale = {scale}\nring_bits = \"auto\"\n\
             weights = \"equal\"\nstart_when = {COHORT}\nmin_contributors = {min_contributors}\n\
             max_devices = 10\ncorrupt_share = 0.1\ndropout_share = 0.0\n\
             mask_suite = \"chacha20\"\nrotation = \"none\"\nmodel = \"{model}\"\n\
             max_rounds = 10\nmin_interval = \"0s\"\nnot_before = 2026-01-01T00:00:00Z\n\
             not_after = 2046-01-31T00:00:00Z\n[privacy]\n{privacy}\n[deadlines_s]\n\
             advertise = {advertise_s}\nshare = {step_s}\nmask = {step_s}\ncheck = {step_s}\nunmask = {step_s}\n"
        )
    }
}

#[test]
fn a_round_gives_the_exact_sum_and_every_device_says_that_it_contributed() {
    let fleet = Fleet::new();
    fleet.publish("exact", &Settings::EXACT);
    let values = |number: usize| [number as f64 + 0.5, -(number as f64), 2.0_f64.powi(-16)];
    let mut receipts = Vec::new();
    for number in 1..COHORT {
        let queued = fleet.submit(number, "exact", &values(number));
        receipts.push(queued.data()["receipt"].as_str().unwrap().to_owned());
    }
    let file = fleet.path("exact-0.f64");
    fs::write(&file, le(&values(0))).unwrap();
    let round = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            fleet.devices[0].run(&["submit", "--task", "exact", &file, "--wait", "--timeout", "60"])
        });
        let round = fleet.start("exact");
        let waited = waiting.join().unwrap();
        assert_eq!(waited.data()["state"], "finished");
        assert_eq!(waited.data()["round"], round);
        receipts.insert(0, waited.data()["receipt"].as_str().unwrap().to_owned());
        round
    });
    assert_eq!(fleet.result(&round), [8.0, -6.0, 4.0 * 2.0_f64.powi(-16)]);
    for (number, receipt) in receipts.iter().enumerate() {
        let last = fleet.last_round(number, |last| last["round"] == round.as_str());
        assert_eq!((&last["outcome"], &last["code"]), (&"contributed".into(), &Value::Null));
        let socket = fleet.devices[number].dir.join("api.sock");
        let followed = request(&socket, "GET", &format!("/v1/updates/{receipt}"), "", &[]);
        assert_eq!(followed.body["state"], "finished", "{}", followed.body);
        assert_eq!(followed.body["round"], round);
        let status = fleet.devices[number].run(&["status"]);
        assert_eq!(status.data()["state"], "enrolled");
        assert_eq!(status.data()["pending"].as_array().unwrap().len(), 0);
        assert_eq!(status.data()["privacy"].as_array().unwrap().len(), 0, "no noise, no charge");
    }
    // An update is given once: the next round of the task finds nothing.
    let rounds = fleet.devices[0].run(&["rounds"]);
    assert_eq!(rounds.data()["rounds"].as_array().unwrap().len(), 1);
}

#[test]
fn a_model_is_offered_its_answer_summed_with_noise_and_charged_once() {
    let mut fleet = Fleet::new();
    let settings = Settings { noise: Some(4.0), model: "granted", scale: 256, ..Settings::EXACT };
    fleet.publish("penguins", &settings);
    let (model, grant) = (fleet.path("model"), fleet.path("grant"));
    fs::write(&model, b"the model of round one").unwrap();
    let key = fleet.key.to_str().unwrap();
    fleet
        .world
        .aggregator(&[
            "task",
            "grant",
            "penguins",
            "--number",
            "1",
            "--model",
            &model,
            "--owner-key",
            key,
            "--out",
            &grant,
        ])
        .data();
    let started = fleet.world.aggregator(&[
        "round", "start", "--task", "penguins", "--model", &model, "--grant", &grant,
    ]);
    let round = started.data()["round"].as_str().unwrap().to_owned();

    for device in &fleet.devices {
        let socket = device.dir.join("api.sock");
        let (head, body) = exchange(&socket, "GET", "/v1/tasks/penguins/next?wait=30", "", &[]);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_lowercase().contains("sealsum-round: 1"), "{head}");
        assert_eq!(body, b"the model of round one");
        let update = le(&[1.0, 2.0, 3.0]);
        // An answer to another round is not for this one.
        let target = "/v1/updates?task=penguins&round=2";
        assert_eq!(request(&socket, "POST", target, "application/x-f64", &update).status, 202);
        let short = request(
            &socket,
            "POST",
            "/v1/updates?task=penguins&round=1",
            "application/x-f64",
            &update[..16],
        );
        assert_eq!((short.status, &short.body["code"]), (400, &"wrong_length".into()));
        let target = "/v1/updates?task=penguins&round=1";
        assert_eq!(request(&socket, "POST", target, "application/x-f64", &update).status, 202);
    }
    let sum = fleet.result(&round);
    for (noisy, exact) in sum.iter().zip([4.0, 8.0, 12.0]) {
        assert!((noisy - exact).abs() < 400.0, "{sum:?}");
        assert_ne!(*noisy, exact, "no noise: {sum:?}");
    }
    let record = fleet.show(&round);
    for (number, device) in fleet.devices.iter().enumerate() {
        fleet.last_round(number, |last| last["outcome"] == "contributed");
        let spent = device.run(&["budget"]).data()["epsilon"].as_f64().unwrap();
        let reported = record["privacy"]["epsilon_task"].as_f64().unwrap();
        assert!(spent > 0.1 && (spent - reported).abs() < 0.02 * reported, "{spent} {reported}");
        let rounds = device.run(&["rounds"]);
        let charged = rounds.data()["rounds"][0]["epsilon"].as_f64().unwrap();
        assert!((charged - spent).abs() < 1e-9);
    }
    // What was spent stays spent, whatever happens to the process.
    let spent = fleet.devices[0].run(&["budget"]);
    fleet.restart(0, |_| {});
    assert_eq!(fleet.devices[0].run(&["budget"]).data(), spent.data());
    let status = fleet.devices[0].run(&["status"]);
    assert_eq!(status.json["data"]["privacy"][0]["epsilon"], spent.data()["epsilon"]);
}

#[test]
fn an_agent_killed_in_a_round_stays_out_of_it_and_says_why() {
    let mut fleet = Fleet::new();
    fleet.publish("cut", &Settings { advertise_s: 20, step_s: 8, ..Settings::EXACT });
    for number in 0..COHORT - 1 {
        fleet.submit(number, "cut", &[1.0; 3]).data();
    }
    let round = fleet.start("cut");
    for device in &fleet.devices[..COHORT - 1] {
        device.await_status(PATIENCE, |answer| answer.json["data"]["round"] == round.as_str());
    }
    fleet.agents[0].kill();
    let ended = fleet.agents[1].terminate(STOP_LIMIT);
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "SIGTERM works within a round");
    for number in [0, 1] {
        fleet.agents[number] = fleet.devices[number].start();
        let last = fleet.last_round(number, |last| last["round"] == round.as_str());
        assert_eq!((&last["outcome"], &last["code"]), (&"dropped".into(), &"restarted".into()));
    }
    // The fourth completes the roster; the first, though back and with its update, says nothing.
    fleet.submit(COHORT - 1, "cut", &[1.0; 3]).data();
    let record = fleet.await_round(&round, "end", |record| record["state"] != "running");
    assert_eq!(record["state"], "aborted", "four on the roster, none may be lost: {record}");
    let rounds = fleet.devices[0].run(&["rounds"]);
    let rounds = rounds.data()["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 1, "one round, one record: {rounds:?}");
    assert_eq!(rounds[0]["outcome"], "dropped");
    // What did not leave the device waits for the next round.
    let status = fleet.devices[0].run(&["status"]);
    assert_eq!(status.json["data"]["pending"][0]["task"], "cut");
    let other = fleet.last_round(2, |last| last["round"] == round.as_str());
    assert_ne!(other["outcome"], "contributed");
}

#[test]
fn a_task_below_a_floor_is_refused_by_name() {
    let fleet = Fleet::new();
    for device in &fleet.devices {
        device.edit("min_contributors", "4");
    }
    let mut fleet = fleet;
    for (device, agent) in fleet.devices.iter().zip(&mut fleet.agents) {
        agent.kill();
        *agent = device.start();
    }
    fleet.publish("small", &Settings { advertise_s: 3, ..Settings::EXACT });
    fleet.submit(0, "small", &[1.0; 3]).data();
    let round = fleet.start("small");
    let record = fleet.await_round(&round, "end", |record| record["state"] != "running");
    assert_eq!(record["abort"]["code"], "too_few_devices");
    let last = fleet.last_round(0, |last| last["round"] == round.as_str());
    assert_eq!((&last["outcome"], &last["code"]), (&"refused".into(), &"policy_floor".into()));
    let explained = fleet.devices[0].run(&["policy", "explain", "small"]);
    assert_eq!(explained.data()["ok"], false);
    // From now on the task is known, and its updates are refused at once.
    fleet.submit(0, "small", &[1.0; 3]).refused("policy_floor", 1);
}

fn le(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `owner create` prints the key; in JSON it is a text or a field of that name.
fn owner_of(created: &Answer) -> String {
    let data = created.data();
    let text = data.as_str().or_else(|| data["owner"].as_str());
    text.unwrap_or_else(|| panic!("no owner in {data}")).to_owned()
}
