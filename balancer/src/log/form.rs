//! The forms of lines on standard error.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use onionbalance_proto::journal::JournalStream;
use onionbalance_proto::time::UnixTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::{MakeVisitor, RecordFields, VisitOutput};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The reader of standard error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// A person at a terminal.
    Terminal,
    /// The journal of systemd.
    Journal,
    /// A file, a pipe, another program.
    Plain,
    /// A program that reads JSON.
    Json,
}

impl Form {
    /// The form of this process's standard error.
    pub(super) fn of_standard_error() -> Self {
        let named = env::var("JOURNAL_STREAM").ok().and_then(|stream| stream.parse().ok());
        Self::of(io::stderr().is_terminal(), named, stream())
    }

    /// The form by `$JOURNAL_STREAM`, which is `named`. A program whose standard error was redirected after
    /// its start has the variable too, so it is compared with the stream that is `found`.
    fn of(is_terminal: bool, named: Option<JournalStream>, found: Option<JournalStream>) -> Self {
        if is_terminal {
            Self::Terminal
        } else if found.is_some() && named == found {
            Self::Journal
        } else {
            Self::Plain
        }
    }
}

fn stream() -> Option<JournalStream> {
    let standard_error = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
    let found = standard_error.metadata().ok()?;
    Some(JournalStream { device: found.dev(), inode: found.ino() })
}

/// The beginning of the name of a field whose value is in the text as well. Programs get it without this.
pub(super) const IN_TEXT: &str = "text.";

/// The fields of a line for people: without those that the text has, and without the id of a problem.
pub(crate) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut all = DefaultFields::new().make_visitor(writer);
        fields.record(&mut ForPeople(&mut all));
        all.finish()
    }
}

/// Passes on the fields that people need.
struct ForPeople<'a>(&'a mut dyn Visit);

impl ForPeople<'_> {
    fn needs(field: &Field) -> bool {
        field.name() != "problem" && !field.name().starts_with(IN_TEXT)
    }
}

impl Visit for ForPeople<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if Self::needs(field) {
            self.0.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if Self::needs(field) {
            self.0.record_debug(field, value);
        }
    }
}

/// `<4>text`: the priority as syslog's number, then the text.
pub(super) struct PriorityLines;

impl<S, N> FormatEvent<S, N> for PriorityLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The number of a level by syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// `09:41:07` in UTC, as all times are.
pub(super) struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let UnixTime(seconds) = onionbalance_process::now();
        write!(writer, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, subscriber::with_default, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::json::Objects;
    use super::*;

    #[test]
    fn the_journal_is_what_the_service_manager_named() {
        let stream = |inode| Some(JournalStream { device: 8, inode });
        assert_eq!(Form::of(true, stream(123), stream(123)), Form::Terminal);
        assert_eq!(Form::of(false, stream(123), stream(123)), Form::Journal);
        for (named, found) in
            [(stream(123), stream(124)), (stream(123), None), (None, stream(123)), (None, None)]
        {
            assert_eq!(Form::of(false, named, found), Form::Plain, "{named:?} {found:?}");
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_has_the_fields_as_keys() {
        let written = Written::default();
        let writer = written.clone();
        let lines = super::super::lines().event_format(Objects).with_writer(move || writer.clone());
        with_default(tracing_subscriber::registry().with(lines), || {
            warn!(problem = "BACKEND_GONE", text.backend = "web1", points = 3, "a \"gone\" one of web1");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(text.ends_with("}\n") && line["timestamp"].is_string(), "{text}");
        line["timestamp"].take();
        let wanted = serde_json::json!({
            "timestamp": null, "level": "WARN", "message": "a \"gone\" one of web1",
            "problem": "BACKEND_GONE", "backend": "web1", "points": 3
        });
        assert_eq!(line, wanted);
    }

    #[test]
    fn lines_for_the_journal_have_a_priority_and_no_time() {
        let written = Written::default();
        let writer = written.clone();
        let lines = super::super::lines()
            .with_ansi(false)
            .event_format(PriorityLines)
            .with_writer(move || writer.clone());
        with_default(tracing_subscriber::registry().with(lines), || {
            error!("broken");
            warn!(backend = "web1", "gone");
            info!("well");
            debug!(problem = "BACKEND_GONE", text.backend = "web1", points = 3, "details of web1");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<3>broken\n<4>gone backend=\"web1\"\n<6>well\n<7>details of web1 points=3\n");
    }
}
