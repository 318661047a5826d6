//! The names of services, backends, descriptors and publications, and of the sources of descriptors.

use std::fmt;
use std::sync::Arc;

use onionbalance_proto::relay::Fingerprint;

/// A service's name: its onion address, or another name that is unique and the same at every balancer of the
/// service.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceId(pub Arc<str>);

impl ServiceId {
    /// The name of the service at this onion address.
    pub fn of(address: &impl fmt::Display) -> Self {
        Self(address.to_string().into())
    }
}

impl From<&str> for ServiceId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A backend's name: its onion address. Two balancers with equal names choose equal introduction points.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BackendId(pub Arc<str>);

impl BackendId {
    /// The name of the backend at this onion address.
    pub fn of(address: &impl fmt::Display) -> Self {
        Self(address.to_string().into())
    }
}

impl From<&str> for BackendId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the descriptors that a service keeps published at the same time: in v3 one for each period (two
/// periods at a time, replica 0), in v2 one for each period and replica.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DescriptorSlot {
    /// The number of the time period.
    pub period: u64,
    /// The replica if replicas are different documents (v2); 0 otherwise.
    pub replica: u8,
}

/// The name of an [`Action::Publish`](super::Action::Publish). None is used twice in an engine's life, and
/// later ones are greater.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublicationId(pub u64);

/// The name of an [`Action::Probe`](super::Action::Probe). None is used twice in an engine's life.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProbeId(pub u64);

impl ProbeId {
    /// The name after this one.
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The source from which a backend's descriptor is fetched.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// An HSDir, which is asked for one replica. An HSDir that is responsible for both replicas of a v2
    /// descriptor is two sources: it may lack either of them, and each needs a request of its own.
    Hsdir {
        /// The HSDir's fingerprint.
        hsdir: Fingerprint,
        /// The replica, as in [`DescriptorSlot`].
        replica: u8,
    },
    /// Any HSDir that tor chooses: tor does not accept a choice if it can fetch only as a client.
    Any,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hsdir { hsdir, .. } => hsdir.fmt(f),
            Self::Any => f.write_str("one of tor's choice"),
        }
    }
}
