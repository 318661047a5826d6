//! The forms that lines have on standard error.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What reads standard error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// A person.
    Terminal,
    /// systemd's journal.
    Journal,
    /// A file, a pipe, another program.
    Plain,
}

impl Form {
    /// That of this process.
    pub(super) fn of_standard_error() -> Self {
        let stream = env::var("JOURNAL_STREAM").unwrap_or_default();
        Self::of(io::stderr().is_terminal(), &stream, device_and_inode())
    }

    /// `stream` is `$JOURNAL_STREAM`: the device and the inode of the stream to which the service manager connected
    /// standard error (systemd.exec(5)). A process whose standard error was redirected later has inherited the variable
    /// too, so both have to be compared.
    fn of(is_terminal: bool, stream: &str, found: Option<(u64, u64)>) -> Self {
        let named = stream
            .split_once(':')
            .and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
        match found {
            _ if is_terminal => Self::Terminal,
            Some(found) if named == Some(found) => Self::Journal,
            _ => Self::Plain,
        }
    }
}

fn device_and_inode() -> Option<(u64, u64)> {
    let standard_error = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
    let found = standard_error.metadata().ok()?;
    Some((found.dev(), found.ino()))
}

/// `<4>text`: syslog's number of the priority, then the text.
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

/// syslog(3)'s number.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// `09:41:07`, in UTC as all times are.
pub(super) struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        write!(writer, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, subscriber::with_default, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_journal_is_who_reads_the_stream_that_it_named() {
        assert_eq!(Form::of(true, "8:123", Some((8, 123))), Form::Terminal);
        assert_eq!(Form::of(false, "8:123", Some((8, 123))), Form::Journal);
        for (stream, found) in [
            ("8:123", Some((8, 124))),
            ("8:123", None),
            ("", Some((8, 123))),
            ("8:", Some((8, 0))),
            ("x:y", None),
        ] {
            assert_eq!(Form::of(false, stream, found), Form::Plain, "{stream} {found:?}");
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
    fn lines_for_the_journal_have_a_priority_and_no_time() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(PriorityLines)
            .with_writer(move || writer.clone());
        with_default(tracing_subscriber::registry().with(lines), || {
            error!("broken");
            warn!(backend = "web1", "gone");
            info!("well");
            debug!("details");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<3>broken\n<4>gone backend=\"web1\"\n<6>well\n<7>details\n");
    }
}
