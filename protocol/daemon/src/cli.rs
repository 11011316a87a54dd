//! The command line that all commands have in common, and how they print their result.
//!
//! ```no_run
//! use clap::Parser;
//! use sealsum_daemon::{Program, cli};
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     common: cli::CommonArgs,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cli::guard(run)
//! }
//!
//! fn run() -> std::process::ExitCode {
//!     let cli: Cli = match cli::parse() {
//!         Ok(cli) => cli,
//!         Err(exit) => return exit,
//!     };
//!     let path = cli.common.config_path(Program::Agent);
//!     cli::finish(cli.common.format, Ok(cli::Text(path.display().to_string())))
//! }
//! ```

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::panic::UnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use serde::Serialize;

use crate::Program;
use crate::codes;
use crate::failure::Failure;
use crate::log::LogFormat;

/// How a command prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON envelope on stdout.
    Json,
}

/// The arguments of every command; flatten them into the top-level parser.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Configuration file [default: /etc/sealsum/PROGRAM.toml]
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "dir")]
    pub config: Option<PathBuf>,
    /// Keep configuration, state and sockets in this directory
    #[arg(long, value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub format: Format,
    /// How to write the log on stderr
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
}

impl CommonArgs {
    /// The configuration file: `--config`, or the one inside `--dir`, or the packaged one.
    pub fn config_path(&self, program: Program) -> PathBuf {
        match (&self.config, &self.dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => program.config_in(dir),
            (None, None) => program.default_config(),
        }
    }
}

/// Parses the process's arguments.
///
/// # Errors
/// The exit code to end with: 0 after `--help` and `--version`, 4 for a wrong command line (clap's
/// own 2 means "unreachable" here). What there is to say has been printed, as a JSON envelope if
/// `--format json` was among the arguments.
pub fn parse<C: Parser>() -> Result<C, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    C::try_parse_from(&arguments).map_err(|error| refuse_usage(&error, wants_json(&arguments)))
}

/// Runs a program so that a panic ends it with one line, the envelope if JSON was asked for, and
/// exit code 5. A panic in another thread is one line too, and ends that thread.
pub fn guard(program: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| report_bug(&bug_of(panic))));
    std::panic::catch_unwind(program).unwrap_or_else(|_| {
        let bug = Failure::bug("internal: the program met a state that must not occur");
        if wants_json(&std::env::args_os().collect::<Vec<_>>()) {
            return finish::<Text>(Format::Json, Err(bug));
        }
        bug.exit_code()
    })
}

fn bug_of(panic: &std::panic::PanicHookInfo<'_>) -> Failure {
    let what = panic.payload_as_str().unwrap_or("panic");
    let place = panic.location().map(|at| format!(" at {at}")).unwrap_or_default();
    Failure::bug(format!("internal: {what}{place}"))
}

fn report_bug(bug: &Failure) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!(code = bug.code.name(), "{}", bug.message);
    } else {
        print_error(bug);
    }
}

fn refuse_usage(error: &clap::Error, json: bool) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion) {
        // A closed pipe (`--help | head`) is no error of ours.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if json {
        return finish::<Text>(Format::Json, Err(usage_failure(error)));
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return codes::USAGE.exit().number().into();
    }
    finish::<Text>(Format::Text, Err(usage_failure(error)))
}

/// clap's several lines as one message and one hint.
fn usage_failure(error: &clap::Error) -> Failure {
    use clap::error::{ContextKind, ContextValue};
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(codes::USAGE, "command line: a command is missing", HELP_HINT);
    }
    let text = error.to_string();
    let paragraph: Vec<&str> =
        text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let what = paragraph.join(" ").trim_start_matches("error: ").to_owned();
    let suggestion = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .into_iter()
        .chain([ContextKind::SuggestedValue])
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(value) => Some(value.clone()),
            ContextValue::Strings(values) => values.first().cloned(),
            _ => None,
        });
    let hint = suggestion.map_or(HELP_HINT.to_owned(), |name| format!("{name}, or {HELP_HINT}"));
    Failure::new(codes::USAGE, format!("command line: {what}"), hint)
}

const HELP_HINT: &str = "the command with --help";

/// Whether `--format json` was asked for on a command line that clap could not parse.
fn wants_json(arguments: &[OsString]) -> bool {
    let before_literal = arguments.iter().take_while(|a| *a != "--");
    let arguments: Vec<&OsString> = before_literal.collect();
    arguments.iter().any(|a| *a == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// Prints the result and gives the exit code of the process.
///
/// Text: `T`'s Display on stdout, or `error: …` on stderr. JSON: one envelope on stdout either way.
pub fn finish<T: Serialize + fmt::Display>(format: Format, result: Result<T, Failure>) -> ExitCode {
    match result {
        Ok(data) => print(format, Some(&data), None),
        Err(failure) => print::<T>(format, None, Some(&failure)),
    }
}

/// Like [`finish`] for a result that is worth showing although it is not a good one: an unhealthy
/// `status`, an aborted round. Prints the data and the error; the exit code is the error's.
pub fn finish_with_data<T: Serialize + fmt::Display>(
    format: Format,
    data: &T,
    failure: &Failure,
) -> ExitCode {
    print(format, Some(data), Some(failure))
}

fn print<T: Serialize + fmt::Display>(
    format: Format,
    data: Option<&T>,
    failure: Option<&Failure>,
) -> ExitCode {
    let exit = failure.map_or(ExitCode::SUCCESS, Failure::exit_code);
    let text = match format {
        Format::Text => data.map(T::to_string).unwrap_or_default(),
        Format::Json => match envelope(data, failure) {
            Ok(json) => json,
            Err(error) => {
                let bug = Failure::bug(format!("result: cannot be written as JSON: {error}"));
                return print::<Text>(format, None, Some(&bug));
            }
        },
    };
    let printed = print_line(&text);
    if let (Format::Text, Some(failure)) = (format, failure) {
        print_error(failure);
    }
    match printed {
        Ok(()) => exit,
        // Whoever reads us has seen enough (`… | head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(error) => {
            let failure = Failure::new(
                codes::FILE_WRITE,
                format!("standard output: {error}"),
                "send the output to where there is room",
            );
            print_error(&failure);
            failure.exit_code()
        }
    }
}

fn print_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !text.is_empty() {
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

/// Prints `error: WHAT: WHY. Try: NEXT` on stderr, `error:` in red where colours are welcome.
pub fn print_error(failure: &Failure) {
    let label = if colours_on_stderr() { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    // Nothing is left to do if stderr is closed.
    let _ = writeln!(io::stderr(), "{label} {failure}");
}

/// Whether stderr is a terminal and `NO_COLOR` (no-color.org) is unset or empty.
pub fn colours_on_stderr() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// `{"schema_version":"1","status":…,"data":…,"error":…}`, with null for what there is not.
fn envelope<T: Serialize>(
    data: Option<&T>,
    failure: Option<&Failure>,
) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        schema_version: &'static str,
        status: &'static str,
        data: Option<&'a T>,
        error: Option<&'a Failure>,
    }
    serde_json::to_string(&Envelope {
        schema_version: "1",
        status: if failure.is_none() { "ok" } else { "error" },
        data,
        error: failure,
    })
}

/// A result that is the same in text and in JSON: a line, as a string.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A result with JSON data and a text that is written apart from it.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Shown<T> {
    data: T,
    #[serde(skip)]
    text: String,
}

impl<T> Shown<T> {
    /// `data` in JSON, `text` for people.
    pub fn new(data: T, text: impl Into<String>) -> Shown<T> {
        Shown { data, text: text.into() }
    }
}

impl<T> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        common: CommonArgs,
        #[command(subcommand)]
        command: Command,
    }

    #[derive(clap::Subcommand, Debug)]
    enum Command {
        Run {
            #[arg(long)]
            ready_file: Option<PathBuf>,
        },
    }

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("prog").chain(line.split_whitespace()))
    }

    fn envelope_of(data: Option<Value>, failure: Option<Failure>) -> Value {
        serde_json::from_str(&envelope(data.as_ref(), failure.as_ref()).unwrap()).unwrap()
    }

    #[test]
    fn the_envelope_has_all_keys_whatever_happens() {
        assert_eq!(
            envelope_of(Some(json!({"a": 1})), None),
            json!({"schema_version": "1", "status": "ok", "data": {"a": 1}, "error": null})
        );
        let failure = Failure::new(codes::TLS, "m", "h");
        assert_eq!(
            envelope_of(None, Some(failure.clone())),
            json!({"schema_version": "1", "status": "error", "data": null,
                   "error": {"code": "tls", "message": "m", "hint": "h"}})
        );
        assert_eq!(envelope_of(Some(json!(5)), Some(failure))["data"], 5);
    }

    #[test]
    fn common_arguments_stand_before_and_after_the_command() {
        let path = |line: &str| parsed(line).unwrap().common.config_path(Program::Agent);
        assert_eq!(path("run"), PathBuf::from("/etc/sealsum/agent.toml"));
        assert_eq!(path("--dir /d run"), PathBuf::from("/d/agent.toml"));
        assert_eq!(path("run --dir /d"), PathBuf::from("/d/agent.toml"));
        assert_eq!(path("run --config x.toml"), PathBuf::from("x.toml"));
        assert_eq!(parsed("run --format json").unwrap().common.format, Format::Json);
        assert_eq!(parsed("run --log-format json").unwrap().common.log_format, LogFormat::Json);
    }

    #[test]
    fn config_and_dir_exclude_each_other() {
        let error = parsed("run --config x.toml --dir /d").unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_usage_error_is_one_line_with_a_suggestion() {
        let failure = usage_failure(&parsed("run --redy-file x").unwrap_err());
        assert_eq!(failure.exit_number(), 4);
        assert!(failure.message.contains("--redy-file"), "{failure}");
        assert!(failure.hint.contains("--ready-file"), "{failure}");
        assert!(!failure.to_string().contains('\n'));

        let failure = usage_failure(&parsed("").unwrap_err());
        assert_eq!(failure.message, "command line: a command is missing");
    }

    #[test]
    fn json_is_recognised_on_an_unparsable_line() {
        let json =
            |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(json("p run --nope --format json"));
        assert!(json("p --format=json run --nope"));
        assert!(!json("p run --format text"));
        assert!(!json("p run -- --format json"));
        assert!(!json("p run json --format"));
    }
}
