//! One thing that a check has found.

use onionbalance_proto::config::ConfigError;
use serde::Serialize;

use crate::config::Configuration;

/// The weight of a finding.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// The programs accept it, but it will not do what the operator expects.
    Warning,
    /// The programs refuse it.
    Error,
}

impl Severity {
    /// The word in front of a finding.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// The line of the configuration, counted from 1; `None` if no single line is to blame.
    pub(super) line: Option<usize>,
    /// The fault, in one line.
    pub(super) text: String,
    /// The remedy, in one line; `None` if the text has it.
    pub(super) remedy: Option<String>,
}

impl Finding {
    /// An error that the programs would report.
    pub(super) fn error(error: ConfigError) -> Self {
        Self { severity: Severity::Error, line: error.line, text: error.what, remedy: None }
    }

    /// The same as a warning.
    pub(super) fn warning(error: ConfigError) -> Self {
        Self { severity: Severity::Warning, ..Self::error(error) }
    }

    /// A finding about the value of a top-level key.
    pub(super) fn of_key(
        severity: Severity,
        configuration: &Configuration,
        key: &str,
        text: &str,
        remedy: &str,
    ) -> Self {
        let remedy = (!remedy.is_empty()).then(|| remedy.to_owned());
        let error = ConfigError::of_key(configuration.text(), configuration.path(), key, text);
        Self { severity, remedy, ..Self::error(error) }
    }
}
