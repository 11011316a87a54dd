//! `sealsum-agent`: the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use sealsum_agent::commands::{
    self, budget, doctor, explain, identity, leave, renew, rounds, status, submit,
};
use sealsum_agent::{enrol, run};
use sealsum_attest_tpm::connection::silence_library;
use sealsum_daemon::cli::{self, CommonArgs};
use sealsum_daemon::{Failure, Program, log};

/// The sealsum daemon of a device: keeps its keys in its TPM and takes part in private sums
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make keys in the TPM, prove them to the authority, and write the configuration
    Enroll(Enroll),
    /// Run the daemon
    Run {
        /// Write this file once requests are served
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Show whether this device is fit for rounds
    Status,
    /// Check everything, and say how to fix what does not work
    Doctor,
    /// Show the keys and the certificate of this device
    Identity,
    /// Show the privacy spent, what is left, and whether the TPM's counter agrees
    Budget {
        /// Take part again after too many failed rounds in a row
        #[arg(long)]
        resume: bool,
    },
    /// Renew the certificate now
    Renew,
    /// Leave the fleet: forget keys and certificate, keep history and budget
    Leave,
    /// Hand a vector to the running agent for the next round of a task
    Submit(Submit),
    /// What this device demands of tasks
    #[command(subcommand)]
    Policy(Policy),
    /// Show which rounds this device joined or refused, and why
    Rounds,
    /// The authority's log, as this device saw it
    #[command(subcommand)]
    Log(Log),
}

#[derive(clap::Args)]
struct Enroll {
    /// The authority, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    authority: String,
    /// The authority's ca.pem
    #[arg(long, value_name = "FILE")]
    authority_ca: PathBuf,
    /// The aggregator, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    aggregator: String,
    /// File with the token, - for standard input, credential:NAME for a systemd credential
    #[arg(long, value_name = "FILE")]
    token_file: String,
    /// How to reach the TPM [default: device:/dev/tpmrm0]
    #[arg(long, value_name = "TCTI")]
    tpm: Option<String>,
}

#[derive(clap::Args)]
struct Submit {
    /// The task it is for
    #[arg(long, value_name = "NAME")]
    task: String,
    /// The vector: .npy, .safetensors, .f32 or .f64
    #[arg(required_unless_present = "value", conflicts_with = "value")]
    file: Option<PathBuf>,
    /// The value, for a count, mean, histogram or quantiles; - reads it from standard input
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    value: Option<String>,
    /// Number of the round it answers
    #[arg(long, value_name = "N")]
    round: Option<u64>,
    /// Its weight, for tasks that have weights
    #[arg(long, value_name = "W")]
    weight: Option<u32>,
    /// Number of the data it was made from; a task without noise takes each number once
    #[arg(long, value_name = "N")]
    data_epoch: Option<u64>,
    /// Wait for the end of the round
    #[arg(long)]
    wait: bool,
    /// Longest wait, in seconds
    #[arg(long, value_name = "S", default_value_t = 600, requires = "wait")]
    timeout: u64,
}

#[derive(Subcommand)]
enum Policy {
    /// Show each floor, the task's value, and whether it is enough
    Explain {
        /// A task by name, or the file of a signed task
        task: String,
    },
}

#[derive(Subcommand)]
enum Log {
    /// Believe the log as the authority shows it now: a fork has been settled
    Accept,
}

fn main() -> ExitCode {
    // Runs this program again with its library silent; on failure that stays noisy, no more.
    if let Err(error) = silence_library() {
        eprintln!("sealsum-agent: the TPM library cannot be silenced: {error}");
    }
    match cli::parse::<Cli>() {
        Ok(cli) => dispatch(cli),
        Err(exit) => exit,
    }
}

fn dispatch(cli: Cli) -> ExitCode {
    let format = cli.common.format;
    let config = cli.common.config_path(Program::Agent);
    match cli.command {
        Command::Enroll(arguments) => {
            cli::finish(format, enrol::enrol(&arguments.request(config, &cli.common)))
        }
        Command::Run { ready_file } => {
            log::init(cli.common.log_format);
            match run::run(&config, ready_file) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => cli::finish::<cli::Text>(format, Err(failure)),
            }
        }
        Command::Status => match status::status(&config) {
            Ok(status) => match status.failure() {
                Some(failure) => cli::finish_with_data(format, &status, &failure),
                None => cli::finish(format, Ok(status)),
            },
            Err(failure) => cli::finish::<cli::Text>(format, Err(failure)),
        },
        Command::Doctor => {
            let findings = doctor::doctor(&config);
            match findings.failure() {
                Some(failure) => cli::finish_with_data(format, &findings, failure),
                None => cli::finish(format, Ok::<_, Failure>(findings)),
            }
        }
        Command::Identity => cli::finish(format, identity::identity(&config)),
        Command::Budget { resume: false } => cli::finish(format, budget::budget(&config)),
        Command::Budget { resume: true } => cli::finish(format, budget::resume(&config)),
        Command::Renew => cli::finish(format, renew::renew(&config)),
        Command::Leave => cli::finish(format, leave::leave(&config)),
        Command::Submit(arguments) => {
            cli::finish(format, submit::submit(&arguments.request(config)))
        }
        Command::Policy(Policy::Explain { task }) => {
            cli::finish(format, explain::explain(&config, &task))
        }
        Command::Log(Log::Accept) => cli::finish(format, commands::log::accept(&config)),
        Command::Rounds => cli::finish(format, rounds::rounds(&config)),
    }
}

impl Enroll {
    fn request(self, config: PathBuf, common: &CommonArgs) -> enrol::Request {
        enrol::Request {
            config,
            beside: common.dir.is_some(),
            authority: self.authority,
            authority_ca: self.authority_ca,
            aggregator: self.aggregator,
            token_file: self.token_file,
            tpm: self.tpm,
        }
    }
}

impl Submit {
    fn request(self, config: PathBuf) -> submit::Request {
        submit::Request {
            config,
            task: self.task,
            update: match self.value {
                Some(value) => submit::Update::Value(value),
                // Clap demands one of the two.
                None => submit::Update::File(self.file.unwrap_or_default()),
            },
            round: self.round,
            weight: self.weight,
            data_epoch: self.data_epoch,
            wait: self.wait.then(|| Duration::from_secs(self.timeout)),
        }
    }
}
