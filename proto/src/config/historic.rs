//! The keys of Onionbalance up to 0.1.8, in lower case in its first version and in upper case in later ones.
//! The 0.2 series ignored them silently, and generated files still contain them.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::de::MapAccess;

use super::Config;
use super::level::LogLevel;
use super::scalar::{Reading, Scalar, Setting, number};
use crate::v2::document::MAX_POINTS;

/// The interval at which 0.1.8 republished an unchanged descriptor, in seconds.
const UPLOAD_PERIOD: u64 = 3600;

/// A key of Onionbalance up to 0.1.8. `TOR_CONTROL_PASSWORD` is not among them, because it is the same as
/// `tor-control-password`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HistoricKey {
    RefreshInterval,
    InitialDelay,
    DescriptorUploadPeriod,
    MaxIntroPoints,
    DistinctDescriptors,
    LogLocation,
    LogLevel,
    StatusSocketLocation,
    TorAddress,
    TorPort,
    TorControlSocket,
    Replicas,
    HsdirSet,
    DescriptorOverlapPeriod,
    DescriptorValidityPeriod,
    PublishCheckInterval,
}

/// The keys with their names. Some have a second one, of the first version.
const KEYS: [(&str, HistoricKey); 22] = [
    ("REFRESH_INTERVAL", HistoricKey::RefreshInterval),
    ("refresh", HistoricKey::RefreshInterval),
    ("INITIAL_DELAY", HistoricKey::InitialDelay),
    ("DESCRIPTOR_UPLOAD_PERIOD", HistoricKey::DescriptorUploadPeriod),
    ("descriptor_upload_period", HistoricKey::DescriptorUploadPeriod),
    ("MAX_INTRO_POINTS", HistoricKey::MaxIntroPoints),
    ("max_intro_points", HistoricKey::MaxIntroPoints),
    ("DISTINCT_DESCRIPTORS", HistoricKey::DistinctDescriptors),
    ("LOG_LOCATION", HistoricKey::LogLocation),
    ("LOG_LEVEL", HistoricKey::LogLevel),
    ("STATUS_SOCKET_LOCATION", HistoricKey::StatusSocketLocation),
    ("TOR_ADDRESS", HistoricKey::TorAddress),
    ("TOR_PORT", HistoricKey::TorPort),
    ("TOR_CONTROL_SOCKET", HistoricKey::TorControlSocket),
    ("REPLICAS", HistoricKey::Replicas),
    ("replicas", HistoricKey::Replicas),
    ("HSDIR_SET", HistoricKey::HsdirSet),
    ("DESCRIPTOR_OVERLAP_PERIOD", HistoricKey::DescriptorOverlapPeriod),
    ("descriptor_overlap_period", HistoricKey::DescriptorOverlapPeriod),
    ("DESCRIPTOR_VALIDITY_PERIOD", HistoricKey::DescriptorValidityPeriod),
    ("descriptor_validity_period", HistoricKey::DescriptorValidityPeriod),
    ("PUBLISH_CHECK_INTERVAL", HistoricKey::PublishCheckInterval),
];

/// Settings for the balancer's pace, and for the shape of the descriptors that it publishes. `None`: the
/// balancer's default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tuning {
    /// The interval at which a backend's descriptor is fetched.
    pub refresh: Option<Duration>,
    /// The longest time for which a service's first publication waits for missing backends.
    pub initial_delay: Option<Duration>,
    /// The interval at which unchanged descriptors of a v2 service are republished.
    pub upload_period: Option<Duration>,
    /// The most introduction points of a v2 service's descriptor, 1 to [`MAX_POINTS`].
    pub max_points_v2: Option<usize>,
    /// True: each HSDir may get introduction points of its own.
    pub distinct: bool,
    /// The number of posts of v3 descriptors after which a tor is due for a restart, at least 1. `None`: it
    /// never is.
    pub tor_restart_hint: Option<u64>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            refresh: None,
            initial_delay: None,
            upload_period: None,
            max_points_v2: None,
            distinct: true,
            tor_restart_hint: None,
        }
    }
}

impl Tuning {
    /// True if v2 services are published differently than with the defaults.
    pub(super) fn differs_for_v2(&self) -> bool {
        self.upload_period.is_some_and(|period| period.as_secs() != UPLOAD_PERIOD)
            || self.max_points_v2.is_some_and(|most| most != MAX_POINTS)
    }
}

impl HistoricKey {
    /// The key of this name; `None` if there is none.
    pub(super) fn named(name: &str) -> Option<Self> {
        KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
    }

    /// The names of all keys.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|(name, _)| *name)
    }

    /// Reads the value into `config`. `name` is the key as it is written in the file.
    pub(super) fn read<'de, A: MapAccess<'de>>(
        self,
        name: &str,
        map: &mut A,
        config: &mut Config,
    ) -> Result<(), A::Error> {
        const SECONDS: &str = "a whole number of seconds, such as 600";
        const PATH: &str = "a path";
        const HOST: &str = "an IP address, such as 127.0.0.1 or ::1, or a host name";
        let warnings = &mut config.warnings;
        let mut values = Values { name, map, warnings };
        match self {
            Self::RefreshInterval => config.tuning.refresh = values.next(seconds, SECONDS)?,
            Self::InitialDelay => config.tuning.initial_delay = values.next(seconds, SECONDS)?,
            Self::DescriptorUploadPeriod => config.tuning.upload_period = values.next(seconds, SECONDS)?,
            Self::MaxIntroPoints => {
                let most = values.next(number, "a whole number from 1 to 10")?;
                config.tuning.max_points_v2 = most.map(|most| values.at_most_max_points(most));
            }
            Self::DistinctDescriptors => {
                config.tuning.distinct = values.next(switch, "True or False")?.unwrap_or(true);
            }
            Self::LogLocation => config.log.location = values.next(text, PATH)?.map(Into::into),
            Self::LogLevel => {
                config.log.level = values.next(level, "debug, info, warning, error or critical")?;
            }
            Self::StatusSocketLocation => {
                config.status_text_socket = values.next(text, PATH)?.map(Into::into);
            }
            Self::TorAddress => config.tor.address = values.next_parsed(HOST)?,
            Self::TorPort => config.tor.port = values.next(port, "a port from 1 to 65535")?,
            Self::TorControlSocket => config.tor.socket = values.next_parsed(PATH)?,
            Self::Replicas => values.without_effect(2, "tor's clients look for 2 replicas")?,
            Self::HsdirSet => values.without_effect(3, "tor's clients ask 3 HSDirs")?,
            Self::DescriptorOverlapPeriod => {
                values.without_effect(
                    3600,
                    "the next period's descriptors are published in the hour before it",
                )?;
            }
            Self::DescriptorValidityPeriod => {
                values.without_effect(86400, "tor's periods are always one day")?;
            }
            Self::PublishCheckInterval => {
                values.without_effect(300, "changes are published when they are seen")?;
            }
        }
        Ok(())
    }
}

/// The value of one key, with the warnings about it.
struct Values<'a, A> {
    name: &'a str,
    map: &'a mut A,
    warnings: &'a mut Vec<String>,
}

impl<'de, A: MapAccess<'de>> Values<'_, A> {
    /// The value; `None` for a value that Onionbalance took for not set. Fails with `write ...` for any other
    /// value that has no `meaning`.
    fn next<T>(
        &mut self,
        meaning: impl FnOnce(Scalar<'_>) -> Option<T>,
        write: &'static str,
    ) -> Result<Option<T>, A::Error> {
        self.read(|scalar| Ok(meaning(scalar)), write)
    }

    /// The value of a text. Fails with the error of `T`'s own parser.
    fn next_parsed<T: FromStr<Err: Display>>(&mut self, write: &'static str) -> Result<Option<T>, A::Error> {
        let parse = |text: String| text.parse().map_err(|error: T::Err| error.to_string());
        self.read(|scalar| text(scalar).map(parse).transpose(), write)
    }

    fn read<T>(
        &mut self,
        meaning: impl FnOnce(Scalar<'_>) -> Result<Option<T>, String>,
        write: &'static str,
    ) -> Result<Option<T>, A::Error> {
        Ok(match self.map.next_value_seed(Reading { meaning, write })? {
            Setting::To(value) => Some(value),
            Setting::Nothing => None,
            Setting::Zero => {
                self.warn("0 means not set, as in Onionbalance 0.1.8");
                None
            }
        })
    }

    /// Warns about a number other than the one that is in effect in any case.
    fn without_effect(&mut self, in_effect: u64, why: &str) -> Result<(), A::Error> {
        let reading = Reading {
            meaning: |value: Scalar<'_>| Ok(number(value)),
            write: "a whole number, or remove the key: it has no effect",
        };
        if matches!(self.map.next_value_seed(reading)?, Setting::To(value) if value != in_effect) {
            self.warn(&format!("has no effect: {why}"));
        }
        Ok(())
    }

    fn at_most_max_points(&mut self, most: u64) -> usize {
        usize::try_from(most).ok().filter(|most| *most <= MAX_POINTS).unwrap_or_else(|| {
            self.warn(&format!("is reduced to {MAX_POINTS}: tor's clients refuse descriptors with more"));
            MAX_POINTS
        })
    }

    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{}: {what}", self.name));
    }
}

/// At most `u32::MAX` seconds (136 years), so that no sum of times overflows.
fn seconds(value: Scalar<'_>) -> Option<Duration> {
    number(value)
        .and_then(|number| u32::try_from(number).ok())
        .map(|number| Duration::from_secs(number.into()))
}

fn port(value: Scalar<'_>) -> Option<u16> {
    number(value).and_then(|number| number.try_into().ok())
}

fn text(value: Scalar<'_>) -> Option<String> {
    match value {
        Scalar::Text(text) if !text.is_empty() => Some(text.to_owned()),
        _ => None,
    }
}

fn level(value: Scalar<'_>) -> Option<LogLevel> {
    match value {
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// A switch, also in the words of YAML 1.1, which Onionbalance's parser accepted.
fn switch(value: Scalar<'_>) -> Option<bool> {
    match value {
        Scalar::Switch(switch) => Some(switch),
        Scalar::Text(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" => Some(true),
            "no" | "off" | "false" => Some(false),
            _ => None,
        },
        Scalar::Number(_) => None,
    }
}
