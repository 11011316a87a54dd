//! Who gets in, and who does not.

use sealsum_demo::command::Refusal;
use sealsum_demo::words;
use sealsum_test_support::{Manufacturer, SoftwareTpm};

use crate::checks::everyone as everyone_in_it;
use crate::fleet::Fleet;
use crate::report::{Finding, Report};

/// Every device proves its TPM and gets a certificate.
pub(crate) fn everyone(fleet: &mut Fleet, report: &Report) -> Finding {
    for number in everyone_in_it() {
        fleet.enrol_and_start(number)?;
        report.progress(&format!("device {number:02} is {:.8}", fleet.id(number)));
    }
    let listed = fleet.authority_command(&words!["device", "list"])?;
    let devices = listed["devices"].as_array().ok_or("no list of devices")?;
    let active = devices.iter().filter(|device| device["state"] == "active").count();
    if active != fleet.devices.len() {
        return Err(format!("{active} of {} devices are active", fleet.devices.len()).into());
    }
    Ok(format!("{active} devices attested by their TPMs and certified"))
}

/// A TPM whose certificate none of the installed roots signed.
pub(crate) fn foreign_ek(fleet: &Fleet) -> Finding {
    let maker = Manufacturer::in_directory(&fleet.directory().join("foreign-maker"));
    let tpm = SoftwareTpm::run_in(&maker.tpm("foreign"));
    let refusal = refused(fleet.enrol(&fleet.directory().join("foreign"), &tpm))?;
    expect(&refusal, "evidence_refused", 7, Some("1"))?;
    Ok(format!("a TPM of an unknown maker: {} (check 1)", refusal.code))
}

/// The whole state directory of device 0, copied to a machine with another TPM of the same maker.
pub(crate) fn clone(fleet: &Fleet) -> Finding {
    let maker = Manufacturer::in_directory(&fleet.directory().join("tpm-maker"));
    let tpm = SoftwareTpm::run_in(&maker.tpm("thief"));
    let copy = fleet.directory().join("clone");
    copy_directory(&fleet.devices[0].dir, &copy)?;
    point_at(&copy, &fleet.devices[0].dir, &fleet.devices[0].tpm, &tpm)?;
    let refusal =
        match sealsum_demo::command::run(&fleet.program("sealsum-agent"), &copy, &words!["run"]) {
            Ok(_) => return Err("the copy ran".into()),
            Err(refusal) => refusal,
        };
    expect(&refusal, "evidence_refused", 7, Some("44"))?;
    Ok(format!("copied state on another TPM: {} (check 44)", refusal.code))
}

fn refused<T>(
    outcome: Result<T, Box<dyn std::error::Error>>,
) -> Result<Refusal, Box<dyn std::error::Error>> {
    match outcome {
        Ok(_) => Err("it was let in".into()),
        Err(error) => Ok(*error.downcast::<Refusal>()?),
    }
}

fn expect(refusal: &Refusal, code: &str, exit: i32, check: Option<&str>) -> Result<(), String> {
    let right = refusal.code == code
        && refusal.exit == Some(exit)
        && check.is_none_or(|check| refusal.check.as_deref() == Some(check));
    if right { Ok(()) } else { Err(format!("refused, but otherwise: {refusal:?}")) }
}

/// Copies files and folders; sockets and the like are not state.
fn copy_directory(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The thief edits the configuration: the other machine's paths and TPM.
fn point_at(
    copy: &std::path::Path,
    original: &std::path::Path,
    from: &SoftwareTpm,
    to: &SoftwareTpm,
) -> Result<(), Box<dyn std::error::Error>> {
    let file = copy.join("agent.toml");
    let text = std::fs::read_to_string(&file)?
        .replace(&from.tcti(), &to.tcti())
        .replace(&*original.to_string_lossy(), &copy.to_string_lossy());
    Ok(std::fs::write(file, text)?)
}
