//! The JSON object of the status. It has the keys of Onionbalance 0.2, so that programs that read those can
//! read it, and further ones. Readers have to skip keys that they do not know. `docs/status.schema.json`
//! describes it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// One service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its address.
    pub onion_address: String,
    /// Its name; left out if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its health.
    pub health: Health,
    /// The time of the last attempt to publish the descriptor of the earlier time period; null before the
    /// first.
    pub publish_attempt_first_descriptor: Option<Moment>,
    /// The time of the last attempt to publish the descriptor of the later time period; null before the
    /// first.
    pub publish_attempt_second_descriptor: Option<Moment>,
    /// The number of introduction points of its descriptors.
    pub intro_points_num: usize,
    /// The time since which all its backends have been gone while its last points stay published; null if
    /// they are not.
    pub all_gone_since: Option<Moment>,
    /// The time at which the signer's delegation ends; left out if the signer has the key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation_ends: Option<Moment>,
    /// The uploads of its descriptors since the start.
    pub uploads: Uploads,
    /// The times from the choice of its introduction points until a descriptor with them was at all its
    /// HSDirs. A renewal without a change is not counted.
    #[serde(default)]
    pub publications: Durations,
    /// The line that clients need in their torrc; left out if the service does not authorize its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_line: Option<String>,
    /// Its descriptors, the earlier period first.
    pub descriptors: Vec<Descriptor>,
    /// Its backends, in the order of the configuration.
    pub instances: Vec<Instance>,
}

/// The uploads of descriptors, one for each HSDir. Those in no count but the first are under way, or got no
/// answer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploads {
    /// Handed to tor.
    pub begun: u64,
    /// Acknowledged by the HSDir.
    pub acknowledged: u64,
    /// Refused by the HSDir.
    pub refused: u64,
    /// Did not reach the HSDir.
    pub failed: u64,
}

/// One descriptor of a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its place in the order of time periods.
    pub which: Which,
    /// The number of its time period.
    pub time_period: u64,
    /// The beginning of that period; null before the first consensus.
    pub period_begins: Option<Moment>,
    /// The end of that period; null before the first consensus.
    pub period_ends: Option<Moment>,
    /// The replica; left out if all replicas are the same document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<u8>,
    /// The greatest revision counter that it was given; null before the first.
    pub revision: Option<u64>,
    /// The number of responsible HSDirs.
    pub hsdirs: usize,
    /// The number of these that have stored it.
    pub stored: usize,
    /// The time at which an HSDir last stored it; null if none has since the start.
    pub last_stored: Option<Moment>,
    /// The time since which an HSDir has lacked it; null if each has it.
    pub incomplete_since: Option<Moment>,
    /// The time at which it will be renewed; null if that is not planned.
    pub next_publication: Option<Moment>,
    /// The responsible HSDirs, in the order of their fingerprints.
    pub hsdir_states: Vec<Hsdir>,
}

/// The place of a descriptor in the order of time periods. Two are published at a time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Which {
    /// That of the earlier time period.
    First,
    /// That of the later one.
    Second,
}

/// One HSDir of a descriptor.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hsdir {
    /// Its fingerprint, 40 hexadecimal digits.
    pub fingerprint: String,
    /// Its place on the ring of the descriptor's time period: a part of the way round, from 0 to 1. Null if
    /// the present consensus does not list it, and before the first.
    pub place: Option<f64>,
    /// The state of the upload.
    pub state: Upload,
    /// The number of uploads that have failed in a row.
    pub failures: u32,
    /// The greatest revision counter that it acknowledged; null before the first.
    pub revision: Option<u64>,
    /// The reason for which the last try has failed, a part of a sentence; null without one, or if it has
    /// stored the descriptor since.
    pub last_error: Option<Cow<'static, str>>,
}

/// The state of an upload to an HSDir.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Upload {
    /// It has to be uploaded.
    Pending,
    /// It is being signed.
    Signing,
    /// It is being uploaded.
    Uploading,
    /// The HSDir has acknowledged it, which is not proven yet.
    Acknowledged,
    /// The HSDir has stored it.
    Stored,
    /// The HSDir has refused it.
    Refused,
    /// Tor does not know this relay.
    UnknownToTor,
}

/// One backend. Onionbalance calls it an instance.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its address.
    pub onion_address: String,
    /// Its name; left out if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its descriptor. Onionbalance gives an instance that it has not received another shape.
    #[serde(flatten)]
    pub received: Received,
    /// The state by which it serves or not.
    pub state: InstanceState,
    /// The time since which it has been missing; null if it is there, or was not looked for yet.
    pub missing_since: Option<Moment>,
    /// The time at which an HSDir was last asked for its descriptor; null before the first.
    pub last_look: Option<Moment>,
    /// Its part of the service's introduction points, from 0 to 1: a client picks one of them by chance. Null
    /// if not all points of live backends are listed.
    pub share: Option<f64>,
    /// The last answers of the HSDirs that have been asked.
    pub answers: Answers,
    /// The fetches of its descriptor since the start.
    pub fetches: Fetches,
}

/// The fetches of a backend's descriptor, one for each HSDir. Those in no count but the first are under way,
/// or got no answer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetches {
    /// Handed to tor.
    pub begun: u64,
    /// Gave a valid descriptor.
    pub copy: u64,
    /// The HSDir has none.
    pub not_found: u64,
    /// Did not reach the HSDir.
    pub failed: u64,
    /// Gave a descriptor that is not valid.
    pub invalid: u64,
}

/// The newest descriptor of a backend.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Received {
    /// There is one.
    #[serde(rename_all = "camelCase")]
    Yes {
        /// The time at which it was first seen.
        descriptor_received: Moment,
        /// The time at which the introduction points were seen to change.
        intro_set_modified: Moment,
        /// The number of introduction points.
        intro_points_num: usize,
        /// True if they are published.
        live: bool,
    },
    /// There is none.
    No {
        /// Always null.
        received: Option<Moment>,
    },
}

/// The state by which a backend serves or not.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InstanceState {
    /// It has not been looked for yet.
    Unknown,
    /// It was looked for, and not found.
    NotFound,
    /// It serves.
    Live,
    /// It was live, and does not serve any more.
    Gone,
}

/// The numbers of HSDirs whose last answer was such.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answers {
    /// A valid descriptor.
    pub copy: usize,
    /// No descriptor.
    pub not_found: usize,
    /// A failure.
    pub failed: usize,
    /// A descriptor that is not valid.
    pub invalid: usize,
    /// No answer in time.
    pub silent: usize,
}

/// As in the JSON object.
impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
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

impl Descriptor {
    /// The responsible HSDirs that have not stored it.
    pub fn lacking(&self) -> impl Iterator<Item = &Hsdir> {
        self.hsdir_states.iter().filter(|hsdir| hsdir.state != Upload::Stored)
    }
}

impl Upload {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pending => "to be uploaded",
            Self::Signing => "being signed",
            Self::Uploading => "being uploaded",
            Self::Acknowledged => "acknowledged, not proven yet",
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::UnknownToTor => "unknown to tor",
        }
    }
}

impl Service {
    /// The text by which people refer to it: its name, else its address.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.onion_address)
    }
}

impl Instance {
    /// The text by which people refer to it: its name, else its address.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.onion_address)
    }

    /// The number of its introduction points that are published; `None` if it does not serve.
    pub fn live_points(&self) -> Option<usize> {
        match self.received {
            Received::Yes { intro_points_num, live: true, .. } => Some(intro_points_num),
            Received::Yes { .. } | Received::No { .. } => None,
        }
    }

    /// The time since which it has these introduction points, or has been missing; `None` if it was not looked
    /// for yet.
    pub fn changed(&self) -> Option<Moment> {
        match self.received {
            Received::Yes { intro_set_modified, live: true, .. } => Some(intro_set_modified),
            Received::Yes { .. } | Received::No { .. } => self.missing_since,
        }
    }
}

impl InstanceState {
    /// The health of the backend by itself.
    pub fn health(self) -> Health {
        match self {
            Self::Live => Health::Ok,
            Self::Unknown => Health::Starting,
            Self::NotFound | Self::Gone => Health::Degraded,
        }
    }
}

/// For people.
impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::NotFound => "not found",
            Self::Live => "live",
            Self::Gone => "gone",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use onionbalance_proto::time::UnixTime;
    use serde_json::Value;

    use crate::engine::{HsdirStatus, Notice, ServiceStatus, UploadProblem, UploadState};
    use crate::onion_version::ClientLine;
    use crate::runtime::{RefusedReload, State};
    use crate::signer::Trouble;
    use crate::status::testing::{backend, descriptor, event, report, report_of, service, state_of};

    /// A state in which every key has a value.
    fn everything() -> State {
        let mut first = descriptor(7, 0, Some(60));
        let problem = Some(UploadProblem::Refused);
        let lacking = HsdirStatus { state: UploadState::Refused, problem, ..first.hsdirs[0].clone() };
        first.hsdirs.push(lacking);
        let status = ServiceStatus {
            descriptors: vec![first, descriptor(7, 1, None)],
            backends: vec![backend("a.onion", Some(1)), backend("b.onion", None)],
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
        let schema: Value = serde_json::from_str(include_str!("../../../docs/status.schema.json")).unwrap();
        described(&schema, "", &mut wanted);
        assert_eq!(found, wanted);
        assert_eq!(schema["properties"]["schema"]["const"], super::SCHEMA);
    }
}
