//! A service that is held, of either version: renders and signs what may be signed.

pub mod v2;
pub mod v3;

use onionbalance_proto::config::Instances;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::HeldService;
use rand_core::CryptoRngCore;

use crate::authority::Delegation;
use crate::judge_v2;
use crate::log::Priority;

/// A service whose key is held.
pub enum Service {
    /// Of version 2.
    V2(v2::Service),
    /// Of version 3.
    V3(v3::Service),
}

/// The backends whose points may be signed for, by the configuration.
pub enum Allowed {
    /// Of version 2.
    V2(Vec<judge_v2::Backend>),
    /// Of version 3.
    V3(Vec<OnionAddress>),
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
    pub fn address(&self) -> String {
        match self {
            Self::V2(service) => service.address().to_string(),
            Self::V3(service) => service.address().to_string(),
        }
    }

    /// Its `key` in the configuration.
    pub fn key(&self) -> &str {
        match self {
            Self::V2(service) => service.key(),
            Self::V3(service) => service.key(),
        }
    }

    /// Its version, 2 or 3.
    pub fn version(&self) -> u8 {
        match self {
            Self::V2(_) => 2,
            Self::V3(_) => 3,
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

    /// Allows these backends and no others from now on; nothing changes if they are of the other version.
    pub fn allow(&mut self, allowed: Allowed, rng: &mut impl CryptoRngCore) {
        match (self, allowed) {
            (Self::V2(service), Allowed::V2(backends)) => service.allow(backends),
            (Self::V3(service), Allowed::V3(backends)) => service.allow(backends, rng),
            (Self::V2(_), Allowed::V3(_)) | (Self::V3(_), Allowed::V2(_)) => {}
        }
    }
}

impl Allowed {
    /// The instances of a service.
    pub fn of(instances: &Instances) -> Self {
        match instances {
            Instances::V2(instances) => Self::V2(
                instances
                    .iter()
                    .map(|instance| judge_v2::Backend {
                        address: instance.address,
                        cookie: instance.auth.clone(),
                    })
                    .collect(),
            ),
            Instances::V3(instances) => Self::V3(instances.iter().map(|instance| instance.address).collect()),
        }
    }

    /// Their version, 2 or 3.
    pub fn version(&self) -> u8 {
        match self {
            Self::V2(_) => 2,
            Self::V3(_) => 3,
        }
    }

    /// The most secrets of 64 bytes that such a service has at one time.
    pub fn secrets(&self) -> usize {
        match self {
            Self::V2(_) => 0,
            Self::V3(_) => v3::SECRETS,
        }
    }
}
