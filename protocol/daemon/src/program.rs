//! Which of the three programs is running: its names, files and environment prefix.

use std::path::{Path, PathBuf};

/// One of the three programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `sealsum-authority`: enrolment, certificates, revocation, log.
    Authority,
    /// `sealsum-aggregator`: runs rounds.
    Aggregator,
    /// `sealsum-agent`: the daemon on a device.
    Agent,
}

impl Program {
    /// The short name, as in file names: `agent`.
    pub const fn name(self) -> &'static str {
        match self {
            Program::Authority => "authority",
            Program::Aggregator => "aggregator",
            Program::Agent => "agent",
        }
    }

    /// The name of the executable: `sealsum-agent`.
    pub const fn binary(self) -> &'static str {
        match self {
            Program::Authority => "sealsum-authority",
            Program::Aggregator => "sealsum-aggregator",
            Program::Agent => "sealsum-agent",
        }
    }

    /// What its configuration overrides in the environment begin with: `SEALSUM_AGENT_`.
    pub const fn environment_prefix(self) -> &'static str {
        match self {
            Program::Authority => "SEALSUM_AUTHORITY_",
            Program::Aggregator => "SEALSUM_AGGREGATOR_",
            Program::Agent => "SEALSUM_AGENT_",
        }
    }

    /// The configuration of a packaged installation: `/etc/sealsum/agent.toml`.
    pub fn default_config(self) -> PathBuf {
        self.config_in(Path::new("/etc/sealsum"))
    }

    /// The configuration inside a directory: `DIR/agent.toml`.
    pub fn config_in(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.toml", self.name()))
    }
}
