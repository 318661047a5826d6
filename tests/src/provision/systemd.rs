//! `systemd-analyze`, which judges units without a running systemd.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};
use super::{in_target, search};
use crate::process::run;

const REMEDY: &str = "there is no systemd-analyze in $PATH and Debian's package could not be fetched: \
    install it (Debian: apt-get install systemd)";

/// A command that runs `systemd-analyze`: the system's, or that of Debian's package, fetched unless it is
/// there.
pub fn systemd_analyze() -> Result<Command> {
    match search("systemd-analyze") {
        Some(installed) => Ok(Command::new(installed)),
        None => in_target(packaged),
    }
}

/// The program of Debian's package, below `directory`.
fn packaged(directory: &Path) -> Result<Command> {
    unpacked(&root(directory)?)
}

/// The directory of Debian's unpacked systemd below `directory`; fetches it unless it exists.
pub(super) fn root(directory: &Path) -> Result<PathBuf> {
    let wanted = Unpacked { name: "systemd", packages: &["systemd"], remedy: REMEDY };
    wanted.below(directory, |root, log| {
        run(unpacked(root)?.arg("--version"), log)
            .context("Debian's systemd-analyze does not run on this system")
            .map(drop)
    })
}

fn unpacked(root: &Path) -> Result<Command> {
    let libraries = debian::libraries(root);
    // The library that all of systemd's programs share is in a directory of its own.
    let shared = libraries.iter().map(|directory| directory.join("systemd"));
    let path = env::join_paths(shared.chain(libraries.iter().cloned()))?;
    let mut command = Command::new(root.join("usr/bin/systemd-analyze"));
    command.env("LD_LIBRARY_PATH", path);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_being_installed() -> Result<()> {
        let logs = tempfile::tempdir()?;
        let version = run(in_target(packaged)?.arg("--version"), &logs.path().join("version"))?;
        assert!(version.starts_with("systemd "), "{version}");
        Ok(())
    }
}
