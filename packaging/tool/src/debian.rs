//! The Debian packages, by Debian's own tools: that of the programs, and that of their [`symbols`].
//!
//! `packaging/debian/` has the description of the package (`control`), its files (`install`) and its scripts.
//! `dpkg-shlibdeps` finds the libraries, `dpkg-gencontrol` completes the description, and `dpkg-deb` packs.

mod symbols;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::release::{Source, output};
use crate::{PROGRAMS, completions, manual, project};

/// A package to be built.
#[derive(Clone, Debug)]
pub struct Package {
    /// The state of the sources.
    pub source: Source,
    /// The directory of the built programs.
    pub programs: PathBuf,
    /// The compression of the package.
    pub compression: Compression,
    /// A command that runs a tool of Debian's dpkg-dev: `Command::new` if that is installed.
    pub dpkg_dev: fn(&str) -> Result<Command>,
}

/// The compression of a package.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// None, which is fastest.
    None,
    /// As Debian's packages have it.
    Xz,
}

impl Package {
    /// Builds the package into the directory `to` and returns its path. The same programs and sources make
    /// the same file.
    ///
    /// # Errors
    /// A file is missing, a tool of Debian's dpkg-dev is missing or fails, or `to` cannot be written to.
    pub fn build(&self, to: &Path) -> Result<PathBuf> {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        let tree = Tree::create()?;
        self.programs(&tree)?;
        self.documents(&tree)?;
        completions::write(&tree.path("usr/share"))?;
        for line in read("install")?.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let Some((from, directory)) = words.next().zip(words.next()) else { continue };
            let mode = if directory.ends_with("/bin") { 0o755 } else { 0o644 };
            for file in matching(from)? {
                tree.install(&file, directory, mode)?;
            }
        }
        self.control(&tree)?;
        self.pack(&tree, to)
    }

    /// The programs without their symbols, as Debian's `dh_strip` leaves them.
    fn programs(&self, tree: &Tree) -> Result<()> {
        for program in PROGRAMS {
            let installed = tree.install(&self.programs.join(program), "usr/bin", 0o755)?;
            let sections = ["--remove-section=.comment", "--remove-section=.note"];
            output(Command::new("strip").arg("--strip-unneeded").args(sections).arg(installed))?;
        }
        let link = tree.path("usr/bin/onionbalance-config");
        symlink("onionbalance", &link).with_context(|| format!("cannot make {}", link.display()))
    }

    /// The manual, and the files of `/usr/share/doc` that Debian's policy demands.
    fn documents(&self, tree: &Tree) -> Result<()> {
        for (name, page) in manual::pages(&project().join("packaging/man"), &self.source.date)? {
            let section = name.rsplit('.').next().unwrap_or_default();
            tree.write_compressed(&format!("usr/share/man/man{section}"), &name, page)?;
        }
        let changes = fs::read(project().join("CHANGELOG.md"))?;
        tree.write_compressed("usr/share/doc/onionbalance", "changelog", changes)?;
        tree.write_compressed("usr/share/doc/onionbalance", "changelog.Debian", self.changelog()?)
    }

    /// Debian's changelog, with one entry, for this version.
    fn changelog(&self) -> Result<Vec<u8>> {
        let control = read("control")?;
        let maintainer = control.lines().find_map(|line| line.strip_prefix("Maintainer: "));
        let maintainer = maintainer.context("packaging/debian/control has no maintainer")?;
        let epoch = self.source.epoch.as_deref().unwrap_or("0");
        let date = output(Command::new("date").args(["--utc", "-R", &format!("--date=@{epoch}")]))?;
        let entry = "The changes of this release are in changelog.gz.";
        Ok(format!(
            "onionbalance ({VERSION}) unstable; urgency=medium\n\n  * {entry}\n\n -- {maintainer}  {date}\n"
        )
        .into_bytes())
    }

    /// The description of the package, its scripts, and the sums of its files.
    fn control(&self, tree: &Tree) -> Result<()> {
        for script in ["preinst", "postinst", "prerm", "postrm"] {
            tree.install(&project().join("packaging/debian").join(script), "DEBIAN", 0o755)?;
        }
        let programs = PROGRAMS.map(|program| tree.path("usr/bin").join(program));
        tree.source(&read("control")?, &self.changelog()?)?;
        let mut find = (self.dpkg_dev)("dpkg-shlibdeps")?;
        let libraries = output(find.current_dir(tree.work.path()).arg("-O").args(programs))?;
        self.describe(tree, &(libraries + "\n"), &[])
    }

    /// Completes the description of the package with the values of its variables, such as the libraries, and
    /// with these options of `dpkg-gencontrol`.
    fn describe(&self, tree: &Tree, variables: &str, options: &[String]) -> Result<()> {
        fs::write(tree.work.path().join("debian/substvars"), variables)?;
        let mut complete = (self.dpkg_dev)("dpkg-gencontrol")?;
        let root = format!("-P{}", tree.root().display());
        output(complete.current_dir(tree.work.path()).args(["-ponionbalance", root.as_str()]).args(options))?;
        tree.write("DEBIAN", "md5sums", tree.sums()?)
    }

    fn pack(&self, tree: &Tree, to: &Path) -> Result<PathBuf> {
        let mut command = Command::new("dpkg-deb");
        command.args(["--root-owner-group", "--build"]);
        command.arg(match self.compression {
            Compression::None => "-Znone",
            Compression::Xz => "-Zxz",
        });
        // The number of processors would change the compressed bytes.
        command.env("DPKG_DEB_THREADS_MAX", "1");
        command.envs(self.source.epoch.as_ref().map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        let built = tree.work.path().join("built.deb");
        output(command.arg(tree.root()).arg(&built))?;
        let field = |name: &str| output(Command::new("dpkg-deb").arg("--field").arg(&built).arg(name));
        let package = to.join(format!("{}_{VERSION}_{}.deb", field("Package")?, field("Architecture")?));
        fs::copy(&built, &package).with_context(|| format!("cannot write {}", package.display()))?;
        Ok(package)
    }
}

/// The first package of this release.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// The files of a package on their way into it.
struct Tree {
    work: TempDir,
}

impl Tree {
    fn create() -> Result<Self> {
        let tree = Self { work: tempfile::tempdir()? };
        tree.directory("DEBIAN")?;
        Ok(tree)
    }

    /// Writes the source package that Debian's tools look for in the working directory.
    fn source(&self, control: &str, changelog: &[u8]) -> Result<()> {
        let debian = self.work.path().join("debian");
        fs::create_dir_all(&debian)?;
        fs::write(debian.join("control"), control)?;
        Ok(fs::write(debian.join("changelog"), changelog)?)
    }

    fn root(&self) -> PathBuf {
        self.path("")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.work.path().join("root").join(below)
    }

    /// Copies a file into the directory and returns its new path.
    fn install(&self, file: &Path, directory: &str, mode: u32) -> Result<PathBuf> {
        let name = file.file_name().with_context(|| format!("{} has no name", file.display()))?;
        let path = self.directory(directory)?.join(name);
        fs::copy(file, &path).with_context(|| format!("cannot copy {}", file.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    fn write(&self, directory: &str, name: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        let path = self.directory(directory)?.join(name);
        fs::write(&path, contents)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?)
    }

    fn write_compressed(&self, directory: &str, name: &str, contents: Vec<u8>) -> Result<()> {
        self.write(directory, name, contents)?;
        output(Command::new("gzip").args(["-9n"]).arg(self.path(directory).join(name))).map(drop)
    }

    /// Makes a directory, with those above it, for everybody to read, independent of the umask.
    fn directory(&self, below: &str) -> Result<PathBuf> {
        let path = self.path(below);
        DirBuilder::new().recursive(true).mode(0o755).create(&path)?;
        Ok(path)
    }

    /// The contents of `md5sums`: dpkg verifies files by it.
    fn sums(&self) -> Result<String> {
        let find = "find * -path DEBIAN -prune -o -type f -print0 | sort -z | xargs -0 md5sum";
        let mut command = Command::new("sh");
        command.args(["-c", find]).current_dir(self.root()).env("LC_ALL", "C");
        Ok(output(&mut command)? + "\n")
    }
}

fn read(name: &str) -> Result<String> {
    let path = project().join("packaging/debian").join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The files with this path in the project; its last part may be `*` or `*.ENDING`.
fn matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let path = project().join(pattern);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(ending) = name.strip_prefix('*') else { return Ok(vec![path]) };
    let directory = path.parent().unwrap_or(project());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_string_lossy().ends_with(ending) {
            files.push(entry.path());
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "packaging/debian/install: no file is {pattern}");
    Ok(files)
}
