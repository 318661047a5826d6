//! What outlives the process: the newest descriptor that was seen of each backend.
//!
//! Without it, an HSDir that lags behind could bring points back after a restart that a backend has given up. Nothing else
//! is kept: what was published stands on the HSDirs, and everything else is found anew. So the file may be lost or deleted at
//! any time, and trouble with it never ends the process.
//!
//! The file is written as a whole, by a thread of its own: a disk may hang, and the loop that balances never waits for it.
//! There is one writer at a time, which holds the file meanwhile. Changes in that time are written by the next one, so
//! that the newest wins and nothing queues up. A journal would write less, and would be a second format that has to be
//! compacted and repaired; [`GATHER`] bounds what is written as well.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::pin;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::engine::{BackendId, Newest};
use file::{StateFile, StateFileError};

pub use file::{parse, render};

/// How long further news is gathered before the file is written: with ten thousand backends there is news each second, and
/// with a hundred thousand the file has 16 MB.
///
/// A crash loses the news of this time. A backend's upload takes as long to reach all its HSDirs, so a balancer that starts
/// has to expect HSDirs that lag by as much in any case, and asks two of them first.
const GATHER: Duration = Duration::from_secs(60);
/// A file that is not written by then is worth a warning: the disk hangs.
const SLOW: Duration = Duration::from_secs(30);
/// How long the process waits for the file at its end. The service manager's unit gives it 10 s (`TimeoutStopSec=`).
const END_WITHIN: Duration = Duration::from_secs(3);
/// Seconds after which no HSDir has a descriptor any more, so that an older one cannot be fetched again.
const FORGOTTEN_AFTER: u64 = 2 * 86400;

/// The newest descriptor of each backend, which all who have a clone of this share.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<Known>,
    news: Notify,
    /// `None` if nothing shall outlive the process.
    place: Option<Place>,
}

#[derive(Default)]
struct Known {
    newest: BTreeMap<BackendId, Newest>,
    unsaved: bool,
}

/// The path of the file, and the file itself for its one writer.
struct Place {
    path: PathBuf,
    writer: Arc<AsyncMutex<Writer>>,
}

struct Writer {
    file: StateFile,
    /// Whether a warning said that the file cannot be written.
    complained: bool,
}

impl Memory {
    /// What the file at `path` holds, which need not be there yet. A file that makes no sense is moved aside.
    pub fn read(path: PathBuf) -> Self {
        let file = StateFile::at(path.clone());
        let newest = match file.read() {
            Ok(newest) => newest,
            Err(error) => {
                warn!("{error}; going on without what is in it");
                BTreeMap::new()
            }
        };
        info!(backends = newest.len(), "read the state file {}", path.display());
        let writer = Arc::new(AsyncMutex::new(Writer { file, complained: false }));
        let known = Mutex::new(Known { newest, unsaved: false });
        Self(Arc::new(Shared { known, news: Notify::new(), place: Some(Place { path, writer }) }))
    }

    /// What is known.
    pub fn recall(&self) -> BTreeMap<BackendId, Newest> {
        self.known().newest.clone()
    }

    /// Notes the newest descriptor of a backend that one tor has seen. Of two tors that see the same backend, one may lag behind:
    /// an older descriptor does not replace a newer one.
    pub fn note(&self, backend: &BackendId, newest: Newest) {
        let mut known = self.known();
        let before = known.newest.get(backend);
        if before.is_none_or(|before| *before != newest && newest.supersedes(before)) {
            known.newest.insert(backend.clone(), newest);
            known.unsaved = true;
            self.0.news.notify_one();
        }
    }

    /// Keeps the file up to date, for ever. `clock` tells the time.
    pub async fn keep(&self, clock: impl Fn() -> UnixTime) {
        loop {
            self.0.news.notified().await;
            sleep(GATHER).await;
            self.save_patiently(clock()).await;
        }
    }

    /// Writes what is not written yet, at the end of the process. A disk that hangs is not waited for.
    pub async fn end(&self, now: UnixTime) {
        if let (Err(_), Some(place)) = (timeout(END_WITHIN, self.save(now)).await, &self.0.place) {
            let (path, seconds) = (place.path.display(), END_WITHIN.as_secs());
            warn!("the state file {path} was not written within {seconds} s: its last changes are lost");
        }
    }

    /// Writes the file if there is news, however long that takes.
    async fn save_patiently(&self, now: UnixTime) {
        let (begun, saving) = (Instant::now(), self.save(now));
        pin!(saving);
        if timeout(SLOW, &mut saving).await.is_ok() {
            return;
        }
        let path = self.0.place.as_ref().map_or(Path::new(""), |place| &place.path).display();
        warn!("writing the state file {path} takes more than {} s: check its disk", SLOW.as_secs());
        saving.await;
        info!("writing the state file {path} has ended after {} s", begun.elapsed().as_secs());
    }

    /// Writes the file if there is news, in a thread, and waits until it is done. The thread goes on if nobody waits.
    async fn save(&self, now: UnixTime) {
        let Some(place) = &self.0.place else { return self.known().forget(now) };
        let mut writer = Arc::clone(&place.writer).lock_owned().await;
        let Some(newest) = self.known().take_unsaved(now) else { return };
        let memory = self.clone();
        let write = move || {
            let written = writer.write(newest);
            // Before the next writer can begin.
            memory.written(&written);
            drop(writer);
        };
        match thread::Builder::new().name("state".into()).spawn(write) {
            Ok(_) => drop(place.writer.lock().await),
            Err(error) => {
                warn!("cannot write the state file {}: no thread: {error}", place.path.display());
                self.written(&Err(error));
            }
        }
    }

    /// The end of a write. After a failure the changes count as unsaved again.
    fn written<E>(&self, outcome: &Result<(), E>) {
        if outcome.is_err() {
            self.known().unsaved = true;
            self.0.news.notify_one();
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Takes the contents to be written; `None` if the file has them already.
    fn take_unsaved(&mut self, now: UnixTime) -> Option<BTreeMap<BackendId, Newest>> {
        self.forget(now);
        std::mem::take(&mut self.unsaved).then(|| self.newest.clone())
    }

    /// Forgets what no HSDir has any more.
    fn forget(&mut self, now: UnixTime) {
        self.newest.retain(|_, newest| now.since(newest.published) < FORGOTTEN_AFTER);
    }
}

impl Writer {
    fn write(&mut self, newest: BTreeMap<BackendId, Newest>) -> Result<(), StateFileError> {
        let written = self.file.write(newest);
        match (&written, self.complained) {
            (Err(error), false) => warn!("{error}; going on without it, and trying again every minute"),
            (Ok(()), true) => info!("the state file {} is written again", self.file.path().display()),
            _ => {}
        }
        self.complained = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests;
