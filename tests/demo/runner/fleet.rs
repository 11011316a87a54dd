//! The fleet: one authority, one aggregator, twelve devices with a TPM each, all real processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use sealsum_demo::command::{self, Refusal};
use sealsum_demo::words;
use sealsum_test_support::{Manufacturer, Process, SoftwareTpm};
use serde_json::Value;

use crate::report::Report;
use crate::tasks::{COHORT, FLOOR_CONTRIBUTORS, WITHOUT_NOISE};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How long a program may take to start; five times what was measured on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a program may take to stop: the promise of INTERFACE.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// TPMs made at the same time.
const SETUPS_AT_ONCE: usize = 4;

/// A device: its TPM, its directory and, once started, its agent.
pub(crate) struct Device {
    pub(crate) tpm: SoftwareTpm,
    pub(crate) dir: PathBuf,
    /// Known once it has enrolled.
    pub(crate) id: Option<String>,
    pub(crate) agent: Option<Process>,
}

/// All of it.
pub(crate) struct Fleet {
    pub(crate) devices: Vec<Device>,
    programs: PathBuf,
    directory: PathBuf,
    authority: Option<Process>,
    authority_url: String,
    aggregator: Option<Process>,
    aggregator_url: String,
    /// The public key of the tasks' owner, as policies name it.
    owner: String,
    /// Every process id that the demo started.
    started: Vec<u32>,
}

impl Fleet {
    /// Makes the TPMs and starts both servers; no device is enrolled yet.
    pub(crate) fn prepare(directory: &Path, report: &mut Report) -> Outcome<Self> {
        std::fs::create_dir_all(directory.join("work"))?;
        let programs = std::env::current_exe()?.parent().ok_or("no folder of programs")?.to_owned();
        report.progress("making twelve software TPMs with a certificate each");
        let devices = make_devices(directory)?;
        let started = devices.iter().filter_map(|device| device.tpm.id()).collect();
        let mut fleet = Self {
            devices,
            programs,
            directory: directory.to_owned(),
            authority: None,
            authority_url: String::new(),
            aggregator: None,
            aggregator_url: String::new(),
            owner: String::new(),
            started,
        };
        report.progress("starting the authority and the aggregator");
        fleet.start_authority()?;
        fleet.start_aggregator()?;
        Ok(fleet)
    }

    fn start_authority(&mut self) -> Outcome<()> {
        let [root, intermediate] = manufacturer(&self.directory).anchors();
        self.authority_command(&words![
            "init",
            "--fleet",
            "demo",
            "--tpm-roots",
            &root,
            "--tpm-roots",
            &intermediate
        ])?;
        let (process, ready) = self.start("sealsum-authority", "authority", "AUTHORITY")?;
        self.authority_url = url(&ready)?;
        self.authority = Some(process);
        Ok(())
    }

    fn start_aggregator(&mut self) -> Outcome<()> {
        let token = self.token("aggregator", "aggregator.token")?;
        let ca = self.ca();
        self.aggregator(&words![
            "init",
            "--authority",
            &self.authority_url,
            "--authority-ca",
            &ca,
            "--token-file",
            &token
        ])?;
        let key = self.owner_key();
        let created = self.aggregator(&words!["owner", "create", "--out", &key])?;
        self.owner = created["owner"].as_str().ok_or("owner create names no owner")?.to_owned();
        keep_masked(&self.directory.join("aggregator/aggregator.toml"))?;
        let (process, ready) = self.start("sealsum-aggregator", "aggregator", "AGGREGATOR")?;
        self.aggregator_url = url(&ready)?;
        self.aggregator = Some(process);
        Ok(())
    }

    /// Starts a server in its directory, on ports that the system chooses.
    fn start(&mut self, program: &str, name: &str, prefix: &str) -> Outcome<(Process, Value)> {
        let dir = self.directory.join(name);
        let ready_file = self.directory.join("work").join(format!("{name}.ready"));
        let mut command = Command::new(self.programs.join(program));
        command
            .arg("run")
            .arg("--dir")
            .arg(&dir)
            .arg("--ready-file")
            .arg(&ready_file)
            .env(format!("SEALSUM_{prefix}_LISTEN"), "127.0.0.1:0")
            .env(format!("SEALSUM_{prefix}_HEALTH__LISTEN"), "127.0.0.1:0");
        let mut process = Process::start(command, dir.join("log"));
        self.started.push(process.id());
        let ready = process.wait_ready(&ready_file, START_LIMIT);
        Ok((process, ready))
    }

    /// Enrols one device and returns what `enroll` answered.
    pub(crate) fn enrol(&self, dir: &Path, tpm: &SoftwareTpm) -> Outcome<Value> {
        std::fs::create_dir_all(dir)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let token = self.token("device", &format!("{name}.token"))?;
        let (ca, tcti) = (self.ca(), tpm.tcti());
        let enrolled = command::run(
            &self.programs.join("sealsum-agent"),
            dir,
            &words![
                "enroll",
                "--authority",
                &self.authority_url,
                "--authority-ca",
                &ca,
                "--aggregator",
                &self.aggregator_url,
                "--token-file",
                &token,
                "--tpm",
                &tcti
            ],
        );
        Ok(enrolled?)
    }

    /// Enrols the device, writes its owner's policy and starts its agent.
    pub(crate) fn enrol_and_start(&mut self, number: usize) -> Outcome<()> {
        let device = &self.devices[number];
        let enrolled = self.enrol(&device.dir, &device.tpm)?;
        let id = enrolled["device"].as_str().ok_or("enroll names no device")?.to_owned();
        write_policy(&device.dir.join("agent.toml"), &self.owner)?;
        self.devices[number].id = Some(id);
        self.start_agent(number)
    }

    /// Starts the agent of a device that is enrolled.
    pub(crate) fn start_agent(&mut self, number: usize) -> Outcome<()> {
        let dir = self.devices[number].dir.clone();
        let ready_file = dir.join("ready");
        let _ = std::fs::remove_file(&ready_file);
        let mut command = Command::new(self.programs.join("sealsum-agent"));
        command.arg("run").arg("--dir").arg(&dir).arg("--ready-file").arg(&ready_file);
        let mut process = Process::start(command, dir.join("log"));
        self.started.push(process.id());
        process.wait_ready(&ready_file, START_LIMIT);
        self.devices[number].agent = Some(process);
        Ok(())
    }

    /// Runs a command of the authority.
    pub(crate) fn authority_command<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: &[S],
    ) -> Result<Value, Refusal> {
        let dir = self.directory.join("authority");
        command::run(&self.programs.join("sealsum-authority"), &dir, arguments)
    }

    /// Runs a command of the aggregator.
    pub(crate) fn aggregator<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: &[S],
    ) -> Result<Value, Refusal> {
        command::run(&self.program("sealsum-aggregator"), &self.aggregator_dir(), arguments)
    }

    /// Runs a command of one device's agent.
    pub(crate) fn agent<S: AsRef<std::ffi::OsStr>>(
        &self,
        number: usize,
        arguments: &[S],
    ) -> Result<Value, Refusal> {
        command::run(&self.program("sealsum-agent"), &self.devices[number].dir, arguments)
    }

    /// A one-time enrolment token, in a file.
    fn token(&self, role: &str, file: &str) -> Outcome<PathBuf> {
        let created = self.authority_command(&words!["token", "create", "--role", role])?;
        let token = created["token"].as_str().ok_or("token create gives no token")?;
        let path = self.work(file);
        std::fs::write(&path, token)?;
        Ok(path)
    }

    /// The numbers of all devices but `without`.
    pub(crate) fn others(&self, without: &[usize]) -> Vec<usize> {
        (0..self.devices.len()).filter(|number| !without.contains(number)).collect()
    }

    /// The id of a device that has enrolled.
    pub(crate) fn id(&self, number: usize) -> &str {
        self.devices[number].id.as_deref().unwrap_or("not enrolled")
    }

    /// A file of the demo's own.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.directory.join("work").join(name)
    }

    /// The directory that holds everything.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The aggregator's directory.
    pub(crate) fn aggregator_dir(&self) -> PathBuf {
        self.directory.join("aggregator")
    }

    /// The path of one of our programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The private key of the tasks' owner.
    pub(crate) fn owner_key(&self) -> PathBuf {
        self.work("owner.key")
    }

    fn ca(&self) -> PathBuf {
        self.directory.join("authority/ca.pem")
    }

    /// Stops everything in order and returns the ids of all processes that ever ran.
    pub(crate) fn stop(mut self) -> Vec<u32> {
        let agents = self.devices.iter_mut().filter_map(|device| device.agent.as_mut());
        for process in agents.chain(&mut self.aggregator).chain(&mut self.authority) {
            process.terminate(STOP_LIMIT);
        }
        std::mem::take(&mut self.started)
    }

    /// Leaves the processes to the user and says how to end them.
    pub(crate) fn leave_running(self) {
        let ids: Vec<String> = self.started.iter().map(u32::to_string).collect();
        println!("processes are kept; end them with: kill {}", ids.join(" "));
        std::mem::forget(self);
    }
}

/// The maker of the demo's TPMs.
fn manufacturer(directory: &Path) -> Manufacturer {
    Manufacturer::in_directory(&directory.join("tpm-maker"))
}

fn make_devices(directory: &Path) -> Outcome<Vec<Device>> {
    let maker = manufacturer(directory);
    let numbers: Vec<usize> = (0..COHORT).collect();
    let mut devices = Vec::new();
    for batch in numbers.chunks(SETUPS_AT_ONCE) {
        let made: Vec<Device> = thread::scope(|scope| {
            let setups: Vec<_> = batch
                .iter()
                .map(|number| scope.spawn(|| device(directory, &maker, *number)))
                .collect();
            setups.into_iter().filter_map(|setup| setup.join().ok()).collect()
        });
        devices.extend(made);
    }
    if devices.len() == COHORT { Ok(devices) } else { Err("not every TPM could be made".into()) }
}

fn device(directory: &Path, maker: &Manufacturer, number: usize) -> Device {
    let name = format!("device-{number:02}");
    Device {
        tpm: SoftwareTpm::run_in(&maker.tpm(&name)),
        dir: directory.join(name),
        id: None,
        agent: None,
    }
}

fn url(ready: &Value) -> Outcome<String> {
    Ok(format!("https://{}", ready["listen"].as_str().ok_or("the ready file names no port")?))
}

/// The operator's choice for the demo: masked vectors stay for inspection.
fn keep_masked(configuration: &Path) -> Outcome<()> {
    edit(configuration, &[("keep_masked", "\"round\"")])
}

/// What the owner of a device lets it take part in.
fn write_policy(configuration: &Path, owner: &str) -> Outcome<()> {
    edit(
        configuration,
        &[
            ("owners", &format!("[\"{owner}\"]")),
            ("min_contributors", &FLOOR_CONTRIBUTORS.to_string()),
            ("allow_without_noise", &format!("{WITHOUT_NOISE:?}")),
        ],
    )
}

/// Sets keys that stand in a configuration file, as an operator would in an editor.
fn edit(configuration: &Path, settings: &[(&str, &str)]) -> Outcome<()> {
    let mut text = std::fs::read_to_string(configuration)?;
    for (key, value) in settings {
        let is_key = |line: &&str| line.split('=').next().is_some_and(|name| name.trim() == *key);
        let line = text.lines().find(is_key).ok_or(format!("{key} is not in the configuration"))?;
        text = text.replace(line, &format!("{key} = {value}"));
    }
    Ok(std::fs::write(configuration, text)?)
}
