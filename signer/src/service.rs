//! A service that is held, of either version: renders and signs what may be signed.

use onionbalance_proto::config::{Address, InstanceV2, InstanceV3, Instances};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::HeldService;
use rand_core::CryptoRngCore;

use crate::log::Priority;
use crate::v2::judge::Backend;
use crate::v3::delegation::Delegation;
use crate::{v2, v3};

/// A service whose key is held.
pub enum Service {
    /// Of version 2.
    V2(v2::service::Service),
    /// Of version 3.
    V3(v3::service::Service),
}

impl Service {
    /// What the balancer may know of it.
    pub fn public(&self) -> HeldService {
        match self {
            Self::V2(service) => HeldService::V2(service.public()),
            Self::V3(service) => HeldService::V3 {
                held: service.public(),
                delegation_ends: service.delegation().map(Delegation::ends),
            },
        }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        match self {
            Self::V2(service) => Address::V2(service.address()),
            Self::V3(service) => Address::V3(service.address()),
        }
    }

    /// Its `key` in the configuration.
    pub fn key(&self) -> &str {
        match self {
            Self::V2(service) => service.key(),
            Self::V3(service) => service.key(),
        }
    }

    /// What to log of it.
    pub fn summary(&self) -> String {
        let (backends, delegation) = match self {
            Self::V2(service) => (service.backends().len(), None),
            Self::V3(service) => (service.backends().len(), service.delegation()),
        };
        let until = delegation.map(|delegation| {
            let (first, last) = delegation.span();
            let length = u16::from(first.length);
            format!(", by a delegation for the periods {} to {}/{length}", first.number, last.number)
        });
        format!("holding {} for {backends} backends{}", self.address(), until.unwrap_or_default())
    }

    /// What there is to log at `now`.
    pub fn notice(&mut self, now: UnixTime) -> Option<(Priority, String)> {
        match self {
            Self::V2(_) => None,
            Self::V3(service) => service.notice(now),
        }
    }

    /// Whether instances can be this service's: those of another version cannot.
    pub fn fits(&self, instances: &Instances) -> bool {
        match instances {
            Instances::None => true,
            Instances::V2(_) => matches!(self, Self::V2(_)),
            Instances::V3(_) => matches!(self, Self::V3(_)),
        }
    }

    /// Allows these backends and no others from now on. False if that changes nothing, as with those of another version.
    pub fn allow(&mut self, instances: &Instances, rng: &mut impl CryptoRngCore) -> bool {
        match (self, instances) {
            (Self::V2(service), Instances::None) => service.allow(Vec::new()),
            (Self::V3(service), Instances::None) => service.allow(Vec::new(), rng),
            (Self::V2(service), Instances::V2(instances)) => service.allow(backends_v2(instances)),
            (Self::V3(service), Instances::V3(instances)) => service.allow(backends_v3(instances), rng),
            (Self::V2(_), Instances::V3(_)) | (Self::V3(_), Instances::V2(_)) => false,
        }
    }
}

/// The backends that v2 instances allow.
pub fn backends_v2(instances: &[InstanceV2]) -> Vec<Backend> {
    let backend =
        |instance: &InstanceV2| Backend { address: instance.address, cookie: instance.auth.clone() };
    instances.iter().map(backend).collect()
}

/// The backends that v3 instances allow.
pub fn backends_v3(instances: &[InstanceV3]) -> Vec<OnionAddress> {
    instances.iter().map(|instance| instance.address).collect()
}

/// The most secrets of 64 bytes that a service with these instances has at one time.
pub fn secrets(instances: &Instances) -> usize {
    match instances {
        Instances::V2(_) => 0,
        // Of either version, by its key.
        Instances::None | Instances::V3(_) => v3::service::SECRETS,
    }
}
