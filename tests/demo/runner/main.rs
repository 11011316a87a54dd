//! `make demo`: a fleet of twelve devices on this machine, and thirteen claims about it checked.
//!
//! Every part is the real program in a process of its own; each device has its own software TPM.
//! `DEMO_DIR=` keeps the files there, `KEEP=1` keeps the processes and says how to end them.

mod checks;
mod encoding;
mod fleet;
mod report;
mod tasks;

use std::path::PathBuf;
use std::process::ExitCode;

use fleet::Fleet;
use report::Report;

fn main() -> ExitCode {
    let kept = std::env::var_os("DEMO_DIR").map(PathBuf::from);
    let keep_processes = std::env::var_os("KEEP").is_some_and(|value| value == "1");
    let temporary = match tempfile::Builder::new().prefix("sealsum-demo-").tempdir() {
        Ok(directory) => directory,
        Err(error) => return fail(&format!("no temporary directory: {error}")),
    };
    let directory = kept.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut report = Report::default();
    let mut fleet = match Fleet::prepare(&directory, &mut report) {
        Ok(fleet) => fleet,
        Err(error) => return fail(&format!("the fleet does not start: {error}")),
    };
    checks::run_all(&mut fleet, &mut report);
    if keep_processes {
        fleet.leave_running();
        println!("files in {}", temporary.keep().display());
    } else {
        let processes = fleet.stop();
        let emptied = kept.is_none().then(|| temporary.close().is_ok());
        checks::nothing_left(&mut report, &processes, &directory, emptied);
    }
    report.finish()
}

fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
