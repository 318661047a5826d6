//! The request of a client and its answer, a line of JSON each.

use std::fmt;

use onionbalance_proto::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::plural::count;

/// The longest request with its line end, in bytes.
pub(crate) const MAX_REQUEST_LEN: usize = 4 << 10;
/// The longest drain with an end, in seconds: 30 days.
pub(crate) const MAX_DRAIN_SECS: u64 = 30 * 24 * 60 * 60;

/// A request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Request {
    /// The name or the address of a backend.
    pub(crate) backend: String,
    /// The name or the address of the only service that is meant; `None`: all that list the backend.
    #[serde(default)]
    pub(crate) service: Option<String>,
    pub(crate) command: Command,
}

/// The command of a request.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) enum Command {
    /// To send it no more visitors.
    Drain {
        /// The time after which that ends by itself, from 1 to [`MAX_DRAIN_SECS`]; `None`: it does not.
        #[serde(default)]
        seconds: Option<u64>,
        /// True: even if no other backend is live.
        #[serde(default)]
        force: bool,
    },
    /// To end its drain.
    Enable,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// The request was carried out.
    #[serde(rename_all = "camelCase")]
    Done {
        /// The outcome for each service that was meant.
        services: Vec<Outcome>,
        /// The reason for which a restart may undo it; `None` if the state file has it.
        not_kept: Option<String>,
    },
    /// Nothing was changed, for this reason.
    Refused(String),
}

/// The outcome of a request for one service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// The service's name, else its address.
    pub(crate) service: String,
    /// The backend's name, else its address.
    pub(crate) backend: String,
    pub(crate) effect: Effect,
    /// The number of the service's backends that are live and not drained now.
    pub(crate) serving: usize,
    /// The number of all its backends.
    pub(crate) backends: usize,
}

/// The effect of a request on a backend of a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Effect {
    /// It is drained now.
    Drained {
        /// The time at which that ends by itself, in seconds since 1970; `None`: it does not.
        until: Option<u64>,
    },
    /// Its drain was ended.
    Enabled,
    /// It was not drained.
    NotDrained,
    /// Its weight is 0 in the configuration, which no command changes.
    WeightIsZero,
}

/// One line for a person.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, backend, effect, serving, backends } = self;
        write!(f, "{backend} ({service}): ")?;
        match effect {
            Effect::Drained { until: Some(until) } => write!(f, "drained until {} UTC", UnixTime(*until))?,
            Effect::Drained { until: None } => f.write_str("drained until it is enabled")?,
            Effect::Enabled => f.write_str("enabled")?,
            Effect::NotDrained => f.write_str("was not drained by command")?,
            Effect::WeightIsZero => {
                f.write_str("its weight is 0 in the configuration: give it another one there, and reload")?;
            }
        }
        match (serving, effect) {
            (0, Effect::Drained { .. }) => f.write_str("; no other one is live, so that drained ones serve"),
            _ => write!(f, "; {serving} of {} serve", count(*backends, "backend")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_have_a_form_that_stays() {
        let drain = r#"{"backend":"web3","service":null,"command":{"drain":{"seconds":7200,"force":false}}}"#;
        let request: Request = serde_json::from_str(drain).unwrap();
        assert_eq!(request.command, Command::Drain { seconds: Some(7200), force: false });
        assert_eq!(serde_json::to_string(&request).unwrap(), drain);
        let short: Request = serde_json::from_str(r#"{"backend":"web3","command":{"drain":{}}}"#).unwrap();
        assert_eq!(short.command, Command::Drain { seconds: None, force: false });
        let enable: Request =
            serde_json::from_str(r#"{"backend":"web3","service":"shop","command":"enable"}"#).unwrap();
        assert_eq!((enable.command, enable.service.as_deref()), (Command::Enable, Some("shop")));
        assert!(serde_json::from_str::<Request>(r#"{"backend":"a","command":"drain","for":1}"#).is_err());
        let refused = Answer::Refused("no".to_owned());
        assert_eq!(serde_json::to_string(&refused).unwrap(), r#"{"refused":"no"}"#);
    }

    #[test]
    fn an_outcome_is_one_line() {
        let outcome = |effect, serving| {
            let (service, backend) = ("shop".to_owned(), "web3".to_owned());
            Outcome { service, backend, effect, serving, backends: 3 }.to_string()
        };
        for (effect, serving, wanted) in [
            (
                Effect::Drained { until: Some(1_796_090_400) },
                2,
                "web3 (shop): drained until 2026-12-01 02:00:00 UTC; 2 of 3 backends serve",
            ),
            (
                Effect::Drained { until: None },
                0,
                "web3 (shop): drained until it is enabled; no other one is live, so that drained ones serve",
            ),
            (Effect::Enabled, 3, "web3 (shop): enabled; 3 of 3 backends serve"),
            (Effect::NotDrained, 1, "web3 (shop): was not drained by command; 1 of 3 backends serve"),
        ] {
            assert_eq!(outcome(effect, serving), wanted);
        }
    }
}
