//! A service that is held, of either version: renders and signs what may be signed.

pub mod v2;
pub mod v3;

use onionbalance_proto::wire::HeldService;

/// A service whose key is held.
pub enum Service {
    /// Of version 2.
    V2(v2::Service),
    /// Of version 3.
    V3(v3::Service),
}

impl Service {
    /// What the balancer may know of it.
    pub fn public(&self) -> HeldService {
        match self {
            Self::V2(service) => HeldService::V2(service.public()),
            Self::V3(service) => HeldService::V3(service.public()),
        }
    }

    /// Its address.
    pub fn address(&self) -> String {
        match self {
            Self::V2(service) => service.address().to_string(),
            Self::V3(service) => service.address().to_string(),
        }
    }
}
