//! The interface between the runtime and the carrier of descriptors to and from HSDirs.
//!
//! [`Network`] is all that the runtime knows of its network: requests, and messages that answer them. The
//! carrier assigns each event of tor's to its request, and answers a request that gets no event.
//! [`crate::tor::carrier`] is the carrier over tor's control port; a test has one in memory.
//!
//! Requests name descriptors by addresses and ids, and the answers are text. So one carrier serves both
//! versions of onion services, and knows none of their formats.

mod probe;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::{v2, v3};

pub use probe::{Probe, ProbeFailure, Probed};

/// A carrier of descriptors to and from HSDirs.
///
/// Requests return at once, and are answered by [`Network::next`]:
///
/// - [`Network::read_directory`] by one [`Message::Directory`];
/// - [`Network::fetch`] and [`Network::fetch_as_client`] by one [`Message::Fetched`];
/// - [`Network::post`] by one [`Message::NotPosted`], or by one [`Message::Posted`] and then one
///   [`Message::Uploaded`] for each HSDir;
/// - [`Network::probe`] by one [`Message::Probed`], shortly after the probe's timeout at the latest.
///
/// Each of these comes exactly once and within minutes, even if the network never answers. [`Message::Lost`]
/// answers all outstanding requests. A carrier that cannot take a request, because it is not ready or has too
/// many, answers with a failure.
pub trait Network: Send + 'static {
    /// The reason for which there will never be a network.
    type Error: Error + Send + Sync + 'static;

    /// Asks for the directory, which determines the HSDirs.
    fn read_directory(&mut self);

    /// Asks an HSDir for a descriptor.
    fn fetch(&mut self, request: RequestId, lookup: Lookup, hsdir: Fingerprint);

    /// Asks for a descriptor as a client of its service, at HSDirs that the carrier chooses.
    fn fetch_as_client(&mut self, request: RequestId, lookup: ClientLookup);

    /// Uploads a descriptor to HSDirs.
    fn post(&mut self, request: RequestId, post: Post);

    /// Connects to a backend as a client does, and asks of it what its health check demands.
    fn probe(&mut self, request: RequestId, probe: Probe);

    /// The next message. The caller has to await it all the time; the future may be dropped and created
    /// again.
    fn next(&mut self) -> impl Future<Output = Message<Self::Error>> + Send;
}

/// The number of a request, which the messages that answer it repeat. The caller chooses it, and uses none
/// twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// A version of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Version 2 onion services.
    V2,
    /// Version 3 onion services.
    V3,
}

/// The name of a descriptor that is looked up.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Lookup {
    /// The v3 service's descriptor of the network's present time period.
    V3(v3::OnionAddress),
    /// One descriptor of a v2 service.
    V2 {
        /// The service's onion address.
        address: v2::OnionAddress,
        /// The id of one of its descriptors.
        id: v2::DescriptorId,
    },
}

/// The name of a descriptor of a v2 service that authorizes its clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientLookup {
    /// The client authorization.
    pub credential: Credential,
    /// The ids that its present descriptors may have. They depend on the kind of authorization and on the
    /// clocks.
    pub ids: Vec<v2::DescriptorId>,
}

/// Client authorization of a v2 service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// The service's onion address.
    pub address: v2::OnionAddress,
    /// The secret that it shares with one of its clients.
    pub cookie: v2::Cookie,
}

/// A descriptor to be uploaded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Post {
    /// The descriptor's name.
    pub name: DescriptorName,
    /// The descriptor's text.
    pub text: Arc<str>,
    /// The HSDirs that get it; at least one.
    pub to: Vec<Fingerprint>,
}

/// The name of a service's own descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DescriptorName {
    /// A version 3 descriptor.
    V3 {
        /// The service's onion address.
        address: v3::OnionAddress,
        /// The service's blinded key of the descriptor's time period.
        key: v3::BlindedKey,
    },
    /// A version 2 descriptor.
    V2 {
        /// The service's onion address.
        address: v2::OnionAddress,
        /// The id of one of its descriptors.
        id: v2::DescriptorId,
    },
}

/// A message of a carrier.
#[derive(Debug)]
pub enum Message<E> {
    /// Requests are carried from now on.
    Ready {
        /// The time since the start of the process that carries them; `None` if it does not report it. The
        /// process may have been restarted since [`Message::Lost`].
        uptime: Option<Duration>,
        /// The version of its program, for people; `None` if it is not known.
        version: Option<String>,
    },
    /// No request is carried until [`Message::Ready`] comes again. All outstanding requests are void.
    Lost,
    /// No request is carried yet, for this reason. It comes before [`Message::Ready`], or after
    /// [`Message::Lost`].
    Absent(Absence),
    /// No request will ever be carried, for this reason.
    Unusable(E),
    /// The directory may have changed, and should be read again.
    DirectoryChanged,
    /// The directory, or the reason that it could not be read.
    Directory(Result<Documents, String>),
    /// The end of a fetch.
    Fetched(RequestId, Fetched),
    /// The descriptor is being uploaded.
    Posted(RequestId),
    /// The descriptor is not uploaded to any HSDir, for this reason.
    NotPosted(RequestId, String),
    /// The end of the upload to one HSDir.
    Uploaded(RequestId, Fingerprint, Verdict),
    /// The end of a probe.
    Probed(RequestId, Probed),
}

/// The reason for which no request is carried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Absence {
    /// The process that carries requests is not reached, for this reason in the carrier's words.
    Unreachable(String),
    /// That process is reached, and is not ready yet.
    Starting {
        /// The version of its program, for people.
        version: String,
        /// Its progress in percent, up to 100.
        percent: u8,
        /// The present step, in its own words.
        step: String,
    },
}

/// The documents of a network's directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Documents {
    /// For version 3.
    V3 {
        /// The consensus, of the flavour `microdesc`.
        consensus: Vec<u8>,
        /// The known microdescriptors, one after another.
        microdescriptors: Vec<u8>,
        /// True for a testing network, where time periods last 24 voting intervals.
        is_testing: bool,
    },
    /// For version 2.
    V2 {
        /// The router status of every relay.
        router_statuses: String,
        /// The consensus's `valid-after`, `fresh-until` and `valid-until`.
        times: [String; 3],
    },
}

/// The end of a fetch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetched {
    /// A descriptor; it is not verified.
    Text(String),
    /// The HSDir, or every HSDir that was asked, has no such descriptor.
    NotFound,
    /// There is a descriptor, but the carrier cannot read it and does not hand it out.
    Unreadable,
    /// It is not known if there is a descriptor. `Some`: the reason, for which an operator can do something.
    Failed(Option<String>),
}

/// The end of an upload to one HSDir.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The HSDir acknowledged it.
    Stored,
    /// The HSDir acknowledged this upload or an earlier one; it is not known which.
    Unclear,
    /// The HSDir refused the descriptor, for this reason in the carrier's words.
    Refused(String),
    /// The descriptor did not reach the HSDir, or no answer came.
    Failed,
    /// The carrier does not know this relay: a retry fails before [`Message::DirectoryChanged`].
    Unknown,
}
