//! The cgroup of a booted system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::until;

/// A directory in the hierarchy of cgroups, which is removed with this value.
#[derive(Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a cgroup at the root of the cgroup2 hierarchy, named after this process, and removes those of
    /// dead processes.
    pub(super) fn create(name: &str) -> Result<Self> {
        let hierarchy = hierarchy()?;
        for stale in stale(&hierarchy)? {
            remove(&stale);
        }
        let path = hierarchy.join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel needs a moment to remove the processes of a namespace after its first one was killed.
        let _ = until(Duration::from_secs(5), || {
            remove(&self.0);
            Ok((!self.0.exists()).then_some(()))
        });
    }
}

const PREFIX: &str = "onionbalance-booted-";

/// The mount point of the cgroup2 hierarchy.
fn hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
        [_, place, "cgroup2", ..] => Some(PathBuf::from(place)),
        _ => None,
    });
    found.context("no hierarchy of cgroups of version 2 is mounted, which systemd needs")
}

/// The cgroups of processes that have ended.
fn stale(hierarchy: &Path) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(hierarchy)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            stale.push(entry.path());
        }
    }
    Ok(stale)
}

/// Removes a cgroup with those below it, as far as they have no processes. The kernel removes their files.
fn remove(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}
