//! Log levels, and the form of addresses in the log.

use std::fmt;
use std::str::FromStr;

/// A log level: Python's levels, as in all releases of Onionbalance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogLevel {
    /// Everything, with details for developers.
    Debug,
    /// The normal course of things.
    Info,
    /// Events that an operator should know about.
    Warning,
    /// Events that an operator must act on.
    Error,
    /// The same as `error`.
    Critical,
}

/// The text is not the name of a level.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no such level: write debug, info, warning, error or critical")]
pub struct UnknownLevel;

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    /// Reads a level in lower or upper case, also by Python's second names of two levels. Fails for any other
    /// text.
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

/// The form of onion addresses in the balancer's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogAddresses {
    /// Whole.
    Full,
    /// The first 11 and the last 5 characters.
    Short,
    /// The name, or else the place in the file, instead of the address: `none` in the file.
    Hidden,
}

/// The text is not the name of a form of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no such form of addresses: write full, short or none")]
pub struct UnknownAddresses;

impl FromStr for LogAddresses {
    type Err = UnknownAddresses;

    /// Reads a form in lower or upper case. Fails for any other text.
    fn from_str(text: &str) -> Result<Self, UnknownAddresses> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "full" => Self::Full,
            "short" => Self::Short,
            "none" => Self::Hidden,
            _ => return Err(UnknownAddresses),
        })
    }
}

impl fmt::Display for LogAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Short => "short",
            Self::Hidden => "none",
        })
    }
}
