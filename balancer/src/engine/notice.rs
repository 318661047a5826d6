//! What an operator is told.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;

use super::id::{BackendId, DescriptorSlot, ServiceId, Source};
use super::status::{Gone, Load};

/// Something that an operator may want to know. Said once, when it becomes so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A backend's descriptor was found: it serves from now on.
    BackendFound {
        /// The backend.
        backend: BackendId,
        /// How many introduction points it has.
        points: usize,
        /// How long ago [`Notice::BackendNotFound`] was said; `None` if it was not.
        after: Option<Duration>,
    },
    /// A backend that was taken for dead serves again.
    BackendBack {
        /// The backend.
        backend: BackendId,
        /// How many introduction points it has.
        points: usize,
        /// How long ago [`Notice::BackendGone`] was said.
        after: Duration,
    },
    /// A serving backend has other introduction points.
    BackendChanged {
        /// The backend.
        backend: BackendId,
        /// How many introduction points it has.
        points: usize,
    },
    /// No HSDir gave a descriptor of a backend that has not been found yet.
    BackendNotFound {
        /// The backend.
        backend: BackendId,
    },
    /// A backend is taken for dead: its introduction points are dropped.
    BackendGone {
        /// The backend.
        backend: BackendId,
        /// Why.
        why: Gone,
    },
    /// An HSDir gave something that is not the backend's descriptor.
    BackendInvalid {
        /// The backend.
        backend: BackendId,
        /// Who gave it.
        source: Source,
        /// What is wrong with it.
        reason: String,
    },
    /// An HSDir of which [`Notice::BackendInvalid`] was said gives the backend's descriptor again.
    BackendValid {
        /// The backend.
        backend: BackendId,
        /// The HSDir that gives it.
        source: Source,
    },
    /// A new set of introduction points has reached every HSDir that tor knows.
    DescriptorComplete {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// How many HSDirs hold it.
        hsdirs: usize,
        /// How long it took since the set was chosen.
        after: Duration,
    },
    /// An HSDir refused a descriptor.
    HsdirRefuses {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// The HSDir.
        hsdir: Fingerprint,
        /// What it said.
        reason: String,
    },
    /// HSDirs did not answer an upload.
    HsdirsSilent {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// Those of which it was not known.
        hsdirs: Vec<Fingerprint>,
    },
    /// An HSDir that said it had stored a descriptor does not have it.
    HsdirHasNone {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// The HSDir.
        hsdir: Fingerprint,
    },
    /// An HSDir that said it had stored a descriptor has another one of the service.
    HsdirHasOther {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// The HSDir.
        hsdir: Fingerprint,
        /// Whether that has a higher revision than ours, so that it will stay for now.
        later: bool,
    },
    /// A descriptor could not be signed or handed to tor.
    NotPosted {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// What went wrong.
        problem: String,
    },
    /// All descriptors of a service are on all their HSDirs, after a notice of one that was not.
    AllStored {
        /// The service.
        service: ServiceId,
        /// How long ago the first such notice was.
        after: Duration,
    },
    /// None of a service's backends was found: there is nothing to publish yet.
    NothingToPublish {
        /// The service.
        service: ServiceId,
    },
    /// All backends of a service are gone: its last introduction points stay published for now.
    KeepingLastSet {
        /// The service.
        service: ServiceId,
    },
    /// All backends of a service have been gone for too long: it is not published any more.
    LastSetDropped {
        /// The service.
        service: ServiceId,
    },
    /// There is more to do than tor can: everything takes longer.
    Behind {
        /// The requests that are outstanding at tor, and those that wait.
        load: Load,
    },
    /// No request waits for long any more, after [`Notice::Behind`].
    CaughtUp {
        /// How long ago that notice was given.
        after: Duration,
    },
}
