//! A Python that has stem, the library by which the original OnionBalance read descriptors: an oracle of version 2.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::debian::{self, Packages};
use super::{in_target, search};
use crate::process::run;

const REMEDY: &str = "there is no python3 in $PATH that has stem 1.8 and cryptography, and Debian's packages could not be \
    fetched: install them (Debian: apt-get install python3-stem python3-cryptography)";

/// What it takes to open and verify descriptors: without cryptography stem passes over signatures in silence.
const PROBE: &str = "import sys, stem.prereq, stem.descriptor.hidden_service as h; \
    sys.exit(not (stem.prereq.is_crypto_available() and hasattr(h, 'HiddenServiceDescriptorV2')))";

/// A command that runs Python with stem: the system's, or Debian's packages, fetched unless they are there.
pub fn stem_python() -> Result<Command> {
    if let Some(python) = search("python3")
        && has_stem(Command::new(&python))
    {
        return Ok(Command::new(python));
    }
    in_target(|directory| {
        let root = directory.join("stem");
        if !root.is_dir() {
            fetch(directory, &root).context(REMEDY)?;
        }
        unpacked(&root)
    })
}

fn has_stem(mut python: Command) -> bool {
    let probe = python.args(["-c", PROBE]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn fetch(directory: &Path, root: &Path) -> Result<()> {
    let packages = Packages::new(directory)?;
    // The last one is named by a virtual package only.
    packages.fetch_all(&["python3-stem", "python3-cryptography", "python3-cffi-backend"], |name| {
        let needed =
            name.starts_with("python3") || name.starts_with("libpython3") || LIBRARIES.contains(&name);
        needed && !name.contains("-api-")
    })?;
    let unpacked_root = packages.unpack()?;
    run(unpacked(&unpacked_root)?.args(["-c", PROBE]), &packages.log("stem"))
        .context("Debian's stem does not run on this system")?;
    fs::rename(&unpacked_root, root)?;
    packages.remove()
}

/// What Debian's Python loads, beyond what every system has.
const LIBRARIES: [&str; 4] = ["libexpat1", "libffi8", "libssl3", "libssl3t64"];

fn unpacked(root: &Path) -> Result<Command> {
    let binaries = fs::read_dir(root.join("usr/bin"))?.collect::<Result<Vec<_>, _>>()?;
    let minor = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            let version = name.to_string_lossy().strip_prefix("python3.").map(str::to_owned);
            version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    let python = binaries
        .into_iter()
        .map(|entry| entry.path())
        .find(minor)
        .context("there is no python3 among them")?;
    let libraries = debian::libraries(root)?;
    let in_root = libraries.file_name().map(|machine| root.join("lib").join(machine)).unwrap_or_default();
    let mut command = Command::new(python);
    command
        .env("PYTHONHOME", root.join("usr"))
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .env("LD_LIBRARY_PATH", env::join_paths([libraries, in_root])?);
    Ok(command)
}
