//! The guards themselves: what they promise is what every other test builds on.

use sealsum_test_support::{Process, SoftwareTpm, TpmFactory, unit_environment, wire};
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn a_tpm_boots_reboots_and_goes() {
    let factory = TpmFactory::trusted();
    let mut tpm = factory.tpm();
    let port = tpm.port();
    assert_eq!(wire::lockout_counter(port), 0);
    tpm.restart();
    assert_eq!((tpm.port(), wire::lockout_counter(port)), (port, 0));
    tpm.kill();
    tpm.restart();
    wire::clear(port);
    let (state, id) = (tpm.state().to_path_buf(), tpm.id().unwrap());
    drop(tpm);
    assert!(!state.exists(), "the state of a dropped TPM is deleted");
    assert!(!process_exists(id), "the process of a dropped TPM is gone");
}

#[test]
fn a_factory_makes_distinct_tpms_with_certificates_of_its_maker() {
    let (trusted, foreign) = (TpmFactory::trusted(), TpmFactory::foreign());
    let tpms = [trusted.tpm(), trusted.tpm(), foreign.tpm()];
    let states =
        tpms.each_ref().map(|tpm| std::fs::read(tpm.state().join("tpm2-00.permall")).unwrap());
    assert!(states[0] != states[1] && states[1] != states[2]);
    let roots = [&trusted, &foreign].map(|f| std::fs::read(f.manufacturer().root()).unwrap());
    assert_ne!(roots[0], roots[1], "two makers have two roots");
    assert!(trusted.anchors().iter().all(|path| path.is_file()));
}

#[test]
fn many_tpms_start_at_once() {
    let factory = TpmFactory::trusted();
    let template = factory.manufacturer().tpm("tpm-000");
    thread::scope(|scope| {
        let starting: Vec<_> =
            (0..12).map(|_| scope.spawn(|| SoftwareTpm::from_template(&template))).collect();
        // Started by threads that have ended: the processes must have survived them.
        let tpms: Vec<_> = starting.into_iter().map(|thread| thread.join().unwrap()).collect();
        for tpm in &tpms {
            assert_eq!(wire::loaded(tpm.port()), (0, 0));
        }
    });
}

#[test]
fn a_paused_process_resumes_and_a_dropped_one_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let mut command = Command::new("sh");
    command.env("READY", &ready).args([
        "-c",
        "echo started >&2; echo '{\"pid\":1}' > $READY.new; mv $READY.new $READY; exec sleep 600",
    ]);
    let mut process = Process::start(command, directory.path().join("log"));
    assert_eq!(process.wait_ready(&ready, Duration::from_secs(10))["pid"], 1);
    assert_eq!(process.log_text(), "started\n");
    process.pause();
    assert!(process.terminate(Duration::from_millis(100)).is_none(), "a paused process ends not");
    process.resume();
    assert!(process.wait(Duration::from_secs(5)).is_some());
    let id = process.id();
    drop(process);
    assert!(!process_exists(id));
}

#[test]
fn a_process_inherits_no_open_files() {
    let directory = tempfile::tempdir().unwrap();
    // A socket without close-on-exec, as the TPM library makes them.
    let flags = rustix::net::SocketFlags::empty();
    let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM);
    let _socket = rustix::net::socket_with(family, kind, flags, None).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ls -l /proc/$$/fd"]);
    let mut process = Process::start(command, directory.path().join("log"));
    assert!(process.wait(Duration::from_secs(10)).unwrap().success());
    let files = process.log_text();
    assert!(!files.contains("socket:"), "{files}");
}

#[test]
fn a_process_may_have_the_environment_of_a_unit() {
    let unit = "[Service]\n# Environment=C=3\nEnvironment=SEALSUM_A=1\nEnvironment=SEALSUM_B=x=y\n";
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo $SEALSUM_A $SEALSUM_B"]).envs(unit_environment(unit));
    let mut process = Process::start(command, directory.path().join("log"));
    assert!(process.wait(Duration::from_secs(10)).unwrap().success());
    assert_eq!(process.log_text(), "1 x=y\n");
    assert_eq!(unit_environment(unit).count(), 2);
}

#[test]
#[should_panic(expected = "ended before it was ready")]
fn a_process_that_ends_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(Command::new("false"), directory.path().join("log"));
    process.wait_ready(&directory.path().join("ready"), Duration::from_secs(60));
}

fn process_exists(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}
