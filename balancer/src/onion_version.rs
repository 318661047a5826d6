//! The parts of the runtime that depend on the version of onion services: the formats, and the places of
//! descriptors.
//!
//! The engine depends on neither, and the runtime is written once for both versions: [`crate::v2`] and
//! [`crate::v3`] have the same modules and implement these traits.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::{HealthCheck, Tuning};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2;
use onionbalance_proto::v2::AuthType;

use crate::engine::{
    BackendId, BackendView, DescriptorCopy, DescriptorSlot, Found, Point, Proof, Timing, Weights,
};
use crate::network::{ClientLookup, DescriptorName, Documents, Lookup, Version};
use crate::signer::{SignerClient, SignerError};
use crate::tor::documents::consensus::Lifetime;

/// A version of onion services.
pub trait OnionVersion: Clone + Send + Sync + 'static {
    /// An onion address.
    type Address: Copy + fmt::Display + Send + Sync;
    /// A backend as it is configured.
    type Backend: Clone + Send + Sync;
    /// A backend's introduction point with everything that the signer demands of it.
    type Point: Point<Id: Send + Sync> + Send + Sync;
    /// The properties of one of a frontend's descriptors: its time period and more.
    type Term: Copy + Send + Sync;
    /// Results that are kept from one survey of the network to the next.
    type Known: Known;
    /// The places of descriptors by one consensus.
    type Directory: Directory<Self>;
    /// The reason for which clients could not use a signed descriptor.
    type FrontendError: Error + Send;
    /// The reason for which documents of this version cannot be read.
    type DirectoryError: Error;

    /// The version, for the network.
    const VERSION: Version;
    /// The proof that is needed to believe that an HSDir has a descriptor.
    const PROOF: Proof;
    /// True if a period's replicas are different documents.
    const REPLICAS_DIFFER: bool;
    /// The reason to report for a backend's descriptor that tor cannot parse.
    const UNPARSED: &'static str;

    /// The engine's timers, for a period of a day.
    fn timing(tuning: &Tuning) -> Timing;

    /// The most introduction points of a descriptor; no more than clients accept.
    fn max_points(tuning: &Tuning) -> usize;

    /// The backend's address.
    fn backend_address(backend: &Self::Backend) -> Self::Address;

    /// True if the backend authorizes its clients, and the balancer is one.
    fn is_client(backend: &Self::Backend) -> bool;

    /// The line that the frontend's clients need in their torrc; `None` if it does not authorize them.
    fn client_line(address: &Self::Address, backends: &[Self::Backend]) -> Option<ClientLine>;

    /// The name of the service's descriptor of this term, for the network.
    fn name(address: &Self::Address, term: Self::Term) -> DescriptorName;

    /// Reads the places of descriptors.
    ///
    /// # Errors
    /// The documents cannot be parsed, or are those of the other version.
    fn directory(documents: &Documents) -> Result<Self::Directory, DirectoryError<Self::DirectoryError>>;

    /// Opens and verifies a backend's present descriptor.
    ///
    /// # Errors
    /// The descriptor is not valid; the error is the reason.
    fn open(
        backend: &Self::Backend,
        directory: &Self::Directory,
        text: &str,
        now: UnixTime,
    ) -> Result<DescriptorCopy<Self::Point>, String>;

    /// Opens the frontend's own descriptor as an HSDir returned it; `None` if it is not that.
    fn open_own(
        frontend: &Frontend<Self>,
        term: Self::Term,
        text: &str,
        now: UnixTime,
    ) -> Option<Found<<Self::Point as Point>::Id>>;

    /// Has all sets of a descriptor rendered and signed, and checks each text as a client would.
    fn sign(
        order: &Order<Self>,
        signer: &mut SignerClient,
        now: UnixTime,
    ) -> impl Future<Output = Result<Signed, SignError<Self::FrontendError>>> + Send;
}

/// The rings of HSDirs by one consensus, for the status.
pub trait Rings: fmt::Debug + Send + Sync {
    /// The HSDirs on the ring of a service's descriptor in this slot, each with its place there: a part of
    /// the way round, from 0 to 1. Empty if the consensus has no such ring.
    fn places(&self, slot: DescriptorSlot) -> HashMap<Fingerprint, f64>;
}

/// The HSDirs and times of a version's descriptors, by one consensus.
pub trait Directory<V: OnionVersion>: Rings + Eq + 'static {
    /// The time in which the consensus is valid.
    fn lifetime(&self) -> &Lifetime;

    /// The number of HSDirs.
    fn hsdirs(&self) -> usize;

    /// The number of the consensus's HSDirs that are not among them because tor does not have their
    /// microdescriptors yet.
    fn missing(&self) -> usize;

    /// The length of a time period.
    fn period_length(&self) -> Duration;

    /// The beginning and the end of the time period of this descriptor of the service at `address`.
    fn period(&self, address: &V::Address, slot: DescriptorSlot) -> Range<UnixTime>;

    /// The descriptors that the service keeps published at `now`, each with its HSDirs.
    fn published(
        &self,
        known: &mut V::Known,
        address: &V::Address,
        now: UnixTime,
    ) -> Vec<(DescriptorSlot, Vec<Fingerprint>)>;

    /// The properties of the descriptor in this slot; `None` if it is not published any more.
    fn term(&self, slot: DescriptorSlot) -> Option<V::Term>;

    /// The lookup of the service's descriptor of this term; `None` if tor cannot fetch that one.
    fn lookup_own(&self, address: &V::Address, term: V::Term) -> Option<Lookup>;

    /// The HSDirs of the backend's present descriptor at `now`.
    fn backend(&self, known: &mut V::Known, backend: &V::Backend, now: UnixTime) -> BackendView;

    /// The lookup of this replica of the backend's descriptor at `now`; `None` if there is no such replica.
    fn lookup(&self, backend: &V::Backend, replica: u8, now: UnixTime) -> Option<Lookup>;

    /// The lookup of the backend's descriptor at `now` as one of its clients; `None` if it does not authorize
    /// clients. Tor's consensus or its clock may be ahead of ours, or behind.
    fn client_lookup(&self, backend: &V::Backend, now: UnixTime) -> Option<ClientLookup>;

    /// The time at which, by the clock alone, the service at `address` gets other descriptors than at `now`;
    /// `None` if a consensus decides that.
    fn changes_at(&self, address: &V::Address, now: UnixTime) -> Option<UnixTime>;
}

/// Results that follow from addresses alone, and are needed again with the next consensus.
pub trait Known: Default + Send {
    /// Ends a survey of all services and backends: forgets results that were not needed in it.
    fn end_look(&mut self);
}

/// The places of relays on a ring as parts of the way round, with four decimals. They come with the first 32
/// bits of these places, which are more than enough for a picture.
pub(crate) fn parts_of_ring(places: impl Iterator<Item = (Fingerprint, u32)>) -> HashMap<Fingerprint, f64> {
    let part = |(relay, first_bits): (Fingerprint, u32)| {
        // The product is below 10 000 · 2³², and the quotient below 10 000.
        let ten_thousandths = (u64::from(first_bits) * 10_000) >> 32;
        (relay, f64::from(u32::try_from(ten_thousandths).unwrap_or(u32::MAX)) / 10_000.0)
    };
    places.map(part).collect()
}

impl Known for () {
    fn end_look(&mut self) {}
}

/// A frontend and its backends, each once.
#[derive(Clone, Debug)]
pub struct Frontend<V: OnionVersion> {
    /// The frontend's address, of which the signer holds the key.
    pub address: V::Address,
    /// The configured backends.
    pub backends: Vec<V::Backend>,
    /// Their weights.
    pub weights: Weights,
    /// The health checks of those that have one.
    pub checks: BTreeMap<BackendId, Arc<HealthCheck>>,
}

/// The line of torrc that the clients of a v2 frontend with client authorization need.
///
/// The cookie in it authorizes clients and does nothing else: it signs nothing, and the operator has it in
/// the configuration anyway. The operator has to hand it out, and its form in a stealth backend's `hostname`
/// is not the one that clients need. So the log and the status show it to those who administer the machine:
/// the journal's readers are root and the groups adm and systemd-journal, and the status sockets have mode
/// 0660. `Debug` does not show it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientLine {
    /// The frontend's onion address.
    pub frontend: v2::OnionAddress,
    /// The cookie that one of its clients shares with the backends.
    pub cookie: v2::Cookie,
}

impl fmt::Display for ClientLine {
    /// `HidServAuth ADDRESS.onion COOKIE`. Frontends are published with basic authorization, whatever their
    /// backends have, and tor reads the kind of authorization from the cookie's last character (rend-spec-v2
    /// §2.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HidServAuth {} {}", self.frontend, self.cookie.hid_serv_auth(AuthType::Basic))
    }
}

/// A descriptor to be made: a text for each set of introduction points.
pub struct Order<V: OnionVersion> {
    /// The service and its backends.
    pub frontend: Arc<Frontend<V>>,
    /// The descriptor's properties.
    pub term: V::Term,
    /// The set of points that each text lists; at least one set, and none of them empty.
    pub sets: Vec<Vec<V::Point>>,
    /// The revision that the new descriptor has to exceed.
    pub revision_floor: u64,
}

/// A descriptor that is ready to be uploaded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// A text for each set, in the order of the sets.
    pub texts: Vec<String>,
    /// The revision counter of all texts; in version 2, the publication time in seconds since 1970.
    pub revision: u64,
}

/// The reason for which a descriptor was not made. `F` is [`OnionVersion::FrontendError`].
#[derive(Debug, thiserror::Error)]
pub enum SignError<F> {
    /// The signer refused, or is away.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Clients could not use the signed descriptor.
    #[error(transparent)]
    Frontend(F),
}

/// The reason for which documents give no directory. `D` is [`OnionVersion::DirectoryError`].
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError<D> {
    /// The documents are those of the other version.
    #[error("the documents are those of another version of onion services")]
    Version,
    /// The documents cannot be parsed.
    #[error(transparent)]
    Unreadable(#[from] D),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_parts_of_the_way_round() {
        let relay = |number| Fingerprint([number; 20]);
        // 0x40404040 ÷ 2³² is 0.25098…
        let places = [(relay(1), 0), (relay(2), 0x4040_4040), (relay(3), u32::MAX)];
        let wanted = [(relay(1), 0.0), (relay(2), 0.2509), (relay(3), 0.9999)];
        assert_eq!(parts_of_ring(places.into_iter()), wanted.into());
    }

    #[test]
    fn a_client_line_has_the_cookie_for_basic_authorization() {
        // The values that tor writes into `hostname` and `client_keys`: for basic, for stealth, and for
        // either.
        for (cookie, wanted) in [
            ("TRTUFLcJe7zonSx/Ben5Sg", "TRTUFLcJe7zonSx/Ben5Sg"),
            ("1LWjaYKD5ufodnNvVIZvpB", "1LWjaYKD5ufodnNvVIZvpA"),
            ("1LWjaYKD5ufodnNvVIZvpA==", "1LWjaYKD5ufodnNvVIZvpA"),
            ("BsDvQDEX56DEI7H6BYFwVh", "BsDvQDEX56DEI7H6BYFwVg"),
        ] {
            let frontend = "jyvfq5umznvka34v".parse().unwrap();
            let line = ClientLine { frontend, cookie: cookie.parse().unwrap() };
            assert_eq!(line.to_string(), format!("HidServAuth jyvfq5umznvka34v.onion {wanted}"));
            assert!(!format!("{line:?}").contains(wanted.trim_end_matches(['A', 'g'])));
        }
    }
}
