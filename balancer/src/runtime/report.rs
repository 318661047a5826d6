//! What the status shows of a service: the engine's state of it, and what only the configuration knows.

use crate::engine::ServiceStatus;
use crate::generation::ClientLine;
use crate::names::Names;

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The engine's state of it.
    pub status: ServiceStatus,
    /// What the operator calls it and its backends.
    pub names: Names,
    /// What its clients need in their torrc, if it authorizes them.
    pub client_line: Option<ClientLine>,
}
