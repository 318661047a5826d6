//! A service of either version: its key, its rules, and its rate limit. The rules and secrets of its version
//! are in [`v2::service`] and [`v3::service`].

use onionbalance_proto::config::{Address, Instances};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::wire::{Held, HeldService, Refusal, Reply, Request};
use rand_core::CryptoRngCore;

use crate::audit;
use crate::keys::Secret;
use crate::limit::RateLimit;
use crate::log::Priority;
use crate::{v2, v3};

/// A service whose key is held.
pub struct Service {
    /// The service's `key` in the configuration.
    pub key: String,
    /// The signatures that it may be asked for.
    pub limit: RateLimit,
    version: Version,
}

enum Version {
    V2(v2::service::Service),
    V3(v3::service::Service),
}

impl Service {
    /// A service without backends. `key` is the service's `key` in the configuration.
    pub fn new(key: String, secret: Secret, limit: RateLimit) -> Self {
        let version = match secret {
            Secret::V2(secret) => Version::V2(v2::service::Service::new(secret, Vec::new())),
            Secret::V3(authority) => Version::V3(v3::service::Service::new(authority, Vec::new())),
        };
        Self { key, limit, version }
    }

    /// The service's onion address.
    pub fn address(&self) -> Address {
        match &self.version {
            Version::V2(service) => Address::V2(service.address()),
            Version::V3(service) => Address::V3(service.address()),
        }
    }

    /// The part of the service that the balancer may know.
    pub fn public(&self) -> HeldService {
        let key = self.key.clone();
        match &self.version {
            Version::V2(service) => {
                let backends = service.backends().iter().map(|backend| backend.address).collect();
                HeldService::V2(Held { key, address: service.address(), backends })
            }
            Version::V3(service) => HeldService::V3 {
                held: Held { key, address: service.address(), backends: service.backends().to_vec() },
                delegation_ends: service.delegation().map(|delegation| delegation.span.ends()),
            },
        }
    }

    /// The log line of the service at the start, and at a reload that changes it.
    pub fn summary(&self) -> String {
        let (backends, delegation) = match &self.version {
            Version::V2(service) => (service.backends().len(), None),
            Version::V3(service) => (service.backends().len(), service.delegation()),
        };
        let until = delegation.map(|delegation| {
            let (first, last) = (delegation.span.first, delegation.span.last());
            let length = u16::from(first.length);
            format!("; delegated for the periods {} to {}/{length}", first.number, last.number)
        });
        let noun = if backends == 1 { "backend" } else { "backends" };
        format!("holding {}: {backends} {noun} allowed{}", self.address(), until.unwrap_or_default())
    }

    /// The line to log of its key at `now`; `None` if there is no news.
    pub fn notice(&mut self, now: UnixTime) -> Option<(Priority, String)> {
        match &mut self.version {
            Version::V2(_) => None,
            Version::V3(service) => service.notice(now),
        }
    }

    /// True unless the instances are those of another version.
    pub fn fits(&self, instances: &Instances) -> bool {
        !matches!(
            (&self.version, instances),
            (Version::V2(_), Instances::V3(_)) | (Version::V3(_), Instances::V2(_))
        )
    }

    /// Allows these backends and no others from now on. Instances of another version allow none. False if
    /// nothing changes.
    pub fn allow(&mut self, instances: &Instances) -> bool {
        match (&mut self.version, instances) {
            (Version::V2(service), Instances::V2(instances)) => service.allow(instances.clone()),
            (Version::V3(service), Instances::V3(instances)) => {
                service.allow(instances.iter().map(|instance| instance.address).collect())
            }
            (Version::V2(service), _) => service.allow(Vec::new()),
            (Version::V3(service), _) => service.allow(Vec::new()),
        }
    }

    /// Forgets what only saves time: a later request takes longer, and has the same reply.
    pub fn drop_cache(&mut self) {
        match &mut self.version {
            Version::V2(service) => service.drop_cache(),
            Version::V3(service) => service.drop_cache(),
        }
    }

    /// True if the request asks for signatures of this service.
    pub fn is_asked(&self, request: &Request) -> bool {
        match (&self.version, request) {
            (Version::V2(service), Request::FrontendV2(request)) => {
                *service.address().permanent_id() == request.service
            }
            (Version::V3(service), Request::FrontendV3(request)) => {
                *service.address().identity() == request.service
            }
            _ => false,
        }
    }

    /// Judges the request at `now`, and signs. Returns the reply and its part of the audit line.
    ///
    /// # Errors
    /// The rule that the request breaks.
    pub fn sign(
        &mut self,
        request: &Request,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<(Reply, String), Refusal> {
        match (&mut self.version, request) {
            (Version::V2(service), Request::FrontendV2(request)) => {
                let signed = service.sign(request, now, rng)?;
                let outcome = audit::outcome_v2(&signed, service.backends_in(request));
                Ok((Reply::FrontendV2(signed), outcome))
            }
            (Version::V3(service), Request::FrontendV3(request)) => {
                let signed = service.sign(request, now, rng)?;
                let outcome = audit::outcome_v3(&signed);
                Ok((Reply::FrontendV3(signed), outcome))
            }
            _ => Err(Refusal::UnknownService),
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::keys;
    use onionbalance_key_file::passphrase::Passphrases;
    use onionbalance_process::monotonic;
    use onionbalance_proto::config::InstanceV2;

    const V2_KEY: &[u8] = include_bytes!("../../proto/testdata/v2/frontend1.key");

    #[test]
    fn tells_what_is_public() {
        let secret = keys::secret(&Passphrases::Terminal.open(V2_KEY, "one.key".as_ref()).unwrap()).unwrap();
        let mut service = Service::new("one.key".into(), secret, RateLimit::new(1, monotonic()));
        let address = "jyvfq5umznvka34v".parse().unwrap();
        let instances = Instances::V2(vec![InstanceV2::new(address)]);
        assert!(service.allow(&instances) && !service.allow(&instances));
        let HeldService::V2(Held { key, address: own, backends }) = service.public() else { panic!("v3") };
        assert_eq!((key.as_str(), own.without_suffix().as_str()), ("one.key", "kmgoyykafs6v6st5"));
        assert_eq!(backends, [address]);
        assert!(service.fits(&instances) && !service.fits(&Instances::V3(Vec::new())));
        assert!(service.allow(&Instances::None));
    }
}
