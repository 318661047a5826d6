//! `config.yaml`: one file that both processes read, each taking what concerns it.
//!
//! The files of Onionbalance 0.1 and 0.2 work as they are. What nobody knows is an error: a mistyped key must not start.

mod cookies;
mod error;
mod historic;
mod key;
mod level;
mod name;
mod own_backend;
mod password;
mod scalar;
mod service;
mod tor;
mod tor_pool;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use self::error::{ConfigError, Lines};
pub use self::historic::Tuning;
use self::key::{Key, NewKey};
pub use self::level::{LogLevel, UnknownLevel};
pub use self::name::{Name, NameError, Named};
pub use self::own_backend::check_own_backends;
pub use self::password::ControlPassword;
pub use self::service::{Address, AddressError, InstanceV2, InstanceV3, Instances, Service};
pub use self::tor::{TorHost, TorHostError, TorPlace, TorPlaceError, TorSocket, TorSocketError};
pub use self::tor_pool::{MAX_TORS, TorPool};

/// The most services of one configuration.
pub const MAX_SERVICES: usize = 10_000;
/// The most instances of one service: with all of them, and its key, it fits one [`crate::wire::Page`].
pub const MAX_INSTANCES: usize = 4_096;
/// The longest `key`, in bytes: longer than any path that Linux opens (`PATH_MAX`).
pub const MAX_KEY_LENGTH: usize = 4_096;
/// How many frontend descriptors per minute and service the signer signs unless told otherwise.
const SIGNATURES_PER_MINUTE: u32 = 120;

/// The whole file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The frontends; at least one.
    pub services: Vec<Service>,
    /// Where the balancer shows its status as JSON.
    pub status_socket: Option<PathBuf>,
    /// Where the balancer keeps what outlives it.
    pub state_file: Option<PathBuf>,
    /// Where the balancer shows its status as Onionbalance 0.1.8 did.
    pub status_text_socket: Option<PathBuf>,
    /// Where the signer listens; without one the balancer starts the signer as its child.
    pub signer_socket: Option<PathBuf>,
    /// The user that a balancer becomes that was started as root.
    pub user: Option<String>,
    /// The user that a signer becomes that was started as root.
    pub signer_user: Option<String>,
    /// Whether keys may be in memory that root can read where the kernel has no better.
    pub signer_allow_locked_memory: bool,
    /// Whether others than the signer's user may read key files. Nobody else may write to them in any case.
    pub signer_allow_readable_keys: bool,
    /// The user ids that may speak to the signer besides its own and root.
    pub signer_allowed_uids: Vec<u32>,
    /// How many frontend requests per minute and service the signer answers.
    pub signer_requests_per_minute: u32,
    /// The password of tor's control port.
    pub control_password: Option<ControlPassword>,
    /// The tors of all services that have none of their own.
    pub tors: Option<TorPool>,
    /// Where to look for tor if that says nothing.
    pub tor: TorDefaults,
    /// The balancer's pace, and the shape of what it publishes.
    pub tuning: Tuning,
    /// How and where the balancer logs.
    pub log: LogSettings,
    /// What the operator will want to know: keys that have no effect, or another one than the file says.
    pub warnings: Vec<String>,
}

/// Where tor is, unless the command line says it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TorDefaults {
    /// The control socket; a relative path starts from the file's directory.
    pub socket: Option<TorSocket>,
    /// The control port's machine.
    pub address: Option<TorHost>,
    /// The control port, 1 to 65535.
    pub port: Option<u16>,
}

/// How and where to log, unless the command line says it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogSettings {
    /// How much.
    pub level: Option<LogLevel>,
    /// The file that gets what standard error gets.
    pub location: Option<PathBuf>,
}

impl Config {
    /// The services that have no backends yet, each with what there is to say of it: nothing is published for them.
    pub fn without_instances(&self, text: &str, file: &Path) -> Vec<ConfigError> {
        let lines = Lines::of(text);
        let empty = self.services.iter().filter(|service| service.instances.count() == 0);
        let warning = |service: &Service| {
            let what = format!(
                "the service with the key {} has no instances: nothing is published for it until some are listed and both \
                 programs are sent SIGHUP",
                service.key
            );
            lines.error(file, &service.key, what)
        };
        empty.map(warning).collect()
    }

    /// Reads the text of the file that is called `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        // Editors of other systems put a byte-order mark in front.
        let content = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config: Self = serde_yaml::from_str(content).map_err(|error| ConfigError {
            file: file.display().to_string(),
            line: error.location().map(|location| location.line()),
            what: without_location(&error.to_string()),
        })?;
        if let Some(service) = config.services.get(MAX_SERVICES) {
            let what = format!(
                "there are {} services, and {MAX_SERVICES} are the most: give the others to another onionbalance",
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
            let what = "TOR_CONTROL_SOCKET, TOR_ADDRESS, TOR_PORT: have no effect, because there is `tor`";
            config.warnings.push(what.to_owned());
        }
        let v3_only = config.services.iter().all(|service| matches!(service.instances, Instances::V3(_)));
        if v3_only && config.tuning.differs_for_v2() {
            let what = "DESCRIPTOR_UPLOAD_PERIOD, MAX_INTRO_POINTS: are for v2 services, and there are none";
            config.warnings.push(what.to_owned());
        }
        config.warnings.extend(cookies::warnings(&config.services));
        Ok(config)
    }
}

/// The parser ends its messages with ` at line 3 column 5`; the line stands in front here.
fn without_location(message: &str) -> String {
    message.split_once(" at line ").map_or(message, |(what, _)| what).to_owned()
}

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
            status_text_socket: None,
            state_file: None,
            signer_socket: None,
            user: None,
            signer_user: None,
            signer_allow_locked_memory: false,
            signer_allow_readable_keys: false,
            signer_allowed_uids: Vec::new(),
            signer_requests_per_minute: SIGNATURES_PER_MINUTE,
            control_password: None,
            tors: None,
            tor: TorDefaults::default(),
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
                Key::StateFile => config.state_file = Some(map.next_value()?),
                Key::SignerSocket => config.signer_socket = Some(map.next_value()?),
                Key::User => config.user = Some(map.next_value()?),
                Key::SignerUser => config.signer_user = Some(map.next_value()?),
                Key::SignerAllowLockedMemory => config.signer_allow_locked_memory = map.next_value()?,
                Key::SignerAllowReadableKeys => config.signer_allow_readable_keys = map.next_value()?,
                Key::SignerAllowedUids => config.signer_allowed_uids = map.next_value()?,
                Key::SignerRequestsPerMinute => config.signer_requests_per_minute = map.next_value()?,
                Key::ControlPassword => {
                    let password: Option<ControlPassword> = map.next_value()?;
                    config.control_password = password.filter(|password| !password.0.is_empty());
                }
                Key::Tor => config.tors = Some(map.next_value()?),
                Key::Historic(key) => key.read(&name, &mut map, &mut config)?,
            }
        }
        config.services = services.filter(|services| !services.is_empty()).ok_or_else(|| {
            de::Error::custom(
                "there are no services: list at least one under `services:`, with `key` and `instances`",
            )
        })?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
