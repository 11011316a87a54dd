//! `sealsum-authority`: the command line.

mod external;
mod policy_commands;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::http::Method;
use clap::{Parser, Subcommand, ValueEnum};
use sealsum_attest::evidence::Report;
use sealsum_attest::ids::{DeviceId, Fleet, Name};
use sealsum_authority::admin::{CreateToken, EvidenceFiles, Revoke, Status, Token};
use sealsum_authority::config::Config;
use sealsum_authority::devices::{DeviceList, DeviceView, Reason};
use sealsum_authority::store::RoleKind;
use sealsum_authority::{evidence, run, setup};
use sealsum_daemon::cli::{self, CommonArgs, Shown, Text};
use sealsum_daemon::http::UnixClient;
use sealsum_daemon::{Failure, Program, files, log, time};
use sealsum_log::commands::{self, LogCommand};
use serde::Serialize;

use crate::policy_commands::PolicyCommand;

/// Verifies devices, certifies them and revokes them.
#[derive(Parser)]
#[command(name = "sealsum-authority", version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up a new fleet: keys, CA certificate, configuration
    Init {
        /// Its name: 1 to 63 of a-z, 0-9, '.' and '-'
        #[arg(long, default_value = "fleet")]
        fleet: Fleet,
        /// Certificates of TPM vendors, PEM or DER: a file or a directory
        #[arg(long, value_name = "PATH")]
        tpm_roots: Vec<PathBuf>,
        /// Let Vault or OpenBao sign: a file with the keys of [ca], see docs/operating.md
        #[arg(long, value_name = "FILE")]
        vault: Option<PathBuf>,
        /// SHA-256 of Vault's CA certificate; without it, init shows it and asks
        #[arg(long, value_name = "HEX", requires = "vault")]
        ca_sha256: Option<String>,
    },
    /// Run until a signal
    Run {
        /// Write where it listens into this file once requests are served
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Show how the running authority is
    Status,
    /// Make enrolment tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Decide which devices may join
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show and revoke devices
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Show, export, prove and verify the log of what the authority did
    #[command(subcommand)]
    Log(LogCommand),
    /// Judge kept evidence again
    #[command(subcommand)]
    Evidence(EvidenceCommand),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token and print it, this once
    Create {
        /// Who may enrol with it
        #[arg(long)]
        role: TokenRole,
        /// How long it is good for
        #[arg(long, default_value = "10m", value_parser = time::parse_duration)]
        ttl: std::time::Duration,
        /// How many enrolments it lets through
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// The one device that may use it (SHA-256 of its endorsement key, the device id)
        #[arg(long, value_name = "H")]
        ek_sha256: Option<DeviceId>,
        /// The name that whoever uses it gets
        #[arg(long)]
        name: Option<Name>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum TokenRole {
    Device,
    Aggregator,
}

#[derive(Subcommand)]
enum DeviceCommand {
    /// List all devices
    List,
    /// Show one device
    Show {
        /// Its id, or the first 8 digits or more
        id: String,
    },
    /// Shut a device out for good
    Revoke {
        /// Its id, or the first 8 digits or more
        id: String,
        /// Why
        #[arg(long)]
        reason: Reason,
    },
    /// Write the evidence of a device's last enrolment into a directory
    Evidence {
        /// Its id, or the first 8 digits or more
        id: String,
        /// The directory
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum EvidenceCommand {
    /// Verify what `device evidence` wrote, offline, with trust from outside it alone
    Verify {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Certificates of TPM vendors, PEM or DER: a file or a directory
        #[arg(long, value_name = "PATH", required = true)]
        tpm_roots: Vec<PathBuf>,
        /// The CA certificate of the fleet's authority, PEM
        #[arg(long, value_name = "FILE")]
        authority_ca: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    log::init(cli.common.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::bug(format!("threads: {error}"));
            return cli::finish::<Text>(cli.common.format, Err(failure));
        }
    };
    runtime.block_on(dispatch(cli))
}

async fn dispatch(Cli { common, command }: Cli) -> ExitCode {
    let format = common.format;
    match command {
        Command::Init { fleet, tpm_roots, vault, ca_sha256 } => {
            let signer = external::signer(vault.as_deref(), ca_sha256.as_deref());
            let created = signer.and_then(|signer| init(&common, &signer, fleet, &tpm_roots));
            cli::finish(format, created)
        }
        Command::Run { ready_file } => match start(&common, ready_file.as_deref()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => cli::finish::<Text>(format, Err(failure)),
        },
        Command::Status => cli::finish(format, status(&common).await),
        Command::Token(TokenCommand::Create { role, ttl, uses, ek_sha256, name }) => {
            let role = match role {
                TokenRole::Device => RoleKind::Device,
                TokenRole::Aggregator => RoleKind::Aggregator,
            };
            let ttl_s = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
            let wanted = CreateToken { role, ttl_s, uses, ek_sha256, name };
            cli::finish(format, create_token(&common, &wanted).await)
        }
        Command::Policy(command) => policy_commands::run(&common, command).await,
        Command::Device(command) => device(&common, command).await,
        Command::Log(command) => commands::run(format, command, || running(&common)).await,
        Command::Evidence(EvidenceCommand::Verify { directory, tpm_roots, authority_ca }) => {
            cli::finish(format, verify_evidence(&directory, &tpm_roots, &authority_ca))
        }
    }
}

async fn device(common: &CommonArgs, command: DeviceCommand) -> ExitCode {
    let format = common.format;
    match command {
        DeviceCommand::List => cli::finish(format, list(common).await),
        DeviceCommand::Show { id } => cli::finish(format, show_device(common, &id).await),
        DeviceCommand::Revoke { id, reason } => {
            cli::finish(format, revoke(common, &id, reason).await)
        }
        DeviceCommand::Evidence { id, out } => {
            cli::finish(format, write_evidence(common, &id, &out).await)
        }
    }
}

fn init(
    common: &CommonArgs,
    signer: &setup::Signer,
    fleet: Fleet,
    tpm_roots: &[PathBuf],
) -> Result<setup::Created, Failure> {
    let config = common.config_path(Program::Authority);
    let dir = common.dir.as_deref();
    setup::init_under(signer, &config, dir, fleet, tpm_roots, time::now())
}

async fn start(common: &CommonArgs, ready_file: Option<&Path>) -> Result<(), Failure> {
    run::run(Config::load(&common.config_path(Program::Authority))?, ready_file).await
}

/// The running authority of this configuration.
fn running(common: &CommonArgs) -> Result<UnixClient, Failure> {
    let config = Config::load(&common.config_path(Program::Authority))?;
    Ok(UnixClient::new(Program::Authority, config.socket))
}

async fn status(common: &CommonArgs) -> Result<Shown<Status>, Failure> {
    let status: Status = running(common)?.get("/v1/status").await?;
    let text = show::status(&status);
    Ok(Shown::new(status, text))
}

async fn create_token(common: &CommonArgs, wanted: &CreateToken) -> Result<Shown<Token>, Failure> {
    let token: Token = running(common)?.call(Method::POST, "/v1/tokens", wanted).await?;
    let text = token.token.clone();
    Ok(Shown::new(token, text))
}

async fn list(common: &CommonArgs) -> Result<Shown<DeviceList>, Failure> {
    let list: DeviceList = running(common)?.get("/v1/devices").await?;
    let text = show::list(&list);
    Ok(Shown::new(list, text))
}

async fn show_device(common: &CommonArgs, id: &str) -> Result<Shown<DeviceView>, Failure> {
    let view: DeviceView = running(common)?.get(&device_path(id, "")?).await?;
    let text = show::device(&view);
    Ok(Shown::new(view, text))
}

async fn revoke(
    common: &CommonArgs,
    id: &str,
    reason: Reason,
) -> Result<Shown<DeviceView>, Failure> {
    let path = device_path(id, "/revoke")?;
    let view: DeviceView = running(common)?.call(Method::POST, &path, &Revoke { reason }).await?;
    let text = show::device(&view);
    Ok(Shown::new(view, text))
}

/// Where the evidence was written.
#[derive(Serialize)]
struct Written {
    directory: PathBuf,
    files: Vec<String>,
}

async fn write_evidence(
    common: &CommonArgs,
    id: &str,
    out: &Path,
) -> Result<Shown<Written>, Failure> {
    let path = device_path(id, "/evidence")?;
    let EvidenceFiles { files: found } = running(common)?.get(&path).await?;
    files::create_private_dir(out)?;
    for file in &found {
        files::create(&out.join(&file.name), &file.bytes.0, files::PUBLIC)?;
    }
    let names: Vec<String> = found.into_iter().map(|file| file.name).collect();
    let text = format!("{} files in {}", names.len(), out.display());
    Ok(Shown::new(Written { directory: out.to_owned(), files: names }, text))
}

fn verify_evidence(
    directory: &Path,
    tpm_roots: &[PathBuf],
    authority_ca: &Path,
) -> Result<Shown<Report>, Failure> {
    let report = evidence::verify(directory, tpm_roots, authority_ca, time::now())?;
    let text = show::report(&report);
    Ok(Shown::new(report, text))
}

/// The route of a device; the id must not change what is asked for.
fn device_path(id: &str, action: &str) -> Result<String, Failure> {
    if id.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Ok(format!("/v1/devices/{}{action}", id.to_ascii_lowercase()));
    }
    Err(Failure::new(
        sealsum_daemon::codes::USAGE,
        format!("device {id:?}: not hexadecimal digits"),
        "sealsum-authority device list",
    ))
}
