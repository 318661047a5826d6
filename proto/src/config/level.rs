//! How much is logged.

use std::str::FromStr;

/// Python's levels, which all releases of Onionbalance take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogLevel {
    /// Everything, for developers.
    Debug,
    /// The normal course of things.
    Info,
    /// What someone will want to know.
    Warning,
    /// What someone must act upon.
    Error,
    /// As `error`.
    Critical,
}

/// The text names no level.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no such level: write debug, info, warning, error or critical")]
pub struct UnknownLevel;

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    /// In either case, and with Python's other names for two of them.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warning" | "warn" => Self::Warning,
            "error" => Self::Error,
            "critical" | "fatal" => Self::Critical,
            _ => return Err(UnknownLevel),
        })
    }
}
