//! Logs: one line per event on stderr, as text or as JSON.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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

/// Starts logging to stderr, from level `info` unless `SEALSUM_LOG` says otherwise. Colours only on
/// a terminal, and never with `NO_COLOR`. A second call changes nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE)
        .unwrap_or_else(|_| EnvFilter::new("info,rustls=warn,hyper=warn"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(OneLine(io::stderr));
    // An error means that a logger is installed already, which is what is wanted.
    let _ = match format {
        LogFormat::Text => {
            builder.with_ansi(crate::cli::colours_on_stderr()).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
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
    use super::*;
    use std::sync::{Arc, Mutex};

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
