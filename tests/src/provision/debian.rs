//! Debian's packages, fetched by `apt-get` and unpacked, not installed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result};

use super::{Program, TorProgram, search};
use crate::owned::Owned;
use crate::process::run;

/// Tor in `directory`, fetched unless it is there.
pub(super) fn tor(directory: &Path) -> Result<TorProgram> {
    Ok(unpacked_tor(&tor_root(directory)?))
}

/// The directory of Debian's unpacked tor below `directory`; fetches it unless it exists.
pub(super) fn tor_root(directory: &Path) -> Result<PathBuf> {
    let wanted = Unpacked { name: "debian", packages: &["tor"], remedy: REMEDY };
    wanted.below(directory, |root, log| {
        run(unpacked_tor(root).tor().arg("--version"), log)
            .context("Debian's tor does not run on this system")
            .map(drop)
    })
}

const REMEDY: &str = "there is no tor in $PATH and Debian's could not be fetched: \
    install tor (Debian: apt-get install tor) or set TOR=/path/to/tor with tor-gencert beside it";

fn unpacked_tor(root: &Path) -> TorProgram {
    let libraries = libraries(root);
    let program = |file: &str| Program { file: root.join(file), libraries: libraries.clone() };
    TorProgram { tor: program("usr/sbin/tor"), gencert: program("usr/bin/tor-gencert") }
}

/// Packages that are kept unpacked.
pub(super) struct Unpacked<'a> {
    /// The name of their directory.
    pub(super) name: &'a str,
    /// The packages; those of their dependencies that the system lacks come with them.
    pub(super) packages: &'a [&'a str],
    /// The context of all errors.
    pub(super) remedy: &'static str,
}

impl Unpacked<'_> {
    /// Their directory below `directory`; fetches them unless it exists. They are unpacked in a temporary
    /// directory, which becomes theirs after `prepare` has succeeded. It gets that directory, and a file for
    /// the output of commands.
    pub(super) fn below(
        &self,
        directory: &Path,
        prepare: impl FnOnce(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let root = directory.join(self.name);
        if !root.is_dir() {
            self.fetch(directory, &root, prepare).context(self.remedy)?;
        }
        Ok(root)
    }

    fn fetch(
        &self,
        directory: &Path,
        root: &Path,
        prepare: impl FnOnce(&Path, &Path) -> Result<()>,
    ) -> Result<()> {
        let packages = Packages::new(directory)?;
        packages.fetch(self.packages)?;
        let unpacked = packages.unpack()?;
        prepare(&unpacked, &packages.log(self.name))?;
        Ok(fs::rename(&unpacked, root)?)
    }
}

/// The directory with this name below `directory` that has these packages, and those of their dependencies
/// that the system lacks, as they are fetched; fetches them unless it exists.
pub(super) fn archives(directory: &Path, name: &str, wanted: &[&str]) -> Result<PathBuf> {
    let archives = directory.join(name);
    if !archives.is_dir() {
        let packages = Packages::new(directory)?;
        packages.fetch(wanted)?;
        fs::rename(packages.archives(), &archives)?;
    }
    Ok(archives)
}

/// Packages that are being fetched, in a directory that is removed with this value.
pub(super) struct Packages {
    work: Owned,
}

impl Packages {
    /// Fetches the package lists into a new directory below `directory`.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        for tool in ["apt-get", "dpkg-deb"] {
            search(tool).with_context(|| format!("this system has no {tool}"))?;
        }
        let packages = Self { work: Owned::create(directory.join(format!("fetch-{}", process::id())))? };
        for below in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(packages.path(below))?;
        }
        packages.update()?;
        Ok(packages)
    }

    /// Fetches the package lists. For apt-get, a list that did not come is a warning; its packages would seem
    /// not to exist. One that never comes may be of another source than Debian's.
    fn update(&self) -> Result<()> {
        let complete = || self.apt_get(&["update", "--error-on=any"]);
        complete().or_else(|_| complete()).or_else(|_| self.apt_get(&["update"])).map(drop)
    }

    /// Fetches these packages, and those of their dependencies that the system lacks.
    ///
    /// apt-get determines the dependencies: it handles alternatives, virtual packages, versions, and the
    /// installed packages.
    pub(super) fn fetch(&self, packages: &[&str]) -> Result<()> {
        // The requested packages are fetched even if the system has them.
        let simulate = ["install", "--simulate", "--reinstall", "--no-install-recommends"];
        let plan = self.apt_get(&[&simulate, packages].concat())?;
        let download: Vec<&str> = to_be_unpacked(&plan).filter(|name| *name != C_LIBRARY).collect();
        self.apt_get(&[&["download"], download.as_slice()].concat())?;
        Ok(())
    }

    /// Fetches this package without its dependencies.
    pub(super) fn fetch_alone(&self, package: &str) -> Result<()> {
        self.apt_get(&["download", package]).map(drop)
    }

    /// Unpacks all fetched packages; returns the directory.
    pub(super) fn unpack(&self) -> Result<PathBuf> {
        let root = self.path("root");
        fs::create_dir_all(&root)?;
        for entry in fs::read_dir(self.archives())? {
            let package = entry?.path();
            if package.extension() == Some(OsStr::new("deb")) {
                run(Command::new("dpkg-deb").arg("-x").args([&package, &root]), &self.log("dpkg-deb"))?;
            }
        }
        for directory in libraries(&root) {
            link_to_installed(&directory)?;
        }
        Ok(root)
    }

    /// The directory of the fetched packages.
    fn archives(&self) -> PathBuf {
        self.path("packages")
    }

    /// A file for the output of commands.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    fn path(&self, below: &str) -> PathBuf {
        self.work.path().join(below)
    }

    /// Runs apt-get as the present user, with lists and caches of its own instead of the system's; returns
    /// its output.
    fn apt_get(&self, arguments: &[&str]) -> Result<String> {
        let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
        let mut command = Command::new("apt-get");
        command
            .arg("-q")
            .arg(option("Dir::State::lists", &self.path("lists")))
            .arg(option("Dir::Cache", &self.path("cache")))
            .args(["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="])
            .args(["-oAcquire::Languages=none", "-oAcquire::Retries=5", "-oAcquire::http::Timeout=60"])
            // Run by root, apt-get would change to the user `_apt`, which could not write here.
            .arg("-oAPT::Sandbox::User=root")
            .args(arguments)
            .current_dir(self.archives());
        run(&mut command, &self.log("apt-get"))
    }
}

/// The system's own loader is used, which works only with its own version of this package.
const C_LIBRARY: &str = "libc6";

/// The packages that `apt-get --simulate install` would unpack: `Inst NAME [INSTALLED VERSION] (VERSION …)`.
fn to_be_unpacked(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
}

/// The directories of libraries in an unpacked root. They are named after the processor, as in
/// `usr/lib/x86_64-linux-gnu`; packages from before the merged `/usr` have them in `lib`.
pub(super) fn libraries(root: &Path) -> Vec<PathBuf> {
    let entries = ["usr/lib", "lib"].into_iter().filter_map(|lib| fs::read_dir(root.join(lib)).ok());
    let paths = entries.flatten().filter_map(Result::ok).map(|entry| entry.path());
    paths.filter(|path| path.to_string_lossy().contains("-linux-")).collect()
}

/// Redirects links to the system's libraries if their targets were not fetched: `libssl.so` of `libssl-dev`
/// is a link to `libssl.so.3`, which is beside it only if the system does not have it installed.
fn link_to_installed(libraries: &Path) -> Result<()> {
    let machine = libraries.file_name().context("the directory has no name")?;
    let installed = Path::new("/usr/lib").join(machine);
    for entry in fs::read_dir(libraries)? {
        let link = entry?.path();
        let Ok(target) = fs::read_link(&link) else { continue };
        let target = installed.join(target);
        if !link.exists() && target.exists() {
            fs::remove_file(&link)?;
            symlink(target, &link)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output on a Debian 12 with none of the packages except an older zlib.
    const PLAN: &str = "\
NOTE: This is only a simulation!
Reading package lists...
The following NEW packages will be installed:
  libc6-dev libevent-2.1-7 libevent-dev zlib1g-dev
Inst libc6 [2.36-9+deb12u7] (2.36-9+deb12u13 Debian:12.15/oldstable [amd64])
Conf libc6 (2.36-9+deb12u13 Debian:12.15/oldstable [amd64])
Inst zlib1g [1:1.2.13.dfsg-1~] (1:1.2.13.dfsg-1 Debian:12.15/oldstable [amd64]) []
Inst libevent-2.1-7 (2.1.12-stable-8+deb12u1 Debian-Security:12/oldstable-security [amd64])
Inst libgcc-s1:i386 (12.2.0-14+deb12u1 Debian:12.15/oldstable [i386])
Remv libz-ng-dev [2.0]
Conf zlib1g (1:1.2.13.dfsg-1 Debian:12.15/oldstable [amd64])
";

    #[test]
    fn fetches_what_apt_get_would_unpack() {
        let names: Vec<&str> = to_be_unpacked(PLAN).collect();
        assert_eq!(names, ["libc6", "zlib1g", "libevent-2.1-7", "libgcc-s1:i386"]);
    }

    /// `zlib1g-dev` depends on `libc6-dev | libc-dev`: the second is virtual, and every system with a C
    /// compiler has the first.
    #[test]
    fn fetches_a_virtual_dependency_and_nothing_that_is_installed() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let packages = Packages::new(directory.path())?;
        packages.fetch(&["zlib1g-dev"])?;
        let root = packages.unpack()?;
        assert!(root.join("usr/include/zlib.h").is_file());
        assert!(!root.join("usr/include/stdio.h").exists());
        Ok(())
    }

    #[test]
    fn links_without_their_library_lead_to_the_systems() -> Result<()> {
        let system = libraries(Path::new("/"));
        let machine = system.first().and_then(|path| path.file_name()).context("no libraries")?;
        let directory = tempfile::tempdir()?;
        let libraries = directory.path().join(machine);
        fs::create_dir(&libraries)?;
        fs::write(libraries.join("libown.so.1"), "")?;
        for (link, target) in
            [("libown.so", "libown.so.1"), ("libc.so", "libc.so.6"), ("libno.so", "libno.so.1")]
        {
            symlink(target, libraries.join(link))?;
        }
        link_to_installed(&libraries)?;
        let target = |link: &str| fs::read_link(libraries.join(link));
        assert_eq!(target("libown.so")?, Path::new("libown.so.1"));
        assert_eq!(target("libno.so")?, Path::new("libno.so.1"));
        assert!(target("libc.so")?.is_absolute() && libraries.join("libc.so").exists());
        Ok(())
    }
}
