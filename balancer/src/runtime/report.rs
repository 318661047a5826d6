//! The part of the status about one service: the engine's state, and the entries of the configuration.

use std::ops::Range;

use onionbalance_proto::time::UnixTime;

use super::{Activity, Fetches, Probes, Publications, Uploads};
use crate::engine::ServiceStatus;
use crate::names::Names;
use crate::onion_version::ClientLine;

/// The facts of a descriptor that the engine does not know.
#[derive(Clone, Debug, Default)]
pub struct DescriptorReport {
    /// Its time period; `None` before the first consensus.
    pub period: Option<Range<UnixTime>>,
    /// The size of its largest text in bytes; `None` before it was signed.
    pub bytes: Option<usize>,
}

/// The status of one service, with its names.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The engine's state of the service.
    pub status: ServiceStatus,
    /// Further facts of its descriptors, in their order.
    pub descriptors: Vec<DescriptorReport>,
    /// The uploads of its descriptors.
    pub uploads: Uploads,
    /// The times that its publications took.
    pub publications: Publications,
    /// The publications and warnings, for the line of a day.
    pub activity: Activity,
    /// The fetches of its backends' descriptors, in the order of these.
    pub fetches: Vec<Fetches>,
    /// The probes of its backends, in the order of these.
    pub probes: Vec<Probes>,
    /// The names of the service and of its backends.
    pub names: Names,
    /// The line that its clients need in their torrc; `None` if it does not authorize them.
    pub client_line: Option<ClientLine>,
}
