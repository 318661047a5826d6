//! What the status shows of a service: the engine's state of it, and what only the configuration knows.

use crate::engine::ServiceStatus;
use crate::names::Names;

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The engine's state of it.
    pub status: ServiceStatus,
    /// What the operator calls it and its backends.
    pub names: Names,
}
