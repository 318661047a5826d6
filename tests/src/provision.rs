//! Finds a real tor, or fetches Debian's.
//!
//! In this order: `$TOR`; a tor in `$PATH` or the places where systems put daemons; Debian's package, fetched by
//! `apt-get` and unpacked below cargo's target directory. The last needs no root and writes nowhere else. A tor counts
//! only when `tor-gencert`, which makes authority keys, is beside it or in one of the same places.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result};

use crate::paths::BuildPaths;
use crate::process::run;

/// A tor with its tools, ready to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TorProgram {
    tor: PathBuf,
    gencert: PathBuf,
    /// Where an unpacked package's libraries lie; for tor's own process only.
    libraries: Option<PathBuf>,
}

impl TorProgram {
    /// Finds or fetches tor; takes a few seconds the first time on a machine without one.
    pub fn find() -> Result<Self> {
        if let Some(tor) = env::var_os("TOR") {
            let tor = PathBuf::from(tor);
            let gencert = gencert_of(&tor).with_context(|| {
                format!(
                    "$TOR is {}, but there is no tor-gencert beside it, in ../bin or in $PATH",
                    tor.display()
                )
            })?;
            return Ok(Self { tor, gencert, libraries: None });
        }
        match Self::installed() {
            Some(found) => Ok(found),
            None => Self::debian(&BuildPaths::find()?.target.join("tor")),
        }
    }

    /// A command that runs tor with nothing from the system's configuration.
    pub fn tor(&self) -> Command {
        let mut command = self.command(&self.tor);
        command.args(["--defaults-torrc", "/dev/null"]);
        command
    }

    /// A command that runs tor-gencert.
    pub fn gencert(&self) -> Command {
        self.command(&self.gencert)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    fn installed() -> Option<Self> {
        let tor = search("tor")?;
        Some(Self { gencert: gencert_of(&tor)?, tor, libraries: None })
    }

    /// Debian's package in `directory`, fetched unless it is there. Processes that want it at once wait for the first.
    fn debian(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let lock = File::create(directory.join("lock")).context("cannot create the lock file")?;
        lock.lock().context("cannot lock tor's directory")?;
        let root = directory.join("debian");
        if !root.is_dir() {
            fetch_debian(directory, &root).context(REMEDY)?;
        }
        Self::unpacked(&root)
    }

    fn unpacked(root: &Path) -> Result<Self> {
        let found = Self {
            tor: root.join("usr/sbin/tor"),
            gencert: root.join("usr/bin/tor-gencert"),
            libraries: Some(multiarch(&root.join("usr/lib"))?),
        };
        Ok(found)
    }
}

const REMEDY: &str = "there is no tor in $PATH and Debian's could not be fetched: \
    install tor (Debian: apt-get install tor) or set TOR=/path/to/tor with tor-gencert beside it";

/// Where daemons lie on systems whose plain users do not have these in their `$PATH`.
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

fn search(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    places.map(|place| place.join(name)).find(|file| file.is_file())
}

/// Beside tor, in the `bin` next to its `sbin`, or wherever systems put it.
fn gencert_of(tor: &Path) -> Option<PathBuf> {
    let directory = tor.parent()?;
    let near = [directory.join("tor-gencert"), directory.join("../bin/tor-gencert")];
    near.into_iter().find(|file| file.is_file()).or_else(|| search("tor-gencert"))
}

/// Fetches and unpacks in a directory of its own, which becomes `root` only when all is there and tor has run.
fn fetch_debian(directory: &Path, root: &Path) -> Result<()> {
    for tool in ["apt-get", "dpkg-deb"] {
        search(tool).with_context(|| format!("this system has no {tool}"))?;
    }
    let work = directory.join(format!("fetch-{}", process::id()));
    let unpacked = work.join("root");
    for below in ["lists/partial", "cache/archives/partial", "packages", "root"] {
        fs::create_dir_all(work.join(below))?;
    }
    apt_get(&work, &["update"])?;
    apt_get(&work, &["download", "tor"])?;
    let libevent = libevent_of(&work)?;
    apt_get(&work, &["download", &libevent])?;
    for package in packages(&work)? {
        run(Command::new("dpkg-deb").arg("-x").args([&package, &unpacked]), &work.join("dpkg-deb.log"))?;
    }
    run(TorProgram::unpacked(&unpacked)?.tor().arg("--version"), &work.join("version.log"))
        .context("Debian's tor does not run on this system")?;
    fs::rename(&unpacked, root)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// Runs apt-get as the present user, with lists and caches of its own instead of the system's.
fn apt_get(work: &Path, arguments: &[&str]) -> Result<()> {
    let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
    let mut command = Command::new("apt-get");
    command
        .arg("-q")
        .arg(option("Dir::State::lists", &work.join("lists")))
        .arg(option("Dir::Cache", &work.join("cache")))
        .args(["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="])
        .args(["-oAcquire::Languages=none", "-oAcquire::Retries=2", "-oAcquire::http::Timeout=20"])
        // The user `_apt`, to whom apt-get changes when root runs it, could not write here.
        .arg("-oAPT::Sandbox::User=root")
        .args(arguments)
        .current_dir(work.join("packages"));
    run(&mut command, &work.join("apt-get.log"))?;
    Ok(())
}

/// The name of the one library that a minimal system lacks; it differs between Debian's releases.
fn libevent_of(work: &Path) -> Result<String> {
    let [tor] = packages(work)?.try_into().ok().context("apt-get downloaded no package of tor")?;
    let log = work.join("depends.log");
    let depends = run(Command::new("dpkg-deb").arg("-f").arg(tor).arg("Depends"), &log)?;
    let mut names = depends.split([',', ' ', '\n']);
    let name = names.find(|name| name.starts_with("libevent-")).context("tor's package names no libevent")?;
    Ok(name.to_owned())
}

fn packages(work: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(work.join("packages"))?.collect::<Result<Vec<_>, _>>()?;
    let files = entries.into_iter().map(|entry| entry.path());
    Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// The library directory that is named for the processor, such as `usr/lib/x86_64-linux-gnu`.
fn multiarch(lib: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(lib).with_context(|| format!("cannot read {}", lib.display()))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths
        .find(|path| path.to_string_lossy().contains("-linux-"))
        .with_context(|| format!("{} has no directory of libraries", lib.display()))
}
