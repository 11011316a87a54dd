//! `log checkpoint`, `log export`, `log prove` and `log verify`: the same for each program that
//! keeps a log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use sealsum_attest::hex;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_daemon::cli::{self, Format, Shown};
use sealsum_daemon::http::UnixClient;
use sealsum_daemon::{Failure, codes, files};
use serde::Serialize;

use crate::audit::{self, Audited, Proved, key_from_outside};
use crate::export::{self, Source};

/// What can be done with a log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the signed head of the log
    Checkpoint {
        /// Where to read the log
        #[command(flatten)]
        from: ReadFrom,
    },
    /// Write the whole log into a directory that anybody with its key can verify
    Export {
        /// The directory: new, or empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Where to read the log
        #[command(flatten)]
        from: ReadFrom,
    },
    /// Print the proof that one entry is in the log
    Prove {
        /// Index of the entry, from 0
        index: u64,
        /// Write the proof into this file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Where to read the log
        #[command(flatten)]
        from: ReadFrom,
    },
    /// Verify an export, or the proof of one entry, offline
    Verify {
        /// The directory of an export, or the file of a proof
        #[arg(value_name = "DIR")]
        subject: PathBuf,
        /// The log's verifier key; not from what is verified
        #[arg(long, value_name = "FILE")]
        log_key: PathBuf,
        /// A head of the log that was signed before: demand that nothing of it changed
        #[arg(long, value_name = "CHECKPOINT")]
        older: Option<PathBuf>,
    },
}

/// An export to read instead of asking the running program.
#[derive(Debug, Args)]
pub struct ReadFrom {
    /// Read this export instead of asking the running program
    #[arg(long = "from", value_name = "DIR", requires = "log_key")]
    directory: Option<PathBuf>,
    /// The verifier key of that export; not from inside it
    #[arg(long, value_name = "FILE", requires = "directory")]
    log_key: Option<PathBuf>,
}

impl ReadFrom {
    fn source(
        self,
        running: impl FnOnce() -> Result<UnixClient, Failure>,
    ) -> Result<Source, Failure> {
        match (self.directory, self.log_key) {
            (Some(directory), Some(key)) => {
                let key = key_from_outside(&key, &directory)?;
                Ok(Source::Export(directory, key))
            }
            _ => Ok(Source::Running(running()?)),
        }
    }
}

/// Runs a command and prints its result; `running` finds the program that keeps the log, which is
/// asked only where no export is given.
pub async fn run(
    format: Format,
    command: LogCommand,
    running: impl FnOnce() -> Result<UnixClient, Failure>,
) -> ExitCode {
    match command {
        LogCommand::Checkpoint { from } => {
            cli::finish(format, checkpoint(from.source(running)).await)
        }
        LogCommand::Export { out, from } => {
            cli::finish(format, export(from.source(running), &out).await)
        }
        LogCommand::Prove { index, out, from } => {
            cli::finish(format, prove(from.source(running), index, out).await)
        }
        LogCommand::Verify { subject, log_key, older } => {
            cli::finish(format, verify(&subject, &log_key, older.as_deref()))
        }
    }
}

/// A signed head.
#[derive(Debug, Clone, Serialize)]
struct Head {
    origin: String,
    size: u64,
    root: String,
    vkey: String,
    checkpoint: String,
}

async fn checkpoint(source: Result<Source, Failure>) -> Result<Shown<Head>, Failure> {
    let source = source?;
    let checkpoint = source.checkpoint().await?;
    let note = checkpoint.to_string();
    Ok(Shown::new(head(&checkpoint, source.key().await?.to_string()), note))
}

fn head(checkpoint: &SignedCheckpoint, vkey: String) -> Head {
    Head {
        origin: checkpoint.origin().to_owned(),
        size: checkpoint.head().size,
        root: hex::encode(&checkpoint.head().root.0),
        vkey,
        checkpoint: checkpoint.to_string(),
    }
}

/// Where the log was written, and what was found when it was read again.
#[derive(Debug, Clone, Serialize)]
struct Exported {
    directory: PathBuf,
    #[serde(flatten)]
    audited: Audited,
}

async fn export(source: Result<Source, Failure>, out: &Path) -> Result<Exported, Failure> {
    let source = source?;
    export::write(&source, out).await?;
    let audited = audit::export(out, &source.key().await?, None)?;
    Ok(Exported { directory: out.to_owned(), audited })
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries in {}", self.audited.size, self.directory.display())
    }
}

/// The proof of one entry.
#[derive(Debug, Clone, Serialize)]
struct Proof {
    #[serde(flatten)]
    proved: Proved,
    proof: String,
}

async fn prove(
    source: Result<Source, Failure>,
    index: u64,
    out: Option<PathBuf>,
) -> Result<Shown<Proof>, Failure> {
    let source = source?;
    let key = source.key().await?;
    let proof = match &source {
        Source::Running(client) => export::proof_of(client, index).await?,
        Source::Export(directory, key) => {
            audit::prove(directory, key, index)?.to_string().into_bytes()
        }
    };
    let proved = audit::proof_bytes(&proof, &key)?;
    let mut text = String::from_utf8_lossy(&proof).into_owned();
    let result = Proof { proved, proof: text.clone() };
    if let Some(out) = out {
        files::create(&out, &proof, files::PUBLIC)?;
        text = format!("entry {index} in {}", out.display());
    }
    Ok(Shown::new(result, text))
}

/// What was verified.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Verified {
    Export(Audited),
    Proof(Proved),
}

fn verify(subject: &Path, key: &Path, older: Option<&Path>) -> Result<Verified, Failure> {
    let key = key_from_outside(key, subject)?;
    if !subject.is_file() {
        return audit::export(subject, &key, older).map(Verified::Export);
    }
    if older.is_some() {
        return Err(Failure::new(
            codes::USAGE,
            "--older: a proof of one entry does not show how the log grew",
            "--older with the directory of an export",
        ));
    }
    audit::proof(subject, &key).map(Verified::Proof)
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export(audited) => show_export(audited, f),
            Self::Proof(proved) => {
                writeln!(f, "log      {}", proved.origin)?;
                writeln!(f, "entry    {} of {}", proved.index, proved.size)?;
                for (key, value) in &proved.entry {
                    writeln!(f, "  {key} = {value}")?;
                }
                write!(f, "verified: the entry is in the log")
            }
        }
    }
}

fn show_export(audited: &Audited, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "log      {}", audited.origin)?;
    writeln!(f, "entries  {}", audited.size)?;
    writeln!(f, "root     {}", audited.root)?;
    if let (Some(first), Some(last)) = (audited.first_at, audited.last_at) {
        writeln!(f, "from     {first} to {last}")?;
    }
    for (kind, count) in &audited.entries {
        writeln!(f, "  {count:8} {kind}")?;
    }
    if let Some(older) = audited.older {
        writeln!(f, "extends  the older head of {older} entries")?;
    }
    write!(f, "verified: every entry is in the signed log")
}
