//! The drains of all services by command: one source for all runtimes, which outlives the process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use onionbalance_proto::time::UnixTime;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{END_WITHIN, Memory};
use crate::engine::{BackendId, Drains, ServiceId};

/// The drains of each service that has some.
pub type AllDrains = BTreeMap<ServiceId, Drains>;

/// The most drains of all services together, which bounds the file.
pub const MAX_DRAINS: usize = 10_000;

/// The reason for which a restart may lose the present drains.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// There is no state file.
    #[error("onionbalance has no state file (state-file-location)")]
    NoFile,
    /// The file is still being written.
    #[error("the state file {} was not written within {} s: check its disk", .0.display(), END_WITHIN.as_secs())]
    Slow(PathBuf),
    /// The file cannot be written. The writer has logged the reason.
    #[error("the state file {} cannot be written: the log of onionbalance has the reason", .0.display())]
    Unwritable(PathBuf),
}

impl Memory {
    /// The drains of all services. Some may have ended since [`Memory::forget_ended_drains`].
    pub fn drains(&self) -> Arc<AllDrains> {
        self.0.drains.borrow().clone()
    }

    /// Learns of each change of the drains.
    pub fn watch_drains(&self) -> watch::Receiver<Arc<AllDrains>> {
        self.0.drains.subscribe()
    }

    /// Replaces the drains of these services. They are written with the next changes;
    /// [`Memory::keep_drains`] writes them at once.
    pub fn set_drains(&self, of_services: AllDrains) {
        self.change_drains(|drains| drains.extend(of_services));
    }

    /// Forgets the drains that have ended by this reading of the wall clock.
    pub fn forget_ended_drains(&self, now: UnixTime) {
        self.change_drains(|drains| {
            for of_service in drains.values_mut() {
                of_service.retain(|_, drain| !drain.has_ended(now));
            }
        });
    }

    /// Forgets the drains of backends that do not pass.
    pub fn forget_drains(&self, passes: impl Fn(&ServiceId, &BackendId) -> bool) {
        self.change_drains(|drains| {
            for (service, of_service) in drains {
                of_service.retain(|backend, _| passes(service, backend));
            }
        });
    }

    /// Writes the file with the present drains, if it does not have them yet. Takes 3 s at most.
    ///
    /// # Errors
    /// There is no file, it cannot be written, or that takes longer. It is tried again later.
    pub async fn keep_drains(&self, now: UnixTime) -> Result<(), NotKept> {
        let Some(place) = &self.0.place else { return Err(NotKept::NoFile) };
        let save = async {
            self.save(now).await;
            // A writer that came in between has written these drains, too.
            !place.writer.lock().await.complained
        };
        match timeout(END_WITHIN, save).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotKept::Unwritable(place.path.clone())),
            Err(_) => Err(NotKept::Slow(place.path.clone())),
        }
    }

    fn change_drains(&self, change: impl FnOnce(&mut AllDrains)) {
        let has_changed = self.0.drains.send_if_modified(|drains| {
            let mut new = AllDrains::clone(drains);
            change(&mut new);
            new.retain(|_, of_service| !of_service.is_empty());
            let has_changed = **drains != new;
            if has_changed {
                *drains = Arc::new(new);
            }
            has_changed
        });
        if has_changed {
            // A writer that reads the new drains before this writes them once more.
            self.known().unsaved = true;
            self.0.news.notify_one();
        }
    }
}
