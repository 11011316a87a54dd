//! Which TPM, and how to reach it.

use crate::error::TpmError;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;
use tss_esapi::Context;
use tss_esapi::constants::CapabilityType;
use tss_esapi::structures::CapabilityData;
use tss_esapi::tcti_ldr::{DeviceConfig, NetworkTPMConfig, TctiNameConf};

/// The resource manager of the kernel: every program has its own slots there.
const DEFAULT_DEVICE: &str = "/dev/tpmrm0";
/// First handles of the ranges (TPM 2.0 Library, Part 2, 7.2): transient objects, loaded sessions.
const OCCUPIED: [u32; 2] = [0x8000_0000, 0x0200_0000];
const HANDLES_MAX: u32 = 64;

/// A parsed connection string: `device:/dev/tpmrm0` or `swtpm:host=H,port=P`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    given: String,
    tcti: TctiNameConf,
}

impl FromStr for Connection {
    type Err = TpmError;

    /// Refuses everything that the library would read as another TPM than the one written:
    /// `swtpm:path=…` becomes the swtpm on port 2321 there, and an empty device path
    /// `/dev/tpm0`, which belongs to one program at a time.
    fn from_str(given: &str) -> Result<Self, TpmError> {
        let refuse = |why| TpmError::Connection { given: given.into(), why };
        let (kind, rest) = given.split_once(':').unwrap_or((given, ""));
        let tcti = match kind {
            "device" => {
                let path = if rest.is_empty() { DEFAULT_DEVICE } else { rest };
                if !path.starts_with('/') {
                    return Err(refuse("a device is an absolute path. Try: device:/dev/tpmrm0"));
                }
                DeviceConfig::from_str(path).map(TctiNameConf::Device)
            }
            "swtpm" => {
                check_network(rest).map_err(refuse)?;
                NetworkTPMConfig::from_str(rest).map(TctiNameConf::Swtpm)
            }
            _ => return Err(refuse("it starts with neither device: nor swtpm:")),
        };
        let tcti = tcti.map_err(|_| refuse("host or port is not valid"))?;
        Ok(Self { given: given.into(), tcti })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl Default for Connection {
    fn default() -> Self {
        let tcti = TctiNameConf::Device(DeviceConfig::from_str(DEFAULT_DEVICE).unwrap_or_default());
        Self { given: format!("device:{DEFAULT_DEVICE}"), tcti }
    }
}

impl Connection {
    /// Opens the TPM. Without a resource manager (swtpm) it first frees what a killed
    /// predecessor left in the few slots there are.
    pub(crate) fn open(&self) -> Result<Context, TpmError> {
        let unreachable = |error: tss_esapi::Error| TpmError::Unreachable {
            tcti: self.given.clone(),
            reason: error.to_string(),
        };
        let mut context = Context::new(self.tcti.clone()).map_err(unreachable)?;
        if matches!(self.tcti, TctiNameConf::Swtpm(_)) {
            free_slots(&mut context).map_err(unreachable)?;
        }
        Ok(context)
    }
}

/// Exactly one host and one port, and nothing else.
fn check_network(options: &str) -> Result<(), &'static str> {
    let mut seen = Vec::new();
    for option in options.split(',') {
        let (name, _) = option.split_once('=').ok_or("write swtpm:host=ADDRESS,port=NUMBER")?;
        match name {
            "path" => return Err("path= would reach another TPM. Try: swtpm:host=…,port=…"),
            "host" | "port" if !seen.contains(&name) => seen.push(name),
            _ => return Err("the options are host and port, once each"),
        }
    }
    if seen.len() == 2 { Ok(()) } else { Err("both host and port are needed") }
}

fn free_slots(context: &mut Context) -> tss_esapi::Result<()> {
    for first in OCCUPIED {
        let (data, _) = context.get_capability(CapabilityType::Handles, first, HANDLES_MAX)?;
        let CapabilityData::Handles(handles) = data else { continue };
        for handle in handles.into_inner() {
            let object = context.tr_from_tpm_public(handle)?;
            context.flush_context(object)?;
        }
    }
    Ok(())
}

/// Makes the TPM library silent: it writes to standard error on every failure, also on those
/// that are answers (no such certificate), unless the variable `TSS2_LOG` says otherwise.
///
/// A process cannot change its environment safely while it may have threads, so this runs the
/// program again in place (same process id, same files and arguments) with the variable set. It
/// returns at once when the variable is there already. Call it first in `main`.
///
/// # Errors
/// When the program cannot be run again; going on is then safe, only noisier.
pub fn silence_library() -> std::io::Result<()> {
    const VARIABLE: &str = "TSS2_LOG";
    if std::env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Err(again.args(arguments).env(VARIABLE, "all+NONE").exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_can_reach() {
        for good in ["device", "device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321"] {
            assert_eq!(good.parse::<Connection>().unwrap().to_string(), good);
        }
        let device = |given: &str| given.parse::<Connection>().unwrap().tcti;
        assert_eq!(device("device"), device("device:/dev/tpmrm0"));
        assert_eq!(device("device"), Connection::default().tcti);
    }

    #[test]
    fn refuses_what_would_reach_another_tpm() {
        for bad in [
            "",
            "tpm0",
            "device:tpmrm0",
            "swtpm",
            "swtpm:path=/run/tpm.sock",
            "swtpm:host=127.0.0.1",
            "swtpm:host=127.0.0.1,port=2321,path=/run/tpm.sock",
            "swtpm:host=127.0.0.1,port=2321,port=2323",
            "swtpm:host=127.0.0.1,port=99999",
            "mssim:host=127.0.0.1,port=2321",
        ] {
            let refused = bad.parse::<Connection>();
            assert!(matches!(refused, Err(TpmError::Connection { .. })), "{bad:?} is accepted");
        }
    }
}
