//! A Python with stem, the library that the original OnionBalance read descriptors with: an oracle for v2.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};
use super::{in_target, search};
use crate::process::run;

const REMEDY: &str = "there is no python3 in $PATH that has stem 1.8 and cryptography, and Debian's packages could not be \
    fetched: install them (Debian: apt-get install python3-stem python3-cryptography)";

/// The modules needed to open and verify descriptors: without cryptography stem silently skips signatures.
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
        let packages = &["python3-stem", "python3-cryptography"];
        let wanted = Unpacked { name: "stem", packages, remedy: REMEDY };
        unpacked(&wanted.below(directory, |root, log| {
            run(unpacked(root)?.args(["-c", PROBE]), log)
                .context("Debian's stem does not run on this system")
                .map(drop)
        })?)
    })
}

fn has_stem(mut python: Command) -> bool {
    let probe = python.args(["-c", PROBE]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn unpacked(root: &Path) -> Result<Command> {
    let python_home = root.join("usr");
    let mut command = match python_in(&python_home.join("bin")) {
        Some(python) => {
            let mut command = Command::new(python);
            command.env("PYTHONHOME", &python_home);
            command
        }
        // It was not fetched if the system has it.
        None => Command::new("/usr/bin/python3"),
    };
    command
        .env("PYTHONPATH", python_home.join("lib/python3/dist-packages"))
        .env("LD_LIBRARY_PATH", env::join_paths(debian::libraries(root))?);
    Ok(command)
}

/// `python3.` with its minor version, which is the program; `python3` is a link to it that is made at
/// installation.
fn python_in(directory: &Path) -> Option<PathBuf> {
    let is_python = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str);
        let minor = name.and_then(|name| name.strip_prefix("python3."));
        minor.is_some_and(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()))
    };
    fs::read_dir(directory).ok()?.filter_map(Result::ok).map(|entry| entry.path()).find(is_python)
}
