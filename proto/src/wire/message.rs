//! The balancer's requests, and the signer's replies.
//!
//! Requests carry structure, never bytes to be signed. Their fields are raw: the signer parses each field
//! when it judges it, so that every broken rule has a [`Refusal`] of its own. Only the form of a frame is
//! checked here.

use serde::{Deserialize, Serialize};

use super::frame::Message;
use super::reason::Reason;
use super::refusal::Refusal;
use super::{v2, v3};
use crate::time::UnixTime;
use crate::v2::OnionAddress as OnionAddressV2;
use crate::v3::OnionAddress as OnionAddressV3;

/// A request of the balancer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Request {
    /// List the services whose keys the signer holds. The reply is a [`Page`] from this index on. A balancer
    /// asks again from the end of the page until it has [`Page::total`] services.
    Services {
        /// The index of the first service wanted, in the order of the signer's configuration, from 0. An
        /// index past the end is answered with a page without services.
        from: u32,
    },
    /// Render and sign a v3 frontend's descriptors.
    FrontendV3(v3::FrontendRequest),
    /// Render and sign a v2 frontend's descriptor.
    FrontendV2(v2::FrontendRequest),
}

/// A reply of the signer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Reply {
    /// The reply to [`Request::Services`].
    Services(Page),
    /// The reply to [`Request::FrontendV3`].
    FrontendV3(v3::SignedFrontend),
    /// The reply to [`Request::FrontendV2`].
    FrontendV2(v2::SignedFrontend),
    /// The request broke this rule, and nothing was signed.
    Refused(Refusal),
    /// The signer cannot start, and ends after this reply. It answers any request.
    NotReady(Reason),
}

impl Message for Request {
    /// For v3, 160 points of at most 600 bytes each, their backends and their sets; for v2, ten backends'
    /// descriptors of at most 20 480 bytes each.
    const MAX_LENGTH: usize = 256 * 1024;
}

impl Message for Reply {
    /// Eight descriptors of at most 50 000 bytes each. Lists of services come in pages.
    const MAX_LENGTH: usize = 512 * 1024;
}

/// A page of the list of held services.
///
/// ```
/// use onionbalance_proto::wire::{Held, HeldService, Page};
///
/// let address = "jyvfq5umznvka34v.onion".parse()?;
/// let held = Held { key: "v2.pem".into(), address, backends: vec!["3g2upl4pq6kufc4m".parse()?] };
/// let all = [HeldService::V2(held)];
/// let page = Page { version: "1.0.0".into(), edition: 7, total: 1, services: Vec::new() };
/// let page = page.fill(all.iter().cloned());
/// assert_eq!(page.services[0].key(), "v2.pem");
/// # Ok::<(), onionbalance_proto::v2::address::AddressError>(())
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Page {
    /// The signer's release, such as `1.0.0`. The protocol's version is in each frame's header.
    pub version: String,
    /// A random number, drawn each time the signer reads its configuration. Pages with different numbers
    /// belong to different lists.
    pub edition: u64,
    /// The number of services in the whole list.
    pub total: u32,
    /// Consecutive services in the order of the signer's configuration. Empty only past the end of the list.
    pub services: Vec<HeldService>,
}

/// The public parts of a service whose key the signer holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum HeldService {
    /// A version-2 service.
    V2(Held<OnionAddressV2>),
    /// A version-3 service.
    V3 {
        /// Its key and its addresses.
        held: Held<OnionAddressV3>,
        /// The end of the delegation's last time period, after which the signer cannot sign for the service;
        /// `None` if the signer holds the identity key itself.
        delegation_ends: Option<UnixTime>,
    },
}

/// The addresses of a service, all of one version.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Held<Address> {
    /// The `key` of the service in the signer's configuration, by which both sides name it: at most
    /// [`MAX_KEY_LENGTH`](crate::config::MAX_KEY_LENGTH) bytes.
    pub key: String,
    /// The frontend's address.
    pub address: Address,
    /// The backends whose introduction points the signer will sign for: at most
    /// [`MAX_INSTANCES`](crate::config::MAX_INSTANCES).
    pub backends: Vec<Address>,
}

impl HeldService {
    /// The `key` of the service in the signer's configuration.
    pub fn key(&self) -> &str {
        match self {
            Self::V2(held) => &held.key,
            Self::V3 { held, .. } => &held.key,
        }
    }
}
