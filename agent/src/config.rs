//! `agent.toml`: parsed once, checked once, used everywhere.
//!
//! Relative paths are relative to the directory of the file, so a directory made by
//! `enroll --dir` can be moved as a whole.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use sealsum_attest::ids::Fleet;
use sealsum_attest_tpm::Connection;
use sealsum_daemon::{Failure, Program, codes, config};
use sealsum_protocol::policy;
use sealsum_protocol::signature::PublicKey;
use serde::Deserialize;

/// Shares in the file are fractions; the protocol counts in thousandths.
const PER_MILLE: f64 = 1000.0;
/// More than this is a slip.
const MOST_MASK_THREADS: usize = 1024;
/// PCRs of a bank.
const PCR_COUNT: u8 = 24;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fleet this device belongs to.
    pub fleet: Fleet,
    /// Where the agent keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// The socket for local applications.
    pub socket: PathBuf,
    /// How to reach the TPM, as a TCTI string.
    #[serde(default = "default_tpm")]
    pub tpm: String,
    /// PCRs of the SHA-256 bank that must not change while sealed secrets stay readable.
    #[serde(default = "default_seal_pcrs")]
    pub seal_pcrs: Vec<u8>,
    /// Threads that mask an update; 0 for one on each core.
    #[serde(default = "default_mask_threads")]
    pub mask_threads: usize,
    /// The enrolment server.
    pub authority: Authority,
    /// The round server.
    pub aggregator: Aggregator,
    /// What this device refuses.
    #[serde(default)]
    pub policy: Policy,
    /// How long keys live, and how often they are looked after.
    #[serde(default)]
    pub keys: Keys,
    /// Which local users may submit.
    #[serde(default)]
    pub local: Local,
    /// Health over HTTP; off unless given.
    #[serde(default)]
    pub health: Option<Health>,
}

/// `[authority]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// `https://HOST:PORT`
    pub url: String,
    /// The pinned CA certificate, PEM.
    pub ca: PathBuf,
}

/// `[aggregator]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregator {
    /// `https://HOST:PORT`
    pub url: String,
}

/// `[policy]`: floors. A task below any of them is refused by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Owners whose tasks this device takes, `ed25519:BASE64`.
    pub owners: Vec<PublicKey>,
    /// Fewest devices a sum may be over.
    pub min_contributors: u32,
    /// Smallest share of corrupt devices that a task must withstand.
    pub min_corrupt_share: f64,
    /// Corrupt devices assumed among all enrolled, absolute.
    pub corrupt_fleet: u32,
    /// Privacy loss allowed for all tasks together, per epoch.
    pub max_epsilon: f64,
    /// The part of it that one task may have.
    pub max_epsilon_per_task: f64,
    /// The part of it that one round may cost.
    pub max_epsilon_per_round: f64,
    /// Length of an epoch.
    pub epoch_days: u32,
    /// The delta that goes with `max_epsilon`.
    pub delta: f64,
    /// Tasks that may run without noise.
    pub allow_without_noise: Vec<String>,
    /// Longest vector.
    pub max_coordinates: u32,
    /// Most bins of a histogram or of quantiles.
    pub max_bins: u32,
    /// Fewest honest contributors that the fewest contributors of a round must leave.
    pub min_honest: u32,
    /// Longest round, in seconds.
    pub max_round_s: u64,
    /// Most rounds that may charge the budget in 24 hours: a server that lets rounds fail burns no
    /// more than that.
    pub max_charges_per_day: u32,
    /// Rounds in a row that may take an update of this device and fail, before the operator is asked.
    pub max_failed_rounds_in_row: u32,
}

/// `[keys]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Seconds until a renewal replaces the device key and the X25519 identity; at least 1.
    pub rotate_s: u64,
    /// Seconds between two looks whether the TPM still holds the keys; 1 to a day.
    pub check_s: u64,
}

impl Default for Keys {
    fn default() -> Self {
        Self { rotate_s: 30 * 86_400, check_s: 60 }
    }
}

/// `[local]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// Who may submit, beside root and the agent's own user.
    pub allow: Vec<Rule>,
}

/// One entry of `[local] allow`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A user, by name or number.
    #[serde(default)]
    pub user: Option<String>,
    /// Or a group, by name or number.
    #[serde(default)]
    pub group: Option<String>,
    /// The tasks it may submit to; all if absent.
    #[serde(default)]
    pub tasks: Option<Vec<String>>,
}

/// `[health]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Address of the plain HTTP health server.
    pub listen: SocketAddr,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            owners: Vec::new(),
            min_contributors: 6,
            min_corrupt_share: 0.1,
            corrupt_fleet: 0,
            max_epsilon: 8.0,
            max_epsilon_per_task: 8.0,
            max_epsilon_per_round: 4.0,
            epoch_days: 90,
            delta: 1e-5,
            allow_without_noise: Vec::new(),
            max_coordinates: 1 << 26,
            max_bins: policy::DEFAULT_MAX_BINS,
            min_honest: 2,
            max_round_s: 86_400,
            max_charges_per_day: 100,
            max_failed_rounds_in_row: 10,
        }
    }
}

impl Policy {
    /// The floors as the protocol checks them.
    pub fn floors(&self) -> policy::Policy {
        policy::Policy {
            owners: self.owners.clone(),
            min_contributors: self.min_contributors,
            min_corrupt_share: self.min_corrupt_share,
            corrupt_fleet: self.corrupt_fleet,
            max_epsilon: self.max_epsilon,
            epoch_days: self.epoch_days,
            delta: self.delta,
            allow_without_noise: self.allow_without_noise.clone(),
            max_coordinates: self.max_coordinates,
            max_bins: self.max_bins,
            min_honest: self.min_honest,
            max_round_s: self.max_round_s,
        }
    }
}

fn default_tpm() -> String {
    "device:/dev/tpmrm0".into()
}

fn default_seal_pcrs() -> Vec<u8> {
    vec![7]
}

fn default_mask_threads() -> usize {
    1
}

impl Keys {
    fn check(&self) -> Result<(), String> {
        if !(1..=86_400).contains(&self.check_s) {
            return Err(format!("keys.check_s is {}, not 1 to 86400", self.check_s));
        }
        if self.rotate_s == 0 {
            return Err("keys.rotate_s is 0, not 1 or more".into());
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// `not_enrolled` when there is no such file (`enroll` writes it), `config_unknown_key`,
    /// `config_invalid`.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            return Err(Failure::new(
                codes::NOT_ENROLLED,
                format!("agent: no configuration at {}", path.display()),
                "sealsum-agent enroll, or name the directory with --dir",
            ));
        }
        let mut config: Self = config::load(Program::Agent, path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut config.state_dir, &mut config.socket, &mut config.authority.ca] {
            *file = base.join(&*file);
        }
        config.check().map_err(|why| {
            Failure::new(
                codes::CONFIG_INVALID,
                format!("{}: {why}", path.display()),
                "correct the value; the packaged example of the file says what each is",
            )
        })?;
        Ok(config)
    }

    /// How many threads mask an update.
    pub fn mask_threads(&self) -> NonZero<usize> {
        let cores = || thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        NonZero::new(self.mask_threads).unwrap_or_else(cores)
    }

    fn check(&self) -> Result<(), String> {
        check_url("authority.url", &self.authority.url)?;
        check_url("aggregator.url", &self.aggregator.url)?;
        self.tpm.parse::<Connection>().map_err(|error| format!("tpm: {error}"))?;
        check_pcrs(&self.seal_pcrs)?;
        if self.mask_threads > MOST_MASK_THREADS {
            return Err(format!("mask_threads: not 0 to {MOST_MASK_THREADS}"));
        }
        self.policy.check()?;
        self.keys.check()?;
        self.local.allow.iter().try_for_each(Rule::check)
    }
}

impl Policy {
    fn check(&self) -> Result<(), String> {
        let thousandths = self.min_corrupt_share * PER_MILLE;
        if !(0.0..=PER_MILLE).contains(&thousandths)
            || (thousandths - thousandths.round()).abs() > 1e-9
        {
            return Err("policy.min_corrupt_share: not between 0 and 1 in steps of 0.001".into());
        }
        for (key, value) in [
            ("max_epsilon", self.max_epsilon),
            ("max_epsilon_per_task", self.max_epsilon_per_task),
            ("max_epsilon_per_round", self.max_epsilon_per_round),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("policy.{key}: not a number of 0 or more"));
            }
        }
        if !(self.delta > 0.0 && self.delta < 1.0) {
            return Err("policy.delta: not between 0 and 1".into());
        }
        if self.epoch_days == 0 {
            return Err("policy.epoch_days: not 1 or more".into());
        }
        if self.max_failed_rounds_in_row == 0 {
            return Err("policy.max_failed_rounds_in_row: not 1 or more".into());
        }
        if self.min_contributors < 2 {
            return Err("policy.min_contributors: a sum over one device is that device".into());
        }
        Ok(())
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        match (&self.user, &self.group) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err("local.allow: each entry names either a user or a group".into()),
        }
    }
}

/// Whether `url` is `https://HOST[:PORT]`, which the certificate check needs.
pub(crate) fn check_url(key: &str, url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").ok_or(format!("{key}: {url} is not https://…"))?;
    if rest.trim_end_matches('/').is_empty() || rest.trim_end_matches('/').contains('/') {
        return Err(format!("{key}: {url} is not https://HOST:PORT"));
    }
    Ok(())
}

fn check_pcrs(pcrs: &[u8]) -> Result<(), String> {
    let ascending = pcrs.windows(2).all(|pair| pair[0] < pair[1]);
    if ascending && pcrs.iter().all(|pcr| *pcr < PCR_COUNT) {
        Ok(())
    } else {
        Err("seal_pcrs: not ascending indices below 24".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_sample_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, include_str!("../../packaging/config/agent.toml")).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.policy, Policy::default());
        assert_eq!(config.state_dir, Path::new("/var/lib/sealsum-agent"));
        assert_eq!(config.local.allow.len(), 1);
        assert_eq!(config.mask_threads().get(), 1);
        let on_all_cores = Config { mask_threads: 0, ..config };
        assert_eq!(on_all_cores.mask_threads(), thread::available_parallelism().unwrap());
    }

    #[test]
    fn shares_are_thousandths() {
        let checked = |share| Policy { min_corrupt_share: share, ..Policy::default() }.check();
        for good in [0.0, 0.001, 0.1, 0.333, 1.0] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
        for bad in [-0.1, 1.001, 0.0001, f64::NAN, f64::INFINITY] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
