//! Messages of the engine for an operator.

use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::id::{BackendId, DescriptorSlot, ServiceId, Source};
use super::status::{Gone, Load};

/// A message for an operator, given once when its state begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A backend's descriptor was found: it serves from now on.
    BackendFound {
        /// The backend's name.
        backend: BackendId,
        /// The number of its introduction points.
        points: usize,
        /// The time since [`Notice::BackendNotFound`]; `None` without one.
        after: Option<Duration>,
    },
    /// A backend that counted as gone serves again.
    BackendBack {
        /// The backend's name.
        backend: BackendId,
        /// The number of its introduction points.
        points: usize,
        /// The time since [`Notice::BackendGone`].
        after: Duration,
    },
    /// A serving backend has other introduction points.
    BackendChanged {
        /// The backend's name.
        backend: BackendId,
        /// The number of its introduction points.
        points: usize,
    },
    /// No HSDir gave a descriptor of a backend that has not been found yet.
    BackendNotFound {
        /// The backend's name.
        backend: BackendId,
    },
    /// A backend counts as gone: its introduction points are dropped.
    BackendGone {
        /// The backend's name.
        backend: BackendId,
        /// The reason for which it counts as gone.
        why: Gone,
    },
    /// An HSDir gave a text that is not the backend's descriptor.
    BackendInvalid {
        /// The backend's name.
        backend: BackendId,
        /// The source that gave it.
        source: Source,
        /// The fault of the text.
        reason: String,
    },
    /// An HSDir after [`Notice::BackendInvalid`] gives the backend's descriptor again.
    BackendValid {
        /// The backend's name.
        backend: BackendId,
        /// The source that gives it.
        source: Source,
    },
    /// A new set of introduction points has reached every HSDir that tor knows.
    DescriptorComplete {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The number of HSDirs that hold it.
        hsdirs: usize,
        /// The time since the set was chosen.
        after: Duration,
    },
    /// An HSDir refused a descriptor.
    HsdirRefuses {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDir's fingerprint.
        hsdir: Fingerprint,
        /// The HSDir's answer.
        reason: String,
    },
    /// HSDirs did not answer an upload.
    HsdirsSilent {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDirs that fell silent since the last such notice.
        hsdirs: Vec<Fingerprint>,
    },
    /// An HSDir that acknowledged a descriptor does not have it.
    HsdirHasNone {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDir's fingerprint.
        hsdir: Fingerprint,
    },
    /// An HSDir that acknowledged a descriptor has another one of the service.
    HsdirHasOther {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDir's fingerprint.
        hsdir: Fingerprint,
        /// True if the other one has a higher revision than ours, so that it will stay for now.
        later: bool,
    },
    /// An HSDir that had our descriptor has one that we did not publish, of a higher revision.
    OtherPublisher {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDir's fingerprint.
        hsdir: Fingerprint,
    },
    /// A descriptor could not be signed or handed to tor.
    NotPosted {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The reason, in the words of the signer or tor.
        problem: String,
    },
    /// All descriptors of a service are on all their HSDirs, after a notice of one that was not.
    AllStored {
        /// The service's name.
        service: ServiceId,
        /// The time since the first such notice.
        after: Duration,
    },
    /// No backend of a service was found: there is nothing to publish yet.
    NothingToPublish {
        /// The service's name.
        service: ServiceId,
    },
    /// All backends of a service are gone: its last introduction points stay published for now.
    KeepingLastSet {
        /// The service's name.
        service: ServiceId,
    },
    /// All backends of a service have been gone for too long: it is not published any more.
    LastSetDropped {
        /// The service's name.
        service: ServiceId,
    },
    /// No backend of a service is live but drained ones: these serve.
    DrainedServe {
        /// The service's name.
        service: ServiceId,
    },
    /// A backend that is not drained is live again, after [`Notice::DrainedServe`], or weights or
    /// drains are others.
    DrainedRest {
        /// The service's name.
        service: ServiceId,
        /// The time since that notice.
        after: Duration,
    },
    /// The result of a health check has changed.
    Health(HealthNotice),
    /// A backend of a service is drained by command from now on, or its drain has another end.
    BackendDrained {
        /// The service's name.
        service: ServiceId,
        /// The backend's name.
        backend: BackendId,
        /// The time at which the drain ends by itself; `None`: it does not.
        until: Option<UnixTime>,
    },
    /// The operator has ended the drain of a backend.
    BackendEnabled {
        /// The service's name.
        service: ServiceId,
        /// The backend's name.
        backend: BackendId,
    },
    /// The drain of a backend has ended by itself.
    DrainEnded {
        /// The service's name.
        service: ServiceId,
        /// The backend's name.
        backend: BackendId,
    },
    /// There is more to do than tor can: everything takes longer.
    Behind {
        /// The requests that are outstanding at tor, and those that wait.
        load: Load,
    },
    /// No request waits for long any more, after [`Notice::Behind`].
    CaughtUp {
        /// The time since that notice.
        after: Duration,
    },
}

/// A message about health checks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HealthNotice {
    /// The probes of a live backend fail: its introduction points are dropped.
    Unwell {
        /// The backend's name.
        backend: BackendId,
        /// The port of the check.
        port: u16,
        /// The reason for which the last probe failed.
        reason: Arc<str>,
    },
    /// The probes of a backend succeed again, after [`HealthNotice::Unwell`].
    Well {
        /// The backend's name.
        backend: BackendId,
        /// The port of the check.
        port: u16,
        /// The time since that notice.
        after: Duration,
    },
    /// The probes of all backends of a service fail: all are offered, as if there were no probes.
    AllUnwell {
        /// The service's name.
        service: ServiceId,
    },
    /// Probes of a backend succeed again, after [`HealthNotice::AllUnwell`]: unwell ones are not offered any
    /// more.
    SomeWell {
        /// The service's name.
        service: ServiceId,
        /// The time since that notice.
        after: Duration,
    },
}
