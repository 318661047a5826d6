//! Debian's packages, fetched by `apt-get` and unpacked, not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result};

use super::{Program, TorProgram, search};
use crate::process::run;

/// Tor in `directory`, fetched unless it is there.
pub(super) fn tor(directory: &Path) -> Result<TorProgram> {
    let root = directory.join("debian");
    if !root.is_dir() {
        fetch_tor(directory, &root).context(REMEDY)?;
    }
    unpacked_tor(&root)
}

const REMEDY: &str = "there is no tor in $PATH and Debian's could not be fetched: \
    install tor (Debian: apt-get install tor) or set TOR=/path/to/tor with tor-gencert beside it";

fn unpacked_tor(root: &Path) -> Result<TorProgram> {
    let libraries = Some(libraries(root)?);
    let program = |file: &str| Program { file: root.join(file), libraries: libraries.clone() };
    Ok(TorProgram { tor: program("usr/sbin/tor"), gencert: program("usr/bin/tor-gencert") })
}

/// Fetches and unpacks in a directory of its own, which becomes `root` only when all is there and tor has run.
fn fetch_tor(directory: &Path, root: &Path) -> Result<()> {
    let packages = Packages::new(directory)?;
    packages.fetch("tor", |needed| needed.starts_with("libevent-"))?;
    let unpacked = packages.unpack()?;
    run(unpacked_tor(&unpacked)?.tor().arg("--version"), &packages.log("version"))
        .context("Debian's tor does not run on this system")?;
    fs::rename(&unpacked, root)?;
    packages.remove()
}

/// Packages that are being fetched.
pub(super) struct Packages {
    work: PathBuf,
}

impl Packages {
    /// With lists of what there is, in a directory of its own below `directory`.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        for tool in ["apt-get", "dpkg-deb"] {
            search(tool).with_context(|| format!("this system has no {tool}"))?;
        }
        let packages = Self { work: directory.join(format!("fetch-{}", process::id())) };
        for below in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(packages.work.join(below))?;
        }
        packages.apt_get(&["update"])?;
        Ok(packages)
    }

    /// Fetches a package, and of those that it names as its dependencies the ones that are `wanted`: their names differ
    /// between Debian's releases.
    pub(super) fn fetch(&self, package: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for name in self.download(package)?.iter().filter(|name| wanted(name)) {
            self.apt_get(&["download", name])?;
        }
        Ok(())
    }

    /// As [`Packages::fetch`] for several packages, and for whatever the wanted ones depend on in turn.
    pub(super) fn fetch_all(&self, packages: &[&str], wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut names: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
        let mut next = 0;
        while let Some(name) = names.get(next).cloned() {
            next += 1;
            for needed in self.download(&name)? {
                if wanted(&needed) && !names.contains(&needed) {
                    names.push(needed);
                }
            }
        }
        Ok(())
    }

    /// Downloads a package; the names that it depends on.
    fn download(&self, package: &str) -> Result<Vec<String>> {
        let before = self.files()?;
        self.apt_get(&["download", package])?;
        let fetched = self.files()?.into_iter().find(|file| !before.contains(file));
        let fetched = fetched.with_context(|| format!("apt-get downloaded no package {package}"))?;
        let log = self.log("depends");
        let depends = run(Command::new("dpkg-deb").arg("-f").arg(fetched).arg("Depends"), &log)?;
        // `name:any (>= version) | other, …`
        let names = depends.split([',', ' ', '\n']).filter_map(|word| word.split(':').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Unpacks all that was fetched; the result is where.
    pub(super) fn unpack(&self) -> Result<PathBuf> {
        let root = self.work.join("root");
        fs::create_dir_all(&root)?;
        for package in self.files()? {
            run(Command::new("dpkg-deb").arg("-x").args([&package, &root]), &self.log("dpkg-deb"))?;
        }
        Ok(root)
    }

    /// Where what is run meanwhile may write.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.work.join(format!("{name}.log"))
    }

    /// Removes everything that is left of the fetching.
    pub(super) fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.work)?)
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.work.join("packages"))?.collect::<Result<Vec<_>, _>>()?;
        let files = entries.into_iter().map(|entry| entry.path());
        Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
    }

    /// Runs apt-get as the present user, with lists and caches of its own instead of the system's.
    fn apt_get(&self, arguments: &[&str]) -> Result<()> {
        let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
        let mut command = Command::new("apt-get");
        command
            .arg("-q")
            .arg(option("Dir::State::lists", &self.work.join("lists")))
            .arg(option("Dir::Cache", &self.work.join("cache")))
            .args(["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="])
            .args(["-oAcquire::Languages=none", "-oAcquire::Retries=2", "-oAcquire::http::Timeout=20"])
            // The user `_apt`, to whom apt-get changes when root runs it, could not write here.
            .arg("-oAPT::Sandbox::User=root")
            .args(arguments)
            .current_dir(self.work.join("packages"));
        run(&mut command, &self.log("apt-get"))?;
        Ok(())
    }
}

/// Where the libraries of an unpacked root lie: the directory that is named for the processor, such as
/// `usr/lib/x86_64-linux-gnu`.
pub(super) fn libraries(root: &Path) -> Result<PathBuf> {
    let lib = root.join("usr/lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("cannot read {}", lib.display()))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths
        .find(|path| path.to_string_lossy().contains("-linux-"))
        .with_context(|| format!("{} has no directory of libraries", lib.display()))
}
