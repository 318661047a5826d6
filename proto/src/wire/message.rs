//! What the balancer may ask, and what it may be answered.
//!
//! Requests carry structure, never bytes to be signed. Their fields are raw: the signer parses each one as it judges,
//! so that every rule that is broken has a [`Refusal`] of its own.

use serde::{Deserialize, Serialize};

use super::page::Page;
use super::reason::Reason;
use super::refusal::Refusal;
use super::{v2, v3};
use crate::time::UnixTime;
use crate::v2::OnionAddress as OnionAddressV2;
use crate::v3::OnionAddress as OnionAddressV3;

/// What the balancer may ask.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Request {
    /// Which services are held?
    Services {
        /// The index, in the signer's configuration, of the first service that is wanted.
        from: u32,
    },
    /// Render and sign a v3 frontend's descriptors.
    FrontendV3(v3::FrontendRequest),
    /// Render and sign a v2 frontend's descriptor.
    FrontendV2(v2::FrontendRequest),
}

/// What the signer answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Reply {
    /// To [`Request::Services`].
    Services(Page),
    /// To [`Request::FrontendV3`].
    FrontendV3(v3::SignedFrontend),
    /// To [`Request::FrontendV2`].
    FrontendV2(v2::SignedFrontend),
    /// A rule was broken; nothing was signed.
    Refused(Refusal),
    /// To whatever was asked, by a signer that cannot start: it ends after this reply.
    NotReady(Reason),
}

/// A service whose key the signer holds: public parts only.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum HeldService {
    /// Of version 2.
    V2(Held<OnionAddressV2>),
    /// Of version 3.
    V3 {
        /// Its addresses.
        held: Held<OnionAddressV3>,
        /// When the last time period of the delegation ends; `None` if the signer holds the identity key itself.
        delegation_ends: Option<UnixTime>,
    },
}

/// The addresses of a service, of the same version all.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Held<Address> {
    /// The `key` of the service as the signer's configuration has it, so that both sides mean the same service.
    pub key: String,
    /// The frontend's address.
    pub address: Address,
    /// The backends whose introduction points the signer will sign for.
    pub backends: Vec<Address>,
}

impl HeldService {
    /// The `key` of the service as the signer's configuration has it.
    pub fn key(&self) -> &str {
        match self {
            Self::V2(held) => &held.key,
            Self::V3 { held, .. } => &held.key,
        }
    }
}
