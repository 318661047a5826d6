//! The counts of publications and warnings of each service, for the line that is logged once a day.

use std::collections::HashMap;

use super::notice::Words;
use crate::engine::{BackendId, ServiceId};

/// The publications and warnings of a service since its runtime began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Activity {
    /// Descriptors that were handed to tor.
    pub publications: u64,
    /// Warnings about the service, or about one of its backends.
    pub faults: u64,
}

/// The counts of one runtime.
#[derive(Debug, Default)]
pub(super) struct Activities {
    services: HashMap<ServiceId, Activity>,
    /// The warnings about each backend.
    backends: HashMap<BackendId, u64>,
}

impl Activities {
    /// Counts a descriptor that is handed to tor.
    pub(super) fn publication(&mut self, service: &ServiceId) {
        self.services.entry(service.clone()).or_default().publications += 1;
    }

    /// Counts a warning.
    pub(super) fn notice(&mut self, words: &Words) {
        if !words.is_warning {
            return;
        }
        if let Some(backend) = &words.backend {
            *self.backends.entry(backend.clone()).or_default() += 1;
        } else if let Some(service) = &words.service {
            self.services.entry(service.clone()).or_default().faults += 1;
        }
    }

    /// The counts of a service with these backends.
    pub(super) fn of<'a>(
        &self,
        service: &ServiceId,
        backends: impl Iterator<Item = &'a BackendId>,
    ) -> Activity {
        let own = self.services.get(service).copied().unwrap_or_default();
        let of_backends: u64 = backends.filter_map(|backend| self.backends.get(backend)).sum();
        Activity { faults: own.faults + of_backends, ..own }
    }

    /// Forgets services and backends that are no longer configured.
    pub(super) fn retain(
        &mut self,
        service: impl Fn(&ServiceId) -> bool,
        backend: impl Fn(&BackendId) -> bool,
    ) {
        self.services.retain(|id, _| service(id));
        self.backends.retain(|id, _| backend(id));
    }
}
