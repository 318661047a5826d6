//! The packages that a booted Debian needs and this system lacks, unpacked or to be installed there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::debian::{self, Packages};
use super::{in_target, systemd};

const SYSTEMD: &str = "/lib/systemd/systemd";
const KILL: &str = "/usr/bin/kill";

/// The packages that a booted Debian needs and this system lacks: systemd as the first process, `kill` for
/// the units' `ExecReload=`, and tor with its service. Each is unpacked in a directory of its own.
pub fn debian_machine() -> Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    if !Path::new(SYSTEMD).exists() {
        missing.push(in_target(systemd::root)?);
    }
    if !Path::new(KILL).exists() {
        missing.push(in_target(procps)?);
    }
    if !Path::new("/lib/systemd/system/tor@default.service").exists() {
        missing.push(in_target(debian::tor_root)?);
    }
    Ok(missing)
}

/// The packages that [`debian_machine`] unpacks beside tor, since this system lacks them. dpkg does not know of
/// what is unpacked, and our package depends on them.
fn missing_packages() -> Vec<&'static str> {
    let needed = [(SYSTEMD, "systemd"), (KILL, "procps")];
    needed.into_iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| package).collect()
}

/// A directory with packages to be installed in a booted Debian: Debian's own of the Python program, tor, and
/// those of their dependencies that this system lacks.
pub fn debian_archives() -> Result<PathBuf> {
    in_target(|directory| {
        let archives = directory.join("archives");
        if !archives.is_dir() {
            let packages = Packages::new(directory)?;
            packages.fetch(&[&["onionbalance", "tor"], missing_packages().as_slice()].concat())?;
            fs::rename(packages.archives(), &archives)?;
        }
        Ok(archives)
    })
}

/// A directory with podman, a runtime for it and its default profiles, and those of their dependencies that
/// this system lacks, to be unpacked in a booted Debian.
pub fn podman_archives() -> Result<PathBuf> {
    in_target(|directory| {
        let archives = directory.join("podman");
        if !archives.is_dir() {
            let packages = Packages::new(directory)?;
            packages.fetch(&["podman", "crun", "golang-github-containers-common"])?;
            fs::rename(packages.archives(), &archives)?;
        }
        Ok(archives)
    })
}

fn procps(directory: &Path) -> Result<PathBuf> {
    let root = directory.join("procps");
    if !root.is_dir() {
        fetch_procps(directory, &root)
            .context("there is no /usr/bin/kill and Debian's package could not be fetched: install procps")?;
    }
    Ok(root)
}

fn fetch_procps(directory: &Path, root: &Path) -> Result<()> {
    let packages = Packages::new(directory)?;
    packages.fetch(&["procps"])?;
    Ok(fs::rename(packages.unpack()?, root)?)
}
