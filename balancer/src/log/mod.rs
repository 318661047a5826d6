//! The log: on standard error, and in a file besides if one is named.

mod file;

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use onionbalance_proto::config::{LogLevel, LogSettings};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use self::file::LogFile;
pub use self::file::LogFileError;

/// Begins to log; once in a process. On an error there is no log yet.
pub fn begin(settings: &LogSettings) -> Result<(), LogFileError> {
    let file = settings.location.clone().map(LogFile::open).transpose()?;
    let level = LevelFilter::from(Level(settings.level.unwrap_or(LogLevel::Info)));
    tracing_subscriber::registry()
        .with(level)
        .with(lines().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()))
        .with(file.map(|file| lines().with_writer(Mutex::new(file)).with_ansi(false)))
        .init();
    Ok(())
}

fn lines<S: Subscriber + for<'span> LookupSpan<'span>>() -> fmt::Layer<S> {
    // A log that nobody reads any more is no reason to stop: its own errors would go there too, and panic.
    fmt::layer().with_target(false).log_internal_errors(false)
}

struct Level(LogLevel);

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level.0 {
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Info => Self::INFO,
            LogLevel::Warning => Self::WARN,
            LogLevel::Error | LogLevel::Critical => Self::ERROR,
        }
    }
}
