//! The keys of Onionbalance up to 0.1.8: its first version wrote them in lower case, the later ones in upper case. The 0.2
//! series passed over them in silence, and generated files still hold them.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::de::MapAccess;

use super::Config;
use super::level::LogLevel;
use super::scalar::{Reading, Scalar, Setting};
use crate::v2::document::MAX_POINTS;

/// Seconds after which 0.1.8 published an unchanged descriptor anew.
const UPLOAD_PERIOD: u64 = 3600;

/// Such a key. `TOR_CONTROL_PASSWORD` is not among them, because it is the same as `tor-control-password`.
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

/// What the file says about the balancer's pace, and about the shape of what it publishes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tuning {
    /// How often to look at a backend.
    pub refresh: Option<Duration>,
    /// How long a service's first publication waits for backends that are missing.
    pub initial_delay: Option<Duration>,
    /// When to publish a v2 service's descriptors anew that have not changed.
    pub upload_period: Option<Duration>,
    /// The most introduction points of a v2 service's descriptor, 1 to [`MAX_POINTS`].
    pub max_points_v2: Option<usize>,
    /// Whether each HSDir may get introduction points of its own.
    pub distinct: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { refresh: None, initial_delay: None, upload_period: None, max_points_v2: None, distinct: true }
    }
}

impl Tuning {
    /// Whether v2 services get anything else than without it.
    pub(super) fn differs_for_v2(&self) -> bool {
        self.upload_period.is_some_and(|period| period.as_secs() != UPLOAD_PERIOD)
            || self.max_points_v2.is_some_and(|most| most != MAX_POINTS)
    }
}

impl HistoricKey {
    /// The key of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "REFRESH_INTERVAL" | "refresh" => Self::RefreshInterval,
            "INITIAL_DELAY" => Self::InitialDelay,
            "DESCRIPTOR_UPLOAD_PERIOD" | "descriptor_upload_period" => Self::DescriptorUploadPeriod,
            "MAX_INTRO_POINTS" | "max_intro_points" => Self::MaxIntroPoints,
            "DISTINCT_DESCRIPTORS" => Self::DistinctDescriptors,
            "LOG_LOCATION" => Self::LogLocation,
            "LOG_LEVEL" => Self::LogLevel,
            "STATUS_SOCKET_LOCATION" => Self::StatusSocketLocation,
            "TOR_ADDRESS" => Self::TorAddress,
            "TOR_PORT" => Self::TorPort,
            "TOR_CONTROL_SOCKET" => Self::TorControlSocket,
            "REPLICAS" | "replicas" => Self::Replicas,
            "HSDIR_SET" => Self::HsdirSet,
            "DESCRIPTOR_OVERLAP_PERIOD" | "descriptor_overlap_period" => Self::DescriptorOverlapPeriod,
            "DESCRIPTOR_VALIDITY_PERIOD" | "descriptor_validity_period" => Self::DescriptorValidityPeriod,
            "PUBLISH_CHECK_INTERVAL" => Self::PublishCheckInterval,
            _ => return None,
        })
    }

    /// Reads the value into `config`. `name` is the key as it is written.
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
            Self::Replicas => values.without_effect(2, "tor's clients look for 2, no more and no less")?,
            Self::HsdirSet => values.without_effect(3, "tor's clients ask these 3 HSDirs, and no others")?,
            Self::DescriptorOverlapPeriod => {
                values.without_effect(
                    3600,
                    "the next period's descriptors are published in the hour before it",
                )?;
            }
            Self::DescriptorValidityPeriod => {
                values.without_effect(86400, "tor's periods are days, whatever a balancer is told")?;
            }
            Self::PublishCheckInterval => {
                values.without_effect(300, "changes are published when they are seen")?;
            }
        }
        Ok(())
    }
}

/// The value of one key, and what there is to say about it.
struct Values<'a, A> {
    name: &'a str,
    map: &'a mut A,
    warnings: &'a mut Vec<String>,
}

impl<'de, A: MapAccess<'de>> Values<'_, A> {
    /// The value, if it is one that Onionbalance did not pass over.
    fn next<T>(
        &mut self,
        meaning: impl FnOnce(Scalar<'_>) -> Option<T>,
        write: &'static str,
    ) -> Result<Option<T>, A::Error> {
        self.read(|scalar| Ok(meaning(scalar)), write)
    }

    /// The value of a text, which says itself what is wrong with it.
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
                self.warn("0 is taken as not set, as Onionbalance took it");
                None
            }
        })
    }

    /// A number other than the one that is in effect anyway is not what the operator gets.
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
            self.warn(&format!("is taken as {MAX_POINTS}: tor's clients refuse descriptors with more"));
            MAX_POINTS
        })
    }

    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{}: {what}", self.name));
    }
}

fn number(value: Scalar<'_>) -> Option<u64> {
    match value {
        Scalar::Number(number) if number > 0 => Some(number),
        _ => None,
    }
}

/// Up to 136 years, so that no sum of times overflows.
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

/// Also in the words of YAML 1.1, which Onionbalance's parser took.
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
