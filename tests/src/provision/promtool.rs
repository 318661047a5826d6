//! `promtool`, which checks metrics and alerts for Prometheus.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::Packages;
use super::{in_target, search};
use crate::process::run;

const REMEDY: &str = "there is no promtool in $PATH and Debian's package could not be fetched: \
    install it (Debian: apt-get install prometheus)";

/// A command that runs `promtool`: the system's, or that of Debian's package, fetched unless it is there.
pub fn promtool() -> Result<Command> {
    match search("promtool") {
        Some(installed) => Ok(Command::new(installed)),
        None => in_target(packaged).map(Command::new),
    }
}

/// The program of Debian's package, below `directory`; fetches it unless it exists. It needs no libraries.
fn packaged(directory: &Path) -> Result<PathBuf> {
    let program = directory.join("promtool");
    if !program.is_file() {
        fetch(directory, &program).context(REMEDY)?;
    }
    Ok(program)
}

fn fetch(directory: &Path, program: &Path) -> Result<()> {
    let packages = Packages::new(directory)?;
    packages.fetch_alone("prometheus")?;
    let fetched = packages.unpack()?.join("usr/bin/promtool");
    run(Command::new(&fetched).arg("--version"), &packages.log("promtool"))
        .context("Debian's promtool does not run on this system")?;
    Ok(fs::rename(fetched, program)?)
}
