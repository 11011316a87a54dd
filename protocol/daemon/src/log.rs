//! Logs: one line per event on stderr, as text or as JSON.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The environment variable with the filter, such as `debug` or `info,sealsum_agent=trace`.
pub const FILTER_VARIABLE: &str = "SEALSUM_LOG";

/// What is logged without it.
const DEFAULT_FILTER: &str = "info,rustls=warn,hyper=warn";

/// Starts logging to stderr, from level `info` unless `SEALSUM_LOG` says otherwise. Colours only on
/// a terminal, and never with `NO_COLOR`. A second call changes nothing.
pub fn init(format: LogFormat) {
    let asked = std::env::var(FILTER_VARIABLE).ok();
    let (filter, unreadable) = filter(asked.as_deref());
    let layer = fmt::layer().with_writer(OneLine(io::stderr));
    let layer = match format {
        LogFormat::Text => {
            layer.with_ansi(crate::cli::colours_on_stderr()).with_target(false).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // An error means that a logger is installed already, which is what is wanted.
    let installed = registry().with(filter).with(layer).try_init();
    if let (Ok(()), Some(error)) = (installed, unreadable) {
        tracing::warn!("{FILTER_VARIABLE}: {error}; {DEFAULT_FILTER} is used");
    }
}

/// The filter that was asked for, or the usual one and what is wrong with the other.
fn filter(asked: Option<&str>) -> (Targets, Option<ParseError>) {
    let usual = || DEFAULT_FILTER.parse().unwrap_or_default();
    match asked.filter(|text| !text.is_empty()).map(str::parse) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (usual(), Some(error)),
        None => (usual(), None),
    }
}

/// Makes writers that keep an event on one line, whatever a peer managed to get into a message.
struct OneLine<F>(F);

impl<'a, W: Write, F: Fn() -> W> MakeWriter<'a> for OneLine<F> {
    type Writer = OneLineWriter<W>;

    fn make_writer(&'a self) -> OneLineWriter<W> {
        OneLineWriter((self.0)())
    }
}

struct OneLineWriter<W>(W);

impl<W: Write> Write for OneLineWriter<W> {
    /// The formatter hands over one event, with its final newline, at a time.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        let mut line: Vec<u8> =
            body.iter().map(|&b| if b == b'\n' || b == b'\r' { b' ' } else { b }).collect();
        line.extend_from_slice(&event[body.len()..]);
        self.0.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn levels_are_chosen_by_target_and_what_cannot_be_read_changes_nothing() {
        let lets = |asked, target, level| filter(asked).0.would_enable(target, &level);
        let detailed = Some("info,sealsum_agent=trace");
        assert!(lets(detailed, "sealsum_agent::play", Level::TRACE));
        assert!(!lets(detailed, "sealsum_daemon", Level::DEBUG));
        for (asked, unreadable) in
            [(None, false), (Some(""), false), (Some("sealsum_agent=much"), true)]
        {
            assert!(lets(asked, "sealsum_agent", Level::INFO));
            assert!(!lets(asked, "sealsum_agent", Level::DEBUG));
            assert!(!lets(asked, "rustls::client", Level::INFO));
            assert_eq!(filter(asked).1.is_some(), unreadable);
        }
    }

    #[test]
    fn an_event_cannot_forge_a_second_line() {
        let sink = Sink::default();
        let make = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(OneLine(move || make.clone()))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(device = "ab\nERROR forged", "refused\r\nINFO all well");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(text.ends_with('\n') && !text.contains('\r'), "{text}");
        assert!(text.contains("INFO all well"), "{text}");
    }
}
