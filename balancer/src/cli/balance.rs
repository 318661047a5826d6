//! The options of a balancer.
//!
//! The file has the values that the command line leaves out, and the environment those that both leave out.
//! This is 0.1.8's order.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};
use onionbalance_proto::config::{
    LogAddresses, LogLevel, LogSettings, TorDefaults, TorHost, TorPlace, TorSocket, UnknownAddresses,
    UnknownLevel,
};

use crate::endpoint::Endpoint;

const DEFAULT_SOCKET: &str = "/var/run/tor/control";
const DEFAULT_IP: Ipv4Addr = Ipv4Addr::LOCALHOST;
const DEFAULT_PORT: u16 = 9051;

/// The options of a balancer.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Arguments {
    /// Tor's control address [default: the configuration's, else 127.0.0.1]
    #[arg(short, long)]
    ip: Option<TorHost>,

    /// Tor's control port [default: the configuration's, else 9051]
    #[arg(short, long, value_parser = value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Tor's control socket, tried before address and port [default: the configuration's, else
    /// /var/run/tor/control unless address or port are given]
    #[arg(short, long)]
    socket: Option<TorSocket>,

    /// `ONIONBALANCE_TOR_CONTROL_SOCKET`
    #[arg(skip)]
    socket_variable: Option<TorSocket>,

    /// The configuration
    #[arg(short, long, env = "ONIONBALANCE_CONFIG", default_value = "config.yaml")]
    pub config: PathBuf,

    /// Level of the log: debug, info, warning, error or critical [default: the configuration's, else info]
    #[arg(short, long, value_name = "LEVEL")]
    verbosity: Option<LogLevel>,

    /// Form of the log: text, or a JSON object in each line
    #[arg(long, value_enum, value_name = "FORMAT", env = "ONIONBALANCE_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Onion addresses in the log: full, short, or none for names instead [default: the configuration's, else
    /// short]
    #[arg(long, value_name = "FORM")]
    log_addresses: Option<LogAddresses>,

    /// Accepted for compatibility: the addresses in the configuration determine the version
    #[arg(long, value_enum)]
    hs_version: Option<HsVersion>,

    /// Accepted for compatibility: tor reports whether its network is a testing network
    #[arg(long)]
    is_testnet: bool,
}

/// The forms of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// A form for people, or for the journal.
    Text,
    /// A JSON object in each line.
    Json,
}

/// The versions of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum HsVersion {
    /// Version 2 onion services.
    V2,
    /// Version 3 onion services.
    V3,
}

/// A variable that configures the log is not valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadLogVariable {
    /// `ONIONBALANCE_LOG_LEVEL` is not a level.
    #[error("ONIONBALANCE_LOG_LEVEL: {0}")]
    Level(#[from] UnknownLevel),
    /// `ONIONBALANCE_LOG_ADDRESSES` is not a form of addresses.
    #[error("ONIONBALANCE_LOG_ADDRESSES: {0}")]
    Addresses(#[from] UnknownAddresses),
}

/// The values of variables that configure the log; `None` if one is not set.
#[derive(Clone, Debug, Default)]
pub struct LogVariables {
    /// `ONIONBALANCE_LOG_LEVEL`.
    pub level: Option<String>,
    /// `ONIONBALANCE_LOG_LOCATION`.
    pub location: Option<PathBuf>,
    /// `ONIONBALANCE_LOG_ADDRESSES`.
    pub addresses: Option<String>,
}

impl Arguments {
    /// The options of a balancer with this configuration; `tor` is the tor that its command line names.
    pub(super) fn new(config: PathBuf, tor: Option<TorPlace>) -> Self {
        let (ip, port, socket) = match tor {
            Some(TorPlace::Socket(socket)) => (None, None, Some(socket)),
            Some(TorPlace::Port { host, port }) => (Some(host), Some(port), None),
            None => (None, None, None),
        };
        Self {
            ip,
            port,
            socket,
            socket_variable: None,
            config,
            verbosity: None,
            log_format: LogFormat::Text,
            log_addresses: None,
            hs_version: None,
            is_testnet: false,
        }
    }

    /// These options with the control socket that the environment names, if it names one.
    pub(super) fn with_socket_variable(self, socket_variable: Option<TorSocket>) -> Self {
        Self { socket_variable, ..self }
    }

    /// True if the command line names a tor.
    pub fn has_tor(&self) -> bool {
        self.socket.is_some() || self.ip.is_some() || self.port.is_some()
    }

    /// The places to look for tor, in this order.
    pub fn endpoints(&self, file: &TorDefaults) -> Vec<Endpoint> {
        let tcp = Endpoint::Tcp {
            host: self.ip.clone().or_else(|| file.address.clone()).unwrap_or_else(|| DEFAULT_IP.into()),
            port: self.port.or(file.port).unwrap_or(DEFAULT_PORT),
        };
        match self.socket(file) {
            Some(socket) => vec![Endpoint::Unix(socket), tcp],
            None => vec![tcp],
        }
    }

    /// The control socket; `None` for a port that is named without a socket, since the default socket may be
    /// another tor's.
    fn socket(&self, file: &TorDefaults) -> Option<PathBuf> {
        let named = if self.has_tor() {
            return self.socket.as_ref().map(|socket| socket.path().to_owned());
        } else {
            file.socket.as_ref().or(self.socket_variable.as_ref())
        };
        let usual = || (file.address.is_none() && file.port.is_none()).then(|| DEFAULT_SOCKET.into());
        named.map(|socket| socket.path().to_owned()).or_else(usual)
    }

    /// The settings of the log.
    ///
    /// # Errors
    /// A variable is not valid.
    pub fn log(&self, file: LogSettings, variables: LogVariables) -> Result<LogSettings, BadLogVariable> {
        let LogVariables { level, location, addresses } = variables;
        let level: Option<LogLevel> = level.map(|level| level.parse()).transpose()?;
        let addresses: Option<LogAddresses> = addresses.map(|form| form.parse()).transpose()?;
        Ok(LogSettings {
            level: self.verbosity.or(file.level).or(level),
            location: file.location.or(location),
            addresses: self.log_addresses.or(file.addresses).or(addresses),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Task;

    fn read(line: &str, variable: Option<&str>) -> Result<Arguments, clap::Error> {
        match Task::try_read(line.split(' ').map(Into::into), variable.map(Into::into))? {
            Task::Balance(arguments) => Ok(*arguments),
            other => panic!("another task: {other:?}"),
        }
    }

    fn arguments(line: &str) -> Arguments {
        read(line, None).unwrap()
    }

    fn endpoints(line: &str, file: &TorDefaults, variable: Option<&str>) -> Vec<String> {
        read(line, variable).unwrap().endpoints(file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn takes_onionbalances_command_lines() {
        let line = "onionbalance --hs-version v3 -i 127.0.0.1 -p 9151 -s /run/tor/c -c ob.yaml -v warning --is-testnet";
        let given = arguments(line);
        assert_eq!(given.config, PathBuf::from("ob.yaml"));
        assert_eq!(given.verbosity, Some(LogLevel::Warning));
        arguments(
            "onionbalance --hs-version v2 --ip ::1 --port 1 --socket c --config c --verbosity critical",
        );
        assert!(read("onionbalance --verbosity loud", None).is_err());
        assert_eq!(given.log_format, LogFormat::Text);
        assert_eq!(arguments("onionbalance --log-format json").log_format, LogFormat::Json);
    }

    #[test]
    fn the_socket_comes_first_unless_only_a_port_is_named() {
        let nothing = TorDefaults::default();
        let usual = ["unix:/var/run/tor/control", "127.0.0.1:9051"];
        assert_eq!(endpoints("onionbalance", &nothing, None), usual);
        assert_eq!(endpoints("onionbalance -s /c -p 9151", &nothing, None), ["unix:/c", "127.0.0.1:9151"]);
        assert_eq!(endpoints("onionbalance -p 9151", &nothing, Some("/variable")), ["127.0.0.1:9151"]);
        assert_eq!(endpoints("onionbalance -i ::1", &nothing, None), ["[::1]:9051"]);
        assert_eq!(
            endpoints("onionbalance", &nothing, Some("/variable")),
            ["unix:/variable", "127.0.0.1:9051"]
        );
    }

    #[test]
    fn an_endpoint_is_understood_or_refused_by_its_option() {
        let nothing = TorDefaults::default();
        assert_eq!(endpoints("onionbalance -i [::1]", &nothing, None), ["[::1]:9051"]);
        assert_eq!(endpoints("onionbalance -s unix:/c", &nothing, None), ["unix:/c", "127.0.0.1:9051"]);
        assert_eq!(endpoints("onionbalance", &nothing, Some("unix:/c")), ["unix:/c", "127.0.0.1:9051"]);
        assert_eq!(endpoints("onionbalance -p 1", &nothing, Some("")), ["127.0.0.1:1"]);
        let refused = |line: &str, variable: Option<&str>| read(line, variable).unwrap_err().to_string();
        for (line, wanted) in [
            (
                "-i localhost:9051",
                "'localhost:9051' for '--ip <IP>': write localhost alone, and give 9051 as the port",
            ),
            ("-i unix:/c", "'unix:/c' for '--ip <IP>': a path is not an address"),
            ("-i http://127.0.0.1", "'http://127.0.0.1' for '--ip <IP>': a URL is not an address"),
            ("-p 0", "'0' for '--port <PORT>': 0 is not in 1..=65535"),
            ("-p localhost:9051", "'localhost:9051' for '--port <PORT>': "),
            ("-s 9051", "'9051' for '--socket <SOCKET>': 9051 is a port, not the path of a control socket"),
            (
                "-s [::1]",
                "'[::1]' for '--socket <SOCKET>': [::1] is an address, not the path of a control socket",
            ),
            (
                "-s [::1]:9051",
                "'[::1]:9051' for '--socket <SOCKET>': [::1]:9051 is a control port, not the path",
            ),
        ] {
            let error = refused(&format!("onionbalance {line}"), None);
            assert!(error.starts_with(&format!("error: invalid value {wanted}")), "{error}\nwanted {wanted}");
        }
        let error = refused("onionbalance", Some("9051"));
        let wanted =
            "error: invalid value '9051' for ONIONBALANCE_TOR_CONTROL_SOCKET: 9051 is a port, not the path";
        assert!(error.starts_with(wanted) && error.contains("\nUsage: onionbalance "), "{error}");
    }

    #[test]
    fn the_file_goes_before_the_environment_and_after_the_command_line() {
        let port = TorDefaults {
            address: Some("10.0.0.1".parse().unwrap()),
            port: Some(9151),
            ..TorDefaults::default()
        };
        let socket = TorDefaults { socket: Some("/file".parse().unwrap()), ..TorDefaults::default() };
        assert_eq!(endpoints("onionbalance", &port, None), ["10.0.0.1:9151"]);
        assert_eq!(endpoints("onionbalance", &port, Some("/variable")), ["unix:/variable", "10.0.0.1:9151"]);
        assert_eq!(endpoints("onionbalance -p 9251", &port, None), ["10.0.0.1:9251"]);
        assert_eq!(endpoints("onionbalance", &socket, Some("/variable")), ["unix:/file", "127.0.0.1:9051"]);
        assert_eq!(endpoints("onionbalance -s /line", &socket, None), ["unix:/line", "127.0.0.1:9051"]);
        assert_eq!(endpoints("onionbalance -p 9251", &socket, None), ["127.0.0.1:9251"]);
    }

    #[test]
    fn the_log_is_told_by_the_line_then_the_file_then_the_environment() {
        let log = |line: &str, file: LogSettings| {
            let (level, location) = (Some("ERROR".into()), Some("/variable".into()));
            let variables = LogVariables { level, location, addresses: Some("FULL".into()) };
            arguments(line).log(file, variables).unwrap()
        };
        let settings = |level, location: &str, addresses| LogSettings {
            level: Some(level),
            location: Some(location.into()),
            addresses: Some(addresses),
        };
        let file = settings(LogLevel::Warning, "/file", LogAddresses::Short);
        assert_eq!(
            log("onionbalance -v debug --log-addresses none", file.clone()),
            settings(LogLevel::Debug, "/file", LogAddresses::Hidden)
        );
        assert_eq!(log("onionbalance", file.clone()), file);
        assert_eq!(
            log("onionbalance", LogSettings::default()),
            settings(LogLevel::Error, "/variable", LogAddresses::Full)
        );
        let bad = |variables| {
            arguments("onionbalance").log(LogSettings::default(), variables).unwrap_err().to_string()
        };
        let loud = bad(LogVariables { level: Some("loud".into()), ..LogVariables::default() });
        assert!(loud.starts_with("ONIONBALANCE_LOG_LEVEL: there is no such level: write debug,"), "{loud}");
        let unknown = bad(LogVariables { addresses: Some("long".into()), ..LogVariables::default() });
        assert!(
            unknown.ends_with("ADDRESSES: there is no such form of addresses: write full, short or none"),
            "{unknown}"
        );
    }
}
