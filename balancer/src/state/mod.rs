//! What outlives the process: the newest descriptor that was seen of each backend.
//!
//! Without it, an HSDir that lags behind could bring points back after a restart that a backend has given up. Nothing else
//! is kept: what was published stands on the HSDirs, and everything else is found anew. So the file may be lost or deleted at
//! any time, and trouble with it never ends the process.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::engine::{BackendId, Newest};
use file::StateFile;

pub use file::{parse, render};

/// How long further news is gathered before the file is written.
const GATHER: Duration = Duration::from_secs(1);
/// HSDirs keep nothing for so long: what is older does not come back.
const FORGOTTEN_AFTER: u64 = 2 * 86400;

/// The newest descriptor of each backend, which all who have a clone of this share.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<Known>,
    news: Notify,
}

#[derive(Default)]
struct Known {
    /// None if nothing shall outlive the process.
    file: Option<StateFile>,
    newest: BTreeMap<BackendId, Newest>,
    unsaved: bool,
    /// That it cannot be written has been said.
    complained: bool,
}

impl Memory {
    /// What the file at `path` holds, which need not be there yet. A file that makes no sense is moved aside.
    pub fn read(path: PathBuf) -> Self {
        let file = StateFile::at(path);
        let newest = match file.read() {
            Ok(newest) => newest,
            Err(error) => {
                warn!("{error}; going on without what is in it");
                BTreeMap::new()
            }
        };
        info!(backends = newest.len(), "read the state file {}", file.path().display());
        let known = Known { file: Some(file), newest, ..Known::default() };
        Self(Arc::new(Shared { known: Mutex::new(known), news: Notify::new() }))
    }

    /// What is known.
    pub fn recall(&self) -> BTreeMap<BackendId, Newest> {
        self.known().newest.clone()
    }

    /// Takes what is the newest of a backend now.
    pub fn note(&self, backend: &BackendId, newest: Newest) {
        let mut known = self.known();
        if known.newest.insert(backend.clone(), newest) != Some(newest) {
            known.unsaved = true;
            self.0.news.notify_one();
        }
    }

    /// Keeps the file up to date, for ever. `clock` tells the time.
    pub async fn keep(&self, clock: impl Fn() -> UnixTime) {
        loop {
            self.0.news.notified().await;
            tokio::time::sleep(GATHER).await;
            self.save(clock());
        }
    }

    /// Writes the file if there is news.
    pub fn save(&self, now: UnixTime) {
        let mut known = self.known();
        if !std::mem::take(&mut known.unsaved) {
            return;
        }
        known.newest.retain(|_, newest| now.since(newest.published) < FORGOTTEN_AFTER);
        let Known { file: Some(file), newest, .. } = &*known else { return };
        let written = file.write(newest);
        if let (Err(error), false) = (&written, known.complained) {
            warn!("{error}; going on without it, and trying again with the next news");
        }
        known.unsaved = written.is_err();
        known.complained = written.is_err();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
