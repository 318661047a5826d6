//! The balancer's requests, and the signer's replies.
//!
//! Requests carry structure, never bytes to be signed. Their fields are raw: the signer parses each field
//! when it judges it, so that every broken rule has a [`Refusal`] of its own.

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
    /// List the services whose keys the signer holds.
    Services {
        /// The index of the first service wanted, in the order of the signer's configuration.
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
    /// To [`Request::Services`].
    Services(Page),
    /// To [`Request::FrontendV3`].
    FrontendV3(v3::SignedFrontend),
    /// To [`Request::FrontendV2`].
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
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Page {
    /// The signer's release, such as `1.0.0`.
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
        /// Its addresses.
        held: Held<OnionAddressV3>,
        /// The end of the delegation's last time period; `None` if the signer holds the identity key itself.
        delegation_ends: Option<UnixTime>,
    },
}

/// The addresses of a service, all of one version.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Held<Address> {
    /// The `key` of the service in the signer's configuration, by which both sides name it.
    pub key: String,
    /// The frontend's address.
    pub address: Address,
    /// The backends whose introduction points the signer will sign for.
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
