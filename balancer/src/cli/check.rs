//! The options of `onionbalance check`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, value_parser};
use onionbalance_proto::config::{TorPlace, TorSocket};

use super::Arguments;

/// Checks a configuration before it is used: all errors at once, and settings that will not work here. Keys
/// are not opened. With --live it asks the signer, tor and the HSDirs, too, and with --visit it visits each
/// service as a client does.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit status: 0 no errors, 1 warnings with --strict, 3 if it cannot tell (no permission, or no answer in time), 64 if the
command line is not valid, 78 errors.")]
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

    /// Print the effective configuration as YAML, with the source of each value; passwords are ***
    #[arg(long, conflicts_with_all = ["live", "format"])]
    pub dump: bool,

    /// Ask the signer, each tor, and all HSDirs of each backend as well; takes up to some minutes
    #[arg(long)]
    pub live: bool,

    /// Visit each service through tor, 3 times if no number is given
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "3",
          value_parser = value_parser!(u16).range(1..=100), requires = "live")]
    pub visit: Option<u16>,

    /// The port of the services that is visited
    #[arg(long, value_parser = value_parser!(u16).range(1..), default_value_t = 80, requires = "visit")]
    pub port: u16,

    /// With --live or --dump: tor's control socket or ADDRESS:PORT, as onionbalance has it from -s, -i or -p
    #[arg(long, value_name = "PLACE")]
    pub tor: Option<TorPlace>,

    /// The stage of the deployment.
    #[arg(skip)]
    pub stage: Stage,

    /// `ONIONBALANCE_TOR_CONTROL_SOCKET`
    #[arg(skip)]
    pub(super) socket_variable: Option<TorSocket>,
}

/// The stage of a deployment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stage {
    /// The configuration is in use, or may be.
    #[default]
    Installed,
    /// The configuration will be installed: the users that may ask the signer need not exist yet.
    BeforeInstallation,
}

impl CheckOptions {
    /// The options to check this file for a person, before it is installed and without asking anybody.
    pub fn before_installation(config: PathBuf) -> Self {
        Self {
            config: Some(config),
            strict: false,
            format: Format::Text,
            directory: None,
            dump: false,
            live: false,
            visit: None,
            port: 80,
            tor: None,
            stage: Stage::BeforeInstallation,
            socket_variable: None,
        }
    }

    /// The options of the balancer that is checked, with the configuration at `config`.
    pub fn balancer(&self, config: &Path) -> Arguments {
        let arguments = Arguments::new(config.to_owned(), self.tor.clone());
        arguments.with_socket_variable(self.socket_variable.clone())
    }

    /// True if the command line names a control port by its address.
    pub fn names_port(&self) -> bool {
        matches!(self.tor, Some(TorPlace::Port { .. }))
    }
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
