//! The log: on standard error, and also in a file if one is named.
//!
//! Standard error has one of three forms. A person at a terminal gets a short time and colours. The journal
//! gets each line with its priority in front (sd-daemon(3)) and without a time, which it adds itself. Any
//! other reader gets time, level and text, as the file does. With `--log-format json`, standard error and the
//! file get a JSON object in each line.
//!
//! A field of a line that its text has as well is named with `text.` in front, such as `text.backend`. Only
//! programs get it, as `backend`, and the id of a problem in the field `problem`.

mod addresses;
mod file;
mod form;
mod json;

use std::io;
use std::sync::Mutex;

use onionbalance_proto::config::{LogAddresses, LogLevel, LogSettings};
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, info};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

pub use self::addresses::Labels;
use self::addresses::{Addresses, Filtered};
use self::file::LogFile;
pub use self::file::LogFileError;
use self::form::{Form, PriorityLines, TextFields, TimeOfDay};
use self::json::Objects;
use crate::cli::LogFormat;

/// The log's level and its form of addresses, which can be changed while the process runs.
pub struct Verbosity {
    addresses: Addresses,
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
    let addresses = Addresses::new(form_of_addresses(settings));
    let (filter, handle) = reload::Layer::new(configured);
    tracing_subscriber::registry()
        .with(filter)
        .with(standard_error(form, &addresses))
        .with(file.map(|file| in_file(file, format, &addresses)))
        .init();
    Ok(Verbosity { addresses, configured, is_debugging: false, handle })
}

impl Verbosity {
    /// Takes the level and the form of addresses of a new configuration. Debugging that was switched on stays
    /// on.
    pub fn configure(&mut self, settings: &LogSettings) {
        self.addresses.set_form(form_of_addresses(settings));
        self.configured = level(settings);
        self.apply();
    }

    /// Takes the texts that replace addresses if the log may not have any.
    pub fn label(&self, labels: Labels) {
        self.addresses.set_labels(labels);
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
    addresses: &Addresses,
) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = lines_to(io::stderr, addresses);
    match form {
        Form::Terminal => lines.with_ansi(true).with_timer(TimeOfDay).boxed(),
        Form::Journal => lines.with_ansi(false).event_format(PriorityLines).boxed(),
        Form::Plain => lines.with_ansi(false).boxed(),
        Form::Json => lines.with_ansi(false).event_format(Objects).boxed(),
    }
}

fn in_file<S: Subscriber + for<'span> LookupSpan<'span>>(
    file: LogFile,
    format: LogFormat,
    addresses: &Addresses,
) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = lines_to(Mutex::new(file), addresses).with_ansi(false);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.event_format(Objects).boxed(),
    }
}

fn lines_to<S, M>(inner: M, addresses: &Addresses) -> fmt::Layer<S, TextFields, Format, Filtered<M>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    M: for<'writer> MakeWriter<'writer> + 'static,
{
    lines().with_writer(Filtered { inner, addresses: addresses.clone() })
}

/// Lines in the form of the plain log.
pub(crate) fn lines<S: Subscriber + for<'span> LookupSpan<'span>>() -> fmt::Layer<S, TextFields> {
    // A log that nobody reads is no reason to stop: the log's own errors would go to the same place, and
    // panic.
    fmt::layer().fmt_fields(TextFields).with_target(false).log_internal_errors(false)
}

fn form_of_addresses(settings: &LogSettings) -> LogAddresses {
    settings.addresses.unwrap_or(LogAddresses::Short)
}

fn level(settings: &LogSettings) -> LevelFilter {
    match settings.level.unwrap_or(LogLevel::Info) {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
    }
}
