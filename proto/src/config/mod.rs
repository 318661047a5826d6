//! `config.yaml`: one file that both processes read, each taking what concerns it.
//!
//! The files of Onionbalance 0.1 and 0.2 work as they are. What nobody knows is an error: a mistyped key must not start.

mod service;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use self::service::{InstanceV2, InstanceV3, Instances, Service};

/// Keys that earlier releases of Onionbalance took and that have no effect here. Its 0.2 series passed over those in upper
/// case in silence, and generated files still hold them; its first version wrote them in lower case.
const WITHOUT_EFFECT: &[&str] = &[
    "DESCRIPTOR_OVERLAP_PERIOD",
    "DESCRIPTOR_UPLOAD_PERIOD",
    "DESCRIPTOR_VALIDITY_PERIOD",
    "DISTINCT_DESCRIPTORS",
    "HSDIR_SET",
    "INITIAL_DELAY",
    "LOG_LEVEL",
    "LOG_LOCATION",
    "MAX_INTRO_POINTS",
    "PUBLISH_CHECK_INTERVAL",
    "REFRESH_INTERVAL",
    "REPLICAS",
    "STATUS_SOCKET_LOCATION",
    "TOR_ADDRESS",
    "TOR_CONTROL_SOCKET",
    "TOR_PORT",
    "descriptor_overlap_period",
    "descriptor_upload_period",
    "descriptor_validity_period",
    "max_intro_points",
    "refresh",
    "replicas",
];

/// How many frontend descriptors per minute and service the signer signs unless told otherwise.
const SIGNATURES_PER_MINUTE: u32 = 120;

/// The whole file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The frontends; at least one.
    pub services: Vec<Service>,
    /// Where the balancer shows its status.
    pub status_socket: Option<PathBuf>,
    /// Where the signer listens; without one the balancer starts the signer as its child.
    pub signer_socket: Option<PathBuf>,
    /// The user ids that may speak to the signer besides its own and root.
    pub signer_allowed_uids: Vec<u32>,
    /// How many frontend requests per minute and service the signer answers.
    pub signer_requests_per_minute: u32,
    /// The password of tor's control port.
    pub control_password: Option<ControlPassword>,
    /// Keys in the file that have no effect.
    pub without_effect: Vec<String>,
}

/// A password: never shown.
#[derive(Clone, Deserialize, Eq, PartialEq)]
pub struct ControlPassword(pub String);

impl fmt::Debug for ControlPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[scrubbed]")
    }
}

/// What is wrong with the file, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}{}: {what}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1, where one can be told.
    pub line: Option<usize>,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl Config {
    /// Reads the text of the file that is called `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        // Editors of other systems put a byte-order mark in front.
        let content = text.strip_prefix('\u{feff}').unwrap_or(text);
        let config: Self = serde_yaml::from_str(content).map_err(|error| ConfigError {
            file: file.display().to_string(),
            line: error.location().map(|location| location.line()),
            what: without_location(&error.to_string()),
        })?;
        for (index, service) in config.services.iter().enumerate() {
            if config.services.iter().take(index).any(|earlier| earlier.key == service.key) {
                let what = format!("two services have the key {}: put all instances under one", service.key);
                return Err(ConfigError::about(text, file, &service.key, what));
            }
        }
        Ok(config)
    }
}

impl ConfigError {
    /// The file at `path` cannot be read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let what = format!("cannot be read: {error}; name the configuration with -c");
        Self { file: path.display().to_string(), line: None, what }
    }

    /// An error about a value that was parsed well and turned out wrong. The line is where `value` stands; the last
    /// such line, since of two services with one key the second is too many.
    pub fn about(text: &str, file: &Path, value: &str, what: String) -> Self {
        let stands_in = |line: &str| {
            let line = line.split(" #").next().unwrap_or(line);
            line.split_once(':').is_some_and(|(_, found)| found.trim().trim_matches(['"', '\'']) == value)
        };
        let line = text.lines().enumerate().filter(|(_, line)| stands_in(line)).last();
        Self { file: file.display().to_string(), line: line.map(|(index, _)| index + 1), what }
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
            signer_socket: None,
            signer_allowed_uids: Vec::new(),
            signer_requests_per_minute: SIGNATURES_PER_MINUTE,
            control_password: None,
            without_effect: Vec::new(),
        };
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(NewKey { seen: &seen })? {
            seen.push(key.clone());
            match key {
                Key::Services => services = Some(map.next_value()?),
                Key::StatusSocket => config.status_socket = Some(map.next_value()?),
                Key::SignerSocket => config.signer_socket = Some(map.next_value()?),
                Key::SignerAllowedUids => config.signer_allowed_uids = map.next_value()?,
                Key::SignerRequestsPerMinute => config.signer_requests_per_minute = map.next_value()?,
                Key::ControlPassword => config.control_password = map.next_value()?,
                Key::WithoutEffect(old) => {
                    map.next_value::<IgnoredAny>()?;
                    config.without_effect.push(old);
                }
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

/// A key at the top of the file.
#[derive(Clone, Eq, PartialEq)]
enum Key {
    Services,
    StatusSocket,
    SignerSocket,
    SignerAllowedUids,
    SignerRequestsPerMinute,
    ControlPassword,
    WithoutEffect(String),
}

impl FromStr for Key {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, String> {
        Ok(match key {
            "services" => Self::Services,
            "status-socket-location" => Self::StatusSocket,
            "signer-socket-location" => Self::SignerSocket,
            "signer-allowed-uids" => Self::SignerAllowedUids,
            "signer-requests-per-minute" => Self::SignerRequestsPerMinute,
            "tor-control-password" | "TOR_CONTROL_PASSWORD" => Self::ControlPassword,
            old if WITHOUT_EFFECT.contains(&old) => Self::WithoutEffect(old.to_owned()),
            unknown => {
                return Err(format!(
                    "unknown key `{unknown}`: known are services, status-socket-location, signer-socket-location, \
                     signer-allowed-uids, signer-requests-per-minute, tor-control-password"
                ));
            }
        })
    }
}

/// Reads a key that the file has not had yet: of two lists of services one would be lost in silence.
struct NewKey<'a> {
    seen: &'a [Key],
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
        let key = text.parse().map_err(E::custom)?;
        if self.seen.contains(&key) {
            return Err(E::custom(format_args!("`{text}` is set a second time: remove one of the two")));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("config.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_onionbalance_writes() {
        let config = parse(&format!(
            "services:\n- instances:\n  - address: {ADDRESS}.onion\n    name: node1\n  - address: {ADDRESS}\n  \
             key: front.key\nstatus-socket-location: /run/ob/status\nREFRESH_INTERVAL: 600\n"
        ))
        .unwrap();
        assert_eq!(config.services[0].key, "front.key");
        let Instances::V3(instances) = &config.services[0].instances else { panic!("another version") };
        assert_eq!(instances[0].name.as_deref(), Some("node1"));
        assert_eq!(instances[1].address.without_suffix(), ADDRESS);
        assert_eq!(config.status_socket.as_deref(), Some(Path::new("/run/ob/status")));
        assert_eq!(config.without_effect, ["REFRESH_INTERVAL"]);

        let windows = format!("\u{feff}services:\r\n- key: k\r\n  instances:\r\n  - address: {ADDRESS}\r\n");
        assert_eq!(parse(&windows).unwrap().services[0].key, "k");
    }

    /// The example of Onionbalance's first version.
    #[test]
    fn reads_what_the_first_version_read() {
        let config = parse(
            "refresh: 600 # How often to poll for updated descriptors\nservices:\n\
             \x20   - key: /path/to/private_key # 7s4hxwwifcslrus2.onion\n      instances:\n\
             \x20       - address: o6ff73vmigi4oxka # srv1\n        - address: nkz23ai6qesuwqhc # srv2\n\
             \x20         auth: dCmx3qIvArbil8A0KM4KgQ== # Hidden service authentication key\n\
             \x20   - key: /path/to/private_key.enc # dpkdeys3apjtqydk.onion\n      instances:\n\
             \x20       - address: htbzowpp5cn7wj2u # srv3\n",
        )
        .unwrap();
        assert_eq!(config.without_effect, ["refresh"]);
        let [first, second] = config.services.as_slice() else { panic!("two services") };
        let Instances::V2(instances) = &first.instances else { panic!("another version") };
        let addresses: Vec<String> = instances.iter().map(|one| one.address.without_suffix()).collect();
        assert_eq!(addresses, ["o6ff73vmigi4oxka", "nkz23ai6qesuwqhc"]);
        let cookies = instances.iter().map(|one| one.auth.clone());
        assert!(cookies.eq([None, Some("dCmx3qIvArbil8A0KM4KgQ".parse().unwrap())]));
        assert!(matches!(&second.instances, Instances::V2(instances) if instances.len() == 1));
    }

    #[test]
    fn the_example_is_a_configuration() {
        let example = include_str!("../../../config.yaml.example");
        assert_eq!(parse(example).unwrap().services.len(), 1);
        let every_key = example
            .replace("\n# signer-", "\nsigner-")
            .replace("\n# tor-", "\ntor-")
            .replace("\n# status-", "\nstatus-");
        let config = parse(&every_key).unwrap();
        assert!(
            config.signer_socket.is_some()
                && config.status_socket.is_some()
                && config.control_password.is_some()
        );
        assert_eq!(
            (config.signer_allowed_uids, config.signer_requests_per_minute),
            (vec![1001], SIGNATURES_PER_MINUTE)
        );
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let service = format!("services:\n- key: k\n  instances:\n  - address: {ADDRESS}\n");
        let cases = [
            (String::new(), "there are no services"),
            ("services: []\n".into(), "config.yaml:1: there are no services"),
            ("services:\n- key: k\n".into(), "config.yaml:2: services[0]: missing field `instances`"),
            ("services:\n- key: k\n  instances:\n".into(), "the service has no instances"),
            ("services:\n- key: k\n  instances: []\n".into(), "the service has no instances"),
            (
                service.replace("5sid", "5sie"),
                "config.yaml:4: services[0].instances[0].address: the address is of",
            ),
            (
                service.replace("25nj", "35nj"),
                "config.yaml:4: services[0].instances[0].address: the address's check",
            ),
            (
                service.clone() + "  - address: jyvfq5umznvka34v\n",
                "config.yaml:5: services[0].instances[1]: v2 and v3 addresses stand under one service",
            ),
            (
                service.replace(ADDRESS, "jyvfq5umznvka34v") + "  - address: " + ADDRESS + "\n",
                "config.yaml:5: services[0].instances[1]: v2 and v3 addresses stand under one service",
            ),
            (
                service.clone() + "    auth: dCmx3qIvArbil8A0KM4KgQ\n",
                "config.yaml:4: services[0].instances[0]: `auth` is for v2 addresses",
            ),
            (
                service.replace(ADDRESS, "jyvfq5umznvka34v") + "    auth: dCmx3qIvArbil8A0KM4KgD\n",
                "config.yaml:5: services[0].instances[0].auth: the descriptor cookie is of no known type",
            ),
            (
                service.replace(ADDRESS, "jyvfq5umznvka341"),
                "config.yaml:4: services[0].instances[0].address: an onion address consists of",
            ),
            (
                service.replace("25nj", "25n"),
                "config.yaml:4: services[0].instances[0].address: an onion address has 56 characters (v3) or 16",
            ),
            (
                service.clone() + "    nmae: x\n",
                "config.yaml:5: services[0].instances[0]: unknown field `nmae`",
            ),
            (
                service.clone() + "signer-socket: x\n",
                "config.yaml:5: unknown key `signer-socket`: known are services,",
            ),
            (service.clone() + "- key: k\n  instances:\n  - address: 2\n", "config.yaml:7: services[1]"),
            (
                format!("{service}- key: k\n  instances:\n  - address: {ADDRESS}\n"),
                "config.yaml:5: two services",
            ),
            (
                format!("{service}{service}"),
                "config.yaml:5: `services` is set a second time: remove one of the two",
            ),
            (
                service.clone() + "TOR_CONTROL_PASSWORD: x\ntor-control-password: x\n",
                "config.yaml:6: `tor-control-password` is set a second time",
            ),
            (service + " : x", "config.yaml:"),
        ];
        for (text, wanted) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(wanted), "{text}\n→ {error}\nwanted {wanted}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let text = format!(
            "services:\n- key: k\n  instances:\n  - address: {ADDRESS}\ntor-control-password: hush\n"
        );
        let config = parse(&text).unwrap();
        assert_eq!(config.control_password, Some(ControlPassword("hush".into())));
        assert!(!format!("{config:?}").contains("hush"));
    }
}
