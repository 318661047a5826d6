//! A line of the live check: the outcome for one part of the deployment.

use onionbalance_proto::config::ConfigError;
use serde::Serialize;

use super::super::finding::Severity;

/// The outcome of one part.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Verdict {
    /// It works.
    Ok,
    /// It works, but not as well as it should.
    Warning,
    /// It could not be judged: a permission is missing, or no answer came in time.
    Unknown,
    /// It does not work.
    Error,
}

/// The outcome for one part of the deployment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(in super::super) struct Row {
    pub(in super::super) verdict: Verdict,
    /// The part, such as `tor` or a backend's name.
    pub(in super::super) subject: String,
    /// The line of the configuration, counted from 1, that names the part; `None` if no single line does.
    pub(in super::super) line: Option<usize>,
    /// The outcome, in one line.
    pub(in super::super) text: String,
    /// More about it, and the remedy: a line each.
    pub(in super::super) details: Vec<String>,
}

impl Row {
    pub(in super::super) fn new(
        verdict: Verdict,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self { verdict, subject: subject.into(), line: None, text: text.into(), details: Vec::new() }
    }

    /// A row with the message of an error. Its part after a semicolon is the remedy.
    pub(super) fn of_error(verdict: Verdict, subject: impl Into<String>, message: &str) -> Self {
        let (text, remedy) = message.split_once("; ").unwrap_or((message, ""));
        let details = (!remedy.is_empty()).then(|| remedy.to_owned());
        Self { details: details.into_iter().collect(), ..Self::new(verdict, subject, text) }
    }

    /// A row about an entry of the configuration.
    pub(super) fn about(verdict: Verdict, subject: impl Into<String>, error: &ConfigError) -> Self {
        Self { line: error.line, ..Self::of_error(verdict, subject, &error.what) }
    }

    /// The row with these details behind its own.
    pub(in super::super) fn with_details<D: Into<String>>(
        mut self,
        details: impl IntoIterator<Item = D>,
    ) -> Self {
        self.details.extend(details.into_iter().map(Into::into));
        self
    }

    /// The row with this line of the configuration.
    pub(super) fn at(self, line: Option<usize>) -> Self {
        Self { line, ..self }
    }
}

impl From<Severity> for Verdict {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

impl Verdict {
    /// The word before a row.
    pub(in super::super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Unknown => "?",
            Self::Error => "FAIL",
        }
    }
}
