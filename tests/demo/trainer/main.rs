//! Trains a penguin classifier over a fleet, as an application of sealsum would.
//!
//! `device` runs beside each agent and speaks only to its Unix socket; `server` runs beside the
//! aggregator and uses only its commands. Neither sees another device's update.

mod device;
mod penguins;
mod server;
mod socket;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(name = "sealsum-demo-trainer", about = "Trains a penguin classifier over a fleet")]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Answer each round's model with an update from this device's penguins
    Device(DeviceArgs),
    /// Run the rounds and report the accuracy beside central training
    Server(ServerArgs),
}

#[derive(clap::Args)]
struct DeviceArgs {
    /// Socket of the agent on this device
    #[arg(long)]
    socket: PathBuf,
    #[arg(long)]
    task: String,
    #[arg(long)]
    data: PathBuf,
    /// This device's part of the training penguins, counted from 0
    #[arg(long)]
    shard: usize,
    #[arg(long)]
    shards: usize,
    #[arg(long)]
    rounds: u64,
}

#[derive(clap::Args)]
struct ServerArgs {
    /// Directory of the aggregator
    #[arg(long)]
    dir: PathBuf,
    /// The sealsum-aggregator program
    #[arg(long)]
    program: PathBuf,
    #[arg(long)]
    task: String,
    /// Key of the task's owner, who grants each round's model
    #[arg(long)]
    owner_key: PathBuf,
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    rounds: u64,
    /// Where models, grants and results are kept
    #[arg(long)]
    work: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().part {
        Part::Device(arguments) => device::run(&arguments),
        Part::Server(arguments) => server::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
