//! `sealsum-aggregator`: the command line. What commands do is in the library.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use sealsum_aggregator::commands::{self, Endpoint};
use sealsum_attest::ids::Name;
use sealsum_daemon::cli::{self, CommonArgs, Format};
use sealsum_daemon::{Program, log};
use sealsum_log::commands::LogCommand;

/// Runs rounds: sums over devices that it never sees a part of.
#[derive(Parser)]
#[command(name = "sealsum-aggregator", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Get a certificate from the authority and write the configuration
    Init {
        /// The authority, https://HOST:PORT
        #[arg(long, value_name = "URL")]
        authority: String,
        /// The authority's ca.pem
        #[arg(long, value_name = "FILE")]
        authority_ca: PathBuf,
        /// Where the enrolment token is: a file, - for stdin, or credential:NAME
        #[arg(long, value_name = "FILE")]
        token_file: String,
        /// The name in the certificate [default: aggregator]
        #[arg(long)]
        name: Option<Name>,
        /// Where devices will connect [default: 127.0.0.1:8442]
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Where health and metrics are served [default: 127.0.0.1:8452]
        #[arg(long, value_name = "ADDRESS")]
        health: Option<SocketAddr>,
        /// A DNS name that devices reach it by; may be repeated [default: localhost]
        #[arg(long, value_name = "NAME")]
        dns_name: Vec<String>,
        /// An address that devices reach it by; may be repeated [default: 127.0.0.1]
        #[arg(long, value_name = "IP")]
        address: Vec<IpAddr>,
    },
    /// Serve devices and administration until SIGTERM
    Run {
        /// Write where it listens to this file once requests are served
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Show how the running aggregator is
    Status,
    /// The owner's key
    #[command(subcommand)]
    Owner(Owner),
    /// Tasks: what is computed, as its owner signed it
    #[command(subcommand)]
    Task(Task),
    /// Rounds: one sum each
    #[command(subcommand)]
    Round(Round),
    /// This aggregator's own log: which rounds it opened, and what came of them
    #[command(subcommand)]
    Log(LogCommand),
    /// What stands out in the rounds of a task
    Diagnostics {
        /// The task's name
        #[arg(long, value_name = "NAME")]
        task: String,
    },
}

#[derive(Subcommand)]
enum Owner {
    /// Make a key; print its public half
    Create {
        /// Where to write the secret half
        #[arg(long, value_name = "KEY")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum Task {
    /// Sign a task file (offline)
    Sign {
        /// The task, TOML
        file: PathBuf,
        /// The owner's secret key
        #[arg(long, value_name = "KEY")]
        owner_key: PathBuf,
        /// Where to write the signed task
        #[arg(long, value_name = "SIGNED")]
        out: PathBuf,
    },
    /// Grant a model to one round of a task (offline)
    Grant {
        /// A signed task file, or the name of a task of this aggregator's directory
        task: String,
        /// The round's number
        #[arg(long)]
        number: u64,
        /// The model
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// The owner's secret key
        #[arg(long, value_name = "KEY")]
        owner_key: PathBuf,
        /// Where to write the grant
        #[arg(long, value_name = "GRANT")]
        out: PathBuf,
    },
    /// Show what a task needs, costs and survives (offline)
    Plan {
        /// The task, TOML or signed
        file: PathBuf,
    },
    /// Register a signed task
    Create {
        /// The signed task
        signed: PathBuf,
    },
    /// List the tasks
    List,
    /// Show a task
    Show {
        /// Its name
        name: String,
    },
}

#[derive(Subcommand)]
enum Round {
    /// Open the next round of a task
    Start {
        /// The task's name
        #[arg(long, value_name = "NAME")]
        task: String,
        /// The model that devices start from
        #[arg(long, value_name = "FILE", requires = "grant")]
        model: Option<PathBuf>,
        /// The owner's grant of that model to this round
        #[arg(long, value_name = "GRANT", requires = "model")]
        grant: Option<PathBuf>,
        /// Wait for the end, showing progress; fail as the round fails
        #[arg(long)]
        wait: bool,
        /// Wait at most this many seconds
        #[arg(long, value_name = "S", value_parser = seconds, requires = "wait")]
        timeout: Option<Duration>,
    },
    /// List the rounds
    List,
    /// Show a round
    Show {
        /// Its id, or the first 8 digits or more
        id: String,
    },
    /// Wait for the end of a round, showing progress; fail as the round fails
    Wait {
        /// Its id, or the first 8 digits or more
        id: String,
        /// Wait at most this many seconds
        #[arg(long, value_name = "S", value_parser = seconds)]
        timeout: Option<Duration>,
    },
    /// Write the sum to a file
    Result {
        /// Its id, or the first 8 digits or more
        id: String,
        /// Where to write it (.npy)
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show what the sum of a count, mean, histogram or quantiles says, with error bars
    Answer {
        /// Its id, or the first 8 digits or more
        id: String,
    },
    /// End a running round without a result
    Abort {
        /// Its id, or the first 8 digits or more
        id: String,
    },
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u32 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Ok(Duration::from_secs(seconds.into()))
}

fn main() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    log::init(cli.common.log_format);
    let config = cli.common.config_path(Program::Aggregator);
    let format = cli.common.format;
    let endpoint = Endpoint::new(config.clone());
    match cli.command {
        Command::Init {
            authority,
            authority_ca,
            token_file,
            name,
            listen,
            health,
            dns_name,
            address,
        } => {
            let request = commands::init::Request {
                authority,
                authority_ca,
                token_source: token_file,
                name,
                listen,
                health,
                dns_names: dns_name,
                addresses: address,
            };
            let dir = cli.common.dir.as_deref();
            cli::finish(format, commands::init::init(&config, dir, &request))
        }
        Command::Run { ready_file } => {
            cli::finish(format, sealsum_aggregator::service::run(&config, ready_file.as_deref()))
        }
        Command::Status => cli::finish(format, endpoint.status()),
        Command::Owner(Owner::Create { out }) => {
            cli::finish(format, commands::offline::owner_create(&out))
        }
        Command::Task(task) => run_task(format, &endpoint, task),
        Command::Round(round) => run_round(format, &endpoint, round),
        Command::Log(command) => commands::log::log(format, command, &endpoint),
        Command::Diagnostics { task } => cli::finish(format, endpoint.diagnostics(&task)),
    }
}

fn run_task(format: Format, endpoint: &Endpoint, task: Task) -> ExitCode {
    match task {
        Task::Sign { file, owner_key, out } => {
            cli::finish(format, commands::offline::task_sign(&file, &owner_key, &out))
        }
        Task::Grant { task, number, model, owner_key, out } => {
            let grant = commands::offline::GrantRequest { task, number, model, owner_key, out };
            cli::finish(format, commands::offline::task_grant(endpoint, &grant))
        }
        Task::Plan { file } => cli::finish(format, commands::offline::task_plan(&file)),
        Task::Create { signed } => cli::finish(format, endpoint.task_create(&signed)),
        Task::List => cli::finish(format, endpoint.task_list()),
        Task::Show { name } => cli::finish(format, endpoint.task_show(&name)),
    }
}

fn run_round(format: Format, endpoint: &Endpoint, round: Round) -> ExitCode {
    match round {
        Round::Start { task, model, grant, wait, timeout } => {
            match endpoint.round_start(&task, model.as_deref().zip(grant.as_deref())) {
                Ok(started) if wait => {
                    eprintln!("{started}");
                    let id = started.id();
                    finish_round(format, endpoint.round_wait(&id, timeout))
                }
                other => cli::finish(format, other),
            }
        }
        Round::List => cli::finish(format, endpoint.round_list()),
        Round::Show { id } => cli::finish(format, endpoint.round_show(&id)),
        Round::Wait { id, timeout } => finish_round(format, endpoint.round_wait(&id, timeout)),
        Round::Result { id, out } => cli::finish(format, endpoint.round_result(&id, &out)),
        Round::Answer { id } => cli::finish(format, endpoint.round_answer(&id)),
        Round::Abort { id } => cli::finish(format, endpoint.round_abort(&id)),
    }
}

/// A round that was waited for: its record, and the error if it has no result.
fn finish_round(
    format: Format,
    waited: Result<commands::Waited, sealsum_daemon::Failure>,
) -> ExitCode {
    match waited {
        Ok(waited) => match &waited.failure {
            Some(failure) => cli::finish_with_data(format, &waited.shown, failure),
            None => cli::finish(format, Ok(waited.shown)),
        },
        Err(failure) => cli::finish::<cli::Text>(format, Err(failure)),
    }
}
