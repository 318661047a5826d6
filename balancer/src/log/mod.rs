//! The log: on standard error, and also in a file if one is named.
//!
//! Standard error has one of three forms. A person at a terminal gets a short time and colours. The journal
//! gets each line with its priority in front (sd-daemon(3)) and without a time, which it adds itself. Any
//! other reader gets time, level and text, as the file does. With `--log-format json`, standard error and the
//! file get a JSON object in each line: `timestamp`, `level`, `message`, and the fields of the line.

mod file;
mod form;

use std::io;
use std::sync::Mutex;

use onionbalance_proto::config::{LogLevel, LogSettings};
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, info};
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, JsonFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::file::LogFile;
pub use self::file::LogFileError;
use self::form::{Form, PriorityLines, TimeOfDay};
use crate::cli::LogFormat;

/// The log's level, which can be changed while the process runs.
pub struct Verbosity {
    configured: LevelFilter,
    is_debugging: bool,
    handle: reload::Handle<LevelFilter, Registry>,
}

/// Begins to log; once in a process.
///
/// # Errors
/// The log file cannot be written. There is no log then.
pub fn begin(settings: &LogSettings, format: LogFormat) -> Result<Verbosity, LogFileError> {
    let file = settings.location.clone().map(LogFile::open).transpose()?;
    let form = match format {
        LogFormat::Text => Form::of_standard_error(),
        LogFormat::Json => Form::Json,
    };
    let configured = level(settings);
    let (filter, handle) = reload::Layer::new(configured);
    tracing_subscriber::registry()
        .with(filter)
        .with(standard_error(form))
        .with(file.map(|file| in_file(file, format)))
        .init();
    Ok(Verbosity { configured, is_debugging: false, handle })
}

impl Verbosity {
    /// Takes the level of a new configuration. Debugging that was switched on stays on.
    pub fn configure(&mut self, settings: &LogSettings) {
        self.configured = level(settings);
        self.apply();
    }

    /// Switches debugging on, or back to the configured level.
    pub fn toggle_debug(&mut self) {
        self.is_debugging = !self.is_debugging;
        self.apply();
        let level = if self.is_debugging { LevelFilter::DEBUG } else { self.configured };
        info!("logging at level {level}");
    }

    fn apply(&self) {
        let level = if self.is_debugging { LevelFilter::DEBUG } else { self.configured };
        // This fails only after the log itself was dropped.
        let _ = self.handle.modify(|filter| *filter = level);
    }
}

fn standard_error<S: Subscriber + for<'span> LookupSpan<'span>>(
    form: Form,
) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = lines().with_writer(io::stderr);
    match form {
        Form::Terminal => lines.with_ansi(true).with_timer(TimeOfDay).boxed(),
        Form::Journal => lines.with_ansi(false).event_format(PriorityLines).boxed(),
        Form::Plain => lines.with_ansi(false).boxed(),
        Form::Json => objects(lines).boxed(),
    }
}

fn in_file<S: Subscriber + for<'span> LookupSpan<'span>>(
    file: LogFile,
    format: LogFormat,
) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = lines().with_writer(Mutex::new(file)).with_ansi(false);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => objects(lines).boxed(),
    }
}

/// The lines as JSON objects whose keys are the fields of a line.
fn objects<S, W>(
    lines: fmt::Layer<S, DefaultFields, Format, W>,
) -> fmt::Layer<S, JsonFields, Format<Json>, W> {
    lines.json().flatten_event(true).with_current_span(false).with_span_list(false)
}

fn lines<S: Subscriber + for<'span> LookupSpan<'span>>() -> fmt::Layer<S> {
    // A log that nobody reads is no reason to stop: the log's own errors would go to the same place, and
    // panic.
    fmt::layer().with_target(false).log_internal_errors(false)
}

fn level(settings: &LogSettings) -> LevelFilter {
    match settings.level.unwrap_or(LogLevel::Info) {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
    }
}
