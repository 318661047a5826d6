//! The options of `onionbalance check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Checks a configuration before it is used: all errors at once, and settings that will not work here. Keys
/// are not opened.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit status: 0 no errors, 1 warnings with --strict, 3 if the configuration cannot be read, 64 if the command line is not
valid, 78 errors: onionbalance would not start.")]
#[group(skip)]
pub struct CheckOptions {
    /// The configuration [default: config.yaml, else /etc/onionbalance/config.yaml]
    #[arg(short, long, env = "ONIONBALANCE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// End with 1 if there are warnings
    #[arg(long)]
    pub strict: bool,

    /// The form of the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// The directory from which relative paths in the configuration start [default: the configuration's own]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// The form of the findings.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people: the findings with their remedies, then the verdict.
    Text,
    /// A line for each finding, for editors and CI: `FILE:LINE: error: TEXT`.
    Short,
    /// One JSON object.
    Json,
}
