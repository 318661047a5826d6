//! The command line: Onionbalance's own, so that whatever starts it can start this.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};
use tracing::level_filters::LevelFilter;

use crate::tor::Endpoint;

const DEFAULT_SOCKET: &str = "/var/run/tor/control";
const DEFAULT_IP: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 9051;

/// Load balancer for Tor onion services.
#[derive(Debug, Parser)]
#[command(name = "onionbalance", version, about, disable_version_flag = true)]
pub struct Arguments {
    /// Tor's control address [default: 127.0.0.1]
    #[arg(short, long)]
    ip: Option<String>,

    /// Tor's control port [default: 9051]
    #[arg(short, long)]
    port: Option<u16>,

    /// Tor's control socket, tried before address and port [default: /var/run/tor/control, unless these are given]
    #[arg(short, long)]
    socket: Option<PathBuf>,

    /// The configuration
    #[arg(short, long, env = "ONIONBALANCE_CONFIG", default_value = "config.yaml")]
    pub config: PathBuf,

    /// How much to log
    #[arg(short, long, value_enum, default_value_t = Verbosity::Info)]
    pub verbosity: Verbosity,

    /// The generation of onion services to balance
    #[arg(long, value_enum, default_value_t = Generation::V3)]
    hs_version: Generation,

    /// Taken for compatibility: whether this is a testing network is asked of tor
    #[arg(long)]
    is_testnet: bool,

    /// Print the version
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Python's names for levels, as Onionbalance takes them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Verbosity {
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

/// The generations of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Generation {
    /// Version 3.
    V3,
}

impl Arguments {
    /// Where to look for tor, in this order. `socket_variable` is `ONIONBALANCE_TOR_CONTROL_SOCKET`.
    pub fn endpoints(&self, socket_variable: Option<PathBuf>) -> Vec<Endpoint> {
        let tcp = Endpoint::Tcp {
            host: self.ip.clone().unwrap_or_else(|| DEFAULT_IP.into()),
            port: self.port.unwrap_or(DEFAULT_PORT),
        };
        // Who names a port and no socket means that tor, not another one that has the usual socket.
        let only_tcp = self.socket.is_none() && (self.ip.is_some() || self.port.is_some());
        if only_tcp {
            return vec![tcp];
        }
        let socket = self.socket.clone().or(socket_variable).unwrap_or_else(|| DEFAULT_SOCKET.into());
        vec![Endpoint::Unix(socket), tcp]
    }
}

impl From<Verbosity> for LevelFilter {
    fn from(verbosity: Verbosity) -> Self {
        match verbosity {
            Verbosity::Debug => Self::DEBUG,
            Verbosity::Info => Self::INFO,
            Verbosity::Warning => Self::WARN,
            Verbosity::Error | Verbosity::Critical => Self::ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn endpoints(arguments: &str) -> Vec<String> {
        let arguments = Arguments::try_parse_from(arguments.split(' ')).unwrap();
        arguments.endpoints(None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn takes_onionbalances_command_lines() {
        let line = "onionbalance --hs-version v3 -i 127.0.0.1 -p 9151 -s /run/tor/c -c ob.yaml -v warning --is-testnet";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(arguments.config, PathBuf::from("ob.yaml"));
        assert_eq!(arguments.verbosity, Verbosity::Warning);
        assert!(Arguments::try_parse_from(["onionbalance", "--verbosity", "critical"]).is_ok());
        assert!(Arguments::try_parse_from(["onionbalance", "--verbosity", "loud"]).is_err());
    }

    #[test]
    fn the_socket_comes_first_unless_only_a_port_is_named() {
        assert_eq!(endpoints("onionbalance"), ["unix:/var/run/tor/control", "127.0.0.1:9051"]);
        assert_eq!(endpoints("onionbalance -s /c -p 9151"), ["unix:/c", "127.0.0.1:9151"]);
        assert_eq!(endpoints("onionbalance -p 9151"), ["127.0.0.1:9151"]);
        assert_eq!(endpoints("onionbalance -i ::1"), ["[::1]:9051"]);
    }
}
