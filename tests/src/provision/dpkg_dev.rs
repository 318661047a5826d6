//! The tools of dpkg-dev, which make a Debian package. They are scripts in Perl.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};
use super::{in_target, search};
use crate::process::run;

const REMEDY: &str = "there is no dpkg-dev in $PATH and Debian's package could not be fetched: \
    install it (Debian: apt-get install dpkg-dev)";

/// A command that runs a tool of dpkg-dev: the system's, or that of Debian's package, fetched unless it is
/// there.
pub fn dpkg_dev(tool: &str) -> Result<Command> {
    match search(tool) {
        Some(installed) => Ok(Command::new(installed)),
        None => unpacked(&in_target(packaged)?, tool),
    }
}

/// The directory of Debian's unpacked dpkg-dev below `directory`; fetches it unless it exists.
fn packaged(directory: &Path) -> Result<PathBuf> {
    let packages = &["dpkg-dev", "libdpkg-perl"];
    let wanted = Unpacked { name: "dpkg-dev", packages, remedy: REMEDY };
    wanted.below(directory, |root, log| {
        run(unpacked(root, "dpkg-shlibdeps")?.arg("--version"), log)
            .context("Debian's dpkg-dev does not run on this system")
            .map(drop)
    })
}

/// Perl's modules come from the same directory; the system may have the smallest Perl only.
fn unpacked(root: &Path, tool: &str) -> Result<Command> {
    let mut modules = vec![root.join("usr/share/perl5")];
    let shared = [root.join("usr/share")];
    for directory in debian::libraries(root).iter().chain(&shared) {
        // The next directory is named after Perl's version.
        let Ok(versions) = fs::read_dir(directory.join("perl")) else { continue };
        modules.extend(versions.filter_map(Result::ok).map(|version| version.path()));
    }
    let programs = root.join("usr/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(programs.join(tool));
    command.env("PERL5LIB", env::join_paths(modules)?);
    command.env("PATH", env::join_paths(env::split_paths(&path).chain([programs]))?);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_being_installed() -> Result<()> {
        let logs = tempfile::tempdir()?;
        let mut command = unpacked(&in_target(packaged)?, "dpkg-gencontrol")?;
        let version = run(command.arg("--version"), &logs.path().join("version"))?;
        assert!(version.starts_with("Debian dpkg-gencontrol version "), "{version}");
        Ok(())
    }
}
