//! `sealsum-simulate`: histories from seeds, one history again, one large round.

mod progress;
mod summary;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use sealsum_simulation::large::{self, Large};
use sealsum_simulation::replay::Replay;
use sealsum_simulation::run::{Outcome, run};

/// Tells histories of a fleet under faults and liars, and checks what must hold in each.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell the histories of many seeds.
    Run {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How to say what was met.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Where histories that fail are written.
        #[arg(long, default_value = "target/simulation")]
        out: PathBuf,
    },
    /// Tell one history again.
    Replay {
        /// What a run wrote.
        file: PathBuf,
    },
    /// Run one large round, and the same with one loss too many.
    Large {
        /// Devices that enter.
        #[arg(long, default_value_t = 1000)]
        devices: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { seeds, from, format, out } => many(from, seeds, format, &out),
        Command::Replay { file } => again(&file),
        Command::Large { devices } => Ok(one_large(devices)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "sealsum-simulate: {error}");
            ExitCode::from(2)
        }
    }
}

fn many(from: u64, seeds: u64, format: Format, out: &Path) -> io::Result<bool> {
    let mut progress = progress::Progress::new(seeds);
    let outcome = run(from, seeds, &mut |done, failed| progress.show(done, failed));
    drop(progress);
    let mut said = io::stdout().lock();
    if format == Format::Json {
        writeln!(said, "{}", summary::json(&outcome))?;
    } else {
        write!(said, "{}", summary::table(&outcome))?;
    }
    let mut complaints = Vec::new();
    for failure in &outcome.failures {
        let path = failure.write(out)?;
        let (seed, invariant, detail) = (failure.seed, &failure.invariant, &failure.detail);
        complaints.push(format!("seed {seed}: {invariant}: {detail}"));
        complaints.push(format!("  again: sealsum-simulate replay {}", path.display()));
    }
    let never = summary::never_happened(&outcome);
    complaints.extend(never.iter().map(|name| format!("{name} never happened")));
    complaints.iter().for_each(|complaint| complain(complaint));
    if format == Format::Text {
        writeln!(said, "{}", summary::verdict(&outcome))?;
    }
    Ok(is_good(&outcome) && never.is_empty())
}

fn is_good(outcome: &Outcome) -> bool {
    outcome.failures.is_empty()
}

/// In red on a terminal, unless NO_COLOR forbids.
fn complain(complaint: &str) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let _ = if io::stderr().is_terminal() && !plain {
        writeln!(io::stderr(), "\u{1b}[31m{complaint}\u{1b}[0m")
    } else {
        writeln!(io::stderr(), "{complaint}")
    };
}

fn again(file: &Path) -> io::Result<bool> {
    let replay = Replay::read(file)?;
    let told = replay.tell();
    if let Some(violation) = &told.violation {
        complain(&format!("seed {}: {violation}", replay.seed));
    }
    let violations = usize::from(told.violation.is_some());
    writeln!(io::stdout(), "1 histories, {violations} violations")?;
    Ok(violations == 0)
}

fn one_large(devices: usize) -> bool {
    [Large::tolerated(devices), Large::one_too_many(devices)].into_iter().all(|round| {
        let started = Instant::now();
        let came = large::run(&round);
        let good = round.is_as_expected(&came);
        let verdict = if good { "as it should" } else { "NOT as it should" };
        let seconds = started.elapsed().as_secs_f64();
        let _ = writeln!(
            io::stdout(),
            "{devices} devices, {}: {} ({verdict}), {seconds:.1} s",
            round.losses_in_words(),
            came.in_words()
        );
        good
    })
}
