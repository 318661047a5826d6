//! The part of the status about one service: the engine's state, and the entries of the configuration.

use crate::engine::ServiceStatus;
use crate::names::Names;
use crate::onion_version::ClientLine;

/// The status of one service, with its names.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The engine's state of the service.
    pub status: ServiceStatus,
    /// The names of the service and of its backends.
    pub names: Names,
    /// The line that its clients need in their torrc; `None` if it does not authorize them.
    pub client_line: Option<ClientLine>,
}
