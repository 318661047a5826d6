//! The engine's state as plain data, for a status socket or a log.
//!
//! Times are ages by the monotonic clock, which steps of the wall clock do not change.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::drains::Drain;
use super::event::ProbeOutcome;
use super::id::{BackendId, DescriptorSlot, ServiceId, Source};

/// The requests that are outstanding at tor, and those that wait.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Load {
    /// The number of requests that are outstanding at tor, each of which takes a circuit.
    pub in_flight: usize,
    /// The largest number of these.
    pub most_in_flight: usize,
    /// The number of descriptors that wait to be posted.
    pub posts_waiting: usize,
    /// The number of backends that wait to be looked for.
    pub looks_waiting: usize,
    /// The number of our descriptors that wait to be read back from an HSDir.
    pub read_backs_waiting: usize,
    /// The number of probes that wait. They do not count for `longest_wait`: probes are made less often if
    /// there are too many.
    pub probes_waiting: usize,
    /// The longest time for which one of these has waited; 0 if nothing waits.
    pub longest_wait: Duration,
    /// The time since [`Notice::Behind`](super::Notice::Behind); `None` without one, or after
    /// [`Notice::CaughtUp`](super::Notice::CaughtUp).
    pub behind_for: Option<Duration>,
}

impl Load {
    /// The number of requests that wait.
    pub fn waiting(&self) -> usize {
        self.posts_waiting + self.looks_waiting + self.read_backs_waiting
    }
}

/// The state of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    /// The service's name.
    pub service: ServiceId,
    /// The number of introduction points that its descriptors list together; 0 if there is nothing to
    /// publish.
    pub points: usize,
    /// The time for which all its backends have been gone while the last set stays published; `None` if they
    /// are not.
    pub stale_for: Option<Duration>,
    /// The time for which drained backends have served because no other one is live; `None` if they do not.
    pub drained_serve_for: Option<Duration>,
    /// The time for which unwell backends have served because the probes of all fail; `None` if they do not.
    pub unwell_serve_for: Option<Duration>,
    /// Its descriptors, the earlier period first.
    pub descriptors: Vec<DescriptorStatus>,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<BackendStatus>,
}

/// The state of one of a service's descriptors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DescriptorStatus {
    /// The slot of the descriptor.
    pub slot: DescriptorSlot,
    /// The time since it was last published, even if to some of its HSDirs only; `None` before that.
    pub published_ago: Option<Duration>,
    /// The time since an HSDir last acknowledged it, with proof if that is needed; `None`: none has since the
    /// start.
    pub stored_ago: Option<Duration>,
    /// The time for which an HSDir has lacked its set; `None` if each has its own, or if none is chosen yet.
    pub incomplete_for: Option<Duration>,
    /// The time until it is renewed; 0 if that is due, `None` if it is not planned.
    pub renewal_in: Option<Duration>,
    /// The greatest revision counter that it was given; `None` before the first.
    pub revision: Option<u64>,
    /// The number of different sets of introduction points; 0 before they are chosen.
    pub sets: usize,
    /// The number of introduction points in the largest of these.
    pub points: usize,
    /// The time since a descriptor of another publisher was last seen at one of its HSDirs; `None` if none
    /// was.
    pub other_ago: Option<Duration>,
    /// The responsible HSDirs, in the order of their fingerprints.
    pub hsdirs: Vec<HsdirStatus>,
}

/// One HSDir of one descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HsdirStatus {
    /// The HSDir's fingerprint.
    pub hsdir: Fingerprint,
    /// The state of the present set of introduction points there.
    pub state: UploadState,
    /// The greatest revision counter that it acknowledged; `None` before the first.
    pub revision: Option<u64>,
    /// The reason for which the last try has failed; `None` without one, or if it has stored the set since.
    pub problem: Option<UploadProblem>,
}

/// The reason for which an HSDir does not have its set, one byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadProblem {
    /// The upload did not reach it.
    Failed,
    /// It did not answer in time.
    Silent,
    /// It refused the descriptor.
    Refused,
    /// It acknowledged the descriptor, and does not hold it.
    NotHeld,
    /// It acknowledged this upload or an earlier one, or could not be read back.
    Unproven,
}

/// The state of a set of introduction points at an HSDir.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadState {
    /// It has to be uploaded: it is new, has changed, or has failed before.
    Pending {
        /// The number of tries that have failed in a row.
        failures: u32,
    },
    /// It is being signed.
    Signing,
    /// It is being uploaded.
    Uploading,
    /// It is acknowledged, which is not enough: it is being read back.
    Acknowledged,
    /// It is stored there.
    Stored,
    /// It is refused; the revision that the HSDir holds is being looked up.
    Refused,
    /// Tor does not know this relay.
    Unknown,
}

/// The state of one backend.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendStatus {
    /// The backend's name.
    pub backend: BackendId,
    /// The state by which it serves or not.
    pub state: BackendState,
    /// The time since a notice that it was not found or is gone; `None` if it is there.
    pub missing_for: Option<Duration>,
    /// The time since an HSDir was last asked for its descriptor; `None` before the first.
    pub asked_ago: Option<Duration>,
    /// The period of its newest descriptor; `None` before the first.
    pub period: Option<u64>,
    /// The revision counter of its newest descriptor; `None` before the first.
    pub revision: Option<u64>,
    /// The time at which its newest descriptor was made; `None` before the first.
    pub published: Option<UnixTime>,
    /// The time since its newest descriptor was first seen; `None` before that.
    pub received_ago: Option<Duration>,
    /// The time since its introduction points were seen to change; `None` before the first.
    pub changed_ago: Option<Duration>,
    /// The number of introduction points of its newest descriptor.
    pub points: usize,
    /// Its weight in the configuration of the service, 0 to 100; with 0 it is drained.
    pub weight: u8,
    /// Its drain by command; `None` without one.
    pub drain: Option<Drain>,
    /// Its part of the service's visitors that the published points give it, 0 to 1; `None` if the service
    /// publishes nothing.
    pub share: Option<f64>,
    /// The part that its weight asks for, 0 to 1; `None` if it is drained or not live, if all weights are
    /// equal, or if other points are about to be chosen.
    pub wished_share: Option<f64>,
    /// Its health by the service's check; `None` if it has none.
    pub health: Option<Health>,
    /// The last answers of its sources.
    pub sources: Vec<SourceStatus>,
}

impl BackendStatus {
    /// True if it is to get no visitors, by its weight or by command.
    pub fn is_drained(&self) -> bool {
        self.weight == 0 || self.drain.is_some()
    }

    /// True if it is unwell by its check.
    pub fn is_unwell(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.state == HealthState::Unwell)
    }
}

/// The health of a backend by one check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    /// The verdict on it.
    pub state: HealthState,
    /// The time for which it has been unwell; `None` if it is not.
    pub unwell_for: Option<Duration>,
    /// The number of probes that have failed in a row until now.
    pub failures: u32,
    /// The number of probes that have succeeded in a row until now.
    pub successes: u32,
    /// The last probe; `None` before the first.
    pub last: Option<LastProbe>,
}

/// The last probe of a backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastProbe {
    /// The time since its end.
    pub ago: Duration,
    /// Its outcome.
    pub outcome: ProbeOutcome,
}

/// The verdict on a backend by one check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HealthState {
    /// It was not probed yet, or not since its introduction points changed.
    Unknown,
    /// Its probes succeed.
    Well,
    /// Its last probes failed, too few of them to count, or without a sign that our own tor works.
    Failing,
    /// Its probes fail: its introduction points are not offered.
    Unwell,
}

/// The state by which a backend serves or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackendState {
    /// It has not been looked for yet.
    Unknown,
    /// It was looked for, and not found.
    NotFound,
    /// It was found: its points are in the set unless it is drained.
    Live,
    /// Its points were dropped, for this reason.
    Gone(Gone),
}

/// A source of a backend's descriptor, with its last answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceStatus {
    /// The HSDir, or any.
    pub source: Source,
    /// Its last answer; `None` before the first.
    pub answer: Option<HsdirAnswer>,
}

/// The answer of an HSDir that was asked for a backend's descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HsdirAnswer {
    /// It gave a valid descriptor.
    Copy {
        /// The descriptor's revision counter.
        revision: u64,
    },
    /// It has none.
    NotFound,
    /// The fetch failed.
    Failed,
    /// It gave an invalid one.
    Invalid,
    /// It did not answer in time.
    Silent,
}

/// The reason for which a backend counts as gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gone {
    /// Its newest descriptor was made too long ago.
    TooOld,
    /// Every one of its HSDirs answered that it has no descriptor.
    NotFound,
}
