//! The frontends: the file's services with the addresses of the keys that the signer holds for them.

use std::fmt::Display;

use onionbalance_proto::config::{ConfigError, InstanceV2, Instances, Service};
use onionbalance_proto::wire::{Held, HeldService};
use onionbalance_proto::{v2, v3};
use tracing::warn;

use super::Configuration;
use crate::tor::{Endpoint, Password};

/// All frontends, each version in the order of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontends {
    /// Those of version 2.
    pub v2: Vec<Frontend<v2::OnionAddress, InstanceV2>>,
    /// Those of version 3.
    pub v3: Vec<Frontend<v3::OnionAddress, v3::OnionAddress>>,
    /// Backends that the file lists and that are left out, since the signer refuses whatever lists a point of theirs.
    pub left_out: Vec<ConfigError>,
}

/// A frontend and its backends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frontend<Address, Backend> {
    /// The frontend's address, of which the signer holds the key.
    pub address: Address,
    /// The backends, each address once.
    pub backends: Vec<Backend>,
    /// The tor that looks for them and publishes the frontend, if it is not the one of all services.
    pub tor: Option<ServiceTor>,
}

/// The tor of a single service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceTor {
    /// Where its control port is.
    pub endpoint: Endpoint,
    /// The password of that control port, if it has one of its own.
    pub password: Option<Password>,
}

impl Frontends {
    /// Whether there is a v2 backend that authorizes its clients.
    pub fn authorize(&self) -> bool {
        self.v2.iter().flat_map(|frontend| &frontend.backends).any(|backend| backend.auth.is_some())
    }
}

impl Configuration {
    /// The frontends that the file lists and whose keys are among `held`.
    pub fn frontends(&self, held: &[HeldService]) -> Result<Frontends, ConfigError> {
        let mut frontends = Frontends::default();
        for service in &self.config.services {
            let about = |what| ConfigError::about(&self.text, &self.path, &service.key, what);
            let held = held.iter().find(|held| held.key() == service.key).ok_or_else(|| {
                about(format!(
                    "the signer does not hold the key {}: restart it with this configuration",
                    service.key
                ))
            })?;
            match (held, &service.instances) {
                (HeldService::V2(held), Instances::V2(instances)) => {
                    let frontend = self.frontend(service, held, instances, |instance| instance.address);
                    frontends.v2.push(frontend);
                    frontends
                        .left_out
                        .extend(self.left_out(service, held, instances, |instance| instance.address));
                }
                (HeldService::V3 { held, .. }, Instances::V3(instances)) => {
                    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
                    frontends.v3.push(self.frontend(service, held, &addresses, |address| *address));
                    frontends.left_out.extend(self.left_out(service, held, &addresses, |address| *address));
                }
                (HeldService::V3 { .. }, Instances::V2(_)) => {
                    return Err(about(other_version(service, 2, 3)));
                }
                (HeldService::V2(_), Instances::V3(_)) => return Err(about(other_version(service, 3, 2))),
            }
        }
        Ok(frontends)
    }

    fn frontend<Address: Copy + Display + Eq, Backend: Clone>(
        &self,
        service: &Service,
        held: &Held<Address>,
        instances: &[Backend],
        address: impl Fn(&Backend) -> Address,
    ) -> Frontend<Address, Backend> {
        let mut backends: Vec<Backend> = Vec::with_capacity(instances.len());
        for instance in instances {
            let backend = address(instance);
            if backends.iter().any(|earlier| address(earlier) == backend) {
                warn!("{}: {backend} is listed twice for {}", self.path.display(), held.address);
                continue;
            }
            if held.backends.contains(&backend) {
                backends.push(instance.clone());
            }
        }
        let tor = service.tor.as_ref().map(|place| ServiceTor {
            endpoint: self.endpoint(place),
            password: service.tor_control_password.clone().map(|password| Password::new(password.0)),
        });
        Frontend { address: held.address, backends, tor }
    }

    /// The backends of a service that the signer does not allow.
    fn left_out<Address: Display + Eq, Backend>(
        &self,
        service: &Service,
        held: &Held<Address>,
        instances: &[Backend],
        address: impl Fn(&Backend) -> Address,
    ) -> Vec<ConfigError> {
        let addresses = instances.iter().map(address);
        let unknown = addresses.filter(|backend| !held.backends.contains(backend));
        let error = |backend| {
            let what = format!(
                "the signer does not know {backend} as a backend of {}, and would not sign for it: send the signer SIGHUP, so \
                 that it reads this configuration, and then onionbalance",
                held.address
            );
            ConfigError::about(&self.text, &self.path, &service.key, what)
        };
        unknown.map(error).collect()
    }
}

fn other_version(service: &Service, instances: u8, key: u8) -> String {
    format!(
        "the instances of {} are v{instances} onion services, and the key that the signer holds is of v{key}: restart it \
         with this configuration",
        service.key
    )
}
