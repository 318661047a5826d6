//! One service of `services:`: the key of a frontend, and its backends.

use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::health_check::{self, Checking, HealthCheck};
use super::name::{self, Name, Named};
use super::password::ControlPassword;
use super::tor_pool::TorPool;
use super::weight::Weight;
use super::{MAX_INSTANCES, MAX_KEY_LENGTH};
use crate::v2::cookie::Cookie;
use crate::{text, v2, v3};

/// One frontend.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The key file, as it is written in the file. Both processes name the service by it.
    pub key: String,
    /// Its name, unique among the services; `None`: it has none.
    #[serde(default, deserialize_with = "name::optional")]
    pub name: Option<Name>,
    /// The backends, of the frontend's own version.
    #[serde(default)]
    pub instances: Instances,
    /// The tors of this service alone; `None`: it uses the tors of all services.
    #[serde(default)]
    pub tor: Option<TorPool>,
    /// The password of their control ports.
    #[serde(default, rename = "tor-control-password")]
    pub tor_control_password: Option<ControlPassword>,
    /// The health check of each backend that has no other setting; `None`: off.
    #[serde(default, rename = "health-check", deserialize_with = "health_check::of_service")]
    pub health_check: Option<HealthCheck>,
}

impl Service {
    /// Checks the service beyond its form. `is_first`: no service before it has its key. `Err`: the message
    /// for the operator.
    pub(super) fn check(&self, is_first: bool) -> Result<(), String> {
        let key = &self.key;
        if key.len() > MAX_KEY_LENGTH {
            return Err(format!("a key has more than {MAX_KEY_LENGTH} bytes: no path is that long"));
        }
        if !is_first {
            return Err(format!("two services have the key {key}: put all instances under one"));
        }
        if self.instances.count() > 0 && self.instances.weights().all(Weight::is_drained) {
            return Err(format!(
                "every instance of the service with the key {key} has `weight: 0`, so that nothing is published: \
                 give one another weight"
            ));
        }
        if self.tor.is_none() && self.tor_control_password.is_some() {
            return Err(format!(
                "the service with the key {key} has a tor-control-password and no `tor`: add `tor`, or move \
                 the password to the top of the file"
            ));
        }
        Ok(())
    }
}

impl Service {
    /// The health checks of its backends; none for a backend without one.
    pub fn health_checks(&self) -> impl Iterator<Item = &HealthCheck> {
        let of_service = self.health_check.as_ref();
        self.instances.checkings().filter_map(move |checking| checking.effective(of_service))
    }
}

/// The backends of one frontend, at most [`MAX_INSTANCES`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Instances {
    /// No backends: nothing is published for the service. Its version is determined by its key.
    #[default]
    None,
    /// Backends of a version-2 service.
    V2(Vec<InstanceV2>),
    /// Backends of a version-3 service.
    V3(Vec<InstanceV3>),
}

impl Instances {
    /// The name of `instance` if another of these backends has it too, else `None`.
    fn named_as<'a>(&self, instance: &'a Instance) -> Option<&'a Name> {
        match (self, instance) {
            (Self::V2(all), Instance::V2(InstanceV2 { address, name: Some(name), .. })) => {
                let has = |one: &InstanceV2| one.address != *address && one.name.as_ref() == Some(name);
                all.iter().any(has).then_some(name)
            }
            (Self::V3(all), Instance::V3(InstanceV3 { address, name: Some(name), .. })) => {
                let has = |one: &InstanceV3| one.address != *address && one.name.as_ref() == Some(name);
                all.iter().any(has).then_some(name)
            }
            _ => None,
        }
    }

    /// The weights of the backends.
    fn weights(&self) -> impl Iterator<Item = Weight> {
        let (v2, v3) = match self {
            Self::None => (&[][..], &[][..]),
            Self::V2(instances) => (instances.as_slice(), &[][..]),
            Self::V3(instances) => (&[][..], instances.as_slice()),
        };
        v2.iter().map(|instance| instance.weight).chain(v3.iter().map(|instance| instance.weight))
    }

    /// The settings of the health checks of the backends.
    fn checkings(&self) -> impl Iterator<Item = &Checking> {
        let (v2, v3) = match self {
            Self::None => (&[][..], &[][..]),
            Self::V2(instances) => (instances.as_slice(), &[][..]),
            Self::V3(instances) => (&[][..], instances.as_slice()),
        };
        let v2 = v2.iter().map(|instance| &instance.checking);
        v2.chain(v3.iter().map(|instance| &instance.checking))
    }

    /// The number of backends.
    pub fn count(&self) -> usize {
        match self {
            Self::None => 0,
            Self::V2(instances) => instances.len(),
            Self::V3(instances) => instances.len(),
        }
    }
}

/// A version-2 backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceV2 {
    /// Its onion address.
    pub address: v2::OnionAddress,
    /// The cookie of a client that the backend authorizes; `None`: the backend is open to every client.
    pub auth: Option<Cookie>,
    /// Its name, which no other backend of the service has.
    pub name: Option<Name>,
    /// Its weight among the backends of the service.
    pub weight: Weight,
    /// Its health check.
    pub checking: Checking,
}

/// A version-3 backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceV3 {
    /// Its onion address.
    pub address: v3::OnionAddress,
    /// Its name, which no other backend of the service has.
    pub name: Option<Name>,
    /// Its weight among the backends of the service.
    pub weight: Weight,
    /// Its health check.
    pub checking: Checking,
}

impl InstanceV2 {
    /// A backend with this address, open to every client, without a name, with the weight 1 and its service's
    /// health check.
    pub fn new(address: v2::OnionAddress) -> Self {
        Self { address, auth: None, name: None, weight: Weight::default(), checking: Checking::default() }
    }

    /// Its name and its address.
    pub fn named(&self) -> Named<'_, v2::OnionAddress> {
        Named(self.name.as_ref(), &self.address)
    }

    /// Its weight, and the setting of its health check.
    pub fn settings(&self) -> (Weight, &Checking) {
        (self.weight, &self.checking)
    }
}

impl InstanceV3 {
    /// A backend with this address, without a name, with the weight 1 and its service's health check.
    pub fn new(address: v3::OnionAddress) -> Self {
        Self { address, name: None, weight: Weight::default(), checking: Checking::default() }
    }

    /// Its name and its address.
    pub fn named(&self) -> Named<'_, v3::OnionAddress> {
        Named(self.name.as_ref(), &self.address)
    }

    /// Its weight, and the setting of its health check.
    pub fn settings(&self) -> (Weight, &Checking) {
        (self.weight, &self.checking)
    }
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InstancesVisitor)
    }
}

struct InstancesVisitor;

impl<'de> Visitor<'de> for InstancesVisitor {
    type Value = Instances;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of instances, each with its `address`")
    }

    /// `instances:` without a value.
    fn visit_unit<E: de::Error>(self) -> Result<Instances, E> {
        Ok(Instances::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Instances, A::Error> {
        let mut instances = Instances::None;
        while let Some(()) = sequence.next_element_seed(Next(&mut instances))? {}
        Ok(instances)
    }
}

/// The next instance, of the same version as those before it. It is checked while it is visited, so that an
/// error has the instance's own line.
struct Next<'a>(&'a mut Instances);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance with its `address`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let instance = Written::deserialize(MapAccessDeserializer::new(map))?.instance()?;
        if self.0.count() == MAX_INSTANCES {
            return Err(de::Error::custom(format_args!(
                "a service has more than {MAX_INSTANCES} instances: no descriptor lists that many"
            )));
        }
        if let Some(name) = self.0.named_as(&instance) {
            return Err(de::Error::custom(format_args!(
                "two backends have the name {name}: give each its own"
            )));
        }
        match (self.0, instance) {
            (Instances::V2(instances), Instance::V2(instance)) => instances.push(instance),
            (Instances::V3(instances), Instance::V3(instance)) => instances.push(instance),
            (none @ Instances::None, Instance::V2(instance)) => *none = Instances::V2(vec![instance]),
            (none @ Instances::None, Instance::V3(instance)) => *none = Instances::V3(vec![instance]),
            (Instances::V2(_), Instance::V3(_)) | (Instances::V3(_), Instance::V2(_)) => {
                return Err(de::Error::custom(
                    "v2 and v3 addresses are listed under one service: give each version a service and a \
                     key of its own",
                ));
            }
        }
        Ok(())
    }
}

/// An instance as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: Address,
    #[serde(default)]
    auth: Option<Cookie>,
    #[serde(default, deserialize_with = "name::optional")]
    name: Option<Name>,
    #[serde(default)]
    weight: Weight,
    #[serde(default, rename = "health-check")]
    checking: Checking,
}

enum Instance {
    V2(InstanceV2),
    V3(InstanceV3),
}

impl Written {
    fn instance<E: de::Error>(self) -> Result<Instance, E> {
        let Self { address, auth, name, weight, checking } = self;
        match (address, auth) {
            (Address::V2(address), auth) => {
                Ok(Instance::V2(InstanceV2 { address, auth, name, weight, checking }))
            }
            (Address::V3(address), None) => Ok(Instance::V3(InstanceV3 { address, name, weight, checking })),
            (Address::V3(_), Some(_)) => {
                Err(E::custom("`auth` is for v2 addresses: remove it from the v3 instance"))
            }
        }
    }
}

/// An onion address of either version. The length determines the version.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Address {
    /// A version-2 address.
    V2(v2::OnionAddress),
    /// A version-3 address.
    V3(v3::OnionAddress),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V2(address) => address.fmt(f),
            Self::V3(address) => address.fmt(f),
        }
    }
}

/// The text is not an onion address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The text asks for an address: `onionbalance config` and Onionbalance's `onionbalance-config` write
    /// such texts.
    #[error("the backend's onion address is missing: write it in the place of `{0}`")]
    Missing(String),
    /// The text has neither version's length.
    #[error("an onion address has 56 characters (v3) or 16 (v2) before .onion, this one has {0}")]
    Length(usize),
    /// The text has the length of a v2 address, but is not one.
    #[error(transparent)]
    V2(#[from] v2::address::AddressError),
    /// The text has the length of a v3 address, but is not one.
    #[error(transparent)]
    V3(#[from] v3::address::AddressError),
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads an address of either version, with or without `.onion`. Fails for a text that is neither.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('<') {
            return Err(AddressError::Missing(text.to_owned()));
        }
        match text.parse() {
            Ok(address) => Ok(Self::V2(address)),
            Err(v2::address::AddressError::Length(56)) => Ok(Self::V3(text.parse()?)),
            Err(v2::address::AddressError::Length(length)) => Err(AddressError::Length(length)),
            Err(error) => Err(error.into()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "an onion address")
    }
}
