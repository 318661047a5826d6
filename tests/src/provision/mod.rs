//! Finds a real tor, or gets one.
//!
//! For v3, in this order: `$TOR`; a tor in `$PATH` or in the usual directories of daemons; Debian's package.
//! For v2, which no packaged tor supports: `$TOR_V2`, or one that is built from source. Fetched and built
//! files are below cargo's target directory; neither needs root. A tor counts only when `tor-gencert`, which
//! makes authority keys, is beside it or in one of the usual places.

mod debian;
mod dpkg_dev;
mod emulator;
mod machine;
mod promtool;
mod stem;
mod systemd;
mod v2;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub use self::dpkg_dev::dpkg_dev;
pub use self::emulator::Emulator;
pub use self::machine::{debian_archives, debian_machine, podman_archives};
pub use self::promtool::promtool;
pub use self::stem::stem_python;
pub use self::systemd::systemd_analyze;
use crate::onion::OnionVersion;
use crate::owned;
use crate::paths::BuildPaths;

/// A tor with its tools, ready to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TorProgram {
    tor: Program,
    gencert: Program,
}

/// A program, and the directories of the libraries that the system lacks; for its own process only.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Program {
    file: PathBuf,
    libraries: Vec<PathBuf>,
}

impl TorProgram {
    /// Finds or gets a tor for onion services of this version. The first time on a machine, fetching takes a
    /// few seconds, building a minute or two.
    pub fn find(version: OnionVersion) -> Result<Self> {
        match version {
            OnionVersion::V3 => match named("TOR")? {
                Some(named) => Ok(named),
                None => Self::packaged(),
            },
            OnionVersion::V2 => match named("TOR_V2")? {
                Some(named) => Ok(named),
                None => Ok(Self { tor: in_target(v2::built)?, gencert: Self::packaged()?.gencert }),
            },
        }
    }

    /// A command that runs tor with nothing from the system's configuration.
    pub fn tor(&self) -> Command {
        let mut command = self.tor.command();
        command.args(["--defaults-torrc", "/dev/null"]);
        command
    }

    /// A command that runs tor-gencert.
    pub fn gencert(&self) -> Command {
        self.gencert.command()
    }

    fn packaged() -> Result<Self> {
        match Self::installed() {
            Some(found) => Ok(found),
            None => in_target(debian::tor),
        }
    }

    fn installed() -> Option<Self> {
        let tor = search("tor")?;
        Some(Self { gencert: Program::of_system(gencert_of(&tor)?), tor: Program::of_system(tor) })
    }
}

impl Program {
    fn of_system(file: PathBuf) -> Self {
        Self { file, libraries: Vec::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        // A path with a colon cannot be in this variable; the program then reports the missing library.
        if let (false, Ok(path)) = (self.libraries.is_empty(), env::join_paths(&self.libraries)) {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }
}

/// The tor that an environment variable names.
fn named(variable: &str) -> Result<Option<TorProgram>> {
    let Some(tor) = env::var_os(variable).map(PathBuf::from) else { return Ok(None) };
    let gencert = gencert_of(&tor).with_context(|| {
        format!(
            "${variable} is {}, but there is no tor-gencert beside it, in ../bin or in $PATH",
            tor.display()
        )
    })?;
    Ok(Some(TorProgram { tor: Program::of_system(tor), gencert: Program::of_system(gencert) }))
}

/// Gets something into cargo's target directory, unless it is there. Processes that want it at once wait for
/// the first.
fn in_target<T>(get: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let directory = BuildPaths::find()?.target.join("tor");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let lock = File::create(directory.join("lock")).context("cannot create the lock file")?;
    lock.lock().context("cannot lock tor's directory")?;
    sweep(&directory)?;
    get(&directory)
}

/// Removes the unfinished work of processes that were killed: a live one would hold the lock.
fn sweep(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ["build-", "fetch-"].iter().any(|work| name.starts_with(work)) {
            owned::remove(&path);
        }
    }
    Ok(())
}

/// The directories of daemons, which plain users may not have in their `$PATH`.
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

fn search(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    places.map(|place| place.join(name)).find(|file| file.is_file())
}

/// Beside tor, in the `bin` next to its `sbin`, or in the usual directories.
fn gencert_of(tor: &Path) -> Option<PathBuf> {
    let directory = tor.parent()?;
    let near = [directory.join("tor-gencert"), directory.join("../bin/tor-gencert")];
    near.into_iter().find(|file| file.is_file()).or_else(|| search("tor-gencert"))
}
