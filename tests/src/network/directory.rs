//! The directory of one network, which is removed even if its owner is killed.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::owned::{self, Owned};
use crate::paths::BuildPaths;

/// A directory below `target/networks`, named for the owning process and removed with this value.
///
/// Its owner holds a lock on a file inside. A directory without a lock belonged to a process that was killed,
/// and the next creation of a directory removes it. A kept directory stays for a day.
#[derive(Debug)]
pub(crate) struct Directory {
    owned: Owned,
    sockets: Owned,
    _lock: File,
}

impl Directory {
    pub(crate) fn create() -> Result<Self> {
        let base = BuildPaths::find()?.target.join("networks");
        Self::create_below(&base).with_context(|| format!("cannot make a directory in {}", base.display()))
    }

    fn create_below(base: &Path) -> Result<Self> {
        fs::create_dir_all(base)?;
        // Between a directory's creation and its lock, no sweep may come.
        let sweeping = File::create(base.join("lock"))?;
        sweeping.lock()?;
        sweep(base)?;
        let mut names = (0..NETWORKS_MAX).map(|number| format!("{}-{number}", std::process::id()));
        let name = names.find(|name| !base.join(name).exists()).context("there are too many networks")?;
        let owned = Owned::create(base.join(name))?;
        let lock_file = File::create(owned.path().join(LOCK))?;
        lock_file.try_lock().context("the new directory is locked already")?;
        let sockets = sockets_for(owned.path())?;
        Ok(Self { owned, sockets, _lock: lock_file })
    }

    pub(crate) fn path(&self) -> &Path {
        self.owned.path()
    }

    /// A directory for AF_UNIX sockets: short enough for their addresses, and open to this user only.
    pub(crate) fn sockets(&self) -> &Path {
        self.sockets.path()
    }

    /// Keeps the directory, so that its logs can be read.
    pub(crate) fn keep(&self) {
        self.owned.keep();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.owned.is_kept() {
            let _ = fs::write(self.path().join(KEPT), "");
        }
    }
}

/// The most networks of one process.
const NETWORKS_MAX: u32 = 1000;
const LOCK: &str = "lock";
const KEPT: &str = "kept";
/// The link to, or the directory of, the sockets.
const SOCKETS: &str = "sockets";
const KEPT_FOR: Duration = Duration::from_hours(24);
/// `sun_path` has 108 bytes; of these a socket's name may take 20.
const SOCKETS_PATH_MAX: usize = 108 - 1 - 20;

/// In the network's directory if its path is short enough, else in the system's directory for temporary
/// files.
fn sockets_for(path: &Path) -> Result<Owned> {
    let beside = path.join(SOCKETS);
    if beside.as_os_str().len() <= SOCKETS_PATH_MAX {
        return Owned::create(beside);
    }
    let name = path.file_name().context("the directory has no name")?.to_string_lossy();
    let short = env::temp_dir().join(format!("onionbalance-{name}"));
    // An existing one belonged to a dead process with the same id.
    owned::remove(&short);
    let owned = Owned::create(short)?;
    symlink(owned.path(), &beside)?;
    Ok(owned)
}

fn sweep(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base)? {
        let path = entry?.path();
        let kept = fs::metadata(path.join(KEPT)).and_then(|meta| meta.modified());
        let young = kept.is_ok_and(|since| since.elapsed().is_ok_and(|age| age < KEPT_FOR));
        if path.is_dir() && !young && !is_locked(&path) {
            // Errors are ignored: the next sweep tries again.
            if let Ok(short) = fs::read_link(path.join(SOCKETS)) {
                owned::remove(&short);
            }
            owned::remove(&path);
        }
    }
    Ok(())
}

fn is_locked(path: &Path) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|file| file.try_lock().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_with_its_owner() {
        let base = tempfile::tempdir().unwrap();
        let directory = Directory::create_below(base.path()).unwrap();
        let path = directory.path().to_owned();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn sweeps_dead_owners_only() {
        let base = tempfile::tempdir().unwrap();
        let dead = base.path().join("1-0");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let kept = base.path().join("1-1");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join(KEPT), "").unwrap();
        let first = Directory::create_below(base.path()).unwrap();
        let second = Directory::create_below(base.path()).unwrap();
        assert!(!dead.exists());
        assert!(kept.exists() && first.path().exists() && second.path().exists());
    }

    #[test]
    fn keeps_socket_paths_short() {
        let base = tempfile::tempdir().unwrap();
        let deep = base.path().join("d".repeat(100));
        let directory = Directory::create_below(&deep).unwrap();
        let sockets = directory.sockets().to_owned();
        assert!(sockets.is_dir() && sockets.as_os_str().len() <= SOCKETS_PATH_MAX);
        drop(directory);
        assert!(!sockets.exists());
    }
}
