//! The engine's input and output: plain data, the same for both versions of onion services.
//!
//! No type here is part of a wire format. The runtime makes [`Event`]s of the messages of tor, the signer and
//! the operator, and carries every [`Action`] out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::HealthCheck;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::drains::Drains;
use super::id::{BackendId, DescriptorSlot, ProbeId, PublicationId, ServiceId, Source};
use super::newest::Newest;
use super::notice::Notice;
use super::timing::Settings;
use super::weights::Weights;

/// One introduction point as a backend's descriptor lists it, with everything that is needed to publish it.
pub trait Point: Clone {
    /// The identity of a point: its authentication and encryption keys, never its relay's onion key, which
    /// stays the same if a backend replaces a point by another one at the same relay.
    type Id: Clone + Ord + fmt::Debug;

    /// True if a client that fails at a point strikes it off, and then finds the second one at the same
    /// relay.
    const FAILED_IS_STRUCK_OFF: bool;

    /// The point's identity.
    fn id(&self) -> Self::Id;

    /// The point's relay. Tor's clients know an introduction circuit's point only by its relay, and take the
    /// first one of a descriptor there.
    fn relay(&self) -> Fingerprint;
}

/// The readings of both clocks at an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// The monotonic time since the engine began. Every timer runs by it.
    pub elapsed: Duration,
    /// The wall clock, which may step. It measures a descriptor's age, and the time that the monotonic clock
    /// does not count.
    pub wall: UnixTime,
}

/// A service as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceSpec {
    /// The service's name.
    pub id: ServiceId,
    /// The backends between which it is balanced. Several services may share one: it is fetched once.
    pub backends: Vec<BackendId>,
    /// The backends' weights.
    pub weights: Weights,
    /// The health checks of those backends that have one.
    pub checks: BTreeMap<BackendId, Arc<HealthCheck>>,
    /// The drains by command that are in force. Those of other backends are ignored.
    pub drains: Drains,
    /// The most introduction points of one descriptor: 20 in v3, 10 in v2 (clients refuse more).
    pub max_points: usize,
    /// True if HSDirs may get different introduction points when one descriptor cannot list all.
    pub distinct: bool,
    /// The proof that is needed to believe that an HSDir has a descriptor.
    pub proof: Proof,
}

/// The proof that is needed to believe that an HSDir has a descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    /// The HSDir's acknowledgement.
    Word,
    /// Reading the descriptor back: version-2 HSDirs also acknowledge descriptors that they discard,
    /// because these are too old, too far ahead, or older than their own.
    ReadBack,
}

/// A whole configuration. The engine is made with one, and a reload brings the next.
#[derive(Clone, Debug)]
pub struct EngineConfiguration {
    /// All services. Other services of the previous configuration are forgotten, and so are backends that no
    /// service has any more.
    pub services: Vec<ServiceSpec>,
    /// The pace. After a reload it is valid from the next [`Event::Network`] on.
    pub settings: Settings,
    /// The newest descriptors that an earlier engine had seen. Backends that are not configured are ignored.
    pub newest: BTreeMap<BackendId, Newest>,
}

/// The relevant contents of a new consensus.
///
/// Covers every service and backend of the present configuration. One that is not named has no HSDirs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkView {
    /// The length of a time period: the engine's timers shrink with it on testing networks.
    pub period_length: Duration,
    /// The time from which on the consensus is valid: a wall clock that shows an earlier one is behind.
    pub valid_after: UnixTime,
    /// Each service's present descriptors, with the HSDirs that are responsible for each.
    pub services: BTreeMap<ServiceId, BTreeMap<DescriptorSlot, Vec<Fingerprint>>>,
    /// The places of each backend's descriptor.
    pub backends: BTreeMap<BackendId, BackendView>,
}

/// The places of a backend's present descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendView {
    /// The period whose descriptor tor would fetch now.
    pub period: u64,
    /// The sources of its descriptor, each once.
    pub sources: Vec<Source>,
}

/// An input of the engine.
#[derive(Clone, Debug)]
pub enum Event<P: Point> {
    /// A new consensus was evaluated.
    Network(NetworkView),
    /// The operator changed the configuration. An [`Event::Network`] that covers the new services should
    /// follow.
    Configuration(Box<EngineConfiguration>),
    /// An HSDir answered for a backend's descriptor, or the fetch failed.
    Fetched {
        /// The backend whose descriptor was asked for.
        backend: BackendId,
        /// The HSDir that was asked.
        source: Source,
        /// The answer of the source.
        outcome: FetchOutcome<P>,
    },
    /// The descriptor was signed, and tor accepted it for upload.
    Posted {
        /// The name of the publication.
        id: PublicationId,
        /// The revision counter from the signer.
        revision: u64,
    },
    /// Nothing was uploaded: the kept texts of the revision are gone.
    NotKept {
        /// The name of the publication.
        id: PublicationId,
    },
    /// Nothing was uploaded: for example, the signer refused or is away, tor is away, or a later publication
    /// replaced this one.
    NotPosted {
        /// The name of the publication.
        id: PublicationId,
        /// The reason, for the log.
        problem: String,
    },
    /// The end of one HSDir's upload.
    Uploaded {
        /// The name of the publication.
        id: PublicationId,
        /// The HSDir's fingerprint.
        hsdir: Fingerprint,
        /// The outcome of the upload.
        outcome: UploadOutcome,
    },
    /// The end of an [`Action::ReadBack`].
    ReadBack {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDir that was asked.
        hsdir: Fingerprint,
        /// The HSDir's answer.
        found: Found<P::Id>,
    },
    /// The end of an [`Action::Probe`].
    Probed {
        /// The name of the probe.
        id: ProbeId,
        /// The backend's name.
        backend: BackendId,
        /// The outcome of the probe.
        outcome: ProbeOutcome,
    },
    /// The operator has drained backends of a service, or has ended drains.
    Drains {
        /// The service's name.
        service: ServiceId,
        /// All drains of the service from now on.
        drains: Drains,
    },
    /// The connection to tor broke: everything in flight is void.
    TorLost,
    /// Tor is connected and has circuits. The engine asks for nothing before the first of these.
    TorReady,
    /// The time of [`super::Engine::next_deadline`] has come.
    Tick,
}

/// An HSDir's answer for a backend's descriptor.
#[derive(Clone, Debug)]
pub enum FetchOutcome<P> {
    /// A descriptor that is verified and opened.
    Copy(DescriptorCopy<P>),
    /// The HSDir does not have it.
    NotFound,
    /// There was no answer: circuit, relay or tor failed.
    Failed,
    /// A text that is not this backend's descriptor, with the reason.
    Invalid(String),
}

/// A backend's descriptor as one HSDir holds it.
#[derive(Clone, Debug)]
pub struct DescriptorCopy<P> {
    /// The revision counter (v2: the publication time). Within a period the greater one is newer.
    pub revision: u64,
    /// The time at which the backend made it.
    pub published: UnixTime,
    /// The number of its time period.
    pub period: u64,
    /// Its introduction points.
    pub points: Vec<P>,
}

/// The descriptor that an HSDir has in place of the service's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found<I> {
    /// A descriptor of the service.
    Copy {
        /// The revision counter (v2: the publication time).
        revision: u64,
        /// Its introduction points, in its order.
        points: Vec<I>,
    },
    /// A descriptor that tor does not hand out, because it is encrypted to authorized clients. This is the
    /// best proof that such a descriptor can have.
    Sealed,
    /// The HSDir has no descriptor of the service.
    Nothing,
    /// The HSDir could not be asked.
    Failed,
}

/// The end of the upload to one HSDir.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UploadOutcome {
    /// The HSDir acknowledged it.
    Stored,
    /// The HSDir acknowledged this upload or an earlier one.
    Unclear,
    /// The HSDir refused it (HTTP 400), usually because it holds a higher revision.
    Refused(String),
    /// The descriptor did not reach the HSDir, or no answer came.
    Failed,
    /// Tor does not know the relay (reply 552). The engine tries again only after the next
    /// [`Event::Network`].
    Unknown,
}

/// The end of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProbeOutcome {
    /// The backend answered as its check wants, after this time.
    Succeeded(Duration),
    /// It did not, for this reason.
    Failed(Arc<str>),
    /// The probe could not be made, for this reason, which says nothing about the backend.
    Unmade(Arc<str>),
}

/// An output of the engine.
#[derive(Clone, Debug)]
pub enum Action<P> {
    /// Fetch a backend's descriptor from each of these HSDirs.
    Fetch {
        /// The backend's name.
        backend: BackendId,
        /// The HSDirs to ask; at least one.
        from: Vec<Source>,
    },
    /// Upload a descriptor: with a new revision, which one request to the signer gives to all sets, or as it
    /// was signed before. It is answered by one [`Event::Posted`], [`Event::NotPosted`] or
    /// [`Event::NotKept`], however long the signer takes: the engine has no time-out for that. A later
    /// publication of the same descriptor with a new revision replaces one that is not signed yet.
    Publish {
        /// The name of this publication in later events.
        id: PublicationId,
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The posts; at least one, each with a set of another number.
        posts: Vec<Post<P>>,
        /// The revision of all posts.
        revision: Revision,
    },
    /// Fetch the service's own descriptor from an HSDir: one that refused ours, to learn the revision there,
    /// or one whose acknowledgement is not enough.
    ReadBack {
        /// The service's name.
        service: ServiceId,
        /// The slot of the descriptor.
        slot: DescriptorSlot,
        /// The HSDir to ask.
        hsdir: Fingerprint,
    },
    /// Probe a backend. It is answered by one [`Event::Probed`], shortly after the check's time-out at the
    /// latest.
    Probe {
        /// The name of this probe in the later event.
        id: ProbeId,
        /// The backend's name.
        backend: BackendId,
        /// The check that describes the probe.
        check: Arc<HealthCheck>,
    },
    /// A message for the log.
    Notice(Notice),
}

/// One set of introduction points, and the HSDirs that get it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Post<P> {
    /// The set's number within its descriptor.
    pub set: usize,
    /// The introduction points that it lists; at least one, sorted by identity.
    pub points: Vec<Chosen<P>>,
    /// The HSDirs that get it; at least one.
    pub to: Vec<Fingerprint>,
}

/// The revision of a publication.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Revision {
    /// A new one, the same for all posts.
    New {
        /// The revision that it has to exceed. `None`: the revisions that HSDirs hold are not known.
        floor: Option<u64>,
    },
    /// The texts that were signed with this revision are posted again unchanged. [`Event::NotKept`] if they
    /// are gone.
    Kept(u64),
}

/// An introduction point chosen for a frontend descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chosen<P> {
    /// The backend of the point.
    pub backend: BackendId,
    /// The introduction point itself.
    pub point: P,
}
