//! `sealsum-loadgen`: the command line. What it does is in the library.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, value_parser};
use sealsum_daemon::cli::{self, Format, Text};
use sealsum_daemon::{Failure, codes, shutdown};
use sealsum_loadgen::rosters::Checks;
use sealsum_loadgen::run::{Request, run};
use sealsum_loadgen::scenario::Scenario;
use sealsum_loadgen::staging::{Staging, settings};
use sealsum_loadgen::task::Size;

/// Rehearses rounds with devices by software, some of which vanish or lie, on a staging aggregator.
#[derive(Parser)]
///
/// By default an authority and an aggregator are started for the scenario, and go with it.
#[command(name = "sealsum-loadgen", version, arg_required_else_help = true)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    /// How to print the result
    #[arg(long, value_enum, default_value = "text", global = true)]
    format: Format,
    #[command(flatten)]
    scenario: ScenarioArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the authority of a staging fleet until SIGTERM; print how an aggregator enrols with it
    Authority {
        /// Keep its keys, log and token in this directory
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Where to listen [default: as before, at first 127.0.0.1:8461]
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// The DNS name that aggregators reach it by [default: the address]
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
    },
}

#[derive(Args)]
struct ScenarioArgs {
    /// What happens in the rounds
    #[arg(long, value_enum, required = true)]
    scenario: Option<Scenario>,
    /// Devices of a round
    #[arg(long, value_name = "N", default_value = "12", value_parser = value_parser!(u32).range(6..=10_000))]
    devices: u32,
    /// Coordinates of a vector
    #[arg(long, value_name = "D", default_value = "64", value_parser = value_parser!(u32).range(1..=1_048_576))]
    coordinates: u32,
    /// Who verifies rosters [default: each device, or one for all from 500 devices on]
    #[arg(long, value_enum, value_name = "WHO")]
    roster_checks: Option<Checks>,
    /// Rounds [default: each kind of the scenario once]
    #[arg(long, value_name = "R", value_parser = value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// What all follows from: who is lost or lies, and the vectors [default: drawn, and printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The directory of a staging authority (sealsum-loadgen authority), which is run meanwhile
    #[arg(long, value_name = "DIR", requires = "aggregator_dir")]
    dir: Option<PathBuf>,
    /// The directory of an aggregator that was initialised with it, and runs
    #[arg(long, value_name = "AGG", requires = "dir")]
    aggregator_dir: Option<PathBuf>,
    /// sealsum-aggregator [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator_program: Option<PathBuf>,
}

/// From so many devices on one verifies a roster for all.
const MANY: usize = 500;

fn main() -> ExitCode {
    cli::guard(run_command)
}

fn run_command() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match (cli.command, cli.scenario.scenario) {
        (Some(Command::Authority { dir, listen, host }), _) => {
            cli::finish(cli.format, serve(cli.format, &dir, listen, host))
        }
        (None, Some(scenario)) => run_scenario(cli.format, scenario, cli.scenario),
        (None, None) => {
            cli::finish::<Text>(cli.format, Err(Failure::bug("no scenario".to_owned())))
        }
    }
}

fn run_scenario(format: Format, scenario: Scenario, arguments: ScenarioArgs) -> ExitCode {
    let size = Size { devices: arguments.devices as usize, coordinates: arguments.coordinates };
    let usual = if size.devices < MANY { Checks::Each } else { Checks::Once };
    let request = Request {
        checks: arguments.roster_checks.unwrap_or(usual),
        scenario,
        size,
        rounds: arguments.rounds.map(|rounds| rounds as usize),
        seed: arguments.seed,
        program: arguments.aggregator_program,
        operators: arguments.dir.zip(arguments.aggregator_dir),
        format,
    };
    match run(&request) {
        Ok(report) => match report.failure() {
            Some(failure) => cli::finish_with_data(format, &report, &failure),
            None => cli::finish(format, Ok(report)),
        },
        Err(failure) => cli::finish::<Text>(format, Err(failure)),
    }
}

fn serve(
    format: Format,
    dir: &Path,
    listen: Option<SocketAddr>,
    host: Option<String>,
) -> Result<Text, Failure> {
    let mut settings = settings(dir)?;
    settings.listen = listen.unwrap_or(settings.listen);
    settings.host = host.or(settings.host);
    if settings.listen.ip().is_unspecified() && settings.host.is_none() {
        let message = format!("--listen {}: names no machine", settings.listen);
        return Err(Failure::new(codes::USAGE, message, "--host NAME beside it"));
    }
    let staging = Staging::create_or_open(dir, &settings)?;
    let said = instructions(&staging);
    // It serves whether or not somebody reads this.
    let _ = match format {
        Format::Text => writeln!(std::io::stdout(), "{said}"),
        Format::Json => writeln!(std::io::stderr(), "{said}"),
    };
    wait_for_signal()?;
    Ok(Text(format!("{}: stopped", dir.display())))
}

/// What to type on the aggregator's side.
fn instructions(staging: &Staging) -> String {
    let (ca, token) = (staging.ca_file(), staging.token_file());
    let mut text = format!("staging authority {} serves. Type:\n", staging.url);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "  sealsum-aggregator init --dir AGG --authority {} --authority-ca {} --token-file {}\n  \
         sealsum-aggregator run --dir AGG\n\
         then stop this (Ctrl-C), and\n  \
         sealsum-loadgen --scenario dropouts --dir {} --aggregator-dir AGG",
        staging.url,
        ca.display(),
        token.display(),
        staging.dir.display(),
    );
    text
}

fn wait_for_signal() -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::bug(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(broken)?.block_on(async {
        shutdown::on_signals().map_err(broken)?.wait().await;
        Ok(())
    })
}
