//! Directories that do not outlive this process.
//!
//! An [`Owned`] directory is removed when it is dropped, and [`remove_all`] removes every one at once (for
//! Ctrl-C). Both hold the registry's lock until the files are gone, so that this process cannot exit while a
//! directory is half removed.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::process::lock;

/// A directory of this process, open to its user only.
#[derive(Debug)]
pub(crate) struct Owned {
    path: PathBuf,
    kept: AtomicBool,
    registry: &'static Registry,
}

impl Owned {
    /// Makes a directory, which must not exist; the one that holds it must. After [`remove_all`] this is an
    /// error.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        REGISTRY.create(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the directory when this is dropped, so that its logs can be read.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// True if the directory stays when this is dropped: it was to be kept, or a test panics.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed) || thread::panicking()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut state = lock(&self.registry.0);
        // A kept directory stays registered, so that Ctrl-C removes it, too.
        if !self.is_kept() {
            remove(&self.path);
            state.paths.retain(|path| *path != self.path);
        }
    }
}

/// Removes all directories of this process, the kept ones too; for its end by a signal, after
/// [`crate::process::end_all`]. None can be made afterwards.
pub fn remove_all() {
    REGISTRY.remove_all();
}

/// Removes a directory that other threads may still be writing to.
pub(crate) fn remove(path: &Path) {
    // After the directory has another name, the writers' paths are not valid.
    let aside = path.with_extension("removed");
    let path = if fs::rename(path, &aside).is_ok() { &aside } else { path };
    // A file that was being created during the renaming makes the first attempt fail.
    for _ in 0..REMOVAL_ATTEMPTS {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => thread::yield_now(),
            _ => return,
        }
    }
}

const REMOVAL_ATTEMPTS: usize = 100;

static REGISTRY: Registry = Registry(Mutex::new(State { closed: false, paths: Vec::new() }));

/// The directories of one process.
#[derive(Debug)]
struct Registry(Mutex<State>);

#[derive(Debug)]
struct State {
    closed: bool,
    paths: Vec<PathBuf>,
}

impl Registry {
    fn create(&'static self, path: PathBuf) -> Result<Owned> {
        let mut state = lock(&self.0);
        ensure!(!state.closed, "everything is being stopped");
        let created = DirBuilder::new().mode(0o700).create(&path);
        created.with_context(|| format!("cannot create {}", path.display()))?;
        state.paths.push(path.clone());
        Ok(Owned { path, kept: AtomicBool::new(false), registry: self })
    }

    fn remove_all(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        for path in state.paths.drain(..) {
            remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait::until;

    fn registry() -> &'static Registry {
        Box::leak(Box::new(Registry(Mutex::new(State { closed: false, paths: Vec::new() }))))
    }

    fn is_empty(directory: &Path) -> bool {
        fs::read_dir(directory).unwrap().next().is_none()
    }

    #[test]
    fn goes_when_dropped_unless_kept() {
        let base = tempfile::tempdir().unwrap();
        let registry = registry();
        let kept = base.path().join("kept");
        registry.create(kept.clone()).unwrap().keep();
        drop(registry.create(base.path().join("dropped")).unwrap());
        assert!(kept.exists());
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
        registry.remove_all();
        assert!(is_empty(base.path()));
    }

    #[test]
    fn none_is_made_after_the_end() {
        let base = tempfile::tempdir().unwrap();
        let registry = registry();
        registry.remove_all();
        registry.create(base.path().join("late")).unwrap_err();
        assert!(is_empty(base.path()));
    }

    #[test]
    fn the_end_waits_for_a_removal_that_has_begun() {
        let base = tempfile::tempdir().unwrap();
        let registry = registry();
        let owned = registry.create(base.path().join("large")).unwrap();
        for number in 0..2000 {
            fs::write(owned.path().join(number.to_string()), "").unwrap();
        }
        let path = owned.path().to_owned();
        let dropping = thread::spawn(|| drop(owned));
        until(Duration::from_mins(1), || Ok((!path.exists()).then_some(()))).unwrap();
        registry.remove_all();
        assert!(is_empty(base.path()));
        dropping.join().unwrap();
    }

    #[test]
    fn goes_under_the_hands_of_writers() {
        let base = tempfile::tempdir().unwrap();
        let registry = registry();
        let owned = registry.create(base.path().join("busy")).unwrap();
        let path = owned.path();
        thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || {
                    let mut number = 0;
                    while fs::write(path.join(format!("{writer}-{number}")), "").is_ok() {
                        number += 1;
                    }
                });
            }
            until(Duration::from_mins(1), || Ok(path.join("3-9").exists().then_some(()))).unwrap();
            registry.remove_all();
        });
        assert!(is_empty(base.path()));
    }
}
