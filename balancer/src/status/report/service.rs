//! The part of the report about a service: its descriptors, and its backends.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Durations;
use super::health_check::HealthCheck;
use crate::status::moment::Moment;
use crate::status::verdict::Health;

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
    /// The number of introduction points; the largest number if HSDirs have different sets of them.
    #[serde(default)]
    pub intro_points_num: usize,
    /// The number of different sets of introduction points.
    #[serde(default)]
    pub sets: usize,
    /// The size of its text in bytes, the largest one if there are several; null before it was signed.
    #[serde(default)]
    pub bytes: Option<usize>,
    /// The number of responsible HSDirs.
    pub hsdirs: usize,
    /// The number of these that have stored it.
    pub stored: usize,
    /// The time at which an HSDir last stored it; null if none has since the start.
    pub last_stored: Option<Moment>,
    /// The time since which an HSDir has lacked it; null if each has it.
    pub incomplete_since: Option<Moment>,
    /// The time at which an HSDir was last seen with a descriptor that another publisher has put there; null
    /// if none was.
    #[serde(default)]
    pub other_publisher_seen: Option<Moment>,
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
    /// The part of the service's visitors that the published introduction points give it, from 0 to 1: a
    /// client picks one of them by chance. Null if the service publishes none.
    pub share: Option<f64>,
    /// Its weight, from 0 to 100.
    #[serde(default = "one")]
    pub weight: u8,
    /// True if it is to get no visitors: by its weight or by command.
    #[serde(default)]
    pub drained: bool,
    /// Its state by the service's health check; left out if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// The cause of that; null if it is not drained.
    #[serde(default)]
    pub drained_by: Option<DrainedBy>,
    /// The time at which a drain by command ends by itself; null without one, or if it does not.
    #[serde(default)]
    pub drained_until: Option<Moment>,
    /// The last answers of the HSDirs that have been asked.
    pub answers: Answers,
    /// The fetches of its descriptor since the start.
    pub fetches: Fetches,
}

/// The cause for which a backend is drained.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DrainedBy {
    /// Its weight is 0 in the configuration.
    Weight,
    /// `onionbalance drain`.
    Command,
}

/// The weight of a backend of which an earlier balancer did not report it.
fn one() -> u8 {
    1
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
    /// It gets no visitors by its weight of 0 or by command, live or not.
    Drained,
    /// It is live, and its health check fails: it gets no visitors.
    Unwell,
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

    /// Its drain by command in words, with its end; `None` if it has none.
    pub fn drain_by_command(&self) -> Option<String> {
        let ends = match (self.drained_by?, self.drained_until) {
            (DrainedBy::Weight, _) => return None,
            (DrainedBy::Command, Some(until)) => format!("until {} UTC", until.0),
            (DrainedBy::Command, None) => "until it is enabled".to_owned(),
        };
        Some(format!("drained by command {ends}"))
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
            Self::Live | Self::Drained => Health::Ok,
            Self::Unknown => Health::Starting,
            Self::NotFound | Self::Unwell | Self::Gone => Health::Degraded,
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
            Self::Drained => "drained",
            Self::Unwell => "unwell",
            Self::Gone => "gone",
        })
    }
}
