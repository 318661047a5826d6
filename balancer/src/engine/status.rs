//! The engine's state as plain data, for a status socket or a log.
//!
//! Times are ages by the monotonic clock, which a step of the wall clock does not touch.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::id::{BackendId, DescriptorSlot, ServiceId, Source};

/// The requests that are outstanding at tor, and those that wait to be made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Load {
    /// How many requests are outstanding at tor, each of which takes a circuit.
    pub in_flight: usize,
    /// How many may be outstanding.
    pub most_in_flight: usize,
    /// How many descriptors wait to be posted.
    pub posts_waiting: usize,
    /// How many backends wait to be looked for.
    pub looks_waiting: usize,
    /// How many of our descriptors wait to be read back from an HSDir.
    pub read_backs_waiting: usize,
    /// How long the longest wait of these has lasted; 0 if nothing waits.
    pub longest_wait: Duration,
    /// How long ago [`Notice::Behind`](super::Notice::Behind) was given; `None` without one, or after
    /// [`Notice::CaughtUp`](super::Notice::CaughtUp).
    pub behind_for: Option<Duration>,
}

/// One service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceStatus {
    /// Its name.
    pub service: ServiceId,
    /// How many introduction points its descriptors list, all together; 0 if there is nothing to publish.
    pub points: usize,
    /// Since when all its backends have been gone while the last set stays published.
    pub stale_for: Option<Duration>,
    /// Its descriptors, the earlier period first.
    pub descriptors: Vec<DescriptorStatus>,
    /// Its backends, in the order of their names.
    pub backends: Vec<BackendStatus>,
}

/// One of a service's descriptors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DescriptorStatus {
    /// Which one.
    pub slot: DescriptorSlot,
    /// How long ago it was last published, be it to some of its HSDirs only.
    pub published_ago: Option<Duration>,
    /// How long ago an HSDir last stored it, as far as it has to be believed; `None`: none has since the start.
    pub stored_ago: Option<Duration>,
    /// The greatest revision counter that it was given.
    pub revision: Option<u64>,
    /// Its responsible HSDirs, in the order of their fingerprints.
    pub hsdirs: Vec<HsdirStatus>,
}

/// One HSDir of one descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HsdirStatus {
    /// Who.
    pub hsdir: Fingerprint,
    /// How the present set of introduction points stands there.
    pub state: UploadState,
    /// The greatest revision counter that it said it stored.
    pub revision: Option<u64>,
}

/// The state of a set of introduction points at an HSDir.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadState {
    /// Has to be uploaded: new, changed, or failed before.
    Pending {
        /// How many tries have failed in a row.
        failures: u32,
    },
    /// Being signed.
    Signing,
    /// Being uploaded.
    Uploading,
    /// Acknowledged, which is not enough: it is being read back.
    Acknowledged,
    /// Stored.
    Stored,
    /// Refused; the revision that the HSDir holds is being looked up.
    Refused,
    /// Tor does not know this relay.
    Unknown,
}

/// One backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendStatus {
    /// Its name.
    pub backend: BackendId,
    /// Whether it serves.
    pub state: BackendState,
    /// The period of its newest descriptor.
    pub period: Option<u64>,
    /// The revision counter of its newest descriptor.
    pub revision: Option<u64>,
    /// When its newest descriptor was made.
    pub published: Option<UnixTime>,
    /// How long ago its newest descriptor was first seen.
    pub received_ago: Option<Duration>,
    /// How long ago its introduction points were seen to change.
    pub changed_ago: Option<Duration>,
    /// How many introduction points its newest descriptor lists.
    pub points: usize,
    /// What each whom it is asked of said last.
    pub sources: Vec<SourceStatus>,
}

/// Whether a backend serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackendState {
    /// Not looked for yet.
    Unknown,
    /// Looked for in vain.
    NotFound,
    /// Its points are in the set.
    Live,
    /// Its points were dropped.
    Gone(Gone),
}

/// One whom a backend's descriptor is asked of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceStatus {
    /// Who.
    pub source: Source,
    /// Its last answer.
    pub answer: Option<HsdirAnswer>,
}

/// What an HSDir said when it was asked for a backend's descriptor.
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
    /// It gave something else.
    Invalid,
    /// It did not answer in time.
    Silent,
}

/// Why a backend is taken for dead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gone {
    /// Its newest descriptor was made too long ago.
    TooOld,
    /// Every one of its HSDirs says that it has no descriptor.
    NotFound,
}
