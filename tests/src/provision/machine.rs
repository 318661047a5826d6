//! The packages that a booted Debian needs and this system lacks, unpacked or to be installed there.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::debian::{self, Unpacked, archives};
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

/// The packages besides tor that [`debian_machine`] unpacks because this system lacks them. Our package depends
/// on them, and dpkg does not know unpacked packages.
fn missing_packages() -> Vec<&'static str> {
    let needed = [(SYSTEMD, "systemd"), (KILL, "procps")];
    needed.into_iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| package).collect()
}

/// A directory with packages to be installed in a booted Debian: Debian's own of the Python program, tor, and
/// those of their dependencies that this system lacks.
pub fn debian_archives() -> Result<PathBuf> {
    let packages = [&["onionbalance", "tor"], missing_packages().as_slice()].concat();
    in_target(|directory| archives(directory, "archives", &packages))
}

/// A directory with podman, a runtime for it and its default profiles, and those of their dependencies that
/// this system lacks, to be unpacked in a booted Debian.
pub fn podman_archives() -> Result<PathBuf> {
    let packages = ["podman", "crun", "golang-github-containers-common"];
    in_target(|directory| archives(directory, "podman", &packages))
}

fn procps(directory: &Path) -> Result<PathBuf> {
    let remedy = "there is no /usr/bin/kill and Debian's package could not be fetched: install procps";
    Unpacked { name: "procps", packages: &["procps"], remedy }.below(directory, |_, _| Ok(()))
}
