//! The health check of a backend.

mod written;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) use self::written::of_service;

use super::Service;

/// A health check: the probe that is made, and the results by which a backend counts as unwell.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HealthCheck {
    /// The port of the backend's onion service that a probe connects to, 1 to 65535.
    pub port: u16,
    /// The demand of a probe.
    pub kind: ProbeKind,
    /// The time between the beginnings of two probes, without jitter; 10 s at the least.
    pub interval: Duration,
    /// The time after which a probe without an answer has failed.
    pub timeout: Duration,
    /// The failures in a row after which the backend is unwell; 1 at the least.
    pub fall: u8,
    /// The successes in a row after which an unwell backend is well again; 1 at the least.
    pub rise: u8,
}

/// The health check that one backend is to have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Checking {
    /// That of its service, if the service has one.
    #[default]
    OfService,
    /// None.
    Off,
    /// One of its own, in place of its service's.
    Own(Box<HealthCheck>),
}

impl Checking {
    /// The health check of a backend of a service that has `of_service`; `None`: the backend has none.
    pub fn effective<'a>(&'a self, of_service: Option<&'a HealthCheck>) -> Option<&'a HealthCheck> {
        match self {
            Self::OfService => of_service,
            Self::Off => None,
            Self::Own(check) => Some(check),
        }
    }
}

/// The timeout below which a backend that is well may often fail: making the circuits takes tor some seconds.
const SHORT: Duration = Duration::from_secs(5);

/// A warning for each service with a check whose timeout is short.
pub(super) fn warnings(services: &[Service]) -> Vec<String> {
    let short = services.iter().filter_map(|service| {
        let shortest = service.health_checks().map(|check| check.timeout).min()?;
        (shortest < SHORT).then_some((&service.key, shortest.as_secs()))
    });
    let warning = |(key, seconds)| {
        format!(
            "health-check: the service with the key {key} has a timeout of {seconds} s, in which tor often does not \
             make the circuits to a backend that is well: write 20s"
        )
    };
    short.map(warning).collect()
}

/// The demand of a probe on a backend.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ProbeKind {
    /// It accepts a connection.
    Connect,
    /// It answers an HTTP/1.1 request.
    Http(HttpProbe),
}

/// The HTTP/1.1 request of a probe, `GET`, and the answer that it wants.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HttpProbe {
    /// The request's target: an absolute path, with or without a query.
    pub path: String,
    /// The value of the request's `Host` header; `None`: the frontend's address.
    pub host: Option<String>,
    /// The status codes of a backend that is well, each 100 to 599.
    pub expect: StatusCodes,
    /// The text that the body must contain; `None`: any body will do.
    pub body: Option<String>,
}

/// A range of HTTP status codes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatusCodes {
    first: u16,
    last: u16,
}

impl StatusCodes {
    /// The codes from `first` to `last`; `None` unless 100 <= `first` <= `last` <= 599.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (100 <= first && first <= last && last <= 599).then_some(Self { first, last })
    }

    /// The codes of this range.
    pub fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl Default for StatusCodes {
    /// Success, and redirections: 200 to 399.
    fn default() -> Self {
        Self { first: 200, last: 399 }
    }
}

impl fmt::Display for StatusCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}
