//! The part of the status that is about a service: the engine's state of it, and its entries in the configuration.

use crate::engine::ServiceStatus;
use crate::generation::ClientLine;
use crate::names::Names;

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The engine's state of it.
    pub status: ServiceStatus,
    /// The names of the service and of its backends.
    pub names: Names,
    /// The line that its clients need in their torrc, if it authorizes them.
    pub client_line: Option<ClientLine>,
}
