//! The command line.
//!
//! Without a command, the program balances. Its options are Onionbalance's then, so that scripts and units
//! for that can start it. A command looks at a configuration or at a running balancer, or writes a
//! configuration, and ends.

mod balance;
mod check;
mod config;
mod control;
mod status;

use std::ffi::{OsStr, OsString};
use std::process;
use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use onionbalance_proto::config::TorSocket;

pub use self::balance::{Arguments, BadLogVariable, HsVersion, LogFormat, LogVariables};
pub use self::check::{CheckOptions, Format, Stage};
pub use self::config::{BackendKeyOptions, ConfigOptions, LegacyConfigOptions, ProtectionOptions};
pub use self::control::{ControlOptions, DrainOptions, EnableOptions};
pub use self::status::{Color, FormOptions, PageOptions, StatusOptions};

/// The variable with the value of `TOR_CONTROL_SOCKET` in the configuration, which takes precedence.
const SOCKET_VARIABLE: &str = "ONIONBALANCE_TOR_CONTROL_SOCKET";

/// The program is not the Python program of the same name.
static VERSION: LazyLock<String> = LazyLock::new(|| onionbalance_process::version(Some("Rust")));

const ENVIRONMENT: &str = "\
Environment:
  ONIONBALANCE_CONFIG                  the configuration
  ONIONBALANCE_LOG_LEVEL               as LOG_LEVEL in the configuration, which goes before it
  ONIONBALANCE_LOG_FORMAT              text or json
  ONIONBALANCE_LOG_ADDRESSES           as LOG_ADDRESSES in the configuration, which goes before it
  ONIONBALANCE_LOG_LOCATION            as LOG_LOCATION in the configuration, which goes before it
  ONIONBALANCE_TOR_CONTROL_SOCKET      as TOR_CONTROL_SOCKET in the configuration, which goes before it
  ONIONBALANCE_TOR_CONTROL_PASSWORD    goes before tor-control-password in the configuration
  ONIONBALANCE_STATUS_SOCKET_LOCATION  goes before status-socket-location in the configuration";

/// The task that a command line gives.
#[derive(Clone, Debug)]
pub enum Task {
    /// To balance.
    Balance(Box<Arguments>),
    /// To check a configuration.
    Check(Box<CheckOptions>),
    /// To show the status of a running balancer.
    Status(StatusOptions),
    /// To take a backend out of all descriptors.
    Drain(DrainOptions),
    /// To bring a drained backend back.
    Enable(EnableOptions),
    /// To set up a deployment.
    Config(Box<ConfigOptions>),
    /// To do what Onionbalance's `onionbalance-config` does.
    LegacyConfig(Box<LegacyConfigOptions>),
}

/// Load balancer for Tor onion services.
///
/// Without a command, it balances the services of its configuration.
#[derive(Clone, Debug, Parser)]
#[command(name = "onionbalance", version = VERSION.as_str(), about, disable_version_flag = true, after_help = ENVIRONMENT)]
#[command(args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    balance: Arguments,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Check a configuration before it is used
    Check(CheckOptions),
    /// Show how a running balancer is doing
    Status(StatusOptions),
    /// Send a backend no more visitors, without a change of the configuration
    Drain(DrainOptions),
    /// Send a drained backend visitors again
    Enable(EnableOptions),
    /// Set up a deployment: keys, configuration, and a script for each backend
    Config(ConfigOptions),
}

/// The definition of the command line, of which manual pages and completions are made.
pub fn definition() -> clap::Command {
    CommandLine::command()
}

impl Task {
    /// The task of this process. If its command line is not valid, or asks for help, the process ends with a
    /// message.
    pub fn read() -> Self {
        let line: Vec<OsString> = std::env::args_os().collect();
        let not_valid = usage_status(line.get(1).map(OsString::as_os_str));
        Self::try_read(line, std::env::var_os(SOCKET_VARIABLE)).unwrap_or_else(|error| {
            // A message that nobody can read changes nothing about the end.
            let _ = error.print();
            process::exit(if error.use_stderr() { not_valid } else { 0 })
        })
    }

    /// # Errors
    ///
    /// An option or `socket_variable` is not valid, or help is asked for.
    pub(crate) fn try_read(
        line: impl IntoIterator<Item = OsString>,
        socket_variable: Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let line: Vec<OsString> = line.into_iter().collect();
        if LegacyConfigOptions::is_called(line.first().map(OsString::as_os_str)) {
            return Ok(Self::LegacyConfig(Box::new(LegacyConfigOptions::try_read(line)?)));
        }
        let CommandLine { command, balance, .. } = CommandLine::try_parse_from(line)?;
        let socket = || socket_variable.filter(|value| !value.is_empty()).map(socket_in_variable).transpose();
        Ok(match command {
            Some(Command::Check(options)) => {
                Self::Check(Box::new(CheckOptions { socket_variable: socket()?, ..options }))
            }
            Some(Command::Status(options)) => Self::Status(options),
            Some(Command::Drain(options)) => Self::Drain(options),
            Some(Command::Enable(options)) => Self::Enable(options),
            Some(Command::Config(options)) => Self::Config(Box::new(options)),
            None => Self::Balance(Box::new(balance.with_socket_variable(socket()?))),
        })
    }
}

/// The exit status for a command line that is not valid. Monitoring treats 2 as *critical*, so that `status`
/// has another one; that of `check` is `EX_USAGE` of sysexits.h, beside its 78 for a bad configuration.
fn usage_status(command: Option<&OsStr>) -> i32 {
    match command.and_then(OsStr::to_str) {
        Some("check") => 64,
        Some("status") => 3,
        _ => 2,
    }
}

/// # Errors
///
/// The value is not valid; the error has the form of clap's own for an option.
fn socket_in_variable(value: OsString) -> Result<TorSocket, clap::Error> {
    let problem = match value.into_string() {
        Ok(text) => match text.parse::<TorSocket>() {
            Ok(socket) => return Ok(socket),
            Err(error) => format!("invalid value '{text}' for {SOCKET_VARIABLE}: {error}"),
        },
        Err(_) => format!("invalid UTF-8 in {SOCKET_VARIABLE}"),
    };
    Err(CommandLine::command().error(ErrorKind::ValueValidation, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Task, clap::Error> {
        Task::try_read(line.split(' ').map(Into::into), None)
    }

    fn status(line: &str) -> StatusOptions {
        match read(line).unwrap() {
            Task::Status(options) => options,
            other => panic!("another task: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_line_without_a_command_balances() {
        for line in ["onionbalance", "onionbalance -v debug", "onionbalance -c status"] {
            assert!(matches!(read(line), Ok(Task::Balance(_))), "{line}");
        }
        let wanted = [
            ("--version", ErrorKind::DisplayVersion),
            ("-V", ErrorKind::DisplayVersion),
            ("-h", ErrorKind::DisplayHelp),
            ("help", ErrorKind::DisplayHelp),
            ("status --help", ErrorKind::DisplayHelp),
            ("restart", ErrorKind::InvalidSubcommand),
        ];
        for (line, wanted) in wanted {
            assert_eq!(read(&format!("onionbalance {line}")).unwrap_err().kind(), wanted, "{line}");
        }
    }

    #[test]
    fn times_of_status_have_defaults() {
        let options = status("onionbalance status --wait shop");
        assert_eq!((options.wait, options.service.as_deref()), (Some(120), Some("shop")));
        assert_eq!(status("onionbalance status --wait=5").wait, Some(5));
        assert_eq!(status("onionbalance status --watch").watch, Some(2));
        assert_eq!(status("onionbalance status --watch=7 shop").watch, Some(7));
        assert!(read("onionbalance status --watch=0").is_err());
    }

    #[test]
    fn a_drain_has_a_time_or_none() {
        let seconds = |line: &str| match read(&format!("onionbalance drain {line}")) {
            Ok(Task::Drain(options)) => options.seconds,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(seconds("web3"), None);
        for (time, wanted) in [
            ("30s", 30),
            ("90m", 5400),
            ("2h", 7200),
            ("7d", 604_800),
            ("30d", 2_592_000),
            ("720h", 2_592_000),
        ] {
            assert_eq!(seconds(&format!("web3 --for {time}")), Some(wanted), "{time}");
        }
        for time in ["0s", "2", "h", "2w", "1 h", "31d", "1.5h", "99999999999999999999d", "2 h"] {
            let line = ["onionbalance", "drain", "web3", "--for", time];
            let error = Task::try_read(line.map(Into::into), None).unwrap_err();
            assert!(error.to_string().contains("--for"), "{time}: {error}");
        }
        assert!(read("onionbalance drain").is_err());
        assert!(read("onionbalance enable web3 --for 2h").is_err());
    }

    #[test]
    fn a_check_visits_three_times_if_it_is_live() {
        let check = |line: &str| match read(line).unwrap() {
            Task::Check(options) => (options.live, options.visit, options.port),
            other => panic!("another task: {other:?}"),
        };
        assert_eq!(check("onionbalance check"), (false, None, 80));
        assert_eq!(check("onionbalance check --live --visit"), (true, Some(3), 80));
        assert_eq!(check("onionbalance check --live --visit=10 --port 443"), (true, Some(10), 443));
        for line in ["--visit", "--live --port 443", "--live --visit=0", "--live --dump", "--live --tor 9051"]
        {
            assert!(read(&format!("onionbalance check {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn takes_the_command_lines_of_onionbalance_config() {
        let legacy = |line: &str| -> Result<_, clap::Error> {
            match read(line)? {
                Task::LegacyConfig(options) => Ok(options),
                other => panic!("another task: {other:?}"),
            }
        };
        for (line, is_interactive) in [
            ("onionbalance-config", true),
            ("/usr/bin/onionbalance-config -v debug", true),
            ("onionbalance-config --no-interactive", false),
            ("onionbalance-config -n 3 -s 2 -t web --output ob --hs-version v3 --key old", false),
            ("onionbalance-config --service-virtual-port 80 --service-target 127.0.0.1:80", false),
            ("onionbalance-config --out ob", false),
        ] {
            assert_eq!(
                legacy(line).map(|options| options.is_interactive()).ok(),
                Some(is_interactive),
                "{line}"
            );
        }
        let refused = legacy("onionbalance-config -p secret").unwrap_err().to_string();
        assert!(refused.contains("every user of this machine can read"), "{refused}");
        assert!(matches!(read("onionbalance config -n 3"), Ok(Task::Config(_))));
        LegacyConfigOptions::command().debug_assert();
    }

    #[test]
    fn a_line_that_is_not_valid_has_the_status_of_its_command() {
        assert_eq!(usage_status(Some(OsStr::new("check"))), 64);
        assert_eq!(usage_status(Some(OsStr::new("status"))), 3);
        assert_eq!(usage_status(Some(OsStr::new("-c"))), 2);
        assert_eq!(usage_status(None), 2);
    }
}
