//! `config.yaml`: one file for both processes, each of which uses the keys that concern it.
//!
//! The files of Onionbalance 0.1 and 0.2 work unchanged. An unknown key is an error, so that a mistyped key
//! is noticed.

mod allowed_user;
mod cookies;
mod error;
mod health_check;
mod historic;
mod key;
mod level;
mod metrics_place;
mod name;
mod own_backend;
mod password;
mod scalar;
mod service;
mod socket_mode;
mod socks_place;
mod tor;
mod tor_pool;
mod weight;
mod wording;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use self::allowed_user::AllowedUser;
pub use self::error::{ConfigError, Lines, line_of_key};
pub use self::health_check::{Checking, HealthCheck, HttpProbe, ProbeKind, StatusCodes};
pub use self::historic::Tuning;
use self::key::{Key, NewKey};
pub use self::level::{LogAddresses, LogLevel, UnknownAddresses, UnknownLevel};
pub use self::metrics_place::{MetricsPlace, MetricsPlaceError};
pub use self::name::{Name, NameError, Named};
pub use self::own_backend::check_own_backends;
pub use self::password::ControlPassword;
use self::scalar::{Reading, Scalar, number};
pub use self::service::{Address, AddressError, InstanceV2, InstanceV3, Instances, Service};
pub use self::socket_mode::SocketMode;
pub use self::socks_place::{SocksPlace, SocksPlaceError};
pub use self::tor::{TorHost, TorHostError, TorPlace, TorPlaceError, TorSocket, TorSocketError};
pub use self::tor_pool::{MAX_TORS, TorPool};
pub use self::weight::{Weight, WeightError};

/// The most services of one configuration.
pub const MAX_SERVICES: usize = 10_000;
/// The most instances of one service. A service with all of them and the longest key fits one
/// [`crate::wire::Page`].
pub const MAX_INSTANCES: usize = 4_096;
/// The longest `key`, in bytes. No path that Linux opens is longer (`PATH_MAX`).
pub const MAX_KEY_LENGTH: usize = 4_096;
/// The default of `status-socket-group`, if the machine has this group. The Debian package makes it.
pub const STATUS_GROUP: &str = "onionbalance-status";
/// The key of the place at which the balancer answers `GET /metrics`.
pub const METRICS_LISTEN: &str = "metrics-listen";
/// The key of the SOCKS port of probes.
pub const TOR_SOCKS: &str = "tor-socks-location";
/// The default of `signer-requests-per-minute`.
const SIGNATURES_PER_MINUTE: u32 = 120;

/// The whole file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The frontends; at least one.
    pub services: Vec<Service>,
    /// The socket on which the balancer shows its status as JSON; `None`: it does not.
    pub status_socket: Option<PathBuf>,
    /// The group of the sockets that show the status; `None`: [`STATUS_GROUP`] if the machine has it.
    pub status_socket_group: Option<String>,
    /// The mode of the sockets that show the status.
    pub status_socket_mode: SocketMode,
    /// The socket at which the balancer takes commands; `None`: beside the one for its status as JSON.
    pub control_socket: Option<PathBuf>,
    /// The place at which the balancer answers `GET /metrics`; `None`: at the status sockets only.
    pub metrics_listen: Option<MetricsPlace>,
    /// The file in which the balancer keeps its state from one run to the next; `None`: it keeps none.
    pub state_file: Option<PathBuf>,
    /// The socket on which the balancer shows its status as Onionbalance 0.1.8 did; `None`: it does not.
    pub status_text_socket: Option<PathBuf>,
    /// The socket on which the signer listens; `None`: the balancer starts the signer as its child.
    pub signer_socket: Option<PathBuf>,
    /// The user that a balancer started as root becomes.
    pub user: Option<String>,
    /// The user that a signer started as root becomes.
    pub signer_user: Option<String>,
    /// True: keys may be in locked memory, which root can read, if the kernel has no secret memory.
    pub signer_allow_locked_memory: bool,
    /// True: users other than the signer's may be able to read key files. They must not be able to write to
    /// them in any case.
    pub signer_allow_readable_keys: bool,
    /// The users that may connect to the signer besides its own and root.
    pub signer_allowed_users: Vec<AllowedUser>,
    /// The most frontend requests per minute and service that the signer answers.
    pub signer_requests_per_minute: u32,
    /// The password of tor's control port.
    pub control_password: Option<ControlPassword>,
    /// The tors of all services without tors of their own.
    pub tors: Option<TorPool>,
    /// The place of tor where `tors` is `None`.
    pub tor: TorDefaults,
    /// The SOCKS port through which backends are probed; `None`: the one that each tor names. It is set only
    /// if there is one tor.
    pub tor_socks: Option<SocksPlace>,
    /// The balancer's pace, and the shape of what it publishes.
    pub tuning: Tuning,
    /// How and where the balancer logs.
    pub log: LogSettings,
    /// Messages for the operator about keys that have no effect, or not the effect that the file asks for.
    pub warnings: Vec<String>,
}

/// The place of tor's control port; the command line takes precedence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TorDefaults {
    /// The control socket; a relative path starts from the file's directory.
    pub socket: Option<TorSocket>,
    /// The control port's host.
    pub address: Option<TorHost>,
    /// The control port, 1 to 65535.
    pub port: Option<u16>,
}

/// The level, the file and the addresses of the log; the command line takes precedence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: Option<LogLevel>,
    /// A file that gets the log in addition to standard error.
    pub location: Option<PathBuf>,
    /// The form of onion addresses.
    pub addresses: Option<LogAddresses>,
}

impl Config {
    /// A warning for each service without backends: nothing is published for it.
    pub fn without_instances(&self, text: &str, file: &Path) -> Vec<ConfigError> {
        let lines = Lines::of(text);
        let empty = self.services.iter().filter(|service| service.instances.count() == 0);
        let warning = |service: &Service| {
            let what = format!(
                "the service with the key {} has no instances: nothing is published for it; list some \
                 and send both programs SIGHUP",
                service.key
            );
            lines.error(file, &service.key, what)
        };
        empty.map(warning).collect()
    }

    /// Reads the configuration `text`; `file` is its name in messages.
    ///
    /// # Errors
    /// A value is unknown, malformed or contradicts another. The error is that of the first such value, with
    /// its line.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        // Editors of other systems put a byte-order mark in front.
        let content = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config: Self = serde_yaml::from_str(content).map_err(|error| ConfigError {
            file: file.display().to_string(),
            line: error.location().map(|location| location.line()),
            what: wording::of_parser(&error.to_string()),
        })?;
        if let Some(service) = config.services.get(MAX_SERVICES) {
            let what = format!(
                "there are {} services, at most {MAX_SERVICES} are allowed: run another onionbalance for the \
                 others",
                config.services.len()
            );
            return Err(ConfigError::about(text, file, &service.key, what));
        }
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for service in &config.services {
            service
                .check(keys.insert(&service.key))
                .map_err(|what| ConfigError::about(text, file, &service.key, what))?;
            if let Some(name) = service.name.as_ref().filter(|name| !names.insert(*name)) {
                let what = format!("two services have the name {name}: give each its own");
                return Err(ConfigError::about(text, file, name.as_str(), what));
            }
        }
        if config.tors.is_some() && config.tor != TorDefaults::default() {
            let what = "TOR_CONTROL_SOCKET, TOR_ADDRESS, TOR_PORT: have no effect, because `tor` is set";
            config.warnings.push(what.to_owned());
        }
        let v3_only = config.services.iter().all(|service| matches!(service.instances, Instances::V3(_)));
        if v3_only && config.tuning.differs_for_v2() {
            let what = "DESCRIPTOR_UPLOAD_PERIOD, MAX_INTRO_POINTS: are for v2 services, and there are none";
            config.warnings.push(what.to_owned());
        }
        if let Some(address) = config.metrics_listen.as_ref().and_then(MetricsPlace::beyond_loopback) {
            let what = format!(
                "{METRICS_LISTEN}: {address} is not on loopback: the names, the states and the numbers of all services and \
                 backends are shown to everybody who reaches it; let a firewall admit Prometheus alone"
            );
            config.warnings.push(what);
        }
        config.warnings.extend(cookies::warnings(&config.services));
        if config.tor_socks.is_some() {
            if config.has_several_tors() {
                let what = "is the SOCKS port of one tor, and there are several: remove it, since each tor names its own";
                return Err(ConfigError::of_key(text, file, TOR_SOCKS, what));
            }
            if !config.has_health_checks() {
                config
                    .warnings
                    .push(format!("{TOR_SOCKS}: has no effect, because there is no `health-check`"));
            }
        }
        config.warnings.extend(health_check::warnings(&config.services));
        Ok(config)
    }

    /// True if any backend has a health check.
    pub fn has_health_checks(&self) -> bool {
        self.services.iter().any(|service| service.health_checks().next().is_some())
    }

    fn has_several_tors(&self) -> bool {
        // `None` is the tor of the command line, or the usual one.
        let of_all = self.tors.as_ref();
        let mut pools = self.services.iter().map(|service| service.tor.as_ref().or(of_all));
        let first = pools.next().flatten();
        first.is_some_and(|pool| pool.places().len() > 1) || pools.any(|pool| pool != first)
    }
}

/// The message for a file without services.
pub const NO_SERVICES: &str =
    "there are no services: list at least one under `services:`, with `key` and `instances`";

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor)
    }
}

struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a configuration with a list of `services`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut services: Option<Vec<Service>> = None;
        let mut config = Config {
            services: Vec::new(),
            status_socket: None,
            status_socket_group: None,
            status_socket_mode: SocketMode::default(),
            control_socket: None,
            metrics_listen: None,
            status_text_socket: None,
            state_file: None,
            signer_socket: None,
            user: None,
            signer_user: None,
            signer_allow_locked_memory: false,
            signer_allow_readable_keys: false,
            signer_allowed_users: Vec::new(),
            signer_requests_per_minute: SIGNATURES_PER_MINUTE,
            control_password: None,
            tors: None,
            tor: TorDefaults::default(),
            tor_socks: None,
            tuning: Tuning::default(),
            log: LogSettings::default(),
            warnings: Vec::new(),
        };
        let mut seen = Vec::new();
        while let Some((key, name)) = map.next_key_seed(NewKey { seen: &seen })? {
            seen.push(key);
            match key {
                Key::Services => services = Some(map.next_value()?),
                Key::StatusSocket => config.status_socket = Some(map.next_value()?),
                Key::StatusSocketGroup => config.status_socket_group = Some(map.next_value()?),
                Key::StatusSocketMode => config.status_socket_mode = map.next_value()?,
                Key::ControlSocket => config.control_socket = Some(map.next_value()?),
                Key::MetricsListen => config.metrics_listen = Some(map.next_value()?),
                Key::StateFile => config.state_file = Some(map.next_value()?),
                Key::SignerSocket => config.signer_socket = Some(map.next_value()?),
                Key::User => config.user = Some(map.next_value()?),
                Key::SignerUser => config.signer_user = Some(map.next_value()?),
                Key::SignerAllowLockedMemory => config.signer_allow_locked_memory = map.next_value()?,
                Key::SignerAllowReadableKeys => config.signer_allow_readable_keys = map.next_value()?,
                Key::SignerAllowedUids => config.signer_allowed_users = map.next_value()?,
                Key::SignerRequestsPerMinute => config.signer_requests_per_minute = map.next_value()?,
                Key::ControlPassword => {
                    let password: Option<ControlPassword> = map.next_value()?;
                    config.control_password = password.filter(|password| !password.0.is_empty());
                }
                Key::Tor => config.tors = Some(map.next_value()?),
                Key::TorSocks => config.tor_socks = Some(map.next_value()?),
                Key::TorRestartHint => {
                    let meaning = |value: Scalar<'_>| Ok(number(value));
                    let reading = Reading { meaning, write: "a whole number of posts, such as 50000" };
                    config.tuning.tor_restart_hint = map.next_value_seed(reading)?.value();
                }
                Key::LogAddresses => {
                    let meaning = |value: Scalar<'_>| match value {
                        Scalar::Text(text) => Ok(text.parse().ok()),
                        Scalar::Switch(_) | Scalar::Number(_) => Ok(None),
                    };
                    let reading = Reading { meaning, write: "full, short or none" };
                    config.log.addresses = map.next_value_seed(reading)?.value();
                }
                Key::Historic(key) => key.read(&name, &mut map, &mut config)?,
            }
        }
        config.services =
            services.filter(|services| !services.is_empty()).ok_or_else(|| de::Error::custom(NO_SERVICES))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
