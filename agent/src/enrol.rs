//! `enroll`: from a token to a certificate and a configuration.
//!
//! Keys are made in the TPM, the exchange with the authority is done, and only then is anything
//! written: a refused enrolment changes nothing. Enrolling again replaces keys and certificate and
//! keeps the policy, the ledger and the history.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealsum_attest::certificate::FleetCa;
use sealsum_attest::ids::{DeviceId, Fleet};
use sealsum_attest_tpm::counter::TpmCounter;
use sealsum_attest_tpm::{Connection, EkAlgorithm, Identity, Tpm, TpmError};
use sealsum_daemon::{Failure, codes, files, lock};
use serde::Serialize;

use crate::authority::Stranger;
use crate::clock;
use crate::config::{self, Config};
use crate::device::{Stored, tpm_failure};
use crate::ledger::{Beginning, Ledger};
use crate::state::StateDir;
use crate::toml_edit::{quote, set};
use crate::witness::Witness;

/// Longest file of CA certificates.
const CA_MAX: u64 = 1 << 20;

/// What the command line said.
#[derive(Clone, Debug)]
pub struct Request {
    /// The configuration file to write or to update.
    pub config: PathBuf,
    /// Whether state and socket belong beside that file (`--dir`) or where packages put them.
    pub beside: bool,
    /// `https://…` of the authority.
    pub authority: String,
    /// Its CA, PEM.
    pub authority_ca: PathBuf,
    /// `https://…` of the aggregator.
    pub aggregator: String,
    /// Where the token is.
    pub token_file: String,
    /// How to reach the TPM, if not as before or as usual.
    pub tpm: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Enrolled {
    /// The device id.
    pub device: DeviceId,
    /// The fleet.
    pub fleet: Fleet,
    /// Counts enrolments of this TPM.
    pub epoch: u64,
    /// When the certificate is renewed.
    pub renew_at: Timestamp,
    /// Row of the authority's log.
    pub log_index: u64,
    /// The configuration written.
    pub config: PathBuf,
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "enrolled in fleet {} as {} (epoch {})", self.fleet, self.device, self.epoch)?;
        write!(f, "next: name owners in [policy] of {}, then run", self.config.display())
    }
}

/// Enrols this device.
///
/// # Errors
/// `token_invalid`, `evidence_refused` with its check, `revoked`, `wrong_ca`, `unreachable`,
/// `tls`, `tpm_unreachable`, `already_running`, `config_invalid`, `log_invalid`, `log_fork`, and
/// those of files.
pub fn enrol(request: &Request) -> Result<Enrolled, Failure> {
    check_urls(request)?;
    let token = files::read_secret(&request.token_file)?;
    let ca_pem = files::read(&request.authority_ca, CA_MAX)?;
    let ca = parse_ca(&ca_pem, &request.authority_ca)?;
    let earlier = if request.config.exists() { Some(Config::load(&request.config)?) } else { None };
    let places = Places::of(request, earlier.as_ref());
    let tpm = connect(&places.tpm)?;
    let state = StateDir::create(&places.state_dir)?;
    let _lock = lock::single_instance(state.path())?;
    refuse_foreign_state(&state, &tpm)?;
    let witness = if trusts_another_authority(&places, &ca_pem)? {
        Witness::anew(&state)
    } else {
        Witness::open(&state)?
    };
    witness.demand_one_history()?;
    let (identity, vault) = Identity::create(&tpm, EkAlgorithm::default(), &places.seal_pcrs)
        .map_err(|error| tpm_failure(&error))?;
    let ca_name = request.authority_ca.display().to_string();
    let authority = Stranger::new(&request.authority, &ca_pem, &ca_name)?;
    let stored = authority.enrol(&identity, &vault, Some(&token), &ca, &witness)?;
    open_ledger(&state, &tpm, earlier.as_ref(), &stored)?;
    stored.write(&state)?;
    files::write_public(&places.ca, &ca_pem)?;
    write_config(request, &places, &stored)?;
    Ok(Enrolled {
        device: stored.device,
        fleet: stored.fleet,
        epoch: stored.epoch,
        renew_at: stored.renew_at,
        log_index: stored.log_index,
        config: request.config.clone(),
    })
}

/// Makes ledger and counter, on a device that never had them.
fn open_ledger(
    state: &StateDir,
    tpm: &Tpm,
    earlier: Option<&Config>,
    stored: &Stored,
) -> Result<(), Failure> {
    let policy = earlier.map(|config| config.policy.clone()).unwrap_or_default();
    let beginning = if stored.epoch == 1 { Beginning::New } else { Beginning::Again };
    let counter = Box::new(TpmCounter::new(tpm));
    Ledger::open(state, &policy, counter, beginning, clock::now()).map(|_| ())
}

fn check_urls(request: &Request) -> Result<(), Failure> {
    config::check_url("--authority", &request.authority)
        .and_then(|()| config::check_url("--aggregator", &request.aggregator))
        .map_err(|why| Failure::new(codes::USAGE, why, "an address like https://host:8441"))
}

fn parse_ca(pem: &[u8], path: &Path) -> Result<FleetCa, Failure> {
    let parsed = std::str::from_utf8(pem).ok().and_then(|text| FleetCa::from_pem(text).ok());
    parsed.ok_or_else(|| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: no certificate in PEM", path.display()),
            "the ca.pem that sealsum-authority init wrote",
        )
    })
}

fn connect(tcti: &str) -> Result<Tpm, Failure> {
    let connection: Connection = tcti.parse().map_err(|error| tpm_failure(&error))?;
    let tpm = Tpm::new(connection);
    tpm.properties().map_err(|error| tpm_failure(&error))?;
    Ok(tpm)
}

/// A state directory that came from another TPM keeps its budget and its history; a device that
/// took it over would spend and replay for somebody else.
fn refuse_foreign_state(state: &StateDir, tpm: &Tpm) -> Result<(), Failure> {
    let Some(stored) = Stored::read(state)? else { return Ok(()) };
    match Identity::load(tpm, stored.keys) {
        Err(error @ TpmError::OtherTpm) => Err(tpm_failure(&error)),
        // Lost keys are why one enrols again.
        Ok(_) => Ok(()),
        Err(error) if error.needs_new_keys() => Ok(()),
        Err(error) => Err(tpm_failure(&error)),
    }
}

/// Whether the operator gives this device another CA than it had: then the log begins anew too.
fn trusts_another_authority(places: &Places, ca_pem: &[u8]) -> Result<bool, Failure> {
    Ok(places.ca.exists() && files::read(&places.ca, CA_MAX)? != ca_pem)
}

/// Where things go: where they are already, or by default.
struct Places {
    state_dir: PathBuf,
    ca: PathBuf,
    tpm: String,
    seal_pcrs: Vec<u8>,
}

impl Places {
    fn of(request: &Request, earlier: Option<&Config>) -> Self {
        let beside = request.config.parent().unwrap_or(Path::new("."));
        let fresh_state =
            if request.beside { beside.join("state") } else { "/var/lib/sealsum-agent".into() };
        let usual_tpm = Connection::default().to_string();
        Self {
            state_dir: earlier.map_or(fresh_state, |config| config.state_dir.clone()),
            ca: earlier.map_or(beside.join("ca.pem"), |config| config.authority.ca.clone()),
            tpm: request
                .tpm
                .clone()
                .or_else(|| earlier.map(|config| config.tpm.clone()))
                .unwrap_or(usual_tpm),
            seal_pcrs: earlier.map_or(vec![7], |config| config.seal_pcrs.clone()),
        }
    }
}

fn write_config(request: &Request, places: &Places, stored: &Stored) -> Result<(), Failure> {
    let text = if request.config.exists() {
        files::read_text(&request.config, CA_MAX)?
    } else if request.beside {
        SAMPLE.replace("STATE_DIR", "state").replace("SOCKET", "api.sock")
    } else {
        SAMPLE
            .replace("STATE_DIR", "/var/lib/sealsum-agent")
            .replace("SOCKET", "/run/sealsum-agent/api.sock")
    };
    let text = set(&text, "", "fleet", &quote(stored.fleet.as_str()));
    let text = set(&text, "", "tpm", &quote(&places.tpm));
    let text = set(&text, "authority", "url", &quote(&request.authority));
    let text = set(&text, "aggregator", "url", &quote(&request.aggregator));
    files::write_public(&request.config, text.as_bytes())
}

/// A new configuration. Every key is there, so that an editor finds it.
const SAMPLE: &str = r#"# sealsum-agent. Written by `sealsum-agent enroll`. Unknown keys are refused.
# Relative paths are relative to this file.
fleet = ""
state_dir = "STATE_DIR"
socket = "SOCKET"
tpm = ""
# PCRs of the SHA-256 bank: when one changes, the device makes new keys and enrols again.
seal_pcrs = [7]
# Threads that mask an update; 0 for one on each core.
mask_threads = 1

[authority]
url = ""
ca = "ca.pem"

[aggregator]
url = ""

# Floors: a task below any of them is refused by name.
[policy]
# Whose tasks this device takes: the lines that `sealsum-aggregator owner create` prints.
owners = []
# Fewest devices that a sum may be over.
min_contributors = 6
# Smallest share of corrupt devices that a task must withstand.
min_corrupt_share = 0.1
# Corrupt devices assumed among all enrolled, absolute; the larger of the two counts.
corrupt_fleet = 0
# Privacy loss allowed for all tasks together, per epoch, and the delta that goes with it.
max_epsilon = 8.0
epoch_days = 90
delta = 1e-5
# The same for one task, per epoch, and for one round. A round costs at most the latter, and as much is
# counted when the agent is stopped in the moment of a step.
max_epsilon_per_task = 8.0
max_epsilon_per_round = 4.0
# Most rounds that may charge the budget in 24 hours.
max_charges_per_day = 100
# Most rounds in a row that may take an update of this device and fail; then it takes part in none until
# `sealsum-agent budget --resume`.
max_failed_rounds_in_row = 10
# WARNING: tasks named here may run without noise: their sums show what is in them.
allow_without_noise = []
# Longest vector.
max_coordinates = 67108864
# Most bins of a histogram or of quantiles.
max_bins = 1024
# Longest round, in seconds.
max_round_s = 86400
# Fewest honest devices that a device must be hidden among.
min_honest = 2

[keys]
# Seconds until a renewal replaces the keys: 30 days.
rotate_s = 2592000
# Seconds between two looks whether the TPM still holds the keys.
check_s = 60

# Who may submit beside root and the agent's own user, for example
# allow = [{ user = "trainer", tasks = ["penguins"] }]
[local]
allow = []
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(dir: &Path) -> Request {
        Request {
            config: dir.join("agent.toml"),
            beside: true,
            authority: "https://a:1".into(),
            authority_ca: dir.join("ca.pem"),
            aggregator: "https://g:2".into(),
            token_file: "-".into(),
            tpm: Some("swtpm:host=127.0.0.1,port=9".into()),
        }
    }

    /// What `write_config` needs of it is the fleet.
    fn sample(dir: &Path) -> String {
        SAMPLE
            .replace("STATE_DIR", "state")
            .replace("SOCKET", "api.sock")
            .replace("fleet = \"\"", "fleet = \"demo\"")
            .replace("tpm = \"\"", "tpm = \"swtpm:host=127.0.0.1,port=9\"")
            .replace("url = \"\"", &format!("url = {}", quote(&request(dir).authority)))
    }

    #[test]
    fn the_sample_is_the_default_policy_with_paths_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, sample(dir.path())).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.policy, config::Policy::default());
        assert_eq!(config.state_dir, dir.path().join("state"));
        assert_eq!(config.socket, dir.path().join("api.sock"));
        assert_eq!(config.authority.ca, dir.path().join("ca.pem"));
        assert!(config.local.allow.is_empty());
    }

    #[test]
    fn addresses_that_no_certificate_can_be_for_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["http://a:1", "a:1", "https://", "https://a:1/path"] {
            let wrong = Request { authority: bad.into(), ..request(dir.path()) };
            assert_eq!(enrol(&wrong).unwrap_err().code, codes::USAGE, "{bad}");
        }
    }
}
