//! The JSON object of the status. It has the keys of Onionbalance 0.2, so that programs that read those can
//! read it, and further ones. Readers have to skip keys that they do not know. `docs/status.schema.json`
//! describes it.

mod health_check;
mod service;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::health_check::{HealthCheck, HealthState};
pub(super) use self::service::{Answers, DrainedBy, Fetches, Uploads};
pub use self::service::{Descriptor, Hsdir, Instance, InstanceState, Received, Service, Upload, Which};
use super::moment::Moment;
use super::problem::Problem;
use super::verdict::Health;

/// The number of the object's form. It counts up when a key changes its meaning.
pub const SCHEMA: u32 = 1;

/// The status of a balancer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The balancer's version.
    pub version: String,
    /// The commit of the balancer's build; null if the build did not name it.
    #[serde(default)]
    pub commit: Option<String>,
    /// The time of this report.
    pub time: Moment,
    /// The time at which the balancer began.
    pub started_at: Moment,
    /// The health of everything.
    pub health: Health,
    /// The health in a line.
    pub summary: String,
    /// The problems, those of greater severity first.
    pub problems: Vec<Problem>,
    /// The configuration; null if the balancer does not name it.
    #[serde(default)]
    pub configuration: Option<Configuration>,
    /// The balancer's process.
    #[serde(default)]
    pub process: Process,
    /// The signer.
    pub signer: Signer,
    /// The tors.
    pub tors: Vec<Tor>,
    /// The services.
    pub services: Vec<Service>,
    /// The events of the last day, the latest first; 500 of each tor at most.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// The configuration that is in force, and the last reload.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The path of its file.
    pub file: String,
    /// The time at which it was read.
    pub loaded_at: Moment,
    /// The last reload; null before the first.
    pub last_reload: Option<Reload>,
}

/// A reload.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reload {
    /// The time of the reload.
    pub at: Moment,
    /// True if the new configuration is in force.
    pub ok: bool,
    /// The reason for which it was refused; null if it was not.
    pub error: Option<String>,
}

/// The use of the machine by the balancer's process.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The processor time since its start, in seconds.
    pub cpu_seconds: f64,
    /// The most memory that it has had at a time, in bytes.
    pub max_resident_bytes: u64,
}

/// An event.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The time of the event.
    pub at: Moment,
    /// The kind of event: a name that keeps its meaning.
    pub id: String,
    /// True if something did not work, or if an operator should act.
    pub warning: bool,
    /// The address of the service that it is about; null if it is about none, or about all.
    pub service: Option<String>,
    /// The address of the backend that it is about; null if it is about none.
    pub instance: Option<String>,
    /// One sentence about what happened, without a full stop.
    pub text: String,
}

/// The signer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// True if it answered the last question.
    pub connected: bool,
    /// The time of the first question without an answer; null if it is connected.
    pub away_since: Option<Moment>,
    /// The reason for which the last question got no answer; null if it is connected.
    pub last_error: Option<String>,
    /// The descriptors that it has signed since the start; all replicas and sets of one count as one.
    pub signed: u64,
    /// The descriptors that it refused to sign.
    pub refused: u64,
    /// The descriptors for which it did not answer, or whose texts clients could not use.
    pub failed: u64,
    /// The time that all these took, in milliseconds.
    pub took_milliseconds: u64,
    /// The times that these took.
    #[serde(default)]
    pub durations: Durations,
}

/// Durations, counted by buckets.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// The upper bounds of the buckets, in seconds.
    pub bounds: Vec<f64>,
    /// The number of durations in each bucket, and at the end of those that are longer than the last bound.
    pub counts: Vec<u64>,
    /// The sum of all durations, in seconds.
    pub sum_seconds: f64,
}

/// One tor, and its load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tor {
    /// The places of its control port, in the order in which they are tried.
    pub control_ports: Vec<String>,
    /// True if it takes commands.
    pub ready: bool,
    /// The time at which that changed.
    pub since: Moment,
    /// Its version; null before it was first reached.
    #[serde(default)]
    pub version: Option<String>,
    /// The progress of its bootstrap in percent, 100 if it takes commands; null while it is not reached.
    #[serde(default)]
    pub bootstrap: Option<u8>,
    /// The reason for which it takes no commands; null if it does.
    #[serde(default)]
    pub last_error: Option<String>,
    /// The number of times that it was lost and reached again since the balancer's start.
    #[serde(default)]
    pub reconnects: u64,
    /// The number of HSDirs in its consensus; null before the first.
    #[serde(default)]
    pub hsdirs: Option<usize>,
    /// The time from which on its consensus is valid; null before the first.
    #[serde(default)]
    pub consensus_valid_after: Option<Moment>,
    /// The time until which its consensus is valid; null before the first.
    #[serde(default)]
    pub consensus_valid_until: Option<Moment>,
    /// The time by which this machine's clock is behind the consensus, in seconds. A clock that is ahead does
    /// not show: it makes the consensus old.
    #[serde(default)]
    pub clock_behind_seconds: u64,
    /// The requests that are outstanding, one circuit each.
    pub in_flight: usize,
    /// The largest number of these.
    pub most_in_flight: usize,
    /// The backends that wait to be looked for.
    pub fetches_waiting: usize,
    /// The descriptors that wait to be posted.
    pub uploads_waiting: usize,
    /// The descriptors that wait to be read back from an HSDir.
    pub read_backs_waiting: usize,
    /// The longest wait of these, in seconds.
    pub longest_wait_seconds: u64,
    /// The time for which there has been more to do than this tor can, in seconds; null if there is not.
    pub behind_for_seconds: Option<u64>,
    /// Posts (HSPOST) of version-3 descriptors since tor's start, or since the balancer's if that was later.
    pub posts_since_start: u64,
    /// Posts within the last `posts_last_day_seconds`, a day at most.
    pub posts_last_day: u64,
    /// The length of that time, in seconds.
    pub posts_last_day_seconds: u64,
    /// True if tor has taken as many posts since its start as `tor-restart-hint` allows.
    pub restart_due: bool,
}

impl Tor {
    /// The access to it in a word: `connected`, `starting` or `away`.
    pub fn access(&self) -> &'static str {
        match (self.ready, self.bootstrap) {
            (true, _) => "connected",
            (false, Some(_)) => "starting",
            (false, None) => "away",
        }
    }

    /// Its version, and its progress or the size of its network, as far as they are known.
    pub fn facts(&self) -> impl Iterator<Item = String> {
        let progress = if self.ready {
            self.hsdirs.map(|number| format!("{number} HSDirs"))
        } else {
            self.bootstrap.map(|percent| format!("at {percent} %"))
        };
        self.version.clone().into_iter().chain(progress)
    }
}

impl Report {
    /// The time from a moment to the report; 0 for a later moment.
    pub fn since(&self, at: Moment) -> Duration {
        Duration::from_secs(self.time.0.since(at.0))
    }

    /// The time from the report to a moment; 0 for an earlier moment.
    pub fn until(&self, at: Moment) -> Duration {
        Duration::from_secs(at.0.since(self.time.0))
    }

    /// The service with this name or address; `.onion` may be left out. `None` if there is none.
    pub fn service(&self, wanted: &str) -> Option<&Service> {
        let is_it = |service: &&Service| {
            let address = &service.onion_address;
            service.name.as_deref() == Some(wanted)
                || address == wanted
                || address.strip_suffix(".onion") == Some(wanted)
        };
        self.services.iter().find(is_it)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use onionbalance_proto::time::UnixTime;
    use serde_json::Value;

    use crate::engine::{BackendStatus, HsdirStatus, Notice, ServiceStatus, UploadProblem, UploadState};
    use crate::onion_version::ClientLine;
    use crate::runtime::{Loaded, RefusedReload, State};
    use crate::signer::Trouble;
    use crate::status::testing::{backend, descriptor, event, report, report_of, service, state_of, unwell};

    /// A state in which every key has a value.
    fn everything() -> State {
        let mut first = descriptor(7, 0, Some(60));
        let problem = Some(UploadProblem::Refused);
        let lacking = HsdirStatus { state: UploadState::Refused, problem, ..first.hsdirs[0].clone() };
        first.hsdirs.push(lacking);
        let status = ServiceStatus {
            descriptors: vec![first, descriptor(7, 1, None)],
            backends: vec![
                BackendStatus { health: Some(unwell("no answer in time")), ..backend("a.onion", Some(1)) },
                backend("b.onion", None),
            ],
            ..service("front.onion")
        };
        let mut shop = report(status, Some("shop"), &[("a.onion", "web1")]);
        shop.client_line = Some(ClientLine {
            frontend: "7s4hxwwifcslrus2".parse().unwrap(),
            cookie: "1LWjaYKD5ufodnNvVIZvpB".parse().unwrap(),
        });
        let since = tokio::time::Instant::now();
        let mut state = State {
            signer: Some(Trouble { since, problem: "it is away".to_owned() }),
            reload: Some(RefusedReload { since, problem: "a tab".to_owned() }),
            delegations: [("front.onion".into(), UnixTime(1_795_600_000))].into(),
            ..state_of(vec![shop])
        };
        state.configuration =
            Some(Loaded { file: "/etc/onionbalance/config.yaml".into(), at: since, is_reload: true });
        state.tors[0].history = vec![event(&Notice::BackendNotFound { backend: "b.onion".into() }, since)];
        state
    }

    /// The paths of all keys of a value.
    fn keys(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                let path = format!("{path}/{key}");
                keys(value, &path, into);
                into.insert(path);
            }),
            Value::Array(items) => items.iter().for_each(|item| keys(item, path, into)),
            _ => {}
        }
    }

    /// The paths of all keys that a schema describes.
    fn described(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
        for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{key}");
            described(of_key, &path, into);
            described(&of_key["items"], &path, into);
            into.insert(path);
        }
    }

    #[test]
    fn the_schema_describes_every_key() {
        let (mut found, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        let report = serde_json::to_value(report_of(&everything(), UnixTime(1_795_336_111))).unwrap();
        keys(&report, "", &mut found);
        let schema: Value =
            serde_json::from_str(include_str!("../../../../docs/status.schema.json")).unwrap();
        described(&schema, "", &mut wanted);
        assert_eq!(found, wanted);
        assert_eq!(schema["properties"]["schema"]["const"], super::SCHEMA);
    }
}
