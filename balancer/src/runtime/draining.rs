//! The drains by command on their way from the memory to a runtime's engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::{Drains, ServiceId};
use crate::state::{AllDrains, Memory};

/// The drains that the engine knows, and their changes.
#[derive(Debug)]
pub(super) struct DrainWatch {
    changes: watch::Receiver<Arc<AllDrains>>,
    told: Arc<AllDrains>,
}

impl DrainWatch {
    /// Watches the drains of `memory`, none of which the engine knows.
    pub(super) fn new(memory: &Memory) -> Self {
        Self { changes: memory.watch_drains(), told: Arc::default() }
    }

    /// The present drains, for an engine that is configured with them.
    pub(super) fn present(&mut self) -> Arc<AllDrains> {
        self.told = self.changes.borrow_and_update().clone();
        self.told.clone()
    }

    /// Waits for a change; forever if the memory is gone. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The services whose drains are others than before, with their drains.
    pub(super) fn differences(&mut self) -> Vec<(ServiceId, Drains)> {
        let old = self.told.clone();
        let new = self.present();
        let services: BTreeSet<&ServiceId> = old.keys().chain(new.keys()).collect();
        let differs = |service: &&ServiceId| old.get(*service) != new.get(*service);
        let drains = |service: &ServiceId| new.get(service).cloned().unwrap_or_default();
        services.into_iter().filter(differs).map(|service| (service.clone(), drains(service))).collect()
    }
}
