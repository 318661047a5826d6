//! The state that outlives the process: the newest descriptor of each backend that was seen, and the drains
//! by command.
//!
//! Without the descriptors, an HSDir that lags behind could bring back points after a restart that a backend
//! has given up. Without the drains, a restart would send visitors to a machine that is out of service.
//! Nothing else is kept: published descriptors are on the HSDirs, and everything else is found again. So the
//! file may be lost or deleted at any time at the price of the drains, and a problem with it never ends the
//! process.
//!
//! The file is written as a whole, by a thread of its own: a disk may hang, and the loop that balances never
//! waits for it. There is one writer at a time, which holds the file in the meantime. Changes in that time
//! are written by the next writer, so that the newest descriptor wins and nothing queues up. A journal would
//! write less, but would be a second format that has to be compacted and repaired; [`GATHER`] bounds the
//! amount of writing as well.

mod drains;
mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::pin;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::engine::{BackendId, Drains, Newest};
use file::{StateFile, StateFileError};

pub use drains::{AllDrains, MAX_DRAINS, NotKept};
pub use file::{Contents, parse, render};

/// The time for which changes are gathered before the file is written: with ten thousand backends there are
/// changes each second, and with a hundred thousand the file has 16 MB.
///
/// A crash loses the changes of this time. A backend's upload takes as long to reach all its HSDirs, so a
/// balancer that starts has to expect HSDirs that lag by as much in any case, and asks two of them first.
const GATHER: Duration = Duration::from_secs(60);
/// The time after which a write that has not ended is worth a warning: the disk hangs.
const SLOW: Duration = Duration::from_secs(30);
/// The longest wait for the file at the end of the process. The service manager's unit allows 10 s
/// (`TimeoutStopSec=`).
const END_WITHIN: Duration = Duration::from_secs(3);
/// The time in seconds after which no HSDir has a descriptor any more, so that an older one cannot be fetched
/// again.
const FORGOTTEN_AFTER: u64 = 2 * 86400;

/// The newest descriptor of each backend and the drains of all services, shared by all clones.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<Known>,
    drains: watch::Sender<Arc<AllDrains>>,
    news: Notify,
    /// `None` if no state is kept.
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
    /// True after a warning that the file cannot be written.
    complained: bool,
}

impl Memory {
    /// The contents of the file at `path`, which need not exist yet. A file that is not valid is moved aside.
    pub fn read(path: PathBuf) -> Self {
        let file = StateFile::at(path.clone());
        let Contents { newest, drains } = match file.read() {
            Ok(contents) => contents,
            Err(error) => {
                warn!("{error}; going on without what is in it");
                Contents::default()
            }
        };
        let drained: usize = drains.values().map(Drains::len).sum();
        let drained = (drained > 0).then_some(drained);
        info!(backends = newest.len(), drained, "read the state file {}", path.display());
        let writer = Arc::new(AsyncMutex::new(Writer { file, complained: false }));
        let known = Mutex::new(Known { newest, unsaved: false });
        let (drains, news) = (watch::Sender::new(Arc::new(drains)), Notify::new());
        Self(Arc::new(Shared { known, drains, news, place: Some(Place { path, writer }) }))
    }

    /// The newest descriptor of each backend.
    pub fn recall(&self) -> BTreeMap<BackendId, Newest> {
        self.known().newest.clone()
    }

    /// Notes the newest descriptor of a backend that one tor has seen. If several tors see the same backend,
    /// one may lag behind: an older descriptor does not replace a newer one.
    pub fn note(&self, backend: &BackendId, newest: Newest) {
        let mut known = self.known();
        let before = known.newest.get(backend);
        if before.is_none_or(|before| *before != newest && newest.supersedes(before)) {
            known.newest.insert(backend.clone(), newest);
            known.unsaved = true;
            self.0.news.notify_one();
        }
    }

    /// Keeps the file up to date, forever. `clock` returns the time.
    pub async fn keep(&self, clock: impl Fn() -> UnixTime) {
        loop {
            self.0.news.notified().await;
            sleep(GATHER).await;
            self.save_patiently(clock()).await;
        }
    }

    /// Writes the remaining changes, at the end of the process. A disk that hangs is not waited for.
    pub async fn end(&self, now: UnixTime) {
        if let (Err(_), Some(place)) = (timeout(END_WITHIN, self.save(now)).await, &self.0.place) {
            let (path, seconds) = (place.path.display(), END_WITHIN.as_secs());
            warn!("the state file {path} was not written within {seconds} s: its last changes are lost");
        }
    }

    /// Writes the file if there are changes, and waits until that is done.
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

    /// Writes the file if there are changes, in a thread, and waits for it. The thread goes on if this future
    /// is dropped.
    async fn save(&self, now: UnixTime) {
        let Some(place) = &self.0.place else { return self.known().forget(now) };
        let mut writer = Arc::clone(&place.writer).lock_owned().await;
        let Some(newest) = self.known().take_unsaved(now) else { return };
        let memory = self.clone();
        let contents = Contents { newest, drains: AllDrains::clone(&self.drains()) };
        let write = move || {
            let written = writer.write(contents);
            // The next writer cannot have begun yet.
            memory.written(&written);
            drop(writer);
        };
        match thread::Builder::new().name("state".into()).spawn(write) {
            Ok(_) => drop(place.writer.lock().await),
            Err(error) => {
                // The lock was given back with the closure.
                if !std::mem::replace(&mut place.writer.lock().await.complained, true) {
                    warn!("cannot write the state file {}: no thread: {error}", place.path.display());
                }
                self.written(&Err(error));
            }
        }
    }

    /// Notes the end of a write. After a failure the changes count as unsaved again.
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
    /// The descriptors to be written; `None` if the file has everything already.
    fn take_unsaved(&mut self, now: UnixTime) -> Option<BTreeMap<BackendId, Newest>> {
        self.forget(now);
        std::mem::take(&mut self.unsaved).then(|| self.newest.clone())
    }

    /// Forgets descriptors that no HSDir has any more.
    fn forget(&mut self, now: UnixTime) {
        self.newest.retain(|_, newest| now.since(newest.published) < FORGOTTEN_AFTER);
    }
}

impl Writer {
    fn write(&mut self, contents: Contents) -> Result<(), StateFileError> {
        let written = self.file.write(contents);
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
