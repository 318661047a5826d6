//! What the engine hears and what it says: plain data, the same for both generations of onion services.
//!
//! Nothing here names a wire format. The runtime turns what tor, the signer and the operator say into
//! [`Event`]s, and carries every [`Action`] out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::id::{BackendId, DescriptorSlot, PublicationId, ServiceId, Source};
use super::newest::Newest;
use super::notice::Notice;
use super::timing::Settings;

/// One introduction point as a backend's descriptor lists it, with whatever is needed to publish it.
pub trait Point: Clone {
    /// What makes it the same point: its authentication and encryption keys, never its relay's onion key,
    /// which stays when a backend replaces a point by another at the same relay.
    type Id: Clone + Ord + fmt::Debug;

    /// Whether a client strikes a point off that failed, and then finds the second one at the same relay.
    const FAILED_IS_STRUCK_OFF: bool;

    /// The point's identity.
    fn id(&self) -> Self::Id;

    /// The relay, by which alone tor's clients find the point of an introduction circuit: the first one of a descriptor.
    fn relay(&self) -> Fingerprint;
}

/// The two clocks, read at the moment of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// Monotonic time since the engine began. Every timer runs by it.
    pub elapsed: Duration,
    /// The wall clock, which may step. It is the measure of a descriptor's age, and of time that the monotonic clock does not count.
    pub wall: UnixTime,
}

/// A service as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceSpec {
    /// Its name.
    pub id: ServiceId,
    /// The backends it is spread over. Several services may share one: it is fetched once.
    pub backends: Vec<BackendId>,
    /// The most introduction points one descriptor may list: 20 in v3, 10 in v2 (clients refuse more).
    pub max_points: usize,
    /// Whether HSDirs may get different introduction points, where one descriptor cannot list all.
    pub distinct: bool,
    /// What it takes to believe that an HSDir has a descriptor.
    pub proof: Proof,
}

/// What it takes to believe that an HSDir has a descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    /// Its word.
    Word,
    /// To read it back from there: HSDirs of version 2 say that they have stored what they throw away, because it is too
    /// old, too far ahead, or older than what they have.
    ReadBack,
}

/// One configuration, whole: the engine is made with one, and a reload brings the next.
#[derive(Clone, Debug)]
pub struct EngineConfiguration {
    /// All services. Those of the configuration before that are not among them are forgotten, with the backends that nobody has
    /// any more.
    pub services: Vec<ServiceSpec>,
    /// The pace. After a reload it holds from the next [`Event::Network`] on.
    pub settings: Settings,
    /// The newest descriptors that an engine before this one has seen. Backends that are not configured are passed over.
    pub newest: BTreeMap<BackendId, Newest>,
}

/// A new consensus, as far as it matters here.
///
/// Covers every service and backend of the present configuration; one that it does not name has no HSDirs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkView {
    /// The length of a time period: the engine's timers shrink with it on test networks.
    pub period_length: Duration,
    /// Each service's present descriptors, and the HSDirs responsible for each.
    pub services: BTreeMap<ServiceId, BTreeMap<DescriptorSlot, Vec<Fingerprint>>>,
    /// Where each backend's descriptor lies.
    pub backends: BTreeMap<BackendId, BackendView>,
}

/// Where a backend's present descriptor lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendView {
    /// The period whose descriptor tor would fetch now.
    pub period: u64,
    /// The sources of its descriptor, each once.
    pub sources: Vec<Source>,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event<P: Point> {
    /// A new consensus was evaluated.
    Network(NetworkView),
    /// The operator changed the configuration. A [`Event::Network`] that covers the new services should
    /// follow.
    Configuration(Box<EngineConfiguration>),
    /// An HSDir answered for a backend's descriptor (or the fetch failed).
    Fetched {
        /// The backend whose descriptor was asked for.
        backend: BackendId,
        /// The HSDir that was asked.
        source: Source,
        /// The answer.
        outcome: FetchOutcome<P>,
    },
    /// The descriptor was signed, and tor accepted it for upload.
    Posted {
        /// Which publication.
        id: PublicationId,
        /// The revision counter that the signer gave it.
        revision: u64,
    },
    /// Nothing was uploaded: the texts of the revision that was to be kept are gone.
    NotKept {
        /// Which publication.
        id: PublicationId,
    },
    /// Nothing was uploaded: the signer refused or is away, tor is away, a later publication replaced this one, or the like.
    NotPosted {
        /// Which publication.
        id: PublicationId,
        /// What went wrong, for the log.
        problem: String,
    },
    /// The end of one HSDir's upload.
    Uploaded {
        /// Which publication.
        id: PublicationId,
        /// Which HSDir.
        hsdir: Fingerprint,
        /// How it went.
        outcome: UploadOutcome,
    },
    /// The end of an [`Action::ReadBack`].
    ReadBack {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// The HSDir that was asked.
        hsdir: Fingerprint,
        /// Its answer.
        found: Found<P::Id>,
    },
    /// The connection to tor broke: everything in flight is void.
    TorLost,
    /// Tor is connected and has circuits. The engine asks for nothing before the first of these.
    TorReady,
    /// [`super::Engine::next_deadline`] passed.
    Tick,
}

/// An HSDir's answer for a backend's descriptor.
#[derive(Clone, Debug)]
pub enum FetchOutcome<P> {
    /// A descriptor that is verified and opened.
    Copy(DescriptorCopy<P>),
    /// The HSDir does not have it.
    NotFound,
    /// No answer: circuit, relay or tor failed.
    Failed,
    /// Something that is not this backend's descriptor; says why not.
    Invalid(String),
}

/// A backend's descriptor as one HSDir holds it.
#[derive(Clone, Debug)]
pub struct DescriptorCopy<P> {
    /// Its revision counter (v2: its publication time): the greater is the newer within a period.
    pub revision: u64,
    /// When the backend made it.
    pub published: UnixTime,
    /// The period it is for.
    pub period: u64,
    /// Its introduction points.
    pub points: Vec<P>,
}

/// What an HSDir has where the service's own descriptor should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found<I> {
    /// A descriptor of the service.
    Copy {
        /// Its revision counter (v2: its publication time).
        revision: u64,
        /// Its introduction points, in its order.
        points: Vec<I>,
    },
    /// A descriptor that tor does not hand out, since it is encrypted to authorized clients: the best proof to be had of
    /// one.
    Sealed,
    /// Nothing.
    Nothing,
    /// It could not be found out.
    Failed,
}

/// How the upload to one HSDir ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UploadOutcome {
    /// The HSDir has it.
    Stored,
    /// The HSDir has taken something, which may be this or what it was sent before.
    Unclear,
    /// The HSDir refused it (HTTP 400), mostly because it holds a higher revision.
    Refused(String),
    /// It did not get there.
    Failed,
    /// Tor does not know that relay (reply 552): asked again after the next [`Event::Network`] only.
    Unknown,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Action<P> {
    /// Fetch a backend's descriptor from each of these HSDirs.
    Fetch {
        /// The backend.
        backend: BackendId,
        /// The HSDirs to ask; at least one.
        from: Vec<Source>,
    },
    /// Upload a descriptor: with a new revision, which one request to the signer gives to all sets, or as it was signed before.
    /// Answered by one [`Event::Posted`], [`Event::NotPosted`] or [`Event::NotKept`], however long the signer takes: the engine
    /// has no time-out for that. A later publication of the same descriptor with a new revision replaces one that is not signed.
    Publish {
        /// Names this publication in the events that follow.
        id: PublicationId,
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// The posts; at least one, each with a set of another number.
        posts: Vec<Post<P>>,
        /// The revision of all posts.
        revision: Revision,
    },
    /// Fetch the service's own descriptor from an HSDir: one that refused ours, to learn the revision there, or one whose
    /// acknowledgement is not enough.
    ReadBack {
        /// The service.
        service: ServiceId,
        /// The descriptor.
        slot: DescriptorSlot,
        /// The HSDir to ask.
        hsdir: Fingerprint,
    },
    /// Something for the log.
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
        /// The revision that it has to exceed. `None`: nothing is known of what HSDirs hold.
        floor: Option<u64>,
    },
    /// The texts that were signed with this revision are posted once more, as they are. [`Event::NotKept`] if they are gone.
    Kept(u64),
}

/// An introduction point chosen for a frontend descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chosen<P> {
    /// The backend it belongs to.
    pub backend: BackendId,
    /// The point.
    pub point: P,
}
