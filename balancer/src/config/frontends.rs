//! The frontends: the file's services with the addresses of the keys that the signer holds for them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use onionbalance_proto::config::{
    Address, Checking, ConfigError, HealthCheck, InstanceV2, InstanceV3, Instances, Lines, Named, ProbeKind,
    Service, Weight, check_own_backends,
};
use onionbalance_proto::wire::{Held, HeldService};
use onionbalance_proto::{v2, v3};
use tracing::warn;

use super::Configuration;
use crate::endpoint::Endpoint;
use crate::engine::{BackendId, ServiceId, Weights};
use crate::names::{Names, NamesBuilder};
use crate::tor::Password;

/// All frontends, each version in the order of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontends {
    /// The version 2 frontends.
    pub v2: Vec<Frontend<v2::OnionAddress, InstanceV2>>,
    /// The version 3 frontends.
    pub v3: Vec<Frontend<v3::OnionAddress, v3::OnionAddress>>,
    /// The names of services and backends in the file.
    pub names: Names,
    /// The entries of the file that do not match the signer's: services whose key it does not hold, and
    /// backends that it does not allow.
    pub left_out: Vec<ConfigError>,
}

/// A frontend and its backends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frontend<Address, Backend> {
    /// The frontend's address, of which the signer holds the key.
    pub address: Address,
    /// The backends, each address once.
    pub backends: Vec<Backend>,
    /// Their weights.
    pub weights: Weights,
    /// The health checks of those that have one. An HTTP probe names its host.
    pub checks: BTreeMap<BackendId, Arc<HealthCheck>>,
    /// The tors that look for the backends and publish the frontend; `None` for those of all services.
    pub tors: Option<TorPool>,
}

/// The tors that share the work of some services.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TorPool {
    /// Their control ports; at least one.
    pub endpoints: Vec<Endpoint>,
    /// The password of these control ports; `None` for the one of all.
    pub password: Option<Password>,
}

/// The remedy for a key that the signer does not hold: it reads keys at its start only.
const RESTART_SIGNER: &str = "systemctl restart onionbalance-signer; systemctl reload onionbalance (elsewhere: restart the \
    signer, then send onionbalance SIGHUP)";

impl Configuration {
    /// The frontends that the file lists and whose keys are among `held`.
    ///
    /// # Errors
    /// A frontend is among its own backends. Entries that do not match the signer's are left out instead.
    pub fn frontends(&self, held: &[HeldService]) -> Result<Frontends, ConfigError> {
        let held: HashMap<&str, &HeldService> = held.iter().map(|held| (held.key(), held)).collect();
        self.check_own_backends(&held)?;
        let lines = Lines::of(&self.text);
        let mut frontends = Frontends::default();
        let mut names = NamesBuilder::default();
        for service in &self.config.services {
            let about = |what| lines.error(&self.path, &service.key, what);
            let Some(held) = held.get(service.key.as_str()).copied() else {
                let what = format!("the signer does not hold the key {}: {RESTART_SIGNER}", service.key);
                frontends.left_out.push(about(what));
                continue;
            };
            match (held, &service.instances) {
                (HeldService::V2(held), Instances::None) => {
                    collect(&mut names, service, held, &[], InstanceV2::named);
                    let settings = InstanceV2::settings;
                    frontends.v2.push(self.frontend(service, held, &[], InstanceV2::named, settings));
                }
                (HeldService::V3 { held, .. }, Instances::None) => {
                    collect(&mut names, service, held, &[], InstanceV3::named);
                    frontends.v3.push(self.frontend_v3(service, held, &[]));
                }
                (HeldService::V2(held), Instances::V2(instances)) => {
                    collect(&mut names, service, held, instances, InstanceV2::named);
                    let settings = InstanceV2::settings;
                    frontends.v2.push(self.frontend(service, held, instances, InstanceV2::named, settings));
                    let left_out = self.left_out(&lines, service, held, instances, InstanceV2::named);
                    frontends.left_out.extend(left_out);
                }
                (HeldService::V3 { held, .. }, Instances::V3(instances)) => {
                    collect(&mut names, service, held, instances, InstanceV3::named);
                    frontends.v3.push(self.frontend_v3(service, held, instances));
                    let left_out = self.left_out(&lines, service, held, instances, InstanceV3::named);
                    frontends.left_out.extend(left_out);
                }
                (HeldService::V3 { .. }, Instances::V2(_)) => {
                    frontends.left_out.push(about(other_version(service, 2, 3)));
                }
                (HeldService::V2(_), Instances::V3(_)) => {
                    frontends.left_out.push(about(other_version(service, 3, 2)));
                }
            }
        }
        frontends.names = names.build();
        Ok(frontends)
    }

    /// The first backend or service that the signer has and this file has not: the signer runs with another
    /// configuration. `None` if there is no such entry.
    pub fn excess(&self, held: &[HeldService]) -> Option<ConfigError> {
        let services: HashMap<&str, &Service> =
            self.config.services.iter().map(|service| (service.key.as_str(), service)).collect();
        held.iter().find_map(|held| {
            let key = held.key();
            let about = |what| ConfigError::about(&self.text, &self.path, key, what);
            let Some(service) = services.get(key) else {
                return Some(about(format!("the signer still holds the key {key}: {RESTART_SIGNER}")));
            };
            let excess = match (held, &service.instances) {
                (HeldService::V2(held), Instances::V2(instances)) => excess(held, instances, InstanceV2::named),
                (HeldService::V3 { held, .. }, Instances::V3(instances)) => {
                    excess(held, instances, InstanceV3::named)
                }
                (HeldService::V2(held), _) => excess(held, &[], InstanceV2::named),
                (HeldService::V3 { held, .. }, _) => excess(held, &[], InstanceV3::named),
            };
            excess.map(|backend| {
                about(format!(
                    "the signer still allows {backend}: it has not taken this configuration, and its log says why"
                ))
            })
        })
    }

    /// The backends that the file lists for each service whose key is among `held` and that passes, whether
    /// the signer allows them or not.
    pub fn listed(
        &self,
        held: &[HeldService],
        passes: impl Fn(&ServiceId) -> bool,
    ) -> BTreeMap<ServiceId, BTreeSet<BackendId>> {
        let services: HashMap<&str, &Service> =
            self.config.services.iter().map(|service| (service.key.as_str(), service)).collect();
        let listed = |held: &HeldService| {
            let id = match held {
                HeldService::V2(held) => ServiceId::of(&held.address),
                HeldService::V3 { held, .. } => ServiceId::of(&held.address),
            };
            let service = services.get(held.key()).filter(|_| passes(&id))?;
            let backends = match &service.instances {
                Instances::None => BTreeSet::new(),
                Instances::V2(all) => all.iter().map(|one| BackendId::of(&one.address)).collect(),
                Instances::V3(all) => all.iter().map(|one| BackendId::of(&one.address)).collect(),
            };
            Some((id, backends))
        };
        held.iter().filter_map(listed).collect()
    }

    fn check_own_backends(&self, held: &HashMap<&str, &HeldService>) -> Result<(), ConfigError> {
        let address = |key: &str| match held.get(key)? {
            HeldService::V2(held) => Some(Address::V2(held.address)),
            HeldService::V3 { held, .. } => Some(Address::V3(held.address)),
        };
        check_own_backends(&self.config.services, address, &self.text, &self.path)
    }

    fn frontend_v3(
        &self,
        service: &Service,
        held: &Held<v3::OnionAddress>,
        instances: &[InstanceV3],
    ) -> Frontend<v3::OnionAddress, v3::OnionAddress> {
        let Frontend { address, backends, weights, checks, tors } =
            self.frontend(service, held, instances, InstanceV3::named, InstanceV3::settings);
        let backends = backends.iter().map(|instance| instance.address).collect();
        Frontend { address, backends, weights, checks, tors }
    }

    fn frontend<Address: Copy + Display + Eq + Hash, Backend: Clone>(
        &self,
        service: &Service,
        held: &Held<Address>,
        instances: &[Backend],
        named: fn(&Backend) -> Named<'_, Address>,
        settings: fn(&Backend) -> (Weight, &Checking),
    ) -> Frontend<Address, Backend> {
        let allowed: HashSet<&Address> = held.backends.iter().collect();
        let mut seen = HashSet::with_capacity(instances.len());
        let mut backends: Vec<Backend> = Vec::with_capacity(instances.len());
        for instance in instances {
            let backend = named(instance);
            if !seen.insert(*backend.1) {
                let service = Named(service.name.as_ref(), &held.address);
                let path = self.path.display();
                let (of, one) = (name_or_address(service), name_or_address(backend));
                warn!(
                    text.service = of,
                    text.backend = one,
                    "{path}: {backend} is listed twice for {service}"
                );
                continue;
            }
            if allowed.contains(backend.1) {
                backends.push(instance.clone());
            }
        }
        let id = |backend| BackendId::of(named(backend).1);
        let weights = backends.iter().map(|backend| (id(backend), settings(backend).0.value())).collect();
        let of_service = service.health_check.as_ref().map(|check| for_frontend(check, &held.address));
        let check = |backend| {
            let check = match settings(backend).1 {
                Checking::OfService => of_service.clone()?,
                Checking::Off => return None,
                Checking::Own(check) => for_frontend(check, &held.address),
            };
            Some((id(backend), check))
        };
        let checks = backends.iter().filter_map(check).collect();
        Frontend { address: held.address, backends, weights, checks, tors: self.own_tors(service) }
    }

    /// An error for each backend of a service that the signer does not allow.
    fn left_out<Address: Display + Eq + Hash, Backend>(
        &self,
        lines: &Lines<'_>,
        service: &Service,
        held: &Held<Address>,
        instances: &[Backend],
        named: fn(&Backend) -> Named<'_, Address>,
    ) -> Vec<ConfigError> {
        let allowed: HashSet<&Address> = held.backends.iter().collect();
        let unknown = instances.iter().map(named).filter(|backend| !allowed.contains(backend.1));
        let error = |backend| {
            let what = format!(
                "the signer does not know {backend} as a backend of {}, and would not sign for it: send the signer SIGHUP, so \
                 that it reads this configuration, and then onionbalance (systemctl reload onionbalance does both)",
                Named(service.name.as_ref(), &held.address)
            );
            lines.error(&self.path, &service.key, what)
        };
        unknown.map(error).collect()
    }
}

/// The health check with the frontend's address as the host of an HTTP probe that names none.
pub(crate) fn for_frontend(check: &HealthCheck, address: &impl Display) -> Arc<HealthCheck> {
    let mut check = check.clone();
    if let ProbeKind::Http(probe) = &mut check.kind {
        probe.host.get_or_insert_with(|| address.to_string());
    }
    Arc::new(check)
}

fn name_or_address<A: Display>(Named(name, address): Named<'_, A>) -> String {
    name.map_or_else(|| address.to_string(), ToString::to_string)
}

/// The first backend that the signer allows and the file does not list.
fn excess<Address: Copy + Display + Eq + Hash, Backend>(
    held: &Held<Address>,
    instances: &[Backend],
    named: fn(&Backend) -> Named<'_, Address>,
) -> Option<String> {
    let listed: HashSet<&Address> = instances.iter().map(|instance| named(instance).1).collect();
    held.backends.iter().find(|backend| !listed.contains(backend)).map(ToString::to_string)
}

/// Adds the names of a service and of its backends.
fn collect<Address: Display, Backend>(
    builder: &mut NamesBuilder,
    service: &Service,
    held: &Held<Address>,
    instances: &[Backend],
    named: fn(&Backend) -> Named<'_, Address>,
) {
    let id = ServiceId::of(&held.address);
    builder.service(&id, service.name.as_ref());
    for Named(name, address) in instances.iter().map(named) {
        if let Some(name) = name {
            builder.backend(&id, &BackendId::of(address), name);
        }
    }
}

fn other_version(service: &Service, instances: u8, key: u8) -> String {
    format!(
        "the instances of {} are v{instances} onion services, but the signer holds a v{key} key: \
         {RESTART_SIGNER}",
        service.key
    )
}
